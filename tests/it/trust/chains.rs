//! Chains of CAs: which are believed, and why the others are not.

use rcgen::{
    BasicConstraints, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, NameConstraints, date_time_ymd,
};

use super::hierarchy::{Ca, as_is};
use super::{app_and_ops, assert_is, assert_refused};
use crate::pki::Identity;
use crate::world::World;

const APP: &str = "CN=app,O=Acme";

#[test]
fn a_chain_is_believed_through_any_cas_in_any_order_and_beside_others() {
    let root = Ca::root("CN=Root,O=Acme");
    let middle = root.below("CN=Middle,O=Acme", as_is);
    let low = middle.below("CN=Low,O=Acme", as_is);
    let world = World::with(app_and_ops(&root.pem(), ""));
    let app = low.leaf(APP, as_is).identity;
    assert_is(&world, &app, "app");
    let foreign = Ca::root("CN=Foreign").pem();
    let own = app.certificate.split_inclusive("-----END CERTIFICATE-----\n").next().expect("PEM").to_owned();
    let mixed = format!("{own}{}{foreign}{}", middle.pem(), low.pem());
    assert_is(&world, &Identity { certificate: mixed, ..app }, "app");
}

#[test]
fn a_chain_that_breaks_a_rule_is_refused_by_its_name() {
    let root = Ca::root("CN=Root,O=Acme");
    let world = World::with(app_and_ops(&root.pem(), ""));
    let expired = root.below("CN=Old,O=Acme", |params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    assert_refused(&world, &expired.leaf(APP, as_is).identity, "expired", "CA in the chain has expired");
    let short =
        root.below("CN=Short,O=Acme", |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let beyond = short.below("CN=Beyond,O=Acme", as_is).leaf(APP, as_is).identity;
    assert_refused(&world, &beyond, "bad_certificate", "more CAs in the chain than one of them allows");
    let narrow = root.below("CN=Narrow,O=Acme", |params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("acme.test".to_owned())],
            excluded_subtrees: Vec::new(),
        });
    });
    let outside = narrow.leaf(APP, |params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("evil.test".try_into().expect("ASCII"))];
    });
    assert_refused(&world, &outside.identity, "bad_certificate", "not one that its CA may issue for");
    let as_ca = root.leaf(APP, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_refused(&world, &as_ca.identity, "leaf_is_ca", "CA:TRUE");
}

#[test]
fn another_cas_of_the_same_name_and_of_none_are_untrusted() {
    let (root, twin) = (Ca::root("CN=Root,O=Acme"), Ca::root("CN=Root,O=Acme"));
    let world = World::with(app_and_ops(&root.pem(), ""));
    assert_is(&world, &root.leaf(APP, as_is).identity, "app");
    assert_refused(
        &world,
        &twin.leaf(APP, as_is).identity,
        "untrusted_issuer",
        "none of the listener's client_ca",
    );
    let below_twin = twin.below("CN=Middle,O=Acme", as_is).leaf(APP, as_is).identity;
    assert_refused(&world, &below_twin, "untrusted_issuer", "none of the listener's client_ca");
    // The CA between is not shown.
    let lonely = root.below("CN=Middle,O=Acme", as_is).leaf(APP, as_is).identity;
    let own =
        lonely.certificate.split_inclusive("-----END CERTIFICATE-----\n").next().expect("PEM").to_owned();
    let lonely = Identity { certificate: own, ..lonely };
    assert_refused(&world, &lonely, "untrusted_issuer", "none of the listener's client_ca");
}

#[test]
fn who_shows_a_victims_certificate_beside_its_own_is_itself() {
    let root = Ca::root("CN=Root,O=Acme");
    let world = World::with(app_and_ops(&root.pem(), ""));
    let (victim, mallory) = (root.leaf(APP, as_is).identity, root.leaf("CN=ops,O=Acme", as_is).identity);
    let both = format!("{}{}", mallory.certificate, victim.certificate);
    assert_is(&world, &Identity { certificate: both, ..mallory.clone() }, "ops");
    // The victim's as an issuer: it is no CA.
    let stranger = Ca::root(APP).leaf("CN=ops,O=Acme", as_is).identity;
    let below = format!("{}{}", stranger.certificate, victim.certificate);
    let below = Identity { certificate: below, ..stranger };
    assert_refused(&world, &below, "bad_certificate", "is used as a CA's and is none");
}

#[test]
fn a_chain_of_a_hundred_certificates_is_not_looked_at() {
    let root = Ca::root("CN=Root,O=Acme");
    let world = World::with(app_and_ops(&root.pem(), ""));
    let app = root.leaf(APP, as_is).identity;
    let with = |count: usize| {
        let certificate = format!("{}{}", app.certificate, root.pem().repeat(count));
        Identity { certificate, ..app.clone() }
    };
    assert_is(&world, &with(7), "app");
    assert_refused(&world, &with(8), "bad_certificate", "9 certificates, expected at most 8");
    assert_refused(&world, &with(99), "bad_certificate", "100 certificates, expected at most 8");
}

/// T-61: what a certificate says that it is for.
#[test]
fn a_servers_certificate_is_refused_with_a_hint_of_what_is_missing() {
    let root = Ca::root("CN=Root,O=Acme");
    let world = World::with(app_and_ops(&root.pem(), ""));
    let with = |usages: &[ExtendedKeyUsagePurpose]| {
        root.leaf(APP, |params| params.extended_key_usages = usages.to_vec()).identity
    };
    let server = with(&[ExtendedKeyUsagePurpose::ServerAuth]);
    assert_refused(&world, &server, "eku", "needs the extended key usage clientAuth");
    assert_refused(&world, &with(&[ExtendedKeyUsagePurpose::EmailProtection]), "eku", "clientAuth");
    assert_is(&world, &with(&[]), "app");
    assert_is(
        &world,
        &with(&[ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]),
        "app",
    );
}

/// OS-20, ES-05: the CAs of `openssl pkcs12 -cacerts -nokeys`, with the text that it
/// writes around them.
#[test]
fn a_bundle_of_cas_with_text_around_them_is_read_whole() {
    let (one, two) = (Ca::root("CN=One,O=Acme"), Ca::root("CN=Two,O=Acme"));
    let bag = |ca: &Ca| {
        format!(
            "Bag Attributes\n    friendlyName: ca\n    localKeyID: 01 02\nsubject=O = Acme, CN = One\n\n\
             issuer=O = Acme, CN = One\n\n{}",
            ca.pem()
        )
    };
    let world = World::with(app_and_ops(&format!("{}{}", bag(&one), bag(&two)), ""));
    // The users are bound to no CA here.
    world.announce("subject_not_issuer_bound");
    assert_is(&world, &one.leaf(APP, as_is).identity, "app");
    assert_is(&world, &two.leaf("CN=ops,O=Acme", as_is).identity, "ops");
}
