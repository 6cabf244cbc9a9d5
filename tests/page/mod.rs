//! What the tests of pages share: a page's fenced blocks, and a shell, a Redis and a
//! gateway to try them on.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::disallowed_methods, reason = "a real program is waited for in real time")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use regex::Regex;

/// A process that ends with the test.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A fenced block: its language and its text.
pub(crate) struct Block<'a> {
    pub(crate) language: &'a str,
    pub(crate) text: &'a str,
}

/// The fenced blocks of a page, in order.
pub(crate) fn blocks(page: &str) -> Vec<Block<'_>> {
    let fenced = page.split("```").skip(1).step_by(2);
    fenced
        .map(|block| block.split_once('\n').unwrap())
        .map(|(language, text)| Block { language, text })
        .collect()
}

/// The text with the ports that a page prints replaced by free ones.
pub(crate) struct Ports(Vec<(String, String)>);

impl Ports {
    /// A free port for each of these.
    pub(crate) fn in_place_of(printed: &[u16]) -> Self {
        // All are held until each has one: no two are the same.
        let held: Vec<_> = printed.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let own = held.iter().map(|socket| socket.local_addr().unwrap().port().to_string());
        Self(printed.iter().map(u16::to_string).zip(own).collect())
    }

    /// The text with the test's own ports, where those printed stand by themselves: their digits can be
    /// in a fingerprint, or in another port.
    pub(crate) fn own(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (printed, own)| {
            let alone = Regex::new(&format!(r"\b{printed}\b")).unwrap();
            alone.replace_all(&text, own).into_owned()
        })
    }
}

#[test]
fn a_port_is_not_replaced_within_a_fingerprint_or_another_port() {
    let ports = Ports([("6380", "46381"), ("6381", "40000")].map(|(a, b)| (a.into(), b.into())).to_vec());
    assert_eq!(ports.own("-p 6380 localhost:6381 ab6380cd 26381"), "-p 46381 localhost:40000 ab6380cd 26381");
}

/// Waits for at most half a minute.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Runs a command in a directory, with the program that is tested in its path, and
/// returns what it prints.
pub(crate) fn shell(dir: &Path, command: &str) -> String {
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

/// Starts Redis on this port, or rather on what stands for it.
pub(crate) fn redis(dir: &Path, ports: &Ports) -> Running {
    let port = ports.own("6379");
    let child = Command::new("redis-server")
        .args(["--port", &port, "--bind", "127.0.0.1", "--save", ""])
        .current_dir(dir)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is not installed: run make test");
    let running = Running(child);
    let ping = format!("redis-cli -p {port} PING || true");
    wait_until("Redis answers", || shell(dir, &ping).contains("PONG"));
    running
}

/// Starts the gateway with the arguments behind `respgate run`, and waits until it is ready.
pub(crate) fn gateway(dir: &Path, ports: &Ports, args: &str) -> Running {
    let child = Command::new(env!("CARGO_BIN_EXE_respgate"))
        .arg("run")
        .args(args.split(' '))
        .current_dir(dir)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let running = Running(child);
    let ready = ports.own("curl -s http://127.0.0.1:9121/readyz || true");
    wait_until("the gateway is ready", || shell(dir, &ready).starts_with("ready"));
    running
}
