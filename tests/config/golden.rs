//! Every problem that a configuration can have, and exactly what is said about
//! it. The texts are in tests/golden/check.txt, one block a case; after a
//! deliberate change, RESPGATE_BLESS=1 writes them anew.

use std::collections::BTreeSet;
use std::fs;

use respgate::cli::check::{as_json, as_text};

use crate::pki::{self, Ca, Change};
use crate::world::{FINE, World};

/// A way to spoil a configuration that has no problem.
pub(crate) struct Case {
    pub(crate) claim: &'static str,
    /// Texts of the file and what stands there instead.
    pub(crate) edits: &'static [(&'static str, &'static str)],
    /// What is added at its end.
    pub(crate) more: &'static str,
    /// What happens to the files it names.
    pub(crate) spoil: fn(&World),
}

const fn nothing(_: &World) {}

/// A case that spoils nothing.
pub(crate) const CASE: Case = Case { claim: "", edits: &[], more: "", spoil: nothing };

const PASSWORD: &str = "redis_password_file = \"app.password\"";
pub(crate) const USER: &str = "[[user]]\nname = \"app\"\ncertificate_subject_line = \"CN=app,O=Acme\"\n\
                    redis_user = \"app\"\nredis_password_file = \"app.password\"\n";
pub(crate) const LINE: &str = "\"CN=app,O=Acme\"";

