//! Every command in README.md is run, in order, as a reader would run it: in one
//! directory, with a real redis-server, on ports of the test's own.
#![allow(clippy::disallowed_methods, reason = "a real program is waited for in real time")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const README: &str = include_str!("../README.md");
const MAKEFILE: &str = include_str!("../Makefile");

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    README.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn shell(dir: &Path, command: &str) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_respgate")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", command])
        .current_dir(dir)
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}\n{text}{errors}");
    text
}

#[test]
fn every_command_of_the_readme_does_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let ports = [6379, 6380, 9121].map(|port: u16| (port.to_string(), free_port().to_string()));
    let on_own_ports = |text: &str| {
        ports.iter().fold(text.to_owned(), |text, (printed, own)| text.replace(printed.as_str(), own))
    };
    let redis = Command::new("redis-server")
        .args(["--port", &ports[0].1, "--bind", "127.0.0.1", "--save", ""])
        .current_dir(dir)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is not installed: run make test");
    let _redis = Running(redis);
    let ping = format!("redis-cli -p {} PING || true", ports[0].1);
    wait_until("Redis answers", || shell(dir, &ping).contains("PONG"));
    let configurations = blocks("toml");
    let [config, more @ ..] = &configurations[..] else { panic!("a configuration") };
    fs::write(dir.join("respgate.toml"), on_own_ports(config)).unwrap();

    let mut gateway = None;
    for command in blocks("sh").iter().flat_map(|block| block.lines()) {
        if let Some(target) = command.strip_prefix("make ") {
            assert!(MAKEFILE.contains(&format!("\n{target}:")), "make has no target {target}");
            continue;
        }
        if command == "cargo build --release" {
            // What this test runs was built by cargo as well.
            continue;
        }
        if let Some(args) = command.strip_prefix("respgate run ") {
            let child = Command::new(env!("CARGO_BIN_EXE_respgate"))
                .arg("run")
                .args(args.split(' '))
                .current_dir(dir)
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            gateway = Some(Running(child));
            let ready = on_own_ports("curl -s http://127.0.0.1:9121/readyz || true");
            wait_until("the gateway is ready", || shell(dir, &ready).starts_with("ready"));
            refuse_somebody(dir, &ports[1].1);
            continue;
        }
        let output = shell(dir, &on_own_ports(command));
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
