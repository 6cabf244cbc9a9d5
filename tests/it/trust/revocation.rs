//! OS-23: revocation lists.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::hierarchy::{Ca, DAY, Issued, as_is, now};
use super::{app_and_ops, assert_is, assert_refused};
use crate::pki::Identity;
use crate::world::World;

const APP: &str = "CN=app,O=Acme";
const OPS: &str = "CN=ops,O=Acme";

/// OS-23: a revoked leaf, and a leaf below a revoked CA.
#[test]
fn revoked_leaves_and_cas_are_refused_by_the_whole_chain() {
    let root = Ca::root("CN=Root,O=Acme");
    let (good, bad) = (root.below("CN=Good,O=Acme", as_is), root.below("CN=Bad,O=Acme", as_is));
    let (app, revoked) = (good.leaf(APP, as_is), good.leaf(OPS, as_is));
    let below_bad = bad.leaf(OPS, as_is);
    let mut plan = app_and_ops(&root.pem(), "crl = [\"root.crl\", \"others.crl\"]");
    plan.files.push(("root.crl", root.crl(&[bad.serial], now() + 9 * DAY)));
    let others = [good.crl(&[revoked.serial], now() + 9 * DAY), bad.crl(&[], now() + 9 * DAY)].concat();
    plan.files.push(("others.crl", others));
    let world = World::with(plan.clone());
    assert_is(&world, &app.identity, "app");
    assert_refused(&world, &revoked.identity, "revoked", "a CRL of the listener lists it");
    assert_refused(&world, &below_bad.identity, "revoked", "or a CA of its chain");
    let end = world.gateway.metric("respgate_crl_end_timestamp_seconds", "listener=\"default\"");
    assert!((end - (now() + 9 * DAY) as f64).abs() < 60.0, "{end}");

    // Asked about leaves alone.
    world.write_again(|setup| {
        setup.listener = "crl = [\"root.crl\", \"others.crl\"]\ncrl_depth = \"leaf\"";
    });
    world.reload();
    assert_is(&world, &below_bad.identity, "ops");
    assert_refused(&world, &revoked.identity, "revoked", "");
}

/// OS-23: nobody comes in where revocation cannot be told.
#[test]
fn unknown_and_stale_revocation_is_refused_unless_it_is_allowed() {
    let root = Ca::root("CN=Root,O=Acme");
    let middle = root.below("CN=Middle,O=Acme", as_is);
    let (direct, below) = (root.leaf(APP, as_is), middle.leaf(APP, as_is));
    let mut plan = app_and_ops(&root.pem(), "crl = \"root.crl\"");
    plan.files.push(("root.crl", root.crl(&[], now() + 9 * DAY)));
    let world = World::with(plan);
    assert_is(&world, &direct.identity, "app");
    assert_refused(&world, &below.identity, "revocation_unknown", "add the CRL of each CA in the chain");
    world.write_again(|setup| setup.listener = "crl = \"root.crl\"\ncrl_unknown = \"allow\"");
    world.reload();
    assert_is(&world, &below.identity, "app");

    world.announce("CRL 1 in");
    world.write_again(|setup| setup.files[1].1 = root.crl(&[], now() - 60));
    world.reload();
    assert_refused(&world, &direct.identity, "crl_stale", "get the CA's present CRL");
    world.write_again(|setup| {
        setup.listener = "crl = \"root.crl\"\ncrl_expired = \"allow\"";
        setup.files[1].1 = root.crl(&[direct.serial], now() - 60);
    });
    world.reload();
    assert_refused(&world, &direct.identity, "revoked", "");
    assert_is(&world, &root.leaf(OPS, as_is).identity, "ops");
}

/// OS-23: a list under a CA's name by another key revokes nothing and vouches for nothing.
#[test]
fn a_list_of_another_key_is_not_believed() {
    let (root, middle_name) = (Ca::root("CN=Root,O=Acme"), "CN=Middle,O=Acme");
    let middle = root.below(middle_name, as_is);
    let app = middle.leaf(APP, as_is);
    let forged = Ca::root(middle_name).crl(&[app.serial], now() + 9 * DAY);
    let mut plan = app_and_ops(&root.pem(), "crl = \"all.crl\"");
    let roots = root.crl(&[], now() + 9 * DAY);
    plan.files.push(("all.crl", format!("{roots}{forged}")));
    let world = World::with(plan);
    assert_refused(&world, &app.identity, "revocation_unknown", "was not signed by that issuer's key");
    let own = middle.crl(&[], now() + 9 * DAY);
    world.write_again(|setup| setup.files[1].1 = format!("{roots}{forged}{own}"));
    world.reload();
    assert_is(&world, &app.identity, "app");
}

