//! Clients that are not told yet what there is. What a client asks several nodes for at once it is told at
//! once: one write, and one read of its own, in the place of one for each node. Nobody waits long for
//! a node that is at work on something.

use std::time::Instant;

use super::super::Worker;
use super::PATIENCE;
use crate::session::SessionId;

impl Worker {
    /// Whether other nodes of its cluster are about to add to what the client is to be told; if so, it
    /// is woken when they have, or have not for too long.
    pub fn client_awaits_more(&mut self, id: SessionId, now: Instant) -> bool {
        let Some(session) = self.sessions.get_mut(id) else { return false };
        if !session.awaits_more() {
            session.held_since = None;
            return false;
        }
        let is_new = session.held_since.is_none();
        let until = *session.held_since.get_or_insert(now) + PATIENCE;
        if until <= now {
            session.held_since = None;
            session.slots.unbind();
            return false;
        }
        session.woken = false;
        if is_new {
            self.clusters.held.insert(id);
            self.rouse_at(until, now);
        }
        true
    }

    /// Wakes those who have waited long enough.
    pub(in super::super) fn tick_held(&mut self, now: Instant) {
        let mut next: Option<Instant> = None;
        for id in std::mem::take(&mut self.clusters.held) {
            let since = self.sessions.get(id).and_then(|session| session.held_since);
            let Some(until) = since.map(|since| since + PATIENCE) else { continue };
            if until <= now {
                self.wake_client(id);
            } else {
                next = Some(next.map_or(until, |next| next.min(until)));
                self.clusters.held.insert(id);
            }
        }
        if let Some(next) = next {
            self.rouse_at(next, now);
        }
    }
}
