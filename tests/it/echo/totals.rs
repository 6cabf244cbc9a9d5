//! What all clients of the echo have seen, and in which phase they are.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use super::say;

/// What may happen at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing but the right reply.
    Peace,
    /// Errors that say what was lost, and connections that close.
    Faults,
    /// Clients finish what they are at and leave.
    End,
}

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The reply that was asked for.
    Right,
    /// The gateway said that the outcome is unknown.
    Unknown,
    /// The gateway said that it was not sent.
    NotSent,
    /// The backend has lost its data.
    Emptied,
    /// The connection closed first, or this client reset it.
    Closed,
    /// No connection was to be had.
    Refused,
    /// A rogue backend's doing, before the fence that ended it.
    Shifted,
    /// A token of another client. Must never happen, as all below.
    Foreign,
    /// A token of another request of this client.
    Inverted,
    /// No token, and not what was asked for.
    Wrong,
    /// Another Redis user answered `ACL WHOAMI`.
    WrongUser,
    /// No reply, no error and no close.
    Silent,
}

const OUTCOMES: [Outcome; 12] = [
    Outcome::Right,
    Outcome::Unknown,
    Outcome::NotSent,
    Outcome::Emptied,
    Outcome::Closed,
    Outcome::Refused,
    Outcome::Shifted,
    Outcome::Foreign,
    Outcome::Inverted,
    Outcome::Wrong,
    Outcome::WrongUser,
    Outcome::Silent,
];

impl Outcome {
    /// Whether it must never happen.
    pub(super) fn is_finding(self) -> bool {
        matches!(self, Self::Foreign | Self::Inverted | Self::Wrong | Self::WrongUser | Self::Silent)
    }
}

/// Counters of all clients together.
#[derive(Default)]
pub(super) struct Totals {
    phase: AtomicU8,
    faults: AtomicU64,
    counts: [AtomicU64; OUTCOMES.len()],
    whoami: AtomicU64,
    habits: AtomicU64,
    findings: Mutex<Vec<String>>,
}

impl Totals {
    pub(super) fn enter(&self, phase: Phase) {
        self.faults.fetch_add(u64::from(phase == Phase::Faults), Relaxed);
        self.phase.store(phase as u8, Relaxed);
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Peace,
            1 => Phase::Faults,
            _ => Phase::End,
        }
    }

    /// How often there have been faults.
    pub(super) fn faults(&self) -> u64 {
        self.faults.load(Relaxed)
    }

    pub(super) fn count(&self, outcome: Outcome, number: u64) {
        self.counts[outcome as usize].fetch_add(number, Relaxed);
    }

    /// Counts something that must never happen, says what was seen, and keeps it.
    pub(super) fn find(&self, outcome: Outcome, what: impl FnOnce() -> String) {
        self.count(outcome, 1);
        let mut findings = self.findings.lock().expect("not poisoned");
        if findings.len() < 20 {
            let finding = format!("{outcome:?}, {:?}: {}", self.phase(), what());
            say(&format!("echo: {finding}"));
            findings.push(finding);
        }
    }

    pub(super) fn saw_whoami(&self) {
        self.whoami.fetch_add(1, Relaxed);
    }

    /// A client did not do as one should.
    pub(super) fn saw_habit(&self) {
        self.habits.fetch_add(1, Relaxed);
    }

    pub(super) fn habits(&self) -> u64 {
        self.habits.load(Relaxed)
    }

    /// Replies read, whatever they said.
    pub(super) fn replies(&self) -> u64 {
        let is_reply = |o: &&Outcome| !matches!(o, Outcome::Closed | Outcome::Refused | Outcome::Silent);
        OUTCOMES.iter().filter(is_reply).map(|o| self.of(*o)).sum()
    }

    pub(super) fn whoami(&self) -> u64 {
        self.whoami.load(Relaxed)
    }

    pub(super) fn is_flawless(&self) -> bool {
        OUTCOMES.iter().filter(|outcome| outcome.is_finding()).all(|outcome| self.of(*outcome) == 0)
    }

    pub(super) fn findings(&self) -> String {
        self.findings.lock().expect("not poisoned").join("\n")
    }

    fn of(&self, outcome: Outcome) -> u64 {
        self.counts[outcome as usize].load(Relaxed)
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} replies, {} at the wrong client, {} inversions, {} otherwise wrong, {} of a wrong user, {} never \
             answered; {} outcome unknown, {} not sent, {} without their data, {} unanswered at a close, \
             {} connections refused; {} WHOAMI, {} turns of a client out of line",
            self.replies(),
            self.of(Outcome::Foreign),
            self.of(Outcome::Inverted),
            self.of(Outcome::Wrong),
            self.of(Outcome::WrongUser),
            self.of(Outcome::Silent),
            self.of(Outcome::Unknown),
            self.of(Outcome::NotSent),
            self.of(Outcome::Emptied),
            self.of(Outcome::Closed),
            self.of(Outcome::Refused),
            self.whoami(),
            self.habits(),
        )
    }
}
