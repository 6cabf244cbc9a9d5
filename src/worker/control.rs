//! Commands about other clients, and those that must not queue behind what they are to stop.
//!
//! A client's id is the gateway's. CLIENT KILL is carried out here, once Redis has said that
//! the user may; CLIENT UNBLOCK and CLIENT TRACKING's REDIRECT go to Redis with the id of the
//! session's own backend connection in place of the gateway's.

use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};

use super::Worker;
use super::input::Input;
use super::peers::{Killed, Sought};
use super::requests::{Flow, arguments};
use crate::command::Class;
use crate::resp::{Request, write};
use crate::session::kill::{self, NO_CLIENT, Order, number};
use crate::session::{Kill, SessionId, Stall, Via};
use crate::upstream::{Expect, LinkId};

/// The answer where a worker does not say what it has done.
const KILL_UNKNOWN: &str = "ERR respgate: not every worker has answered, outcome unknown";

/// The answer where a worker does not say whose an id is.
const NOT_FOUND_OUT: &str = "ERR respgate: a worker has not answered, command not sent";

/// What goes on when the other workers have answered.
#[derive(Debug)]
pub(super) enum What {
    /// CLIENT KILL's reply, by way of this link.
    Kill(Box<Kill>, LinkId),
    /// A command that names a client.
    Say(Box<Naming>),
}

/// A command to Redis that names a client by its id.
#[derive(Debug)]
pub(super) struct Naming {
    words: Vec<Vec<u8>>,
    /// Which of the words is the id.
    at: usize,
    /// The link that it goes to.
    link: LinkId,
    expect: Expect,
}

