//! What whoever operates the gateway does with it: reload, drain, watch.

use std::io::Write;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::ioctl_fionread;
use rustix::process::Signal;

use crate::pki::{Leaf, pki};
use crate::wire::PATIENCE;
use crate::world::{APP, NARROW, OPS, ROOT, Setup, User, World};

const LATE: User =
    User { name: "late", subject: "CN=late,O=Acme", redis_user: "late", commands: "\"default\"" };

/// Connects as somebody until the gateway lets them in, or has refused for too long.
fn wait_until_let_in(world: &World, user: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut client = world.client(user);
        let _ = client.try_write(b"*2\r\n$3\r\nACL\r\n$6\r\nWHOAMI\r\n");
        if client.try_read().is_ok_and(|value| value.to_string() == format!("${user}")) {
            return;
        }
        assert!(Instant::now() < deadline, "{user} is still refused");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_reload_cuts_who_was_removed_lets_in_who_was_added_and_keeps_the_rest() {
    let world = World::start();
    let (mut app, mut ops) = (world.client("app"), world.client("ops"));
    app.talk(&[("SET k v", "+OK"), ("SELECT 3", "+OK"), ("CLIENT SETNAME kept", "+OK")]);
    let mut blocked = world.client("ops");
    blocked.send("BLPOP q 0");
    let mut watching = world.client("app");
    watching.talk(&[("WATCH k", "+OK"), ("MULTI", "+OK")]);
    ops.talk(&[("PING", "+PONG")]);

    world.write_users(&[APP, ROOT, NARROW, LATE]);
    world.gateway.signal(Signal::HUP);
    let start = Instant::now();
    ops.read_to_end();
    blocked.read_to_end();
    assert!(start.elapsed() < Duration::from_secs(5), "cut only after {:?}", start.elapsed());
    let record = world.wait_audit("of their end", |record| record["outcome"] == "ended");
    assert_eq!((&record["user"], &record["reason"]), (&"ops".into(), &"no_mapping".into()), "{record}");
    assert_eq!(record["subject"], "CN=ops,O=Acme");
    let deadline = Instant::now() + Duration::from_secs(10);
    while world.gateway.metric("respgate_clients_ended_total", "no_mapping") < 2.0 {
        assert!(Instant::now() < deadline, "who is ended is not counted");
        std::thread::sleep(Duration::from_millis(50));
    }
    wait_until_let_in(&world, "late");
    let mut refused = world.client("ops");
    let line = String::from_utf8_lossy(&refused.read_to_end()).into_owned();
    assert!(line.starts_with("-NOPERM no user is mapped to this certificate"), "{line}");
    app.talk(&[("CLIENT GETNAME", "$kept"), ("SELECT 0", "+OK"), ("GET k", "$v")]);
    watching.talk(&[("SET k w", "+QUEUED"), ("EXEC", "[+OK]")]);
}

/// ES-16, for a mapping file that is broken.
#[test]
fn a_broken_configuration_leaves_the_old_one_in_force() {
    let world = World::start();
    let mut app = world.client("app");
    app.talk(&[("PING", "+PONG")]);
    let good = std::fs::read_to_string(world.path("respgate.toml")).expect("written at start");
    std::fs::write(world.path("roles.toml"), "[roles_mapping.admin]\nuser = [\"app\"]\n").expect("writable");
    let broken = [
        good.clone() + "\n[nonsense]\nkey = 1\n",
        good.replace("CN=app,O=Acme", "/O=Acme/CN=app"),
        good.replace("server.crt", "nowhere.crt"),
        format!("role_mapping_file = \"roles.toml\"\n{good}"),
        "not TOML at all [".to_owned(),
        String::new(),
    ];
    world.announce("reload refused");
    world.announce("nothing was reloaded");
    world.announce("in the configuration that is refused");
    for text in broken {
        let before = world.gateway.stderr.all().len();
        std::fs::write(world.path("respgate.toml"), &text).expect("writable");
        world.gateway.signal(Signal::HUP);
        let deadline = Instant::now() + Duration::from_secs(10);
        while !world.gateway.stderr.all()[before..].iter().any(|line| line.contains("\"ERROR\"")) {
            assert!(Instant::now() < deadline, "nothing was logged of {text:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        app.talk(&[("ACL WHOAMI", "$app")]);
        world.client("ops").talk(&[("ACL WHOAMI", "$ops")]);
    }
    world.write_users(&[APP, OPS, ROOT, NARROW, LATE]);
    world.gateway.signal(Signal::HUP);
    wait_until_let_in(&world, "late");
    app.talk(&[("ACL WHOAMI", "$app")]);
}

/// Nobody writes to it, and then somebody who does not go on.
#[test]
fn a_pipe_in_the_place_of_a_file_keeps_nobody_from_asking_or_ending_the_gateway() {
    let mut world = World::start();
    let mut app = world.client("app");
    let password = world.path("app.password");
    std::fs::remove_file(&password).expect("it is there");
    mknodat(CWD, &password, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("writable");
    world.announce("reload refused");
    world.announce("nothing was reloaded");
    world.gateway.signal(Signal::HUP);
    let refused = |line: &str| line.contains("it is a pipe that nobody writes to");
    world.gateway.stderr.wait_for("of the pipe", refused);
    // Open for both, it waits for nobody.
    let mut pipe = std::fs::File::options().read(true).write(true).open(&password).expect("a pipe");
    pipe.write_all(b"canary-").expect("room for it");
    world.gateway.signal(Signal::HUP);
    let deadline = Instant::now() + PATIENCE;
    while ioctl_fionread(&pipe).expect("a pipe") > 0 {
        assert!(Instant::now() < deadline, "the reload does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    app.talk(&[("ACL WHOAMI", "$app")]);
    assert_eq!(world.gateway.get("/readyz").0, 200);
    drop(app);
    world.gateway.signal(Signal::TERM);
    assert!(world.gateway.wait_end().success());
}

#[test]
fn what_needs_a_restart_is_said_at_each_reload_until_it_is_as_at_the_start() {
    let world = World::start();
    let good = std::fs::read_to_string(world.path("respgate.toml")).expect("written at start");
    let other = good.replace("format = \"json\"", "format = \"json\"\nlevel = \"debug\"");
    assert_ne!(other, good);
    world.announce("this change needs a restart");
    for (text, warns) in [(&other, true), (&other, true), (&good, false), (&good, false), (&other, true)] {
        let before = world.gateway.stderr.count();
        std::fs::write(world.path("respgate.toml"), text).expect("writable");
        world.reload();
        let said = world.gateway.stderr.after(before);
        let warned = said.iter().filter(|line| line.contains("\"log.level\"")).count();
        assert_eq!(warned, usize::from(warns), "{said:?}");
    }
}

#[test]
fn a_new_server_certificate_is_shown_after_a_reload() {
    let world = World::start();
    let mut app = world.client("app");
    let serial = |world: &World| world.client("app").server_certificate().expect("TLS");
    let old = serial(&world);
    pki().trusted.issue(Leaf::server(&["localhost"])).write(&world.path(""), "server");
    world.gateway.signal(Signal::HUP);
    let deadline = Instant::now() + Duration::from_secs(10);
    while serial(&world) == old {
        assert!(Instant::now() < deadline, "still the old certificate");
        std::thread::sleep(Duration::from_millis(50));
    }
    app.talk(&[("PING", "+PONG")]);
}

#[test]
fn many_reloads_under_load_lose_nothing() {
    let world = World::start();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for user in ["app", "ops"] {
            let mut client = world.client(user);
            let done = &done;
            scope.spawn(move || {
                let mut n = 0;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    n += 1;
                    let (count, who) = (format!(":{n}"), format!("${user}"));
                    let key = format!("INCR n:{user}");
                    client.pipeline(&[(&key, &count), ("ACL WHOAMI", &who), ("BLPOP none 0.001", "nil")]);
                }
            });
        }
        for round in 0..20 {
            let users: &[User] = if round % 2 == 0 { &[APP, OPS, LATE] } else { &[OPS, APP] };
            world.write_users(users);
            world.gateway.signal(Signal::HUP);
            std::thread::sleep(Duration::from_millis(50));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn a_terminated_gateway_finishes_what_it_was_asked_and_then_ends() {
    let mut world = World::with(Setup { limits: "drain_timeout_ms = 5000", ..Setup::default() });
    let mut idle = world.client("app");
    idle.talk(&[("PING", "+PONG")]);
    let mut waiting = world.client("app");
    waiting.send("BLPOP q 1");
    waiting.expect_silence(Duration::from_millis(100));
    world.gateway.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(waiting.read().to_string(), "nil");
    waiting.read_to_end();
    idle.read_to_end();
    let status = world.gateway.wait_end();
    assert!(status.success(), "{status}");
}

#[test]
fn a_second_signal_ends_the_drain_at_once() {
    let mut world = World::start();
    let mut waiting = world.client("app");
    waiting.send("BLPOP q 0");
    waiting.expect_silence(Duration::from_millis(100));
    world.gateway.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    assert!(world.gateway.is_running(), "it did not wait for the client");
    world.announce("stopped before all clients had ended");
    world.gateway.signal(Signal::TERM);
    let start = Instant::now();
    world.gateway.wait_end();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn pipelines_under_way_at_a_termination_are_answered() {
    for _ in 0..3 {
        let mut world = World::with(Setup { limits: "drain_timeout_ms = 5000", ..Setup::default() });
        let mut clients: Vec<_> = (0..8).map(|_| world.client("app")).collect();
        for client in &mut clients {
            client
                .write(&(0..500).flat_map(|n| crate::resp::typed(&format!("ECHO {n}"))).collect::<Vec<u8>>());
        }
        // Its first reply shows that the pipeline has arrived.
        clients.iter_mut().for_each(|client| assert_eq!(client.read().to_string(), "$0"));
        world.gateway.signal(Signal::TERM);
        for client in &mut clients {
            for n in 1..500 {
                assert_eq!(client.read().to_string(), format!("${n}"));
            }
            client.expect_end();
        }
        assert!(world.gateway.wait_end().success());
    }
}

#[test]
fn metrics_tell_who_is_there_and_what_was_carried() {
    let world = World::start();
    let mut client = world.client("app");
    for _ in 0..100 {
        client.talk(&[("PING", "+PONG")]);
    }
    let (status, body) = world.gateway.get("/metrics");
    assert_eq!(status, 200);
    assert!(body.contains("# TYPE respgate_"), "{body}");
    assert!(!body.contains("canary-"), "a password in the metrics");
    assert!(!body.contains("Acme"), "a subject in the metrics");
    let deadline = Instant::now() + Duration::from_secs(10);
    while world.gateway.metric("respgate_requests_total", "") < 100.0 {
        assert!(Instant::now() < deadline, "requests are not counted:\n{}", world.gateway.get("/metrics").1);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(world.gateway.get("/healthz").0, 200);
    assert_eq!(world.gateway.get("/readyz").0, 200);
    assert_eq!(world.gateway.get("/nowhere").0, 404);
}

#[test]
fn audit_records_go_to_standard_output_where_no_file_is_named() {
    let world = World::with(Setup { audit: "", ..Setup::default() });
    world.client("app").talk(&[("PING", "+PONG")]);
    let line = world.gateway.stdout.wait_for("of the accepted client", |line| line.contains("CN=app,O=Acme"));
    let record: serde_json::Value = serde_json::from_str(&line).expect("a JSON line");
    assert_eq!((&record["outcome"], &record["user"]), (&"accepted".into(), &"app".into()));
}

#[test]
fn what_clients_leave_behind_is_freed() {
    let world = World::start();
    let mut one = world.client("app");
    one.talk(&[("PING", "+PONG")]);
    let before = world.gateway.open_files();
    for round in 0..10 {
        let mut clients: Vec<_> = (0..20).map(|_| world.client("app")).collect();
        for client in &mut clients {
            match round % 4 {
                0 => client.send("SUBSCRIBE news"),
                1 => client.send("BLPOP none 0"),
                2 => client.write(b"*2\r\n$3\r\nGET"),
                _ => client.send("MULTI"),
            }
        }
    }
    let deadline = Instant::now() + Duration::from_secs(15);
    // A few greeted links may be kept warm.
    while world.gateway.open_files() > before + 12 {
        assert!(Instant::now() < deadline, "{} files, {before} before", world.gateway.open_files());
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut root = world.redis.client("root");
    root.talk(&[("PUBSUB NUMSUB news", "[$news, :0]")]);
    one.talk(&[("PING", "+PONG")]);
}
