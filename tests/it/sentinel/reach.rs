//! Reaching sentinels: over TLS and with a password, or not at all; at a start, while the
//! gateway runs, and after a reload.

use rustix::process::Signal;

use super::group::{Group, Guard, NAME};
use super::liar::Liar;
use super::{NOT_SENT, asking, led, wait_until, world};
use crate::pki::write_secret;
use crate::world::{LOST, Setup, World};

/// A world whose own Redis listens at this port as well.
fn listening(world: &World) -> u16 {
    let port = super::group::free_port();
    let set = format!("CONFIG SET port {port}");
    assert_eq!(world.redis.client("root").ask(&set), "+OK");
    port
}

#[test]
fn sentinels_are_asked_over_tls_as_a_user_who_may_do_no_more() {
    let group = Group::start(Guard::Closed);
    let gateway = world(&group);
    let mut client = gateway.client("app");
    client.talk(&[("ACL WHOAMI", "$app"), ("SET k v", "+OK")]);
    assert_eq!(group.nodes[0].ask("GET k"), "$v");
    assert_eq!(gateway.gateway.metric("respgate_sentinels_answering", ""), 3.0);
    gateway.announce("this sentinel does not answer");
    gateway.announce("too few sentinels answer");
    // A password that is wrong from now on.
    write_secret(&gateway.path("sentinel.password"), "wrong\n");
    gateway.reload();
    let log = &gateway.gateway.stderr;
    log.wait_for("of the refusal", |line| line.contains("it refused AUTH: WRONGPASS"));
    // What they have said before still holds.
    log.wait_for("of the silence", |line| line.contains("too few sentinels answer; commands go on to"));
    client.talk(&[("GET k", "$v")]);
}

#[test]
fn when_all_sentinels_are_away_the_last_master_goes_on_being_used() {
    let mut group = Group::start(Guard::Open);
    let limits =
        "sentinel_poll_interval_ms = 500\nsentinel_urgent_interval_ms = 100\nsentinel_timeout_ms = 500";
    let world = World::with(Setup { limits, ..led(group.section()) });
    world.announce("this sentinel does not answer");
    world.announce("too few sentinels answer");
    let mut client = world.client("app");
    client.talk(&[("SET k v", "+OK")]);
    // Two are gone; one hangs, and what it has said counts no longer either.
    group.sentinels[0].kill();
    group.sentinels[1].kill();
    group.sentinels[2].signal(Signal::STOP);
    let log = &world.gateway.stderr;
    let said = log.wait_for("of the silence", |line| line.contains("too few sentinels answer"));
    assert!(said.contains("commands go on to 127.0.0.1:"), "{said}");
    wait_until("nobody answers", || world.gateway.metric("respgate_sentinels_answering", "") == 0.0);
    log.wait_for("of the one that hangs", |line| line.contains("no answer in time"));
    client.talk(&[("GET k", "$v")]);
    world.client("ops").talk(&[("GET k", "$v")]);
    assert_eq!(world.gateway.get("/readyz").0, 200);
    let before = log.count();
    group.sentinels[0].resume();
    group.sentinels[2].signal(Signal::CONT);
    log.wait_after(before, "of their return", |line| line.contains("enough sentinels agree"));
    client.talk(&[("GET k", "$v")]);
}

#[test]
fn without_an_answer_nothing_is_sent_and_readyz_says_why() {
    let port = super::group::free_port();
    let world = World::with_unready(asking(&[port]));
    for announced in ["few_sentinels", "this sentinel does not answer", "too few sentinels answer", LOST] {
        world.announce(announced);
    }
    let mut client = world.client("app");
    assert_eq!(client.ask("GET k"), NOT_SENT);
    let told = world.gateway.wait_status("/readyz", 503);
    assert!(
        told.starts_with("backend_unavailable\ndatabase default at nowhere: no_master since 20"),
        "{told}"
    );
    assert!(told.ends_with(": the sentinels have not said where the master is\n"), "{told}");
    assert_eq!(world.gateway.metric("respgate_backend_up", "node=\"nowhere\""), 0.0);
    let log = &world.gateway.stderr;
    log.wait_for("of the silence", |line| line.contains("no command is sent until they do"));
    let redis = listening(&world);
    let _sentinel = Liar::start_at(port, redis);
    world.gateway.wait_ready();
    world.client("app").talk(&[("GET k", "nil")]);
}

