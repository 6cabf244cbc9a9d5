//! How a worker's sessions end when the gateway does, and one whose keys are nearly used up: none with a
//! command unanswered whose client could have known.
//!
//! A client that works is ended together with a reply, so that it finds the end where it looks
//! before it sends again, as pools do. A client that has been quiet for a while is ended at once.
//! State of its own (a transaction, subscriptions) is not cut off by a reply, only when quiet.

use std::time::{Duration, Instant};

use super::{Closed, Worker};
use crate::session::{Fate, Session, SessionId};

impl Worker {
    /// Begins to end every session, each at a moment that suits it.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether the client may be ended together with the output that it is about to be given,
    /// if nothing more of it has arrived.
    #[must_use]
    pub fn client_ends_with_reply(&self, id: SessionId) -> bool {
        self.sessions.get(id).is_some_and(|session| {
            (self.draining || session.ends_soon)
                && is_at_rest(session)
                && !session.out.is_empty()
                && !session.is_bound()
                && session.subscribed.is_none()
        })
    }

    /// Nothing more of the client has arrived.
    pub fn end_with_reply(&mut self, id: SessionId) {
        if self.client_ends_with_reply(id) {
            self.end_drained(id);
        }
    }

    /// The keys of the client's connection are nearly used up: it ends at a moment that suits it.
    pub fn end_soon(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.ends_soon = true;
        }
    }

    fn end_drained(&mut self, id: SessionId) {
        if self.sessions.get(id).is_some_and(|session| session.ends_soon) {
            self.report_closed(id, Closed::KeysUsedUp);
        }
        self.end_client(id);
    }

    /// Ends a session that has been quiet for long enough; others end with a reply.
    pub(super) fn drain_client(&mut self, id: SessionId, now: Instant) {
        let quiet = Duration::from_millis(self.limits.drain_quiet_ms);
        let Some(session) = self.sessions.get(id) else { return };
        if is_at_rest(session) && now.saturating_duration_since(session.heard_at) >= quiet {
            self.end_drained(id);
        }
    }
}

/// Whether all that has been read of it has been answered.
fn is_at_rest(session: &Session) -> bool {
    session.fate == Fate::Open
        && session.is_settled()
        && session.stall.is_none()
        && session.input.is_empty()
        && session.upload.is_none()
}
