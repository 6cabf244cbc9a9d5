//! Several listeners, each with its own settings.

use std::net::SocketAddr;

use super::hierarchy::{Ca, as_is};
use super::{app_and_ops, wait_for};
use crate::log::Event;
use crate::pki::{client_config, client_config_for};
use crate::wire::Client;
use crate::world::{Setup, World};

const APP: &str = "CN=app,O=Acme";

/// The address that the listener of this name says it has.
fn address(world: &World, name: &str) -> SocketAddr {
    let line = world.gateway.stderr.wait_for(&format!("of listener {name}"), |line| {
        Event::parse(line)
            .is_some_and(|event| event.message() == "listening" && event.field("listener") == Some(name))
    });
    let event = Event::parse(&line).expect("just parsed");
    event.field("address").and_then(|text| text.parse().ok()).expect("an address")
}

/// Two listeners: "apps" of one CA, "people" of another.
fn two(apps: &Ca, people: &Ca, people_lines: &str) -> Setup {
    let mut plan = app_and_ops(&apps.pem(), "");
    plan.files.push(("people.crt", people.pem()));
    let second = format!(
        "[[listener]]\nname = \"people\"\naddress = \"127.0.0.1:0\"\ncertificate = \"server.crt\"\n\
         key = \"server.key\"\nclient_ca = \"people.crt\"\n{people_lines}\n[database]"
    );
    plan.edits.push(("[listener]", "[[listener]]\nname = \"apps\"".to_owned()));
    plan.edits.push(("[database]", second));
    plan
}

#[test]
fn each_listener_lets_in_by_its_own_settings_and_is_told_by_name() {
    let (apps, people) = (Ca::root("CN=Apps,O=Acme"), Ca::root("CN=People,O=Acme"));
    let world = World::with(two(&apps, &people, "tls_min_version = \"1.3\""));
    // The users are bound to no CA here.
    world.announce("subject_not_issuer_bound");
    let (one, two) = (address(&world, "apps"), address(&world, "people"));
    let (app, person) = (apps.leaf(APP, as_is).identity, people.leaf(APP, as_is).identity);
    for (address, good, bad, name) in [(one, &app, &person, "apps"), (two, &person, &app, "people")] {
        let before = world.audit().len();
        let mut client = Client::tls(address, client_config(Some(good))).expect("let in");
        client.talk(&[("ACL WHOAMI", "$app")]);
        assert_eq!(wait_for(&world, before, "outcome", "accepted")["listener_name"], name);
        let before = world.audit().len();
        let refused = Client::tls(address, client_config(Some(bad)));
        assert!(refused.and_then(|mut client| client.try_read().map(|_| ())).is_err());
        let record = wait_for(&world, before, "outcome", "refused");
        assert_eq!((&record["listener_name"], &record["reason"]), (&name.into(), &"untrusted_issuer".into()));
        let label = format!("listener=\"{name}\",reason=\"untrusted_issuer\"");
        let deadline = std::time::Instant::now() + crate::wire::PATIENCE;
        while world.gateway.metric("respgate_clients_refused_total", &label) != 1.0 {
            assert!(std::time::Instant::now() < deadline, "not counted: {label}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
    let old = |identity| client_config_for(Some(identity), &[&rustls::version::TLS12]);
    Client::tls(one, old(&app)).expect("speaks 1.2").talk(&[("PING", "+PONG")]);
    assert!(Client::tls(two, old(&person)).is_err(), "speaks 1.3 only");
}

/// RE-16, ES-01: listeners come and go with a restart; one that is gone from the
/// configuration is shut at once.
#[test]
fn a_listener_that_is_removed_lets_nobody_in_and_cuts_its_clients() {
    let (apps, people) = (Ca::root("CN=Apps,O=Acme"), Ca::root("CN=People,O=Acme"));
    let world = World::with(two(&apps, &people, ""));
    // The users are bound to no CA here.
    world.announce("subject_not_issuer_bound");
    let (one, two) = (address(&world, "apps"), address(&world, "people"));
    let (app, person) = (apps.leaf(APP, as_is).identity, people.leaf(APP, as_is).identity);
    let mut stays = Client::tls(one, client_config(Some(&app))).expect("let in");
    let mut goes = Client::tls(two, client_config(Some(&person))).expect("let in");
    stays.talk(&[("PING", "+PONG")]);
    goes.talk(&[("PING", "+PONG")]);
    world.announce("needs a restart");
    world.write_again(|setup| drop(setup.edits.pop()));
    world.reload();
    world
        .gateway
        .stderr
        .wait_for("of the restart", |line| line.contains("people") && line.contains("removed"));
    goes.expect_end();
    assert_eq!(wait_for(&world, 0, "outcome", "ended")["reason"], "listener_removed");
    assert!(Client::tls(two, client_config(Some(&person))).is_err());
    assert_eq!(wait_for(&world, 0, "outcome", "refused")["reason"], "listener_removed");
    stays.talk(&[("PING", "+PONG")]);
}
