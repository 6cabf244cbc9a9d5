//! A backend restarts under very many clients, some of which hold connections to it of their own:
//! no storm of connections meets it, neither while it fails nor when it is back.
//!
//! `RESPGATE_STORM_CLIENTS` is how many.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::{NOT_SENT, Rounds, UNKNOWN, ask_until_answered, connections, free_port};
use crate::echo::say;
use crate::wire::{Client, PATIENCE};
use crate::world::{LOST, Setup, World};

/// Connections a second that a failing node may see.
const RATE: f64 = 10.0;

/// How long the node fails.
const OUTAGE: Duration = Duration::from_secs(4);

/// Clients that do not rest.
#[derive(Default)]
struct Busy {
    is_over: AtomicBool,
    answers: AtomicU64,
}

impl Busy {
    fn took(&self, answer: &str) {
        if [NOT_SENT, UNKNOWN].contains(&answer) {
            std::thread::sleep(Duration::from_millis(20));
        } else {
            self.answers.fetch_add(1, Relaxed);
        }
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Relaxed)
    }

    /// Every one of them has had an answer.
    fn wait_for(&self, more: u64) {
        let (before, deadline) = (self.answers.load(Relaxed), Instant::now() + PATIENCE);
        while self.answers.load(Relaxed) < before + more {
            assert!(Instant::now() < deadline, "nothing is answered");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Waits on a link of its own, again and again.
fn waits(busy: &Busy, address: SocketAddr, tls: &Arc<ClientConfig>, number: usize) {
    let mut client = Client::tls(address, Arc::clone(tls)).expect("let in");
    while busy.goes_on() {
        busy.took(&client.ask(&format!("BLPOP none:{number} 1")));
    }
}

/// Subscribes on a link of its own, and comes back whenever that is lost.
fn listens(busy: &Busy, address: SocketAddr, tls: &Arc<ClientConfig>) {
    while busy.goes_on() {
        let mut client = Client::tls(address, Arc::clone(tls)).expect("let in");
        let subscribe = crate::resp::typed("SUBSCRIBE news");
        while let Ok(answer) = client.try_write(&subscribe).and_then(|()| client.try_read()) {
            busy.took(&answer.to_string());
            if answer.to_string().starts_with('[') {
                while busy.goes_on() && !client.has_ended() {
                    std::thread::sleep(Duration::from_millis(20));
                }
                break;
            }
        }
    }
}

fn works(busy: &Busy, address: SocketAddr, tls: &Arc<ClientConfig>) {
    let mut client = Client::tls(address, Arc::clone(tls)).expect("let in");
    while busy.goes_on() {
        busy.took(&client.ask("INCR n"));
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// In Redis' place, takes each connection and ends it. When they came.
fn fails(port: u16, time: Duration) -> Vec<Instant> {
    let deadline = Instant::now() + time;
    let listener = loop {
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(listener) => break listener,
            Err(error) => assert!(Instant::now() < deadline, "the port is not free: {error}"),
        }
    };
    listener.set_nonblocking(true).expect("a socket");
    let mut came = Vec::new();
    while Instant::now() < deadline {
        match listener.accept() {
            Ok(_) => came.push(Instant::now()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    came
}

/// Clients that come and stay, some hands at it.
fn idle(world: &World, count: usize) -> Vec<Client> {
    let (address, hands) = (world.gateway.address, 8);
    std::thread::scope(|scope| {
        let hands: Vec<_> = (0..hands)
            .map(|hand| {
                let tls = world.tls(["app", "ops"][hand % 2]);
                scope.spawn(move || {
                    let some = (hand..count).step_by(hands);
                    some.map(|_| Client::tls(address, Arc::clone(&tls)).expect("let in")).collect::<Vec<_>>()
                })
            })
            .collect();
        hands.into_iter().flat_map(|hand| hand.join().expect("no panic")).collect()
    })
}

/// Connections that Redis has taken since it started.
fn received(root: &mut Client) -> u64 {
    let info = root.read_after("INFO stats");
    let info = String::from_utf8_lossy(info.bytes()).into_owned();
    let received = info.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
    received.and_then(|count| count.trim().parse().ok()).expect("a number")
}

/// How much the gaps between them differ: none would be a beat that many gateways fall into.
fn spread(came: &[Instant]) -> f64 {
    let gaps: Vec<f64> = came.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt() / mean
}

#[test]
fn a_restart_under_many_clients_is_no_storm() {
    let rounds = Rounds::of("RESPGATE_STORM_CLIENTS", 300);
    let count = usize::try_from(rounds.count).expect("a count");
    let port = free_port();
    let arguments: &'static [&'static str] = vec!["--port", port.to_string().leak()].leak();
    let mut world = World::with(Setup {
        redis: arguments,
        limits: "clients_max = 12000\nclients_per_user_max = 12000",
        database: Some(format!("127.0.0.1:{port}")),
        ..Setup::default()
    });
    world.announce(LOST);
    let (address, tls) = (world.gateway.address, world.tls("app"));
    let (waiting, listening, working) = (count / 20, count / 100, 8);
    let mut resting = idle(&world, count - waiting - listening - working);
    let busy = Busy::default();
    std::thread::scope(|scope| {
        let _over = Curtain(&busy);
        for number in 0..waiting {
            let (busy, tls) = (&busy, &tls);
            scope.spawn(move || waits(busy, address, tls, number));
        }
        (0..listening).for_each(|_| drop(scope.spawn(|| listens(&busy, address, &tls))));
        (0..working).for_each(|_| drop(scope.spawn(|| works(&busy, address, &tls))));
        busy.wait_for(200);
        let deadline = Instant::now() + PATIENCE;
        let mut root = world.redis.client("root");
        while connections(&mut root) <= waiting + listening {
            assert!(Instant::now() < deadline, "only {} connections", connections(&mut root));
        }
        let links = connections(&mut root);

        world.redis.kill();
        let came = fails(port, OUTAGE);
        let start = Instant::now();
        world.redis.resume();
        for (client, number) in resting.iter_mut().zip(0..) {
            ask_until_answered(client, number);
        }
        busy.wait_for(2 * (waiting + listening + working) as u64);
        let mut root = world.redis.client("root");
        let (again, received) = (connections(&mut root), received(&mut root));
        let time = start.elapsed().as_secs_f64();
        let most = links as f64 + RATE * time;
        let most_failing = links as f64 + RATE * OUTAGE.as_secs_f64();
        say(&format!(
            "storm: {count} clients with {links} connections to Redis: {} attempts in {OUTAGE:?} of failing, gaps that \
             differ by {:.2} of their mean; {received} connections in the {time:.1} s after, {again} of them stay",
            came.len(),
            spread(&came)
        ));
        assert!(came.len() > 3, "it was hardly tried again");
        assert!(came.len() as f64 <= most_failing, "{} where {most_failing} are the most", came.len());
        let late = came.iter().filter(|at| at.duration_since(came[0]) > Duration::from_secs(1)).count();
        let most_late = RATE * (OUTAGE.as_secs_f64() + 1.0);
        assert!(late as f64 <= most_late, "{late} after the first second, where {most_late} are the most");
        assert!(spread(&came) > 0.1, "in step: {came:?}");
        // The tests' own three come over the Unix socket.
        assert!(received as f64 <= most + 3.0, "{received} connections where {most} are the most");
    });
}

/// Nobody is busy any more when it falls.
struct Curtain<'a>(&'a Busy);

impl Drop for Curtain<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Relaxed);
    }
}
