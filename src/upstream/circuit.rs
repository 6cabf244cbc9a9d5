//! Whether a node may be connected to: closed while it works, open while it does not.
//!
//! ```text
//!           a link that worked is lost            an attempt fails
//!   Closed ---------------------------> Suspect ------------------> Open --+ each attempt waits
//!     ^                                    |   <------------------   |     | for its turn
//!     |                                    |   another link answers  |     |
//!     +------------------------------------+-------------------------+ <---+
//!                       the node answers an attempt
//! ```
//!
//! Unless it is closed, one link at a time tries the node. Once an attempt has failed, the next ones
//! are spaced by a backoff with full jitter, and by this worker's share of so many a second, so that
//! all workers together keep to that. While it is open, nothing waits for long.

use std::time::{Duration, Instant};

use super::{Backoff, LinkId};
use crate::limits::Limits;

/// The circuit of one node in one worker.
#[derive(Debug, Default)]
pub struct Circuit {
    state: State,
    /// The one link that tries the node.
    attempt: Option<LinkId>,
    backoff: Backoff,
    /// When, at the allowed rate, all attempts so far would have been made.
    paid_until: Option<Instant>,
    /// When an attempt failed last.
    failed_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Closed,
    Suspect,
    Open,
}

impl Circuit {
    /// Whether the node is known to fail.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether links may be connected as they like.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether the node may be tried now.
    #[must_use]
    pub fn allows(&self, now: Instant) -> bool {
        let may_pay = self.paid_until.is_none_or(|paid| paid <= now);
        let is_in_time = !self.backoff.is_failing() || (self.backoff.allows(now) && may_pay);
        self.state == State::Closed || (self.attempt.is_none() && is_in_time)
    }

    /// This link tries the node, which `allows` has allowed. `workers` share the rate.
    pub fn tries(&mut self, link: LinkId, now: Instant, limits: &Limits, workers: usize) {
        if self.state == State::Closed {
            return;
        }
        self.attempt = Some(link);
        let each = Duration::from_secs(workers.max(1) as u64) / limits.reconnects_per_second_max.max(1);
        self.paid_until = Some(self.paid_until.map_or(now, |paid| paid.max(now)) + each);
    }

    /// A link is gone, whatever became of it.
    pub fn gone(&mut self, link: LinkId) {
        self.attempt.take_if(|attempt| *attempt == link);
    }

    /// A link that worked was lost: the next one shows whether the node is there.
    pub fn suspect(&mut self) {
        if self.state == State::Closed {
            self.state = State::Suspect;
        }
    }

    /// A link could not be connected; `random` decides the wait.
    pub fn failed(&mut self, now: Instant, limits: &Limits, random: u64) {
        self.state = State::Open;
        self.failed_at = Some(now);
        self.backoff.failed(now, limits, random);
    }

    /// When an attempt failed last, while the node is known to fail.
    #[must_use]
    pub fn open_since(&self) -> Option<Instant> {
        self.failed_at.filter(|_| self.is_open())
    }

    /// The node answers over a link that it has: a new one may be had as well.
    pub fn answered_another(&mut self) {
        if self.is_open() {
            self.state = State::Suspect;
        }
    }

    /// The node has answered an attempt. Whether one had failed.
    pub fn succeeded(&mut self) -> bool {
        let had_failed = self.failed_at.is_some();
        *self = Self::default();
        had_failed
    }

    /// Another worker has found the node answering: it may be tried at once.
    pub fn hear_of_success(&mut self) {
        self.backoff.succeeded();
        self.paid_until = None;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests need some instant to count from")]
    use super::*;

    const LINK: LinkId = LinkId { index: 1, generation: 1 };

    fn limits() -> Limits {
        Limits {
            reconnect_min_ms: 1,
            reconnect_max_ms: 1,
            reconnects_per_second_max: 10,
            ..Limits::default()
        }
    }

    #[test]
    fn a_closed_circuit_allows_any_number() {
        let (mut circuit, now) = (Circuit::default(), Instant::now());
        for _ in 0..1000 {
            assert!(circuit.allows(now));
            circuit.tries(LINK, now, &limits(), 2);
        }
    }

    #[test]
    fn after_a_loss_one_link_at_a_time_tries_the_node_and_at_once() {
        let (mut circuit, now) = (Circuit::default(), Instant::now());
        circuit.suspect();
        assert!(circuit.allows(now) && !circuit.is_closed() && !circuit.is_open());
        circuit.tries(LINK, now, &limits(), 2);
        assert!(!circuit.allows(now));
        assert!(!circuit.succeeded(), "it was not known to fail");
        assert!(circuit.is_closed() && circuit.allows(now));
    }

    #[test]
    fn a_node_that_answers_others_is_not_open_and_attempts_keep_their_distance() {
        let (mut circuit, now) = (Circuit::default(), Instant::now());
        circuit.failed(now, &limits(), 0);
        assert_eq!(circuit.open_since(), Some(now));
        circuit.answered_another();
        assert!(!circuit.is_open() && !circuit.is_closed() && circuit.open_since().is_none());
        assert!(!circuit.allows(now) && circuit.allows(now + Duration::from_millis(1)));
        assert!(circuit.succeeded(), "an attempt had failed");
        assert!(circuit.is_closed());
    }

    #[test]
    fn an_attempt_that_is_given_up_leaves_its_place_to_another() {
        let (mut circuit, now) = (Circuit::default(), Instant::now());
        circuit.suspect();
        circuit.tries(LINK, now, &limits(), 1);
        circuit.gone(LinkId { index: 1, generation: 2 });
        assert!(!circuit.allows(now));
        circuit.gone(LINK);
        assert!(circuit.allows(now));
    }

    /// Two workers, for a minute, with a backoff that would let them try each millisecond.
    #[test]
    fn all_workers_together_keep_to_the_rate() {
        let (start, limits) = (Instant::now(), limits());
        let mut circuits = [Circuit::default(), Circuit::default()];
        let mut attempts = 0;
        for ms in 0..60_000 {
            let now = start + Duration::from_millis(ms);
            for circuit in &mut circuits {
                if ms == 0 {
                    circuit.failed(now, &limits, 0);
                }
                if circuit.allows(now) {
                    circuit.tries(LINK, now, &limits, 2);
                    circuit.gone(LINK);
                    circuit.failed(now, &limits, 0);
                    attempts += 1;
                }
            }
        }
        assert!((590..=602).contains(&attempts), "{attempts} in a minute");
    }

    #[test]
    fn a_word_from_another_worker_allows_an_attempt_at_once() {
        let now = Instant::now();
        let limits = Limits { reconnect_min_ms: 5_000, ..Limits::default() };
        let mut circuit = Circuit::default();
        circuit.failed(now, &limits, 4_000);
        assert!(!circuit.allows(now) && circuit.is_open());
        circuit.hear_of_success();
        assert!(circuit.allows(now) && circuit.is_open(), "it has still to see for itself");
        circuit.tries(LINK, now, &limits, 1);
        assert!(circuit.succeeded());
    }
}
