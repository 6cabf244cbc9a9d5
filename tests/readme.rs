//! Every command in README.md is run, in order, as a reader would run it: in one
//! directory, with a real redis-server, on ports of the test's own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod page;

use std::fs;
use std::path::Path;

use page::{Ports, blocks, shell, wait_until};

const README: &str = include_str!("../README.md");
const MAKEFILE: &str = include_str!("../Makefile");

#[test]
fn every_command_of_the_readme_does_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let ports = Ports::in_place_of(&[6379, 6380, 9121]);
    let _redis = page::redis(dir, &ports);
    let blocks = blocks(README);
    let configurations: Vec<&str> =
        blocks.iter().filter(|block| block.language == "toml").map(|block| block.text).collect();
    let [config, more @ ..] = &configurations[..] else { panic!("a configuration") };
    fs::write(dir.join("respgate.toml"), ports.own(config)).unwrap();

    let mut gateway = None;
    let commands = blocks.iter().filter(|block| block.language == "sh").flat_map(|block| block.text.lines());
    for command in commands {
        if let Some(target) = command.strip_prefix("make ") {
            assert!(MAKEFILE.contains(&format!("\n{target}:")), "make has no target {target}");
            continue;
        }
        if command == "cargo build --release" {
            // What this test runs was built by cargo as well.
            continue;
        }
        if let Some(args) = command.strip_prefix("respgate run ") {
            gateway = Some(page::gateway(dir, &ports, args));
            refuse_somebody(dir, &ports.own("6380"));
            continue;
        }
        let output = shell(dir, &ports.own(command));
        let expected = match command {
            c if c.ends_with("ACL WHOAMI") => "app\n",
            c if c.ends_with("RESPGATE WHOAMI") => "redis_user\napp\n",
            c if c.starts_with("respgate explain") => {
                "admitted as user app by certificate_subject_line[0], to Redis as app"
            }
            c if c.ends_with("app.crt --line") => "CN=app,O=Acme\n",
            c if c.starts_with("respgate subject") => {
                "[[user]]\nname = \"app\"\ncertificate_subject_line = \"CN=app,O=Acme\"\n"
            }
            c if c.starts_with("respgate cert sign") => {
                "wrote guest.crt: CN=guest,O=Acme (uri:spiffe://acme.example/guest), until 2"
            }
            c if c.starts_with("respgate cert revoke") => "wrote ca.crl: number 1, 1 revoked",
            c if c.starts_with("respgate cert crl") => "wrote ca.crl: number 2, 1 revoked",
            c if c.starts_with("grep") => "\"reason\":\"no_mapping\"",
            c if c.starts_with("respgate check") => "can run, 0 warnings: 1 user",
            c if c.starts_with("respgate keystore list") => "app\n",
            c if c.ends_with("/readyz") => "ready\n",
            c if c.ends_with("/metrics") => "respgate_requests_total",
            c if c.starts_with("redis-benchmark") => "requests per second",
            _ => "",
        };
        assert!(output.contains(expected), "{command}: {output}");
    }
    assert!(gateway.is_some(), "the README runs the gateway");
    more.iter().for_each(|more| check_with(dir, config, more));
}

/// A run without a test would pass.
#[test]
fn every_long_run_is_a_target_and_its_test_is_there() {
    let runs: Vec<&str> =
        README.lines().filter_map(|line| line.strip_prefix("| `make ")?.split('`').next()).collect();
    assert!(runs.len() >= 5, "{runs:?}");
    let sources = sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it")));
    for run in runs {
        let (_, recipe) = MAKEFILE.split_once(&format!("\n{run}: ")).unwrap_or_else(|| panic!("make {run}"));
        let recipe = recipe.split("\n\n").next().unwrap();
        let (_, test) = recipe.split_once("$(LONG) ").unwrap_or_else(|| panic!("{run} runs a test"));
        let test = format!("fn {}", test.split(' ').next().unwrap());
        assert!(sources.contains(&test), "make {run} runs {test}, which is not there");
    }
}

fn sources(directory: &Path) -> String {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(
            |path| if path.is_dir() { sources(&path) } else { fs::read_to_string(&path).unwrap_or_default() },
        )
        .collect()
}

/// What the README adds to its configuration can be added to it.
fn check_with(dir: &Path, config: &str, more: &str) {
    let mut whole: toml::Table = config.parse().unwrap();
    for (key, section) in more.parse::<toml::Table>().unwrap() {
        match (whole.get_mut(&key), section) {
            (Some(toml::Value::Table(table)), toml::Value::Table(more)) => table.extend(more),
            (Some(toml::Value::Array(all)), toml::Value::Array(more)) => all.extend(more),
            (_, section) => {
                whole.insert(key, section);
            }
        }
    }
    fs::write(dir.join("whole.toml"), toml::to_string(&whole).unwrap()).unwrap();
    for role in ["admin", "reader"] {
        shell(dir, &format!("umask 077; echo secret > {role}.password"));
    }
    let said = shell(dir, "respgate check --config whole.toml");
    assert!(said.contains("whole.toml: can run"), "{more}: {said}");
}

/// The README greps the audit for a refusal: there has to be one.
fn refuse_somebody(dir: &Path, port: &str) {
    shell(dir, "respgate cert client --subject CN=stranger");
    let refused = format!(
        "redis-cli --tls --cert stranger.crt --key stranger.key --cacert ca.crt -p {port} PING 2>&1 || true"
    );
    let said = shell(dir, &refused);
    assert!(said.contains("NOPERM no user is mapped to this certificate (reference "), "{said}");
    wait_until("the audit has the refusal", || {
        fs::read_to_string(dir.join("audit.log")).is_ok_and(|audit| audit.contains("refused"))
    });
}
