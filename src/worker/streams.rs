//! MONITOR and SYNC: from the moment that the server accepts one, a pinned link's output is no
//! longer replies, and goes to the client as it is.

use std::time::Instant;

use bytes::BytesMut;

use super::input::Input;
use super::requests::Flow;
use super::{Closed, Loss, Worker};
use crate::command::{Class, Verdict};
use crate::resp::Request;
use crate::session::SessionId;
use crate::upstream::{Expect, LinkId, LinkRole};

impl Worker {
    /// MONITOR and SYNC: the link's output goes to the client as it is, so nothing
    /// of the gateway's own may come between.
    pub(super) fn request_while_streaming<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        verdict: Verdict,
        now: Instant,
    ) -> Flow {
        match verdict {
            Verdict::Pass(Class::Answer(answer)) => self.answer_here(id, input, request, answer, now),
            Verdict::Pass(Class::Abuse) | Verdict::Refuse(_) => {
                self.close_client(id, Closed::CrossProtocol);
                Flow::Done
            }
            Verdict::Pass(_) => {
                let link = self.sessions.get(id).and_then(|session| session.pinned.as_ref());
                let link = link.map(|pinned| pinned.link);
                if let Some(link) = link.and_then(|link| self.links.get_mut(link)) {
                    input.forward(request.len, link);
                }
                self.wake_pinned(id);
                Flow::Done
            }
        }
    }

    fn wake_pinned(&mut self, id: SessionId) {
        if let Some(pinned) = self.sessions.get(id).and_then(|session| session.pinned.as_ref()) {
            self.wake_link(pinned.link);
        }
    }

    pub(super) fn is_streaming(&self, id: LinkId) -> bool {
        match self.links.get(id).map(|link| link.role) {
            Some(LinkRole::Pinned(owner)) => self
                .sessions
                .get(owner)
                .and_then(|session| session.pinned.as_ref())
                .is_some_and(|pinned| pinned.stream),
            _ => false,
        }
    }

    /// Whether MONITOR or SYNC has been accepted just now: its answer is part of the stream.
    pub(super) fn begins_stream(&mut self, id: LinkId, input: &[u8]) -> bool {
        let Some(link) = self.links.get_mut(id) else { return false };
        let LinkRole::Pinned(owner) = link.role else { return false };
        let awaited = link.pending.front().is_some_and(|ticket| ticket.expect == Expect::Stream);
        if !awaited || link.stream.is_some() || matches!(input.first(), None | Some(b'-')) {
            return false;
        }
        link.settle(1);
        if let Some(pinned) = self.sessions.get_mut(owner).and_then(|session| session.pinned.as_mut()) {
            pinned.awaits_stream = false;
            pinned.stream = true;
        }
        self.settle_session(owner, 1);
        true
    }

    /// MONITOR and SYNC: whatever comes is the client's.
    pub(super) fn pass_stream(&mut self, id: LinkId, input: &mut BytesMut, now: Instant) -> Result<(), Loss> {
        if let Some(LinkRole::Pinned(owner)) = self.links.get(id).map(|link| link.role) {
            let all = input.len();
            self.give(owner, input, all, false, now);
            self.pause_if_behind(id, owner);
        }
        Ok(())
    }
}
