//! At most once: increments while backends and connections die. For each key, what
//! was acknowledged <= the value <= that and what is unknown; an increment said not
//! to be sent has not run, and one that was lost is never sent again.
//!
//! `RESPGATE_LEDGER_KILLS` is how often each of the three deaths happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::echo::{from_env, say};
use crate::proxy::{Mood, Proxy};
use crate::resp::{Value, request};
use crate::wire::{Client, PATIENCE};
use crate::world::{LOST, Setup, World};

const CLIENTS: u64 = 16;
const KEYS: usize = 8;

/// Everything acknowledged is on disk before it is acknowledged.
const LASTING: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

#[derive(Default)]
struct Account {
    acknowledged: AtomicU64,
    unknown: AtomicU64,
}

/// Everything that was asked for, and what came of it.
#[derive(Default)]
pub(crate) struct Ledger {
    accounts: [Account; KEYS],
    not_sent: AtomicU64,
    is_closed: AtomicBool,
}

/// Clients at work, until they are called off.
pub(crate) struct Workers {
    pub(crate) ledger: Arc<Ledger>,
    clients: Vec<std::thread::JoinHandle<()>>,
}

impl Workers {
    /// Clients of these users, in turn.
    pub(crate) fn start(world: &World, users: &[&str]) -> Self {
        let ledger = Arc::new(Ledger::default());
        let start = |number: u64| {
            let (address, ledger) = (world.gateway.address, Arc::clone(&ledger));
            let tls = world.tls(users[number as usize % users.len()]);
            std::thread::spawn(move || {
                let mut dice = Dice::new(number);
                while !ledger.is_closed.load(Relaxed) {
                    let client = Client::tls(address, Arc::clone(&tls)).expect("the gateway is always there");
                    increment(client, &ledger, &mut dice);
                }
            })
        };
        let clients = (0..CLIENTS).map(start).collect();
        Self { ledger, clients }
    }

    /// Waits until so many more increments are acknowledged.
    pub(crate) fn work(&self, more: u64) {
        wait_for_more(&self.ledger, more);
    }

    /// Ends their work, and waits for that.
    pub(crate) fn call_off(self) -> Arc<Ledger> {
        self.ledger.is_closed.store(true, Relaxed);
        self.clients.into_iter().for_each(|client| client.join().expect("no client panicked"));
        self.ledger
    }
}

impl Ledger {
    /// Holds what is there against what was acknowledged and what may have been lost.
    pub(crate) fn audit(&self, root: &mut Client) {
        for (number, account) in self.accounts.iter().enumerate() {
            let answer = root.ask(&format!("GET ledger:{number}"));
            let value: u64 = answer.trim_start_matches('$').parse().expect("a number");
            let (least, unknown) = (account.acknowledged.load(Relaxed), account.unknown.load(Relaxed));
            assert!(least <= value, "ledger:{number}: {least} were acknowledged, {value} are there");
            assert!(
                value <= least + unknown,
                "ledger:{number}: {value} are there, {least} acknowledged and {unknown} unknown"
            );
        }
    }

    /// Increments that were said not to be sent.
    pub(crate) fn not_sent(&self) -> u64 {
        self.not_sent.load(Relaxed)
    }

    /// Increments that were answered.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.accounts.iter().map(|account| account.acknowledged.load(Relaxed)).sum()
    }

    /// Increments of which nobody knows.
    pub(crate) fn unknown(&self) -> u64 {
        self.accounts.iter().map(|account| account.unknown.load(Relaxed)).sum()
    }
}

