//! What the demo shows: redis-cli and redis-benchmark as a user would run them,
//! their answers checked. Owns what counts as the right answer.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

use super::child::{Child, ChildError};
use super::program::{Output, Program, ProgramError};
use super::stage::Stage;
use super::stop::{Interrupted, Stop};

/// How long an audit record may take to be in its file.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(5);

const STEP: Duration = Duration::from_millis(20);

/// Requests of each kind: a few seconds' worth.
const BENCHMARK_REQUESTS: &str = if cfg!(debug_assertions) { "100000" } else { "1000000" };

/// What was not as it should be.
#[derive(Debug, Error)]
pub(super) enum ShowError {
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error("{shown}\n  answered {got:?}\n  expected {expected}")]
    Answer { shown: String, got: String, expected: String },
    #[error("{path} has no record of reference {reference} with reason \"no_mapping\"", path = path.display())]
    NoRecord { path: PathBuf, reference: String },
    #[error("redis-benchmark failed ({problem}):\n{output}")]
    Benchmark { problem: &'static str, output: String },
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// The gateway's addresses, as its log tells them.
#[derive(Debug)]
pub(super) struct Gateway {
    /// Where clients connect.
    pub(super) address: SocketAddr,
    /// Where metrics and readiness are.
    pub(super) admin: SocketAddr,
}

impl Gateway {
    /// Waits until the gateway has said where it is and that it is ready.
    pub(super) fn wait_for(child: &mut Child, timeout: Duration, stop: &Stop) -> Result<Self, ChildError> {
        let log = child.log().to_owned();
        child.wait_for("the gateway to be ready", timeout, stop, || {
            let gateway = Self::from_log(&fs::read_to_string(&log).ok()?)?;
            is_ready(gateway.admin).then_some(gateway)
        })
    }

    fn from_log(log: &str) -> Option<Self> {
        let lines = || log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let address = |message: &str| {
            lines().find(|line| line["message"] == message)?["address"].as_str()?.parse::<SocketAddr>().ok()
        };
        Some(Self { address: address("listening")?, admin: address("admin listening")? })
    }
}

/// Whether `/readyz` says so.
fn is_ready(admin: SocketAddr) -> bool {
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&admin, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
}

/// Each thing once, with its answer.
pub(super) fn everything(stage: &Stage, gateway: &Gateway, stop: &Stop) -> Result<(), ShowError> {
    for user in ["app", "ops"] {
        let mut who = program("redis-cli", stage, gateway, user).args(&["ACL", "WHOAMI"]);
        let got = answer(&mut who, stop)?;
        let holds = got == user;
        expect(&who, got, user, holds)?;
    }
    stranger(stage, gateway, stop)?;
    benchmark(stage, gateway, stop)
}

/// A certificate that is trusted and mapped to nobody.
fn stranger(stage: &Stage, gateway: &Gateway, stop: &Stop) -> Result<(), ShowError> {
    const START: &str = "NOPERM no user is mapped to this certificate (reference ";
    let mut ping = program("redis-cli", stage, gateway, "stranger").args(&["PING"]);
    let got = answer(&mut ping, stop)?;
    let reference =
        got.strip_prefix(START).and_then(|rest| rest.strip_suffix(')')).unwrap_or_default().to_owned();
    expect(&ping, got, &format!("{START}....)"), reference.len() == 4)?;

    // What the operator is told, found by what the client was told.
    let path = stage.path("audit.jsonl");
    println!("$ grep {reference} {}", path.display());
    for _ in 0..AUDIT_TIMEOUT.as_millis() / STEP.as_millis() {
        if let Some(line) = record_of(&path, &reference) {
            println!("{line}\n");
            return Ok(());
        }
        stop.check()?;
        thread::sleep(STEP);
    }
    Err(ShowError::NoRecord { path, reference })
}

/// The audit line of this reference, if it gives the right reason.
fn record_of(path: &Path, reference: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let is_it = |line: &&str| {
        serde_json::from_str::<Value>(line)
            .is_ok_and(|record| record["reference"] == reference && record["reason"] == "no_mapping")
    };
    text.lines().find(is_it).map(str::to_owned)
}

fn benchmark(stage: &Stage, gateway: &Gateway, stop: &Stop) -> Result<(), ShowError> {
    let mut benchmark = program("redis-benchmark", stage, gateway, "app").args(&[
        "-q",
        "-P",
        "16",
        "-t",
        "set,get",
        "-n",
        BENCHMARK_REQUESTS,
    ]);
    println!("$ {}", benchmark.shown());
    let Output { success, out, errors } = benchmark.run(stop)?;
    // Progress is written over itself with carriage returns.
    let last =
        |line: &str| line.rsplit('\r').find(|part| !part.trim().is_empty()).unwrap_or("").trim().to_owned();
    let results: Vec<String> =
        out.lines().map(last).filter(|line| line.contains("requests per second")).collect();
    // An error reply ends redis-benchmark with an error, and so does a lost connection.
    let problem = if !success {
        Some("it ended with an error")
    } else if !["SET: ", "GET: "].iter().all(|kind| results.iter().any(|line| line.starts_with(kind))) {
        Some("a result is missing")
    } else {
        None
    };
    if let Some(problem) = problem {
        return Err(ShowError::Benchmark { problem, output: format!("{out}{errors}") });
    }
    println!("{}", results.join("\n"));
    if cfg!(debug_assertions) {
        println!("(a debug build: these figures say nothing)");
    }
    println!();
    Ok(())
}

/// What to try by hand.
pub(super) fn commands_to_try(stage: &Stage, gateway: &Gateway) {
    let cli = |user, args: &[&str]| program("redis-cli", stage, gateway, user).args(args).shown().to_owned();
    println!("Try:");
    println!("  {}", cli("app", &[]));
    println!("  {}", cli("ops", &["-3", "CLIENT", "INFO"]));
    println!("  curl http://{}/metrics", gateway.admin);
    println!("  cat {}", stage.path("respgate.toml").display());
    println!("  tail -f {}", stage.path("audit.jsonl").display());
    println!("\nCtrl-C ends it.");
}

fn program(name: &'static str, stage: &Stage, gateway: &Gateway, user: &str) -> Program {
    Program::new(name, stage, user, gateway.address.port())
}

/// Runs a redis-cli command and shows it as a person would see it.
fn answer(cli: &mut Program, stop: &Stop) -> Result<String, ShowError> {
    println!("$ {}", cli.shown());
    let output = cli.run(stop)?;
    let answer = format!("{}{}", output.out, output.errors).trim_end().to_owned();
    println!("{answer}\n");
    Ok(answer)
}

fn expect(cli: &Program, got: String, expected: &str, holds: bool) -> Result<(), ShowError> {
    if holds {
        return Ok(());
    }
    Err(ShowError::Answer { shown: cli.shown().to_owned(), got, expected: expected.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_the_log_and_only_when_both_are_there() {
        let line = |message: &str, address: &str| {
            format!("{{\"message\":\"{message}\",\"address\":\"{address}\"}}\n")
        };
        let client = line("listening", "127.0.0.1:6380");
        assert!(Gateway::from_log(&client).is_none());
        let half_written = client.clone() + &line("admin listening", "127.0.0.1:9")[..30];
        assert!(Gateway::from_log(&half_written).is_none());
        let log = line("admin listening", "127.0.0.1:9121") + "not JSON\n" + &client;
        let gateway = Gateway::from_log(&log).unwrap();
        assert_eq!(gateway.address.port(), 6380);
        assert_eq!(gateway.admin.port(), 9121);
    }

    #[test]
    fn a_record_is_found_by_reference_and_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let (other, right) =
            (r#"{"reference":"AAAA","reason":"expired"}"#, r#"{"reference":"BBBB","reason":"no_mapping"}"#);
        fs::write(&path, format!("{other}\n{right}\n")).unwrap();
        assert_eq!(record_of(&path, "BBBB").as_deref(), Some(right));
        assert_eq!(record_of(&path, "AAAA"), None);
        assert_eq!(record_of(&path, "CCCC"), None);
    }
}
