//! OS-23: revocation lists.

use super::hierarchy::{Ca, DAY, as_is, now};
use super::{app_and_ops, assert_is, assert_refused};
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

/// Two lists may be made within a second, and be given in any order: the one that was made later decides.
#[test]
fn of_two_lists_of_one_second_the_one_with_the_higher_number_decides() {
    let root = Ca::root("CN=Root,O=Acme");
    let app = root.leaf(APP, as_is);
    let until = now() + 9 * DAY;
    let (older, newer) = (root.crl(&[], until), root.crl(&[app.serial], until));
    let mut plan = app_and_ops(&root.pem(), "crl = [\"one.crl\", \"other.crl\"]");
    plan.files.push(("one.crl", older.clone()));
    plan.files.push(("other.crl", newer.clone()));
    let world = World::with(plan);
    assert_refused(&world, &app.identity, "revoked", "");
    world.write_again(|setup| (setup.files[1].1, setup.files[2].1) = (newer, older));
    world.reload();
    assert_refused(&world, &app.identity, "revoked", "");
}

/// What is doubtful does not refuse a reload, whatever else does.
#[test]
fn a_refused_reload_tells_of_warnings_as_warnings() {
    let root = Ca::root("CN=Root,O=Acme");
    let mut plan = app_and_ops(&root.pem(), "crl = \"root.crl\"");
    plan.files.push(("root.crl", root.crl(&[], now() + 9 * DAY)));
    let world = World::with(plan);
    for line in ["in the configuration that is refused", "reload refused", "nothing was reloaded"] {
        world.announce(line);
    }
    world.write_again(|setup| {
        setup.files[1].1 = root.crl(&[], now() - 60);
        setup.listener = "crl = \"root.crl\"\nnonsense = 1";
    });
    world.gateway.signal(rustix::process::Signal::HUP);
    world.gateway.stderr.wait_for("of the refusal", |line| line.contains("nothing was reloaded"));
    let told = world.gateway.stderr.all();
    let level = |part: &str| {
        let line = told.iter().find(|line| line.contains(part)).expect("it is told");
        if line.contains("\"ERROR\"") { "error" } else { "warning" }
    };
    assert_eq!((level("warning["), level("error[")), ("warning", "error"), "{told:?}");
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
    // The users are bound to no CA here.
    world.announce("subject_not_issuer_bound");
    assert_is(&world, &app.identity, "app");
    assert_is(&world, &ops.identity, "ops");
    assert_refused(&world, &gone_one.identity, "revoked", "");
    assert_refused(&world, &gone_two.identity, "revoked", "");
}
