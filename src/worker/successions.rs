//! A Redis user's password has changed in the configuration. Until the backend has taken the new
//! one, sessions stay with the links that speak by the old: whoever has a working link loses nothing
//! by a password that is wrong, or that Redis is told only later. Then they all move, each when
//! its replies have arrived, and the links of the old password end with their last one.
//!
//! Knows no file and no reload: two credentials of one Redis user are all that it is told.

use std::sync::Arc;
use std::time::Instant;

use super::{Report, Step, Worker};
use crate::identity::Credential;
use crate::resp::Proto;
use crate::upstream::{LaneId, LaneKey, LinkId, LinkRole, NodeId};

/// The passwords of a worker that are being changed.
#[derive(Debug, Default)]
pub(super) struct Successions {
    tried: Vec<Succession>,
    /// Those that have been replaced, until no greeting with them is under way.
    superseded: Vec<(NodeId, Arc<Credential>)>,
}

/// Of two credentials of one Redis user, the one that works and the one that is tried.
#[derive(Debug)]
struct Succession {
    node: NodeId,
    old: Arc<Credential>,
    new: Arc<Credential>,
    /// The lane in which the new one is tried, kept by a place of its own among its sessions.
    lane: LaneId,
    is_told: bool,
}

impl Worker {
    /// The credential that links are made with in the place of this one.
    pub(super) fn in_force(&self, node: NodeId, credential: &Arc<Credential>) -> Arc<Credential> {
        let tried = self.successions.tried.iter().find(|it| it.node == node && it.new == *credential);
        Arc::clone(tried.map_or(credential, |it| &it.old))
    }

    /// The password of a lane's Redis user is another one from now on.
    pub(super) fn succeed(&mut self, lane: LaneId, new: &Arc<Credential>) {
        let LaneKey { node, credential: old, .. } = self.lanes[lane].key.clone();
        let mut tried = self.successions.tried.iter();
        if tried.any(|it| it.node == node && it.old == old && it.new == *new)
            || old.redis_user != new.redis_user
            || old == *new
            || !self.works(node, &old)
        {
            return;
        }
        let key = LaneKey { node, credential: Arc::clone(new), proto: Proto::Resp2, db: 0 };
        let lane = self.lane_of(key);
        self.lanes[lane].sessions += 1;
        self.successions.tried.push(Succession { node, old, new: Arc::clone(new), lane, is_told: false });
    }

    /// Somebody comes whose password is not known yet: the command for it is another since a reload, and
    /// has to yield one first. Until then a link of the same Redis user that works is as good for
    /// them as for whoever was there.
    pub(super) fn succeed_unknown(&mut self, node: NodeId, new: &Arc<Credential>) {
        if new.secret(&self.kept).is_some() {
            return;
        }
        let is_same = |lane: LaneId| {
            let LaneKey { node: at, credential, .. } = &self.lanes[lane].key;
            *at == node && credential.redis_user == new.redis_user
        };
        let works = self.links.iter().find(|(_, link)| link.is_ready() && is_same(link.lane));
        if let Some(lane) = works.map(|(_, link)| link.lane) {
            self.succeed(lane, new);
        }
    }

    /// Whether some link speaks for its user by this.
    fn works(&self, node: NodeId, credential: &Arc<Credential>) -> bool {
        let mut ready = self.links.iter().filter(|(_, link)| link.is_ready());
        ready.any(|(_, link)| self.lanes[link.lane].key.is_of(node, credential))
    }

    /// Tries what has yet to be taken, as often as the backoff of its lane allows, and as long as
    /// some session is to speak by it.
    pub(super) fn try_successions(&mut self, now: Instant) {
        for at in (0..self.successions.tried.len()).rev() {
            let Succession { new, lane, .. } = &self.successions.tried[at];
            let (is_awaited, lane) =
                (self.sessions.iter().any(|(_, it)| it.permit.credential() == new), *lane);
            if !is_awaited {
                self.end_succession(at);
                continue;
            }
            if self.lanes[lane].shared.is_empty() {
                self.open_shared(lane, now);
            }
        }
    }

    /// The backend has taken the credential of this lane.
    pub(super) fn succeeded(&mut self, lane: LaneId) {
        if let Some(at) = self.successions.tried.iter().position(|it| it.lane == lane) {
            self.hand_over(at);
        }
    }

    /// Tells that a password may go: no greeting with it is under way any more.
    pub(super) fn tell_what_has_gone(&mut self) {
        for at in (0..self.successions.superseded.len()).rev() {
            let (node, old) = &self.successions.superseded[at];
            let speaks = |lane: LaneId| self.lanes[lane].key.is_of(*node, old);
            if !self.links.iter().any(|(_, link)| !link.is_ready() && speaks(link.lane)) {
                let redis_user = self.successions.superseded.swap_remove(at).1.redis_user.clone();
                self.steps.push(Step::Report(Report::PasswordTaken { redis_user }));
            }
        }
    }

    /// The backend has refused this.
    pub(super) fn refused(&mut self, node: NodeId, credential: &Arc<Credential>) {
        let mut tried = self.successions.tried.iter_mut();
        if let Some(tried) = tried.find(|it| it.node == node && it.new == *credential)
            && !std::mem::replace(&mut tried.is_told, true)
        {
            let redis_user = tried.new.redis_user.clone();
            self.steps.push(Step::Report(Report::PasswordRefused { redis_user }));
        }
        // Where it is the old one, there is nothing to stay with any more.
        let is_old = |it: &Succession| it.node == node && it.old == *credential;
        while let Some(at) = self.successions.tried.iter().position(is_old) {
            self.hand_over(at);
        }
    }

    /// Nobody goes to this node any more: its sessions are about to move.
    pub(super) fn forget_successions(&mut self, node: NodeId) {
        for at in (0..self.successions.tried.len()).rev() {
            if self.successions.tried[at].node == node {
                self.end_succession(at);
            }
        }
    }

    /// Sessions move to the new credential, and links of the old one end.
    fn hand_over(&mut self, at: usize) {
        let Succession { node, old, new, .. } = self.end_succession(at);
        for id in self.sessions.keys() {
            let Some(session) = self.sessions.get(id) else { continue };
            let is_heir =
                self.lanes[session.lane].key.is_of(node, &old) && **session.permit.credential() == *new;
            let (proto, db) = (session.proto, session.db);
            if is_heir && let Some(lane) = self.sibling_lane(id, proto, db) {
                self.move_session(id, lane);
                // It may have waited for what is no longer its lane.
                self.ready.push(id);
            }
        }
        for id in self.links.keys() {
            if self.is_left_behind(id, node, &old) {
                self.retire_link(id);
            }
        }
        self.successions.superseded.push((node, old));
    }

    /// Whether a link that nobody needs for its state speaks by this in a lane without sessions.
    fn is_left_behind(&self, id: LinkId, node: NodeId, old: &Arc<Credential>) -> bool {
        self.links.get(id).is_some_and(|link| {
            let lane = &self.lanes[link.lane];
            let is_common = !matches!(link.role, LinkRole::Pinned(_) | LinkRole::Subscriber);
            is_common && lane.sessions == 0 && lane.key.is_of(node, old)
        })
    }

    fn end_succession(&mut self, at: usize) -> Succession {
        let ended = self.successions.tried.remove(at);
        self.let_go(ended.lane);
        ended
    }
}