impl Worker {
    /// A command of class Control.
    pub(super) fn request_control<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        now: Instant,
    ) -> Flow {
        let args = arguments(input, request);
        let (is_kill, is_unblock) = match args[..] {
            [name, sub, ..] if name.eq_ignore_ascii_case(b"CLIENT") => {
                (sub.eq_ignore_ascii_case(b"KILL"), sub.eq_ignore_ascii_case(b"UNBLOCK"))
            }
            _ => (false, false),
        };
        if !is_kill && !is_unblock {
            return self.place(id, input, request.len, |worker| worker.control_link(id, now), now);
        }
        let link = match self.control_link(id, now) {
            Ok(link) => link,
            Err(stall) => return Flow::Wait(stall),
        };
        if is_kill {
            match kill::parse(&args) {
                Order::Refuse(text) => self.answer_error(id, &text),
                Order::Ask(words, kill) => {
                    self.await_reply(id, Via::Shared(link));
                    self.say(id, link, &words, Expect::Kill(Box::new(kill)), now);
                }
            }
        } else {
            let words: Vec<Vec<u8>> = args.iter().map(|arg| arg.to_vec()).collect();
            self.await_reply(id, Via::Shared(link));
            let naming = Naming { words, at: 2, link, expect: Expect::Reply };
            self.name_client(id, None, naming, now);
        }
        input.skip(request.len);
        Flow::Done
    }

    /// Whether this is a command about a client by its id, which can go to Redis only with
    /// another one.
    pub(super) fn names_client(class: Class, args: &[&[u8]]) -> bool {
        match args {
            [name, sub, ..] if name.eq_ignore_ascii_case(b"CLIENT") => match class {
                Class::Control => sub.eq_ignore_ascii_case(b"KILL") || sub.eq_ignore_ascii_case(b"UNBLOCK"),
                _ => redirect(args).is_some(),
            },
            _ => false,
        }
    }

    /// What leaves state in the connection. CLIENT TRACKING's REDIRECT names a client of the
    /// same Redis user.
    pub(super) fn request_connection<I: Input>(
        &mut self,
        id: SessionId,
        link: LinkId,
        input: &mut I,
        request: &Request,
        now: Instant,
    ) -> Flow {
        let args = arguments(input, request);
        let tracks = args.get(1).is_some_and(|sub| sub.eq_ignore_ascii_case(b"TRACKING"));
        if args[0].eq_ignore_ascii_case(b"SCRIPT")
            && let Some(pinned) = self.sessions.get_mut(id).and_then(|session| session.pinned.as_mut())
        {
            pinned.debugs = true;
        }
        let Some(at) = redirect(&args) else {
            let expect = if tracks { Expect::Tracking(None) } else { Expect::Reply };
            self.send_pinned(id, link, input, request.len, expect, now);
            return Flow::Done;
        };
        let Some(session) = self.sessions.get(id) else { return Flow::Done };
        if !session.is_settled() {
            return Flow::Wait(Stall::Barrier);
        }
        let redis_user = session.permit.credential().redis_user.clone();
        let to = number(args[at]).and_then(|to| u64::try_from(to).ok());
        let words: Vec<Vec<u8>> = args.iter().map(|arg| arg.to_vec()).collect();
        self.await_reply(id, Via::Pinned(link));
        self.set_awaits_name(id, true);
        self.tally.pinned_requests += 1;
        let naming = Naming { words, at, link, expect: Expect::Tracking(to) };
        self.name_client(id, Some(redis_user), naming, now);
        input.skip(request.len);
        Flow::Done
    }

    /// Finds out whom a command means; then it goes to Redis.
    fn name_client(&mut self, id: SessionId, redis_user: Option<String>, naming: Naming, now: Instant) {
        let Some(database) = self.sessions.get(id).map(|session| session.database) else { return };
        let what = |naming| What::Say(Box::new(naming));
        match naming.words.get(naming.at).map(|word| number(word)) {
            Some(Some(client_id)) if client_id > 0 => {
                let sought = Sought { client_id: client_id.unsigned_abs(), database, redis_user };
                self.find_anywhere(id, sought, what(naming), now);
            }
            // Redis says what is wrong with it.
            Some(None) => {
                let mut naming = naming;
                naming.words[naming.at] = b"x".to_vec();
                self.say(id, naming.link, &naming.words, naming.expect, now);
            }
            _ => self.found(id, what(naming), Ok(None), now),
        }
    }

    /// A reply on a control link.
    pub(super) fn control_reply(
        &mut self,
        on: LinkId,
        id: SessionId,
        expect: Expect,
        input: &mut BytesMut,
        len: usize,
        now: Instant,
    ) {
        match expect {
            Expect::Kill(kill) if !matches!(input[0], b'-' | b'!') => {
                // Redis lets the user kill: who is meant is ended.
                input.advance(len);
                let filter = kill.filter.clone();
                self.kill_everywhere(id, filter, What::Kill(kill, on), now);
            }
            Expect::Instead(reply) => {
                input.advance(len);
                self.complete(id, reply.into_vec(), now);
            }
            _ => self.give_aside(id, input, len, now),
        }
    }

    /// These have been ended, besides the client that asked. It is told when Redis knows of it
    /// as well: from then on nothing is popped for a client that is gone.
    pub(super) fn answered(&mut self, id: SessionId, what: What, killed: Result<Killed, ()>, now: Instant) {
        let (What::Kill(kill, on), Some(session)) = (what, self.sessions.get(id)) else { return };
        let Ok(killed) = killed else {
            return self.complete(id, write::error(KILL_UNKNOWN), now);
        };
        let itself = !kill.skips_self && kill.filter.means(session, now);
        let count = killed.sessions + u64::from(itself);
        let reply = match (kill.is_old_form, count) {
            (true, 0) => write::error("ERR No such client"),
            (true, _) => b"+OK\r\n".to_vec(),
            (false, count) => write::integer(i64::try_from(count).unwrap_or(i64::MAX)),
        };
        match killed.links.split_last() {
            None => self.complete(id, reply, now),
            Some((last, others)) => {
                for link in others {
                    self.say(id, on, &kill_link(*link), Expect::Ignored, now);
                }
                self.say(id, on, &kill_link(*last), Expect::Instead(reply.into()), now);
            }
        }
        if itself {
            self.end_client(id);
        }
    }

    /// Whose an id is has been found out: the command goes to Redis with the backend's id.
    pub(super) fn found(
        &mut self,
        id: SessionId,
        what: What,
        backend_id: Result<Option<i64>, ()>,
        now: Instant,
    ) {
        let What::Say(naming) = what else { return };
        let Ok(backend_id) = backend_id else {
            return self.complete(id, write::error(NOT_FOUND_OUT), now);
        };
        let Naming { mut words, at, link, expect } = *naming;
        if let Some(word) = words.get_mut(at) {
            *word = backend_id.unwrap_or(NO_CLIENT).to_string().into_bytes();
        }
        self.say(id, link, &words, expect, now);
    }

    /// CLIENT TRACKING has been answered.
    pub(super) fn tracks(
        &mut self,
        id: SessionId,
        to: Option<u64>,
        input: &mut BytesMut,
        len: usize,
        now: Instant,
    ) {
        if input[..len] == *b"+OK\r\n"
            && let Some(pinned) = self.sessions.get_mut(id).and_then(|session| session.pinned.as_mut())
        {
            pinned.redirect = to;
        }
        self.give(id, input, len, true, now);
    }

    /// A frame of nobody's request; one may tell that the client has gone that invalidations
    /// went to.
    pub(super) fn push(&mut self, id: SessionId, input: &mut BytesMut, len: usize, now: Instant) {
        if let Some(session) = self.sessions.get_mut(id).filter(|session| session.mid_frame) {
            // A reply of another link is being passed on in pieces: with a cluster that may be.
            session.held.push(Bytes::copy_from_slice(&input[..len]));
            return input.advance(len);
        }
        if input[..len].starts_with(b">2\r\n$21\r\ntracking-redir-broken\r\n") {
            self.tell_redirect(id, input, len, false, now);
        } else {
            self.give(id, input, len, false, now);
        }
    }

    /// Passes on where invalidations go, by the gateway's id.
    pub(super) fn tell_redirect(
        &mut self,
        id: SessionId,
        input: &mut BytesMut,
        len: usize,
        reply: bool,
        now: Instant,
    ) {
        let pinned = self.sessions.get(id).and_then(|session| session.pinned.as_ref());
        let to = pinned.and_then(|pinned| pinned.redirect);
        match to.and_then(|to| with_redirect(&input[..len], to)) {
            Some(mut frame) => {
                input.advance(len);
                let len = frame.len();
                self.give(id, &mut frame, len, reply, now);
            }
            None => self.give(id, input, len, reply, now),
        }
    }

    fn set_awaits_name(&mut self, id: SessionId, awaits: bool) {
        if let Some(pinned) = self.sessions.get_mut(id).and_then(|session| session.pinned.as_mut()) {
            pinned.awaits_name = awaits;
        }
    }

    /// The session awaits one reply, which is not from a link yet.
    fn await_reply(&mut self, id: SessionId, via: Via) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let mute = session.take_mute();
        session.slots.push_awaited(1, mute);
        session.via = via;
        self.tally.requests += 1;
    }

    /// Sends a command whose reply the session already awaits.
    fn say(&mut self, id: SessionId, on: LinkId, words: &[Vec<u8>], expect: Expect, now: Instant) {
        if self.sessions.get(id).is_none() {
            return;
        }
        self.set_awaits_name(id, false);
        let Some(link) = self.links.get_mut(on) else {
            // It was lost while others were asked.
            return match expect {
                Expect::Ignored => {}
                Expect::Instead(reply) => self.complete(id, reply.into_vec(), now),
                _ => self.complete(id, write::error(super::ends::NOT_SENT), now),
            };
        };
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        link.claim(id, 1, expect, now);
        link.append(&write::command(&words));
        link.since_fence += 1;
        self.wake_link(on);
    }

    /// Gives the session the reply that it awaits and that no link has.
    fn complete(&mut self, id: SessionId, reply: Vec<u8>, now: Instant) {
        self.set_awaits_name(id, false);
        let mut reply = BytesMut::from(&reply[..]);
        let len = reply.len();
        self.give_aside(id, &mut reply, len, now);
    }

    /// Gives the session a reply that does not come from the link of its pushes, one of which
    /// may be under way.
    fn give_aside(&mut self, id: SessionId, input: &mut BytesMut, len: usize, now: Instant) {
        match self.sessions.get_mut(id) {
            Some(session) if session.mid_frame && session.is_bound() => {
                session.hold(input.split_to(len).freeze());
            }
            _ => {
                self.give(id, input, len, true, now);
                self.settle_session(id, 1);
            }
        }
    }
}

