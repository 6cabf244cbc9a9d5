//! Commands that the gateway answers: those about the session alone at once, and
//! those that need a lane (HELLO, SELECT) when it has been greeted.

use std::time::Instant;

use super::dialect::Dialect;
use super::ends::NOT_SENT;
use super::input::Input;
use super::requests::{Flow, arguments};
use super::{Report, Step, Worker};
use crate::command::Answer;
use crate::resp::{Proto, Request, long, write};
use crate::session::answer::{self, WRONGPASS};
use crate::session::{About, LaneRefusal, ReplyMode, Session, SessionId, Stall, Via, hello};
use crate::upstream::{Expect, Lane, LaneId, LinkId};

/// Redis' text for database numbers that it does not have.
pub(super) const DB_RANGE: &str = "ERR DB index is out of range";

/// Commands whose second argument is part of their name.
const CONTAINERS: [&str; 15] = [
    "acl", "client", "cluster", "command", "config", "function", "latency", "memory", "module", "object",
    "pubsub", "script", "slowlog", "xgroup", "xinfo",
];

/// AUTH from a client that is somebody already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeedlessAuth {
    /// Who it is, and stays.
    pub user: String,
    /// Its address.
    pub peer: String,
    /// Its certificate's subject, if a certificate made it who it is.
    pub subject: Option<String>,
    /// Whether it asked to be somebody else.
    pub differs: bool,
}

