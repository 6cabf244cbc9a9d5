//! What is tried although no client asks for it: nodes that fail, and Redis users that are refused. What
//! is told of them would else stay as it is when the last client has left, and whoever sends clients by
//! what is told would send none.
//!
//! Each is tried by a lane that a place of its own among the lane's sessions keeps: one of a node, and
//! one of each Redis user of the configuration that it refuses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Worker;
use crate::identity::Credential;
use crate::resp::Proto;
use crate::upstream::{Cause, Lane, LaneId, LaneKey, Link, NodeId};

impl Worker {
    /// A connection to a node has failed at that time: whether it has answered over another link
    /// since, or may be tried again.
    pub(super) fn try_node(&mut self, id: NodeId, failed_at: Instant, now: Instant) {
        let is_there = |link: &Link| link.is_ready() && self.lanes[link.lane].key.node == id;
        if self.links.iter().any(|(_, link)| is_there(link) && link.heard_at > Some(failed_at)) {
            self.nodes.of(id).circuit.answered_another();
        }
        self.probe_node(id, now);
    }

    /// Tries a failing node even where no client asks for it.
    fn probe_node(&mut self, id: NodeId, now: Instant) {
        if !self.nodes.of(id).circuit.allows(now) {
            return;
        }
        let probe = self.probe_lane(id);
        let is_at_it = |lane: LaneId| self.lanes[lane].key.node == id && self.lanes[lane].backoff.allows(now);
        let waits = |link: &Link| link.is_waiting() && is_at_it(link.lane);
        let waiting = self.links.iter().find(|(_, link)| waits(link)).map(|(id, link)| (id, link.lane));
        let lane = waiting.map(|(_, lane)| lane).or_else(|| probe.filter(|&lane| is_at_it(lane)));
        let Some(lane) = lane else { return };
        match (self.lanes[lane].shared.first(), waiting) {
            (None, _) => {
                self.open_shared(lane, now);
            }
            (Some(&shared), _) if self.links.get(shared).is_some_and(Link::is_waiting) => {
                self.connect(shared, now);
            }
            // The lane has a link that works: it is enough to try another.
            (Some(_), Some((link, _))) => self.connect(link, now),
            // Its answer shows that the node is there.
            (Some(&shared), None) => {
                if self.links.get(shared).is_some_and(|link| link.pending.is_empty()) {
                    self.ask_how_it_is(shared, now);
                }
            }
        }
    }

    /// Another worker has been answered by a node.
    pub(super) fn hear_of_node(&mut self, id: NodeId, now: Instant) {
        if self.nodes.get(id).is_some_and(|node| node.circuit.is_open()) {
            self.nodes.of(id).circuit.hear_of_success();
            self.probe_node(id, now);
        }
    }

    /// The lane by which a node is tried without demand. If its Redis user is refused, which says nothing of
    /// what the node has become, another one has its turn.
    fn probe_lane(&mut self, id: NodeId) -> Option<LaneId> {
        let probe = self.nodes.of(id).probe_lane;
        if probe.is_none_or(|lane| self.lanes[lane].backoff.is_failing())
            && let Some(credential) = self.somebody_at(id)
        {
            self.probe_as(id, credential);
        }
        self.nodes.of(id).probe_lane
    }

    /// Somebody of the configuration whose password is known, and whom this node is not known to refuse.
    pub(super) fn somebody_at(&self, id: NodeId) -> Option<Arc<Credential>> {
        let failing = |it: &Arc<Credential>| {
            let mut lanes = self.lanes.iter().filter(|(_, lane)| lane.backoff.is_failing());
            lanes.any(|(_, lane)| lane.key.is_of(id, it))
        };
        let mut all = self.nodes.credentials(id).into_iter().flat_map(|all| all.values());
        all.find(|it| it.secret(&self.kept).is_some() && !failing(it)).map(Arc::clone)
    }

    /// Has a node tried as this user.
    pub(super) fn probe_as(&mut self, node: NodeId, credential: Arc<Credential>) {
        // Of that user's lanes the one that is the least likely to be refused for anything else.
        let lane = self.lane(LaneKey { node, credential, proto: Proto::Resp2, db: 0 });
        self.lanes[lane].sessions += 1;
        if let Some(last) = self.nodes.of(node).probe_lane.replace(lane) {
            self.let_go(last);
        }
    }

