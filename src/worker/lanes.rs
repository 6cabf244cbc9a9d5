//! Which link a request takes, and when another is opened.

use std::sync::Arc;
use std::time::Instant;

use super::{Report, Step, Worker};
use crate::command::Class;
use crate::resp::Proto;
use crate::session::{SessionId, Stall, Via};
use crate::upstream::{Expect, Lane, LaneId, LaneKey, Link, LinkId, LinkRole};
use crate::upstream::{fence, fence_reply};

/// The session of tickets whose replies go to nobody.
pub(super) const NOBODY: SessionId = SessionId { index: u32::MAX, generation: u32::MAX };

impl Worker {
    /// The lane for this key, made if it is new: by another credential while this one's
    /// password is being tried.
    pub(super) fn lane(&mut self, key: LaneKey) -> LaneId {
        let credential = self.in_force(key.node, &key.credential);
        self.lane_of(LaneKey { credential, ..key })
    }

    /// The lane of exactly this key, made if it is new.
    pub(super) fn lane_of(&mut self, key: LaneKey) -> LaneId {
        if let Some(&id) = self.lane_ids.get(&key) {
            return id;
        }
        let id = self.lanes.insert(Lane::new(key.clone()));
        self.lane_ids.insert(key, id);
        id
    }

    /// Forgets a lane that no session and no link belongs to, so that a client
    /// cannot fill the memory with database numbers.
    pub(super) fn release_lane(&mut self, id: LaneId) {
        let lane = &self.lanes[id];
        if lane.sessions == 0 && lane.links == 0 {
            let lane = self.lanes.remove(id);
            self.lane_ids.remove(&lane.key);
        }
    }

    /// The lane of the session's user with another protocol version or database.
    pub(super) fn sibling_lane(&mut self, id: SessionId, proto: Proto, db: u32) -> Option<LaneId> {
        let session = self.sessions.get(id)?;
        let credential = Arc::clone(session.permit.credential());
        let node = self.lanes[session.lane].key.node;
        Some(self.lane(LaneKey { node, credential, proto, db }))
    }

    /// Moves a session to a lane, with the protocol version and database of it.
    pub(super) fn move_session(&mut self, id: SessionId, lane: LaneId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let left = std::mem::replace(&mut session.lane, lane);
        if !self.lanes[left].key.differs_in_node_alone(&self.lanes[lane].key) {
            // Its ways to the nodes of a cluster lead to lanes of what it was.
            session.routes.epoch = 0;
        }
        session.proto = self.lanes[lane].key.proto;
        session.db = self.lanes[lane].key.db;
        self.lanes[lane].sessions += 1;
        self.lanes[left].sessions -= 1;
        self.release_lane(left);
    }

    /// A session waits until a lane has been greeted for the first time, or has failed to.
    pub(super) fn await_lane(&mut self, id: SessionId, lane: LaneId, now: Instant) -> Stall {
        match self.lanes[lane].shared.first() {
            None => {
                self.open_shared(lane, now);
            }
            Some(&link) if self.lanes[lane].waiters.is_empty() => {
                // From now on it has something to do.
                if let Some(link) = self.links.get_mut(link)
                    && link.pending.is_empty()
                {
                    link.progress_at = now;
                }
            }
            Some(_) => {}
        }
        self.lanes[lane].waiters.push(id);
        Stall::Lane
    }

    /// The shared link for the session's next request.
    pub(super) fn shared_link(&mut self, id: SessionId, now: Instant) -> Result<LinkId, Stall> {
        let Some(session) = self.sessions.get(id) else { return Err(Stall::Barrier) };
        self.shared_link_in(id, session.lane, now)
    }

    /// The same in this lane: the session's own, or one of its ways.
    pub(super) fn shared_link_in(
        &mut self,
        id: SessionId,
        lane: LaneId,
        now: Instant,
    ) -> Result<LinkId, Stall> {
        let Some(session) = self.sessions.get(id) else { return Err(Stall::Barrier) };
        let link = match session.via {
            Via::Pinned(_) | Via::Nodes => return Err(Stall::Barrier),
            Via::Shared(current) => match self.links.get(current) {
                Some(link) if link.lane == lane && link.may_share(id) => current,
                _ => return Err(Stall::Barrier),
            },
            // Without outstanding replies it may begin on any link of the lane.
            Via::Nothing => self.pick_shared_in(id, lane, now),
        };
        self.reserve_room(id, link)
    }

