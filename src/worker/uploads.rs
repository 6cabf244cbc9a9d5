//! Requests too large to wait for: they go to the session's own link as they
//! arrive, and can be aborted there without harm to others.

use std::time::Instant;

use super::cluster::NotAimed;
use super::ends::TOO_MANY_PINNED;
use super::input::Input;
use super::local::not_while_subscribed;
use super::pins::Unplaced;
use super::requests::Flow;
use super::{Closed, Worker};
use crate::command::{Class, Verdict, Why};
use crate::resp::{Found, Request};
use crate::session::{SessionId, Stall, Upload};
use crate::upstream::{Expect, LinkId};

impl Worker {
    /// The request at the front of the input is incomplete, and already over the
    /// limit of what is held for a shared link.
    pub(super) fn begin_upload<I: Input>(&mut self, id: SessionId, input: &mut I, now: Instant) -> Flow {
        let Some(session) = self.sessions.get(id) else { return Flow::Done };
        if session.holds_requests() {
            return Flow::Wait(Stall::Barrier);
        }
        let mut whole = None;
        let verdict = match session.scan.head() {
            // Its name alone is over the limit.
            None => Verdict::Pass(Class::Answer(crate::command::Answer::Quit)),
            Some((name, second, argc)) => {
                let held = input.bytes();
                let second = if second.end <= held.len() { second } else { 0..0 };
                let request = Request { len: held.len(), argc, name, second };
                // CLIENT TRACKING may name a client, which has to be looked up first.
                let is_client = held[request.name.clone()].eq_ignore_ascii_case(b"client");
                let verdict = self.commands.classify(held, &request, &session.permit.user().commands);
                whole = Some(request);
                match verdict {
                    Verdict::Pass(Class::Pin(Why::Connection)) if is_client => Verdict::Pass(Class::Control),
                    verdict => verdict,
                }
            }
        };
        let expect = match verdict {
            Verdict::Refuse(name) => {
                self.refuse_command(id, name);
                self.end_client(id);
                return Flow::Done;
            }
            Verdict::Pass(Class::Abuse) => {
                self.close_client(id, Closed::CrossProtocol);
                return Flow::Done;
            }
            Verdict::Pass(
                Class::Answer(_)
                | Class::Transaction(_)
                | Class::Subscribe(_)
                | Class::Unsubscribe(_)
                | Class::Control
                | Class::Pin(Why::Stream),
            ) => {
                self.answer_error(id, "ERR respgate: request too large for its command");
                self.end_client(id);
                return Flow::Done;
            }
            Verdict::Pass(_) if session.is_modal_by_sharing() => {
                return self.skip_in_subscribed_mode(id, input);
            }
            // If MULTI is refused, nothing may be sent behind it that has not arrived whole: it could not be ended.
            Verdict::Pass(_) if session.awaits_boundary() => return Flow::Wait(Stall::Barrier),
            Verdict::Pass(Class::Pin(Why::Block | Why::Answers | Why::Unknown)) => Expect::Patient,
            Verdict::Pass(_) => Expect::Reply,
        };
        if let Some(session) = self.sessions.get_mut(id)
            && let Some(link) =
                session.pinned.as_ref().filter(|pinned| pinned.stream).map(|pinned| pinned.link)
        {
            // Its reply is part of the stream.
            session.upload = Some(Upload::To(link));
            return Flow::Done;
        }
        match whole.map_or(Ok(()), |request| self.aim_upload(id, input.bytes(), &request)) {
            Ok(()) => {}
            Err(NotAimed::Stall(stall)) => return Flow::Wait(stall),
            Err(NotAimed::Refused(text)) => {
                self.answer_error(id, text);
                self.end_client(id);
                return Flow::Done;
            }
        }
        let link = match self.pinned_link(id, now) {
            Ok(link) => link,
            Err(Unplaced::Stall(stall)) => return Flow::Wait(stall),
            Err(Unplaced::TooManyPinned) => {
                self.answer_error(id, TOO_MANY_PINNED);
                self.end_client(id);
                return Flow::Done;
            }
        };
        self.send_pinned(id, link, input, 0, expect, now);
        if let Some(session) = self.sessions.get_mut(id) {
            session.upload = Some(Upload::To(link));
            if let (Verdict::Pass(Class::Pin(Why::Connection)), Some(pinned)) = (verdict, &mut session.pinned)
            {
                pinned.connection = true;
            }
        }
        Flow::Done
    }

    /// In RESP2's subscribed mode it would not run, however large it is.
    fn skip_in_subscribed_mode<I: Input>(&mut self, id: SessionId, input: &I) -> Flow {
        let Some(session) = self.sessions.get_mut(id) else { return Flow::Done };
        if !session.is_settled() {
            // Whether it is in that mode is known then.
            return Flow::Wait(Stall::Barrier);
        }
        let Some((name, second, _)) = session.scan.head() else { return Flow::Done };
        let args = [name, second].map(|part| input.bytes().get(part).unwrap_or_default());
        session.upload = Some(Upload::Discard);
        self.answer_error(id, &not_while_subscribed(&args));
        Flow::Done
    }

    /// Passes on what has arrived of a large request. True when it was the rest.
    pub(super) fn upload<I: Input>(&mut self, id: SessionId, input: &mut I, now: Instant) -> bool {
        let limits = self.request_limits();
        let Some(session) = self.sessions.get_mut(id) else { return false };
        let to = match session.upload {
            Some(Upload::To(link)) => Some(link),
            _ => None,
        };
        if let Some(link) = to.and_then(|link| self.links.get_mut(link))
            && link.backlog() >= self.limits.link_queue_bytes_max
        {
            link.waiters.push(id);
            session.stall = Some(Stall::LinkFull);
            return false;
        }
        let (bytes, done) = match session.scan.scan(input.bytes(), limits) {
            Ok(Found::Request(request)) => (request.len, true),
            Ok(_) => (session.scan.take_examined(input.bytes().len()), false),
            Err(error) => {
                session.upload = None;
                if let Some(link) = to {
                    self.lose_link(link, super::Loss::Aborted, now);
                }
                self.answer_error(id, &format!("ERR {error}"));
                self.end_client(id);
                return true;
            }
        };
        if done {
            session.upload = None;
        }
        self.pass_on(to, input, bytes);
        done
    }

    fn pass_on<I: Input>(&mut self, to: Option<LinkId>, input: &mut I, bytes: usize) {
        match to {
            Some(id) => {
                if let Some(link) = self.links.get_mut(id) {
                    input.forward(bytes, link);
                }
                self.wake_link(id);
            }
            None => input.skip(bytes),
        }
    }
}