/// A frame that tells where invalidations go (or no longer go), with the gateway's id for it.
pub(super) fn with_redirect(frame: &[u8], id: u64) -> Option<BytesMut> {
    let names: [&[u8]; 2] = [b"$8\r\nredirect\r\n", b"$21\r\ntracking-redir-broken\r\n"];
    let at = match frame.first()? {
        b':' => 0,
        _ => names.iter().find_map(|name| Some(memchr::memmem::find(frame, name)? + name.len()))?,
    };
    let end = at + memchr::memchr(b'\r', &frame[at..])?;
    let told = number(frame[at..end].strip_prefix(b":")?)?;
    if told <= 0 {
        return None;
    }
    Some(BytesMut::from(&[&frame[..=at], id.to_string().as_bytes(), &frame[end..]].concat()[..]))
}

fn kill_link(backend_id: i64) -> [Vec<u8>; 4] {
    [b"CLIENT".to_vec(), b"KILL".to_vec(), b"ID".to_vec(), backend_id.to_string().into_bytes()]
}

/// Where in a CLIENT TRACKING the id stands that invalidations are to go to.
fn redirect(args: &[&[u8]]) -> Option<usize> {
    let [_, sub, ..] = args else { return None };
    if !sub.eq_ignore_ascii_case(b"TRACKING") {
        return None;
    }
    let mut at = 3;
    while at + 1 < args.len() {
        if args[at].eq_ignore_ascii_case(b"REDIRECT") {
            return Some(at + 1);
        }
        at += if args[at].eq_ignore_ascii_case(b"PREFIX") { 2 } else { 1 };
    }
    None
}
