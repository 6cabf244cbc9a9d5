//! Which realms a listener has, in which order, and what a reload does to those
//! who are in.

use rustix::process::Signal;

use super::{NOAUTH, OPTIONAL, REALMS, USERS, WRONG, bearer, setup, stranger, wait_refusal, world};
use crate::pki::client_config;
use crate::trust::hierarchy::{Ca, DAY, as_is, now};
use crate::wire::{Client, is_end};
use crate::world::{Setup, World};

/// Changes the configuration and has it put in force.
fn reload(world: &World, from: &str, to: &str) {
    let path = world.path("respgate.toml");
    let text = std::fs::read_to_string(&path).expect("written at start");
    assert!(text.contains(from), "{from} is not in the configuration");
    std::fs::write(&path, text.replace(from, to)).expect("writable");
    let count = || world.gateway.stderr.all().iter().filter(|line| line.contains("reloaded")).count();
    let before = count();
    world.gateway.signal(Signal::HUP);
    let deadline = std::time::Instant::now() + crate::wire::PATIENCE;
    while count() == before {
        assert!(std::time::Instant::now() < deadline, "no reload");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// OS-06, ES-07, ES-21: programs by certificate and people by password, on one port;
/// a certificate that the first realm does not know leaves it to the second.
#[test]
fn each_realm_in_its_turn_and_the_first_success_wins() {
    let world = world();
    world.client("app").talk(&[("ACL WHOAMI", "$app")]);
    stranger(&world).talk(&[("AUTH person canary-person", "+OK"), ("ACL WHOAMI", "$app")]);
    bearer(&world, "CN=unknown,O=Acme").talk(&[
        ("GET k", NOAUTH),
        ("AUTH third canary-third", "+OK"),
        ("ACL WHOAMI", "$third"),
    ]);
    let realm = |user: &str| world.wait_audit(user, |record| record["user"] == *user)["realm"].clone();
    assert_eq!([realm("app"), realm("person"), realm("third")], ["programs", "people", "redis"]);
}

/// ES-07: a realm that is not listed is not there.
#[test]
fn a_realm_that_is_not_listed_recognises_nobody() {
    let listener = "client_auth = \"optional\"\nrealms = [\"people\"]";
    let world = World::with(Setup { listener, ..setup() });
    world.announce("inactive_realm");
    world.announce("unchecked_password");
    for sections in ["realm[0]", "realm[2]"] {
        world
            .gateway
            .stderr
            .wait_for("of it", |line| line.contains("inactive_realm") && line.contains(sections));
    }
    // The certificate is good and mapped, but nobody looks at it.
    world.client("app").talk(&[("GET k", NOAUTH)]);
    stranger(&world).talk(&[("AUTH third canary-third", WRONG)]);
    wait_refusal(&world, "realm_inactive");
    stranger(&world).talk(&[("AUTH person canary-person", "+OK"), ("ACL WHOAMI", "$app")]);
}

#[test]
fn a_certificate_that_nobody_knows_is_refused_where_no_password_realm_follows() {
    let listener = "client_auth = \"optional\"\nrealms = [\"people\", \"redis\", \"programs\"]";
    let world = World::with(Setup { listener, ..setup() });
    let answer = bearer(&world, "CN=unknown,O=Acme").read().to_string();
    assert!(answer.starts_with("-NOPERM no user is mapped to this certificate"), "{answer}");
    world.client("app").talk(&[("ACL WHOAMI", "$app")]);
    stranger(&world).talk(&[("AUTH person canary-person", "+OK")]);
}

/// OS-02, ES-09: by default a certificate is required, and none is `no_client_certificate`.
#[test]
fn without_a_word_about_it_a_certificate_is_required() {
    let world = World::start();
    let mut client = Client::tls(world.gateway.address, client_config(None)).ok();
    assert!(client.as_mut().is_none_or(|client| client.try_read().is_err()));
    world.wait_audit("of it", |record| {
        record["reason"] == "no_client_certificate" && record["outcome"] == "refused"
    });
}

/// OS-03: where certificates are not asked for, one that is offered has no effect.
#[test]
fn where_no_certificate_is_asked_for_none_counts() {
    let listener = "client_auth = \"none\"\nrealms = [\"people\", \"redis\"]";
    let world = World::with(Setup { listener, ..setup() });
    world.announce("inactive_realm");
    let mut client = world.client("app");
    client.talk(&[("GET k", NOAUTH), ("AUTH third canary-third", "+OK"), ("ACL WHOAMI", "$third")]);
    let record = world.wait_audit("of third", |record| record["user"] == "third");
    assert!(record["subject"].is_null(), "{record}");
}

/// With `required` the handshake asks for a certificate and the people for a password.
#[test]
fn a_certificate_can_be_required_of_those_who_come_by_a_password() {
    let listener = "realms = [\"programs\", \"people\", \"redis\"]";
    let world = World::with(Setup { listener, ..setup() });
    bearer(&world, "CN=unknown,O=Acme").talk(&[("AUTH person canary-person", "+OK"), ("ACL WHOAMI", "$app")]);
    let mut client = Client::tls(world.gateway.address, client_config(None)).ok();
    assert!(client.as_mut().is_none_or(|client| client.try_read().is_err()));
}

#[test]
fn a_reload_ends_those_who_would_not_be_let_in_any_more_and_nobody_else() {
    let world = world();
    let mut person = stranger(&world);
    let mut both = bearer(&world, "CN=second,O=Acme");
    let mut third = stranger(&world);
    person.talk(&[("AUTH person canary-person", "+OK"), ("PING", "+PONG")]);
    both.talk(&[("AUTH second canary-second", "+OK"), ("PING", "+PONG")]);
    third.talk(&[("AUTH third canary-third", "+OK"), ("PING", "+PONG")]);
    // The person's password becomes another's.
    reload(&world, "V3y50ho4rP", "A3y50ho4rP");
    assert!(is_end(&person.try_read().expect_err("closed")));
    both.talk(&[("ACL WHOAMI", "$ops")]);
    third.talk(&[("ACL WHOAMI", "$third")]);
    reload(&world, "CN=second,O=Acme", "CN=other,O=Acme");
    assert!(is_end(&both.try_read().expect_err("closed")));
    world.announce("inactive_realm");
    world.announce("unchecked_password");
    reload(&world, OPTIONAL, "client_auth = \"optional\"\nrealms = [\"programs\", \"people\"]");
    assert!(is_end(&third.try_read().expect_err("closed")));
    stranger(&world).talk(&[("AUTH person canary-person", WRONG)]);
    assert!(REALMS.contains("redis") && USERS.contains("third"));
}

/// Giving a password takes time, and what was trusted at the handshake may be revoked by then.
#[test]
fn a_certificate_that_is_revoked_before_its_password_comes_is_not_let_in() {
    let root = Ca::root("CN=Root,O=Acme");
    let second = root.leaf("CN=second,O=Acme", as_is);
    let mut plan = Setup {
        listener: "client_auth = \"optional\"\nrealms = [\"programs\", \"people\", \"redis\"]\ncrl = \"root.crl\"",
        ..setup()
    };
    plan.files.push(("ca.crt", root.pem()));
    plan.files.push(("root.crl", root.crl(&[], now() + 9 * DAY)));
    let world = World::with(plan);
    let mut early = world.client_as(&second.identity).expect("the handshake holds");
    early.talk(&[("PING", "-NOAUTH Authentication required.")]);
    let mut late = world.client_as(&second.identity).expect("the handshake holds");
    early.talk(&[("AUTH second canary-second", "+OK"), ("PING", "+PONG")]);

    world.write_again(|setup| setup.files[1].1 = root.crl(&[second.serial], now() + 9 * DAY));
    world.reload();
    late.send("AUTH second canary-second");
    let said = late.read().to_string();
    assert!(said.starts_with("-NOPERM no user is mapped to this certificate (reference "), "{said}");
    late.expect_end();
    early.expect_end();
    world.wait_audit("the refusal", |it| it["outcome"] == "refused" && it["reason"] == "revoked");
}
