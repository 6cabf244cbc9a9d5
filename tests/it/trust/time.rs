//! What ends while a client is connected.

use std::time::{Duration, Instant};

use super::hierarchy::{Ca, DAY, as_is, now, time};
use super::{app_and_ops, wait_for};
use crate::wire::Client;
use crate::world::World;

const APP: &str = "CN=app,O=Acme";
const OPS: &str = "CN=ops,O=Acme";

/// How long until this client is cut.
fn cut_after(mut client: Client) -> Duration {
    let start = Instant::now();
    client.expect_end();
    start.elapsed()
}

#[test]
fn a_certificate_that_ends_ends_its_session_and_no_other() {
    let root = Ca::root("CN=Root,O=Acme");
    let world = World::with(app_and_ops(&root.pem(), ""));
    let short = root.leaf(APP, |params| params.not_after = time(now() + 3)).identity;
    let short_ca = root.below("CN=Short,O=Acme", |params| params.not_after = time(now() + 3));
    let below = short_ca.leaf(APP, as_is).identity;
    let mut stays = world.client_as(&root.leaf(OPS, as_is).identity).expect("let in");
    let (mut leaf, mut chain) =
        (world.client_as(&short).expect("let in"), world.client_as(&below).expect("let in"));
    leaf.talk(&[("ACL WHOAMI", "$app")]);
    chain.talk(&[("ACL WHOAMI", "$app")]);
    assert!(cut_after(leaf) < Duration::from_secs(8));
    assert!(cut_after(chain) < Duration::from_secs(5));
    let record = wait_for(&world, 0, "outcome", "ended");
    assert_eq!((&record["reason"], &record["subject"]), (&"expired".into(), &APP.into()));
    stays.talk(&[("ACL WHOAMI", "$ops")]);
}

/// OS-23: a list that is not renewed in time.
#[test]
fn a_list_that_ends_cuts_the_clients_of_its_ca() {
    let (root, other) = (Ca::root("CN=Root,O=Acme"), Ca::root("CN=Other,O=Acme"));
    let mut plan = app_and_ops(&format!("{}{}", root.pem(), other.pem()), "crl = \"all.crl\"");
    let lists = |end| format!("{}{}", root.crl(&[], end), other.crl(&[], now() + 9 * DAY));
    plan.files.push(("all.crl", lists(now() + 4)));
    let world = World::with(plan);
    world.announce("CRL 1 in");
    // The users are bound to no CA here.
    world.announce("subject_not_issuer_bound");
    let mut app = world.client_as(&root.leaf(APP, as_is).identity).expect("let in");
    let mut ops = world.client_as(&other.leaf(OPS, as_is).identity).expect("let in");
    app.talk(&[("PING", "+PONG")]);
    assert!(cut_after(app) < Duration::from_secs(9));
    assert_eq!(wait_for(&world, 0, "outcome", "ended")["reason"], "crl_stale");
    ops.talk(&[("PING", "+PONG")]);
    world.write_again(|setup| setup.files[1].1 = lists(now() + 9 * DAY));
    world.reload();
    world.client_as(&root.leaf(APP, as_is).identity).expect("let in").talk(&[("PING", "+PONG")]);
}

#[test]
fn a_ca_that_is_removed_takes_its_clients_along_and_no_other() {
    let (root, other) = (Ca::root("CN=Root,O=Acme"), Ca::root("CN=Root,O=Acme"));
    let world = World::with(app_and_ops(&format!("{}{}", root.pem(), other.pem()), ""));
    // The users are bound to no CA here.
    world.announce("subject_not_issuer_bound");
    let mut goes = world.client_as(&root.leaf(APP, as_is).identity).expect("let in");
    let mut bound = world.client_as(&root.leaf(APP, as_is).identity).expect("let in");
    let mut stays = world.client_as(&other.leaf(APP, as_is).identity).expect("let in");
    goes.talk(&[("PING", "+PONG")]);
    bound.send("BLPOP q 0");
    stays.talk(&[("SELECT 3", "+OK"), ("SET k v", "+OK"), ("WATCH k", "+OK"), ("MULTI", "+OK")]);
    world.write_again(|setup| setup.files[0].1 = other.pem());
    world.reload();
    assert!(cut_after(goes) < Duration::from_secs(5));
    assert!(cut_after(bound) < Duration::from_secs(5));
    assert_eq!(wait_for(&world, 0, "outcome", "ended")["reason"], "untrusted_issuer");
    stays.talk(&[("GET k", "+QUEUED"), ("EXEC", "[$v]")]);
}

/// RE-16: what concerns the connection itself is for new ones.
#[test]
fn a_change_of_the_tls_version_leaves_sessions_alone() {
    let root = Ca::root("CN=Root,O=Acme");
    let world = World::with(app_and_ops(&root.pem(), ""));
    let app = root.leaf(APP, as_is).identity;
    let old = crate::pki::client_config_for(Some(&app), &[&rustls::version::TLS12]);
    let mut before = Client::tls(world.gateway.address, old).expect("let in");
    before.talk(&[("PING", "+PONG")]);
    world.write_again(|setup| setup.listener = "tls_min_version = \"1.3\"");
    world.reload();
    assert_eq!(super::who(&world, &app, &rustls::version::TLS12), None);
    assert_eq!(super::who(&world, &app, &rustls::version::TLS13).as_deref(), Some("$app"));
    std::thread::sleep(Duration::from_millis(300));
    before.talk(&[("PING", "+PONG")]);
}
