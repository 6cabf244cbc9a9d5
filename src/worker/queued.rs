//! What the gateway answers inside a transaction: Redis queues a placeholder, and EXEC's reply
//! gets the answer in its place.

use std::time::Instant;

use bytes::{Buf, BytesMut};

use super::Worker;
use super::input::Input;
use super::requests::{Flow, arguments};
use crate::command::Answer;
use crate::resp::{Request, write};
use crate::session::answer::{self, WRONGPASS};
use crate::session::queued::{Queue, Queued};
use crate::session::{SessionId, hello};
use crate::upstream::{Expect, LinkId, fence, fence_reply};

impl Worker {
    /// One command of the gateway's own while a transaction is open on the session's link.
    pub(super) fn queue_answer<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        answer: Answer,
        now: Instant,
    ) -> Flow {
        let args = arguments(input, request);
        let Some(session) = self.sessions.get(id) else { return Flow::Done };
        let wrong =
            self.dialect(id).lacks(answer, &args).or_else(|| answer::check_arity(answer, &args).err());
        if let Some(text) = wrong {
            // Redis as well looks at this when it queues a command.
            return self.spoil_transaction(id, input, request, &text);
        }
        let has_no_place = match answer {
            Answer::Hello => hello::parse(args.iter().copied().skip(1))
                .is_ok_and(|hello| hello.proto.is_some_and(|proto| proto != session.proto)),
            // Redis' own reply would have no place in EXEC's.
            Answer::ClientReply => true,
            // An id in Redis' reply would be the backend's.
            Answer::ClientTrackingInfo | Answer::ClientGetRedir => {
                session.pinned.as_ref().is_some_and(|pinned| pinned.connection)
            }
            _ => false,
        };
        let (proto, db, lane) = (session.proto, session.db, session.lane);
        let has_room = session.transaction().is_some_and(|transaction| transaction.queue.has_room(&args));
        if has_no_place || !has_room {
            return self.refuse_in_transaction(id, input, request);
        }
        // Whether the user may ECHO is known after the lane's first greeting.
        match self.greeted_lane(id, proto, db, now) {
            Ok(_) if self.lanes[lane].fences => {}
            Ok(_) => return self.refuse_in_transaction(id, input, request),
            Err(Flow::Done) => {
                self.abort_transaction(id);
                input.skip(request.len);
                return Flow::Done;
            }
            Err(wait) => return wait,
        }
        let link = match self.transaction_link(id, now) {
            Ok(link) => link,
            Err(wait) => return wait,
        };
        let token = self.token();
        let pinned = self.sessions.get_mut(id).and_then(|session| session.pinned.as_mut());
        if let Some(transaction) = pinned.and_then(|pinned| pinned.transaction.as_mut()) {
            transaction.queue.push(answer, &args, fence_reply(&token));
        }
        let placeholder = fence(&token);
        let mut bytes = placeholder.as_slice();
        self.send_pinned(id, link, &mut bytes, placeholder.len(), Expect::Reply, now);
        input.skip(request.len);
        Flow::Done
    }

    /// Passes on the next bytes of EXEC's reply.
    pub(super) fn give_executed(
        &mut self,
        to: SessionId,
        queue: &mut Queue,
        input: &mut BytesMut,
        (bytes, is_end): (usize, bool),
        now: Instant,
    ) {
        if queue.is_empty() {
            return self.give(to, input, bytes, true, now);
        }
        let out = queue.replace(&input[..bytes], is_end, |queued| self.answer_queued(to, queued, now));
        input.advance(bytes);
        let mut out = BytesMut::from(&out[..]);
        let len = out.len();
        self.give(to, &mut out, len, true, now);
    }

    /// As above, for a reply that is passed on in pieces: its ticket is the link's first.
    pub(super) fn give_part(
        &mut self,
        id: LinkId,
        to: SessionId,
        input: &mut BytesMut,
        (bytes, is_end): (usize, bool),
        now: Instant,
    ) {
        let front = |worker: &mut Self| -> Option<Queue> {
            let ticket = worker.links.get_mut(id)?.pending.front_mut()?;
            match &mut ticket.expect {
                Expect::Exec(exec) => Some(std::mem::take(&mut exec.queue)),
                _ => None,
            }
        };
        let mut queue = front(self).unwrap_or_default();
        self.give_executed(to, &mut queue, input, (bytes, is_end), now);
        let ticket = self.links.get_mut(id).and_then(|link| link.pending.front_mut());
        if let Some(Expect::Exec(exec)) = ticket.map(|ticket| &mut ticket.expect) {
            exec.queue = queue;
        }
    }

    fn answer_queued(&mut self, id: SessionId, queued: &Queued, now: Instant) -> Vec<u8> {
        let args: Vec<&[u8]> = queued.args.iter().map(Vec::as_slice).collect();
        if let (Answer::Auth, [_, name, _]) = (queued.answer, &args[..]) {
            self.tell_of_auth(id, name);
        }
        let reply = match queued.answer {
            Answer::Hello => self.hello_again(id, &args),
            answer if self.dialect(id).takes(answer, args[0]) => None,
            answer => {
                self.sessions.get_mut(id).and_then(|session| answer::answer(session, answer, &args, now))
            }
        };
        // Or else the session is gone, and nobody reads it.
        reply.unwrap_or_else(|| b"+OK\r\n".to_vec())
    }

    /// A HELLO that stays with the protocol version.
    fn hello_again(&mut self, id: SessionId, args: &[&[u8]]) -> Option<Vec<u8>> {
        let hello = match hello::parse(args.iter().copied().skip(1)) {
            Ok(hello) => hello,
            Err(text) => return Some(write::error_of(&text)),
        };
        if let Some((user, _)) = hello.auth {
            self.tell_of_auth(id, user);
        }
        let session = self.sessions.get_mut(id)?;
        if hello.auth.is_some_and(|(user, _)| !answer::is_same_user(session, user)) {
            return Some(write::error(WRONGPASS));
        }
        if let Some(name) = hello.name {
            session.about.name = name.to_vec();
        }
        let server = self.lanes[session.lane].server.as_ref()?;
        Some(hello::reply(server, session.proto, session.client_id))
    }
}
