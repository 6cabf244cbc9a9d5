//! From a link's bytes to the sessions that wait for them.
//!
//! Consecutive replies for one session are passed on as one run. A reply that does
//! not end within what is held is passed on in pieces (see `pieces`).

use std::time::Instant;

use bytes::{Buf, BytesMut};

use super::lanes::NOBODY;
use super::{Loss, Worker};
use crate::command::Topic;
use crate::resp::{Proto, SHARE_MIN};
use crate::session::{Fate, SessionId};
use crate::upstream::{Expect, LinkId, LinkRole, Phase, Ticket};

/// Replies at the front of a link's input that are passed on together.
struct Run {
    to: SessionId,
    bytes: usize,
    count: u32,
    /// How many replies the run may have: those of one ticket, treated alike.
    limit: u32,
}

impl Default for Run {
    fn default() -> Self {
        Self { to: NOBODY, bytes: 0, count: 0, limit: 0 }
    }
}

/// What a frame on a pinned link is.
pub(super) enum Frame {
    /// It belongs to nobody's request (a message, an invalidation, the result of a debugged script).
    Push,
    /// It confirms a change of subscriptions.
    Confirmation(Topic, u64),
    /// It answers the front ticket.
    Reply,
}

impl Worker {
    /// So many bytes of the link have been read to the end of [`Worker::link_buffer`].
    pub fn link_filled(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.links.get_mut(id) else { return };
        link.heard(now);
        let mut input = std::mem::take(&mut link.input);
        let outcome = match link.phase {
            Phase::Ready => self.replies(id, &mut input, now),
            Phase::Greeting(_) => self.greeting(id, &mut input, now),
            Phase::Waiting | Phase::Connecting => Err(Loss::Surplus),
        };
        match outcome {
            Ok(()) => {
                if let Some(link) = self.links.get_mut(id) {
                    link.input = input;
                    let done = link.draining && link.pending.is_empty();
                    let left = if link.is_owed() { None } else { link.cycle.take() };
                    if link.in_flight <= self.limits.link_in_flight_max / 2 && !link.waiters.is_empty() {
                        self.ready.append(&mut link.waiters);
                    }
                    if done {
                        self.remove_link(id);
                    }
                    self.leave_cycle(left);
                }
            }
            Err(loss) => self.lose_link(id, loss, now),
        }
        self.pause_if_behind(id);
        self.run_ready(now);
    }

    fn replies(&mut self, id: LinkId, input: &mut BytesMut, now: Instant) -> Result<(), Loss> {
        self.begin_if_accepted(id, input);
        if let Some(owner) = self.streams_to(id) {
            return self.pass_stream(id, owner, input, now);
        }
        if self.audiences.contains_key(&id) {
            return self.heard(id, input, now);
        }
        let mut run = Run::default();
        let read = self.read_replies(id, input, &mut run, now);
        // What came whole before something unreadable was in order.
        self.pass_run(id, input, &mut run, now);
        read?;
        if input.is_empty() { Ok(()) } else { self.pass_part(id, input, now) }
    }

    /// Reads whole replies; the last run is left to the caller to pass on.
    fn read_replies(
        &mut self,
        id: LinkId,
        input: &mut BytesMut,
        run: &mut Run,
        now: Instant,
    ) -> Result<(), Loss> {
        loop {
            let Some(link) = self.links.get_mut(id) else { return Ok(()) };
            let unread = &input[run.bytes..];
            let Some(&first) = unread.first() else { return Ok(()) };
            let Some(len) = link.scan.scan(unread).map_err(Loss::Unreadable)? else { return Ok(()) };
            let fresh = link.stream.is_none();
            let shared = !matches!(link.role, LinkRole::Pinned(_));
            let runs = shared && link.role != LinkRole::Control;
            if fresh && shared && first == b'>' {
                return Err(Loss::PushOnShared);
            }
            if run.count > 0 && run.count < run.limit {
                run.bytes += len;
                run.count += 1;
                continue;
            }
            self.pass_run(id, input, run, now);
            let Some(link) = self.links.get(id) else { return Ok(()) };
            if link.awaits_nothing() {
                return Err(Loss::Surplus);
            }
            match link.pending.front() {
                Some(ticket) if fresh && runs && ticket.expect == Expect::Reply => {
                    let session = self.sessions.get(ticket.session);
                    let alike =
                        session.map_or(ticket.count, |session| session.slots.alike().min(ticket.count));
                    *run = Run { to: ticket.session, bytes: len, count: 1, limit: alike };
                }
                // As `frame` has it, without the questions before.
                Some(&Ticket { session, expect: Expect::Flown { place, part, .. }, .. }) if fresh && runs => {
                    if first != b'-' && len < SHARE_MIN && self.lands_at_once(session) {
                        self.land_together(id, (session, (place, part)), input, len, now);
                        continue;
                    }
                    if let Some(link) = self.links.get_mut(id) {
                        link.settle(1);
                    }
                    self.landed(id, session, (place, part), input, len, now);
                }
                _ => self.frame(id, input, len, now)?,
            }
        }
    }

