//! Reaching Redis: over TLS, with what is asked of its certificate, and at another
//! address after a reload.

use std::net::TcpListener;
use std::time::Instant;

use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::pki::{Identity, Leaf, pki};
use crate::resp::Value;
use crate::wire::{Client, PATIENCE};
use crate::world::{LOST, Setup, World};

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port()
}

/// Has the world's Redis speak TLS with this certificate as well. `ask` is its tls-auth-clients.
fn speak_tls(world: &World, port: u16, identity: &Identity, ask: &str) {
    identity.write(&world.path("."), "redis");
    let file = |name: &str| world.path(name).display().to_string();
    let (certificate, key, ca, port) =
        (file("redis.crt"), file("redis.key"), file("ca.crt"), port.to_string());
    let set = ["CONFIG", "SET", "tls-cert-file", &certificate, "tls-key-file", &key, "tls-ca-cert-file", &ca];
    let set = [&set[..], &["tls-auth-clients", ask, "tls-port", &port]].concat();
    assert_eq!(world.redis.client("root").call(&set).to_string(), "+OK");
}

/// The configuration with its backend there.
fn at(setup: &mut Setup, port: u16, tls: &str) {
    setup.database = Some(format!("localhost:{port}"));
    setup.edits = vec![("[database]\n", format!("[database]\ntls = {{ {tls} }}\n"))];
}

/// A world whose Redis the gateway reaches so.
fn world_over_tls(identity: &Identity, ask: &str, tls: &str) -> World {
    let (mut world, port) = (World::start(), free_port());
    speak_tls(&world, port, identity, ask);
    world.write_again(|setup| at(setup, port, tls));
    // Started anew: a gateway looks for its Redis before anybody asks.
    world.restart_unready(Signal::TERM);
    world
}

/// Has the gateway move to TLS while these clients are in.
fn move_away(world: &World, clients: &mut [&mut Client]) {
    let port = free_port();
    speak_tls(world, port, &server(&["localhost"]), "no");
    world.write_again(|setup| at(setup, port, "ca = \"ca.crt\""));
    world.reload();
    let deadline = Instant::now() + PATIENCE;
    for client in clients {
        while !door_of(client).ends_with(&format!(":{port}")) {
            assert!(Instant::now() < deadline, "it stays where it was");
        }
    }
}

/// Where the connection of the gateway that serves this client has come in.
fn door_of(client: &mut Client) -> String {
    let list = client.ask("CLIENT LIST");
    let line = list.lines().find(|line| line.contains("cmd=client|list"));
    let door = line.and_then(|line| line.split(' ').find_map(|word| word.strip_prefix("laddr=")));
    door.unwrap_or_else(|| panic!("not where it is: {list}")).to_owned()
}

fn server(names: &[&str]) -> Identity {
    pki().trusted.issue(Leaf::server(names))
}

#[test]
fn redis_is_reached_over_tls_and_a_reload_moves_there_without_an_error() {
    let world = World::with(Setup::default());
    let mut client = world.client("app");
    client.talk(&[("SET k v", "+OK")]);
    move_away(&world, &mut [&mut client]);
    client.talk(&[("GET k", "$v"), ("ACL WHOAMI", "$app")]);
    let large = "x".repeat(3 << 20);
    assert_eq!(client.call(&["SET", "large", &large]).to_string(), "+OK");
    assert!(client.call(&["GET", "large"]) == Value::Bulk(large.into_bytes()), "as it was written");
    client.talk(&[("WATCH k", "+OK"), ("MULTI", "+OK"), ("GET k", "+QUEUED"), ("EXEC", "[$v]")]);
}

#[test]
fn a_subscriber_does_not_stay_at_the_backend_that_was() {
    let world = World::with(Setup::default());
    world.announce(LOST);
    let (mut subscriber, mut other) = (world.client("app"), world.client("app"));
    subscriber.talk(&[("SUBSCRIBE news", "[$subscribe, $news, :1]")]);
    // What waits for its first connection is told that it was not sent.
    other.talk(&[("PING", "+PONG")]);
    move_away(&world, &mut [&mut other]);
    subscriber.expect_end();
    world.client("app").talk(&[("SUBSCRIBE news", "[$subscribe, $news, :1]")]);
    world.gateway.stderr.wait_for("of the loss", |line| line.contains("is somewhere else from now on"));
}

#[test]
fn a_backend_that_asks_for_a_certificate_is_shown_one() {
    let identity = server(&["localhost"]);
    let world = world_over_tls(&identity, "yes", "ca = \"ca.crt\"");
    world.announce(LOST);
    world.client("app").talk(&[("GET k", "-ERR respgate: backend unavailable, command not sent")]);
    let own = "ca = \"ca.crt\", certificate = \"app.crt\", key = \"app.key\"";
    let world = world_over_tls(&identity, "yes", own);
    world.client("app").talk(&[("ACL WHOAMI", "$app")]);
    world.client("ops").talk(&[("ACL WHOAMI", "$ops")]);
}

#[test]
fn what_is_asked_of_redis_certificate_is_what_the_mode_says() {
    let stranger = &pki().foreign;
    let sends_its_ca = {
        let mut identity = stranger.issue(Leaf::server(&["localhost"]));
        identity.certificate.push_str(&stranger.certificate);
        identity
    };
    let ca = CertificateDer::from_pem_slice(stranger.certificate.as_bytes()).expect("PEM");
    let pin = format!("ca_fingerprint = \"{}\"", respgate::identity::Fingerprint::of(&ca));
    let another_pin = format!("ca_fingerprint = \"{}\"", "00".repeat(32));
    let expired = pki().trusted.issue(Leaf::server(&["localhost"]).valid(2020, 2021));
    let misnamed = server(&["elsewhere.example"]);
    let right = server(&["localhost"]);
    let ca = "ca = \"ca.crt\"";
    for (identity, tls, said) in [
        (&right, ca.to_owned(), None),
        (&misnamed, ca.to_owned(), Some("not valid for name")),
        (&misnamed, format!("{ca}, verification_mode = \"certificate\""), None),
        (&misnamed, format!("{ca}, server_name = \"elsewhere.example\""), None),
        (&expired, ca.to_owned(), Some("expired")),
        (&expired, format!("{ca}, verification_mode = \"certificate\""), Some("expired")),
        (&expired, "verification_mode = \"none\"".to_owned(), None),
        (&sends_its_ca, ca.to_owned(), Some("BadSignature")),
        (&sends_its_ca, pin, None),
        (&sends_its_ca, another_pin.clone(), Some("has the fingerprint 0000")),
        (&right, format!("{ca}, {another_pin}"), None),
    ] {
        let world = world_over_tls(identity, "no", &tls);
        if said.is_some() {
            world.announce(LOST);
        }
        if tls.contains("none") {
            world.announce("backend_not_verified");
        }
        let reply = world.client("app").ask("ACL WHOAMI");
        match said {
            None => assert_eq!(reply, "$app", "{tls}"),
            Some(said) => {
                assert_eq!(reply, "-ERR respgate: backend unavailable, command not sent", "{tls}");
                world.gateway.stderr.wait_for(said, |line| line.contains(said));
            }
        }
    }
}