#[test]
fn two_cas_of_one_name_have_a_list_each() {
    let (one, two) = (Ca::root("CN=Root,O=Acme"), Ca::root("CN=Root,O=Acme"));
    let (app, ops) = (one.leaf(APP, as_is), two.leaf(OPS, as_is));
    let (gone_one, gone_two) = (one.leaf(APP, as_is), two.leaf(OPS, as_is));
    let mut plan = app_and_ops(&format!("{}{}", one.pem(), two.pem()), "crl = \"all.crl\"");
    let lists = [one.crl(&[gone_one.serial], now() + 9 * DAY), two.crl(&[gone_two.serial], now() + 9 * DAY)];
    plan.files.push(("all.crl", lists.concat()));
    let world = World::with(plan);
    assert_is(&world, &app.identity, "app");
    assert_is(&world, &ops.identity, "ops");
    assert_refused(&world, &gone_one.identity, "revoked", "");
    assert_refused(&world, &gone_two.identity, "revoked", "");
}

/// A client's counting, until it is cut or told to end.
fn count(world: &World, identity: &Identity, done: &AtomicBool, replies: &AtomicU64) -> Option<Instant> {
    let mut client = world.client_as(identity).expect("let in");
    while !done.load(Ordering::Relaxed) {
        let sent = client.try_write(b"*1\r\n$4\r\nPING\r\n");
        match sent.and_then(|()| client.try_read()) {
            Ok(value) => assert_eq!(value.to_string(), "+PONG"),
            Err(_) => return Some(Instant::now()),
        }
        replies.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

#[test]
fn revocations_under_load_refuse_at_once_and_cut_within_five_seconds() {
    const REVOKED: usize = 20;
    let root = Ca::root("CN=Root,O=Acme");
    let issued: Vec<Issued> = (0..2 * REVOKED).map(|_| root.leaf(APP, as_is)).collect();
    let mut plan = app_and_ops(&root.pem(), "crl = \"root.crl\"");
    plan.files.push(("root.crl", root.crl(&[], now() + 9 * DAY)));
    let world = World::with(plan);
    let (done, replies) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (world, done, replies) = (&world, &done, &replies);
        let clients: Vec<_> =
            issued.iter().map(|it| scope.spawn(|| count(world, &it.identity, done, replies))).collect();
        while world.audit().len() < issued.len() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let serials: Vec<u64> = issued[..REVOKED].iter().map(|it| it.serial).collect();
        world.write_again(|setup| setup.files[1].1 = root.crl(&serials, now() + 9 * DAY));
        world.reload();
        let acknowledged = Instant::now();
        assert_refused(world, &issued[0].identity, "revoked", "");
        assert!(
            acknowledged.elapsed() < Duration::from_secs(1),
            "refused after {:?}",
            acknowledged.elapsed()
        );
        std::thread::sleep(Duration::from_secs(5).saturating_sub(acknowledged.elapsed()));
        let at_five = replies.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(200));
        assert!(replies.load(Ordering::Relaxed) > at_five, "nobody is served any more");
        done.store(true, Ordering::Relaxed);
        for (number, client) in clients.into_iter().enumerate() {
            let ended = client.join().expect("no panic");
            assert_eq!(ended.is_some(), number < REVOKED, "client {number}");
            let late = ended.map(|at| at.saturating_duration_since(acknowledged)).unwrap_or_default();
            assert!(late < Duration::from_secs(5), "client {number} was cut after {late:?}");
        }
    });
    let ended = world.audit().into_iter().filter(|record| record["outcome"] == "ended").count();
    assert_eq!(ended, REVOKED);
    assert_eq!(world.gateway.metric("respgate_clients_ended_total", "reason=\"revoked\""), REVOKED as f64);
}
