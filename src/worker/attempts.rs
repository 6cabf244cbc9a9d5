//! When a link may be connected: at once where the node works, so many at a time; one after the
//! other where it does not. Decides by the node's circuit and by what its lane has been told.

use std::time::{Duration, Instant};

use super::{Loss, Report, Step, Worker};
use crate::session::LaneRefusal;
use crate::upstream::{GreetError, Lane, LaneId, Link, LinkId, LinkRole, NodeId, Phase, Trouble};

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
    fn connect(&mut self, id: LinkId, now: Instant) {
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
        let node = self.nodes.of(id);
        if !node.circuit.allows(now) {
            return;
        }
        let last = node.probe_lane;
        let is_at_it = |lane: LaneId| self.lanes[lane].key.node == id && self.lanes[lane].backoff.allows(now);
        let waits = |link: &Link| link.is_waiting() && is_at_it(link.lane);
        let waiting = self.links.iter().find(|(_, link)| waits(link)).map(|(id, link)| (id, link.lane));
        let lane = waiting.map(|(_, lane)| lane).or_else(|| last.filter(|&lane| is_at_it(lane)));
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

    /// A link has answered for the first time: so does its node.
    pub(super) fn node_answered(&mut self, id: NodeId, now: Instant) {
        let node = self.nodes.of(id);
        if node.circuit.is_closed() {
            return;
        }
        let before = node.trouble.take();
        if node.circuit.succeeded() {
            let after = before.map_or(Duration::ZERO, |it| now.saturating_duration_since(it.since));
            self.steps.push(Step::Report(Report::NodeBack { node: id, after }));
            self.tell_of_node(id);
        }
        self.connect_waiting(now);
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

    /// A lane has been greeted.
    pub(super) fn lane_answered(&mut self, id: LaneId) {
        let lane = &mut self.lanes[id];
        if lane.backoff.is_failing() {
            let (node, redis_user) = (lane.key.node, lane.key.credential.redis_user.clone());
            self.steps.push(Step::Report(Report::UserBack { node, redis_user }));
        }
        lane.backoff.succeeded();
        lane.trouble = None;
    }

    /// Lanes that could not be greeted are tried now and then even where nobody asks for them,
    /// so that what is told of them stays true.
    pub(super) fn try_refused_lanes(&mut self, now: Instant) {
        let wait = Duration::from_millis(self.limits.probe_interval_ms);
        let is_due = |lane: &Lane| {
            let since = lane.tried_at.map(|at| now.saturating_duration_since(at));
            lane.links == 0 && lane.backoff.is_failing() && since.is_some_and(|since| since >= wait)
        };
        let due: Vec<LaneId> = self.lanes.iter().filter(|(_, lane)| is_due(lane)).map(|(id, _)| id).collect();
        for lane in due {
            self.open_shared(lane, now);
        }
    }

    /// Another worker has been answered by a node.
    pub(super) fn hear_of_node(&mut self, id: NodeId, now: Instant) {
        if self.nodes.get(id).is_some_and(|node| node.circuit.is_open()) {
            self.nodes.of(id).circuit.hear_of_success();
            self.probe_node(id, now);
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
                node.probe_lane = Some(link.lane);
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
                node.probe_lane = Some(link.lane);
                Trouble::note(&mut node.trouble, cause, loss.to_string(), now);
            }
            _ if !link.is_ready() => {
                lane.backoff.failed(now, &self.limits, random);
                lane.tried_at = Some(now);
                Trouble::note(&mut lane.trouble, cause, loss.to_string(), now);
            }
            _ => {}
        }
    }
}
