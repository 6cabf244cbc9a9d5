//! `respgate explain`: the verdict, its reason in the words of the audit, and every
//! rule with its first difference.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value as Json, json};

use crate::bench::Bench;

const CONFIG: &str = r#"
[listener]
address = "127.0.0.1:6380"
certificate = "server.crt"
key = "server.key"
client_ca = "ca.crt"
[database]
address = "127.0.0.1:6379"
[[user]]
name = "app"
certificate_subject_line = "CN=app,OU=Unit,O=Acme"
redis_user = "app_rw"
redis_password_file = "app.password"
[[user]]
name = "ops"
certificate_subject_line = ["CN=ops,O=Acme", "CN=root,O=Acme"]
redis_user = "ops"
redis_password_file = "app.password"
"#;

fn bench() -> Bench {
    let bench = Bench::with_authority();
    bench.fine("cert server --name localhost");
    bench.write("app.password", "hunter2-planted");
    std::fs::set_permissions(bench.path("app.password"), PermissionsExt::from_mode(0o600)).unwrap();
    bench.write("respgate.toml", CONFIG);
    bench
}

fn explain(bench: &Bench, code: i32, words: &str) -> Json {
    let text = format!("explain {words} --config respgate.toml");
    let plain = bench.respgate(&text.split_whitespace().collect::<Vec<_>>());
    assert_eq!(plain.code, Some(code), "{plain:?}");
    let said = bench.respgate(&format!("{text} --json").split_whitespace().collect::<Vec<_>>());
    assert_eq!(said.code, Some(code), "{said:?}");
    assert!(!format!("{plain:?}{said:?}").contains("hunter2"), "{said:?}");
    let found: Json = serde_json::from_str(&said.out).unwrap();
    // The text ends with the same verdict.
    let verdict = match found["decision"]["reason"].as_str() {
        Some(reason) => format!("\nrefused: {reason}: "),
        None => format!("\nadmitted as user {} by ", found["decision"]["user"].as_str().unwrap()),
    };
    assert!(plain.out.contains(&verdict), "{}", plain.out);
    found
}

