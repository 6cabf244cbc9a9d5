//! Links of sessions' own: how many there may be, who waits for one, and which are ready ahead of their use.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::{Loss, Worker};
use crate::limits::SPARE_LINKS_MAX;
use crate::session::{Pinned, Session, SessionId, Stall, Via};
use crate::upstream::{LaneId, Link, LinkId, LinkRole};

/// No link is kept ready ahead of its use for longer.
const SPARE_AGE: Duration = Duration::from_secs(30);

/// The pinned links of one worker.
#[derive(Debug, Default)]
pub(super) struct Pins {
    total: usize,
    /// By the names of users; none of them is zero.
    by_user: HashMap<String, usize>,
    /// Sessions that wait for one, and since when.
    waiting: BTreeSet<(Instant, SessionId)>,
    /// Links that will be some session's, in the order in which they were opened.
    spares: Vec<LinkId>,
}

impl Pins {
    /// It is gone, or somebody's.
    pub(super) fn forget_spare(&mut self, id: LinkId) {
        self.spares.retain(|&spare| spare != id);
    }
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
    /// The user of this name has as many as it may.
    User(String),
    /// All have, together.
    Total,
}

impl Worker {
    /// The session's own link, if it has one.
    pub(super) fn own_link(&self, session: &Session) -> Option<&Link> {
        self.links.get(session.pinned.as_ref()?.link)
    }

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
        let spare = self.take_spare(id, lane);
        let link = spare.unwrap_or_else(|| self.open_link(lane, LinkRole::Pinned(id), now));
        if let Some(session) = self.sessions.get_mut(id) {
            let user = session.permit.user();
            self.pins.total += 1;
            *self.pins.by_user.entry(user.name.clone()).or_default() += 1;
            session.pinned = Some(Box::new(Pinned::new(link, user)));
        }
        self.keep_spares(lane, now);
        link
    }

    /// One that has been greeted already becomes the session's own.
    fn take_spare(&mut self, id: SessionId, lane: LaneId) -> Option<LinkId> {
        let links = &self.links;
        let is_ready = |spare: &LinkId| {
            links.get(*spare).is_some_and(|link| link.lane == lane && link.is_ready() && !link.draining)
        };
        let spare = self.pins.spares.iter().copied().find(is_ready)?;
        self.pins.forget_spare(spare);
        self.links.get_mut(spare)?.role = LinkRole::Pinned(id);
        Some(spare)
    }

    /// Has as many ready in this lane as are to be kept, within what is left of all.
    fn keep_spares(&mut self, lane: LaneId, now: Instant) {
        let most = self.pins_max().saturating_sub(self.pins.total).min(SPARE_LINKS_MAX);
        let surplus = self.pins.spares.len().saturating_sub(most);
        for spare in self.pins.spares.drain(..surplus).collect::<Vec<_>>() {
            self.remove_link(spare);
        }
        let node = self.nodes.of(self.lanes[lane].key.node);
        // What was the master when it was greeted may be something else by the time that it is used.
        if node.role.is_some()
            || node.circuit.is_open()
            || self.lanes[lane].backoff.is_failing()
            || self.draining
        {
            return;
        }
        let is_here = |id: &&LinkId| self.links.get(**id).is_some_and(|link| link.lane == lane);
        let here = self.pins.spares.iter().filter(is_here).count();
        let missing = self.limits.pinned_links_spare.saturating_sub(here);
        for _ in 0..missing.min(most - self.pins.spares.len()) {
            let spare = self.open_link(lane, LinkRole::Spare, now);
            self.pins.spares.push(spare);
        }
    }

    /// One that nobody has wanted for some time is closed, and one that cannot be connected.
    pub(super) fn tick_spare(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.links.get(id) else { return };
        let age = now.saturating_duration_since(link.opened_at);
        let age_max = SPARE_AGE.min(Duration::from_millis(self.limits.link_idle_timeout_ms));
        let is_late = age >= Duration::from_millis(self.limits.connect_timeout_ms);
        if link.is_waiting() || age >= age_max {
            self.remove_link(id);
        } else if !link.is_ready() && is_late {
            self.lose_link(id, Loss::ConnectTimeout, now);
        }
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
        let is_full = self.full_of_pins(id).is_some();
        let wait = self.pin_wait();
        let Some(session) = self.sessions.get_mut(id) else { return Err(Stall::Barrier.into()) };
        if !is_full {
            session.pin_wanted_at = None;
            return Ok(());
        }
        let wanted_at = *session.pin_wanted_at.get_or_insert(now);
        if now.saturating_duration_since(wanted_at) >= wait {
            session.pin_wanted_at = None;
            return Err(Unplaced::TooManyPinned);
        }
        self.pins.waiting.insert((wanted_at, id));
        Err(Stall::Pin.into())
    }

    fn pin_wait(&self) -> Duration {
        Duration::from_millis(self.limits.pinned_links_wait_ms)
    }

    /// How many there may be.
    fn pins_max(&self) -> usize {
        match self.limits.pinned_links_max {
            0 => self.limits.clients_max,
            most => self.share_of(most).max(1),
        }
    }

    fn full_of_pins(&self, id: SessionId) -> Option<Full> {
        let of_user = match self.limits.pinned_links_per_user_max {
            0 => usize::MAX,
            most => self.share_of(most).max(1),
        };
        let user = self.sessions.get(id)?.permit.user();
        if self.pins.by_user.get(&user.name).is_some_and(|&count| count >= of_user) {
            Some(Full::User(user.name.clone()))
        } else {
            (self.pins.total >= self.pins_max()).then_some(Full::Total)
        }
    }

    /// Whether a session has no use for its own link at present.
    pub(super) fn is_pin_idle(&self, owner: SessionId) -> bool {
        let session = self.sessions.get(owner);
        session.is_some_and(|session| session.is_settled() && !session.waits_on_its_own())
    }

    /// Those who wait for a link of their own get those that others have no use for, and look again
    /// when there is one, or when they have waited for long enough.
    pub(super) fn tick_pins(&mut self, now: Instant) {
        if self.pins.waiting.is_empty() {
            return;
        }
        let mut idle = self.idle_pins();
        let mut woken = Vec::new();
        for (wanted_at, id) in std::mem::take(&mut self.pins.waiting) {
            let is_free = match self.full_of_pins(id) {
                None => true,
                Some(full) => idle.take(&full).is_some_and(|owner| {
                    self.unpin(owner);
                    true
                }),
            };
            if is_free || now.saturating_duration_since(wanted_at) >= self.pin_wait() {
                woken.push(id);
            } else {
                self.pins.waiting.insert((wanted_at, id));
            }
        }
        // The last is looked at first.
        self.ready.extend(woken.into_iter().rev());
    }

    fn idle_pins(&self) -> Idle {
        let owned = self.links.iter().filter_map(|(_, link)| match link.role {
            LinkRole::Pinned(owner) if self.is_pin_idle(owner) => Some((link.used_at, owner)),
            _ => None,
        });
        let mut sorted: Vec<_> = owned.collect();
        sorted.sort_unstable();
        let mut idle = Idle::default();
        for (_, owner) in sorted {
            if let Some(pinned) = self.sessions.get(owner).and_then(|session| session.pinned.as_ref()) {
                idle.by_user.entry(pinned.user.name.clone()).or_default().push_back(owner);
                idle.all.push_back(owner);
            }
        }
        idle
    }
}

/// Sessions that have no use for their links, those first who have had none for longest.
#[derive(Default)]
struct Idle {
    all: VecDeque<SessionId>,
    by_user: HashMap<String, VecDeque<SessionId>>,
    taken: HashSet<SessionId>,
}

impl Idle {
    /// Whose link makes room.
    fn take(&mut self, full: &Full) -> Option<SessionId> {
        let some = match full {
            Full::User(name) => self.by_user.get_mut(name)?,
            Full::Total => &mut self.all,
        };
        while let Some(owner) = some.pop_front() {
            if self.taken.insert(owner) {
                return Some(owner);
            }
        }
        None
    }
}
