//! Requests that go to one link together: they join its output as one run of bytes and one ticket.

use std::time::Instant;

use super::input::Input;
use super::requests::Flow;
use super::{Worker, unknown};
use crate::command::{Class, Verdict};
use crate::resp::{Request, SHARE_MIN};
use crate::session::{SessionId, Via};
use crate::upstream::{Expect, LinkId};

/// Requests at the front of the input that go to one shared link together.
#[derive(Default)]
pub(super) struct Batch {
    link: Option<LinkId>,
    pub(super) bytes: usize,
    pub(super) count: u32,
}

impl Worker {
    /// Adds the next request to those that go to one shared link together.
    pub(super) fn join_batch<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        batch: &mut Batch,
        bytes: usize,
        now: Instant,
    ) -> Flow {
        if batch.link.is_none() {
            match self.shared_link(id, now) {
                Ok(link) => batch.link = Some(link),
                Err(stall) => return Flow::Wait(stall),
            }
        }
        batch.count += 1;
        batch.bytes += bytes;
        if bytes >= SHARE_MIN {
            self.send_batch(id, batch, input, now);
        } else {
            self.gather(id, input, batch);
        }
        Flow::Done
    }

    /// Adds what follows of the same kind: nothing that was found out of the session can have changed.
    fn gather<I: Input>(&mut self, id: SessionId, input: &I, batch: &mut Batch) {
        let limits = self.request_limits();
        let Some(session) = self.sessions.get(id) else { return };
        let most = self.limits.client_in_flight_max.saturating_sub(session.slots.outstanding());
        while (batch.count as usize) < most {
            let unread = &input.bytes()[batch.bytes..];
            let Some(request) = Request::whole(unread, limits) else { return };
            let verdict = unknown::verdict(&self.commands, &self.lanes, session, unread, &request);
            if verdict != Verdict::Pass(Class::Share)
                || request.len >= self.limits.shared_request_bytes_max.min(SHARE_MIN)
            {
                return;
            }
            batch.count += 1;
            batch.bytes += request.len;
        }
    }

    /// Writes the batch to its link and claims its replies.
    pub(super) fn send_batch<I: Input>(
        &mut self,
        id: SessionId,
        batch: &mut Batch,
        input: &mut I,
        now: Instant,
    ) {
        let Some(on) = batch.link.take() else { return };
        let (bytes, count) = (std::mem::take(&mut batch.bytes), std::mem::take(&mut batch.count));
        self.send_shared(id, on, input, bytes, count, now);
    }

    /// Writes whole requests to a shared or control link and claims their replies.
    pub(super) fn send_shared<I: Input>(
        &mut self,
        id: SessionId,
        on: LinkId,
        input: &mut I,
        bytes: usize,
        count: u32,
        now: Instant,
    ) {
        let (Some(session), Some(link)) = (self.sessions.get_mut(id), self.links.get_mut(on)) else { return };
        let mute = session.take_mute();
        link.claim(id, count, Expect::Reply, now);
        input.forward(bytes, link);
        session.slots.push_awaited(count, mute);
        session.via = Via::Shared(on);
        self.tally.requests += u64::from(count);
        link.since_fence += u64::from(count);
        // Before the greeting nobody knows whether this user may ECHO.
        if link.since_fence >= self.limits.fence_commands && link.is_ready() {
            self.send_fence(on, false, now);
        }
        self.wake_link(on);
    }

    /// Writes one request to the session's own link and claims its reply.
    pub(super) fn send_pinned<I: Input>(
        &mut self,
        id: SessionId,
        on: LinkId,
        input: &mut I,
        bytes: usize,
        expect: Expect,
        now: Instant,
    ) {
        let (Some(session), Some(link)) = (self.sessions.get_mut(id), self.links.get_mut(on)) else { return };
        let mute = session.take_mute();
        link.claim(id, 1, expect, now);
        input.forward(bytes, link);
        session.slots.push_awaited(1, mute);
        session.via = Via::Pinned(on);
        self.tally.requests += 1;
        self.tally.pinned_requests += 1;
        self.wake_link(on);
    }
}
