//! Which way a request of a cluster's client goes: to the node of its slot, to any, to all, or
//! nowhere. What would mean one server, where there are many, is refused rather than answered wrong.

use std::time::Instant;

use bytes::Bytes;

use super::super::input::Input;
use super::super::requests::{Flow, arguments};
use super::super::{Closed, Worker};
use super::about::{self, About};
use super::flights::DOWN;
use super::scatter;
use crate::command::{Answer, Class, Keys, Placement, Tx, Why};
use crate::resp::{Request, long};
use crate::session::{Flight, Joined, SessionId, Stall, To, scan};
use crate::upstream::NodeId;

/// Redis' own words.
pub(super) const CROSSED: &str = "CROSSSLOT Keys in request don't hash to the same slot";
/// Nothing shows that the connections that others use as well are in step behind it.
const UNPROVEN: &str = "ERR respgate: with a cluster this needs a Redis user that may ECHO";

pub(in super::super) const ONE_DATABASE: &str = "ERR SELECT is not allowed in cluster mode";

/// Commands without keys whose answer any node may give.
const ANYWHERE: &str = "acl|cat acl|dryrun acl|genpass acl|getuser acl|help acl|list acl|users acl|whoami \
    client|help client|list command| command|count command|docs command|getkeys command|getkeysandflags command|help \
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
        let bound = session.is_bound();
        match class {
            Class::Answer(answer) => return self.answer_in_cluster(id, input, request, answer, now),
            Class::Abuse => {
                self.close_client(id, Closed::CrossProtocol);
                return Flow::Done;
            }
            // In RESP2's subscribed mode the server refuses what may not be.
            _ if self.is_modal(id) => return self.request_pinned(id, input, request, class, now),
            _ if self.is_for_one_server(input.bytes(), request, class) => {
                return self.refuse_in_cluster(id, input, request);
            }
            _ => {}
        }
        let keys = self.keys_of(id, input.bytes(), request, class);
        let shares = matches!(class, Class::Share | Class::Script);
        let place = keys.place(input.bytes(), request);
        if (shares || class == Class::Control)
            && let Some(flow) = self.request_to_many(id, input, request, (class, place), now)
        {
            return flow;
        }
        let to = match place {
            Placement::Slot(slot) => To::Slot(slot),
            Placement::Anywhere => To::Any,
            Placement::Crossed => return self.refuse_words(id, input, request, CROSSED),
        };
        match class {
            _ if shares && request.len <= self.limits.shared_request_bytes_max => {
                self.request_in_flight(id, input, request, (to, class), now)
            }
            _ if bound => self.request_pinned(id, input, request, class, now),
            Class::Transaction(Tx::Exec | Tx::Discard | Tx::Unwatch) => {
                // Outside of a transaction they change nothing.
                self.fly(id, input, request.len, (To::Any, false), now)
            }
            Class::Transaction(Tx::Multi) if request.argc == 1 => {
                let to = self.key_behind(id, input.bytes(), request).unwrap_or(to);
                self.request_at_node(id, input, request, (to, class), now)
            }
            Class::Share | Class::Script | Class::Pin(Why::Block | Why::Unknown) => {
                self.fly_pinned(id, input, request, (to, class), now)
            }
            _ => self.request_at_node(id, input, request, (to, class), now),
        }
    }

    /// Whether a command is about one server, or about its own connection, and there is no such one.
    pub(in super::super) fn is_for_one_server(&self, input: &[u8], request: &Request, class: Class) -> bool {
        match class {
            Class::Wait | Class::Pin(Why::Connection | Why::Stream | Why::Answers) => true,
            Class::Control => {
                let name = self.commands.name(input, request);
                name.is_none_or(|name| scatter::spreads(name).is_none())
            }
            Class::Share | Class::Script => {
                let name = self.commands.name(input, request);
                name.is_some_and(|name| {
                    self.commands.keys(input, request) == Some(Keys::None)
                        && !name.starts_with("cluster|")
                        && name != "scan"
                        && scatter::spreads(name).is_none()
                        && !ANYWHERE.split_whitespace().any(|own| own == name)
                })
            }
            _ => false,
        }
    }

    /// The same inside of a transaction, where a command cannot be for several nodes either.
    pub(in super::super) fn is_for_one_node(
        &self,
        id: SessionId,
        input: &[u8],
        request: &Request,
        class: Class,
    ) -> bool {
        let in_cluster = self.sessions.get(id).is_some_and(|it| self.clusters.map(it.database).is_some());
        let name = || self.commands.name(input, request).unwrap_or_default();
        in_cluster
            && (self.is_for_one_server(input, request, class)
                || name().starts_with("cluster|")
                || name() == "scan"
                || scatter::spreads(name()).is_some())
    }

    /// Whether this is for another database than a cluster's first. There the gateway leads nobody, although
    /// Valkey 9 can have more.
    pub(in super::super) fn is_for_another_database<I: Input>(
        &self,
        id: SessionId,
        input: &I,
        request: &Request,
        class: Class,
    ) -> bool {
        // What is no number is refused in the words for that.
        let is_another = |db: &[u8]| long(db).is_some_and(|db| db != 0 && i32::try_from(db).is_ok());
        class == Class::Answer(Answer::Select)
            && self.sessions.get(id).is_some_and(|it| self.clusters.map(it.database).is_some())
            && matches!(arguments(input, request)[..], [_, db] if is_another(db))
    }

    /// A command for several nodes, or about the cluster.
    fn request_to_many<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        (class, place): (Class, Placement),
        now: Instant,
    ) -> Option<Flow> {
        let name = self.commands.name(input.bytes(), request)?;
        let args = || arguments(input, request);
        let (flights, joined) = if name.starts_with("cluster|") {
            return self.about_cluster(id, input, request, now);
        } else if let Some((step, joined)) = scatter::splits(name) {
            if place != Placement::Crossed {
                return None;
            }
            let whole = request.argc > step && (request.argc - 1).is_multiple_of(step);
            if !whole {
                let text = format!("ERR wrong number of arguments for '{name}' command");
                return Some(self.refuse_words(id, input, request, &text));
            }
            // Before it is split: it may have thousands of keys, and to wait more than once.
            if let Err(stall) = self.may_fly_to(id, scatter::targets(&args(), step), now) {
                return Some(Flow::Wait(stall));
            }
            let (flights, joined) = scatter::split(&args(), step, joined);
            self.fly_split(id, flights, joined, now);
            input.skip(request.len);
            return Some(Flow::Done);
        } else if name == "scan" {
            // Any node says what is wrong with a cursor that is no number.
            let cursor = args().get(1).and_then(|word| std::str::from_utf8(word).ok()?.parse().ok())?;
            let map = self.clusters.map(self.sessions.get(id)?.database)?;
            let Some(scan) = scan::resume(map, cursor) else {
                return Some(self.refuse_words(id, input, request, DOWN));
            };
            let bytes = scan::request(&args(), scan.cursor);
            (vec![Flight::new(bytes, To::Node(scan.node))], Joined::Scanned(scan.onward))
        } else if let Some(joined) = scatter::spreads(name) {
            let map = self.clusters.map(self.sessions.get(id)?.database)?;
            let mut nodes: Vec<NodeId> = map.serving().into_iter().map(|member| member.id).collect();
            if nodes.is_empty() {
                return Some(self.refuse_words(id, input, request, DOWN));
            }
            if joined == Joined::First {
                // Each of them is the first in its turn, or only one would ever be heard.
                let first = self.clusters.next_first();
                let count = nodes.len();
                nodes.rotate_left(first % count);
            }
            let bytes = Bytes::copy_from_slice(&input.bytes()[..request.len]);
            (scatter::spread(&bytes, &nodes, class), joined)
        } else {
            return None;
        };
        // What is about all keys must not overtake a request for one of them that a node may send elsewhere.
        if class != Class::Control && !self.sessions.get(id)?.is_settled() {
            return Some(Flow::Wait(Stall::Barrier));
        }
        let sharing = flights.iter().filter(|flight| !flight.is_control).map(|flight| flight.to);
        if let Err(stall) = self.may_fly_to(id, sharing, now) {
            return Some(Flow::Wait(stall));
        }
        for flight in flights.iter().filter(|flight| flight.is_script) {
            let To::Node(node) = flight.to else { continue };
            match self.proves_scripts(id, node, now) {
                Err(stall) => return Some(Flow::Wait(stall)),
                Ok(true) => {}
                Ok(false) => return Some(self.refuse_words(id, input, request, UNPROVEN)),
            }
        }
        self.fly_split(id, flights, joined, now);
        input.skip(request.len);
        Some(Flow::Done)
    }

    fn about_cluster<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        now: Instant,
    ) -> Option<Flow> {
        let session = self.sessions.get(id)?;
        let about = about::about(&arguments(input, request), &session.addresses.1, session.proto);
        Some(match about {
            About::Answer(reply) => {
                self.answer_bytes(id, reply);
                input.skip(request.len);
                Flow::Done
            }
            About::Slot(slot) => self.fly(id, input, request.len, (To::Slot(slot), false), now),
            About::Any => self.fly(id, input, request.len, (To::Any, false), now),
            About::Refuse => self.refuse_in_cluster(id, input, request),
        })
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
        let Some(node) = self.node_to(id, to) else {
            return self.refuse_words(id, input, request, DOWN);
        };
        match self.proves_scripts(id, node, now) {
            Err(stall) => Flow::Wait(stall),
            Ok(true) => self.fly(id, input, request.len, (to, true), now),
            Ok(false) => self.request_at_node(id, input, request, (to, class), now),
        }
    }

    /// Whether a script may share a link to a node, which is known after the lane's first greeting.
    /// Where that has failed the request fails there, too.
    fn proves_scripts(&mut self, id: SessionId, node: NodeId, now: Instant) -> Result<bool, Stall> {
        let Some(lane) = self.lane_at(id, node) else { return Ok(true) };
        let refusal = self.sessions.get_mut(id).and_then(|session| session.lane_refusal.take());
        if self.lanes[lane].server.is_none() && refusal.is_none() {
            return Err(self.await_lane(id, lane, now));
        }
        Ok(self.lanes[lane].fences)
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
            Answer::Select if self.is_for_another_database(id, input, request, Class::Answer(answer)) => {
                return self.refuse_words(id, input, request, ONE_DATABASE);
            }
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
}
