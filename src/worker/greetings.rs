//! How a link comes to speak for its user, and what its lane learns by it.

use std::time::Instant;

use bytes::{Buf, BytesMut};

use super::dialect::Dialect;
use super::{Loss, Worker};
use crate::upstream::{Greeting, LinkId, Next, Phase, REPLY_BYTES_MAX};

impl Worker {
    /// The socket of a link is connected: the greeting begins.
    pub fn link_connected(&mut self, id: LinkId, now: Instant) {
        let token = self.token();
        let Some(link) = self.links.get_mut(id) else { return };
        let key = &self.lanes[link.lane].key;
        let (greeting, first) = Greeting::begin(key, token, self.nodes.of(key.node).role);
        link.phase = Phase::Greeting(greeting);
        link.out.copy(&first);
        link.progress_at = now;
        self.wake_link(id);
    }

    pub(super) fn greeting(&mut self, id: LinkId, input: &mut BytesMut, now: Instant) -> Result<(), Loss> {
        let Some(link) = self.links.get_mut(id) else { return Ok(()) };
        if !link.out.is_empty() {
            // It answers what it has not been told.
            return Err(Loss::Surplus);
        }
        let Some(len) = link.scan.scan(input).map_err(Loss::Unreadable)? else {
            return if input.len() > REPLY_BYTES_MAX { Err(Loss::OutOfStep) } else { Ok(()) };
        };
        if len < input.len() {
            return Err(Loss::Surplus);
        }
        let Phase::Greeting(greeting) = &mut link.phase else { return Ok(()) };
        let next = greeting.reply(&input[..len]).map_err(Loss::Greeting);
        let (lane, has_role) = (link.lane, greeting.has_role());
        let node = self.lanes[lane].key.node;
        // What answers, and is something else, is not what has been failing.
        if has_role {
            self.node_answered(node, now);
        }
        let next = next?;
        let Some(link) = self.links.get_mut(id) else { return Ok(()) };
        input.advance(len);
        match next {
            Next::Send(bytes) => link.out.copy(&bytes),
            Next::Done { server, fences, id } => {
                link.become_ready(now);
                link.backend_id = Some(id);
                self.nodes.of(node).dialect = Some(Dialect::of(&server));
                self.note_fences(lane, fences);
                let lane = &mut self.lanes[lane];
                lane.learned.greeted(lane.server.as_ref() == Some(&server));
                lane.server = Some(server);
                lane.backoff.succeeded();
                self.ready.append(&mut lane.waiters);
                self.nodes.of(node).connecting_ended();
                self.connect_next(node, now);
            }
        }
        self.wake_link(id);
        Ok(())
    }
}