    /// Whether a node's clients may speak by this.
    pub(super) fn is_configured(&self, node: NodeId, credential: &Arc<Credential>) -> bool {
        let known = self.nodes.credentials(node).and_then(|all| all.get(&credential.redis_user));
        known.is_some_and(|known| known == credential)
    }

    /// A lane could not be greeted: it stays, so that its Redis user is tried whoever leaves. What was not about
    /// the user may be about the lane's database or protocol version.
    pub(super) fn keep_refused_lane(&mut self, id: LaneId, cause: Cause) {
        let LaneKey { node, credential, proto, db } = self.lanes[id].key.clone();
        let is_of_user = matches!(cause, Cause::Auth | Cause::NoPassword) || (proto, db) == (Proto::Resp2, 0);
        let is_kept = self.nodes.of(node).refused.contains_key(&credential.redis_user);
        if is_of_user && !is_kept && self.is_configured(node, &credential) {
            self.lanes[id].sessions += 1;
            self.nodes.of(node).refused.insert(credential.redis_user.clone(), id);
        }
    }

    /// The lane that is kept for the Redis user of this one, who is refused no more.
    pub(super) fn take_refused_lane(&mut self, id: LaneId) -> Option<LaneId> {
        let LaneKey { node, credential, .. } = &self.lanes[id].key;
        let refused = &mut self.nodes.of(*node).refused;
        let kept = refused.get(&credential.redis_user);
        kept.filter(|&&kept| self.lanes[kept].key.is_of(*node, credential))?;
        refused.remove(&credential.redis_user)
    }

    /// Somebody who has kept a lane needs it no more.
    pub(super) fn let_go(&mut self, lane: LaneId) {
        self.lanes[lane].sessions -= 1;
        self.release_lane(lane);
    }

    /// The nodes or their users may be others from now on.
    pub(super) fn renew_probes(&mut self, now: Instant) {
        for id in self.nodes.ids() {
            let probe = self.nodes.of(id).probe_lane;
            if let Some(lane) = probe.filter(|&lane| !self.is_lane_configured(lane)) {
                self.nodes.of(id).probe_lane = None;
                self.let_go(lane);
            }
            let refused = self.nodes.of(id).refused.clone();
            for (redis_user, lane) in refused {
                if !self.is_lane_configured(lane) {
                    self.renew_refused_lane(id, &redis_user, now);
                }
            }
        }
    }

    fn is_lane_configured(&self, id: LaneId) -> bool {
        let key = &self.lanes[id].key;
        self.is_configured(key.node, &key.credential)
    }

    /// A Redis user that is refused has another password, which is tried at once, or is there no more.
    fn renew_refused_lane(&mut self, node: NodeId, redis_user: &str, now: Instant) {
        let renewed = self.nodes.credentials(node).and_then(|all| all.get(redis_user)).map(Arc::clone);
        if let Some(last) = self.nodes.of(node).refused.remove(redis_user) {
            self.let_go(last);
        }
        if let Some(credential) = renewed {
            let lane = self.lane_of(LaneKey { node, credential, proto: Proto::Resp2, db: 0 });
            self.lanes[lane].sessions += 1;
            self.lanes[lane].tried_at = Some(now);
            self.nodes.of(node).refused.insert(redis_user.to_owned(), lane);
            if self.lanes[lane].shared.is_empty() {
                self.open_shared(lane, now);
            }
        }
    }

    /// Lanes that could not be greeted are tried now and then even where nobody asks for them,
    /// so that what is told of them stays true.
    pub(super) fn try_refused_lanes(&mut self, now: Instant) {
        let wait = Duration::from_millis(self.limits.probe_interval_ms);
        let is_due = |lane: &Lane| {
            let since = lane.tried_at.map(|at| now.saturating_duration_since(at));
            lane.links == 0 && since.is_some_and(|since| since >= wait)
        };
        let due: Vec<LaneId> = self.lanes.iter().filter(|(_, lane)| is_due(lane)).map(|(id, _)| id).collect();
        for lane in due {
            self.open_shared(lane, now);
        }
    }
}
