//! What an operator is told of backends that fail: by `/readyz`, the metrics, the log and the audit.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{NOT_SENT, ask_until_answered, free_port, world_over_tcp};
use crate::log::Event;
use crate::pki::write_secret;
use crate::wire::{Client, PATIENCE};
use crate::world::{APP, LOST, Setup, World};

/// Waits until `/readyz` answers so, with this in its text.
fn wait_told(world: &World, status: u16, part: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (got, body) = world.gateway.get("/readyz");
        if got == status && body.contains(part) {
            return body;
        }
        assert!(Instant::now() < deadline, "{got}, and no {part:?} in {body}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Asks until the answer begins so.
fn ask_until(client: &mut Client, command: &str, start: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = client.ask(command);
        if answer.starts_with(start) {
            return;
        }
        assert!(Instant::now() < deadline, "still {answer}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_dead_backend_is_named_with_the_cause_and_not_in_every_line() {
    let (mut world, port) = world_over_tcp("");
    world.announce(LOST);
    let mut clients = ["app", "app", "ops", "ops"].map(|user| world.client(user));
    clients.iter_mut().for_each(|client| client.talk(&[("ECHO before", "$before")]));
    world.gateway.wait_metric("respgate_backend_up", "database=\"default\"", |up| up == 1.0);
    world.redis.kill();
    clients.iter_mut().for_each(|client| ask_until(client, "GET k", NOT_SENT));
    let told = wait_told(&world, 503, "connect since 20");
    let start = format!("backend_unavailable\ndatabase default at 127.0.0.1:{port}: connect since ");
    assert!(told.starts_with(&start) && told.ends_with("Connection refused (os error 111)\n"), "{told}");
    let node = format!("node=\"127.0.0.1:{port}\"");
    world.gateway.wait_metric("respgate_backend_up", &node, |up| up == 0.0);
    world.gateway.wait_metric("respgate_backend_trouble", &node, |trouble| trouble == 1.0);
    world.gateway.wait_metric("respgate_backend_failures_total", "\"connect\"", |count| count >= 3.0);
    // Nothing is said twice within seconds, however often it is tried.
    for _ in 0..5 {
        clients.iter_mut().for_each(|client| client.talk(&[("GET k", NOT_SENT)]));
    }
    let lines: Vec<String> =
        world.gateway.stderr.all().into_iter().filter(|line| line.contains(LOST)).collect();
    let mut kinds: Vec<(Option<String>, Option<String>)> = lines
        .iter()
        .filter_map(|line| Event::parse(line))
        .map(|event| (event.field("redis_user").map(str::to_owned), event.field("cause").map(str::to_owned)))
        .collect();
    assert!(kinds.iter().any(|(_, cause)| cause.as_deref() == Some("connect")), "{lines:#?}");
    kinds.sort();
    // Each worker says it.
    assert!(kinds.chunk_by(|a, b| a == b).all(|same| same.len() <= 2), "{lines:#?}");
    world.redis.resume();
    for client in &mut clients {
        ask_until_answered(client, 1);
    }
    assert_eq!(wait_told(&world, 200, "ready\n"), "ready\n");
    let line = world.gateway.stderr.wait_for("of the return", |line| line.contains("answers again"));
    assert!(
        line.contains("\"database\":\"default\"") && line.contains(&format!("127.0.0.1:{port}")),
        "{line}"
    );
}

#[test]
fn a_gateway_that_its_clients_have_left_finds_out_that_redis_is_back() {
    // One worker; and several, of which one has a client that stays.
    for (workers, staying) in [(1, 0), (4, 1)] {
        let listener = "[listener]\n";
        let edits = vec![(listener, format!("workers = {workers}\n{listener}"))];
        let mut world = World::with(Setup { edits, ..Setup::default() });
        world.announce(LOST);
        let mut clients: Vec<Client> = (0..2 * workers).map(|_| world.client("app")).collect();
        clients.iter_mut().for_each(|client| client.talk(&[("ECHO before", "$before")]));
        world.redis.kill();
        clients.iter_mut().for_each(|client| ask_until(client, "GET k", NOT_SENT));
        clients.truncate(staying);
        wait_told(&world, 503, "connect since 20");
        world.redis.resume();
        assert_eq!(wait_told(&world, 200, "ready\n"), "ready\n");
        world.gateway.wait_metric("respgate_backend_up", "", |up| up == 1.0);
    }
}

#[test]
fn a_redis_that_is_away_is_told_of_though_no_client_has_come() {
    let edits = vec![
        ("[database]\n", "[[database]]\nname = \"default\"\n".to_owned()),
        ("redis_user = \"app\"\n", "redis_user = \"app\"\ndatabase = \"default\"\n".to_owned()),
    ];
    let listener = "database = \"default\"";
    let mut world = World::with(Setup { users: vec![APP], edits, listener, ..Setup::default() });
    world.announce(LOST);
    for from_the_start in [false, true] {
        world.redis.kill();
        if from_the_start {
            world.restart_unready(Signal::TERM);
        }
        wait_told(&world, 503, "database default at unix:");
        world.redis.resume();
        assert_eq!(wait_told(&world, 200, "ready\n"), "ready\n");
    }
    // And so is a database that a reload adds, by one of its users alone.
    let address = format!("127.0.0.1:{}", free_port());
    let more = format!(
        "[[database]]\nname = \"other\"\naddress = \"{address}\"\n\n\
         [[user]]\nname = \"o1\"\ncertificate_subject_line = \"CN=o1,O=Acme\"\nredis_user = \"o1\"\n\
         redis_password_file = \"app.password\"\ndatabase = \"other\"\n"
    );
    world.write_again(|setup| setup.more = more);
    world.reload();
    wait_told(&world, 200, &format!("ready\ndatabase other at {address}: connect since 20"));
}

#[test]
fn a_redis_user_that_is_refused_is_named_and_the_others_are_served() {
    let world = World::start();
    world.announce(LOST);
    let (mut app, mut ops) = (world.client("app"), world.client("ops"));
    app.talk(&[("ACL WHOAMI", "$app")]);
    ops.talk(&[("ACL WHOAMI", "$ops")]);
    let mut root = world.redis.client("root");
    root.talk(&[("ACL SETUSER ops resetpass >another", "+OK")]);
    assert_eq!(root.ask("CLIENT KILL USER ops"), ":1");
    ask_until(&mut ops, "GET k", NOT_SENT);
    let told = wait_told(&world, 200, "Redis user ops");
    assert!(told.starts_with("ready\ndatabase default at unix:"), "{told}");
    assert!(told.contains(", Redis user ops: auth since 20") && told.contains("WRONGPASS"), "{told}");
    app.talk(&[("ACL WHOAMI", "$app")]);
    world
        .gateway
        .wait_metric("respgate_backend_trouble", "redis_user=\"ops\",cause=\"auth\"", |it| it == 1.0);
    world.gateway.wait_metric("respgate_backend_up", "", |up| up == 1.0);
    let record = world.wait_audit("of the refusal", |record| record["event"] == "backend");
    assert_eq!((&record["outcome"], &record["reason"]), (&"refused".into(), &"backend_auth_failed".into()));
    assert_eq!((&record["redis_user"], &record["database"]), (&"ops".into(), &"default".into()), "{record}");
    // It is tried again even if nobody asks.
    root.talk(&[("ACL SETUSER ops >canary-ops", "+OK")]);
    let deadline = Instant::now() + PATIENCE;
    while world.gateway.get("/readyz") != (200, "ready\n".to_owned()) {
        assert!(Instant::now() < deadline, "still {:?}", world.gateway.get("/readyz"));
        std::thread::sleep(Duration::from_millis(50));
    }
    ops.talk(&[("ACL WHOAMI", "$ops")]);
    world.wait_audit("of its end", |record| record["event"] == "backend" && record["outcome"] == "accepted");
    let records = world.audit();
    let backend: Vec<_> = records.iter().filter(|record| record["event"] == "backend").collect();
    assert_eq!(backend.len(), 2, "one of the refusal, one of its end: {backend:#?}");
    assert_eq!(backend[1]["outcome"], "accepted");
}

#[test]
fn a_redis_user_that_is_refused_is_tried_when_its_clients_have_left() {
    let limits = "probe_interval_ms = 200";
    let world = World::with(Setup { users: vec![APP], limits, ..Setup::default() });
    world.announce(LOST);
    let mut root = world.redis.client("root");
    let is_told = |outcome: &'static str| {
        move |record: &serde_json::Value| record["event"] == "backend" && record["outcome"] == outcome
    };
    for in_redis in [true, false] {
        let before = world.audit().len();
        root.talk(&[("ACL SETUSER app resetpass >another", "+OK")]);
        root.ask("CLIENT KILL USER app");
        ask_until(&mut world.client("app"), "GET k", NOT_SENT);
        wait_told(&world, 503, "Redis user app: auth since 20");
        // For several intervals.
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {
            let (status, body) = world.gateway.get("/readyz");
            assert!(status == 503 && body.contains("Redis user app: auth since 20"), "{status} {body}");
        }
        world.gateway.wait_metric("respgate_backend_trouble", "cause=\"auth\"", |it| it == 1.0);
        world.wait_audit_after(before, "of the refusal", is_told("refused"));
        if in_redis {
            root.talk(&[("ACL SETUSER app >canary-app", "+OK")]);
        } else {
            write_secret(&world.path("app.password"), "another\n");
            world.reload();
        }
        assert_eq!(wait_told(&world, 200, "ready\n"), "ready\n");
        world.wait_audit_after(before, "of its end", is_told("accepted"));
    }
    world.client("app").talk(&[("ACL WHOAMI", "$app")]);
    let log = world.gateway.stderr.all();
    assert!(log.iter().any(|line| line.contains("accepts this Redis user again")), "{log:#?}");
}

#[test]
fn where_every_redis_user_is_refused_the_gateway_is_not_ready() {
    let world = World::with(Setup { users: vec![APP], ..Setup::default() });
    world.announce(LOST);
    let mut app = world.client("app");
    app.talk(&[("ACL WHOAMI", "$app")]);
    let mut root = world.redis.client("root");
    root.talk(&[("ACL SETUSER app off", "+OK")]);
    root.ask("CLIENT KILL USER app");
    ask_until(&mut app, "GET k", NOT_SENT);
    wait_told(&world, 503, "Redis user app: auth since");
    root.talk(&[("ACL SETUSER app on", "+OK")]);
    ask_until(&mut app, "ACL WHOAMI", "$app");
    world.gateway.wait_ready();
}

#[test]
fn a_server_that_loads_or_has_lost_its_master_is_told_of_in_its_own_words() {
    let world = World::with(Setup { limits: "probe_interval_ms = 200", ..Setup::default() });
    let mut app = world.client("app");
    app.talk(&[("ECHO before", "$before")]);
    let mut root = world.redis.client("root");
    root.talk(&[
        ("DEBUG POPULATE 1000", "+OK"),
        ("CONFIG SET key-load-delay 3000", "+OK"),
        ("CONFIG SET loading-process-events-interval-bytes 1024", "+OK"),
    ]);
    root.send("DEBUG RELOAD");
    // What the client is told is the server's own.
    ask_until(&mut app, "GET k", "-LOADING ");
    wait_told(&world, 503, ": loading since 20");
    assert_eq!(root.read().to_string(), "+OK");
    ask_until(&mut app, "GET k", "nil");
    world.gateway.wait_ready();

    root.talk(&[("CONFIG SET replica-serve-stale-data no", "+OK"), ("REPLICAOF 127.0.0.1 1", "+OK")]);
    ask_until(&mut app, "GET k", "-MASTERDOWN ");
    wait_told(&world, 503, ": masterdown since 20");
    root.talk(&[("REPLICAOF NO ONE", "+OK")]);
    ask_until(&mut app, "GET k", "nil");
    world.gateway.wait_ready();
}

#[test]
fn a_backend_that_speaks_no_tls_is_told_of_as_that() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let _ = socket.write_all(b"-ERR unknown command\r\n");
            let _ = socket.read(&mut [0; 1024]);
        }
    });
    let database = "[database]\n";
    let world = World::with_unready(Setup {
        database: Some(address.to_string()),
        edits: vec![(database, format!("{database}tls = {{ ca = \"ca.crt\" }}\n"))],
        ..Setup::default()
    });
    world.announce(LOST);
    ask_until(&mut world.client("app"), "GET k", NOT_SENT);
    wait_told(&world, 503, ": tls since 20");
    world.gateway.wait_metric("respgate_backend_failures_total", "\"tls\"", |count| count >= 1.0);
}
