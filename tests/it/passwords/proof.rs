//! Before and after a proof: what is answered, what is written down, and what
//! Redis sees.

use std::time::Instant;

use super::{NOAUTH, WRONG, bearer, setup, stranger, wait_refusal, world};
use crate::resp::Value;
use crate::wire::{Client, PATIENCE, is_end};
use crate::world::{Setup, World};

/// OS-01, ES-09: without a certificate a client is nobody until it says who it is.
#[test]
fn a_client_without_a_certificate_is_noauth_until_its_password_is_right() {
    let world = world();
    let mut client = stranger(&world);
    client.talk(&[
        ("PING", NOAUTH),
        ("GET k", NOAUTH),
        ("ACL WHOAMI", NOAUTH),
        ("CLIENT ID", NOAUTH),
        ("SUBSCRIBE news", NOAUTH),
        ("RESET", "+RESET"),
        ("AUTH person canary-person", "+OK"),
        ("ACL WHOAMI", "$app"),
        ("SET k v", "+OK"),
        ("GET k", "$v"),
    ]);
    let record = world.wait_audit("of the person", |record| record["user"] == "person");
    assert_eq!(record["outcome"], "accepted");
    assert_eq!((&record["realm"], &record["redis_user"]), (&"people".into(), &"app".into()));
    assert!(record["subject"].is_null(), "{record}");
}

/// OS-01: with a certificate the same listener needs nothing else.
#[test]
fn a_certificate_is_enough_where_it_is_optional() {
    let world = world();
    world.client("app").talk(&[("ACL WHOAMI", "$app")]);
    let record = world.wait_audit("of app", |record| record["user"] == "app");
    assert_eq!(record["realm"], "programs");
}

#[test]
fn nothing_of_a_stranger_reaches_redis() {
    let world = world();
    let mut redis = world.redis.client("root");
    let count = |redis: &mut Client| redis.ask("CLIENT LIST").matches(" addr=").count();
    // One of the gateway's shows that Redis is there.
    let deadline = Instant::now() + PATIENCE;
    while count(&mut redis) < 2 {
        assert!(Instant::now() < deadline, "the gateway does not look at Redis");
    }
    let mut client = stranger(&world);
    client.talk(&[("PING", NOAUTH), ("AUTH person wrong", WRONG), ("GET k", NOAUTH)]);
    assert_eq!(count(&mut redis), 2);
}

#[test]
fn hello_proves_and_changes_the_protocol_in_one() {
    let world = world();
    let mut client = stranger(&world);
    let refused = "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
                   <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP \
                   protocol version at the same time";
    client.talk(&[
        ("HELLO", refused),
        ("HELLO 3", refused),
        ("HELLO 9", "-NOPROTO unsupported protocol version"),
    ]);
    client.talk(&[("HELLO 3 AUTH person wrong", WRONG)]);
    let hello = client.call(&["HELLO", "3", "AUTH", "person", "canary-person", "SETNAME", "me"]);
    assert_eq!(hello.field("proto"), Some(Value::Int(3)));
    client.talk(&[
        ("CLIENT GETNAME", "$me"),
        ("HSET h f v", ":1"),
        ("HGETALL h", "{$f: $v}"),
        ("ACL WHOAMI", "$app"),
    ]);
}

#[test]
fn what_is_written_behind_auth_waits_for_it() {
    let world = world();
    let mut client = stranger(&world);
    client.pipeline(&[
        ("PING", NOAUTH),
        ("AUTH person wrong", WRONG),
        ("SET k stolen", NOAUTH),
        ("AUTH person canary-person", "+OK"),
        ("SET k v", "+OK"),
        ("GET k", "$v"),
        ("AUTH person canary-person", "+OK"),
        ("ACL WHOAMI", "$app"),
    ]);
}

/// OS-04, OS-22, RE-11: each way to fail is the same to the client and another to
/// the operator.
#[test]
fn every_wrong_proof_looks_alike_and_has_a_reason_of_its_own() {
    let world = world();
    for (proof, reason, user) in [
        ("AUTH person wrong", "wrong_password", Some("person")),
        ("AUTH person", "unknown_user", None),
        ("AUTH nobody canary-person", "unknown_user", None),
        ("AUTH gone canary-gone", "user_disabled", Some("gone")),
        ("AUTH app canary-app", "password_not_accepted", Some("app")),
        ("AUTH root canary-root", "password_not_accepted", Some("root")),
        ("AUTH second canary-second", "no_client_certificate", Some("second")),
        ("AUTH third wrong", "wrong_password", Some("third")),
    ] {
        let mut client = stranger(&world);
        client.talk(&[(proof, WRONG), ("PING", NOAUTH)]);
        let record =
            world.wait_audit(proof, |record| record["reason"] == *reason && record["user"].as_str() == user);
        assert_eq!((&record["event"], &record["outcome"]), (&"authentication".into(), &"refused".into()));
        assert!(!record["detail"].as_str().expect("a detail").contains("nobody"), "{record}");
    }
}

