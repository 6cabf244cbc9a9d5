//! Realms of certificates: whose CAs count, which value says who somebody is, and
//! whom a realm leaves to the next one.

use super::{NO_USER, answer, assert_is, assert_refused, identity, setup, whoami};
use crate::pki::{Identity, Leaf, pki};
use crate::world::{Setup, World};

/// Everybody whom a realm makes a user of is a reader.
const READERS: &str = "[roles_mapping.reader]\nusers = [\"*\"]\n\
                       [roles_mapping.writer]\nusers = [\"w\"]\n[roles_mapping.admin]\nusers = [\"a\"]\n";

fn world(listener: &'static str, more: &str) -> World {
    let world = World::with(setup(listener, &format!("{more}{READERS}")));
    world.announce("mapping_of_everybody");
    world
}

/// OS-07, OS-08, RE-18: by attribute name or OID, through a table.
#[test]
fn a_value_stands_for_the_user_that_the_table_names() {
    let more = r#"
[[realm]]
name = "programs"
kind = "certificate"
username_attribute = "2.5.4.11"
values = { "unit-1" = "ops", "unit-2" = "listed" }

[[user]]
name = "listed"
redis_user = "narrow"
redis_password_file = "narrow.password"
"#;
    let world = world("realms = [\"programs\"]", more);
    assert_is(&world, "CN=whoever,OU=unit-1,O=Acme", "ops");
    assert_is(&world, "OU=unit-2,CN=app", "narrow");
    let mut client = world.client_as(&identity("OU=unit-2")).expect("let in");
    assert_eq!(whoami(&mut client, "rule").as_deref(), Some("$values"));
    // The users' own subjects are not looked at by this realm.
    for (subject, reason) in [
        ("CN=app,O=Acme", "identity_attribute_missing"),
        ("CN=app,OU=Unit-1", "no_mapping"),
        ("CN=app,OU=unit-1,OU=unit-2", "ambiguous_identity"),
    ] {
        assert_refused(&world, &identity(subject), NO_USER, reason);
    }
}

/// OS-07, OS-10: a name that is the value itself, and is nobody else's.
#[test]
fn a_value_that_is_a_user_by_itself_is_no_other_user() {
    let more = r#"
[[realm]]
name = "programs"
kind = "certificate"
username_attribute = "CN"
user_is_value = true
"#;
    let world = world("realms = [\"programs\"]", more);
    assert_is(&world, "CN=svc-1,OU=x,O=Acme", "app");
    assert_is(&world, "CN=root,O=Acme", "root");
    for (subject, reason) in [
        // A user of the configuration, by a certificate that is not its own.
        ("CN=root,O=Evil", "unusable_name"),
        ("CN=default,O=Acme", "unusable_name"),
        ("CN=Default,O=Acme", "unusable_name"),
        ("CN=with space,O=Acme", "unusable_name"),
        ("CN=a\u{e9},O=Acme", "unusable_name"),
        ("OU=x,O=Acme", "identity_attribute_missing"),
        ("CN=a,CN=root,O=Acme", "ambiguous_identity"),
        ("CN=a\0,O=Acme", "subject_control_char"),
    ] {
        assert_refused(&world, &identity(subject), NO_USER, reason);
    }
}

/// A disabled user is not let in under another name.
#[test]
fn a_disabled_user_does_not_come_in_by_its_value() {
    let more = r#"
[[realm]]
name = "programs"
kind = "certificate"
username_attribute = "OU"
values = { "listed" = "off" }
user_is_value = true

[[user]]
name = "off"
enabled = false
certificate_subject_line = "CN=off,OU=free,O=Acme"
redis_user = "narrow"
redis_password_file = "narrow.password"
"#;
    let world = world("realms = [\"programs\"]", more);
    assert_is(&world, "CN=on,OU=free,O=Acme", "app");
    for subject in ["CN=off,OU=free,O=Acme", "CN=x,OU=listed,O=Acme"] {
        assert_refused(&world, &identity(subject), NO_USER, "user_disabled");
    }
}

