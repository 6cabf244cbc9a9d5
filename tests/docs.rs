//! docs/identity.md is run: its commands in their order, in one directory, with a real
//! Redis and the real gateway; each configuration through `respgate check --strict`,
//! and each of its claims about a certificate through `respgate explain`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod page;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use page::{Block, Ports, blocks, shell};
use respgate::identity::Reason;
use toml::{Table, Value};

const PAGE: &str = include_str!("../docs/identity.md");

/// The page's certificate has these; the test's own has others.
const PRINTED: [(&str, &str); 3] = [
    ("certificate_sha256", "5da9e1e82b47fdc16c9541c69768483bd1ddefb8a7a3e75e6ac8070206a58d6d"),
    ("spki_sha256", "788ce500d600d56ac7fea943e8f1fa9945a5cfdd420e555f13d8c43f8d945cc7"),
    ("serial", "43C3B425A7E7CC825573C83C40186AEF"),
];

#[test]
fn every_reason_is_in_the_table_and_nothing_else() {
    let (_, table) = PAGE.split_once("\n## Why somebody is refused\n").unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows: Vec<&str> =
        table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    let set = |words: &[&'static str]| words.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(set(&rows), set(&reasons));
    assert_eq!(rows.len(), reasons.len(), "a reason is there twice");
}

#[test]
fn every_example_of_the_page_does_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let ports = Ports::in_place_of(&[6379, 6380, 6381, 9121]);
    let _redis = page::redis(dir, &ports);
    // What the page takes as given.
    let user = "redis-cli -p 6379 ACL SETUSER app on '>correct horse' '~*' '&*' +@all";
    shell(dir, &ports.own(user));
    let passwords = "for user in app jane joe; do echo 'correct horse' > $user.password; done";
    shell(dir, &format!("umask 077; {passwords}"));

    let blocks = blocks(PAGE);
    let first = blocks.iter().find(|block| block.language == "toml").unwrap();
    fs::write(dir.join("respgate.toml"), ports.own(first.text)).unwrap();
    let mut gateway = None;
    let mut said = String::new();
    for block in &blocks {
        match block.language {
            "sh" => {
                said.clear();
                for command in block.text.lines() {
                    match command.strip_prefix("respgate run ") {
                        Some(args) => gateway = Some(page::gateway(dir, &ports, args)),
                        None => said += &shell(dir, &ports.own(command)),
                    }
                }
            }
            "text" => block.text.lines().for_each(|line| assert_said(&said, line)),
            "toml" => {}
            other => panic!("a block of {other:?}"),
        }
    }
    assert!(gateway.is_some(), "the page runs the gateway");

    let configurations: Vec<&Block<'_>> = blocks.iter().filter(|block| block.language == "toml").collect();
    let claims: usize = configurations.iter().map(|block| load(dir, &ports, block.text)).sum();
    assert!(claims > 10, "{claims} claims");
}

/// Whether what was printed has the line; three dots stand for anything in it.
fn assert_said(said: &str, line: &str) {
    let holds = said.lines().any(|printed| {
        let mut rest = printed;
        line.split("...").all(|part| match rest.split_once(part) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    });
    assert!(holds, "{line:?} is not in\n{said}");
}

/// Checks a configuration, and what it says about certificates: how many claims.
fn load(dir: &Path, ports: &Ports, text: &str) -> usize {
    let own = ports.own(&with_own_certificate(dir, text));
    let mut table: Table = own.parse().unwrap();
    complete(&mut table);
    fs::write(dir.join("example.toml"), table.to_string()).unwrap();
    let warned = |output: &str| assert!(output.contains("can run, 0 warnings"), "{text}\n{output}");
    warned(&shell(dir, "respgate check --config example.toml --strict 2>&1 || true"));
    let listener = match &table["listener"] {
        Value::Array(several) => format!("--listener {}", several[0]["name"]),
        _ => String::new(),
    };
    let claims = text.lines().filter_map(|line| line.strip_prefix("# ")?.split_once(".crt: "));
    claims
        .map(|(name, claim)| {
            let explain = format!("respgate explain {name}.crt --config example.toml {listener} || true");
            let output = shell(dir, &explain);
            let end = output.trim_end().lines().last().unwrap_or_default();
            assert!(end.starts_with(claim), "{text}\n{output}");
        })
        .count()
}

/// The example with what is the test's own of the page's certificate.
fn with_own_certificate(dir: &Path, text: &str) -> String {
    let facts = shell(dir, "respgate subject app.crt --json");
    let facts: serde_json::Value = serde_json::from_str(&facts).unwrap();
    PRINTED.iter().fold(text.to_owned(), |text, (key, printed)| {
        text.replace(printed, facts[key].as_str().unwrap_or_else(|| panic!("{key} is missing: {facts}")))
    })
}

/// Adds what an example leaves to the rest of the file.
fn complete(table: &mut Table) {
    let set = |table: &mut Table, key: &str, value: &str| {
        table.entry(key).or_insert_with(|| Value::String(value.to_owned()));
    };
    let empty = || Value::Table(Table::new());
    let listeners = match table.entry("listener").or_insert_with(empty) {
        Value::Array(several) => several.iter_mut().collect(),
        one => vec![one],
    };
    for listener in listeners.into_iter().map(|listener| listener.as_table_mut().unwrap()) {
        set(listener, "address", "127.0.0.1:0");
        if !listener.contains_key("client_certificates") {
            set(listener, "client_ca", "ca.crt");
        }
        if !listener.contains_key("keystore") {
            set(listener, "certificate", "server.crt");
            set(listener, "key", "server.key");
        }
    }
    let database = table.entry("database").or_insert_with(empty).as_table_mut().unwrap();
    set(database, "address", "127.0.0.1:6379");
    let has_roles = database.contains_key("roles");
    for user in table.get_mut("user").and_then(Value::as_array_mut).into_iter().flatten() {
        let user = user.as_table_mut().unwrap();
        if !has_roles && !user.contains_key("redis_user") {
            set(user, "redis_user", "app");
            set(user, "redis_password_file", "app.password");
        }
    }
}