    /// Passes on a run of whole replies to plain requests of one session.
    fn pass_run(&mut self, id: LinkId, input: &mut BytesMut, run: &mut Run, now: Instant) {
        let Run { to, bytes, count, .. } = std::mem::take(run);
        if count == 0 {
            return;
        }
        if let Some(link) = self.links.get_mut(id) {
            link.settle(count);
        }
        self.give(to, input, bytes, true, now);
        self.settle_session(to, count);
    }

    /// Moves bytes from a link's input to a session, or drops them where it is gone or
    /// does not want them. `reply`: they belong to the reply that comes next.
    pub(super) fn give(
        &mut self,
        to: SessionId,
        input: &mut BytesMut,
        bytes: usize,
        reply: bool,
        now: Instant,
    ) {
        let Some(session) = self.sessions.get_mut(to).filter(|session| session.fate != Fate::Dead) else {
            return input.advance(bytes);
        };
        if reply && session.slots.is_mute() {
            return input.advance(bytes);
        }
        if session.out.is_empty() {
            session.read_at = now;
        }
        if bytes < SHARE_MIN {
            session.out.copy(&input[..bytes]);
            input.advance(bytes);
        } else {
            session.out.share(input.split_to(bytes).freeze());
        }
        if session.out.len() > self.limits.client_output_hard_bytes {
            self.close_client(to, super::Closed::OutputLimit);
        } else {
            self.wake_client(to);
        }
    }