impl Worker {
    /// Answers one request; in a session bound to its link only once all earlier
    /// replies have arrived, since they may change what the answer is.
    pub(super) fn answer_here<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        answer: Answer,
        now: Instant,
    ) -> Flow {
        let Some(session) = self.sessions.get(id) else { return Flow::Done };
        if !session.is_settled() && (session.is_bound() || matches!(session.via, Via::Pinned(_))) {
            return Flow::Wait(Stall::Barrier);
        }
        if Dialect::decides(answer)
            && let Err(flow) = self.await_dialect(id, now)
        {
            if flow == Flow::Done {
                input.skip(request.len);
            }
            return flow;
        }
        let args = arguments(input, request);
        if ends_caching(answer) {
            self.end_caching(id, now);
        }
        let wrong =
            self.dialect(id).lacks(answer, &args).or_else(|| answer::check_arity(answer, &args).err());
        if let Some(text) = wrong {
            return self.refuse_words(id, input, request, &text);
        }
        if self.is_modal(id) && !matches!(answer, Answer::Reset | Answer::Quit) {
            let text = not_while_subscribed(&args);
            return self.refuse_words(id, input, request, &text);
        }
        let flow = match answer {
            Answer::Hello => self.hello(id, &args, now),
            Answer::Select => self.select(id, &args, now),
            Answer::Reset => self.reset(id, now),
            Answer::Quit => {
                self.answer_bytes(id, b"+OK\r\n".to_vec());
                self.end_client(id);
                Flow::Done
            }
            answer if self.dialect(id).takes(answer, args[0]) => {
                self.answer_bytes(id, b"+OK\r\n".to_vec());
                Flow::Done
            }
            answer => {
                self.answer_from_session(id, answer, &args, now);
                Flow::Done
            }
        };
        if flow == Flow::Done {
            input.skip(request.len);
        }
        flow
    }

    /// Answers one request with an error of the gateway's own.
    pub(super) fn refuse_words<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        text: &str,
    ) -> Flow {
        self.answer_error(id, text);
        input.skip(request.len);
        Flow::Done
    }

    /// Whether the client may only change its subscriptions: it has some, in RESP2.
    pub(super) fn is_modal(&self, id: SessionId) -> bool {
        let session = self.sessions.get(id);
        session.is_some_and(|session| session.proto == Proto::Resp2 && session.subscriptions().total() > 0)
    }

    fn answer_from_session(&mut self, id: SessionId, answer: Answer, args: &[&[u8]], now: Instant) {
        if let (Answer::Auth, [_, name, _]) = (answer, args) {
            self.tell_of_auth(id, name);
        }
        let Some(session) = self.sessions.get_mut(id) else { return };
        let bound = session.pinned.as_ref().is_some_and(|pinned| pinned.connection);
        if bound && matches!(answer, Answer::ClientTrackingInfo | Answer::ClientGetRedir) {
            // What is tracked is the link's to tell.
            if let Some(link) = session.pinned.as_ref().map(|pinned| pinned.link) {
                let request = write::command(args);
                let mut input = request.as_slice();
                self.send_pinned(id, link, &mut input, request.len(), Expect::Redirect, now);
            }
            return;
        }
        if let Some(reply) = answer::answer(session, answer, args, now) {
            self.answer_bytes(id, reply);
        }
    }

    fn hello(&mut self, id: SessionId, args: &[&[u8]], now: Instant) -> Flow {
        let hello = match hello::parse(args.iter().copied().skip(1)) {
            Ok(hello) => hello,
            Err(text) => {
                self.answer_bytes(id, write::error_of(&text));
                return Flow::Done;
            }
        };
        if let Some((user, _)) = hello.auth {
            self.tell_of_auth(id, user);
        }
        let Some(session) = self.sessions.get_mut(id) else { return Flow::Done };
        if let Some((user, _)) = hello.auth
            && !answer::is_same_user(session, user)
        {
            self.answer_error(id, WRONGPASS);
            return Flow::Done;
        }
        let (proto, db) = (hello.proto.unwrap_or(session.proto), session.db);
        if proto != session.proto && session.subscribed.is_some() && !session.is_settled() {
            // A message is told apart from the replies before by the version that they are in.
            return Flow::Wait(Stall::Barrier);
        }
        let lane = match self.greeted_lane(id, proto, db, now) {
            Ok(lane) => lane,
            Err(flow) => return flow,
        };
        let Some(server) = &self.lanes[lane].server else { return Flow::Done };
        let Some(session) = self.sessions.get_mut(id) else { return Flow::Done };
        if let Some(name) = hello.name {
            session.about.name = name.to_vec();
        }
        let reply = hello::reply(server, proto, session.client_id);
        let bound_to = match &session.pinned {
            Some(pinned) if pinned.is_bound() && proto != session.proto => Some(pinned.link),
            _ => None,
        };
        match bound_to {
            None => self.answer_bytes(id, reply),
            Some(link) => {
                // The link that holds the session's state has to change over as well.
                let request = write::command(&[b"HELLO", &[b'0' + proto.number()]]);
                let mut input = request.as_slice();
                let expect = Expect::Instead(reply.into());
                self.send_pinned(id, link, &mut input, request.len(), expect, now);
                if let Some(link) = self.links.get_mut(link) {
                    link.strayed = true;
                }
            }
        }
        self.move_session(id, lane);
        Flow::Done
    }

    /// Who a client is does not change: AUTH for another user is refused, one for its
    /// own is not looked at where the certificate has decided. Somebody should know.
    pub(super) fn tell_of_auth(&mut self, id: SessionId, name: &[u8]) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let differs = !answer::is_same_user(session, name);
        let permit = &session.permit;
        let told = if differs { &mut session.auth_told.0 } else { &mut session.auth_told.1 };
        if *told || (!differs && permit.user().needs.password()) {
            return;
        }
        *told = true;
        let auth = NeedlessAuth {
            user: permit.user().name.clone(),
            peer: session.addresses.0.clone(),
            subject: permit.certificate().map(|certificate| certificate.subject().to_string()),
            differs,
        };
        self.steps.push(Step::Report(Report::NeedlessAuth(id, auth)));
    }

    fn select(&mut self, id: SessionId, args: &[&[u8]], now: Instant) -> Flow {
        let db = match database(args[1]) {
            Ok(db) => db,
            Err(text) => {
                self.answer_error(id, &text);
                return Flow::Done;
            }
        };
        let Some(session) = self.sessions.get(id) else { return Flow::Done };
        if let Some(pinned) = &session.pinned
            && pinned.is_bound()
        {
            let link = pinned.link;
            let request = write::command(args);
            let mut input = request.as_slice();
            self.send_pinned(id, link, &mut input, request.len(), Expect::Select(db), now);
            return Flow::Done;
        }
        if db != session.db {
            let proto = session.proto;
            match self.greeted_lane(id, proto, db, now) {
                Ok(lane) => self.move_session(id, lane),
                Err(flow) => return flow,
            }
        }
        self.answer_bytes(id, b"+OK\r\n".to_vec());
        Flow::Done
    }

    /// The session's lane of this protocol version and database, once the backend has
    /// accepted a greeting for it. Otherwise the session waits, or has been given the
    /// backend's refusal.
    pub(super) fn greeted_lane(
        &mut self,
        id: SessionId,
        proto: Proto,
        db: u32,
        now: Instant,
    ) -> Result<LaneId, Flow> {
        // One of another lane is left over from before the users were changed.
        let refusal = self.sessions.get_mut(id).and_then(|session| session.lane_refusal.take());
        let refusal = refusal.filter(|&(of, at, _)| (of, at) == (proto, db)).map(|(_, _, refusal)| refusal);
        match refusal.or_else(|| self.refusal_of(id, db, now)) {
            None => {}
            Some(LaneRefusal::Backend(text)) => {
                self.answer_error(id, &text);
                return Err(Flow::Done);
            }
            Some(LaneRefusal::Unavailable) => {
                self.answer_error(id, NOT_SENT);
                let stays = |session: &Session| (session.proto, session.db) == (proto, db);
                if !self.sessions.get(id).is_some_and(stays) {
                    // What follows was meant for the database or the protocol asked for.
                    self.end_client(id);
                }
                return Err(Flow::Done);
            }
        }
        let Some(lane) = self.sibling_lane(id, proto, db) else { return Err(Flow::Done) };
        if self.lanes[lane].server.is_some() {
            return Ok(lane);
        }
        Err(Flow::Wait(self.await_lane(id, lane, now)))
    }

    /// Why the session cannot go to another database, where its node has refused that just now.
    pub(super) fn refusal_of(&self, id: SessionId, db: u32, now: Instant) -> Option<LaneRefusal> {
        let session = self.sessions.get(id).filter(|session| session.db != db)?;
        let key = &self.lanes[session.lane].key;
        let refusal = self.nodes.get(key.node)?.refusal_of(&key.credential.redis_user, db, now)?;
        let is_greeted = |lane: &Lane| {
            let of = &lane.key;
            lane.server.is_some() && (of.node, of.db, &of.credential) == (key.node, db, &key.credential)
        };
        (!self.lanes.iter().any(|(_, lane)| is_greeted(lane))).then_some(refusal)
    }

    /// Back to what the session was just after the handshake, and still its
    /// certificate's user.
    fn reset(&mut self, id: SessionId, now: Instant) -> Flow {
        let Some(session) = self.sessions.get(id) else { return Flow::Done };
        if !session.is_settled() || self.leaves_subscriptions(id, now) {
            return Flow::Wait(Stall::Barrier);
        }
        let Some(session) = self.sessions.get_mut(id) else { return Flow::Done };
        // OFF ends here, and a SKIP takes this reply.
        let skipped = std::mem::take(&mut session.reply_mode) == ReplyMode::Skip;
        let about = std::mem::take(&mut session.about);
        // Redis keeps what the library said of itself (networking.c, `resetCommand`).
        session.about = About { lib_name: about.lib_name, lib_ver: about.lib_ver, ..About::default() };
        self.unpin(id);
        self.unlisten(id);
        if let Some(lane) = self.sibling_lane(id, Proto::Resp2, 0) {
            self.move_session(id, lane);
        }
        if !skipped {
            self.answer_bytes(id, b"+RESET\r\n".to_vec());
        }
        Flow::Done
    }

    /// Whether Redis has yet to say that this client listens no more: who publishes once the client
    /// has been told must not count it.
    fn leaves_subscriptions(&mut self, id: SessionId, now: Instant) -> bool {
        let Some(session) = self.sessions.get_mut(id) else { return false };
        let Some(pinned) = session.pinned.as_mut() else { return false };
        if pinned.subscriptions.total() == 0 || pinned.stream || pinned.has_left {
            return false;
        }
        pinned.has_left = true;
        let on = pinned.link;
        self.say_unheard(id, on, b"RESET", now);
        true
    }

    /// What CLIENT CACHING said is for the command behind it, also where that is answered here: Redis
    /// is given another in its place.
    pub(super) fn end_caching(&mut self, id: SessionId, now: Instant) {
        let pinned = self.sessions.get(id).and_then(|session| session.pinned.as_ref());
        // Inside a transaction it holds until EXEC.
        let on = pinned.filter(|it| it.connection && !it.stream && it.transaction.is_none());
        if let Some(on) = on.map(|pinned| pinned.link) {
            self.say_unheard(id, on, b"PING", now);
        }
    }

    /// Sends a word of the gateway's own over the session's link. The client gets no reply to it, and
    /// what has to wait for replies waits for this one as well.
    fn say_unheard(&mut self, id: SessionId, on: LinkId, word: &[u8], now: Instant) {
        let (Some(session), Some(link)) = (self.sessions.get_mut(id), self.links.get_mut(on)) else { return };
        link.claim(id, 1, Expect::Reply, now);
        link.append(&write::command(&[word]));
        session.slots.push_awaited(1, true);
        session.via = Via::Pinned(on);
        self.wake_link(on);
    }
}

