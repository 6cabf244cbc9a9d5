//! A gateway whose keys and passwords come from every place that there is, and
//! none of them anywhere else: not in the log at its most talkative, the metrics,
//! the audit, an error, or what `check`, `explain`, `subject` and `keystore list` print.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::backend::leashed;
use crate::clients::finish;
use crate::gateway::Gateway;
use crate::log::complaint;
use crate::passwords::{OPTIONAL, REALMS, USERS};
use crate::pki::{Leaf, client_config, pki, write_secret};
use crate::wire::Client;
use crate::world::{LOST, World};

const PAIR: &str = "certificate = \"server.crt\"\nkey = \"server.key\"";

/// Runs a program in the world's directory, with this on its standard input.
fn run(world: &World, program: &str, line: &str, input: &str) {
    let mut command = Command::new(program);
    command.args(line.split_whitespace()).current_dir(world.path("")).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("installed");
    // Whoever does not read it closes it.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{program} {line}: {}", String::from_utf8_lossy(&output.stderr));
}

fn openssl(world: &World, line: &str) {
    run(world, "openssl", line, "");
}

/// `respgate keystore` with these words.
fn keystore(world: &World, line: &str, input: &str) {
    run(world, env!("CARGO_BIN_EXE_respgate"), &format!("keystore {line}"), input);
}

/// Puts a secret into a keystore with a password. What is said of it.
fn added(world: &World, name: &str, secret: &str, environment: (&str, &str)) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_respgate"));
    command.args(["keystore", "add", "--stdin", name]).envs([environment]).current_dir(world.path(""));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("built");
    child.stdin.take().expect("piped").write_all(secret.as_bytes()).expect("read");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The world's configuration with changes, in a file of its own.
fn changed(world: &World, edits: &[(&str, &str)]) -> PathBuf {
    let text = std::fs::read_to_string(world.path("respgate.toml")).expect("written at start");
    let text = edits.iter().fold(text.replace("audit.jsonl", "changed.jsonl"), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not there");
        text.replacen(from, to, 1)
    });
    let path = world.path("changed.toml");
    write_secret(&path, &text);
    path
}

/// Connects, and asks who one is.
fn assert_carried(world: &World, gateway: &Gateway, user: &str) {
    let mut client = Client::tls(gateway.address, world.tls(user)).expect("it is let in");
    client.talk(&[("ACL WHOAMI", &format!("${user}"))]);
}

/// ES-02, ES-03, ES-04
#[test]
fn a_gateway_starts_from_an_encrypted_key_from_pkcs12_and_from_a_keystore() {
    let world = World::start();
    write_secret(&world.path("key.password"), "canary-key\n");
    openssl(&world, "pkcs8 -topk8 -in server.key -out encrypted.key -passout file:key.password");
    openssl(
        &world,
        "pkcs12 -export -in server.crt -inkey server.key -out server.p12 -passout file:key.password",
    );
    keystore(&world, "create --password-file key.password", "");
    let environment = [("RESPGATE_KEYSTORE_PASSWORD", "canary-key")];
    let add = |name: &str, secret: &str| assert_eq!(added(&world, name, secret, environment[0]), "");
    add("p12", "canary-key");
    add("app", "canary-app");
    let key = "certificate = \"server.crt\"\nkey = \"encrypted.key\"\nkey_password_file = \"key.password\"";
    let p12 = "keystore = \"server.p12\"\nkeystore_password_file = \"key.password\"";
    let both = "keystore = \"server.p12\"\nkeystore_password_keystore = \"p12\"";
    let top = ("[listener]", "keystore = \"respgate.keystore\"\n[listener]");
    let app = ("redis_password_file = \"app.password\"", "redis_password_keystore = \"app\"");
    for edits in [&[(PAIR, key)][..], &[(PAIR, p12)], &[top, (PAIR, both), app]] {
        let gateway = Gateway::start_in(&changed(&world, edits), &environment);
        assert_carried(&world, &gateway, "app");
        assert_eq!(complaint(&gateway.stderr.all(), &[]), None);
    }
}

