//! Links that serve one reader: what a very large reply makes of a shared link, and
//! how reading waits for a client that has enough to read.

use super::Worker;
use crate::session::{Fate, SessionId};
use crate::upstream::{LinkId, LinkRole};

impl Worker {
    /// A very large reply takes its shared link for itself: requests of others go on
    /// over a fresh one.
    pub(super) fn make_private(&mut self, id: LinkId, reader: SessionId) {
        let Some(link) = self.links.get_mut(id) else { return };
        match link.role {
            LinkRole::Shared => {}
            LinkRole::Private(before) if before != reader => {
                // Whom it served has its reply; what comes now was behind it, and is this one's.
                if let Some(session) = self.sessions.get_mut(before) {
                    session.private.take_if(|private| *private == id);
                }
            }
            LinkRole::Private(_)
            | LinkRole::Pinned(_)
            | LinkRole::Spare
            | LinkRole::Control
            | LinkRole::Subscriber => return,
        }
        link.role = LinkRole::Private(reader);
        self.lanes[link.lane].shared.retain(|&shared| shared != id);
        match self.sessions.get_mut(reader) {
            Some(session) => {
                if let Some(before) = session.private.replace(id) {
                    self.release_private(before);
                }
            }
            // Nobody reads it: it goes once the rest has been dropped.
            None => link.draining = true,
        }
    }

    /// A private link whose reader has left it: nobody's reading delays the others
    /// behind, and it closes when they have been answered.
    pub(super) fn release_private(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(id) else { return };
        link.role = LinkRole::Shared;
        link.draining = true;
        link.paused = false;
        if link.pending.is_empty() {
            self.remove_link(id);
        } else {
            self.wake_link(id);
        }
    }

    /// A link that serves one reader is not read while that one has enough to read and
    /// what comes next is its own as well.
    pub(super) fn pause_if_behind(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(id) else { return };
        let reader = match link.role {
            LinkRole::Pinned(owner) => Some(owner),
            LinkRole::Private(owner) => {
                link.pending.front().map(|ticket| ticket.session).filter(|&next| next == owner)
            }
            LinkRole::Shared | LinkRole::Spare | LinkRole::Control | LinkRole::Subscriber => None,
        };
        let reader = reader.and_then(|reader| self.sessions.get(reader));
        link.paused = reader.is_some_and(|session| {
            session.fate != Fate::Dead && session.out.len() > self.limits.client_output_soft_bytes
        });
    }
}
