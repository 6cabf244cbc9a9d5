//! Passwords that a program yields, and a Redis that knows no users.

use std::path::Path;
use std::time::{Duration, Instant};

use super::given::wait_until_taken;
use crate::backend::Version;
use crate::ledger::Workers;
use crate::pki::write_secret;
use crate::wire::{Client, PATIENCE};
use crate::world::{APP, LOST, OPS, ROOT, Setup, World};

const APP_LOGIN: &str = "redis_user = \"app\"\nredis_password_file = \"app.password\"";

/// Prints what is in `token`, and notes that it has run.
const PROGRAM: &str = "cd \"$(dirname \"$0\")\"; echo run >> runs; \
    if test -e broken; then echo canary-app; echo no token today >&2; exit 3; fi; cat token";

/// Prints it when it is let. Of a gateway that is killed it would stay behind.
const SLOW: &str =
    "cd \"$(dirname \"$0\")\"; until test -e go; do test -e slow || exit 1; sleep 0.05; done; cat token";

/// The login by a program.
fn login(program: &Path, refresh_s: u64) -> String {
    format!(
        "redis_user = \"app\"\nredis_password_command = [\"sh\", \"{}\"]\nredis_password_refresh_s = {refresh_s}",
        program.display()
    )
}

fn world(version: Version) -> World {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.keep();
    write_secret(&path.join("program"), PROGRAM);
    write_secret(&path.join("slow"), SLOW);
    write_secret(&path.join("token"), "canary-app\n");
    let login = login(&path.join("program"), 1);
    World::with(Setup {
        version,
        limits: "connect_timeout_ms = 500\nreconnect_max_ms = 100",
        edits: vec![(APP_LOGIN, login)],
        ..Setup::default()
    })
}

/// Where the program is.
fn place(world: &World) -> std::path::PathBuf {
    let text = std::fs::read_to_string(world.path("respgate.toml")).expect("written at start");
    let path = text.split('"').find(|word| word.ends_with("/program")).expect("it is named");
    std::path::PathBuf::from(path).parent().expect("a directory").to_owned()
}