/// ES-04: what is put into the keystore is in force after a reload.
#[test]
fn a_reload_takes_new_secrets_from_the_keystore() {
    let world = World::start();
    keystore(&world, "create", "");
    keystore(&world, "add app --stdin", "canary-old");
    let top = ("[listener]", "keystore = \"respgate.keystore\"\n[listener]");
    let app = ("redis_password_file = \"app.password\"", "redis_password_keystore = \"app\"");
    let gateway = Gateway::start_in(&changed(&world, &[top, app]), &[]);
    assert_carried(&world, &gateway, "ops");
    keystore(&world, "add app --stdin --force", "canary-app");
    gateway.signal(Signal::HUP);
    gateway.stderr.wait_for("of the reload", |line| line.contains("\"reloaded\""));
    assert_carried(&world, &gateway, "app");
    // A keystore that cannot be opened changes nothing.
    std::fs::write(world.path("respgate.keystore"), "canary-nothing").expect("writable");
    gateway.signal(Signal::HUP);
    gateway.stderr.wait_for("of the refusal", |line| line.contains("it is not a keystore"));
    assert_carried(&world, &gateway, "app");
    let announced = [LOST, "reload refused", "nothing was reloaded"].map(str::to_owned);
    assert_eq!(complaint(&gateway.stderr.all(), &announced), None);
}

