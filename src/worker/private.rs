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
        if link.role != LinkRole::Shared {
            return;
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

    /// A link that serves one reader is not read while that one has enough to read.
    pub(super) fn pause_if_behind(&mut self, id: LinkId, reader: SessionId) {
        let behind = self.sessions.get(reader).is_some_and(|session| {
            session.fate != Fate::Dead && session.out.len() > self.limits.client_output_soft_bytes
        });
        if let Some(link) = self.links.get_mut(id)
            && Self::owner(link) == Some(reader)
        {
            link.paused = behind;
        }
    }
}