    /// Counts answered requests of a session and lets it go on.
    pub(super) fn settle_session(&mut self, id: SessionId, count: u32) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.settled(count);
        if session.stall.is_some() {
            self.ready.push(id);
        }
        // What came out may be the gateway's own, behind replies that the client muted.
        if session.fate == Fate::Ending || !session.out.is_empty() {
            self.wake_client(id);
        }
    }

    /// One whole frame that is not a plain reply on a shared link, or the end of one
    /// that is passed on in pieces.
    pub(super) fn frame(
        &mut self,
        id: LinkId,
        input: &mut BytesMut,
        mut len: usize,
        now: Instant,
    ) -> Result<(), Loss> {
        let Some(link) = self.links.get_mut(id) else { return Ok(()) };
        if let Some(stream) = link.stream.take() {
            return self.end_part(id, stream, input, len, now);
        }
        if let LinkRole::Pinned(owner) = link.role {
            match self.kind(id, owner, &input[..len]) {
                Frame::Push => {
                    self.push(owner, input, len, now);
                    return Ok(());
                }
                Frame::Confirmation(topic, number) => {
                    if let Some(session) = self.sessions.get_mut(owner)
                        && let Some(pinned) = session.pinned.as_mut()
                    {
                        pinned.subscriptions.confirmed(topic, number);
                    }
                    self.confirmation(id, owner, input, len, now);
                    return Ok(());
                }
                Frame::Reply => {}
            }
        }
        let Some(link) = self.links.get_mut(id) else { return Ok(()) };
        if let (b'-', LinkRole::Pinned(owner)) = (input[0], link.role)
            && !matches!(link.pending.front().map(|it| &it.expect), Some(Expect::Flown { .. }))
        {
            len = self.hide_redirect(owner, input, len).unwrap_or(len);
        }
        let Some(link) = self.links.get_mut(id) else { return Ok(()) };
        let Some(ticket) = link.pending.front_mut() else { return Err(Loss::Surplus) };
        let session = ticket.session;
        let frame = &input[..len];
        let is_error = matches!(frame[0], b'-' | b'!');
        let expect = std::mem::replace(&mut ticket.expect, Expect::Reply);
        let is_flown = matches!(expect, Expect::Flown { .. });
        if link.role == LinkRole::Control && expect.is_for_session() && !is_flown {
            link.settle(1);
            self.control_reply(id, session, expect, input, len, now);
            return Ok(());
        }
        match expect {
            own @ (Expect::Fence { .. }
            | Expect::Role
            | Expect::Pulse
            | Expect::Nothing
            | Expect::CommandInfo(_)) => {
                link.settle(1);
                self.own_reply(id, own, frame, now)?;
                input.advance(len);
                return Ok(());
            }
            Expect::Flown { place, part, .. } => {
                link.settle(1);
                self.landed(id, session, (place, part), input, len, now);
                return Ok(());
            }
            Expect::Subscription => return Err(Loss::OutOfStep),
            Expect::Instead(bytes) => {
                input.advance(len);
                let mut bytes = BytesMut::from(&bytes[..]);
                let len = bytes.len();
                self.give(session, &mut bytes, len, true, now);
            }
            Expect::Select(db) => {
                let selected = frame == b"+OK\r\n";
                self.give(session, input, len, true, now);
                if selected {
                    self.stray(id, session, db);
                }
            }
            Expect::Boundary => {
                self.give(session, input, len, true, now);
                self.boundary_answered(session, is_error);
            }
            Expect::Watch => {
                self.give(session, input, len, true, now);
                if is_error {
                    self.watch_refused(session);
                }
            }
            Expect::Exec(mut exec) => {
                let executed = frame[0] == b'*' && !frame.starts_with(b"*-1");
                self.give_executed(session, &mut exec.queue, input, (len, true), now);
                if let (true, Some(db)) = (executed, exec.select) {
                    self.stray(id, session, db);
                }
            }
            Expect::Ignored => {
                input.advance(len);
                link.settle(1);
                return Ok(());
            }
            Expect::Mark { replicates } => {
                input.advance(len);
                link.settle(1);
                self.marked(id, session, replicates, is_error);
                return Ok(());
            }
            Expect::Wait => self.waited(session, input, len, now),
            Expect::Tracking(to) => self.tracks(session, to, input, len, now),
            Expect::Redirect => self.tell_redirect(session, input, len, true, now),
            Expect::Stream => {
                // Anything but an error began the stream.
                if let Some(pinned) = self.sessions.get_mut(session).and_then(|it| it.pinned.as_mut()) {
                    pinned.awaits_stream = false;
                }
                self.give(session, input, len, true, now);
            }
            // An error stands for all the confirmations of its request.
            Expect::Reply | Expect::Patient | Expect::Confirmations(_) | Expect::Kill(_) => {
                self.give(session, input, len, true, now)
            }
        }
        if let Some(link) = self.links.get_mut(id) {
            link.settle(1);
        }
        self.settle_session(session, 1);
        Ok(())
    }

    /// A pinned link has left its lane's database, and its session with it.
    pub(super) fn stray(&mut self, id: LinkId, session: SessionId, db: u32) {
        if let Some(link) = self.links.get_mut(id) {
            link.strayed = true;
        }
        let Some(proto) = self.sessions.get(session).map(|session| session.proto) else { return };
        if let Some(lane) = self.sibling_lane(session, proto, db) {
            self.move_session(session, lane);
        }
    }

    pub(super) fn kind(&self, id: LinkId, owner: SessionId, frame: &[u8]) -> Frame {
        let front = self.links.get(id).and_then(|link| link.pending.front());
        let confirms = front.is_some_and(|ticket| matches!(ticket.expect, Expect::Confirmations(_)));
        let Some(session) = self.sessions.get(owner) else { return Frame::Reply };
        if front.is_none() && session.pinned.as_ref().is_some_and(|pinned| pinned.debugs) {
            return Frame::Push;
        }
        let is_modal = session.proto == Proto::Resp2 && session.subscriptions().total() > 0;
        match frame[0] {
            b'>' => {}
            // In RESP3 it is a reply, whatever it says: what is pushed has a type of its own.
            b'*' if session.proto == Proto::Resp2 && (confirms || is_modal) => {}
            _ => return Frame::Reply,
        }
        let topic = match first_bulk(frame) {
            Some(b"subscribe" | b"unsubscribe") => Topic::Channel,
            Some(b"psubscribe" | b"punsubscribe") => Topic::Pattern,
            Some(b"ssubscribe" | b"sunsubscribe") => Topic::Shard,
            Some(b"message" | b"pmessage" | b"smessage") => return Frame::Push,
            _ if frame[0] == b'>' => return Frame::Push,
            _ => return Frame::Reply,
        };
        match last_integer(frame) {
            Some(number) => Frame::Confirmation(topic, number),
            None => Frame::Reply,
        }
    }

    /// Passes on a confirmation, the last of which completes its request.
    fn confirmation(&mut self, id: LinkId, owner: SessionId, input: &mut BytesMut, len: usize, now: Instant) {
        let Some(link) = self.links.get_mut(id) else { return };
        let last = match link.pending.front_mut().map(|ticket| &mut ticket.expect) {
            Some(Expect::Confirmations(left)) => {
                *left -= 1;
                *left == 0
            }
            // The server ends subscriptions by itself when a slot moves away.
            _ => return self.give(owner, input, len, false, now),
        };
        // Told whatever CLIENT REPLY says, as a push is (pubsub.c sets CLIENT_PUSHING).
        self.give(owner, input, len, false, now);
        if last {
            if let Some(link) = self.links.get_mut(id) {
                link.settle(1);
            }
            self.settle_session(owner, 1);
        }
    }
}

/// The first element of an aggregate, where it is a bulk string.
fn first_bulk(frame: &[u8]) -> Option<&[u8]> {
    crate::resp::args(frame).next()
}

/// The integer that a frame ends with.
fn last_integer(frame: &[u8]) -> Option<u64> {
    let line = frame.strip_suffix(b"\r\n")?;
    let colon = memchr::memrchr(b':', line)?;
    std::str::from_utf8(&line[colon + 1..]).ok()?.parse().ok()
}
