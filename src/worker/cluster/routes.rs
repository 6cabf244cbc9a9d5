//! To which node a request goes, over which of its links, and whether it may go now: what comes
//! later in a session must not overtake what came before it to the same slot.

use std::time::Instant;

use super::super::Worker;
use crate::session::{Route, SessionId, Stall, To, Via};
use crate::upstream::{LaneId, LaneKey, LinkId, NodeId};

impl Worker {
    /// Whether the session's next request may be sent beside those under way.
    pub(super) fn may_fly(&mut self, id: SessionId) -> Result<(), Stall> {
        let (epoch, most) = (self.clusters.epoch, self.limits.link_queue_bytes_max);
        let Some(session) = self.sessions.get_mut(id) else { return Err(Stall::Barrier) };
        if session.is_settled() {
            if session.routes.epoch != epoch {
                session.routes.epoch = epoch;
                self.forget_routes(id);
            }
            return Ok(());
        }
        if session.via != Via::Nodes || session.routes.epoch != epoch || session.slots.has_astray() {
            return Err(Stall::Barrier);
        }
        if session.slots.kept_bytes() > most { Err(Stall::InFlight) } else { Ok(()) }
    }

    /// The node that is to answer, if there is one.
    pub(super) fn node_to(&self, id: SessionId, to: To) -> Option<NodeId> {
        let session = self.sessions.get(id)?;
        match to {
            To::Node(node) => Some(node),
            To::Slot(slot) => self.clusters.map(session.database)?.node(slot),
            To::Any => self.any_master(id),
        }
    }

    /// A master that answers, the same one for as long as it does; before there is a map, the
    /// database's first node.
    pub(super) fn any_master(&self, id: SessionId) -> Option<NodeId> {
        let session = self.sessions.get(id)?;
        let masters: Vec<NodeId> =
            self.clusters.map(session.database)?.masters().map(|member| member.id).collect();
        let count = masters.len().max(1);
        let from = id.index as usize % count;
        let in_turn = || masters.iter().cycle().skip(from).take(masters.len()).copied();
        let answers = |node: &NodeId| !self.is_node_failing(*node);
        let chosen = in_turn().find(answers).or_else(|| in_turn().next());
        chosen.or_else(|| Some(self.nodes.database(session.database)?.node))
    }

    pub(super) fn is_node_failing(&self, node: NodeId) -> bool {
        self.nodes.get(node).is_some_and(|node| node.circuit.is_open())
    }

    /// The session's lane at a node.
    pub(in super::super) fn lane_at(&mut self, id: SessionId, node: NodeId) -> Option<LaneId> {
        let session = self.sessions.get(id)?;
        if let Some(route) = session.routes.ways.iter().find(|route| route.node == node) {
            return Some(route.lane);
        }
        let key = LaneKey { node, ..self.lanes[session.lane].key.clone() };
        let lane = self.lane(key);
        self.lanes[lane].sessions += 1;
        self.sessions.get_mut(id)?.routes.ways.push(Route { node, lane, link: None });
        Some(lane)
    }

    /// The link for the session's next request in one of its lanes.
    pub(super) fn link_in(&mut self, id: SessionId, lane: LaneId, now: Instant) -> Result<LinkId, Stall> {
        let Some(session) = self.sessions.get(id) else { return Err(Stall::Barrier) };
        let known = session.routes.ways.iter().find(|route| route.lane == lane).and_then(|route| route.link);
        match known.and_then(|known| Some((known, self.links.get(known)?))) {
            Some((known, link)) if link.may_share(id) => return Ok(known),
            // Its replies are still to come, and those of another link could come before them.
            Some(_) if !session.is_settled() => return Err(Stall::Barrier),
            _ => {}
        }
        let link = self.pick_shared_in(id, lane, now);
        if let Some(session) = self.sessions.get_mut(id)
            && let Some(route) = session.routes.ways.iter_mut().find(|route| route.lane == lane)
        {
            route.link = Some(link);
        }
        Ok(link)
    }

    /// Gives up the session's ways; it awaits nothing by them, or goes on by others afterwards.
    pub(in super::super) fn forget_routes(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        for route in std::mem::take(&mut session.routes.ways) {
            self.lanes[route.lane].sessions -= 1;
            self.release_lane(route.lane);
        }
    }
}
