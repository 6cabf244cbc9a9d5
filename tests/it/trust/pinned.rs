//! Certificates that are trusted as they are, and those whose time is over.

use rcgen::date_time_ymd;

use super::hierarchy::{Ca, as_is, self_signed};
use super::{BOTH, app_and_ops, assert_is, assert_refused, setup, wait_for, who};
use crate::world::{APP as APP_USER, World};

const APP: &str = "CN=app,O=Acme";
const PINNED: &str = "client_certificates = [\"partner.crt\"]";

/// RE-14: pinned beside the CAs, and still only who its subject says.
#[test]
fn a_pinned_certificate_is_let_in_by_its_bytes_and_mapped_by_its_subject() {
    let (root, app) = (Ca::root("CN=Root,O=Acme"), self_signed(APP, as_is));
    let nobody = self_signed("CN=nobody,O=Acme", as_is);
    let mut plan = app_and_ops(&root.pem(), PINNED);
    plan.files.push(("partner.crt", format!("{}{}", app.certificate, nobody.certificate)));
    let world = World::with(plan);
    assert_is(&world, &app, "app");
    assert_is(&world, &root.leaf("CN=ops,O=Acme", as_is).identity, "ops");
    // Trusted, and nobody's: the subject is not skipped.
    for version in BOTH {
        let before = world.audit().len();
        let line = who(&world, &nobody, version).expect("the handshake succeeds");
        assert!(line.contains("NOPERM no user is mapped to this certificate"), "{line}");
        assert_eq!(wait_for(&world, before, "outcome", "refused")["reason"], "no_mapping");
    }
    // The same subject, another key.
    assert_refused(&world, &self_signed(APP, as_is), "untrusted_issuer", "client_ca");
}

/// RE-14, without any CA.
#[test]
fn pinned_certificates_need_no_ca_and_their_dates_count() {
    let old = self_signed(APP, |params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let early = self_signed(APP, |params| params.not_before = date_time_ymd(2900, 1, 1));
    let server = self_signed(APP, |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    let good = self_signed(APP, as_is);
    let mut plan = setup("", PINNED, &[APP_USER]);
    plan.edits.push(("client_ca = \"ca.crt\"\n", String::new()));
    let all = [&old, &early, &server, &good].map(|identity| identity.certificate.as_str()).concat();
    plan.files.push(("partner.crt", all));
    let world = World::with(plan.clone());
    world.announce("its client is refused");
    world.announce("is not valid before");
    assert_is(&world, &good, "app");
    assert_refused(&world, &old, "expired", "");
    assert_refused(&world, &early, "not_yet_valid", "");
    assert_refused(&world, &server, "eku", "clientAuth");
}

/// RE-15: an explicit setting of one listener, a warning and a mark in the audit.
#[test]
fn an_expired_certificate_comes_in_only_where_that_is_allowed_and_is_marked() {
    let root = Ca::root("CN=Root,O=Acme");
    let old = |params: &mut rcgen::CertificateParams| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    };
    let expired = root.leaf(APP, old).identity;
    let strict = World::with(app_and_ops(&root.pem(), ""));
    assert_refused(&strict, &expired, "expired", "");

    let world = World::with(app_and_ops(&root.pem(), "allow_expired_certificates = true"));
    world.announce("clients may come in with an expired certificate");
    world
        .gateway
        .stderr
        .wait_for("of the setting", |line| line.contains("clients may come in with an expired"));
    let before = world.audit().len();
    assert_is(&world, &expired, "app");
    assert_eq!(wait_for(&world, before, "outcome", "accepted")["expired"], true);
    let before = world.audit().len();
    assert_is(&world, &root.leaf(APP, as_is).identity, "app");
    assert!(wait_for(&world, before, "outcome", "accepted")["expired"].is_null());
    // It stays, too.
    let mut client = world.client_as(&expired).expect("let in");
    std::thread::sleep(std::time::Duration::from_millis(2500));
    client.talk(&[("ACL WHOAMI", "$app")]);
    // Nothing else is relaxed.
    let foreign = Ca::root("CN=Root,O=Acme").leaf(APP, old).identity;
    assert_refused(&world, &foreign, "untrusted_issuer", "");
    let early = root.leaf(APP, |params| params.not_before = date_time_ymd(2900, 1, 1)).identity;
    assert_refused(&world, &early, "not_yet_valid", "");
}
