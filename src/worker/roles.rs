//! Whether a node that has to be the master still is: asked of shared links in use, once in the
//! time that fences are, and of idle ones as often as they are probed. The greeting has asked
//! before the first byte; a node that is demoted later need not close its connections.

use std::time::{Duration, Instant};

use super::lanes::NOBODY;
use super::{Loss, Worker};
use crate::upstream::{Expect, GreetError, LinkId, LinkRole, NodeId, role_of, role_question};

impl Worker {
    /// Asks a ready link's node, if it is time to.
    pub(super) fn ask_role(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.links.get_mut(id) else { return };
        let key = &self.lanes[link.lane].key;
        if self.nodes.of(key.node).role.is_none() || link.role != LinkRole::Shared || link.draining {
            return;
        }
        let is_in_use = link.used_at > link.role_at;
        let ms = if is_in_use { self.limits.fence_ms } else { self.limits.probe_interval_ms };
        if now.saturating_duration_since(link.role_at) < Duration::from_millis(ms) {
            return;
        }
        let used_at = link.used_at;
        link.role_at = now;
        link.claim(NOBODY, 1, Expect::Role, now);
        link.append(&role_question(key.proto));
        link.used_at = used_at;
        self.wake_link(id);
    }

    /// What the node has answered. On anything but what it has to be nothing more is written.
    pub(super) fn role_told(&self, id: LinkId, reply: &[u8]) -> Result<(), Loss> {
        let Some(link) = self.links.get(id) else { return Ok(()) };
        let key = &self.lanes[link.lane].key;
        let wanted = self.nodes.get(key.node).and_then(|node| node.role);
        match (role_of(reply, key.proto), wanted) {
            (None, _) => Err(Loss::Greeting(GreetError::Unexpected("HELLO"))),
            (Some(found), Some(wanted)) if found != wanted.as_str() => {
                Err(Loss::Greeting(GreetError::role(&found, wanted)))
            }
            (Some(_), _) => Ok(()),
        }
    }

    /// One link has found the node to be something else: what others have there is nothing
    /// to write to either. Those that have yet to connect will ask themselves.
    pub(super) fn leave_other_role(&mut self, node: NodeId, now: Instant) {
        for id in self.links.keys() {
            let Some(link) = self.links.get(id) else { continue };
            if self.lanes[link.lane].key.node == node && link.is_ready() {
                self.lose_link(id, Loss::NodeLeft, now);
            }
        }
    }
}
