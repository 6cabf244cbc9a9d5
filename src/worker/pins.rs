//! Links of sessions' own: how many there may be, and who waits for one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Worker;
use crate::session::{Pinned, SessionId, Stall, Via};
use crate::upstream::{LaneId, LinkId, LinkRole};

/// The pinned links of one worker.
#[derive(Debug, Default)]
pub(super) struct Pins {
    total: usize,
    /// By the names of users; none of them is zero.
    by_user: HashMap<String, usize>,
    /// Sessions that wait for one.
    waiting: Vec<SessionId>,
}

/// Why a request cannot be placed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unplaced {
    /// It waits.
    Stall(Stall),
    /// There are as many pinned links as may be, and none has come free for long enough.
    TooManyPinned,
}

impl From<Stall> for Unplaced {
    fn from(stall: Stall) -> Self {
        Self::Stall(stall)
    }
}

/// What stands in the way of one more.
enum Full {
    /// This user has as many as it may.
    User,
    /// All have, together.
    Total,
}

impl Worker {
    /// The session's own link, which it keeps from one use to the next.
    pub(super) fn pinned_link(&mut self, id: SessionId, now: Instant) -> Result<LinkId, Unplaced> {
        let Some(session) = self.sessions.get(id) else { return Err(Stall::Barrier.into()) };
        if matches!(session.via, Via::Shared(_) | Via::Nodes) {
            return Err(Stall::Barrier.into());
        }
        let lane = session.lane;
        if let Some(pinned) = &session.pinned {
            let (current, bound) = (pinned.link, pinned.is_bound());
            let fits =
                self.links.get(current).is_some_and(|link| bound || (link.lane == lane && !link.strayed));
            if fits {
                return Ok(self.reserve_room(id, current)?);
            }
            if !session.is_settled() {
                return Err(Stall::Barrier.into());
            }
            self.unpin(id);
        }
        self.await_pin(id, now)?;
        Ok(self.pin(id, lane, now))
    }

    /// A new link of the session's own, in this lane.
    pub(super) fn pin(&mut self, id: SessionId, lane: LaneId, now: Instant) -> LinkId {
        let link = self.open_link(lane, LinkRole::Pinned(id), now);
        if let Some(session) = self.sessions.get_mut(id) {
            let user = session.permit.user();
            self.pins.total += 1;
            *self.pins.by_user.entry(user.name.clone()).or_default() += 1;
            session.pinned = Some(Box::new(Pinned::new(link, user)));
        }
        link
    }

    /// Closes the session's own link, whose state ends with it.
    pub(super) fn unpin(&mut self, id: SessionId) {
        if let Some(pinned) = self.take_pinned(id) {
            self.remove_link(pinned.link);
        }
    }

    /// The session's own link is its own no longer.
    pub(super) fn take_pinned(&mut self, id: SessionId) -> Option<Box<Pinned>> {
        let pinned = self.sessions.get_mut(id)?.pinned.take()?;
        self.pins.total -= 1;
        let name = &pinned.user.name;
        if let Some(count) = self.pins.by_user.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                self.pins.by_user.remove(name);
            }
        }
        Some(pinned)
    }

    /// Whether the session may have one more: it waits for as long as all are in use.
    fn await_pin(&mut self, id: SessionId, now: Instant) -> Result<(), Unplaced> {
        let full = self.full_of_pins(id);
        let is_free = full.is_none_or(|full| self.reclaim_pin(id, &full));
        let wait = Duration::from_millis(self.limits.pinned_links_wait_ms);
        let Some(session) = self.sessions.get_mut(id) else { return Err(Stall::Barrier.into()) };
        if is_free {
            session.pin_wanted_at = None;
            return Ok(());
        }
        let wanted_at = *session.pin_wanted_at.get_or_insert(now);
        if now.saturating_duration_since(wanted_at) >= wait {
            session.pin_wanted_at = None;
            return Err(Unplaced::TooManyPinned);
        }
        self.pins.waiting.push(id);
        Err(Stall::Pin.into())
    }

    fn full_of_pins(&self, id: SessionId) -> Option<Full> {
        let limits = &self.limits;
        let in_total = match limits.pinned_links_max {
            0 => limits.clients_max,
            most => self.share_of(most).max(1),
        };
        let of_user = match limits.pinned_links_per_user_max {
            0 => usize::MAX,
            most => self.share_of(most).max(1),
        };
        let user = self.sessions.get(id)?.permit.user();
        if self.pins.by_user.get(&user.name).is_some_and(|&count| count >= of_user) {
            Some(Full::User)
        } else {
            (self.pins.total >= in_total).then_some(Full::Total)
        }
    }

    /// Takes one away from a session that has no use for it at present: that which has had none for
    /// longest. Whether there was one.
    fn reclaim_pin(&mut self, id: SessionId, full: &Full) -> bool {
        let Some(user) = self.sessions.get(id).map(|session| session.permit.user()) else { return false };
        let idle = self.links.iter().filter_map(|(_, link)| {
            let LinkRole::Pinned(owner) = link.role else { return None };
            let pinned = self.sessions.get(owner)?.pinned.as_ref()?;
            let would_do = matches!(full, Full::Total) || pinned.user.name == user.name;
            (would_do && self.is_pin_idle(owner)).then_some((link.used_at, owner))
        });
        let Some((_, owner)) = idle.min() else { return false };
        self.unpin(owner);
        true
    }

    /// Whether a session has no use for its own link at present.
    pub(super) fn is_pin_idle(&self, owner: SessionId) -> bool {
        let session = self.sessions.get(owner);
        session.is_some_and(|session| session.is_settled() && !session.waits_on_its_own())
    }

    /// Those who wait for a link of their own look again.
    pub(super) fn tick_pins(&mut self) {
        // The last is looked at first.
        self.ready.extend(self.pins.waiting.drain(..).rev());
    }
}
