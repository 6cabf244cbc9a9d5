//! The respgate binary as a child: started with a configuration, watched,
//! signalled, and killed at the end. Knows nothing of what the tests ask of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::backend::leashed;
use crate::log::{Event, Lines};
use crate::wire::PATIENCE;

/// A running gateway.
pub(crate) struct Gateway {
    child: Child,
    /// Its log.
    pub(crate) stderr: Lines,
    /// Audit lines, where they do not go to a file.
    pub(crate) stdout: Lines,
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
}

impl Gateway {
    /// Starts it and waits until it says that it is ready.
    pub(crate) fn start(config: &Path, files_max: Option<u64>) -> Self {
        let gateway = Self::start_unready(config, files_max);
        gateway.wait_ready();
        gateway
    }

    /// Starts it with something in its environment, and waits until it says that it is ready.
    pub(crate) fn start_in(config: &Path, environment: &[(&str, &str)]) -> Self {
        let gateway = Self::launch(config, None, environment);
        gateway.wait_ready();
        gateway
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start_unready(config: &Path, files_max: Option<u64>) -> Self {
        Self::launch(config, files_max, &[])
    }

    fn launch(config: &Path, files_max: Option<u64>, environment: &[(&str, &str)]) -> Self {
        let binary = env!("CARGO_BIN_EXE_respgate");
        let mut command = match files_max {
            None => leashed(binary),
            Some(most) => {
                let mut command = leashed("prlimit");
                command.arg(format!("--nofile={most}")).arg("--").arg(binary);
                command
            }
        };
        command.args(["run", "--config"]).arg(config);
        command
            .env_remove("RUST_LOG")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary was built");
        let stderr = Lines::of(child.stderr.take().expect("piped"));
        let stdout = Lines::of(child.stdout.take().expect("piped"));
        let address = announced(&stderr, "listening");
        let admin = announced(&stderr, "admin listening");
        Self { child, stderr, stdout, address, admin }
    }

    /// Waits for `/readyz` to say 200.
    pub(crate) fn wait_ready(&self) {
        self.wait_status("/readyz", 200);
    }

    /// Waits for this path of the admin listener to answer with this status.
    pub(crate) fn wait_status(&self, path: &str, status: u16) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (got, body) = self.get(path);
            if got == status {
                return body;
            }
            assert!(Instant::now() < deadline, "{path} still answers {got}: {body}");
            sleep(Duration::from_millis(20));
        }
    }

    /// Asks the admin listener. Status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut socket = TcpStream::connect_timeout(&self.admin, PATIENCE).expect("admin listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a positive time");
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).expect("open");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("text");
        let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("HTTP");
        (status, answer.split_once("\r\n\r\n").expect("HTTP").1.to_owned())
    }

    /// The value of a metric, summed over its labels that contain `label`.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let (status, body) = self.get("/metrics");
        assert_eq!(status, 200);
        body.lines()
            .filter(|line| {
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                    && line.contains(label)
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until this is so of a metric, as [`Gateway::metric`] has it.
    pub(crate) fn wait_metric(&self, name: &str, label: &str, is_so: impl Fn(f64) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self.metric(name, label)) {
            assert!(Instant::now() < deadline, "{name} {label} is {}", self.metric(name, label));
            sleep(Duration::from_millis(50));
        }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("our child");
    }

    /// From now on it may open no more files than this.
    pub(crate) fn limit_files(&self, most: u64) {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).expect("our child");
    }

    /// How many file descriptors it has open.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }

    /// Memory in use, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).expect("it runs");
        text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number") * 4096
    }

    /// A file of the kernel's about it.
    pub(crate) fn proc(&self, name: &str) -> String {
        let bytes = std::fs::read(format!("/proc/{}/{name}", self.child.id())).expect("it runs");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Processor time used so far, in clock ticks of a hundredth of a second.
    pub(crate) fn ticks(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let after_name = text.rsplit(')').next().expect("a name in brackets");
        after_name.split(' ').skip(12).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    }

    /// Waits for it to end by itself.
    pub(crate) fn wait_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the gateway did not end");
            sleep(Duration::from_millis(10));
        }
    }

    /// Whether it is still there.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_none()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in the log line with this message.
fn announced(log: &Lines, message: &str) -> SocketAddr {
    let line = log.wait_for(message, |line| {
        Event::parse(line).is_some_and(|event| event.message() == message)
            || line.starts_with("error")
            || line.contains("panicked")
    });
    let address = Event::parse(&line).and_then(|event| event.field("address")?.parse().ok());
    address.unwrap_or_else(|| panic!("no address in {line}; all it said:\n{}", log.all().join("\n")))
}
