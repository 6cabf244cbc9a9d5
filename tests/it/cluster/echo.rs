//! The unique-token echo through a cluster: while slots move, and while masters die. No reply goes
//! astray, none comes before its turn, and nobody is answered as another user.
//!
//! `RESPGATE_RESHARD` and `RESPGATE_CLUSTER_FAILOVERS` make it longer, as `make reshard` does.

use std::time::{Duration, Instant};

use super::nodes::Cluster;
use super::world::Clustered;
use crate::backend::Version;
use crate::echo::{Losses, Vigil, from_env, say, tags};
use crate::wire::PATIENCE;
use crate::world::{LOST, Setup};

fn world(replicas: usize, limits: &'static str) -> Clustered {
    let setup = Setup { version: Version::System, limits, ..Setup::default() };
    Clustered::with(Cluster::start(Version::System, 3, replicas), Vigil::users(setup))
}

/// Errors of this kind that the nodes have answered with.
fn redirects(world: &Clustered) -> u64 {
    let mut count = 0;
    for number in 0..world.cluster.masters {
        for line in world.cluster.client(number, "root").ask("INFO errorstats").lines() {
            let found = ["errorstat_MOVED:count=", "errorstat_ASK:count="]
                .iter()
                .find_map(|it| line.strip_prefix(it));
            count += found.map_or(0, |number| number.trim().parse::<u64>().expect("a number"));
        }
    }
    count
}

#[test]
fn echo_while_slots_move_and_none_goes_astray() {
    let rounds = from_env("RESPGATE_RESHARD", 2);
    // Where nothing may be lost, a busy machine is not to lose anything either.
    let world = world(0, "connect_timeout_ms = 30000\nfail_fast_ms = 30000\nprobe_timeout_ms = 30000\n");
    let vigil = Vigil::before_cluster(&world, Losses::Moved);
    // The slots that half of all keys are in.
    let mut root = world.cluster.client(0, "root");
    let slots: Vec<usize> = tags()
        .map(|tag| {
            root.ask(&format!("CLUSTER KEYSLOT {tag}")).trim_start_matches(':').parse().expect("a slot")
        })
        .collect();
    let mut at: Vec<Vec<usize>> = (0..3)
        .map(|master| {
            let (first, last) = world.cluster.slots_of(master);
            slots.iter().copied().filter(|slot| (first..=last).contains(slot)).collect()
        })
        .collect();
    assert_eq!(redirects(&world), 0);
    let before = vigil.replies();
    vigil.faults();
    for _ in 0..rounds {
        for (master, slots) in at.iter().enumerate() {
            world.cluster.move_slots(slots.iter().copied(), master, (master + 1) % 3);
        }
        at.rotate_right(1);
    }
    let meanwhile = vigil.replies() - before;
    vigil.peace(&world);
    let (redirects, moves) = (redirects(&world), rounds * slots.len() as u64);
    say(&format!(
        "echo, {moves} slots moved, {meanwhile} replies meanwhile, {redirects} redirects: {}",
        vigil.end()
    ));
    assert!(redirects > 0 && meanwhile > 500, "{redirects} redirects, {meanwhile} replies");
}

#[test]
fn echo_while_masters_die_and_none_goes_astray() {
    let rounds = from_env("RESPGATE_CLUSTER_FAILOVERS", 1);
    let mut world = world(1, "reconnect_max_ms = 200\n");
    world.announce(LOST);
    world.announce("the map of the cluster is not whole");
    let vigil = Vigil::before_cluster(&world, Losses::Meanwhile);
    for _ in 0..rounds {
        let victim = (0..6).find(|&node| world.cluster.is_master(node)).expect("a master");
        let mut node = world.cluster.take(victim);
        vigil.faults();
        let before = vigil.replies();
        node.kill();
        let deadline = Instant::now() + PATIENCE;
        while (0..6).filter(|&other| other != victim && world.cluster.is_master(other)).count() < 3 {
            assert!(Instant::now() < deadline, "no replica takes over");
            std::thread::sleep(Duration::from_millis(50));
        }
        node.resume();
        world.cluster.put_back(victim, node);
        world.cluster.wait_whole();
        wait_for_all_slots(&world);
        say(&format!("echo, {} replies while a master died", vigil.replies() - before));
        vigil.peace(&world);
    }
    say(&format!("echo, {rounds} masters died: {}", vigil.end()));
}

/// What needs a connection of its own does not wait for a map: until that works for keys of each
/// master, by the map of each worker, replies may be lost.
fn wait_for_all_slots(world: &Clustered) {
    let mut clients: Vec<_> = (0..4).map(|_| world.client("app")).collect();
    let (deadline, mut well_since) = (Instant::now() + PATIENCE, None);
    while well_since.is_none_or(|since: Instant| since.elapsed() < Duration::from_secs(1)) {
        let is_well = clients
            .iter_mut()
            .all(|client| (0..12).all(|key| client.ask(&format!("BLPOP nothing:{key} 0.001")) == "nil"));
        well_since = if is_well { well_since.or_else(|| Some(Instant::now())) } else { None };
        assert!(Instant::now() < deadline, "a slot is not served");
        std::thread::sleep(Duration::from_millis(20));
    }
}
