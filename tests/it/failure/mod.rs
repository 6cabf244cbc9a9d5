//! Backends that die, stop and vanish, and gateways that do: how soon it is told, and how soon
//! everything works again.
//!
//! Each test is short in `make test`, where it shares two cores with others: there a promise holds
//! if it is kept ten times over. `make failures` and `make drains` are as long as it takes, and
//! take each at its word.

mod death;
mod drains;
mod holes;
mod namespace;
mod storms;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::echo::say;
use crate::wire::{Client, PATIENCE};
use crate::world::{Setup, World};

const NOT_SENT: &str = "-ERR respgate: backend unavailable, command not sent";
const UNKNOWN: &str = "-ERR respgate: connection to the backend was lost, outcome unknown";

/// How many rounds, and whether they are held to the word.
#[derive(Clone, Copy)]
struct Rounds {
    count: u64,
    is_long: bool,
}

impl Rounds {
    fn of(variable: &str, short: u64) -> Self {
        let count = crate::echo::from_env(variable, short);
        Self { count, is_long: std::env::var_os(variable).is_some() }
    }
}

/// How long something took, each time.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// Each took no longer than promised.
    fn hold(mut self, what: &str, promise: Duration, rounds: Rounds) {
        self.0.sort_unstable();
        let worst = *self.0.last().expect("at least one round");
        let middle = self.0[self.0.len() / 2];
        say(&format!(
            "{what}: {} times, median {middle:.1?}, worst {worst:.1?}, promised {promise:?}",
            self.0.len()
        ));
        let most = if rounds.is_long { promise } else { promise * 10 };
        assert!(worst <= most, "{what}: {worst:?}, where {most:?} is the most");
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port()
}

/// A world whose Redis is reached over TCP, and its port.
fn world_over_tcp(limits: &'static str) -> (World, u16) {
    let port = free_port();
    // For the life of the test's process: there are few worlds.
    let arguments: &'static [&'static str] = vec!["--port", port.to_string().leak()].leak();
    let world = World::with(Setup {
        redis: arguments,
        limits,
        database: Some(format!("127.0.0.1:{port}")),
        ..Setup::default()
    });
    (world, port)
}

/// How many connections over TCP Redis has, all of them the gateway's; `root` comes another way.
fn connections(root: &mut Client) -> usize {
    let list = root.read_after("CLIENT LIST");
    String::from_utf8_lossy(list.bytes()).lines().filter(|line| line.contains(" addr=127.0.0.1:")).count()
}

/// Asks until the answer is the one that was asked for, and returns when that was.
fn ask_until_answered(client: &mut Client, token: u64) -> Instant {
    let (command, expected) = (format!("ECHO t{token}"), format!("$t{token}"));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = client.ask(&command);
        if answer == expected {
            return Instant::now();
        }
        assert!(
            [NOT_SENT, UNKNOWN].contains(&answer.as_str()) || answer.starts_with("-LOADING "),
            "in answer to {command}: {answer}"
        );
        assert!(Instant::now() < deadline, "no way back");
        std::thread::sleep(Duration::from_millis(5));
    }
}
