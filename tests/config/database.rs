//! Problems of how Redis is reached, for the golden file.

use crate::golden::{CASE, Case, assert_said};
use crate::pki::for_servers;

const ADDRESS: &str = "address = \"127.0.0.1:6379\"";

const CASES: &[Case] = &[
    Case {
        claim: "TLS to Redis by a CA",
        edits: &[(ADDRESS, "address = \"redis.example:6379\"\ntls = { ca = \"ca.crt\" }")],
        ..CASE
    },
    Case {
        claim: "TLS to Redis without anybody to trust is an error",
        edits: &[(ADDRESS, "address = \"redis.example:6379\"\n[database.tls]")],
        ..CASE
    },
    Case {
        claim: "a backend that is not verified is a warning each time",
        edits: &[(ADDRESS, "address = \"redis.example:6379\"\ntls = { verification_mode = \"none\" }")],
        ..CASE
    },
    Case {
        claim: "a CA that nothing is held against is an error",
        edits: &[(
            ADDRESS,
            "address = \"redis.example:6379\"\ntls = { verification_mode = \"none\", ca = \"ca.crt\" }",
        )],
        ..CASE
    },
    Case {
        claim: "what TLS to Redis cannot be made of is said at each key",
        edits: &[(
            ADDRESS,
            "address = \"unix:/redis.sock\"\n[database.tls]\nca = [\"leaf.crt\", \"nowhere.crt\"]\n\
             ca_fingerprint = \"4a\"\nverification_mode = \"ful\"\ncertificate = \"server.crt\"\nca_file = \"x\"",
        )],
        spoil: |world| world.write("leaf.crt", &world.ca.issue("leaf", for_servers).certificate),
        ..CASE
    },
    Case {
        claim: "a name that no certificate can be for, and a key of another certificate",
        edits: &[(
            ADDRESS,
            "address = \"redis.example:6379\"\n[database.tls]\nca = \"ca.crt\"\nserver_name = \"a b\"\n\
             certificate = \"ca.crt\"\nkey = \"server.key\"",
        )],
        ..CASE
    },
    Case {
        claim: "a password of a key that is not there",
        edits: &[(
            ADDRESS,
            "address = \"redis.example:6379\"\n[database.tls]\nca = \"ca.crt\"\nkey_password_env = \"PASSWORD\"",
        )],
        ..CASE
    },
    Case {
        claim: "several databases need names, and whoever leads to one says to which",
        edits: &[(
            "[database]",
            "[[database]]\naddress = \"unix:/a.sock\"\n[[database]]\nname = \"a b\"\naddress = \"unix:/b.sock\"\n\
             [[database]]\naddress = \"unix:/c.sock\"\n[[database]]\nname = \"orders\"",
        )],
        ..CASE
    },
    Case {
        claim: "a database that is not there, and a server name that is none",
        edits: &[
            (ADDRESS, "name = \"orders\"\naddress = \"127.0.0.1:6379\""),
            (
                "client_ca = \"ca.crt\"",
                "client_ca = \"ca.crt\"\ndatabase = \"stock\"\n\
                 sni = { \"a b\" = \"orders\", \"stock.example\" = \"stock\" }",
            ),
            ("redis_user = \"app\"", "redis_user = \"app\"\ndatabase = \"order\""),
        ],
        ..CASE
    },
];

#[test]
fn every_problem_with_the_database_is_said_as_the_golden_file_says() {
    assert_said("database.txt", CASES);
}
