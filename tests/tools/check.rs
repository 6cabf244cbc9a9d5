//! `respgate check`: exit codes, names of problems, and the inventory of
//! certificates.

use serde_json::Value as Json;

use crate::bench::Bench;

const FINE: &str = r#"
whoami = true
[listener]
address = "127.0.0.1:6380"
certificate = "server.crt"
key = "server.key"
client_ca = "ca.crt"
[database]
address = "127.0.0.1:6379"
[[user]]
name = "app"
certificate_subject_line = "CN=app,O=Acme"
redis_user = "app"
redis_password_env = "RESPGATE_TEST_PASSWORD"
"#;

/// A directory with a configuration that has no problem but this password.
fn bench(days: u32, password: &str) -> Bench {
    let bench = Bench::with_authority();
    bench.fine(&format!("cert server --name localhost --ip 127.0.0.1 --days {days}"));
    bench.write("respgate.toml", &FINE.replace("redis_password_env = \"RESPGATE_TEST_PASSWORD\"", password));
    bench
}

fn json(bench: &Bench, code: i32, more: &[&str]) -> Json {
    let said = bench.respgate(&[&["check", "--config", "respgate.toml", "--json"], more].concat());
    assert_eq!(said.code, Some(code), "{said:?}");
    serde_json::from_str(&said.out).unwrap()
}

#[test]
fn a_warning_runs_unless_the_check_is_strict() {
    let bench = bench(300, "redis_password = \"hunter2\"");
    let found = json(&bench, 0, &[]);
    assert_eq!((&found["can_run"], found["errors"].as_array().unwrap().len()), (&Json::Bool(true), 0));
    assert_eq!(found["warnings"][0]["id"], "inline_password");
    assert_eq!((&found["warnings"][0]["line"], &found["warnings"][0]["column"]), (&14.into(), &1.into()));
    json(&bench, 1, &["--strict"]);
    let said = bench.refused(1, "check --config respgate.toml --strict");
    assert!(
        said.contains("warning[inline_password]")
            && said.ends_with("refused by --strict, which takes no warning\n"),
        "{said}"
    );
    bench.write("app.password", "secret");
    let key = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(bench.path("app.password"), key).unwrap();
    bench.write(
        "respgate.toml",
        &bench
            .read("respgate.toml")
            .replace("redis_password = \"hunter2\"", "redis_password_file = \"app.password\""),
    );
    bench.fine("check --config respgate.toml --strict");
    bench.refused(2, "check --strict");
    bench.refused(1, "check --config none.toml");
}

#[test]
fn certificates_that_end_within_thirty_days_are_a_warning() {
    for (days, expected) in [(29, Some("certificate_expires_soon")), (31, None)] {
        let bench = bench(days, "redis_password_env = \"PATH\"");
        let found = json(&bench, 0, &[]);
        assert_eq!(found["warnings"][0]["id"].as_str(), expected, "{found}");
    }
}

/// OS-26
#[test]
fn every_certificate_is_listed_with_each_fact_from_its_own_field() {
    let bench = bench(300, "redis_password_env = \"PATH\"");
    let found = json(&bench, 0, &[]);
    let [server, ca] = &found["certificates"].as_array().unwrap()[..] else { panic!("{found}") };
    assert_eq!((&server["role"], &ca["role"]), (&"certificate".into(), &"client_ca".into()));
    assert_eq!((&server["has_private_key"], &ca["has_private_key"]), (&true.into(), &false.into()));
    assert_eq!((&server["subject"], &server["issuer"]), (&"CN=localhost".into(), &"CN=ca,O=Acme".into()));
    assert_eq!((&ca["subject"], &ca["issuer"]), (&"CN=ca,O=Acme".into(), &"CN=ca,O=Acme".into()));
    assert_eq!((&server["ca"], &ca["ca"]), (&false.into(), &true.into()));
    let sans =
        serde_json::json!([{ "type": "dns", "value": "localhost" }, { "type": "ip", "value": "127.0.0.1" }]);
    assert_eq!(server["sans"], sans);
    for (listed, name) in [(server, "server.crt"), (ca, "ca.crt")] {
        assert_eq!(listed["file"], name);
        let shown =
            bench.openssl(&format!("x509 -in {name} -noout -serial -dates -dateopt iso_8601")).unwrap();
        let moment = |key: &str| listed[key].as_str().unwrap().replace('T', " ");
        let expected = format!(
            "serial={}\nnotBefore={}\nnotAfter={}\n",
            listed["serial"].as_str().unwrap(),
            moment("not_before"),
            moment("not_after")
        );
        assert_eq!(shown, expected);
    }
    let text = bench.fine("check --config respgate.toml --certificates");
    assert!(
        text.contains("server.crt, certificate 1 (certificate, with its key)\nsubject      CN=localhost\n"),
        "{text}"
    );
    assert!(text.contains("ca.crt, certificate 1 (client_ca)\n"), "{text}");
}