const CASES: &[Case] = &[
    Case { claim: "a configuration without a problem", ..CASE },
    Case {
        claim: "syntax errors are all reported, without the text of the line",
        edits: &[
            ("\"127.0.0.1:6380\"", "127.0.0.1:6380"),
            (PASSWORD, "redis_password = hunter2\nredis_password = \"hunter2"),
        ],
        ..CASE
    },
    Case { claim: "a key that is there twice", more: "name = \"again\"", ..CASE },
    Case {
        claim: "unknown keys name those that look alike, or all",
        edits: &[("client_ca", "client_cas"), ("[database]", "zzz = 1\n[database]\nadress = 1")],
        more: "redis_pasword = \"hunter2\"\n[limits]\nclients_mx = 1\n\"a \\u0007 key\" = 1\n[listner]",
        ..CASE
    },
    Case { claim: "an empty file misses its sections", edits: &[(FINE, "")], ..CASE },
    Case {
        claim: "empty sections miss their keys",
        edits: &[(FINE, "[listener]\n[database]\n[[user]]\n[admin]\n[log]\n[audit]\n[limits]")],
        ..CASE
    },
    Case {
        claim: "values of another kind are not shown",
        edits: &[
            ("\"127.0.0.1:6379\"", "6379"),
            (PASSWORD, "redis_password = 20261122"),
            (LINE, "[\"CN=app,O=Acme\", 7, [\"CN=b\"]]"),
            ("client_ca = \"ca.crt\"", "client_ca = 2026-11-22"),
            ("name = \"app\"", "name = 1.5\nignore_case = \"yes\""),
        ],
        more: "[limits]\nclients_max = \"many\"\n[admin.address]",
        ..CASE
    },
    Case { claim: "a user in single brackets", edits: &[("[[user]]", "[user]")], ..CASE },
    Case { claim: "a list that must not be empty", edits: &[(LINE, "[]"), ("\"ca.crt\"", "[]")], ..CASE },
    Case {
        claim: "words that are not in the list",
        edits: &[
            (
                "key = \"server.key\"",
                "key = \"server.key\"\ntls_min_version = \"1.1\"\nclient_eku = \"optional\"",
            ),
            ("name = \"app\"", "name = \"app\"\nauth_method = \"password\"\ncommands = \"some\""),
        ],
        more: "[log]\nformat = \"xml\"",
        ..CASE
    },
    Case {
        claim: "limits that make no sense, alone or together",
        edits: &[("[listener]", "workers = 1000\n[listener]")],
        more: "[limits]\nclients_max = 0\nshared_links_max = 9\nconnect_timeout_ms = -1\nkeepalive_ms = 10\n\
               op_timeout_ms = 99999999999\nprobe_timeout_ms = 99999999999999999999\nreply_depth_max = 1.5\n\
               client_output_soft_bytes = 67108865\nreconnect_max_ms = 49\nlink_queue_bytes_max = 1024",
        ..CASE
    },
    Case {
        claim: "addresses that are none",
        edits: &[("\"127.0.0.1:6380\"", "\"localhost:6380\""), ("\"127.0.0.1:6379\"", "\"redis\"")],
        more: "[admin]\naddress = \"9121\"",
        ..CASE
    },
    Case { claim: "metrics for everybody", more: "[admin]\naddress = \"0.0.0.0:9121\"", ..CASE },
    Case {
        claim: "a socket whose path the system cannot take",
        edits: &[(
            "127.0.0.1:6379",
            "unix:/a234567890/b234567890/c234567890/d234567890/e234567890/f234567890/g234567890/h234567890/i234567890/j234567890",
        )],
        ..CASE
    },
    Case { claim: "a log filter that is none", more: "[log]\nlevel = \"respgate=loud\"", ..CASE },
    Case {
        claim: "words that are no levels do not silence the log",
        more: "[log]\nlevel = \"info,Warning,verbose,respgate=debug\"",
        ..CASE
    },
    Case { claim: "an empty log filter", more: "[log]\nlevel = \" , \"", ..CASE },
    Case {
        claim: "a log filter may have spaces, numbers and capitals",
        more: "[log]\nlevel = \" WARN, 4,, respgate::io=debug ,rustls=warn\"",
        ..CASE
    },
    Case {
        claim: "a log filter for who writes nothing",
        more: "[log]\nlevel = \"info,respgat=debug,redis=warn\"",
        ..CASE
    },
    Case { claim: "an audit file in no directory", more: "[audit]\nfile = \"log/audit.log\"", ..CASE },
    Case {
        claim: "an audit file that is a directory",
        more: "[audit]\nfile = \"log\"",
        spoil: |world| fs::create_dir(world.path("log")).unwrap(),
        ..CASE
    },
    Case {
        claim: "files that are not there are all reported",
        edits: &[("\"ca.crt\"", "[\"ca.crt\", \"other.crt\"]")],
        spoil: |world| {
            for name in ["server.crt", "server.key", "ca.crt", "app.password"] {
                fs::remove_file(world.path(name)).unwrap();
            }
        },
        ..CASE
    },
    Case {
        claim: "a directory in place of a file",
        spoil: |world| {
            fs::remove_file(world.path("ca.crt")).unwrap();
            fs::create_dir(world.path("ca.crt")).unwrap();
        },
        ..CASE
    },
    Case {
        claim: "a file that is too large",
        spoil: |world| world.write("app.password", &"x".repeat((1 << 20) + 1)),
        ..CASE
    },
    Case {
        claim: "secrets that others can read",
        spoil: |world| {
            world.mode("server.key", 0o640);
            world.mode("app.password", 0o604);
        },
        ..CASE
    },
    Case {
        claim: "secrets that others may read",
        edits: &[("[listener]", "allow_readable_secrets = true\n[listener]")],
        spoil: |world| {
            world.mode("server.key", 0o640);
            world.mode("app.password", 0o602);
        },
        ..CASE
    },
    Case { claim: "an empty CA file", spoil: |world| world.write("ca.crt", ""), ..CASE },
    Case {
        claim: "damaged PEM, without its text",
        spoil: |world| {
            world.write("ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n");
            world.write("server.crt", "-----BEGIN CERTIFICATE-----\n!hunter2\n-----END CERTIFICATE-----\n");
            world.write("server.key", "-----BEGIN PRIVATE KEY--hunter2\nAAAA\n-----END PRIVATE KEY-----\n");
        },
        ..CASE
    },
    Case {
        claim: "PEM around something else",
        spoil: |world| {
            world.write("ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
            world.write("server.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        },
        ..CASE
    },
    Case {
        claim: "a certificate in place of the key",
        spoil: |world| world.write("server.key", &world.ca.pem()),
        ..CASE
    },
    Case {
        claim: "two keys in one file",
        spoil: |world| {
            let key = || world.ca.issue("any", pki::as_is).key;
            world.write("server.key", &format!("{}{}", key(), key()));
        },
        ..CASE
    },
    Case {
        claim: "an encrypted key",
        spoil: |world| {
            let text = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
            world.write("server.key", text);
        },
        ..CASE
    },
    Case {
        claim: "an encrypted key of the old kind",
        spoil: |world| {
            let text = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n\
                        -----END RSA PRIVATE KEY-----\n";
            world.write("server.key", text);
        },
        ..CASE
    },
    Case {
        claim: "a key that does not fit its certificate",
        spoil: |world| world.write("server.key", &world.ca.issue("other", pki::as_is).key),
        ..CASE
    },
    Case {
        claim: "a server certificate with a weak key",
        spoil: |world| world.write("server.crt", include_str!("fixtures/rsa1024.crt")),
        ..CASE
    },
    Case {
        claim: "a server certificate of an old version",
        spoil: |world| world.write("server.crt", include_str!("fixtures/v1.crt")),
        ..CASE
    },
    Case {
        claim: "a client's certificate among the CAs",
        spoil: |world| {
            let leaf = world.ca.issue("app", pki::for_clients).certificate;
            world.write("ca.crt", &format!("{}{leaf}", world.ca.pem()));
        },
        ..CASE
    },
    Case {
        claim: "an expired server certificate is a warning",
        spoil: |world| world.serve(pki::expired),
        ..CASE
    },
    Case {
        claim: "an expired CA is a warning",
        spoil: |world| world.write("ca.crt", &Ca::with("Old CA", pki::expired).pem()),
        ..CASE
    },
    Case {
        claim: "a server certificate of the future is a warning",
        spoil: |world| world.serve(pki::not_yet_valid),
        ..CASE
    },
    Case {
        claim: "a server certificate that ends within thirty days is a warning",
        spoil: |world| {
            let ends_soon: Change = |params| params.not_after = rcgen::date_time_ymd(2027, 2, 14);
            world.serve(ends_soon);
        },
        ..CASE
    },
    Case { claim: "nobody may come in", edits: &[(USER, "")], ..CASE },
    Case {
        claim: "names that are none",
        edits: &[
            ("name = \"app\"", "name = \"the app\""),
            (
                "redis_user = \"app\"",
                "redis_user = \"\"\ncommands = [\"debug\", \"config set\", \"a|b|c\", \"\"]",
            ),
        ],
        ..CASE
    },
    Case {
        claim: "commands that are not guarded, or misspelled",
        edits: &[(
            "redis_user = \"app\"",
            "redis_user = \"app\"\ncommands = [\"debug\", \"config\", \"ACL|SETUSER\", \"config|sett\", \"nosuchcommand\", \"get\", \"debug|object\"]",
        )],
        ..CASE
    },
    Case { claim: "no password", edits: &[(PASSWORD, "")], ..CASE },
    Case {
        claim: "three passwords",
        edits: &[(
            PASSWORD,
            "redis_password_file = \"app.password\"\nredis_password_env = \"APP_PASSWORD\"\nredis_password = \"hunter2\"",
        )],
        ..CASE
    },
    Case {
        claim: "a password in the file is a warning",
        edits: &[(PASSWORD, "redis_password = \"hunter2\"")],
        ..CASE
    },
    Case { claim: "an empty password", edits: &[(PASSWORD, "redis_password = \"\"")], ..CASE },
    Case { claim: "an empty password file", spoil: |world| world.write("app.password", "\n"), ..CASE },
    Case {
        claim: "a variable that is not set",
        edits: &[(PASSWORD, "redis_password_env = \"APP_PASWORD\"")],
        ..CASE
    },
    Case {
        claim: "a variable that is empty",
        edits: &[(PASSWORD, "redis_password_env = \"EMPTY\"")],
        ..CASE
    },
    Case {
        claim: "a password where the name of a variable belongs is not shown",
        edits: &[(PASSWORD, "redis_password_env = \"hunter-2\"")],
        ..CASE
    },
    Case {
        claim: "subject lines that cannot be read are all reported",
        edits: &[(
            LINE,
            "[\n  \"/O=Acme/CN=app\",\n  \"CN=app,XYZ=1\",\n  \"CN=app,O=Acme, Inc.\",\n  \"\",\n  \"CN=app;O=Acme\",\n]",
        )],
        ..CASE
    },
    Case {
        claim: "users that cannot be told apart, beside other problems of theirs",
        edits: &[(PASSWORD, "")],
        more: "[[user]]\nname = \"app\"\ncertificate_subject_line = [\"CN=x\", \"cn = app , o=Acme\"]\n\
               redis_user = \"x\"\nredis_password_env = \"APP_PASSWORD\"\n\
               [[user]]\nname = \"other\"\ncertificate_subject_line = \"CN=APP,O=Acme\"\nignore_case = true\n\
               redis_user = \"x\"\nredis_password_env = \"APP_PASSWORD\"",
        ..CASE
    },
    Case {
        claim: "subject lines that may mean something else are warnings",
        edits: &[(LINE, "[\"C=CA,O=Acme,CN=app\", \"CN=app,SN=42\", \"CN=app,S=Ontario\", \"CN=a\\\\0Ab\"]")],
        ..CASE
    },
];

impl Case {
    fn text(&self) -> String {
        let edited = self.edits.iter().fold(FINE.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{}: {from:?} is not there", self.claim);
            text.replacen(from, to, 1)
        });
        format!("{edited}{}\n", self.more)
    }

    fn check(&self) -> (World, Result<respgate::config::Loaded, respgate::config::Problems>) {
        let world = World::new();
        (self.spoil)(&world);
        let result = world.load(&self.text());
        (world, result)
    }
}

/// Holds what is said about these cases against a golden file.
pub(crate) fn assert_said(name: &str, cases: &[Case]) {
    let blocks = cases.iter().map(|case| {
        let (world, result) = case.check();
        let text = world.without_directory(&as_text(&result));
        assert!(
            !format!("{text}{}", as_json(&result)).contains("hunter"),
            "{}: shows a password",
            case.claim
        );
        format!("# {}\n{text}\n", case.claim)
    });
    golden(name, &blocks.collect::<Vec<_>>().join("\n"));
}

fn golden(name: &str, found: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("RESPGATE_BLESS").is_some() {
        fs::write(&path, found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap();
    for (found, expected) in found.split("\n\n").zip(expected.split("\n\n")) {
        assert_eq!(found, expected);
    }
    assert_eq!(found, expected);
}

#[test]
fn every_problem_is_said_as_the_golden_file_says() {
    assert_said("check.txt", CASES);
}

#[test]
fn every_cause_is_in_the_golden_file() {
    let sources = [
        include_str!("../../src/config/cause.rs"),
        include_str!("../../src/config/identity_cause.rs"),
        include_str!("../../src/config/role_cause.rs"),
        include_str!("../../src/config/secret_cause.rs"),
        include_str!("../../src/config/keystore/mod.rs"),
    ];
    let mut ids = BTreeSet::new();
    for source in sources {
        let arms = source.split("fn id(").nth(1).unwrap().split("fn way_out(").next().unwrap();
        ids.extend(arms.split("=> \"").skip(1).map(|arm| arm.split('"').next().unwrap()));
    }
    assert!(ids.len() > 40, "{ids:?}");
    let golden = concat!(
        include_str!("../golden/check.txt"),
        include_str!("../golden/database.txt"),
        include_str!("../golden/listeners.txt"),
        include_str!("../golden/passwords.txt"),
        include_str!("../golden/realms.txt"),
        include_str!("../golden/recognised.txt"),
        include_str!("../golden/roles.txt"),
        include_str!("../golden/secrets.txt")
    );
    let missing: Vec<_> = ids.into_iter().filter(|id| !golden.contains(&format!("[{id}]"))).collect();
    // not_text, foreign_file and readable_configuration have tests of their own. secret_name, empty_secret, large_secret and
    // full_keystore are said by `respgate keystore`, no_pkcs12 by another build, no_randomness by a
    // broken system; the others guard against what other checks have ruled out.
    let elsewhere = [
        "empty_secret",
        "foreign_file",
        "full_keystore",
        "large_secret",
        "no_pkcs12",
        "no_randomness",
        "not_text",
        "readable_configuration",
        "secret_name",
        "unusable_tls",
    ];
    assert_eq!(missing, elsewhere);
}

#[test]
fn the_json_form_says_the_same() {
    let case = CASES.iter().find(|case| case.claim == "an empty password").unwrap();
    let (world, result) = case.check();
    let json: serde_json::Value = serde_json::from_str(&as_json(&result)).unwrap();
    let expected = serde_json::json!({
        "id": "inline_password",
        "file": world.path("respgate.toml").display().to_string(),
        "key": "user[0].redis_password",
        "line": 14,
        "column": 1,
        "message": "the password stands in the configuration file",
        "fix": "whoever reads the file reads it: use redis_password_file, redis_password_env or redis_password_keystore",
    });
    assert_eq!(json["warnings"], serde_json::json!([expected]));
    let expected = serde_json::json!({
        "id": "empty_password",
        "file": world.path("respgate.toml").display().to_string(),
        "key": "user[0].redis_password",
        "line": 14,
        "column": 1,
        "message": "the password is empty",
        "fix": null,
    });
    assert_eq!(json["errors"], serde_json::json!([expected]));
    assert_eq!(json["can_run"], false);
}

#[test]
fn a_file_that_cannot_be_read_at_all_is_one_problem() {
    let world = World::new();
    let missing = respgate::config::load(&world.path("none.toml")).unwrap_err();
    let text = world.without_directory(&missing.to_string());
    assert_eq!(
        text,
        "none.toml: error[unreadable_file]: cannot read none.toml: there is no such file\n    \
         relative paths start at the configuration file's directory"
    );
    fs::write(world.path("bytes.toml"), b"# \xff\n").unwrap();
    let bytes = respgate::config::load(&world.path("bytes.toml")).unwrap_err();
    assert_eq!(bytes.list[0].cause.id(), "not_text");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    #[test]
    fn no_text_in_place_of_a_configuration_panics(text in "\\PC{0,200}") {
        let world = World::new();
        let _ = as_text(&world.load(&text));
    }

    #[test]
    fn no_damage_to_a_configuration_panics(at in 0usize..FINE.len(), with in "[\\[\\]\"'=.,{}\n#\\\\a0-]{0,6}") {
        let world = World::new();
        let text = format!("{}{with}{}", &FINE[..at], &FINE[at..]);
        let _ = as_text(&world.load(&text));
    }
}

#[test]
fn deep_nesting_is_a_syntax_error() {
    let world = World::new();
    let text = format!("a = {}\n", "[".repeat(100_000));
    assert_eq!(world.load(&text).unwrap_err().list[0].cause.id(), "syntax");
}
