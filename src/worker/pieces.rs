//! Frames that do not end within what is held: they are passed on in pieces, as they come.

use std::time::Instant;

use bytes::BytesMut;

use super::lanes::NOBODY;
use super::replies::Frame;
use super::{Loss, Worker};
use crate::resp::SHARE_MIN;
use crate::session::{SessionId, Stall};
use crate::upstream::{Expect, LinkId, LinkRole, REPLY_BYTES_MAX, Stream};

impl Worker {
    /// Passes on the beginning of a frame that is too long to be held.
    pub(super) fn pass_part(&mut self, id: LinkId, input: &mut BytesMut, now: Instant) -> Result<(), Loss> {
        let Some(link) = self.links.get_mut(id) else { return Ok(()) };
        if link.awaits_nothing() {
            return Err(Loss::Surplus);
        }
        let held = input.len();
        if held < SHARE_MIN && link.stream.is_none() {
            return Ok(());
        }
        let longest = self.limits.shared_request_bytes_max + REPLY_BYTES_MAX;
        let (to, stream) = match (link.stream, link.role) {
            (Some(stream), _) => (self.stream_reader(id, stream), stream),
            (None, role) => {
                let push = match role {
                    LinkRole::Pinned(owner) if matches!(self.kind(id, owner, input), Frame::Push) => {
                        Some(owner)
                    }
                    _ => None,
                };
                let link = self.links.get(id).and_then(|link| link.pending.front());
                match (push, link) {
                    (Some(owner), _) if self.sessions.get(owner).is_some_and(|session| session.mid_frame) => {
                        return self.hold_part(owner, held);
                    }
                    (Some(owner), _) => (owner, Stream { bytes: 0, completes: false }),
                    (None, Some(ticket)) => match ticket.expect {
                        Expect::Flown { place, .. } if !self.flight_may_stream(ticket.session, place) => {
                            return self.hold_part(ticket.session, held);
                        }
                        Expect::Reply
                        | Expect::Patient
                        | Expect::Exec(_)
                        | Expect::CommandInfo(_)
                        | Expect::Flown { .. } => (ticket.session, Stream { bytes: 0, completes: true }),
                        // It has a name of the request, which was held as well.
                        Expect::Confirmations(_) if held < longest => return Ok(()),
                        _ if held < REPLY_BYTES_MAX => return Ok(()),
                        _ => return Err(Loss::OutOfStep),
                    },
                    (None, None) => return Err(Loss::Surplus),
                }
            }
        };
        let Some(link) = self.links.get_mut(id) else { return Ok(()) };
        let awaited = link.scan.awaited(held);
        let part = link.scan.take_examined(held);
        let bytes = stream.bytes + part as u64;
        link.stream = Some(Stream { bytes, ..stream });
        if let Some(session) = self.sessions.get_mut(to) {
            session.mid_frame = true;
        }
        if stream.completes {
            self.give_part(id, to, input, (part, false), now);
        } else {
            self.give(to, input, part, false, now);
        }
        if bytes + awaited > self.limits.large_reply_bytes as u64 {
            self.make_private(id, to);
        }
        Ok(())
    }

    fn stream_reader(&self, id: LinkId, stream: Stream) -> SessionId {
        let link = self.links.get(id);
        match link.map(|link| link.role) {
            Some(LinkRole::Pinned(owner)) if !stream.completes => owner,
            _ => link.and_then(|link| link.pending.front()).map_or(NOBODY, |ticket| ticket.session),
        }
    }

    /// Passes on the end of a frame whose beginning has gone before.
    pub(super) fn end_part(
        &mut self,
        id: LinkId,
        stream: Stream,
        input: &mut BytesMut,
        len: usize,
        now: Instant,
    ) -> Result<(), Loss> {
        let to = self.stream_reader(id, stream);
        if stream.completes {
            self.give_part(id, to, input, (len, true), now);
            if let Some(session) = self.sessions.get_mut(to) {
                session.frame_ended();
            }
            let Some(link) = self.links.get_mut(id) else { return Ok(()) };
            let selects = match link.pending.front().map(|ticket| &ticket.expect) {
                Some(Expect::Exec(exec)) => exec.select,
                _ => None,
            };
            link.settle(1);
            // Only an array is as long as to be passed on in pieces.
            if let Some(db) = selects {
                self.stray(id, to, db);
            }
            self.settle_session(to, 1);
            return Ok(());
        }
        self.give(to, input, len, false, now);
        self.push_ended(to);
        Ok(())
    }

    /// The session has been given a push to its end: what waited for that goes on.
    pub(super) fn push_ended(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.push_ended();
            if session.stall == Some(Stall::Barrier) {
                self.ready.push(id);
            }
            self.wake_client(id);
        }
    }
}
