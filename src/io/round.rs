//! In which order things are looked at again, some at each tick. Who has waited
//! longest comes first, so that a round that begins anew before it has ended holds
//! up nobody: reloads may come faster than rounds end.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;

/// Ticks within which each is reached: three seconds.
const TICKS: usize = 60;

/// Fewer are not worth another tick.
const TURN_MIN: usize = 64;

/// What is still to be looked at.
pub(super) struct Round<T> {
    /// Invariant: nothing stands in it twice.
    waiting: VecDeque<T>,
    /// How many at a tick. It only grows while anything waits: those in front were
    /// promised this pace.
    turn: usize,
}

impl<T> Default for Round<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), turn: 0 }
    }
}

impl<T: Copy + Eq + Hash> Round<T> {
    /// These are to be looked at from now on; those that wait already keep their place.
    pub(super) fn add(&mut self, all: impl Iterator<Item = T>) {
        let waiting: HashSet<T> = self.waiting.iter().copied().collect();
        self.waiting.extend(all.filter(|one| !waiting.contains(one)));
        self.turn = self.turn.max(self.waiting.len().div_ceil(TICKS)).max(TURN_MIN);
    }

    /// Those whose turn it is at this tick.
    pub(super) fn next(&mut self) -> Vec<T> {
        let turn = self.turn.min(self.waiting.len());
        let next = self.waiting.drain(..turn).collect();
        if self.waiting.is_empty() {
            self.turn = 0;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::{Round, TICKS};

    const MANY: usize = 10_000;

    #[test]
    fn rounds_that_begin_before_the_last_has_ended_reach_everybody_in_time() {
        for every in [1, 7, 20, 59, 61, 200] {
            let mut round = Round::default();
            // Since when each has to be looked at.
            let mut since = vec![None; MANY];
            for tick in 0..1_000 {
                if tick % every == 0 {
                    round.add(0..MANY);
                    since.iter_mut().for_each(|since| {
                        since.get_or_insert(tick);
                    });
                }
                for one in round.next() {
                    since[one] = None;
                }
                let late = since.iter().flatten().find(|&&since| tick + 1 - since > TICKS);
                assert_eq!(late, None, "at tick {tick}, with a round each {every} ticks");
            }
        }
    }

    #[test]
    fn who_is_added_in_between_does_not_slow_the_others() {
        let mut round = Round::default();
        round.add(0..MANY);
        let mut met = 0;
        for tick in 0..TICKS {
            round.add(std::iter::once(MANY + tick));
            met += round.next().iter().filter(|&&one| one < MANY).count();
        }
        assert_eq!(met, MANY);
    }

    #[test]
    fn each_is_met_once_a_round() {
        let mut round = Round::default();
        round.add(0..100);
        round.add(50..150);
        let mut met: Vec<usize> = (0..TICKS).flat_map(|_| round.next()).collect();
        met.sort_unstable();
        assert_eq!(met, (0..150).collect::<Vec<_>>());
        assert!(round.next().is_empty());
    }
}