/// Whether CLIENT CACHING holds no longer behind it, and Redis would not hear of it otherwise.
fn ends_caching(answer: Answer) -> bool {
    matches!(
        answer,
        Answer::Auth
            | Answer::Hello
            | Answer::NotClustered
            | Answer::Respgate
            | Answer::ClientMaintNotifications
    )
}

/// Redis' refusal of commands while a RESP2 client is subscribed.
pub(super) fn not_while_subscribed(args: &[&[u8]]) -> String {
    let lower = |arg: &[u8]| String::from_utf8_lossy(arg).to_lowercase();
    let name = match args {
        [name, sub, ..] if CONTAINERS.contains(&&*lower(name)) => format!("{}|{}", lower(name), lower(sub)),
        [name, ..] => lower(name),
        [] => String::new(),
    };
    format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed \
         in this context"
    )
}

/// Reads a database number as Redis' `selectCommand` does.
pub(super) fn database(text: &[u8]) -> Result<u32, String> {
    let number = long(text).ok_or("ERR value is not an integer or out of range")?;
    let number = i32::try_from(number).map_err(|_| {
        format!("ERR value is out of range, value must between {} and {}", i32::MIN, i32::MAX)
    })?;
    u32::try_from(number).map_err(|_| DB_RANGE.to_owned())
}
