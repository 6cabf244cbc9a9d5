//! Whether a node answers, asked by PING: it is the one command that says of a server with open
//! connections that it is loading its data or has lost its master.
//!
//! Asked behind each greeting of a shared link and beside each of its fences; and again and again
//! as long as the answer is "not now".

use std::time::{Duration, Instant};

use super::lanes::NOBODY;
use super::{Loss, Worker};
use crate::upstream::{Cause, Expect, LaneId, Link, LinkId, LinkRole, NodeId, Trouble};

/// The question, and the answer of a server that is well.
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const PONG: &[u8] = b"+PONG\r\n";

impl Worker {
    /// Asks the node of a shared link how it is.
    pub(super) fn ask_how_it_is(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.links.get_mut(id) else { return };
        if link.role != LinkRole::Shared || !link.is_ready() || link.draining {
            return;
        }
        let used_at = link.used_at;
        link.claim(NOBODY, 1, Expect::Pulse, now);
        link.append(PING);
        link.used_at = used_at;
        self.nodes.of(self.lanes[link.lane].key.node).asked_at = Some(now);
        self.wake_link(id);
    }

    /// What it says. A user that may not ask is told so, which is an answer as well.
    pub(super) fn pulse(&mut self, lane: LaneId, frame: &[u8], now: Instant) -> Result<(), Loss> {
        let node = self.nodes.of(self.lanes[lane].key.node);
        if frame == PONG {
            node.not_now = None;
            return Ok(());
        }
        let Some(text) = frame.strip_prefix(b"-") else { return Err(Loss::OutOfStep) };
        let text = String::from_utf8_lossy(text).trim_end().to_owned();
        if let Some(cause) = Cause::of_error(&text).filter(|&cause| cause != Cause::Busy) {
            Trouble::note(&mut node.not_now, cause, text, now);
        }
        Ok(())
    }

    /// Asks nodes again that have said "not now".
    pub(super) fn ask_again(&mut self, now: Instant) {
        let wait = Duration::from_millis(self.limits.reconnect_max_ms);
        let is_due = |at: Option<Instant>| at.is_none_or(|at| now.saturating_duration_since(at) >= wait);
        let due = self.nodes.iter().filter(|(_, node)| node.not_now.is_some() && is_due(node.asked_at));
        let due: Vec<NodeId> = due.map(|(id, _)| id).collect();
        for node in due {
            let may_ask = |link: &Link| {
                link.role == LinkRole::Shared && link.is_ready() && self.lanes[link.lane].key.node == node
            };
            let link = self.links.iter().find(|(_, link)| may_ask(link)).map(|(id, _)| id);
            match link {
                Some(link) => self.ask_how_it_is(link, now),
                // Nobody has anything to do with it any more.
                None => self.nodes.of(node).not_now = None,
            }
        }
    }
}
