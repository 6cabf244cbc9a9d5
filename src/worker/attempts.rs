//! When a link may be connected: at once where the node works, so many at a time; one after the
//! other where it does not. Decides by the node's circuit and by what its lane has been told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Loss, Report, Step, Worker};
use crate::session::LaneRefusal;
use crate::upstream::{GreetError, LaneId, Link, LinkId, LinkRole, NodeId, Phase, Trouble};

impl Worker {
    /// Connects a new link, or has it wait for its turn.
    pub(super) fn connect_in_turn(&mut self, id: LinkId, now: Instant) {
        self.try_connect(id, now);
        if let Some(link) = self.links.get(id).filter(|link| link.is_waiting()) {
            self.nodes.of(self.lanes[link.lane].key.node).queue.push_back(id);
        }
    }

    /// Connects a waiting link if that may be done now.
    pub(super) fn try_connect(&mut self, id: LinkId, now: Instant) {
        let most = self.share_of(self.limits.connecting_links_max).max(1);
        let Some(link) = self.links.get(id) else { return };
        let lane = &self.lanes[link.lane];
        let node = self.nodes.of(lane.key.node);
        // What waits on a node that fails is answered soon, and the attempt must outlast that.
        let may_try = !node.circuit.is_open() || link.role == LinkRole::Shared;
        if link.is_waiting() && may_try && node.connecting < most {
            self.connect(id, now);
        }
    }

    /// The same, whoever it is for.
    pub(super) fn connect(&mut self, id: LinkId, now: Instant) {
        let workers = self.workers();
        let Some(link) = self.links.get_mut(id) else { return };
        let lane = &self.lanes[link.lane];
        let node = self.nodes.of(lane.key.node);
        let is_known = lane.key.credential.secret(&self.kept).is_some();
        if !is_known || !lane.backoff.allows(now) || !node.circuit.allows(now) {
            return;
        }
        node.circuit.tries(id, now, &self.limits, workers);
        node.connecting += 1;
        link.phase = Phase::Connecting;
        link.opened_at = now;
        self.tally.links_opened += 1;
        self.steps.push(Step::Connect(id));
    }

    /// A link has answered for the first time: so does its node.
    pub(super) fn node_answered(&mut self, id: NodeId, now: Instant) {
        let node = self.nodes.of(id);
        if node.circuit.is_closed() {
            return;
        }
        let before = node.trouble.take();
        let probe = node.probe_lane.take();
        if node.circuit.succeeded() {
            let after = before.map_or(Duration::ZERO, |it| now.saturating_duration_since(it.since));
            self.steps.push(Step::Report(Report::NodeBack { node: id, after }));
            self.tell_of_node(id);
        }
        self.connect_waiting(now);
        if let Some(lane) = probe {
            self.let_go(lane);
        }
    }

    /// Connects whatever waits, in turn.
    pub(super) fn connect_waiting(&mut self, now: Instant) {
        self.nodes.clear_queues();
        for id in self.links.keys() {
            if self.links.get(id).is_some_and(Link::is_waiting) {
                self.connect_in_turn(id, now);
            }
        }
    }

    /// A lane has been greeted, or at least its Redis user accepted.
    pub(super) fn lane_answered(&mut self, id: LaneId) {
        let refused = self.take_refused_lane(id);
        let lane = &mut self.lanes[id];
        if lane.backoff.is_failing() || refused.is_some() {
            let (node, redis_user) = (lane.key.node, lane.key.credential.redis_user.clone());
            self.steps.push(Step::Report(Report::UserBack { node, redis_user }));
        }
        lane.backoff.succeeded();
        (lane.trouble, lane.tried_at) = (None, None);
        if let Some(refused) = refused {
            self.let_go(refused);
        }
    }

    /// Connects those whose turn it is, as many as may be under way at a time.
    pub(super) fn connect_next(&mut self, id: NodeId, now: Instant) {
        let most = self.share_of(self.limits.connecting_links_max).max(1);
        while self.nodes.of(id).connecting < most
            && let Some(next) = self.nodes.of(id).queue.pop_front()
        {
            self.try_connect(next, now);
        }
    }

    /// A link that is not connected: whether what waits on it has waited for long enough.
    pub(super) fn tick_unconnected_link(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.links.get(id) else { return };
        let past = |at: Instant, ms: u64| now.saturating_duration_since(at) >= Duration::from_millis(ms);
        let limits = &self.limits;
        let lane = &self.lanes[link.lane];
        let fails = lane.backoff.is_failing() || self.nodes.of(lane.key.node).circuit.is_open();
        let is_idle = link.pending.is_empty() && lane.waiters.is_empty();
        let patience = if fails { limits.fail_fast_ms } else { limits.connect_timeout_ms };
        let is_late = !is_idle && past(link.progress_at, patience);
        if link.is_waiting() {
            if is_late {
                let is_known = lane.key.credential.secret(&self.kept).is_some();
                self.lose_link(id, if is_known { Loss::FailFast } else { Loss::NoPassword }, now);
            } else {
                self.try_connect(id, now);
            }
        } else if past(link.opened_at, limits.connect_timeout_ms) {
            self.lose_link(id, Loss::ConnectTimeout, now);
        } else if is_late && link.role == LinkRole::Shared {
            self.shed_requests(id, now);
        }
    }

    /// What waits for a link that tries a failing node is answered; the attempt goes on.
    fn shed_requests(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.links.get_mut(id) else { return };
        let (shed, waiters, lane) = (link.shed(), std::mem::take(&mut link.waiters), link.lane);
        self.refuse_waiters(lane, &LaneRefusal::Unavailable);
        let key = &self.lanes[lane].key;
        let (node, redis_user) = (key.node, key.credential.redis_user.clone());
        let (loss, in_flight) = (Loss::FailFast, shed.in_flight);
        self.steps.push(Step::Report(Report::LinkLost { node, redis_user, loss, in_flight }));
        self.fail_requests(&shed, true, now);
        self.ready.extend(waiters);
    }

    /// Notes what the loss of a link says of its node, or of its lane.
    pub(super) fn note_failure(&mut self, link: &Link, loss: &Loss, now: Instant) {
        use rand_chacha::rand_core::Rng;
        let random = self.random.next_u64();
        let lane = &mut self.lanes[link.lane];
        let node = self.nodes.of(lane.key.node);
        let Some(cause) = loss.cause() else { return };
        match loss {
            Loss::NoResources(_) => {}
            Loss::Closed | Loss::Io(_) | Loss::OpTimeout if link.is_ready() => {
                node.circuit.suspect();
            }
            // Before Ready, the connection as such may be what fails; or something else is in its place.
            Loss::NoMaster
            | Loss::Connect(_)
            | Loss::Tls(_)
            | Loss::ConnectTimeout
            | Loss::Closed
            | Loss::Io(_)
            | Loss::Greeting(GreetError::Role { .. }) => {
                node.circuit.failed(now, &self.limits, random);
                Trouble::note(&mut node.trouble, cause, loss.to_string(), now);
                let (node, credential) = (lane.key.node, Arc::clone(&lane.key.credential));
                if self.nodes.of(node).probe_lane.is_none() && self.is_configured(node, &credential) {
                    self.probe_as(node, credential);
                }
            }
            _ if !link.is_ready() => {
                lane.backoff.failed(now, &self.limits, random);
                lane.tried_at = Some(now);
                Trouble::note(&mut lane.trouble, cause, loss.to_string(), now);
                self.keep_refused_lane(link.lane, cause);
            }
            _ => {}
        }
    }
}
