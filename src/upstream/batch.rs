//! When a link writes. Knows how far its backend is and how many use it, and not what is asked.
//!
//! A backend that is near reads, runs and answers a batch in little more time than it takes to come by the
//! next one. What many clients ask for meanwhile waits for its replies and goes as one batch: fewer writes
//! and wakes here, fewer reads and writes there. It is Nagle's rule (RFC 896), held to replies in the place of
//! acknowledgements. Nothing waits for a backend that is far, where it would take up to twice as long;
//! nor where clients are few; nor when there is enough for a batch. A request to a cluster counts if its client
//! awaits nothing else: who asks several nodes at once waits for the last of them.

use std::time::{Duration, Instant};

use crate::session::SessionId;

/// Enough for a batch, in bytes: Redis reads no more at a time (`PROTO_IOBUF_LEN`).
const ENOUGH: usize = 16 * 1024;

/// Farther than this is a backend that has never answered sooner.
const NEAR: Duration = Duration::from_micros(100);

/// Fewer clients make no batches that would be worth their waiting.
const COMPANY: u32 = 8;

/// Clients are counted among so many tickets.
const COUNTED: u32 = 32;

/// The batches of a link that many share.
#[derive(Debug, Default)]
pub(super) struct Batches {
    /// Where the one under way ends, in the stream of request bytes.
    end: u64,
    /// When the backend, which owed no reply, was asked for one.
    asked_at: Option<Instant>,
    /// The shortest time that it took to answer.
    nearest: Option<Duration>,
    /// Whose the latest tickets are, by their places modulo 64, and how many tickets.
    seen: u64,
    tickets: u32,
    /// Of how many clients those before were.
    clients: u32,
}

impl Batches {
    /// Whether the backend is near, and clients are many.
    pub(super) fn gather(&self) -> bool {
        self.nearest.is_some_and(|nearest| nearest <= NEAR) && self.clients >= COMPANY
    }

    /// Whether there is more to come for a batch, when so many bytes of the stream are written and
    /// so many are not.
    pub(super) fn may_wait(&self, written: u64, unwritten: usize) -> bool {
        written >= self.end && unwritten < ENOUGH
    }

    /// All up to here is written before anything waits again.
    pub(super) fn begin(&mut self, end: u64) {
        self.end = end;
    }

    /// One more ticket, of this client; of none, where the client would wait for more than this.
    pub(super) fn note(&mut self, session: Option<SessionId>) {
        self.seen |= session.map_or(0, |session| 1 << (session.index % u64::BITS));
        self.tickets += 1;
        if self.tickets == COUNTED {
            self.clients = self.seen.count_ones();
            (self.seen, self.tickets) = (0, 0);
        }
    }

    /// The backend owed nothing, and is asked for something.
    pub(super) fn asked(&mut self, now: Instant) {
        self.asked_at = Some(now);
    }

    /// The backend has sent something.
    pub(super) fn answered(&mut self, now: Instant) {
        if let Some(asked_at) = self.asked_at.take() {
            let took = now.saturating_duration_since(asked_at);
            self.nearest = Some(self.nearest.map_or(took, |nearest| nearest.min(took)));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests need some instant to count from")]

    use super::super::{Expect, LaneId, Link, LinkRole, Phase};
    use super::*;

    const LANE: LaneId = 0;
    const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

    /// A link that is used by so many clients, of a backend that is so far; it owes nothing.
    fn link(clients: u32, far: Duration) -> (Link, Instant) {
        let mut now = Instant::now();
        let mut link = Link::new(LANE, LinkRole::Shared, 1, now);
        link.phase = Phase::Ready;
        for turn in 0..2 * COUNTED {
            ask(&mut link, turn % clients, now);
            assert!(write(&mut link, now), "nothing is under way");
            now += far;
            link.heard(now);
            link.settle(1);
        }
        (link, now)
    }

    fn ask(link: &mut Link, client: u32, now: Instant) {
        link.claim(SessionId { index: client, generation: 1 }, 1, Expect::Reply, now);
        link.append(PING);
    }

    /// Writes what is not to wait; whether that is anything.
    fn write(link: &mut Link, now: Instant) -> bool {
        let mut any = false;
        while let Some(count) = link.output().filter(|out| !out.is_empty()).map(|out| out.front().len()) {
            link.wrote(count, now);
            any = true;
        }
        any
    }

    #[test]
    fn what_many_ask_of_a_near_backend_waits_for_its_replies_and_goes_as_one() {
        let (mut link, now) = link(COMPANY, NEAR);
        ask(&mut link, 0, now);
        assert!(write(&mut link, now));
        for client in 1..COMPANY {
            ask(&mut link, client, now);
            assert!(!write(&mut link, now), "a reply is owed");
        }
        link.settle(1);
        assert!(write(&mut link, now), "none is");
        assert_eq!(link.backlog(), 0);
    }

    #[test]
    fn nobody_waits_for_a_backend_that_is_far_nor_where_clients_are_few() {
        for (clients, far) in [(COMPANY, NEAR + Duration::from_micros(1)), (COMPANY - 1, NEAR)] {
            let (mut link, now) = link(clients, far);
            for client in 0..2 {
                ask(&mut link, client, now);
                assert!(write(&mut link, now), "{clients} clients, {far:?}");
            }
        }
    }

    #[test]
    fn enough_for_a_batch_does_not_wait() {
        let (mut link, now) = link(COMPANY, NEAR);
        ask(&mut link, 0, now);
        assert!(write(&mut link, now));
        while link.backlog() + PING.len() < ENOUGH {
            ask(&mut link, 1, now);
            assert!(!write(&mut link, now));
        }
        ask(&mut link, 2, now);
        assert!(write(&mut link, now));
    }

    #[test]
    fn what_is_written_in_part_is_written_to_its_end() {
        let (mut link, now) = link(COMPANY, NEAR);
        ask(&mut link, 0, now);
        ask(&mut link, 1, now);
        // The socket is full in the midst of the first, and then between the two.
        assert!(link.output().is_some());
        link.wrote(3, now);
        assert!(link.output().is_some());
        link.wrote(PING.len() - 3, now);
        assert!(write(&mut link, now));
        assert_eq!(link.backlog(), 0);
    }
}
