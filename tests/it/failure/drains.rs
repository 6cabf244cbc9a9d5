//! The gateway is told to end, or is killed, under load.
//!
//! `RESPGATE_DRAINS` is how often each happens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls::ClientConfig;

use super::{Rounds, Times, connections, world_over_tcp};
use crate::dice::Dice;
use crate::echo::say;
use crate::resp::typed;
use crate::wire::{Client, PATIENCE};
use crate::world::{Setup, World};

const CLIENTS: u64 = 16;

/// What all clients of a round have done.
#[derive(Default)]
struct Load {
    answered: AtomicU64,
    /// Commands that were written, and whose connection ended without an answer.
    unanswered: AtomicU64,
}

impl Load {
    fn wait_for(&self, more: u64) {
        let (before, deadline) = (self.answered.load(Relaxed), Instant::now() + PATIENCE);
        while self.answered.load(Relaxed) < before + more {
            assert!(Instant::now() < deadline, "nothing is answered any more");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Works until its connection ends. It looks whether it has before it sends, as the pools of client
/// libraries do, and reads every reply before it sends again.
fn works(number: u64, address: SocketAddr, tls: Arc<ClientConfig>, load: &Load) {
    let mut dice = Dice::new(number);
    let Ok(mut client) = Client::tls(address, tls) else { return };
    while !client.has_ended() {
        let commands: Vec<String> = match number % 4 {
            0 => vec!["INCR n".to_owned()],
            1 => (0..dice.magnitude(64)).map(|n| format!("ECHO {n}")).collect(),
            2 => vec!["BLPOP none 0.01".to_owned()],
            _ => ["MULTI", "INCR n", "EXEC", "CLIENT ID"].map(str::to_owned).into(),
        };
        if client.try_write(&commands.iter().flat_map(|command| typed(command)).collect::<Vec<u8>>()).is_err()
        {
            load.unanswered.fetch_add(commands.len() as u64, Relaxed);
            return;
        }
        for read in 0..commands.len() {
            match client.try_read() {
                Ok(_) => load.answered.fetch_add(1, Relaxed),
                Err(_) => {
                    load.unanswered.fetch_add((commands.len() - read) as u64, Relaxed);
                    return;
                }
            };
        }
        // Half of them think about it.
        if number.is_multiple_of(2) {
            std::thread::sleep(Duration::from_micros(dice.magnitude(5_000)));
        }
    }
}

/// Sixteen clients, and what is done to their gateway once all of them work.
fn under_load(world: &mut World, then: impl FnOnce(&mut World)) -> Load {
    let load = Load::default();
    let address = world.gateway.address;
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (tls, load) = (world.tls(["app", "ops"][number as usize % 2]), &load);
            scope.spawn(move || works(number, address, tls, load));
        }
        load.wait_for(500);
        then(world);
    });
    load
}

#[test]
fn nobody_who_looks_before_sending_is_left_unanswered_by_a_termination() {
    let rounds = Rounds::of("RESPGATE_DRAINS", 3);
    let mut world = World::start();
    let mut drained = Times::default();
    let (mut answered, mut unanswered) = (0, 0);
    for _ in 0..rounds.count {
        let load = under_load(&mut world, |world| {
            let start = Instant::now();
            world.restart(Signal::TERM);
            drained.add(start.elapsed());
        });
        answered += load.answered.load(Relaxed);
        unanswered += load.unanswered.load(Relaxed);
    }
    say(&format!(
        "{} terminations, {CLIENTS} clients each: {answered} commands answered, {unanswered} not",
        rounds.count
    ));
    assert_eq!(unanswered, 0, "commands were left unanswered");
    drained.hold("drained and started again, after", Duration::from_secs(30), rounds);
}

#[test]
fn a_killed_gateway_leaves_nothing_behind_and_the_next_one_is_there_at_once() {
    let rounds = Rounds::of("RESPGATE_DRAINS", 3);
    let (mut world, _) = world_over_tcp("");
    let (mut gone, mut first) = (Times::default(), Times::default());
    let mut root = world.redis.client("root");
    for _ in 0..rounds.count {
        let load = under_load(&mut world, |world| {
            assert!(connections(&mut root) > 0, "nothing that could stay behind");
            let start = Instant::now();
            world.gateway.signal(Signal::KILL);
            let deadline = start + PATIENCE;
            while connections(&mut root) > 0 {
                assert!(Instant::now() < deadline, "its connections are still there");
                std::thread::sleep(Duration::from_millis(1));
            }
            gone.add(start.elapsed());
        });
        assert!(load.answered.load(Relaxed) > 0);
        let start = Instant::now();
        world.restart_unready(Signal::KILL);
        world.client("app").talk(&[("ECHO again", "$again")]);
        first.add(start.elapsed());
    }
    gone.hold("after a kill of the gateway, its connections gone after", Duration::from_secs(5), rounds);
    first.hold("started again, first reply after", Duration::from_millis(500), rounds);
}

#[test]
fn who_is_quiet_is_closed_and_who_is_not_with_the_next_reply() {
    let mut world =
        World::with(Setup { limits: "drain_quiet_ms = 60000\ndrain_timeout_ms = 60000", ..Setup::default() });
    let mut working = world.client("app");
    working.talk(&[("SET k v", "+OK")]);
    let mut trading = world.client("app");
    trading.talk(&[("WATCH k", "+OK"), ("MULTI", "+OK")]);
    world.gateway.signal(Signal::TERM);
    world.gateway.wait_status("/readyz", 503);
    // It has been heard of: its next command is answered, with the end behind.
    working.expect_silence(Duration::from_millis(200));
    working.talk(&[("GET k", "$v")]);
    working.expect_end();
    // A transaction is not cut in half.
    trading.talk(&[("GET k", "+QUEUED"), ("EXEC", "[$v]")]);
    trading.expect_end();
    assert!(world.gateway.wait_end().success());
}
