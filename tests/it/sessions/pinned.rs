//! Connections to Redis that belong to one client each: how many there may be.

use std::time::{Duration, Instant};

use crate::wire::{Client, PATIENCE};
use crate::world::{Setup, World};

const TOO_MANY: &str = "-ERR respgate: too many pinned connections, command not sent";

/// All clients at one worker, under these limits.
fn world(limits: &'static str) -> World {
    let edits = vec![("[listener]\naddress", "workers = 1\n\n[listener]\naddress".to_owned())];
    World::with(Setup { limits, edits, ..Setup::default() })
}

/// A client with a connection of its own, and state in it.
fn watching(world: &World, user: &str) -> Client {
    let mut client = world.client(user);
    client.talk(&[("WATCH k", "+OK")]);
    client
}

/// Waits until Redis has so many connections of the gateway whose last command was this.
fn wait_for(world: &World, count: usize, command: &str) {
    let mut root = world.redis.client("root");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let list = root.read_after("CLIENT LIST");
        let list = String::from_utf8_lossy(list.bytes());
        let is_one =
            |line: &&str| line.contains(" name=respgate ") && line.contains(&format!(" cmd={command} "));
        if list.lines().filter(is_one).count() == count {
            return;
        }
        assert!(Instant::now() < deadline, "not {count} of {command}:\n{list}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_connection_that_its_client_has_not_used_for_long_is_closed_unless_it_holds_something() {
    let world = world("link_idle_timeout_ms = 500");
    let (mut blocked, mut watches) = (world.client("app"), watching(&world, "app"));
    blocked.talk(&[("BLPOP none 0.01", "nil")]);
    wait_for(&world, 1, "blpop");
    wait_for(&world, 0, "blpop");
    wait_for(&world, 1, "watch");
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
    let world = world("pinned_links_per_user_max = 2\npinned_links_wait_ms = 0");
    let held = [watching(&world, "app"), watching(&world, "app")];
    let mut third = world.client("app");
    third.talk(&[("BLPOP none 0.01", TOO_MANY), ("PING", "+PONG")]);
    let other = [watching(&world, "ops"), watching(&world, "ops")];
    third.talk(&[("BLPOP none 0.01", TOO_MANY)]);
    drop((held, other));
    let mut last = watching(&world, "app");
    last.talk(&[("UNWATCH", "+OK")]);
}
