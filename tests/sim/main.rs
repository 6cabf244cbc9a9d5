//! A seeded simulation of a worker: sessions, links and a model of Redis on a
//! virtual clock, without a socket. A seed is a run; a failing one can be replayed.
//!
//! ```text
//! cargo test --test sim                              256 seeds
//! RESPGATE_SIM_SEEDS=5000 cargo test --test sim      more of them
//! RESPGATE_SIM_SEED=17 cargo test --test sim -- --nocapture
//!                                                    one, with a trace of it
//! ```
#![allow(clippy::disallowed_methods, reason = "the virtual clock needs some instant to count from")]

mod check;
mod claims;
mod client;
mod data;
mod dice;
mod driver;
mod frame;
mod ledger;
mod listener;
mod people;
mod redis;
mod run;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, expected a number")))
}

/// Runs every second seed from `first` on; returns those that failed.
fn failures(first: u64, end: u64, base: Instant) -> Vec<u64> {
    let fails = |seed: &u64| {
        let failed = catch_unwind(AssertUnwindSafe(|| run::run(*seed, base, false))).is_err();
        if failed {
            eprintln!(
                "^ seed {seed}; replay: RESPGATE_SIM_SEED={seed} cargo test --test sim -- --nocapture\n"
            );
        }
        failed
    };
    (first..end).step_by(2).filter(fails).collect()
}

#[test]
fn every_request_is_answered_once_in_order_and_to_its_own_session() {
    let base = Instant::now();
    if let Some(seed) = number("RESPGATE_SIM_SEED") {
        return run::run(seed, base, true);
    }
    let seeds = number("RESPGATE_SIM_SEEDS").unwrap_or(256);
    let odd = std::thread::spawn(move || failures(1, seeds, base));
    let mut failed = failures(0, seeds, base);
    failed.extend(odd.join().expect("panics are caught"));
    assert!(failed.is_empty(), "of {seeds} seeds these failed: {failed:?}");
}
