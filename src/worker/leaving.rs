//! Clients that have said that they will send no more, and stay to read. What they have sent is looked
//! at and answered, as Redis does with what it has read before the end. What may take as long as it
//! likes ends with its client: nobody is waited for who may be gone.

use std::time::{Duration, Instant};

use super::Worker;
use crate::session::{Fate, Session, SessionId, Slots, Via};
use crate::upstream::Link;

/// A wait that is not over by then is one that ends with its client. An element that is there already
/// is popped, and given to the client, long before.
const GRACE: Duration = Duration::from_millis(100);

/// A client that will send no more, and has not been told all.
#[derive(Debug)]
pub(super) struct Leaving {
    id: SessionId,
    /// So many replies are awaited, the first of them patiently.
    outstanding: usize,
    /// Since when that is so.
    since: Instant,
}

impl Worker {
    /// The client has sent all that it will.
    pub fn client_eof(&mut self, id: SessionId, now: Instant) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if std::mem::replace(&mut session.ends_after_input, true) {
            return;
        }
        let outstanding = session.slots.outstanding();
        self.end_if_over(id);
        // Who has waited for long waits no longer at all.
        let own = self.sessions.get(id).and_then(|session| self.own_link(session));
        let since = own.map_or(now, |link| link.progress_at);
        let mut leaving = Leaving { id, outstanding, since };
        if self.has_yet_to_be_told(&mut leaving, now) {
            self.leaving.push(leaving);
        }
        self.run_ready(now);
    }

    /// Looks at those who will send no more.
    pub(super) fn tick_leaving(&mut self, now: Instant) {
        let mut all = std::mem::take(&mut self.leaving);
        all.retain_mut(|leaving| self.has_yet_to_be_told(leaving, now));
        self.leaving = all;
    }

    /// Ends a session whose client will send no more, when its input has been looked at.
    pub(super) fn end_if_over(&mut self, id: SessionId) {
        let is_over = |session: &Session| session.ends_after_input && session.stall.is_none();
        if self.sessions.get(id).is_some_and(is_over) {
            self.end_client(id);
        }
    }

    /// Whether the session waits, as long as it takes, on a link of its own. Then whatever its client
    /// sends is read and held: its end may lie behind, and must end the wait. Redis does so, too.
    pub(super) fn waits_patiently(&self, session: &Session) -> bool {
        // What is still on its way to Redis waits for nothing yet, and what is on its way back no more.
        let waits = |link: &&Link| {
            let is_whole = session.upload.is_none() || link.pending.len() > 1;
            link.is_ready() && link.stream.is_none() && is_whole
        };
        let front = self.own_link(session).filter(waits).and_then(|link| link.pending.front());
        front.is_some_and(|ticket| ticket.expect.is_patient())
    }

    /// Whether a client that will send no more is still to be answered. If not, what is left is given up.
    fn has_yet_to_be_told(&mut self, leaving: &mut Leaving, now: Instant) -> bool {
        let session = self.sessions.get(leaving.id).filter(|session| session.fate != Fate::Dead);
        let Some(session) = session else { return false };
        let outstanding = session.slots.outstanding();
        if outstanding != leaving.outstanding || !self.waits_patiently(session) {
            (leaving.outstanding, leaving.since) = (outstanding, now);
        }
        let is_answered = match session.upload {
            None => session.slots.is_empty(),
            // The rest of the last request will never come.
            Some(_) => outstanding <= 1,
        };
        let is_told = session.fate == Fate::Ending && is_answered;
        if is_told || now.saturating_duration_since(leaving.since) >= GRACE {
            self.give_up(leaving.id);
            return false;
        }
        true
    }

    /// Nothing more comes for the session from its own link; what it has been answered, it gets.
    fn give_up(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.input.clear();
        (session.slots, session.via) = (Slots::default(), Via::Nothing);
        (session.stall, session.upload, session.mid_frame) = (None, None, false);
        let is_heard = session.pinned.is_none() || session.is_to_read();
        // With nothing left to say, the link is closed before the client can see the end: it may count on it.
        session.fate = if is_heard { Fate::Ending } else { Fate::Dead };
        self.unpin(id);
        self.wake_client(id);
    }
}
