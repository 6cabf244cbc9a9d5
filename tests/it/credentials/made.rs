//! Users that the gateway makes for itself: nobody else knows their passwords, and whatever
//! becomes of them at Redis, they are put right.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::backend::Version;
use crate::echo::say;
use crate::gateway::Gateway;
use crate::ledger::Workers;
use crate::log::complaint;
use crate::wire::{Client, PATIENCE};
use crate::world::{APP, LOST, NARROW, OPS, ROOT, Setup, World};

pub(super) const APP_LOGIN: &str = "redis_user = \"app\"\nredis_password_file = \"app.password\"";
pub(super) const OPS_LOGIN: &str = "redis_user = \"ops\"\nredis_password_file = \"ops.password\"";

/// The section, made by this user of Redis.
fn section(admin: &str, instance: &str, more: &str) -> String {
    format!(
        "[database]\nprovisioning = {{ redis_user = \"{admin}\", redis_password_file = \"{admin}.password\", \
         instance = \"{instance}\"{more} }}\n"
    )
}

/// A world in which `app` and `ops` are made, with the rules of the first.
fn setup(version: Version, acl: &str, more: &str) -> Setup {
    Setup {
        version,
        users: vec![APP, OPS, ROOT, NARROW],
        limits: "connect_timeout_ms = 500\nreconnect_max_ms = 100",
        edits: vec![
            ("[database]\n", section("root", "a", more)),
            (APP_LOGIN, format!("acl = \"{acl}\"")),
            (OPS_LOGIN, "acl = \"~* &* +@all\"".to_owned()),
        ],
        ..Setup::default()
    }
}

fn ordinary(version: Version) -> World {
    World::with(setup(version, "~* &* +@all", ""))
}

/// The lines of ACL LIST about users whose names begin so.
pub(super) fn users(root: &mut Client, beginning: &str) -> Vec<String> {
    let list = root.call(&["ACL", "LIST"]).to_string();
    let lines = list.trim_start_matches('[').trim_end_matches(']').split(", $");
    let lines = lines.map(|line| line.trim_start_matches('$').to_owned());
    lines.filter(|line| line.starts_with(&format!("user {beginning}"))).collect()
}

pub(super) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn users_are_made_by_their_rules_and_nobody_else_is_touched() {
    for version in Version::ALL {
        let mut world = World::with_unready(Setup {
            edits: vec![
                ("[database]\n", section("root", "a", "")),
                (APP_LOGIN, "acl = \"+@read +set +acl|whoami +echo (+del ~tmp:*) ~app:*\"".to_owned()),
            ],
            ..setup(version, "", "")
        });
        let mut client = world.client("app");
        client.talk(&[("ACL WHOAMI", "$respgate:a:user:app"), ("SET app:k v", "+OK"), ("DEL tmp:k", ":0")]);
        assert!(client.ask("SET k v").starts_with("-NOPERM"), "{version:?}");
        assert!(client.ask("INCR app:k").starts_with("-NOPERM"), "{version:?}");
        world.client("ops").talk(&[("ACL WHOAMI", "$ops")]);
        let mut root = world.redis.client("root");
        let [line] = &users(&mut root, "respgate:")[..] else { panic!("one user") };
        assert!(line.contains(" on ") && line.contains(" #") && !line.contains("nopass"), "{line}");
        assert_eq!(line.matches('#').count(), 1, "{line}");
        // Those of the configuration of Redis, as they were.
        assert_eq!(users(&mut root, "").len(), crate::backend::USERS.len() + 2, "{version:?}");
        // It ends, and they with it.
        world.restart(rustix::process::Signal::TERM);
        world.client("app").talk(&[("ACL WHOAMI", "$respgate:a:user:app")]);
        world.gateway.signal(rustix::process::Signal::TERM);
        world.gateway.wait_end();
        assert_eq!(users(&mut root, "respgate:"), Vec::<String>::new(), "{version:?}");
        assert_eq!(users(&mut root, "").len(), crate::backend::USERS.len() + 1, "{version:?}");
    }
}