/// All that respgate prints with these words in the world's directory, however it ends.
fn printed(world: &World, line: &str, environment: &[(&str, &str)]) -> String {
    let mut command = leashed(env!("CARGO_BIN_EXE_respgate"));
    command.args(line.split_whitespace()).current_dir(world.path("")).envs(environment.iter().copied());
    let output = finish(&mut command);
    [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
}

/// The tools, as text and as JSON, with right and wrong passwords.
fn assert_tools_silent(world: &World, environment: &[(&str, &str)]) {
    write_secret(&world.path("wrong.password"), "canary-wrong");
    let wrong = [("RESPGATE_KEYSTORE_PASSWORD", "canary-wrong"), environment[1]];
    for line in [
        "check --config changed.toml",
        "check --config changed.toml --json",
        "explain app.crt --config changed.toml",
        "explain app.crt --config changed.toml --json",
        "explain server.p12 --password-file key.password --config changed.toml --json",
        "explain server.p12 --password-file wrong.password --config changed.toml",
        "explain app.key --config changed.toml",
        "subject app.crt",
        "subject app.crt --json",
        "subject server.p12 --password-file key.password",
        "subject server.p12 --password-file wrong.password --json",
        "subject app.password",
        "keystore list",
        "keystore show p12",
    ] {
        for environment in [environment, &wrong] {
            // To show a secret is what it is for.
            if !line.starts_with("keystore show") || environment == wrong {
                assert_silent(line, &printed(world, line, environment));
            }
        }
    }
    assert!(printed(world, "keystore list", environment).contains("p12"));
    assert!(printed(world, "explain app.crt --config changed.toml", environment).contains("CN=app,O=Acme"));
    assert!(printed(world, "check --config changed.toml", environment).contains("can run"));
}

/// People, programs and strangers give passwords of every kind, right and wrong.
fn give_passwords(world: &World, gateway: &Gateway) {
    let own = |user: &str| client_config(Some(&world.identity(user)));
    let second = client_config(Some(&pki().trusted.issue(Leaf::client("CN=second,O=Acme"))));
    let configs = [own("app"), client_config(None), second];
    let lines = [
        "AUTH canary-wrong",
        "AUTH ops canary-ops",
        "HELLO 3 AUTH app canary-wrong",
        "HELLO 3 AUTH app canary-app",
        "AUTH person canary-wrong",
        "AUTH canary-name canary-wrong",
        "HELLO 3 AUTH canary-name canary-person",
        "AUTH person canary-person",
        "HELLO 3 AUTH person canary-person SETNAME me",
        "AUTH third canary-wrong",
        "AUTH third canary-third",
        "AUTH second canary-second",
        "AUTH gone canary-gone",
        "RESPGATE WHOAMI",
        "RESPGATE canary-command",
    ];
    for config in &configs {
        for line in lines {
            let mut client = Client::tls(gateway.address, config.clone()).expect("a handshake");
            let answer = client.ask(line);
            assert!(!answer.contains("canary-") || line.ends_with("canary-command"), "{line}: {answer}");
            if answer == "+OK" {
                assert_silent("WHOAMI", &client.ask("RESPGATE WHOAMI"));
            }
        }
    }
    let mut person = Client::tls(gateway.address, configs[1].clone()).expect("a handshake");
    person.talk(&[("AUTH person canary-person", "+OK"), ("ACL WHOAMI", "$app")]);
    let mut both = Client::tls(gateway.address, configs[2].clone()).expect("a handshake");
    both.talk(&[("AUTH second canary-second", "+OK"), ("ACL WHOAMI", "$ops")]);
    let mut app = Client::tls(gateway.address, configs[0].clone()).expect("let in");
    app.send("ACL SETUSER x >canary-x");
    let _ = app.read();
}

/// Every password of this world begins with `canary-`, the right ones and the wrong ones.
fn assert_silent(what: &str, text: &str) {
    assert!(!text.is_empty(), "{what} says nothing");
    // A hash of a password is for nobody either.
    for secret in ["canary-", "V3y50ho4rP", "TY4nJuWqdWd"] {
        let found =
            text.find(secret).map(|at| String::from_utf8_lossy(&text.as_bytes()[at.saturating_sub(60)..]));
        assert!(found.is_none(), "a secret in {what}: {}", found.unwrap_or_default());
    }
}

#[test]
fn planted_secrets_are_found_nowhere() {
    let world = World::start();
    write_secret(&world.path("key.password"), "canary-key\n");
    openssl(
        &world,
        "pkcs12 -export -in server.crt -inkey server.key -out server.p12 -passout file:key.password",
    );
    keystore(&world, "create --password-file key.password", "");
    let environment = [("RESPGATE_KEYSTORE_PASSWORD", "canary-key"), ("OPS_PASSWORD", "canary-ops")];
    assert_eq!(added(&world, "p12", "canary-stored", environment[0]), "");
    let p12 = "keystore = \"server.p12\"\nkeystore_password = \"canary-key\"";
    let edits = [
        ("[listener]", "keystore = \"respgate.keystore\"\n[listener]"),
        (PAIR, &format!("{p12}\n{OPTIONAL}")),
        ("[admin]", &format!("{REALMS}{USERS}\n[admin]")),
        ("redis_password_file = \"app.password\"", "redis_password = \"canary-app\""),
        ("redis_password_file = \"ops.password\"", "redis_password_env = \"OPS_PASSWORD\""),
        ("format = \"json\"", "format = \"json\"\nlevel = \"trace\""),
    ];
    let path = changed(&world, &edits);
    assert_tools_silent(&world, &environment);
    let gateway = Gateway::start_in(&path, &environment);
    for user in ["app", "ops", "root"] {
        assert_carried(&world, &gateway, user);
    }
    give_passwords(&world, &gateway);
    // Reloads that fail because of a secret.
    let wrong = [
        ("keystore_password = \"canary-key\"", "keystore_password = \"canary-wrong\""),
        ("redis_password_env = \"OPS_PASSWORD\"", "redis_password_env = \"canary-ops\""),
        ("redis_password_env = \"OPS_PASSWORD\"", "redis_password_keystore = \"canary-ops\""),
        ("redis_password = \"canary-app\"", "redis_password = [\"canary-app\"]"),
        ("redis_password = \"canary-app\"", "redis_pasword = \"canary-app\""),
        ("redis_password = \"canary-app\"", "redis_password = canary-app"),
        ("redis_password = \"canary-app\"", "redis_password = \"\"\"canary-app"),
        ("password_hash = \"", "password_hash = \"canary-person\" #"),
        ("password_hash = \"", "password = \"canary-person\" #"),
    ];
    let good = std::fs::read_to_string(&path).expect("written above");
    for (from, to) in wrong {
        write_secret(&path, &good.replacen(from, to, 1));
        let before = refusals(&gateway);
        gateway.signal(Signal::HUP);
        let deadline = Instant::now() + Duration::from_secs(20);
        while refusals(&gateway) == before {
            assert!(Instant::now() < deadline, "{to} was not refused");
            std::thread::sleep(Duration::from_millis(20));
        }
        for line in ["check", "check --json", "explain app.crt", "explain app.crt --json"] {
            let line = format!("{line} --config changed.toml");
            assert_silent(&line, &printed(&world, &line, &environment));
        }
    }
    let log = gateway.stderr.all().join("\n");
    assert!(log.contains("\"TRACE\"") && log.contains("inline_password"), "not everything is logged");
    assert_silent("the log", &log);
    assert_silent("the metrics", &gateway.get("/metrics").1);
    assert_silent("the audit", &std::fs::read_to_string(world.path("changed.jsonl")).expect("written"));
    assert_silent("the command line", &gateway.proc("cmdline"));
    assert!(gateway.proc("limits").lines().any(|line| {
        line.split_whitespace().collect::<Vec<_>>() == ["Max", "core", "file", "size", "0", "0", "bytes"]
    }));
    assert!(gateway.proc("status").contains("NoNewPrivs:\t1"));
}

/// How many reloads were refused so far.
fn refusals(gateway: &Gateway) -> usize {
    gateway.stderr.all().iter().filter(|line| line.contains("nothing was reloaded")).count()
}
