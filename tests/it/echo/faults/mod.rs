//! The echo under each of fourteen faults. `table` says what each fault is, `inflict` does it, and
//! here is what holds for all of them: in peace before and after, everything is answered rightly;
//! meanwhile nothing is ever answered wrongly, and what is lost is said to be.
//!
//! `RESPGATE_ECHO_FAULTS` chooses some by number or name, `RESPGATE_ECHO_FAULT_SECONDS` says how
//! long each lasts, `RESPGATE_ECHO_SEED` gives another run.

mod inflict;
mod table;

use std::sync::Arc;
use std::sync::atomic::AtomicU16;
use std::time::{Duration, Instant};

pub(super) use self::table::SOON;
use self::table::{FAULTS, Fault};
use super::habits::Habit;
use super::kinds::Diet;
use super::terms::{Losses, Terms};
use super::totals::{Phase, Totals};
use super::{CLIENTS, USERS, from_env, say, spawn_clients, wait_for_replies};
use crate::dice::Dice;
use crate::proxy::Proxy;
use crate::world::{LOST, Setup, World};

/// Replies in peace, before a fault and after it.
const CALM: u64 = 2_000;

/// Everything that a fault may touch.
struct Stage {
    world: World,
    proxy: Proxy,
    terms: Arc<Terms>,
    dice: Dice,
    until: Instant,
    /// How often it was done.
    done: u64,
}

impl Stage {
    /// Rests for so long, and no longer than the fault lasts. Whether it goes on.
    fn rest(&self, time: Duration) -> bool {
        std::thread::sleep(time.min(self.until.saturating_duration_since(Instant::now())));
        Instant::now() < self.until
    }
}

#[test]
fn echo_under_each_of_fourteen_faults_and_none_goes_astray() {
    let seconds = from_env("RESPGATE_ECHO_FAULT_SECONDS", 2);
    let seed = from_env("RESPGATE_ECHO_SEED", 1);
    let chosen = std::env::var("RESPGATE_ECHO_FAULTS").unwrap_or_default();
    let words: Vec<&str> = chosen.split([',', ' ']).filter(|word| !word.is_empty()).collect();
    for word in &words {
        assert!(FAULTS.iter().any(|fault| fault.is_called(word)), "there is no fault {word:?}");
    }
    for fault in &FAULTS {
        if words.is_empty() || words.iter().any(|word| fault.is_called(word)) {
            play(fault, Duration::from_secs(seconds), seed);
        }
    }
}

fn play(fault: &Fault, time: Duration, seed: u64) {
    let mut stage = begin(fault, seed);
    let totals = Arc::new(Totals::default());
    let clients = spawn_clients(&stage.world, &stage.terms, &totals);
    wait_for_replies(&totals, CALM);
    let before = totals.replies();

    stage.until = Instant::now() + time;
    totals.enter(Phase::Faults);
    (fault.inflict)(&mut stage);
    let meanwhile = totals.replies() - before;
    // What begins from now on may not feel it any more.
    if stage.terms.losses == Losses::Meanwhile {
        wait_for_recovery(&stage.world);
    }
    totals.enter(Phase::Peace);
    wait_for_replies(&totals, totals.replies() + CALM);
    totals.enter(Phase::End);
    clients.join().expect("no client panicked");

    let mut line = format!("fault {:2}, {}, {} s: {totals}", fault.number, fault.name, time.as_secs());
    if stage.terms.deeds.is_some() {
        line += &format!("; {}", stage.proxy.deeds.tainted.lock().expect("not poisoned").summary());
    } else if stage.done > 0 {
        line += &format!("; done {} times", stage.done);
    }
    say(&line);
    assert!(totals.is_flawless(), "{line}\n{}", totals.findings());
    assert!(meanwhile >= u64::from(CLIENTS), "only {meanwhile} replies meanwhile: {line}");
    assert!(stage.done + totals.habits() > 0, "nothing was done: {line}");
    assert!(totals.whoami() > 0, "WHOAMI was not asked: {line}");
}

fn begin(fault: &Fault, seed: u64) -> Stage {
    let seed = seed * 100 + u64::from(fault.number);
    let proxy = Proxy::start(seed);
    let world = World::with_unready(Setup {
        users: USERS.to_vec(),
        version: fault.version,
        limits: fault.limits,
        database: Some(proxy.address.to_string()),
        ..Setup::default()
    });
    proxy.lead_to(&world.redis.socket());
    world.gateway.wait_ready();
    for announced in fault.announced {
        world.announce(announced);
    }
    let terms = Terms {
        port: AtomicU16::new(world.gateway.address.port()),
        losses: fault.losses,
        may_be_refused: fault.may_be_refused,
        habit: fault.habit,
        habit_one_in: fault.habit_one_in,
        diet: fault.diet,
        deeds: fault.is_rogue.then(|| Arc::clone(&proxy.deeds)),
        accidents: None,
    };
    let dice = Dice::new(seed);
    Stage { world, proxy, terms: Arc::new(terms), dice, until: Instant::now(), done: 0 }
}

/// Every user is answered again, and has been for a while.
pub(super) fn wait_for_recovery(world: &World) {
    let deadline = Instant::now() + Duration::from_secs(20);
    // Several of each user, who stay: a new one alone would come to the same worker each time, and the
    // other may still be waiting for its turn to connect.
    let mut clients: Vec<_> = (0..4).flat_map(|_| USERS.iter().map(|user| world.client(user.name))).collect();
    let mut well_since = None;
    while well_since.is_none_or(|since: Instant| since.elapsed() < Duration::from_millis(700)) {
        let is_well = clients.iter_mut().all(|client| client.ask("ECHO well") == "$well");
        well_since = if is_well { well_since.or_else(|| Some(Instant::now())) } else { None };
        assert!(Instant::now() < deadline, "no way back");
        std::thread::sleep(Duration::from_millis(20));
    }
}