#[test]
fn an_admitted_certificate_is_told_its_user_its_rule_and_its_redis_user() {
    let bench = bench();
    bench.fine("cert client --subject CN=root,O=Acme --uri spiffe://acme.example/root");
    let found = explain(&bench, 0, "root.crt --from 10.0.0.7");
    let expected = json!({
        "admitted": true,
        "user": "ops",
        "realm": "certificates",
        "rule": "certificate_subject_line[1]",
        "groups": [],
        "roles": [],
        "role": null,
        "redis_user": "ops",
    });
    assert_eq!(found["decision"], expected);
    assert_eq!((&found["listener"], &found["from"]), (&"default".into(), &"10.0.0.7".into()));
    assert_eq!(found["trust"], json!({ "trusted": true }));
    assert_eq!(found["gate"], json!({ "taken": true }));
    let realm = json!({ "realm": "certificates", "verdict": "user", "user": "ops",
                        "rule": "certificate_subject_line[1]", "groups": [] });
    assert_eq!(found["realms"], json!([realm]));
    assert_eq!(found["certificate"]["subject"], "CN=root,O=Acme");
    let rules: Vec<_> = found["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| {
            (
                rule["user"].as_str().unwrap(),
                rule["text"].as_str().unwrap(),
                rule["matches"].as_bool().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("app", "CN=app,OU=Unit,O=Acme", false),
        ("ops", "CN=ops,O=Acme", false),
        ("ops", "CN=root,O=Acme", true),
    ];
    assert_eq!(rules, expected);
    assert_eq!(found["rules"][1]["difference"], "RDN 1: line CN=ops, certificate CN=root");
}

#[test]
fn what_would_have_matched_in_the_other_order_or_case_is_said() {
    let bench = bench();
    for (subject, reason, difference) in [
        ("O=Acme,OU=Unit,CN=app", "rdn_order", "it would match if its order were reversed"),
        (
            "CN=app,OU=UNIT,O=Acme",
            "case_only",
            "it differs in the case of letters or in spaces only, first in RDN 2: line OU=Unit, certificate OU=UNIT",
        ),
        ("CN=app,OU=Other,O=Acme", "no_mapping", "RDN 2: line OU=Unit, certificate OU=Other"),
        ("CN=app,OU=Unit", "no_mapping", "RDN 3: line O=Acme, certificate nothing"),
    ] {
        bench.fine(&format!("cert client --subject {subject} --as x --force"));
        let found = explain(&bench, 1, "x.crt");
        assert_eq!(found["decision"]["reason"], reason, "{subject}: {found}");
        assert_eq!(found["rules"][0]["difference"], difference, "{subject}");
    }
}

#[test]
fn a_chain_that_the_listener_does_not_believe_is_refused_whoever_it_names() {
    let bench = bench();
    let line = "CN=app,OU=Unit,O=Acme";
    // The same name, another key.
    bench.fine("cert ca --subject CN=ca,O=Acme --as other");
    bench.fine(&format!("cert client --ca other.crt --ca-key other.key --subject {line} --as foreign"));
    bench.fine(&format!("cert server --subject {line} --name localhost --as server2"));
    bench.fine(&format!("cert client --subject {line} --as brief --seconds 1"));
    std::thread::sleep(std::time::Duration::from_secs(2));
    for (name, reason) in
        [("foreign.crt", "untrusted_issuer"), ("server2.crt", "eku"), ("brief.crt", "expired")]
    {
        let found = explain(&bench, 1, name);
        assert_eq!(found["decision"]["reason"], reason, "{name}: {found}");
        assert_eq!(found["decision"]["admitted"], false);
        assert_eq!(found["rules"][0]["matches"], true, "{name}");
    }
}

#[test]
fn an_intermediate_comes_from_the_file_itself_or_from_another() {
    let bench = bench();
    bench.fine("cert ca --issuer ca.crt --issuer-key ca.key --subject CN=team --as team");
    bench.fine("cert client --ca team.crt --ca-key team.key --subject CN=ops,O=Acme");
    explain(&bench, 0, "ops.crt");
    bench.openssl("x509 -in ops.crt -out alone.crt").unwrap();
    let found = explain(&bench, 1, "alone.crt");
    assert_eq!(found["decision"]["reason"], "untrusted_issuer");
    explain(&bench, 0, "alone.crt --chain team.crt");
}

/// What a listener that takes passwords, too, does with certificates.
#[test]
fn a_certificate_that_is_not_enough_is_told_what_is_asked_for() {
    let bench = bench();
    for subject in ["CN=ops,O=Acme", "CN=app,OU=Unit,O=Acme", "CN=stranger"] {
        bench.fine(&format!("cert client --subject {subject}"));
    }
    let realms = "[[realm]]\nname = \"people\"\nkind = \"password\"\nverify = \"backend\"\n\
                  [[realm]]\nname = \"programs\"\nkind = \"certificate\"\n";
    let config = |auth: &str, listed: &str| {
        let keys = format!("client_auth = \"{auth}\"\nrealms = {listed}\n[database]");
        let app = "name = \"app\"\nauth_method = \"certificate_and_password\"";
        bench.write(
            "respgate.toml",
            &format!("{}{realms}", CONFIG.replace("[database]", &keys).replace("name = \"app\"", app)),
        );
    };
    let found = |name: &str, verdict: &str| {
        let text = format!("explain {name}.crt --config respgate.toml");
        let words: Vec<_> = text.split_whitespace().collect();
        let plain = bench.respgate(&words);
        assert!(plain.out.ends_with(verdict), "{name}: {plain:?}");
        let said = bench.respgate(&[&words[..], &["--json"]].concat());
        assert_eq!(plain.code, said.code);
        let found: Json = serde_json::from_str(&said.out).unwrap();
        let word = |key: &str| found["decision"][key].clone();
        (
            plain.code,
            word("admitted"),
            word("asks_password"),
            word("reason"),
            found["trust"]["trusted"].clone(),
        )
    };
    let asks = |trusted: bool| (Some(1), json!(false), json!(true), json!("no_password"), json!(trusted));
    let anybody = "\nasked for a name and a password: the certificate is no user's\n";
    config("optional", "[\"programs\", \"people\"]");
    let expected = (Some(0), json!(true), Json::Null, Json::Null, json!(true));
    assert_eq!(
        found("ops", "\nadmitted as user ops by certificate_subject_line[0], to Redis as ops\n"),
        expected
    );
    assert_eq!(found("app", "\nasked for the password of user app\n"), asks(true));
    assert_eq!(found("stranger", anybody), asks(true));
    // Where nobody asks for it, a certificate is of no use, whatever it says.
    config("none", "[\"people\"]");
    assert_eq!(found("ops", anybody), asks(false));
}

/// The configuration in other words, each of which must be there.
fn configure(bench: &Bench, edits: &[(&str, &str)], more: &str) {
    let mut text = CONFIG.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    bench.write("respgate.toml", &format!("{text}{more}"));
}

/// OD-04, ES-15: gate, realms, rules and roles, each with what it said.
#[test]
fn every_step_to_a_role_is_told_and_why_each_rule_does_not_grant_it() {
    let bench = bench();
    let roles = "[database]\nroles = [\n\
                 { role = \"admin\", redis_user = \"adm\", redis_password_file = \"app.password\" },\n\
                 { role = \"reader\", redis_user = \"read\", redis_password_file = \"app.password\" },\n]";
    let more = r#"
[[realm]]
name = "skips"
kind = "certificate"
skip_users = ["CN=svc,OU=team,O=Acme"]
[[realm]]
name = "values"
kind = "certificate"
username_attribute = "CN"
user_is_value = true
roles_attribute = "OU"
[[realm]]
name = "rest"
kind = "certificate"
[roles_mapping.admin]
users = ["root", "CN=svc,OU=Team,O=Acme"]
hosts = ["192.0.2.0/24"]
backend_roles = ["dba"]
[roles_mapping.reader]
backend_roles = ["team"]
[[role_rule]]
roles = ["admin"]
enabled = false
rules = { field = { username = "svc" } }
"#;
    let realms = "realms = [\"skips\", \"values\", \"rest\"]\n[database]";
    configure(&bench, &[("[database]", realms), ("[database]", roles)], more);
    bench.fine("cert client --subject CN=svc,OU=team,O=Acme");
    let found = explain(&bench, 0, "svc.crt --from 10.0.0.7");
    let decision = json!({
        "admitted": true, "user": "svc", "realm": "values", "rule": "user_is_value",
        "groups": ["team"], "roles": ["reader"], "role": "reader", "redis_user": "read",
    });
    assert_eq!(found["decision"], decision);
    let verdicts: Vec<_> = found["realms"].as_array().unwrap().iter().map(|it| &it["verdict"]).collect();
    assert_eq!(verdicts, ["left", "user", "not_asked"]);
    assert_eq!(found["realms"][0]["detail"], "the realm's skip_users has \"CN=svc,OU=team,O=Acme\"");
    let reasons = |rule: usize| -> Vec<String> {
        let misses = found["role_rules"][rule]["misses"].as_array().unwrap();
        misses.iter().map(|miss| miss["reason"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(reasons(0), ["name_mismatch", "dn_mismatch", "host_mismatch", "group_mismatch"]);
    assert_eq!((&found["role_rules"][1]["granted"], reasons(2)), (&json!(true), vec!["disabled".to_owned()]));
    let text = bench.respgate(&["explain", "svc.crt", "--config", "respgate.toml", "--from", "10.0.0.7"]).out;
    for line in [
        "realm values: user svc by user_is_value, in the groups team\n",
        "realm rest: not asked\n",
        "roles_mapping.admin: does not grant admin\n    name_mismatch: user name \"svc\" is none of the 1 in users\n",
        "    host_mismatch: address 10.0.0.7 is not in 192.0.2.0/24\n",
        "roles_mapping.reader: grants reader\n",
        "\nadmitted as user svc by user_is_value, to Redis as read by the role reader\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    // From elsewhere it would have another role; another name has none.
    let found = explain(&bench, 0, "svc.crt --from 192.0.2.7");
    assert_eq!(found["decision"]["role"], "admin");
    bench.fine("cert client --subject CN=none,O=Acme");
    let found = explain(&bench, 1, "none.crt");
    assert_eq!(found["decision"]["reason"], "no_role");
    assert_eq!(found["realms"][1]["user"], "none");
}

/// OS-23: what TLS refuses is refused here, in the same words.
#[test]
fn a_revoked_certificate_and_one_of_a_ca_are_refused() {
    let bench = bench();
    bench.fine("cert client --subject CN=ops,O=Acme");
    bench.fine("cert client --subject CN=root,O=Acme");
    bench.fine("cert revoke root.crt");
    bench.fine("cert crl");
    configure(&bench, &[("client_ca = \"ca.crt\"", "client_ca = \"ca.crt\"\ncrl = \"ca.crl\"")], "");
    explain(&bench, 0, "ops.crt");
    let found = explain(&bench, 1, "root.crt");
    assert_eq!(found["decision"]["reason"], "revoked");
    assert_eq!((&found["trust"]["trusted"], &found["realms"]), (&json!(false), &json!([])));
    configure(&bench, &[], "");
    bench.fine("cert ca --issuer ca.crt --issuer-key ca.key --subject CN=ops,O=Acme --as middle");
    assert_eq!(explain(&bench, 1, "middle.crt")["decision"]["reason"], "leaf_is_ca");
}

/// RE-04, OS-23: the gate, a CA that is not the user's, a list, a CA's certificate, and
/// listeners that differ.
#[test]
fn the_listener_decides_and_says_which_of_its_conditions_it_was() {
    let bench = bench();
    bench.fine("cert ca --subject CN=second --as second");
    bench.fine("cert client --subject CN=ops,O=Acme");
    bench.fine("cert client --ca second.crt --ca-key second.key --subject CN=ops,O=Acme --as other");
    let two = ("client_ca = \"ca.crt\"", "client_ca = [\"ca.crt\", \"second.crt\"]");
    let bound = ("name = \"ops\"", "name = \"ops\"\nissuer = \"ca.crt\"");
    configure(&bench, &[two, bound], "");
    explain(&bench, 0, "ops.crt");
    let found = explain(&bench, 1, "other.crt");
    assert_eq!(found["decision"]["reason"], "issuer_scope");
    assert_eq!(found["realms"][0]["verdict"], "refused");

    // By the SHA-256 of the CA's certificate, one in the middle of the chain.
    bench.fine("cert ca --issuer ca.crt --issuer-key ca.key --subject CN=team --as team");
    bench.fine("cert client --ca team.crt --ca-key team.key --subject CN=ops,O=Acme --as below");
    let print = bench.openssl("x509 -in team.crt -noout -fingerprint -sha256").unwrap();
    let print = print.trim().split('=').next_back().unwrap().to_owned();
    configure(&bench, &[("name = \"ops\"", &format!("name = \"ops\"\nissuer = \"{print}\""))], "");
    explain(&bench, 0, "below.crt");
    assert_eq!(explain(&bench, 1, "ops.crt")["decision"]["reason"], "issuer_scope");

    let gate = "client_ca = \"ca.crt\"\nmtls_client_cert_subject_validation_type = \"san_cn\"\n\
                mtls_authorized_subjects = [{ CN = \"app\" }]";
    configure(&bench, &[("client_ca = \"ca.crt\"", gate)], "");
    let found = explain(&bench, 1, "ops.crt");
    assert_eq!(
        (&found["decision"]["reason"], &found["gate"]["reason"]),
        (&json!("gate_cn"), &json!("gate_cn"))
    );
    assert_eq!(found["realms"][0]["verdict"], "not_asked");

    let listeners = "[[listener]]\nname = \"gated\"\naddress = \"127.0.0.1:6380\"\ncertificate = \"server.crt\"\n\
                     key = \"server.key\"\nclient_ca = \"second.crt\"\n[[listener]]\nname = \"open\"";
    let address = ("127.0.0.1:6380\"\ncertificate", "127.0.0.1:6381\"\ncertificate");
    configure(&bench, &[address, ("[listener]", listeners)], "");
    explain(&bench, 0, "ops.crt --listener open");
    let found = explain(&bench, 1, "ops.crt --listener gated");
    assert_eq!(
        (&found["listener"], &found["decision"]["reason"]),
        (&json!("gated"), &json!("untrusted_issuer"))
    );
    assert_eq!(found["realms"], json!([]));
}

#[test]
fn what_cannot_be_told_ends_with_exit_code_2() {
    let bench = bench();
    bench.fine("cert client --subject CN=ops,O=Acme");
    for (line, said) in [
        ("explain ops.crt --config none.toml", "cannot read none.toml"),
        ("explain none.crt --config respgate.toml", "none.crt: No such file"),
        ("explain ops.key --config respgate.toml", "ops.key: there is no certificate in it"),
        ("explain ops.crt --config respgate.toml --listener other", "there is no listener \"other\""),
        ("explain ops.crt --config respgate.toml --from nowhere", "invalid value 'nowhere'"),
        ("explain ops.crt", "--config"),
    ] {
        let error = bench.refused(2, line);
        assert!(error.contains(said), "{line}: {error}");
    }
}
