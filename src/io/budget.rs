//! How much all workers together hold for their clients, as each has told at its last
//! tick, and whether that leaves room for one more client. Knows no client; who holds
//! too much is the machines' matter.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What each worker holds.
#[derive(Debug)]
pub(super) struct Budget {
    workers: Vec<AtomicUsize>,
}

impl Budget {
    pub(super) fn new(workers: usize) -> Self {
        Self { workers: (0..workers).map(|_| AtomicUsize::new(0)).collect() }
    }

    /// A worker says what it holds.
    pub(super) fn told(&self, worker: usize, bytes: usize) {
        self.workers[worker].store(bytes, Ordering::Relaxed);
    }

    /// Whether less than 95 % of this much is held.
    pub(super) fn has_room(&self, most: usize) -> bool {
        let held = self.workers.iter().map(|bytes| bytes.load(Ordering::Relaxed));
        held.fold(0, usize::saturating_add) < most - most / 20
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_below_95_percent_of_what_all_may_hold_together() {
        let budget = Budget::new(2);
        budget.told(0, 50);
        budget.told(1, 44);
        assert!(budget.has_room(100));
        budget.told(1, 45);
        assert!(!budget.has_room(100));
        budget.told(0, 0);
        assert!(budget.has_room(100));
        assert!(Budget::new(1).has_room(1), "the least that may be is room while nothing is held");
    }
}