/// OS-04: certificate and password, each missing layer with its own reason.
#[test]
fn who_needs_both_gets_in_by_both_alone() {
    let world = world();
    bearer(&world, "CN=second,O=Acme").talk(&[
        ("GET k", NOAUTH),
        ("AUTH second canary-second", "+OK"),
        ("ACL WHOAMI", "$ops"),
    ]);
    let record =
        world.wait_audit("of both", |record| record["user"] == "second" && record["outcome"] == "accepted");
    assert_eq!((&record["realm"], &record["subject"]), (&"people".into(), &"CN=second,O=Acme".into()));
    // Its own name goes without saying.
    bearer(&world, "CN=second,O=Acme").talk(&[("AUTH canary-second", "+OK"), ("ACL WHOAMI", "$ops")]);

    bearer(&world, "CN=second,O=Acme").talk(&[("AUTH second wrong", WRONG)]);
    wait_refusal(&world, "wrong_password");
    bearer(&world, "CN=second,O=Acme").talk(&[("AUTH person canary-person", WRONG)]);
    wait_refusal(&world, "auth_differs");
    bearer(&world, "CN=unknown,O=Acme").talk(&[("AUTH second canary-second", WRONG)]);
    wait_refusal(&world, "no_mapping");
    stranger(&world).talk(&[("AUTH second canary-second", WRONG)]);
    wait_refusal(&world, "no_client_certificate");
    drop(bearer(&world, "CN=second,O=Acme"));
    let record = world.wait_audit("of one without a password", |record| record["reason"] == "no_password");
    assert_eq!(record["subject"], "CN=second,O=Acme");
}

/// OS-05, ES-13: the certificate decides; AUTH for another is refused and written down,
/// AUTH for the same is accepted unread and told of.
#[test]
fn a_certificate_wins_over_a_password_that_comes_with_it() {
    let world = world();
    let mut client = world.client("app");
    client.talk(&[
        ("AUTH person canary-person", WRONG),
        ("HELLO 2 AUTH third canary-third", WRONG),
        ("ACL WHOAMI", "$app"),
    ]);
    let record = wait_refusal(&world, "auth_differs");
    assert_eq!((&record["user"], &record["subject"]), (&"app".into(), &"CN=app,O=Acme".into()));
    client.talk(&[("AUTH app whatever", "+OK"), ("ACL WHOAMI", "$app")]);
    world.gateway.stderr.wait_for("of the needless password", |line| line.contains("was not looked at"));
    let told = world.audit().iter().filter(|record| record["reason"] == "auth_differs").count();
    assert_eq!(told, 1, "once a session");
}

#[test]
fn who_has_proved_one_user_never_becomes_another() {
    let world = world();
    let mut client = stranger(&world);
    client.talk(&[
        ("AUTH person canary-person", "+OK"),
        ("AUTH third canary-third", WRONG),
        ("HELLO 3 AUTH third canary-third", WRONG),
        ("RESET", "+RESET"),
        ("ACL WHOAMI", "$app"),
        ("AUTH person canary-person", "+OK"),
    ]);
    wait_refusal(&world, "auth_differs");
}

/// RE-11: passwords that Redis knows go on working where certificates are used.
#[test]
fn a_password_that_redis_knows_is_asked_of_redis() {
    let world = world();
    let mut client = stranger(&world);
    client.talk(&[("AUTH third wrong", WRONG), ("AUTH third canary-third", "+OK"), ("ACL WHOAMI", "$third")]);
    client.talk(&[("SET k v", "+OK"), ("MULTI", "+OK"), ("GET k", "+QUEUED"), ("EXEC", "[$v]")]);
    let record =
        world.wait_audit("of third", |record| record["outcome"] == "accepted" && record["user"] == "third");
    assert_eq!((&record["realm"], &record["redis_user"]), (&"redis".into(), &"third".into()));
}

