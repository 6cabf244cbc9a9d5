//! What others notice of wrong passwords by the hundred: nothing.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{NOAUTH, WRONG, setup, stranger, wait_refusal};
use crate::world::{Setup, World};

/// `too_many_attempts`: for one user of one network, and nobody else.
#[test]
fn passwords_are_not_checked_any_more_after_so_many_wrong_ones() {
    let world = World::with(Setup {
        limits: "auth_failures_per_network_max = 4\nauth_failures_window_ms = 3000",
        ..setup()
    });
    for _ in 0..4 {
        stranger(&world).talk(&[("AUTH person wrong", WRONG)]);
    }
    let start = Instant::now();
    stranger(&world).talk(&[("AUTH person canary-person", WRONG), ("PING", NOAUTH)]);
    let record = wait_refusal(&world, "too_many_attempts");
    assert_eq!(record["user"], "person");
    stranger(&world).talk(&[("AUTH third canary-third", "+OK")]);
    // It ends by itself.
    while stranger(&world).ask("AUTH person canary-person") == WRONG {
        assert!(start.elapsed() < Duration::from_secs(15), "still refused");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_flood_of_passwords_does_not_hold_up_those_who_are_in() {
    let world = World::with(Setup { limits: "auth_failures_per_network_max = 0", ..setup() });
    let mut app = world.client("app");
    app.talk(&[("SET k v", "+OK")]);
    let (stop, tried) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let mut client = stranger(&world);
                    for _ in 0..3 {
                        assert_eq!(client.ask("AUTH person wrong"), WRONG);
                        tried.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        while tried.load(Ordering::Relaxed) < 24 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut slowest = Duration::ZERO;
        for _ in 0..50 {
            let start = Instant::now();
            app.talk(&[("GET k", "$v")]);
            slowest = slowest.max(start.elapsed());
        }
        // And a right password among them is found right in time.
        let start = Instant::now();
        stranger(&world).talk(&[("AUTH person canary-person", "+OK")]);
        let login = start.elapsed();
        stop.store(true, Ordering::Relaxed);
        eprintln!(
            "{} wrong passwords; slowest GET {slowest:?}, a right password {login:?}",
            tried.load(Ordering::Relaxed)
        );
        assert!(slowest < Duration::from_secs(1) && login < Duration::from_secs(5));
    });
}

#[test]
fn strangers_do_not_take_the_places_of_those_who_are_known() {
    let world = World::with(Setup { limits: "unproven_clients_max = 3", ..setup() });
    let mut waiting: Vec<_> = (0..3).map(|_| stranger(&world)).collect();
    for client in &mut waiting {
        client.talk(&[("PING", NOAUTH)]);
    }
    assert!(stranger(&world).try_read().is_err());
    world.wait_audit("of it", |record| record["reason"] == "too_many_clients");
    world.client("app").talk(&[("ACL WHOAMI", "$app")]);
    waiting[0].talk(&[("AUTH person canary-person", "+OK")]);
    stranger(&world).talk(&[("AUTH person canary-person", "+OK")]);
}

/// CVE-2021-32675: Redis' bounds for those who have not authenticated.
#[test]
fn a_stranger_cannot_make_the_gateway_hold_much() {
    let world = World::with(setup());
    for (bytes, answer) in [
        (&b"*11\r\n"[..], "-ERR Protocol error: unauthenticated multibulk length"),
        (b"*2\r\n$16385\r\n", "-ERR Protocol error: unauthenticated bulk length"),
    ] {
        let mut client = stranger(&world);
        client.write(bytes);
        assert_eq!(client.read().to_string(), answer);
        assert!(client.try_read().is_err());
    }
    // Much that is legal, and none of the answers read: it is not read either.
    let mut client = stranger(&world);
    client.limit_write(Duration::from_millis(500));
    let ping = b"PING\r\n".repeat(10_000);
    let before = world.gateway.resident();
    let stopped = (0..500).any(|_| client.try_write(&ping).is_err());
    assert!(stopped, "30 MB of requests were read without an answer being read");
    assert!(world.gateway.resident() < before + (8 << 20));
}
