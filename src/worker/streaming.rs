//! MONITOR and SYNC: from then on the link's output is the client's as it comes, and the
//! client's requests are the link's.

use std::time::Instant;

use bytes::BytesMut;

use super::input::Input;
use super::requests::{Flow, arguments};
use super::{Closed, Loss, Worker};
use crate::command::{Answer, Class, Verdict};
use crate::resp::Request;
use crate::session::{ReplyMode, SessionId, hello};
use crate::upstream::{Expect, LinkId, LinkRole, REPLY_BYTES_MAX};

impl Worker {
    /// Whether MONITOR or SYNC has been accepted just now: its answer is part of the stream.
    pub(super) fn begin_if_accepted(&mut self, id: LinkId, input: &[u8]) {
        let Some(link) = self.links.get_mut(id) else { return };
        let LinkRole::Pinned(owner) = link.role else { return };
        let awaited = link.pending.front().is_some_and(|ticket| ticket.expect == Expect::Stream);
        if !awaited || link.stream.is_some() || matches!(input.first(), None | Some(b'-')) {
            return;
        }
        link.settle(1);
        if let Some(pinned) = self.sessions.get_mut(owner).and_then(|session| session.pinned.as_mut()) {
            (pinned.awaits_stream, pinned.stream) = (false, true);
        }
        self.settle_session(owner, 1);
    }

    /// Whether Redis would refuse this SYNC: not all that it has said before has left.
    pub(super) fn is_sync_too_early(&self, id: SessionId, name: &[u8], argc: usize) -> bool {
        let is_sync = (name.eq_ignore_ascii_case(b"SYNC") && argc == 1)
            || (name.eq_ignore_ascii_case(b"PSYNC") && argc >= 3);
        let session = self.sessions.get(id);
        let has_pending = session.is_some_and(|session| !session.is_settled() || !session.out.is_empty());
        is_sync && has_pending && !self.is_modal(id)
    }

    /// Whether no answer may stand in what the client reads: it is a replica, and what comes is not
    /// replies. Redis closes one that asks something.
    pub(super) fn feeds_replica(&self, id: SessionId) -> bool {
        let session = self.sessions.get(id).filter(|session| session.reply_mode == ReplyMode::On);
        let pinned = session.and_then(|session| session.pinned.as_ref());
        pinned.is_some_and(|pinned| pinned.stream && !pinned.monitors)
    }

    /// One request of a client whose link streams.
    pub(super) fn request_while_streaming<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        verdict: Verdict,
        now: Instant,
    ) -> Flow {
        match verdict {
            Verdict::Pass(Class::Answer(answer))
                if self.feeds_replica(id) && answer != Answer::ClientReply =>
            {
                self.close_client(id, Closed::ReplicaAsks);
                Flow::Done
            }
            Verdict::Pass(Class::Answer(answer))
                if self.is_the_links(id, answer, &arguments(input, request)) =>
            {
                self.refuse_words(id, input, request, "ERR respgate: command not supported while monitoring")
            }
            // It is the link's alone: RESET, which ends the stream, ends it as well.
            Verdict::Pass(Class::Answer(answer)) if answer != Answer::Select => {
                self.answer_here(id, input, request, answer, now)
            }
            Verdict::Pass(Class::Abuse) | Verdict::Refuse(_) => {
                self.close_client(id, Closed::CrossProtocol);
                Flow::Done
            }
            // It would mean one of Redis' connections by the id, and no answer of the
            // gateway's can take its place here.
            Verdict::Pass(class) if Self::names_client(class, &arguments(input, request)) => {
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

    /// Whether the link would have to answer first, or change: its replies are part of the stream.
    fn is_the_links(&self, id: SessionId, answer: Answer, args: &[&[u8]]) -> bool {
        let Some(session) = self.sessions.get(id) else { return false };
        match answer {
            Answer::Hello => hello::parse(args.iter().copied().skip(1))
                .is_ok_and(|hello| hello.proto.is_some_and(|proto| proto != session.proto)),
            Answer::ClientTrackingInfo | Answer::ClientGetRedir => {
                session.pinned.as_ref().is_some_and(|pinned| pinned.connection)
            }
            _ => false,
        }
    }

    /// Passes on what has come. Of MONITOR only whole lines, so that the answer to a RESET or
    /// QUIT never comes in the middle of one.
    pub(super) fn pass_stream(
        &mut self,
        id: LinkId,
        owner: SessionId,
        input: &mut BytesMut,
        now: Instant,
    ) -> Result<(), Loss> {
        let pinned = self.sessions.get(owner).and_then(|session| session.pinned.as_ref());
        if pinned.is_some_and(|pinned| pinned.monitors) {
            self.pass_lines(id, owner, input, now)?;
        } else {
            let all = input.len();
            self.give(owner, input, all, false, now);
        }
        self.pause_if_behind(id);
        Ok(())
    }

    fn pass_lines(
        &mut self,
        id: LinkId,
        owner: SessionId,
        input: &mut BytesMut,
        now: Instant,
    ) -> Result<(), Loss> {
        let Some(link) = self.links.get_mut(id) else { return Ok(()) };
        let mut whole = 0;
        while whole < input.len()
            && let Some(len) = link.scan.scan(&input[whole..]).map_err(Loss::Unreadable)?
        {
            whole += len;
        }
        let part = match input.len() - whole {
            left if left > REPLY_BYTES_MAX => link.scan.take_examined(left),
            _ => 0,
        };
        if whole > 0 {
            self.give(owner, input, whole, false, now);
            self.push_ended(owner);
        }
        if part > 0 {
            // Too long to be held: nothing may come between its parts.
            if let Some(session) = self.sessions.get_mut(owner) {
                session.mid_frame = true;
            }
            self.give(owner, input, part, false, now);
        }
        Ok(())
    }

    /// Whose stream the link carries, if it does.
    pub(super) fn streams_to(&self, id: LinkId) -> Option<SessionId> {
        let Some(LinkRole::Pinned(owner)) = self.links.get(id).map(|link| link.role) else { return None };
        let pinned = self.sessions.get(owner)?.pinned.as_ref()?;
        pinned.stream.then_some(owner)
    }
}
