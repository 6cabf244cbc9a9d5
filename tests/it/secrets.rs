//! A gateway whose keys and passwords come from every place that there is, and
//! none of them anywhere else: not in the log at its most talkative, the metrics,
//! the audit, an error, or what `check` prints.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::backend::leashed;
use crate::clients::finish;
use crate::gateway::Gateway;
use crate::log::complaint;
use crate::pki::write_secret;
use crate::wire::Client;
use crate::world::World;

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
    let add = |name: &str, secret: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_respgate"));
        command.args(["keystore", "add", "--stdin", name]).envs(environment).current_dir(world.path(""));
        let mut child = command.stdin(Stdio::piped()).spawn().expect("built");
        child.stdin.take().expect("piped").write_all(secret.as_bytes()).expect("read");
        assert!(child.wait().expect("it ends").success());
    };
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
    let announced = ["reload refused", "nothing was reloaded"].map(str::to_owned);
    assert_eq!(complaint(&gateway.stderr.all(), &announced), None);
}

/// What `respgate check` prints, as text and as JSON.
fn checked(path: &Path, environment: &[(&str, &str)]) -> String {
    let forms = [&[][..], &["--json"]].map(|more| {
        let mut command = leashed(env!("CARGO_BIN_EXE_respgate"));
        command.args(["check", "--config"]).arg(path).args(more).envs(environment.iter().copied());
        let output = finish(&mut command);
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
    });
    forms.concat()
}

/// Every password of this world begins with `canary-`, the right ones and the wrong ones.
fn assert_silent(what: &str, text: &str) {
    assert!(!text.is_empty(), "{what} says nothing");
    let found = text.find("canary-").map(|at| &text[at.saturating_sub(60)..]);
    assert!(found.is_none(), "a password in {what}: {}", found.unwrap_or_default());
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
    let edits = [
        ("[listener]", "keystore = \"respgate.keystore\"\n[listener]"),
        (PAIR, "keystore = \"server.p12\"\nkeystore_password = \"canary-key\""),
        ("redis_password_file = \"app.password\"", "redis_password = \"canary-app\""),
        ("redis_password_file = \"ops.password\"", "redis_password_env = \"OPS_PASSWORD\""),
        ("format = \"json\"", "format = \"json\"\nlevel = \"trace\""),
    ];
    let path = changed(&world, &edits);
    assert_silent("check", &checked(&path, &environment));
    let gateway = Gateway::start_in(&path, &environment);
    for user in ["app", "ops", "root"] {
        assert_carried(&world, &gateway, user);
    }
    // Passwords that clients send: their own, others', wrong ones, in every form.
    let mut client = Client::tls(gateway.address, world.tls("app")).expect("it is let in");
    for line in [
        "AUTH canary-wrong",
        "AUTH ops canary-ops",
        "HELLO 3 AUTH app canary-wrong",
        "HELLO 3 AUTH app canary-app",
    ] {
        client.send(line);
        let _ = client.read();
    }
    client.send("ACL SETUSER x >canary-x");
    let _ = client.read();
    // Reloads that fail because of a secret.
    let wrong = [
        ("keystore_password = \"canary-key\"", "keystore_password = \"canary-wrong\""),
        ("redis_password_env = \"OPS_PASSWORD\"", "redis_password_env = \"canary-ops\""),
        ("redis_password_env = \"OPS_PASSWORD\"", "redis_password_keystore = \"canary-ops\""),
        ("redis_password = \"canary-app\"", "redis_password = [\"canary-app\"]"),
        ("redis_password = \"canary-app\"", "redis_pasword = \"canary-app\""),
        ("redis_password = \"canary-app\"", "redis_password = canary-app"),
        ("redis_password = \"canary-app\"", "redis_password = \"\"\"canary-app"),
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
        assert_silent("check", &checked(&path, &environment));
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