#[test]
fn users_go_at_the_end_even_if_the_connection_to_who_made_them_was_lost() {
    let mut world = ordinary(Version::System);
    let mut root = world.redis.client("root");
    assert_eq!(users(&mut root, "respgate:").len(), 2);
    root.talk(&[("CLIENT KILL USER root", ":1")]);
    world.gateway.signal(rustix::process::Signal::TERM);
    world.gateway.wait_end();
    assert_eq!(users(&mut root, "respgate:"), Vec::<String>::new());
}

#[test]
fn passwords_are_rotated_under_load_and_nothing_fails() {
    for version in [Version::System, Version::Redis8] {
        let world = World::with(setup(version, "~* &* +@all", ", rotate_every_s = 1"));
        let mut root = world.redis.client("root");
        let workers = Workers::start(&world, &["app", "ops"]);
        let rekeyed = || world.gateway.metric("respgate_provisioning_changes_total", "rekeyed");
        let (before, start) = (users(&mut root, "respgate:a:user:app"), Instant::now());
        // Of two users: a password is added, another is made the first, the former is taken away.
        wait_until("two rotations", || {
            workers.work(50);
            rekeyed() >= 12.0
        });
        let ledger = workers.call_off();
        say(&format!(
            "{version:?}: two rotations of two users in {:.1?}, {} increments, {} failed",
            start.elapsed(),
            ledger.acknowledged(),
            ledger.not_sent() + ledger.unknown()
        ));
        ledger.audit(&mut root);
        assert_eq!((ledger.not_sent(), ledger.unknown()), (0, 0));
        assert_ne!(users(&mut root, "respgate:a:user:app"), before);
        assert!(world.gateway.stderr.all().iter().all(|line| !line.contains(LOST)));
    }
}

#[test]
fn redis_that_starts_without_its_users_gets_them_back_while_clients_run() {
    for version in [Version::System, Version::Redis8] {
        let mut world = ordinary(version);
        world.announce(LOST);
        world.announce("cannot be looked after");
        let mut clients: Vec<Client> = (0..8).map(|_| world.client("app")).collect();
        for client in &mut clients {
            client.talk(&[("SET k v", "+OK")]);
        }
        let mut longest = Duration::ZERO;
        for _ in 0..5 {
            world.redis.kill();
            for client in &mut clients {
                assert!(client.ask("SET k v").starts_with("-ERR respgate: "));
            }
            world.redis.resume();
            let start = Instant::now();
            for client in &mut clients {
                wait_until("served again", || client.ask("SET k v") == "+OK");
            }
            longest = longest.max(start.elapsed());
        }
        say(&format!(
            "{version:?}: 5 restarts without an ACL file: served again after {longest:.1?} at most"
        ));
        clients[0].talk(&[("ACL WHOAMI", "$respgate:a:user:app")]);
    }
}

#[test]
fn what_is_done_to_users_at_redis_is_put_right() {
    for version in [Version::System, Version::Redis8] {
        let mut setup = setup(version, "~* &* +@all", "");
        setup.edits[0].1 = section("late", "a", "");
        setup.users.push(crate::world::User {
            name: "late",
            subject: "CN=late,O=Acme",
            redis_user: "late",
            commands: "\"default\"",
        });
        setup.limits = "connect_timeout_ms = 500\nreconnect_max_ms = 100\nprovisioning_check_ms = 200";
        let world = World::with(setup);
        world.announce(LOST);
        let (mut root, mut client) = (world.redis.client("root"), world.client("app"));
        // Whoever makes users needs no other rights.
        let few = "ACL SETUSER late reset on >canary-late +acl|list +acl|setuser +acl|deluser";
        root.talk(&[(few, "+OK")]);
        client.talk(&[("ACL WHOAMI", "$respgate:a:user:app")]);
        let before = users(&mut root, "respgate:");
        for deed in [
            "ACL DELUSER respgate:a:user:app",
            "ACL LOAD",
            "ACL SETUSER respgate:a:user:app -set",
            "ACL SETUSER respgate:a:user:app off",
            "ACL SETUSER respgate:a:user:app resetpass",
            "ACL SETUSER respgate:a:user:ops nopass",
        ] {
            let answer = root.ask(deed);
            assert!(answer == "+OK" || answer == ":1", "{deed}: {answer}");
            if deed == "ACL LOAD" {
                // Redis 7.0 closes every connection.
                root = world.redis.client("root");
                root.talk(&[(few, "+OK")]);
            }
            wait_until(deed, || users(&mut root, "respgate:") == before);
            wait_until(deed, || world.client("app").ask("SET k v") == "+OK");
        }
    }
}

