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
mod flights;
mod frame;
mod leavers;
mod ledger;
mod listener;
mod people;
mod redis;
mod run;
mod single;
mod unasked;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Instant;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, expected a number")))
}

/// Runs every second seed from `first` on; returns those that failed.
fn failures(first: u64, end: u64, run: impl Fn(u64)) -> Vec<u64> {
    let fails = |seed: &u64| {
        let failed = catch_unwind(AssertUnwindSafe(|| run(*seed))).is_err();
        if failed {
            eprintln!(
                "^ seed {seed}; replay: RESPGATE_SIM_SEED={seed} cargo test --test sim -- --nocapture\n"
            );
        }
        failed
    };
    (first..end).step_by(2).filter(fails).collect()
}

/// Runs the seed that the environment names, or as many as it says.
fn every_seed(most: u64, run: impl Fn(u64, bool) + Sync) {
    if let Some(seed) = number("RESPGATE_SIM_SEED") {
        return run(seed, true);
    }
    let seeds = number("RESPGATE_SIM_SEEDS").unwrap_or(most);
    let failed = std::thread::scope(|scope| {
        let odd = scope.spawn(|| failures(1, seeds, |seed| run(seed, false)));
        let mut failed = failures(0, seeds, |seed| run(seed, false));
        failed.extend(odd.join().expect("panics are caught"));
        failed
    });
    assert!(failed.is_empty(), "of {seeds} seeds these failed: {failed:?}");
}

#[test]
fn every_request_is_answered_once_in_order_and_to_its_own_session() {
    let base = Instant::now();
    every_seed(256, |seed, trace| run::run(seed, base, trace));
}

#[test]
fn requests_to_a_cluster_run_once_in_order_and_are_answered_in_order() {
    let (base, seen) = (Instant::now(), Mutex::new(flights::Seen::default()));
    every_seed(48, |seed, trace| {
        let one = flights::run(seed, base, trace);
        let mut all = seen.lock().expect("nobody panics with it");
        (all.answered, all.lost) = (all.answered + one.answered, all.lost + one.lost);
        all.redirects += one.redirects;
    });
    let flights::Seen { answered, lost, redirects } = seen.into_inner().expect("nobody panics with it");
    eprintln!("{answered} requests, {redirects} redirects, {lost} errors");
    assert!(redirects > 0 && lost < answered, "{answered} requests, {redirects} redirects, {lost} errors");
}