/// Waits until it has run so many times more.
fn wait_for_runs(world: &World, more: usize) {
    let runs = || std::fs::read_to_string(place(world).join("runs")).unwrap_or_default().lines().count();
    let (wanted, deadline) = (runs() + more, Instant::now() + PATIENCE);
    while runs() < wanted {
        assert!(Instant::now() < deadline, "the program is not run any more");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until so many are there.
fn wait_for_clients(world: &World, count: f64) {
    let deadline = Instant::now() + PATIENCE;
    while world.gateway.metric("respgate_clients", "") != count {
        assert!(Instant::now() < deadline, "it is not {count} that are there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_token_is_fetched_again_before_it_ends_and_a_failure_keeps_the_last_one() {
    for version in [Version::System, Version::Redis8] {
        let world = world(version);
        world.announce("no password from its command");
        let mut root = world.redis.client("root");
        let workers = Workers::start(&world, &["app"]);
        workers.work(200);
        root.talk(&[("ACL SETUSER app >canary-second", "+OK")]);
        write_secret(&place(&world).join("token"), "canary-second");
        // The first of them may have begun before.
        wait_for_runs(&world, 3);
        root.talk(&[("ACL SETUSER app <canary-app", "+OK")]);
        workers.work(200);
        world.client("app").talk(&[("WATCH k", "+OK"), ("ACL WHOAMI", "$app")]);
        // Nothing that a program prints is told, but its complaint.
        std::fs::write(place(&world).join("broken"), "").expect("writable");
        let line = world.gateway.stderr.wait_for("of the failure", |line| line.contains("no password from"));
        assert!(line.contains("no token today") && line.contains("the last one stays"), "{line}");
        workers.work(200);
        world.client("app").talk(&[("WATCH k", "+OK"), ("ACL WHOAMI", "$app")]);
        std::fs::remove_file(place(&world).join("broken")).expect("it is there");
        world.gateway.stderr.wait_for("of the recovery", |line| line.contains("works again"));
        let ledger = workers.call_off();
        ledger.audit(&mut root);
        assert_eq!((ledger.not_sent(), ledger.unknown()), (0, 0));
        assert!(world.gateway.metric("respgate_password_commands_failed_total", "") >= 1.0);
        std::fs::remove_dir_all(place(&world)).expect("ours");
    }
}

/// Whoever comes while the new program runs, and whoever is there and needs another link, goes by
/// the last token of the one before.
#[test]
fn a_reload_to_another_command_keeps_the_last_token_until_the_new_one_is_in_use() {
    let world = world(Version::System);
    let place = place(&world);
    let mut root = world.redis.client("root");
    let workers = Workers::start(&world, &["app"]);
    workers.work(200);
    world.write_again(|setup| setup.edits = vec![(APP_LOGIN, login(&place.join("slow"), 1))]);
    world.reload();
    let mut comers: Vec<Client> = (0..4).map(|_| world.client("app")).collect();
    for (client, db) in comers.iter_mut().zip(1..) {
        client.talk(&[(&format!("SELECT {db}"), "+OK"), ("ACL WHOAMI", "$app")]);
        client.talk(&[("MULTI", "+OK"), ("ACL WHOAMI", "+QUEUED"), ("EXEC", "[$app]")]);
    }
    drop(comers);
    workers.work(200);
    root.talk(&[("ACL SETUSER app >canary-second", "+OK")]);
    write_secret(&place.join("token"), "canary-second");
    std::fs::write(place.join("go"), "").expect("writable");
    wait_until_taken(&world, 0);
    root.talk(&[("ACL SETUSER app <canary-app", "+OK")]);
    workers.work(200);
    world.client("app").talk(&[("SELECT 9", "+OK"), ("WATCH k", "+OK"), ("ACL WHOAMI", "$app")]);
    let ledger = workers.call_off();
    ledger.audit(&mut root);
    assert_eq!((ledger.not_sent(), ledger.unknown()), (0, 0));
    std::fs::remove_dir_all(place).expect("ours");
}

/// Who was there has left, and its link works still.
#[test]
fn who_comes_after_a_reload_to_another_command_goes_by_the_last_token_as_well() {
    let world = world(Version::System);
    let place = place(&world);
    // One at each worker.
    let mut first: Vec<Client> = (0..2).map(|_| world.client("app")).collect();
    first.iter_mut().for_each(|client| client.talk(&[("ACL WHOAMI", "$app")]));
    wait_for_clients(&world, 2.0);
    drop(first);
    wait_for_clients(&world, 0.0);
    world.write_again(|setup| setup.edits = vec![(APP_LOGIN, login(&place.join("slow"), 1))]);
    world.reload();
    for _ in 0..4 {
        world.client("app").talk(&[("ACL WHOAMI", "$app"), ("SELECT 5", "+OK"), ("WATCH k", "+OK")]);
    }
    std::fs::remove_dir_all(place).expect("ours");
}

#[test]
fn a_reload_that_changes_how_often_a_command_is_run_keeps_its_token() {
    let world = world(Version::System);
    let place = place(&world);
    world.announce("no password from its command");
    world.announce(LOST);
    let mut client = world.client("app");
    client.talk(&[("ACL WHOAMI", "$app")]);
    std::fs::write(place.join("broken"), "").expect("writable");
    world.write_again(|setup| setup.edits = vec![(APP_LOGIN, login(&place.join("program"), 2))]);
    world.reload();
    let before = world.gateway.stderr.count();
    let failed = |line: &str| line.contains("no password from its command");
    let line = world.gateway.stderr.wait_after(before, "of the failure", failed);
    assert!(line.contains("the last one stays in use"), "{line}");
    let mut root = world.redis.client("root");
    assert_ne!(root.ask("CLIENT KILL USER app"), ":0");
    world.client("app").talk(&[("ACL WHOAMI", "$app"), ("WATCH k", "+OK")]);
    std::fs::remove_dir_all(place).expect("ours");
}

/// Redis may know nobody but `default`: then commands tells what each may do.
#[test]
fn a_redis_without_users_is_given_the_password_alone() {
    let own = |user: &str| format!("redis_user = \"{user}\"\nredis_password_file = \"{user}.password\"");
    let logins = [own("app"), own("ops"), own("root")].map(|text| &*Box::leak(text.into_boxed_str()));
    let database = "[database]\nauth = \"password\"\nredis_password_file = \"default.password\"\n";
    let mut edits = vec![("[database]\n", database.to_owned())];
    edits.extend(logins.map(|login: &'static str| (login, String::new())));
    let world = World::with_unready(Setup {
        users: vec![APP, OPS, ROOT],
        files: vec![("default.password", "canary-default".to_owned())],
        edits,
        ..Setup::default()
    });
    world.announce("one_redis_user");
    world.announce(LOST);
    let mut root = world.redis.client("root");
    root.talk(&[("ACL SETUSER default on >canary-default ~* &* +@all", "+OK")]);
    for user in ["app", "ops", "root"] {
        let (mut client, deadline) = (world.client(user), Instant::now() + PATIENCE);
        while client.ask("ACL WHOAMI") != "$default" {
            assert!(Instant::now() < deadline, "{user} is not let in");
        }
        client.talk(&[("SET k v", "+OK"), ("MULTI", "+OK"), ("GET k", "+QUEUED"), ("EXEC", "[$v]")]);
    }
    // Redis holds nobody back; the gateway does.
    assert!(world.client("app").ask("CONFIG SET maxmemory 0").starts_with("-NOPERM"));
    world.client("root").talk(&[("CONFIG SET maxmemory 0", "+OK")]);
}