/// A configuration of the world's for a second gateway, with this instance.
fn second(world: &World, instance: &str) -> Gateway {
    let text = std::fs::read_to_string(world.path("respgate.toml")).expect("written at start");
    let text = text.replace("instance = \"a\"", &format!("instance = \"{instance}\""));
    let text = text.replace("audit.jsonl", "second.jsonl");
    std::fs::write(world.path("second.toml"), text).expect("writable");
    Gateway::start(&world.path("second.toml"), None)
}

#[test]
fn two_gateways_of_one_database_do_not_touch_each_others_users() {
    let world = ordinary(Version::System);
    let mut root = world.redis.client("root");
    let mut other = second(&world, "b");
    let mut client = Client::tls(other.address, world.tls("app")).expect("it is let in");
    client.talk(&[("ACL WHOAMI", "$respgate:b:user:app")]);
    world.client("app").talk(&[("ACL WHOAMI", "$respgate:a:user:app")]);
    let (ours, theirs) = (users(&mut root, "respgate:a:"), users(&mut root, "respgate:b:"));
    assert_eq!((ours.len(), theirs.len()), (2, 2));
    drop(client);
    other.signal(rustix::process::Signal::TERM);
    other.wait_end();
    assert_eq!(complaint(&other.stderr.all(), &[]), None);
    assert_eq!(users(&mut root, "respgate:b:"), Vec::<String>::new());
    assert_eq!(users(&mut root, "respgate:a:"), ours);
    world.client("app").talk(&[("SET k v", "+OK")]);
}

/// A mistake, told loudly; and both are served.
#[test]
fn two_gateways_of_one_instance_say_so_and_do_not_fight() {
    let mut setup = setup(Version::System, "~* &* +@all", "");
    setup.limits = "connect_timeout_ms = 500\nreconnect_max_ms = 100\nprovisioning_check_ms = 100";
    let world = World::with(setup);
    world.announce(LOST);
    world.announce("another gateway of the same instance");
    let mut root = world.redis.client("root");
    let mut other = second(&world, "a");
    let two = |line: &String| line.matches('#').count() == 2;
    wait_until("both passwords are good", || users(&mut root, "respgate:a:").iter().all(two));
    for user in ["user:app", "user:ops"] {
        // The last that is said of what it has done.
        let is_told =
            |line: &str| line.contains("another gateway of the same instance") && line.contains(user);
        world.gateway.stderr.wait_for("of the other gateway", is_told);
    }
    let said = world.gateway.stderr.count();
    let lines = users(&mut root, "respgate:a:");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(users(&mut root, "respgate:a:"), lines, "they fight");
    assert!(world.gateway.stderr.after(said).iter().all(|line| !line.contains("provisioned")));
    for address in [world.gateway.address, other.address] {
        let mut client = Client::tls(address, world.tls("app")).expect("it is let in");
        client.talk(&[("ACL WHOAMI", "$respgate:a:user:app")]);
    }
    other.signal(rustix::process::Signal::TERM);
    other.wait_end();
    let announced = [LOST, "another gateway of the same instance"].map(str::to_owned);
    assert_eq!(complaint(&other.stderr.all(), &announced), None);
    assert!(users(&mut root, "respgate:a:").iter().all(|line| line.matches('#').count() == 1));
    world.client("app").talk(&[("ACL WHOAMI", "$respgate:a:user:app")]);
}