#[test]
fn a_password_that_cannot_be_checked_is_not_called_wrong() {
    let mut world = world();
    world.announce(crate::world::LOST);
    world.redis.kill();
    let mut client = stranger(&world);
    let answer = client.ask("AUTH third canary-third");
    assert!(
        answer.starts_with("-ERR respgate: the password could not be checked, try again (reference "),
        "{answer}"
    );
    wait_refusal(&world, "password_unchecked");
    world.redis.resume();
    client.talk(&[("AUTH third canary-third", "+OK")]);
    assert_eq!(client.ask("ACL WHOAMI"), "$third");
}

#[test]
fn three_wrong_passwords_end_the_connection() {
    let world = world();
    let mut client = stranger(&world);
    client.talk(&[
        ("AUTH person 1", WRONG),
        ("PING", NOAUTH),
        ("AUTH nobody 2", WRONG),
        ("AUTH person 3", WRONG),
    ]);
    assert!(is_end(&client.try_read().expect_err("closed")));
    stranger(&world).talk(&[("AUTH person canary-person", "+OK")]);
}

#[test]
fn who_does_not_say_who_it_is_does_not_stay() {
    let world = World::with(Setup { limits: "authentication_timeout_ms = 300", ..setup() });
    let mut client = stranger(&world);
    client.talk(&[("PING", NOAUTH)]);
    assert!(is_end(&client.try_read().expect_err("closed")));
    let record = world.wait_audit("of it", |record| record["reason"] == "no_password");
    assert_eq!(record["event"], "connection");
    // Who has said it stays.
    let mut client = stranger(&world);
    client.talk(&[("AUTH person canary-person", "+OK")]);
    std::thread::sleep(std::time::Duration::from_millis(500));
    client.talk(&[("ACL WHOAMI", "$app")]);
}

#[test]
fn refused_passwords_are_counted_by_reason_and_appear_nowhere() {
    let world = world();
    let mut client = stranger(&world);
    client.talk(&[("AUTH person canary-wrong", WRONG), ("AUTH canary-alone", WRONG)]);
    // A password where the name belongs.
    client.talk(&[("AUTH canary-name canary-name", WRONG)]);
    let deadline = Instant::now() + PATIENCE;
    let count = |reason: &str| world.gateway.metric("respgate_passwords_refused_total", reason);
    while count("wrong_password") < 1.0 || count("unknown_user") < 2.0 {
        assert!(Instant::now() < deadline, "not counted");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(!world.gateway.get("/metrics").1.contains("canary-"));
}

#[test]
fn who_leaves_while_its_password_is_checked_leaves_nothing_behind() {
    let world = world();
    let files = world.gateway.open_files();
    for round in 0..8 {
        let mut client = stranger(&world);
        client.send(if round % 2 == 0 { "AUTH person canary-person" } else { "AUTH third canary-third" });
        drop(client);
    }
    let deadline = Instant::now() + PATIENCE;
    while world.gateway.metric("respgate_clients", "") > 0.0 || world.gateway.open_files() > files + 4 {
        assert!(Instant::now() < deadline, "{} files, {files} before", world.gateway.open_files());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    stranger(&world).talk(&[("AUTH person canary-person", "+OK")]);
}

#[test]
fn the_gateway_does_not_wait_for_strangers_when_it_is_to_end() {
    let mut world = world();
    let mut client = stranger(&world);
    client.talk(&[("PING", NOAUTH)]);
    let start = Instant::now();
    world.gateway.signal(rustix::process::Signal::TERM);
    assert!(world.gateway.wait_end().success());
    assert!(start.elapsed() < std::time::Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(is_end(&client.try_read().expect_err("closed")));
}

/// OS-25: RESPGATE WHOAMI is no way around the password, and tells what counted.
#[test]
fn whoami_tells_a_client_with_a_password_by_what_it_came_in() {
    let world = world();
    let said = |client: &mut Client, proof: &str| {
        client.talk(&[("RESPGATE WHOAMI", NOAUTH), (proof, "+OK")]);
        client.send("RESPGATE WHOAMI");
        let reply = client.read();
        let field = |name| reply.field(name).map(|value| value.to_string());
        ["user", "redis_user", "realm", "rule", "subject", "listener"].map(field)
    };
    let some = |text: &str| Some(text.to_owned());
    let mut person = stranger(&world);
    let expected =
        [some("$person"), some("$app"), some("$people"), some("$password"), None, some("$default")];
    assert_eq!(said(&mut person, "AUTH person canary-person"), expected);
    let mut second = bearer(&world, "CN=second,O=Acme");
    let expected = [
        some("$second"),
        some("$ops"),
        some("$people"),
        some("$certificate_subject_line[0]"),
        some("$CN=second,O=Acme"),
        some("$default"),
    ];
    assert_eq!(said(&mut second, "AUTH second canary-second"), expected);
}
