//! A password of the configuration is changed: nobody who works notices, in whatever order
//! Redis and the gateway are told, and a wrong one harms nobody who has a working link.

use std::time::{Duration, Instant};

use crate::backend::Version;
use crate::echo::say;
use crate::ledger::Workers;
use crate::pki::write_secret;
use crate::wire::{Client, PATIENCE};
use crate::world::{APP, LOST, Setup, World};

const REFUSED: &str = "Redis refuses the changed password";

fn set_user(root: &mut Client, rule: &str) {
    assert_eq!(root.ask(&format!("ACL SETUSER app {rule}")), "+OK");
}

/// Waits until the clients of both workers go by the new password. How many lines there were.
pub(super) fn wait_until_taken(world: &World, before: usize) -> usize {
    let (log, deadline) = (&world.gateway.stderr, Instant::now() + PATIENCE);
    while log.after(before).iter().filter(|line| line.contains("\"the changed password")).count() < 2 {
        assert!(Instant::now() < deadline, "the new password is not taken");
        std::thread::sleep(Duration::from_millis(5));
    }
    log.count()
}

#[test]
fn a_password_is_rotated_under_load_and_nothing_fails() {
    for version in [Version::System, Version::Redis8] {
        let world = World::with(Setup { version, ..Setup::default() });
        let mut root = world.redis.client("root");
        let workers = Workers::start(&world, &["app", "ops"]);
        workers.work(500);
        let mut kept = world.client("app");
        kept.talk(&[("WATCH nothing", "+OK"), ("MULTI", "+OK")]);
        let (start, mut seen) = (Instant::now(), 0);
        for round in 0..5 {
            let (old, new) = match round {
                0 => ("canary-app".to_owned(), "canary-1".to_owned()),
                _ => (format!("canary-{round}"), format!("canary-{}", round + 1)),
            };
            set_user(&mut root, &format!(">{new}"));
            write_secret(&world.path("app.password"), &new);
            world.reload();
            seen = wait_until_taken(&world, seen);
            set_user(&mut root, &format!("<{old}"));
            workers.work(300);
        }
        let ledger = workers.call_off();
        say(&format!(
            "{version:?}: 5 passwords in {:.0?}, {} increments, {} failed",
            start.elapsed(),
            ledger.acknowledged(),
            ledger.not_sent() + ledger.unknown()
        ));
        ledger.audit(&mut root);
        assert_eq!((ledger.not_sent(), ledger.unknown()), (0, 0));
        kept.talk(&[("SET k v", "+QUEUED"), ("EXEC", "[+OK]"), ("ACL WHOAMI", "$app")]);
    }
}

/// The gateway is told first: the old one goes on, until Redis knows the new one.
#[test]
fn a_password_that_redis_refuses_takes_no_working_link_away() {
    let world = World::start();
    world.announce(LOST);
    world.announce(REFUSED);
    let mut root = world.redis.client("root");
    let workers = Workers::start(&world, &["app"]);
    workers.work(300);
    let mut listener = world.client("app");
    listener.talk(&[("SUBSCRIBE news", "[$subscribe, $news, :1]")]);
    write_secret(&world.path("app.password"), "canary-new");
    world.reload();
    world.gateway.stderr.wait_for("of the refusal", |line| line.contains(REFUSED));
    workers.work(300);
    // Who comes now is served as well.
    world.client("app").talk(&[("ACL WHOAMI", "$app")]);
    set_user(&mut root, ">canary-new");
    wait_until_taken(&world, 0);
    workers.work(300);
    set_user(&mut root, "<canary-app");
    workers.work(300);
    world.client("app").talk(&[("MULTI", "+OK"), ("ACL WHOAMI", "+QUEUED"), ("EXEC", "[$app]")]);
    let ledger = workers.call_off();
    ledger.audit(&mut root);
    assert_eq!((ledger.not_sent(), ledger.unknown()), (0, 0));
    assert_eq!(root.ask("PUBLISH news hello"), ":1");
    assert_eq!(listener.read().to_string(), "[$message, $news, $hello]");
}

/// As long as everybody is served by the old one, no load balancer is told to go elsewhere.
#[test]
fn the_gateway_is_ready_until_the_old_password_is_refused_as_well() {
    let world = World::with(Setup { users: vec![APP], ..Setup::default() });
    world.announce(LOST);
    world.announce(REFUSED);
    let mut root = world.redis.client("root");
    // One of each worker.
    let mut clients = [world.client("app"), world.client("app")];
    clients.iter_mut().for_each(|client| client.talk(&[("ACL WHOAMI", "$app")]));
    write_secret(&world.path("app.password"), "canary-new");
    world.reload();
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        let (status, told) = world.gateway.get("/readyz");
        if told.contains("Redis user app: auth since") {
            break status;
        }
        assert!(Instant::now() < deadline, "the refusal is not told: {told}");
        std::thread::sleep(Duration::from_millis(20));
    };
    world.client("app").talk(&[("ACL WHOAMI", "$app"), ("WATCH k", "+OK")]);
    assert_eq!(status, 200);
    set_user(&mut root, "resetpass >canary-other");
    root.ask("CLIENT KILL USER app");
    for client in &mut clients {
        let deadline = Instant::now() + PATIENCE;
        while !client.ask("ACL WHOAMI").ends_with("command not sent") {
            assert!(Instant::now() < deadline, "it is still served");
        }
    }
    assert!(world.gateway.wait_status("/readyz", 503).contains("Redis user app: auth since"));
    set_user(&mut root, ">canary-new");
    world.gateway.wait_ready();
}

/// Without a working link there is nothing to keep: the new one is taken at once.
#[test]
fn a_wrong_password_is_put_right_by_a_reload() {
    let world =
        World::with(Setup { files: vec![("app.password", "canary-wrong".to_owned())], ..Setup::default() });
    world.announce(LOST);
    let mut client = world.client("app");
    client.talk(&[("GET k", "-ERR respgate: backend unavailable, command not sent")]);
    write_secret(&world.path("app.password"), "canary-app");
    world.reload();
    let deadline = Instant::now() + PATIENCE;
    while client.ask("ACL WHOAMI") != "$app" {
        assert!(Instant::now() < deadline, "it is still refused");
    }
}