#[test]
fn a_reload_changes_users_and_one_that_redis_refuses_changes_nothing() {
    let world = ordinary(Version::System);
    world.announce("reload refused");
    world.announce("nothing was reloaded");
    let mut root = world.redis.client("root");
    let mut client = world.client("app");
    client.talk(&[("SET k v", "+OK")]);
    let before = users(&mut root, "respgate:a:");
    let rules = |setup: &mut Setup, acl: &str| setup.edits[1].1 = format!("acl = \"{acl}\"");
    // Redis' own words are told.
    world.write_again(|setup| rules(setup, "~* +@all +@nonsense"));
    let told = world.gateway.stderr.count();
    world.gateway.signal(rustix::process::Signal::HUP);
    let line =
        world.gateway.stderr.wait_after(told, "of the refusal", |line| line.contains("reload refused"));
    assert!(line.contains("+@nonsense"), "{line}");
    world.gateway.stderr.wait_after(told, "of the end", |line| line.contains("nothing was reloaded"));
    assert_eq!(users(&mut root, "respgate:a:"), before);
    // One has fewer rights, without a new login.
    world.write_again(|setup| rules(setup, "~* +@read +echo"));
    world.reload();
    wait_until("fewer rights", || client.ask("SET k v").starts_with("-NOPERM"));
    client.talk(&[("GET k", "$v")]);
    // Another is a user of Redis again, and what was made for it goes.
    world.write_again(|setup| drop(setup.edits.remove(2)));
    world.reload();
    let mut ops = world.client("ops");
    wait_until("its own user", || ops.ask("ACL WHOAMI") == "$ops");
    wait_until("it is removed", || users(&mut root, "respgate:a:user:ops").is_empty());
    client.talk(&[("GET k", "$v")]);
}

#[test]
fn a_database_that_a_reload_removes_is_left_without_its_users() {
    let world = ordinary(Version::System);
    let mut root = world.redis.client("root");
    world.client("app").talk(&[("ACL WHOAMI", "$respgate:a:user:app")]);
    // The same under another name: they are that one's from now on, and the one that goes leaves them alone.
    world.write_again(|setup| setup.edits[0].1 += "name = \"other\"\n");
    world.reload();
    let until = Instant::now() + Duration::from_secs(3);
    let mut is_let_in = false;
    while Instant::now() < until {
        is_let_in |= world.client("app").ask("ACL WHOAMI") == "$respgate:a:user:app";
        assert_eq!(users(&mut root, "respgate:a:").len(), 2);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(is_let_in);
    // Gone, and another one in its place that makes none.
    world.write_again(|setup| {
        setup.edits = vec![("[database]\n", "[database]\nname = \"third\"\n".to_owned())];
    });
    world.reload();
    wait_until("they are removed", || users(&mut root, "respgate:a:").is_empty());
    world.client("app").talk(&[("ACL WHOAMI", "$app")]);
    assert_eq!(world.gateway.metric("respgate_provisioning_failing", ""), 0.0);
}

fn check(world: &World, name: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_respgate"));
    command.args(["check", "--connect", "--config"]).arg(world.path(name));
    let output = command.output().expect("built");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn check_connect_shows_what_would_be_made_and_makes_nothing() {
    for version in [Version::System, Version::Redis8, Version::Valkey9] {
        let world = ordinary(version);
        let mut root = world.redis.client("root");
        root.talk(&[("ACL SETUSER respgate:b:role:old on +get", "+OK")]);
        let before = users(&mut root, "");
        let text = std::fs::read_to_string(world.path("respgate.toml")).expect("written at start");
        let other = text.replace("instance = \"a\"", "instance = \"b\"");
        std::fs::write(world.path("b.toml"), &other).expect("writable");
        let (is_good, said) = check(&world, "b.toml");
        assert!(is_good, "{said}");
        assert!(said.contains("would make respgate:b:user:app: ~* &* +@all"), "{said}");
        assert!(said.contains("would remove respgate:b:role:old"), "{said}");
        assert!(!said.contains("respgate:a:"), "{said}");
        let (is_good, said) = check(&world, "respgate.toml");
        assert!(is_good && said.contains("would change respgate:a:user:app, which is there"), "{said}");
        let bad = other.replace("~* &* +@all", "~* +nonsense");
        std::fs::write(world.path("bad.toml"), bad).expect("writable");
        let (is_good, said) = check(&world, "bad.toml");
        assert!(!is_good && said.contains("refuses the acl of respgate:b:user:app: ERR"), "{said}");
        assert!(said.contains("+nonsense"), "{said}");
        let locked = other.replace("redis_user = \"root\"", "redis_user = \"nobody\"");
        std::fs::write(world.path("locked.toml"), locked).expect("writable");
        let (is_good, said) = check(&world, "locked.toml");
        assert!(!is_good && said.contains("cannot be asked as \"nobody\""), "{said}");
        assert_eq!(users(&mut root, ""), before, "{version:?}");
    }
}
