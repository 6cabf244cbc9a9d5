//! MULTI to EXEC: as one run on a shared link where it has arrived whole and needs
//! nothing of its own, on the session's link otherwise.

use std::time::Instant;

use super::cluster::ONE_DATABASE;
use super::ends::TOO_MANY_PINNED;
use super::input::Input;
use super::local::{DB_RANGE, database};
use super::pins::Unplaced;
use super::requests::{Flow, arguments};
use super::unknown::verdict;
use super::{Closed, Worker};
use crate::command::{Answer, Class, Tx, Verdict, Why};
use crate::resp::{Found, Request, RequestScanner, write};
use crate::session::{Awaited, LaneRefusal, ReplyMode, Session, SessionId, Stall, Transaction, answer};
use crate::upstream::{Expect, LinkId};

/// A transaction that is complete in the input.
struct Whole {
    bytes: usize,
    count: u32,
}

impl Worker {
    /// A MULTI outside of a transaction, in a session that nothing binds to its link.
    pub(super) fn open_transaction<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        now: Instant,
    ) -> Flow {
        if let Some(whole) = self.whole_transaction(id, input.bytes()) {
            let link = match self.shared_link(id, now) {
                Ok(link) => link,
                Err(stall) => return Flow::Wait(stall),
            };
            self.send_shared(id, link, input, whole.bytes, whole.count, now);
            return Flow::Done;
        }
        match self.pinned_link(id, now) {
            Ok(link) => {
                self.send_pinned(id, link, input, request.len, Expect::Boundary, now);
                if let Some(pinned) = self.sessions.get_mut(id).and_then(|session| session.pinned.as_mut()) {
                    pinned.transaction = Some(Transaction::asked_for());
                }
            }
            Err(Unplaced::Stall(stall)) => return Flow::Wait(stall),
            Err(Unplaced::TooManyPinned) => {
                // What follows was meant to run together, or not at all.
                self.answer_error(id, TOO_MANY_PINNED);
                self.end_client(id);
            }
        }
        Flow::Done
    }

    /// A transaction at the front of the input that can share a link: it ends with
    /// EXEC, and everything inside is of class Share. One that ends with DISCARD cannot:
    /// a Redis user without the right to DISCARD would leave the link inside of it. Nor can
    /// one with a script: what a script gets into its error is an element of EXEC's reply, and
    /// could announce elements that take in the fence, and other clients' replies behind it.
    fn whole_transaction(&self, id: SessionId, input: &[u8]) -> Option<Whole> {
        let session = self.sessions.get(id)?;
        if session.reply_mode != ReplyMode::On {
            return None;
        }
        let limits = self.request_limits();
        let mut whole = Whole { bytes: 0, count: 0 };
        loop {
            let rest = &input[whole.bytes..];
            let Ok(Found::Request(request)) = RequestScanner::default().scan(rest, limits) else {
                return None;
            };
            let verdict = verdict(&self.commands, &self.lanes, session, rest, &request);
            whole.bytes += request.len;
            whole.count += 1;
            if whole.bytes > self.limits.shared_request_bytes_max
                || whole.count as usize > self.limits.client_in_flight_max
            {
                return None;
            }
            match verdict {
                Verdict::Pass(Class::Transaction(Tx::Multi)) if whole.count == 1 => {}
                Verdict::Pass(Class::Transaction(Tx::Exec)) if request.argc == 1 => return Some(whole),
                Verdict::Pass(Class::Share) => {}
                _ => return None,
            }
        }
    }

    /// One request while a transaction is open on the session's link.
    pub(super) fn request_in_transaction<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        verdict: Verdict,
        now: Instant,
    ) -> Flow {
        if self.awaits_boundary(id, verdict) {
            return Flow::Wait(Stall::Barrier);
        }
        if let Err(flow) = self.place_transaction(id, input, request, verdict, now) {
            return flow;
        }
        let class = match verdict {
            Verdict::Refuse(name) => {
                let flow = self.refuse(id, input, request, name, now);
                if flow == Flow::Done {
                    self.abort_transaction(id);
                }
                return flow;
            }
            Verdict::Pass(Class::Abuse) => {
                self.close_client(id, Closed::CrossProtocol);
                return Flow::Done;
            }
            Verdict::Pass(Class::Answer(answer @ (Answer::Reset | Answer::Quit))) => {
                return match answer::check_arity(answer, &arguments(input, request)) {
                    Ok(()) => self.answer_here(id, input, request, answer, now),
                    Err(text) => self.spoil_transaction(id, input, request, &text),
                };
            }
            Verdict::Pass(class) if self.is_for_one_node(id, input.bytes(), request, class) => {
                return self.refuse_in_transaction(id, input, request);
            }
            Verdict::Pass(class) if self.is_for_another_database(id, input, request, class) => {
                return self.spoil_transaction(id, input, request, ONE_DATABASE);
            }
            Verdict::Pass(class) => class,
        };
        let selected = match class {
            Class::Answer(Answer::Select) => match arguments(input, request)[..] {
                [_, db] => database(db).ok(),
                _ => None,
            },
            Class::Answer(Answer::ClientTrackingInfo | Answer::ClientGetRedir) if self.tells_tracking(id) => None,
            Class::Answer(answer) => return self.queue_answer(id, input, request, answer, now),
            Class::Subscribe(_)
            | Class::Unsubscribe(_)
            | Class::Pin(Why::Stream)
            // Inside it asks about the writes before, which may have gone over another link.
            | Class::Wait => {
                return self.refuse_in_transaction(id, input, request);
            }
            _ if Self::names_client(class, &arguments(input, request)) => {
                return self.refuse_in_transaction(id, input, request);
            }
            _ => None,
        };
        // Where there is no such database, Redis says so at EXEC.
        let selected = selected.filter(|&db| !self.is_no_database(id, db, now));
        if let Some(db) = selected {
            // EXEC succeeds whether or not this SELECT did: it has to be known beforehand.
            let Some(proto) = self.sessions.get(id).map(|session| session.proto) else { return Flow::Done };
            match self.greeted_lane(id, proto, db, now) {
                Ok(_) => {}
                Err(Flow::Done) => {
                    self.abort_transaction(id);
                    input.skip(request.len);
                    return Flow::Done;
                }
                Err(wait) => return wait,
            }
        }
        let link = match self.transaction_link(id, now) {
            Ok(link) => link,
            Err(wait) => return wait,
        };
        let Some(pinned) = self.sessions.get_mut(id).and_then(|session| session.pinned.as_mut()) else {
            return Flow::Done;
        };
        let mut expect = Expect::Reply;
        match class {
            Class::Answer(Answer::Select) => {
                if let Some(transaction) = &mut pinned.transaction
                    && selected.is_some()
                {
                    transaction.select = selected;
                }
            }
            // With an argument too, it is the end: Redis discards the transaction then.
            Class::Transaction(Tx::Exec) => {
                let transaction = pinned.transaction.take().unwrap_or_default();
                pinned.watching = false;
                // With an argument too many, Redis says so and discards what was queued.
                if transaction.aborted && request.argc == 1 {
                    // Not DISCARD, which the user may not be allowed.
                    let discard = write::command(&[b"EXEC", b"too many"]);
                    let abort = write::error("EXECABORT Transaction discarded because of previous errors.");
                    let mut instead = discard.as_slice();
                    let expect = Expect::Instead(abort.into());
                    self.send_pinned(id, link, &mut instead, discard.len(), expect, now);
                    input.skip(request.len);
                    return Flow::Done;
                }
                expect = Expect::Exec(Box::new(transaction));
            }
            Class::Transaction(Tx::Discard) if request.argc == 1 => {
                if let Some(transaction) = &mut pinned.transaction {
                    transaction.awaits = Some(Awaited::Discard);
                }
                expect = Expect::Boundary;
            }
            Class::Pin(Why::Connection) => pinned.connection = true,
            _ => {}
        }
        self.keep_before_key(id, &input.bytes()[..request.len]);
        self.send_pinned(id, link, input, request.len, expect, now);
        Flow::Done
    }

    /// Whether this has to wait for Redis to say whether a transaction is open. What Redis itself queues
    /// may follow a MULTI at once: if that is refused, it runs as Redis would run it.
    fn awaits_boundary(&self, id: SessionId, verdict: Verdict) -> bool {
        let Some(transaction) = self.sessions.get(id).and_then(Session::transaction) else { return false };
        let follows =
            matches!(verdict, Verdict::Pass(Class::Share | Class::Script | Class::Transaction(Tx::Exec)));
        match transaction.awaits {
            None => false,
            Some(Awaited::Multi) => !follows || transaction.aborted,
            Some(Awaited::Discard) => true,
        }
    }

    /// Redis has answered MULTI or DISCARD.
    pub(super) fn boundary_answered(&mut self, id: SessionId, is_error: bool) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let has_more = session.slots.outstanding() > 1;
        let Some(pinned) = session.pinned.as_mut() else { return };
        let awaited = pinned.transaction.as_mut().and_then(|transaction| transaction.awaits.take());
        match (awaited, is_error) {
            (Some(Awaited::Multi), false) | (Some(Awaited::Discard), true) => {}
            (Some(Awaited::Discard), false) => {
                pinned.transaction = None;
                pinned.watching = false;
            }
            // Of MULTI; its EXEC may have gone as well.
            (_, true) if has_more => self.end_client(id),
            (_, true) => pinned.transaction = None,
            (None, false) => {}
        }
    }

    /// Redis watches none of the keys. What is behind may have been watched since: then it stays.
    pub(super) fn watch_refused(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id)
            && session.slots.outstanding() == 1
            && let Some(pinned) = session.pinned.as_mut()
        {
            pinned.watching = false;
        }
    }

    /// The link of a session with an open transaction; it has one already.
    pub(super) fn transaction_link(&mut self, id: SessionId, now: Instant) -> Result<LinkId, Flow> {
        self.pinned_link(id, now).map_err(|unplaced| match unplaced {
            Unplaced::Stall(stall) => Flow::Wait(stall),
            Unplaced::TooManyPinned => Flow::Wait(Stall::Barrier),
        })
    }

    /// EXEC fails then, as it does where Redis refuses a command. A client that would not hear of
    /// it is closed: it goes on as if it had been queued.
    pub(super) fn refuse_in_transaction<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
    ) -> Flow {
        if self.sessions.get(id).is_some_and(|session| session.reply_mode != ReplyMode::On) {
            self.close_client(id, Closed::Unheard);
            return Flow::Done;
        }
        self.spoil_transaction(id, input, request, "ERR respgate: command not supported inside MULTI")
    }

    pub(super) fn spoil_transaction<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        text: &str,
    ) -> Flow {
        let flow = self.refuse_words(id, input, request, text);
        self.abort_transaction(id);
        flow
    }

    /// Whether the backend has just refused this database.
    fn is_no_database(&mut self, id: SessionId, db: u32, now: Instant) -> bool {
        let Some(session) = self.sessions.get_mut(id) else { return false };
        let asked = (session.proto, db);
        let refusal = session.lane_refusal.take_if(|(proto, db, refusal)| {
            (*proto, *db) == asked && matches!(refusal, LaneRefusal::Backend(_))
        });
        refusal.is_some() || self.refusal_of(id, db, now) == Some(LaneRefusal::Backend(DB_RANGE.to_owned()))
    }

    /// Whether what is tracked is the link's to tell as it is: no id in it needs a change.
    fn tells_tracking(&self, id: SessionId) -> bool {
        let pinned = self.sessions.get(id).and_then(|session| session.pinned.as_ref());
        pinned.is_some_and(|pinned| pinned.connection && pinned.redirect.is_none())
    }

    pub(super) fn abort_transaction(&mut self, id: SessionId) {
        if let Some(pinned) = self.sessions.get_mut(id).and_then(|session| session.pinned.as_mut())
            && let Some(transaction) = &mut pinned.transaction
        {
            transaction.aborted = true;
        }
    }
}
