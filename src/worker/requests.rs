//! From a client's bytes to requests on links.
//!
//! Consecutive requests that share a link go together (see `batch`). Everything else goes one at a
//! time, by class.

use std::time::Instant;

use super::batch::Batch;
use super::ends::TOO_MANY_PINNED;
use super::input::Input;
use super::pins::Unplaced;
use super::{Closed, Worker, unknown};
use crate::command::{Class, Tx, Verdict, Why};
use crate::identity::ReadFrom;
use crate::resp::{Found, Request, RequestError, SHARE_MIN, args, write};
use crate::session::{Fate, Records, ReplyMode, SessionId, Stall, Transaction, Via};
use crate::upstream::{Expect, LinkId};

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// It has been taken from the input.
    Done,
    /// It is still there, and waits.
    Wait(Stall),
}

impl Worker {
    /// The client sent these bytes.
    pub fn client_input(&mut self, id: SessionId, bytes: &[u8], now: Instant) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.heard_at = now;
        session.lade(id, &mut self.laden);
        self.tally.bytes_from_clients += bytes.len() as u64;
        if session.fate != Fate::Open {
            return;
        }
        if !session.input.is_empty() || session.stall.is_some() {
            session.input.extend_from_slice(bytes);
            self.run_held(id, now);
        } else {
            let mut rest = bytes;
            self.run(id, &mut rest, now);
            if let Some(session) = self.sessions.get_mut(id) {
                session.input.extend_from_slice(rest);
            }
        }
        self.run_ready(now);
    }

    /// So many bytes of the client have been read to the end of [`Worker::client_buffer`].
    pub fn client_filled(&mut self, id: SessionId, count: usize, now: Instant) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.heard_at = now;
        session.lade(id, &mut self.laden);
        self.tally.bytes_from_clients += count as u64;
        self.run_held(id, now);
        self.run_ready(now);
    }

    /// So much is held of TLS records beneath the client's bytes.
    pub fn client_holds(&mut self, id: SessionId, records: Records, now: Instant) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if records.begun > session.records.begun {
            session.heard_at = now;
        }
        if records.sent > session.records.sent {
            session.read_at = now;
        }
        session.records = records;
        session.lade(id, &mut self.laden);
    }

    /// Looks at the input that the session holds.
    pub(super) fn run_held(&mut self, id: SessionId, now: Instant) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.stall.is_some() {
            return;
        }
        let mut input = std::mem::take(&mut session.input);
        let held = input.len();
        self.run(id, &mut input, now);
        if let Some(session) = self.sessions.get_mut(id)
            && !input.is_empty()
        {
            // A few bytes must not keep the large buffer that they arrived in, nor what is left of it after
            // requests that share it.
            let are_few = input.len() < SHARE_MIN / 4 && input.capacity() > SHARE_MIN;
            let is_rest = held > SHARE_MIN && input.len() <= held / 2;
            session.input = if are_few || is_rest { input[..].into() } else { input };
        }
        self.end_if_over(id);
    }

    /// Takes as many requests from the input as can be placed.
    fn run<I: Input>(&mut self, id: SessionId, input: &mut I, now: Instant) {
        let mut batch = Batch::default();
        while let Some(flow) = self.next_request(id, input, &mut batch, now) {
            if let Flow::Wait(stall) = flow {
                self.send_batch(id, &mut batch, input, now);
                if let Some(session) = self.sessions.get_mut(id) {
                    session.stall = Some(stall);
                }
                return;
            }
        }
        self.send_batch(id, &mut batch, input, now);
    }

    /// Looks at what is next in the input; `None` when nothing more can be taken from it.
    fn next_request<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        batch: &mut Batch,
        now: Instant,
    ) -> Option<Flow> {
        let limits = self.request_limits();
        let session = self.sessions.get_mut(id)?;
        if session.fate != Fate::Open {
            input.skip(input.bytes().len());
            return None;
        }
        if session.upload.is_some() {
            return self.upload(id, input, now).then_some(Flow::Done);
        }
        let unread = &input.bytes()[batch.bytes..];
        if unread.is_empty() {
            return None;
        }
        if session.slots.outstanding() + batch.count as usize >= self.limits.client_in_flight_max {
            return Some(Flow::Wait(Stall::InFlight));
        }
        if session.unread_bytes() > self.limits.client_output_soft_bytes {
            return Some(Flow::Wait(Stall::Output));
        }
        Some(match session.scan.scan(unread, limits) {
            Ok(Found::Request(request)) => {
                let verdict = unknown::verdict(&self.commands, &self.lanes, session, unread, &request);
                let plain = verdict == Verdict::Pass(Class::Share)
                    && request.len <= self.limits.shared_request_bytes_max
                    && session.reply_mode == ReplyMode::On
                    && session.reads == ReadFrom::Master
                    && !matches!(session.via, Via::Pinned(_))
                    && !session.is_bound()
                    && !session.is_modal_by_sharing();
                let in_cluster = self.clusters.map(session.database).is_some();
                if plain && !in_cluster {
                    return Some(self.join_batch(id, input, batch, request.len, now));
                }
                if plain && !session.has_something_open() && self.fly_together(id, input, now) > 0 {
                    return Some(Flow::Done);
                }
                self.send_batch(id, batch, input, now);
                self.request(id, input, &request, verdict, now)
            }
            Ok(Found::Nothing { len }) => {
                self.send_batch(id, batch, input, now);
                input.skip(len);
                Flow::Done
            }
            Ok(Found::Inline { len, strict }) => {
                self.send_batch(id, batch, input, now);
                self.inline(id, input, len, &strict, now)
            }
            Err(RequestError::InlineQuotes) if self.reads_joined(id, unread) => {
                self.send_batch(id, batch, input, now);
                self.inline_joined(id, input, now)
            }
            Ok(Found::More) => {
                self.send_batch(id, batch, input, now);
                if input.bytes().len() <= self.limits.shared_request_bytes_max {
                    return None;
                }
                self.begin_upload(id, input, now)
            }
            Err(error) => {
                self.send_batch(id, batch, input, now);
                self.protocol_error(id, error);
                Flow::Done
            }
        })
    }

    /// An inline request of so many bytes, whose strict form goes in its place.
    pub(super) fn inline<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        len: usize,
        strict: &[u8],
        now: Instant,
    ) -> Flow {
        let limits = self.request_limits();
        let Some(session) = self.sessions.get_mut(id) else { return Flow::Done };
        let flow = match session.scan.scan(strict, limits) {
            Ok(Found::Request(request)) => {
                let verdict = unknown::verdict(&self.commands, &self.lanes, session, strict, &request);
                let mut instead = strict;
                self.request(id, &mut instead, &request, verdict, now)
            }
            other => unreachable!("the strict form of an inline request is a request: {other:?}"),
        };
        if flow == Flow::Done {
            input.skip(len);
        }
        flow
    }

    /// Handles one whole request at the front of the input.
    fn request<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        verdict: Verdict,
        now: Instant,
    ) -> Flow {
        let Some(session) = self.sessions.get(id) else { return Flow::Done };
        if session.holds_requests() {
            return Flow::Wait(Stall::Barrier);
        }
        if session.pinned.as_ref().is_some_and(|pinned| pinned.stream) {
            return self.request_while_streaming(id, input, request, verdict, now);
        }
        if session.transaction().is_some() {
            return self.request_in_transaction(id, input, request, verdict, now);
        }
        let on_pinned = session.is_bound() || matches!(session.via, Via::Pinned(_));
        let class = match verdict {
            Verdict::Refuse(_) if on_pinned && !session.is_settled() => return Flow::Wait(Stall::Barrier),
            Verdict::Refuse(name) => return self.refuse(id, input, request, name, now),
            Verdict::Pass(class) => class,
        };
        if let Some(flow) = self.request_of_subscriber(id, input, request, class, now) {
            return flow;
        }
        let Some(session) = self.sessions.get(id) else { return Flow::Done };
        if self.clusters.map(session.database).is_some() {
            return self.request_in_cluster(id, input, request, class, now);
        }
        if session.reads != ReadFrom::Master
            && let Some(flow) = self.request_of_reader(id, input, request, class, now)
        {
            return flow;
        }
        let Some(session) = self.sessions.get(id) else { return Flow::Done };
        match class {
            Class::Answer(answer) => self.answer_here(id, input, request, answer, now),
            Class::Abuse => {
                self.close_client(id, Closed::CrossProtocol);
                Flow::Done
            }
            Class::Control if !self.is_modal(id) => self.request_control(id, input, request, now),
            Class::Transaction(Tx::Multi) if request.argc == 1 && !on_pinned => {
                self.open_transaction(id, input, request, now)
            }
            Class::Transaction(Tx::Exec | Tx::Discard | Tx::Unwatch) if !on_pinned => {
                // Outside of a transaction they change nothing.
                self.place(id, input, request.len, |worker| worker.shared_link(id, now), now)
            }
            Class::Script if !on_pinned && self.lanes[session.lane].server.is_none() => {
                // Whether it may share is known after the lane's first greeting.
                let (proto, db) = (session.proto, session.db);
                match self.greeted_lane(id, proto, db, now) {
                    Ok(_) => self.request(id, input, request, verdict, now),
                    Err(Flow::Done) => {
                        input.skip(request.len);
                        Flow::Done
                    }
                    Err(wait) => wait,
                }
            }
            Class::Share | Class::Script
                if !on_pinned
                    && request.len <= self.limits.shared_request_bytes_max
                    && self.scripts_may_share(class, session.lane) =>
            {
                let flow = self.place(id, input, request.len, |worker| worker.shared_link(id, now), now);
                if class == Class::Script && flow == Flow::Done {
                    self.fence_after(id, now);
                }
                flow
            }
            _ => self.request_pinned(id, input, request, class, now),
        }
    }

    /// Sends one request over the link that is chosen for it.
    pub(super) fn place<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        bytes: usize,
        choose: impl FnOnce(&mut Self) -> Result<LinkId, Stall>,
        now: Instant,
    ) -> Flow {
        match choose(self) {
            Ok(link) => {
                self.send_shared(id, link, input, bytes, 1, now);
                Flow::Done
            }
            Err(stall) => Flow::Wait(stall),
        }
    }

    /// Sends one request over the session's own link, and notes the state that it
    /// leaves there.
    pub(super) fn request_pinned<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        class: Class,
        now: Instant,
    ) -> Flow {
        if class == Class::Pin(Why::Unknown) {
            self.ask_about(id, &input.bytes()[request.name.clone()], now);
        }
        let settled = self.sessions.get(id).is_some_and(|session| session.is_settled());
        if class == Class::Pin(Why::Stream)
            && self.is_sync_too_early(id, &input.bytes()[request.name.clone()], request.argc)
        {
            self.answer_error(id, "ERR SYNC and PSYNC are invalid with pending output");
            input.skip(request.len);
            return Flow::Done;
        }
        if matches!(class, Class::Pin(Why::Stream)) && !settled {
            return Flow::Wait(Stall::Barrier);
        }
        if matches!(class, Class::Unsubscribe(_) | Class::Transaction(Tx::Multi))
            && request.argc == 1
            && !settled
        {
            // Its replies are as many as there are subscriptions by then; what follows is in a
            // transaction only where there are none.
            return Flow::Wait(Stall::Barrier);
        }
        let class = match self.class_in_subscribed_mode(id, class) {
            Ok(class) => class,
            Err(stall) => return Flow::Wait(stall),
        };
        let link = match self.pinned_link(id, now) {
            Ok(link) => link,
            Err(Unplaced::Stall(stall)) => return Flow::Wait(stall),
            Err(Unplaced::TooManyPinned) => {
                self.answer_error(id, TOO_MANY_PINNED);
                input.skip(request.len);
                if matches!(class, Class::Transaction(_)) {
                    // What follows a WATCH or MULTI must not run without it.
                    self.end_client(id);
                }
                return Flow::Done;
            }
        };
        let Some(session) = self.sessions.get_mut(id) else { return Flow::Done };
        let Some(pinned) = session.pinned.as_mut() else { return Flow::Done };
        let named = request.argc as u64 - 1;
        let mut expect = Expect::Reply;
        match class {
            Class::Subscribe(_) if named > 0 => expect = Expect::Confirmations(named),
            Class::Unsubscribe(topic) => {
                let all = pinned.subscriptions.of(topic).max(1);
                expect = Expect::Confirmations(if named > 0 { named } else { all });
            }
            Class::Transaction(Tx::Multi) if request.argc == 1 => {
                pinned.transaction = Some(Transaction::asked_for());
                expect = Expect::Boundary;
            }
            Class::Transaction(Tx::Watch) if named > 0 && !pinned.watching => {
                pinned.watching = true;
                expect = Expect::Watch;
            }
            // EXEC and DISCARD are errors here, and keys stay watched.
            Class::Transaction(Tx::Unwatch) if named == 0 => pinned.watching = false,
            Class::Pin(Why::Connection) => {
                pinned.connection = true;
                return self.request_connection(id, link, input, request, now);
            }
            Class::Pin(Why::Stream) => {
                pinned.awaits_stream = true;
                pinned.monitors = input.bytes()[request.name.clone()].eq_ignore_ascii_case(b"MONITOR");
                expect = Expect::Stream;
            }
            Class::Wait => {
                expect = Expect::Wait;
                self.mark(id, link, now);
            }
            Class::Pin(Why::Block | Why::Answers | Why::Unknown) => expect = Expect::Patient,
            _ => {}
        }
        self.send_pinned(id, link, input, request.len, expect, now);
        Flow::Done
    }

    pub(super) fn wake_pinned(&mut self, id: SessionId) {
        if let Some(pinned) = self.sessions.get(id).and_then(|session| session.pinned.as_ref()) {
            self.wake_link(pinned.link);
        }
    }

    pub(super) fn answer_error(&mut self, id: SessionId, text: &str) {
        self.answer_bytes(id, write::error(text));
    }

    /// Gives the client a reply of the gateway's own, in its turn.
    pub(super) fn answer_bytes(&mut self, id: SessionId, reply: Vec<u8>) {
        if self.feeds_replica(id) {
            return self.close_client(id, Closed::ReplicaAsks);
        }
        self.tally.requests += 1;
        self.tally.answered_here += 1;
        if let Some(session) = self.sessions.get_mut(id) {
            session.answer(reply);
            self.wake_client(id);
        }
    }

    fn protocol_error(&mut self, id: SessionId, error: RequestError) {
        self.tally.protocol_errors += 1;
        self.answer_error(id, &format!("ERR {error}"));
        self.end_client(id);
    }
}

/// The arguments of the request at the front of the input.
pub(super) fn arguments<'a, I: Input>(input: &'a I, request: &Request) -> Vec<&'a [u8]> {
    args(&input.bytes()[..request.len]).collect()
}