/// OS-10: the whole subject in the place of a value that is missing, where that is asked for.
#[test]
fn a_missing_value_falls_back_to_the_subject_only_if_that_is_asked_for() {
    let more = r#"
[[realm]]
name = "programs"
kind = "certificate"
username_attribute = "OU"
values = { "unit" = "ops" }
fallback = "dn"
"#;
    let world = world("realms = [\"programs\"]", more);
    assert_is(&world, "CN=app,OU=unit,O=Acme", "ops");
    assert_is(&world, "CN=app,O=Acme", "app");
    assert_refused(&world, &identity("O=Acme,CN=app"), NO_USER, "rdn_order");
    assert_refused(&world, &identity("CN=app,OU=other,O=Acme"), NO_USER, "no_mapping");
}

/// OS-07: a whole subject as the user's name, in which no value poses as another part.
#[test]
fn a_whole_subject_is_a_user_and_nothing_in_it_is_one() {
    let more = r#"
[[realm]]
name = "programs"
kind = "certificate"
username_attribute = "dn"
values = { "CN=listed,O=Acme" = "ops" }
user_is_value = true
"#;
    let world = world("realms = [\"programs\"]", more);
    assert_is(&world, "CN=listed,O=Acme", "ops");
    assert_is(&world, "CN=root,O=Acme", "root");
    let mut client = world.client_as(&identity("CN=a+b,O=x")).expect("let in");
    assert_eq!(whoami(&mut client, "user").as_deref(), Some("$CN=a\\2Bb,O=x"));
    client.talk(&[("ACL WHOAMI", "$app")]);
}

/// OS-06, OS-13, ES-07, ES-08, ES-17: realms with CAs of their own, in their order.
#[test]
fn what_a_realm_does_not_look_at_is_for_the_next_one() {
    let both = format!("{}{}", pki().trusted.certificate, pki().foreign.certificate);
    let more = r#"
[[realm]]
name = "foreign"
kind = "certificate"
client_ca = "foreign.crt"
username_attribute = "CN"
user_is_value = true
skip_users = ["CN=skipped,O=Acme", "*,OU=skipped,*"]

[[realm]]
name = "own"
kind = "certificate"
"#;
    let world = World::with(Setup {
        files: vec![("ca.crt", both), ("foreign.crt", pki().foreign.certificate.clone())],
        ..setup("realms = [\"foreign\", \"own\"]", &format!("{more}{READERS}"))
    });
    world.announce("mapping_of_everybody");
    world.announce("skip_pattern");
    world.announce("subject_not_issuer_bound");
    let foreign = |subject: &str| pki().foreign.issue(Leaf::client(subject));
    let realm = |identity: Identity| whoami(&mut world.client_as(&identity).expect("let in"), "realm");
    assert_eq!(realm(foreign("CN=svc,O=Acme")).as_deref(), Some("$foreign"));
    assert_eq!(realm(identity("CN=app,O=Acme")).as_deref(), Some("$own"));
    // Of the other CA, so that the first realm declines, and unknown to the second.
    assert_refused(&world, &identity("CN=svc,O=Acme"), NO_USER, "no_mapping");
    for subject in ["CN=skipped,O=Acme", "CN=x,OU=skipped,O=Acme"] {
        assert_refused(&world, &foreign(subject), NO_USER, "no_mapping");
    }
    // A realm cannot let in whom TLS has refused.
    world.write_again(|setup| setup.files[0].1 = pki().trusted.certificate.clone());
    world.reload();
    let before = world.audit().len();
    answer(&world, &foreign("CN=svc,O=Acme"));
    world.wait_audit("of the handshake", |_| {
        world.audit()[before..].iter().any(|record| record["reason"] == "untrusted_issuer")
    });
    // Where no other realm is asked, it is its CA that is said to be another.
    world.write_again(|setup| {
        setup.listener = "realms = [\"foreign\"]";
    });
    world.announce("inactive_realm");
    world.reload();
    assert_refused(&world, &identity("CN=svc,O=Acme"), NO_USER, "issuer_scope");
}
