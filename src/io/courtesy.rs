//! Giving way. Knows how long it took, and not to whom.
//!
//! A link that is about to write first lets the other threads of the machine run: Redis, the other
//! workers, and clients, whose requests then go in the same write. Two cores that the load keeps
//! busy switch less often that way, and Redis reads and answers more at a time. Links that are about
//! to write at the same time do it once for all. Who computes at length takes its whole slice
//! instead; to him way is given seldom.

use std::pin::pin;
use std::task::Context;
use std::time::Duration;

/// Lets the other tasks run, and the runtime look at the sockets; then the task is woken. Whether it
/// has to wait for that. Waking it at once would not wait for the sockets.
pub(super) fn to_sockets(cx: &mut Context<'_>) -> bool {
    pin!(tokio::task::yield_now()).poll(cx).is_pending()
}

/// Longer than this it was somebody's slice, and not the work that a batch waits for.
const SLICE: Duration = Duration::from_millis(2);

/// Writes that are made at once after such a time: as few at first, as many at last.
const AT_ONCE: (u32, u32) = (16, 4096);

/// What a link does that is about to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It writes.
    Write,
    /// It gives way first.
    GiveWay,
    /// Another has, and has not written yet: it writes after that.
    Follow,
}

/// Whether a thread gives way before its next write.
#[derive(Debug, Default)]
pub(super) struct Courtesy {
    /// Way has been given, and nothing written since.
    is_given: bool,
    /// Writes still to be made at once.
    at_once: u32,
    /// How many they were, when it was last too long.
    last: u32,
}

impl Courtesy {
    /// What to do this time.
    pub(super) fn turn(&mut self) -> Turn {
        if self.is_given {
            return Turn::Follow;
        }
        match self.at_once.checked_sub(1) {
            None => Turn::GiveWay,
            Some(rest) => {
                self.at_once = rest;
                Turn::Write
            }
        }
    }

    /// Way was given before, and now it is written.
    pub(super) fn writes(&mut self) {
        self.is_given = false;
    }

    /// To give way has taken so long.
    pub(super) fn took(&mut self, time: Duration) {
        self.is_given = true;
        if time < SLICE {
            self.last /= 2;
        } else {
            self.last = (4 * self.last).clamp(AT_ONCE.0, AT_ONCE.1);
            self.at_once = self.last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many times way is given, where each takes so long, before so many writes.
    fn given(courtesy: &mut Courtesy, writes: u32, time: Duration) -> u32 {
        let mut given = 0;
        for _ in 0..writes {
            if courtesy.turn() == Turn::GiveWay {
                courtesy.took(time);
                assert_eq!(courtesy.turn(), Turn::Follow, "another link's");
                courtesy.writes();
                given += 1;
            }
        }
        given
    }

    #[test]
    fn who_takes_a_slice_is_given_way_seldom_and_others_always() {
        let mut courtesy = Courtesy::default();
        assert_eq!(given(&mut courtesy, 1000, SLICE / 2), 1000);
        assert_eq!(given(&mut courtesy, 100_000, SLICE), 29);
        // The slices have ended: soon it is as before.
        given(&mut courtesy, 4096 + 10, SLICE / 2);
        assert_eq!(given(&mut courtesy, 1000, SLICE / 2), 1000);
    }
}