#[test]
fn what_is_no_sentinel_is_said_to_be_none() {
    let world = World::with(Setup::default());
    world.announce(LOST);
    for announced in ["few_sentinels", "this sentinel does not answer", "too few sentinels answer"] {
        world.announce(announced);
    }
    let redis = listening(&world);
    let open = "ACL SETUSER default on nopass +hello +ping";
    assert_eq!(world.redis.client("root").ask(open), "+OK");
    let mut client = world.client("app");
    client.talk(&[("SET k v", "+OK")]);
    world.write_again(|setup| *setup = Setup { files: setup.files.clone(), ..asking(&[redis]) });
    world.reload();
    let log = &world.gateway.stderr;
    log.wait_for("of the mistake", |line| line.contains("it is no sentinel, its mode is"));
    // Where the address led to is not what the sentinels would say.
    wait_until("nothing is sent", || client.ask("GET k") == NOT_SENT);
}

#[test]
fn check_connect_asks_the_node_that_the_sentinels_name() {
    let world = World::with(Setup::default());
    let redis = listening(&world);
    let before = world.redis.client("root").ask("ACL LIST");
    let sentinel = Liar::start(redis);
    let made = "[database]\nprovisioning = { redis_user = \"root\", redis_password_file = \"root.password\", \
                instance = \"a\" }\n";
    let provisioned = |port: u16| {
        let mut setup = asking(&[port]);
        setup.edits.push(("[database]\n", made.to_owned()));
        let own = "redis_user = \"app\"\nredis_password_file = \"app.password\"";
        setup.edits.push((own, "acl = \"~* +@read\"".to_owned()));
        setup
    };
    let check = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_respgate"));
        let output = command.args(["check", "--connect", "--config"]).arg(world.path("respgate.toml"));
        let output = output.output().expect("built");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    world.write_again(|setup| *setup = provisioned(sentinel.port));
    let (is_good, said) = check();
    let wanted = format!("\n127.0.0.1:{redis}: would make respgate:a:user:app: ~* +@read\n");
    assert!(is_good && said.contains(&wanted), "{said}");
    assert_eq!(world.redis.client("root").ask("ACL LIST"), before, "nothing is changed");
    // A sentinel that is not there, one that is none, and a master that it does not know.
    let nobody = super::group::free_port();
    for (port, why) in [(nobody, "0 of 1 sentinels answer; "), (redis, "it refused HELLO 3: NOAUTH ")] {
        world.write_again(|setup| *setup = provisioned(port));
        let (is_good, said) = check();
        let start = format!("\nmaster {NAME}, by its sentinels: cannot be asked as \"root\": ");
        assert!(!is_good && said.contains(&start) && said.contains(why), "{said}");
    }
}

#[test]
fn a_reload_leads_from_an_address_to_sentinels_and_back() {
    let world = World::with(Setup::default());
    world.announce("few_sentinels");
    world.announce(LOST);
    let redis = listening(&world);
    let sentinel = Liar::start(redis);
    let mut client = world.client("app");
    client.talk(&[("SET k v", "+OK")]);
    world.write_again(|setup| *setup = asking(&[sentinel.port]));
    world.reload();
    let log = &world.gateway.stderr;
    log.wait_for("of the master", |line| {
        line.contains("the sentinels say where the master is") && line.contains(NAME)
    });
    world.gateway.wait_ready();
    // Connections to the address are still in use until a worker has taken over what the sentinels say.
    let there = format!("laddr=127.0.0.1:{redis} ");
    wait_until("it is answered from there", || client.ask("CLIENT LIST").contains(&there));
    client.talk(&[("GET k", "$v")]);
    world.write_again(|_| {});
    world.reload();
    wait_until("it is back", || client.ask("CLIENT LIST").contains("redis.sock"));
    client.talk(&[("GET k", "$v")]);
}
