//! Whether the databases can be reached where no client asks: the first worker has a connection to
//! the node of each at any time, so that what is told of it is so.

use std::collections::BTreeSet;
use std::time::Instant;

use super::Worker;
use crate::resp::Proto;
use crate::upstream::{LaneKey, NodeId};

impl Worker {
    /// Connects to the node of each database that has no shared link, and is not tried otherwise.
    pub(super) fn watch_databases(&mut self, now: Instant) {
        if !self.peers.is_first() || self.draining {
            return;
        }
        let mut idle: BTreeSet<NodeId> = self.nodes.watched().collect();
        for (_, lane) in &self.lanes {
            // A Redis user that is refused is tried again by itself, and the others not for this: they may
            // be thousands.
            if !lane.shared.is_empty() || lane.backoff.is_failing() {
                idle.remove(&lane.key.node);
            }
        }
        for node in idle {
            if let Some(credential) = self.somebody_at(node) {
                let lane = self.lane(LaneKey { node, credential, proto: Proto::Resp2, db: 0 });
                self.open_shared(lane, now);
            }
        }
    }
}