#[test]
fn increments_are_counted_once_whatever_dies() {
    let kills = from_env("RESPGATE_LEDGER_KILLS", 5);
    let proxy = Proxy::start(11);
    let mut world = World::with_unready(Setup {
        redis: LASTING,
        limits: "reconnect_max_ms = 100",
        database: Some(proxy.address.to_string()),
        ..Setup::default()
    });
    world.announce(LOST);
    proxy.lead_to(&world.redis.socket());
    world.gateway.wait_ready();
    let workers = Workers::start(&world, &["app", "ops"]);

    let mut dice = Dice::new(12);
    let start = Instant::now();
    for round in 0..3 * kills {
        workers.work(200);
        match round % 3 {
            0 => {
                world.redis.kill();
                std::thread::sleep(Duration::from_millis(dice.magnitude(200)));
                world.redis.resume();
            }
            1 => {
                let mut root = world.redis.client("root");
                root.ask("CLIENT KILL TYPE normal");
            }
            // All at once, or each somewhere in its next replies.
            _ if dice.is_one_in(2) => proxy.cut_all(),
            _ => {
                proxy.set(Mood::Cut(2_000));
                std::thread::sleep(Duration::from_millis(50));
                proxy.set(Mood::Honest);
            }
        }
    }
    workers.work(200);
    settle(&world, &workers.call_off(), kills, start);
}

fn wait_for_more(ledger: &Ledger, more: u64) {
    let (before, deadline) = (ledger.acknowledged(), Instant::now() + PATIENCE);
    while ledger.acknowledged() < before + more {
        assert!(Instant::now() < deadline, "nothing is acknowledged any more");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn settle(world: &World, ledger: &Ledger, kills: u64, start: Instant) {
    ledger.audit(&mut world.redis.client("root"));
    say(&format!(
        "ledger: {kills} kills of the backend, {kills} of its connections, {kills} resets on the way, in {:.0?}: {} \
         increments acknowledged, {} unknown, {} not sent",
        start.elapsed(),
        ledger.acknowledged(),
        ledger.unknown(),
        ledger.not_sent()
    ));
    assert!(ledger.unknown() > 0, "nothing was ever lost");
}

/// Pipelines of increments, until the connection ends or the ledger is closed.
fn increment(mut client: Client, ledger: &Ledger, dice: &mut Dice) {
    let mut seen = [0; KEYS];
    while !ledger.is_closed.load(Relaxed) {
        let keys: Vec<usize> = (0..dice.magnitude(64)).map(|_| dice.below(KEYS as u64) as usize).collect();
        let mut bytes = Vec::new();
        // A link of its own, now and then, made for the occasion.
        let is_pinned = dice.is_one_in(20);
        if is_pinned {
            bytes.extend(request(&["WATCH", "nobody"]));
        }
        for key in &keys {
            let key = format!("ledger:{key}");
            match dice.below(5) {
                0 => bytes.extend(request(&["EVAL", "return redis.call('INCR', KEYS[1])", "1", &key])),
                _ => bytes.extend(request(&["INCR", &key])),
            }
        }
        if is_pinned {
            bytes.extend(request(&["UNWATCH"]));
        }
        let written = client.try_write(&bytes);
        let mut is_over = written.is_err();
        if is_pinned && !is_over {
            is_over = client.try_read().is_err();
        }
        for &key in &keys {
            // A failed write, too, may have been read in part.
            match client.try_read() {
                Ok(reply) => enter(&reply, &ledger.accounts[key], &mut seen[key], &ledger.not_sent),
                Err(_) => {
                    ledger.accounts[key].unknown.fetch_add(1, Relaxed);
                    is_over = true;
                }
            }
        }
        if is_over || (is_pinned && client.try_read().is_err()) {
            return;
        }
    }
}

fn enter(reply: &Value, account: &Account, seen: &mut i64, not_sent: &AtomicU64) {
    match reply {
        Value::Int(value) => {
            assert!(value > seen, "{value} behind {seen}: replies are in disorder");
            *seen = *value;
            account.acknowledged.fetch_add(1, Relaxed);
        }
        Value::Error(text) if text.ends_with("outcome unknown") => {
            account.unknown.fetch_add(1, Relaxed);
        }
        Value::Error(text) if text.ends_with("command not sent") || text.starts_with("LOADING ") => {
            not_sent.fetch_add(1, Relaxed);
        }
        other => panic!("in answer to an increment: {other}"),
    }
}
