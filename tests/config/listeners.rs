//! Problems of listeners and of whom they trust, for the golden file.

use std::fs;

use crate::golden::{CASE, Case, assert_said};
use crate::pki::{self, Ca};
use crate::world::{NOW, World};

const DAY: i64 = 24 * 60 * 60;

const CA: &str = "client_ca = \"ca.crt\"";

fn copy_fixtures(world: &World) {
    let fixtures = format!("{}/tests/config/fixtures", env!("CARGO_MANIFEST_DIR"));
    for entry in fs::read_dir(fixtures).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), world.path(&entry.file_name().into_string().unwrap())).unwrap();
    }
}

const CASES: &[Case] = &[
    Case {
        claim: "OS-23: revocation lists that cannot be used are errors",
        edits: &[(
            CA,
            "client_ca = \"ca.crt\"\ncrl = [\"v1.crl\", \"delta.crl\", \"indirect.crl\", \"some-reasons.crl\", \
             \"no-name.crl\", \"garbage.crl\", \"ca.crt\", \"nowhere.crl\", \"foreign.crl\"]",
        )],
        spoil: |world| {
            copy_fixtures(world);
            world.write("ca.crt", &world.ca.pem());
            world.write("garbage.crl", "0\u{3}abc");
            world.write("foreign.crl", &Ca::new("Test CA").crl(&[], NOW - DAY, NOW + 9 * DAY));
        },
        ..CASE
    },
    Case {
        claim: "revocation lists that end, or have ended, are warnings",
        edits: &[(CA, "client_ca = \"ca.crt\"\ncrl = [\"old.crl\", \"new.crl\"]")],
        spoil: |world| {
            world.write("old.crl", &world.ca.crl(&[1], NOW - 9 * DAY, NOW - DAY));
            world.write("new.crl", &world.ca.crl(&[1], NOW - DAY, NOW + DAY / 2));
        },
        ..CASE
    },
    Case {
        claim: "OS-23: misspelled keys and words about revocation",
        edits: &[(
            CA,
            "client_ca = \"ca.crt\"\ncrls = \"a\"\ncrl_dept = 1\ncrl_depth = \"all\"\ncrl_unknown = false",
        )],
        ..CASE
    },
    Case {
        claim: "RE-14: pinned client certificates that nobody could come in with",
        edits: &[(CA, "client_certificates = [\"ca.crt\", \"sha1-self-signed.crt\", \"old.crt\"]")],
        spoil: |world| {
            copy_fixtures(world);
            world.write("ca.crt", &world.ca.pem());
            world.write("old.crt", &world.ca.issue("old", pki::expired).certificate);
        },
        ..CASE
    },
    Case {
        claim: "RE-15: expired certificates are a warning, weak hashes an error",
        edits: &[(
            CA,
            "client_ca = \"ca.crt\"\nallow_expired_certificates = true\nmtls_allow_weak_hashing = true",
        )],
        ..CASE
    },
    Case {
        claim: "clients without a certificate, and no other way to come in",
        edits: &[(CA, "client_auth = \"none\"")],
        more: "",
        ..CASE
    },
    Case {
        claim: "listeners that cannot be told apart",
        edits: &[("[listener]", "[[listener]]")],
        more: "[[listener]]\naddress = \"127.0.0.1:6380\"\ncertificate = \"server.crt\"\nkey = \"server.key\"\n\
               client_ca = \"ca.crt\"\n[[listener]]\nname = \"a b\"\naddress = \"127.0.0.1:6381\"\n\
               certificate = \"server.crt\"\nkey = \"server.key\"\nclient_ca = \"ca.crt\"",
        ..CASE
    },
    Case {
        claim: "all addresses of a port beside one of them, and beside the admin's",
        edits: &[("[listener]", "[[listener]]\nname = \"apps\""), ("127.0.0.1:6380", "0.0.0.0:6380")],
        more: "[[listener]]\nname = \"people\"\naddress = \"127.0.0.1:6380\"\ncertificate = \"server.crt\"\n\
               key = \"server.key\"\nclient_ca = \"ca.crt\"\n[admin]\naddress = \"127.0.0.1:6380\"",
        ..CASE
    },
    Case {
        claim: "all addresses of IPv6 have those of IPv4, if the system is not told otherwise",
        edits: &[("127.0.0.1:6380", "[::]:6380")],
        more: "[admin]\naddress = \"127.0.0.1:6380\"",
        ..CASE
    },
    Case {
        claim: "an admin at one of all addresses of IPv6",
        edits: &[("127.0.0.1:6380", "[::]:6380")],
        more: "[admin]\naddress = \"[::1]:6380\"",
        ..CASE
    },
    Case {
        claim: "the same port at addresses that are apart",
        edits: &[("127.0.0.1:6380", "0.0.0.0:6380")],
        more: "[admin]\naddress = \"[::1]:6380\"",
        ..CASE
    },
    Case {
        claim: "several listeners without a problem",
        edits: &[("[listener]", "[[listener]]\nname = \"apps\"")],
        more: "[[listener]]\nname = \"people\"\naddress = \"127.0.0.1:6381\"\ncertificate = \"server.crt\"\n\
               key = \"server.key\"\nclient_ca = \"ca.crt\"",
        ..CASE
    },
];

#[test]
fn every_problem_with_listeners_is_said_as_the_golden_file_says() {
    assert_said("listeners.txt", CASES);
}
