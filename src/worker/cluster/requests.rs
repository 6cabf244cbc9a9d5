//! Which way a request of a cluster's client goes: to the node of its slot, to any, to all, or
//! nowhere. What would mean one server, where there are many, is refused rather than answered wrong.

use std::time::Instant;

use super::super::input::Input;
use super::super::requests::{Flow, arguments};
use super::super::{Closed, Worker};
use super::flights::DOWN;
use crate::command::{Answer, Class, Keys, Placement, Tx, Why};
use crate::resp::Request;
use crate::session::{SessionId, Stall, To, Via};

/// Redis' own words.
pub(super) const CROSSED: &str = "CROSSSLOT Keys in request don't hash to the same slot";
const ONE_DATABASE: &str = "ERR SELECT is not allowed in cluster mode";

/// Commands without keys whose answer any node may give.
const ANYWHERE: &str = "acl|cat acl|dryrun acl|genpass acl|getuser acl|help acl|list acl|users acl|whoami \
    client|help client|list command command|count command|docs command|getkeys command|getkeysandflags command|help \
    command|info command|list config|get config|help echo function|dump function|help function|list info lastsave \
    latency|doctor latency|graph latency|help latency|histogram latency|history latency|latest lolwut memory|doctor \
    memory|help memory|malloc-stats memory|stats module|help module|list object|help ping publish pubsub|help role \
    script|help slowlog|get slowlog|help slowlog|len time xgroup|help xinfo|help";

impl Worker {
    /// One request of a session whose database is a cluster, outside of a transaction.
    pub(in super::super) fn request_in_cluster<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        class: Class,
        now: Instant,
    ) -> Flow {
        let Some(session) = self.sessions.get(id) else { return Flow::Done };
        let (bound, settled) = (session.is_bound(), session.is_settled());
        if !settled
            && (bound || matches!(session.via, Via::Pinned(_)))
            && !matches!(class, Class::Unsubscribe(_))
            && !bound
        {
            return Flow::Wait(Stall::Barrier);
        }
        match class {
            Class::Answer(answer) => return self.answer_in_cluster(id, input, request, answer, now),
            Class::Abuse => {
                self.close_client(id, Closed::CrossProtocol);
                return Flow::Done;
            }
            Class::Control | Class::Wait | Class::Pin(Why::Connection | Why::Stream | Why::Answers) => {
                return self.refuse_in_cluster(id, input, request);
            }
            _ => {}
        }
        let keys = self.keys_of(id, input.bytes(), request, class);
        let place = keys.place(input.bytes(), request);
        if keys == Keys::None
            && matches!(class, Class::Share | Class::Script)
            && let Some(flow) = self.request_without_key(id, input, request, bound, now)
        {
            return flow;
        }
        let to = match place {
            Placement::Slot(slot) => To::Slot(slot),
            Placement::Anywhere => To::Any,
            Placement::Crossed => return self.refuse_words(id, input, request, CROSSED),
        };
        match class {
            _ if bound => self.request_pinned(id, input, request, class, now),
            Class::Share | Class::Script if request.len <= self.limits.shared_request_bytes_max => {
                self.request_in_flight(id, input, request, (to, class), now)
            }
            Class::Transaction(Tx::Exec | Tx::Discard | Tx::Unwatch) => {
                // Outside of a transaction they change nothing.
                self.fly(id, input, request.len, (To::Any, false), now)
            }
            Class::Transaction(Tx::Multi) if request.argc == 1 => {
                let to = self.key_behind(id, input.bytes(), request).unwrap_or(to);
                self.request_at_node(id, input, request, (to, class), now)
            }
            Class::Pin(Why::Block | Why::Unknown) => self.fly_pinned(id, input, request, (to, class), now),
            _ => self.request_at_node(id, input, request, (to, class), now),
        }
    }

    /// Where the request's keys are. Of a command that nobody knows yet the first argument is
    /// taken for a key: where it is not, the node says so, and where the command belongs.
    pub(super) fn keys_of(&self, id: SessionId, input: &[u8], request: &Request, class: Class) -> Keys {
        let told = || {
            let lane = self.sessions.get(id)?.lane;
            self.lanes[lane].learned.keys(&input[request.name.clone()])
        };
        match self.commands.keys(input, request).or_else(told) {
            Some(keys) => keys,
            None if class == Class::Pin(Why::Unknown) && request.argc > 1 => Keys::told(1, 1, 1),
            None => Keys::None,
        }
    }

    /// A command that names no key: for any node, for all of them, or for none.
    fn request_without_key<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        bound: bool,
        _now: Instant,
    ) -> Option<Flow> {
        let name = self.commands.name(input.bytes(), request)?;
        if ANYWHERE.split_whitespace().any(|own| own == name) {
            return None;
        }
        let _ = bound;
        Some(self.refuse_in_cluster(id, input, request))
    }

    fn request_in_flight<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        (to, class): (To, Class),
        now: Instant,
    ) -> Flow {
        if class != Class::Script {
            return self.fly(id, input, request.len, (to, false), now);
        }
        if let Err(stall) = self.may_fly(id) {
            return Flow::Wait(stall);
        }
        // Whether a script may share a link is known after its lane's first greeting.
        let Some(lane) = self.node_to(id, to).and_then(|node| self.lane_at(id, node)) else {
            return self.refuse_words(id, input, request, DOWN);
        };
        let refusal = self.sessions.get_mut(id).and_then(|session| session.lane_refusal.take());
        if self.lanes[lane].server.is_none() && refusal.is_none() {
            return Flow::Wait(self.await_lane(id, lane, now));
        }
        if refusal.is_none() && !self.lanes[lane].fences {
            return self.request_at_node(id, input, request, (to, class), now);
        }
        self.fly(id, input, request.len, (to, true), now)
    }

    fn answer_in_cluster<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        answer: Answer,
        now: Instant,
    ) -> Flow {
        match answer {
            Answer::Select => match arguments(input, request)[..] {
                [_, b"0"] => {}
                [_, _] => return self.refuse_words(id, input, request, ONE_DATABASE),
                _ => {}
            },
            // The one node that the client knows has every slot.
            Answer::NotClustered if request.argc == 1 => {
                self.answer_bytes(id, b"+OK\r\n".to_vec());
                input.skip(request.len);
                return Flow::Done;
            }
            Answer::Hello => self.leave_failing_node(id),
            _ => {}
        }
        self.answer_here(id, input, request, answer, now)
    }

    fn refuse_in_cluster<I: Input>(&mut self, id: SessionId, input: &mut I, request: &Request) -> Flow {
        let name = self.commands.name(input.bytes(), request).unwrap_or_default();
        let name = name.replace('|', " ").to_uppercase();
        let text = format!("ERR respgate: {name} is for one server, and behind this endpoint is a cluster");
        self.refuse_words(id, input, request, &text)
    }

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
}