    /// A session that awaits nothing in this lane may begin on any link of it.
    pub(super) fn pick_shared_in(&mut self, id: SessionId, lane: LaneId, now: Instant) -> LinkId {
        let private = self.sessions.get(id).and_then(|session| session.private);
        if let Some(private) = private
            && self.links.get(private).is_some_and(|link| link.lane == lane && !link.draining)
        {
            return private;
        }
        let links_max = self.limits.shared_links_max.max(1);
        let wanted = id.index as usize % links_max;
        match self.lanes[lane].shared.get(wanted) {
            Some(&link) => link,
            None => self.open_shared(lane, now),
        }
    }

    /// The lane's link for what must not queue.
    pub(super) fn control_link(&mut self, id: SessionId, now: Instant) -> Result<LinkId, Stall> {
        let Some(session) = self.sessions.get(id) else { return Err(Stall::Barrier) };
        if !session.is_settled() {
            return Err(Stall::Barrier);
        }
        let link = self.control_link_in(session.lane, now);
        self.reserve_room(id, link)
    }

    /// The same in this lane, whatever waits there.
    pub(super) fn control_link_in(&mut self, lane: LaneId, now: Instant) -> LinkId {
        if let Some(link) = self.lanes[lane].control {
            return link;
        }
        let link = self.open_link(lane, LinkRole::Control, now);
        self.lanes[lane].control = Some(link);
        link
    }

    /// A full link is used again when half of it is free.
    pub(super) fn reserve_room(&mut self, id: SessionId, on: LinkId) -> Result<LinkId, Stall> {
        let Some(link) = self.links.get_mut(on) else { return Err(Stall::Barrier) };
        if link.has_room(&self.limits) {
            return Ok(on);
        }
        if link.waiters.last() != Some(&id) {
            link.waiters.push(id);
        }
        Err(Stall::LinkFull)
    }

    pub(super) fn open_shared(&mut self, lane: LaneId, now: Instant) -> LinkId {
        let link = self.open_link(lane, LinkRole::Shared, now);
        self.lanes[lane].shared.push(link);
        link
    }

    /// A new link. It is connected at once unless the backend has been failing: then
    /// one link at a time tries it, when the backoff allows.
    pub(super) fn open_link(&mut self, lane: LaneId, role: LinkRole, now: Instant) -> LinkId {
        let id = self.links.insert(Link::new(lane, role, self.limits.reply_depth_max, now));
        self.lanes[lane].links += 1;
        self.connect_in_turn(id, now);
        id
    }

    /// Has a link prove that its replies are in step: the next reply must be this one.
    pub(super) fn send_fence(&mut self, id: LinkId, strict: bool, now: Instant) {
        let Some(link) = self.links.get_mut(id) else { return };
        // Also where nothing is sent: else the next would be due at once, and again.
        (link.since_fence, link.fence_at) = (0, now);
        if !self.lanes[link.lane].fences {
            return;
        }
        let token = self.token();
        let Some(link) = self.links.get_mut(id) else { return };
        let used_at = link.used_at;
        let reply = fence_reply(&token).into_boxed_slice();
        link.claim(NOBODY, 1, Expect::Fence { reply, strict }, now);
        link.append(&fence(&token));
        link.used_at = used_at;
        self.tally.fences += 1;
        self.wake_link(id);
    }

    /// A script can put bytes into the reply stream: nothing is believed after it
    /// until a fence has come back.
    pub(super) fn fence_after(&mut self, id: SessionId, now: Instant) {
        if let Some(Via::Shared(link)) = self.sessions.get(id).map(|session| session.via) {
            self.send_fence(link, true, now);
        }
    }

    /// Whether a script may run on a shared link: not where nothing can prove that
    /// the link is in step afterwards, or where that is not known yet.
    pub(super) fn scripts_may_share(&self, class: Class, lane: LaneId) -> bool {
        class != Class::Script || (self.lanes[lane].fences && self.lanes[lane].server.is_some())
    }

    /// Notes what a lane's greeting has found out.
    pub(super) fn note_fences(&mut self, lane: LaneId, fences: bool) {
        let lane = &mut self.lanes[lane];
        if lane.fences && !fences {
            let redis_user = lane.key.credential.redis_user.clone();
            self.steps.push(Step::Report(Report::NoFences { redis_user }));
        }
        lane.fences = fences;
    }
}
