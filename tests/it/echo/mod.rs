//! The unique-token echo: many clients of several Redis users, every request
//! with a token that its reply must contain, first in peace and then while
//! clients reset and the backend is killed; `faults` has each fault by itself.
//! Shares no code with the gateway.
//!
//! `RESPGATE_ECHO_REPLIES` and `RESPGATE_ECHO_FAULT_SECONDS` make it longer.

mod client;
mod faults;
mod habits;
mod kinds;
mod terms;
mod totals;
mod vigil;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicU16;
use std::time::{Duration, Instant};

use self::client::Plan;
use self::habits::Habit;
use self::kinds::Diet;
pub(crate) use self::kinds::tags;
pub(crate) use self::terms::Losses;
use self::terms::Terms;
use self::totals::{Phase, Totals};
pub(crate) use self::vigil::Vigil;
use crate::world::{APP, LOST, OPS, Setup, User, World};

const CLIENTS: u32 = 64;
const USERS: [User; 4] = [
    APP,
    OPS,
    User { name: "third", subject: "CN=third,O=Acme", redis_user: "third", commands: "\"default\"" },
    User { name: "fourth", subject: "CN=fourth,O=Acme", redis_user: "fourth", commands: "\"default\"" },
];

/// Longer than the gateway may take for anything: its `op_timeout_ms` is 60 s.
const DEADLINE: Duration = Duration::from_secs(65);

#[test]
fn echo_a_million_replies_and_a_minute_of_faults_and_none_goes_astray() {
    let replies = from_env("RESPGATE_ECHO_REPLIES", 1_000_000);
    let fault_time = Duration::from_secs(from_env("RESPGATE_ECHO_FAULT_SECONDS", 60));
    let mut world = World::with(Setup { users: USERS.to_vec(), limits: faults::SOON, ..Setup::default() });
    world.announce(LOST);
    let totals = Arc::new(Totals::default());
    let terms = Arc::new(Terms {
        port: AtomicU16::new(world.gateway.address.port()),
        losses: Losses::Meanwhile,
        may_be_refused: false,
        habit: Some(Habit::Resets),
        habit_one_in: 20,
        diet: Diet::Plain,
        deeds: None,
        accidents: None,
    });
    let clients = spawn_clients(&world, &terms, &totals);
    let start = Instant::now();

    wait_for_replies(&totals, replies);
    say(&format!("echo, {:.0?}, no faults: {totals}", start.elapsed()));
    let peace = totals.replies();

    totals.enter(Phase::Faults);
    let faults_end = Instant::now() + fault_time;
    let mut kills = 0;
    while Instant::now() < faults_end {
        std::thread::sleep(Duration::from_millis(2_500));
        world.redis.kill();
        std::thread::sleep(Duration::from_millis(if kills % 3 == 2 { 1_000 } else { 50 }));
        world.redis.resume();
        kills += 1;
    }
    // What is under way may still feel the last kill; what begins later may not.
    std::thread::sleep(Duration::from_secs(8));
    say(&format!("echo, {:.0?}, with {kills} kills of the backend: {totals}", start.elapsed()));
    let troubled = totals.replies() - peace;

    totals.enter(Phase::Peace);
    wait_for_replies(&totals, totals.replies() + replies / 20);
    totals.enter(Phase::End);
    clients.join().expect("no client panicked");
    say(&format!("echo, {:.0?}, at the end: {totals}", start.elapsed()));

    assert!(totals.is_flawless(), "{totals}\n{}", totals.findings());
    assert!(peace >= replies, "only {peace} replies in peace");
    assert!(troubled >= replies / 100, "only {troubled} replies among the faults: {totals}");
    assert!(totals.whoami() >= replies / 200, "WHOAMI was hardly asked: {totals}");
}

/// All clients, on one thread of their own.
fn spawn_clients(world: &World, terms: &Arc<Terms>, totals: &Arc<Totals>) -> std::thread::JoinHandle<()> {
    spawn(CLIENTS, world, terms, totals)
}

fn spawn(
    clients: u32,
    world: &World,
    terms: &Arc<Terms>,
    totals: &Arc<Totals>,
) -> std::thread::JoinHandle<()> {
    let plans: Vec<Plan> = (0..clients)
        .map(|id| {
            let user = USERS[id as usize % USERS.len()].name;
            // Half of each user's clients speak RESP3.
            let is_resp3 = id / 4 % 2 == 1;
            Plan { id, user, is_resp3, tls: world.tls(user), terms: Arc::clone(terms) }
        })
        .collect();
    let totals = Arc::clone(totals);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let tasks: Vec<_> =
                plans.into_iter().map(|plan| tokio::spawn(client::run(plan, Arc::clone(&totals)))).collect();
            for task in tasks {
                task.await.expect("no client panicked");
            }
        });
    })
}

fn wait_for_replies(totals: &Totals, wanted: u64) {
    let mut last = (totals.replies(), Instant::now());
    while totals.replies() < wanted && totals.is_flawless() {
        std::thread::sleep(Duration::from_millis(50));
        if totals.replies() > last.0 {
            last = (totals.replies(), Instant::now());
        }
        assert!(last.1.elapsed() < DEADLINE, "no reply for {DEADLINE:?}: {totals}");
    }
}

/// A number that the environment may change.
pub(crate) fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Past the test harness, which keeps back what a passing test prints.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
