//! Reads of users whose `read_from` leads to replicas: to which one, and when to the master after all.
//! What may change something, or lives in a connection, never comes here.
//!
//! Moving between the master and a replica is a barrier, as any other: replies keep their order.

use std::time::Instant;

use super::Worker;
use super::input::Input;
use super::requests::Flow;
use crate::command::Class;
use crate::identity::ReadFrom;
use crate::resp::Request;
use crate::session::{Session, SessionId, Stall, Via};
use crate::upstream::{LaneId, NodeId, Replica};

/// Nothing else may answer it.
const NO_REPLICA: &str = "ERR respgate: no replica within its lag, command not sent";

/// Nor do those that may: they are away, or refuse the user.
const NONE_USABLE: &str = "ERR respgate: no replica within its lag can be used, command not sent";

impl Worker {
    /// One request of a session that reads from replicas; nothing if it is for the master.
    pub(super) fn request_of_reader<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        class: Class,
        now: Instant,
    ) -> Option<Flow> {
        let session = self.sessions.get(id)?;
        let on_pinned = session.is_bound() || matches!(session.via, Via::Pinned(_));
        let shares = matches!(class, Class::Share | Class::Script) && !on_pinned;
        let is_small = request.len <= self.limits.shared_request_bytes_max;
        let only = session.reads == ReadFrom::Replica;
        if !shares || !is_small || !self.commands.reads(input.bytes(), request) {
            return None;
        }
        let lane = match self.lane_to_read(id, class, only, now) {
            Ok(Some(lane)) => lane,
            Ok(None) if only => {
                let why = if self.is_some_in_step(id) { NONE_USABLE } else { NO_REPLICA };
                return Some(self.refuse_words(id, input, request, why));
            }
            Ok(None) => return None,
            Err(stall) => return Some(Flow::Wait(stall)),
        };
        let flow = self.place(id, input, request.len, |worker| worker.shared_link_in(id, lane, now), now);
        if class == Class::Script && flow == Flow::Done {
            self.fence_after(id, now);
        }
        Some(flow)
    }

    /// The session's lane at a replica. Who may read from the master does not wait for one to be connected.
    fn lane_to_read(
        &mut self,
        id: SessionId,
        class: Class,
        only: bool,
        now: Instant,
    ) -> Result<Option<LaneId>, Stall> {
        self.keep_ways(id)?;
        // Nothing but a read that has waited for a replica's first greeting leaves one here.
        let refusal = self.sessions.get_mut(id).filter(|_| only).and_then(|it| it.lane_refusal.take());
        let (lane, is_new) = loop {
            let ways = |it: &Session| it.routes.ways.len();
            let before = self.sessions.get(id).map(ways);
            let Some(lane) = self.replica_of(id).and_then(|node| self.lane_at(id, node)) else {
                return Ok(None);
            };
            // One that fails is left out from now on, since there is a way to it.
            if !self.lanes[lane].backoff.is_failing() {
                break (lane, self.sessions.get(id).map(ways) > before);
            }
        };
        if only && self.lanes[lane].server.is_none() {
            // Whoever has waited in vain waits for another one alone.
            let may_wait = is_new || refusal.is_none();
            return if may_wait { Err(self.await_lane(id, lane, now)) } else { Ok(None) };
        }
        let link = self.pick_shared_in(id, lane, now);
        let is_ready = self.links.get(link).is_some_and(|link| link.is_ready());
        Ok(((is_ready || only) && self.scripts_may_share(class, lane)).then_some(lane))
    }

    /// Which of its database's replicas a session reads from: of those that may be asked always the same. One
    /// that refuses its user is tried again without it, for as long as there is a way to it.
    fn replica_of(&self, id: SessionId) -> Option<NodeId> {
        let session = self.sessions.get(id)?;
        let database = self.nodes.database(session.database)?;
        let answers = |node: NodeId| {
            self.nodes.get(node).is_none_or(|node| !node.circuit.is_open() && node.not_now.is_none())
        };
        let refuses = |node: NodeId| {
            let way = session.routes.ways.iter().find(|way| way.node == node);
            way.is_some_and(|way| self.lanes[way.lane].backoff.is_failing())
        };
        let may_be_asked = |it: &&Replica| it.is_in_step && answers(it.node) && !refuses(it.node);
        let usable = || database.replicas.iter().filter(may_be_asked);
        let count = usable().count().max(1);
        usable().nth(id.index as usize % count).map(|it| it.node)
    }

    /// Whether some replica of its database could be read from, if it were there and let the user in.
    fn is_some_in_step(&self, id: SessionId) -> bool {
        let database = self.sessions.get(id).and_then(|session| self.nodes.database(session.database));
        database.is_some_and(|database| database.replicas.iter().any(|it| it.is_in_step))
    }

    /// The ways to replicas are those of the lane that the session is in, and to nodes that are there.
    fn keep_ways(&mut self, id: SessionId) -> Result<(), Stall> {
        let Some(session) = self.sessions.get(id) else { return Err(Stall::Barrier) };
        let replicas = self.nodes.database(session.database).map(|database| &database.replicas);
        let is_there = |node: NodeId| replicas.is_some_and(|all| all.iter().any(|it| it.node == node));
        if session.routes.epoch != 0 && session.routes.ways.iter().all(|way| is_there(way.node)) {
            return Ok(());
        }
        if !session.is_settled() {
            return Err(Stall::Barrier);
        }
        self.forget_routes(id);
        if let Some(session) = self.sessions.get_mut(id) {
            session.routes.epoch = 1;
        }
        Ok(())
    }
}
