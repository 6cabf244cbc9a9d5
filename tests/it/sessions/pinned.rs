//! Connections to Redis that belong to one client each: how many there may be.

use std::time::{Duration, Instant};

use super::control::one_worker;
use crate::wire::{Client, PATIENCE};
use crate::world::{Setup, World};

const TOO_MANY: &str = "-ERR respgate: too many pinned connections, command not sent";

/// All clients at one worker, under these limits.
fn world(limits: &'static str) -> World {
    World::with(Setup { limits, edits: one_worker(), ..Setup::default() })
}

/// A client with a connection of its own, and state in it.
fn watching(world: &World, user: &str) -> Client {
    let mut client = world.client(user);
    client.talk(&[("WATCH k", "+OK")]);
    client
}

/// The gateway's connections to Redis, as Redis lists them.
fn connections(world: &World) -> Vec<String> {
    let list = world.redis.client("root").ask("CLIENT LIST");
    list.lines().filter(|line| line.contains(" name=respgate ")).map(str::to_owned).collect()
}

/// Waits until there are so many that this is said of.
fn wait_for(world: &World, count: usize, what: &str) {
    wait_until(world, what, |there| there == count);
}

/// Waits until this is so of how many there are that this is said of.
fn wait_until(world: &World, what: &str, is_so: impl Fn(usize) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let all = connections(world);
        let count = all.iter().filter(|line| line.contains(what)).count();
        if is_so(count) {
            return;
        }
        assert!(Instant::now() < deadline, "still {count} with {what}: {all:#?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Has one more client want a connection of its own: whether it gets one that Redis had before.
fn takes_what_is_there(world: &World, clients: &mut Vec<Client>) -> bool {
    let those = |command: &str| -> Vec<String> {
        let of = connections(world).into_iter().filter(|line| line.contains(&format!(" cmd={command} ")));
        of.filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
    };
    let greeted = those("echo");
    let mut client = world.client("app");
    client.talk(&[("BLPOP none 0.01", "nil")]);
    clients.push(client);
    those("blpop").iter().any(|id| greeted.contains(id))
}

#[test]
fn a_connection_that_its_client_has_not_used_for_long_is_closed_unless_it_holds_something() {
    let world = world("link_idle_timeout_ms = 500");
    let (mut blocked, mut watches) = (world.client("app"), watching(&world, "app"));
    blocked.talk(&[("BLPOP none 0.01", "nil")]);
    wait_for(&world, 1, " cmd=blpop ");
    wait_for(&world, 0, " cmd=blpop ");
    wait_for(&world, 1, " cmd=watch ");
    watches.talk(&[("MULTI", "+OK"), ("EXEC", "[]")]);
    blocked.talk(&[("BLPOP none 0.01", "nil")]);
}

#[test]
fn a_connection_that_its_client_does_not_need_goes_to_one_who_does() {
    let world = world("pinned_links_max = 1\npinned_links_wait_ms = 60000");
    let [mut first, mut second] = std::array::from_fn(|_| world.client("app"));
    for _ in 0..3 {
        first.talk(&[("BLPOP none 0.01", "nil")]);
        second.talk(&[("WATCH k", "+OK"), ("MULTI", "+OK"), ("SET k v", "+QUEUED"), ("EXEC", "[+OK]")]);
    }
}

#[test]
fn who_finds_all_in_use_waits_until_one_is_free() {
    let world = world("pinned_links_max = 2\npinned_links_wait_ms = 60000");
    let (mut ends, leaves) = (watching(&world, "app"), watching(&world, "app"));
    let [mut first, mut second] = std::array::from_fn(|_| world.client("app"));
    first.write(b"*3\r\n$5\r\nBLPOP\r\n$4\r\nnone\r\n$4\r\n0.01\r\n*1\r\n$4\r\nPING\r\n");
    first.expect_silence(Duration::from_millis(300));
    ends.talk(&[("UNWATCH", "+OK")]);
    assert_eq!(first.read().to_string(), "nil");
    assert_eq!(first.read().to_string(), "+PONG");
    first.talk(&[("WATCH k", "+OK")]);
    second.write(b"*2\r\n$5\r\nWATCH\r\n$1\r\nk\r\n");
    second.expect_silence(Duration::from_millis(300));
    drop(leaves);
    assert_eq!(second.read().to_string(), "+OK");
}

#[test]
fn who_has_waited_long_enough_is_told_so_and_holds_nobody_up() {
    let world = world("pinned_links_max = 1\npinned_links_wait_ms = 500");
    let mut holder = watching(&world, "app");
    let mut client = world.client("app");
    let asked_at = Instant::now();
    client.write(b"*3\r\n$5\r\nBLPOP\r\n$4\r\nnone\r\n$1\r\n0\r\n*1\r\n$4\r\nPING\r\n");
    holder.talk(&[("GET k", "nil")]);
    world.client("app").talk(&[("PING", "+PONG")]);
    assert_eq!(client.read().to_string(), TOO_MANY);
    assert!(asked_at.elapsed() >= Duration::from_millis(500), "{:?}", asked_at.elapsed());
    assert_eq!(client.read().to_string(), "+PONG");
}

#[test]
fn one_user_cannot_take_the_connections_of_another() {
    let world = world("pinned_links_per_user_max = 2\npinned_links_wait_ms = 1");
    let held = [watching(&world, "app"), watching(&world, "app")];
    let mut third = world.client("app");
    third.talk(&[("BLPOP none 0.01", TOO_MANY), ("PING", "+PONG")]);
    let other = [watching(&world, "ops"), watching(&world, "ops")];
    third.talk(&[("BLPOP none 0.01", TOO_MANY)]);
    drop((held, other));
    let mut last = watching(&world, "app");
    last.talk(&[("UNWATCH", "+OK")]);
}

#[test]
fn the_next_is_ready_before_it_is_wanted() {
    let world = world("pinned_links_spare = 1");
    world.client("app").talk(&[("PING", "+PONG")]);
    assert_eq!(connections(&world).len(), 1, "nobody has wanted one");
    let _first = watching(&world, "app");
    wait_for(&world, 3, " user=app ");
    let deadline = Instant::now() + PATIENCE;
    let mut clients = Vec::new();
    // What it takes to be ready may take longer than this client's first request.
    while !takes_what_is_there(&world, &mut clients) {
        assert!(Instant::now() < deadline, "each has had a new one: {:#?}", connections(&world));
    }
    world.client("ops").talk(&[("PING", "+PONG")]);
    wait_for(&world, 1, " user=ops ");
}

#[test]
fn what_nobody_wants_is_not_kept_ready_for_long() {
    let world = world("pinned_links_spare = 3\nlink_idle_timeout_ms = 700");
    let mut client = watching(&world, "app");
    // One more is nobody's own, and comes and goes: it shows that Redis is there.
    wait_until(&world, "", |count| count >= 4);
    wait_until(&world, "", |count| count <= 2);
    client.talk(&[("MULTI", "+OK"), ("EXEC", "[]")]);
}

#[test]
fn what_is_kept_ready_is_within_the_bound() {
    let world = world("pinned_links_max = 2\npinned_links_spare = 8");
    let held = watching(&world, "app");
    // One is nobody's own: it shows that Redis is there.
    wait_for(&world, 3, "");
    let other = watching(&world, "ops");
    wait_for(&world, 2, " cmd=watch ");
    wait_for(&world, 3, "");
    drop((held, other));
}
