//! Flights that nobody can be given now: their slot is moving, or its master is gone and no
//! replica has taken over yet. They wait, within a bound, and are sent in their order.

use std::time::{Duration, Instant};

use super::super::ends::NOT_SENT;
use super::super::{Step, Worker};
use super::flights::{DOWN, MOVING, Place};
use crate::resp::write;
use crate::session::{Fate, SessionId, To};
use crate::upstream::DatabaseId;

/// What a node says that runs nothing that could be stopped: said for one that another has replaced.
const NOTHING_RUNS: &str = "NOTBUSY No scripts in execution right now.";

/// A flight that waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parked {
    not_before: Instant,
    awaits: Awaits,
}

/// What a flight waits for, besides its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaits {
    /// A newer map than this one.
    Map(u64),
    /// That its node says no more that nobody serves the slot.
    Service,
    /// A link, or those that came before it to its slot.
    Turn,
}

impl Worker {
    /// A flight waits until then; before those of its session that were asked for later, whichever
    /// came here first.
    pub(super) fn park(&mut self, id: SessionId, at: Place, not_before: Instant, awaits: Awaits) {
        let patience = Duration::from_millis(self.limits.cluster_wait_ms);
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.slots.stray(at.0, at.1);
        let Some(flight) = session.slots.flight(at.0, at.1) else { return };
        flight.until.get_or_insert(not_before + patience);
        (flight.at, flight.hops) = (None, 0);
        if awaits != Awaits::Turn {
            let database = session.database;
            self.want_map(database);
        }
        self.clusters.parked.insert((id, at), Parked { not_before, awaits });
    }

    /// Has the worker roused then: a tick may be long in coming.
    pub(super) fn rouse_at(&mut self, at: Instant, now: Instant) {
        if self.clusters.roused_at.is_none_or(|asked| asked > at || asked <= now) {
            self.clusters.roused_at = Some(at);
            self.steps.push(Step::RouseAt(at));
        }
    }

    /// Has the map of a cluster read again. Thousands that have to wait at once ask for it once.
    pub(super) fn want_map(&mut self, database: DatabaseId) {
        if !matches!(self.steps.last(), Some(Step::WantMap(last)) if *last == database) {
            self.steps.push(Step::WantMap(database));
        }
    }

    /// A node has run this request. One before it, of the same slot, that a node would not run although
    /// it had its keys, or some of them, must not be run after it: it is answered.
    pub(super) fn refuse_overtaken(&mut self, id: SessionId, at: Place) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let mut overtaken = Vec::new();
        for place in session.slots.before(at.0, at.1) {
            let Some(parked) = self.clusters.parked.get(&(id, place)) else { continue };
            match (parked.awaits, session.slots.flight(place.0, place.1)) {
                (Awaits::Service, Some(_)) => overtaken.push((place, DOWN)),
                (Awaits::Turn, Some(flight)) if flight.tries > 0 => overtaken.push((place, MOVING)),
                _ => {}
            }
        }
        for (place, text) in overtaken {
            self.clusters.parked.remove(&(id, place));
            self.tally.not_sent += 1;
            self.answer_flight(id, place, write::error(text).into());
        }
    }

    /// Sends what has waited long enough and can be sent, and answers what has waited too long.
    pub(in super::super) fn tick_parked(&mut self, now: Instant) {
        self.clusters.parked_until = None;
        let parked = std::mem::take(&mut self.clusters.parked);
        // What comes behind a request that goes on waiting waits as well, unless it is to stop something.
        let mut waiting = None;
        for ((id, at), Parked { not_before, awaits }) in parked {
            let Some(session) = self.sessions.get_mut(id).filter(|session| session.fate != Fate::Dead) else {
                continue;
            };
            let database = session.database;
            let Some(flight) = session.slots.flight(at.0, at.1) else { continue };
            let (to, over) = (flight.to, flight.until.is_some_and(|until| until <= now));
            let is_control = flight.is_control;
            if matches!(to, To::Node(node) if self.clusters.is_no_master(database, node)) {
                self.tally.not_sent += 1;
                let text = if is_control { NOTHING_RUNS } else { NOT_SENT };
                self.answer_flight(id, at, write::error(text).into());
                continue;
            }
            let was_refused = awaits == Awaits::Service || flight.tries > 0;
            let node = self.node_to(id, to);
            let due = not_before <= now && awaits != Awaits::Map(self.clusters.maps_seen);
            if due
                && (waiting != Some(id) || is_control)
                && let Some(node) = node.filter(|node| !self.is_node_failing(*node))
                && let Some(session) = self.sessions.get_mut(id)
                && session.slots.lets_by(at.0, at.1, node)
                && !(was_refused && session.slots.is_followed(at.0, at.1))
            {
                self.send_again(id, at, node, false, now);
                continue;
            }
            if over {
                self.tally.not_sent += 1;
                // What a node has said stays true until it says something else.
                let text = if node.is_some() && awaits == Awaits::Turn { NOT_SENT } else { DOWN };
                self.answer_flight(id, at, write::error(text).into());
                continue;
            }
            if node.is_none_or(|node| self.is_node_failing(node)) {
                self.want_map(database);
            }
            waiting = Some(id);
            self.clusters.parked.insert((id, at), Parked { not_before, awaits });
        }
        let times = self.clusters.parked.values().map(|parked| parked.not_before);
        if let Some(next) = times.filter(|&time| time > now).min() {
            self.rouse_parked_at(next, now);
        }
    }

    /// The same, when somebody is roused: others are, every millisecond, and there may be thousands here.
    pub(in super::super) fn tick_parked_if_due(&mut self, now: Instant) {
        match self.clusters.parked_until {
            Some(until) if until <= now => self.tick_parked(now),
            Some(until) => self.rouse_at(until, now),
            None => {}
        }
    }

    /// Has it looked at then, before the next tick.
    pub(super) fn rouse_parked_at(&mut self, at: Instant, now: Instant) {
        let until = self.clusters.parked_until.get_or_insert(at);
        *until = at.min(*until);
        self.rouse_at(at, now);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::Seed;
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn a_map_that_many_want_at_once_is_asked_for_once() {
        let seed = Seed { random: [1; 32], number: 0, workers: 1 };
        let mut worker = Worker::new(Arc::new(Limits::default()), &seed);
        for database in [0, 0, 0, 1, 1] {
            worker.want_map(DatabaseId(database));
        }
        let mut steps = Vec::new();
        worker.steps(&mut steps);
        let wanted = |steps: &[Step]| -> Vec<u32> {
            let maps = steps.iter().filter_map(|step| match step {
                Step::WantMap(database) => Some(database.0),
                _ => None,
            });
            maps.collect()
        };
        assert_eq!(wanted(&steps), [0, 1]);
        // Whoever wants it later asks anew.
        worker.want_map(DatabaseId(1));
        worker.steps(&mut steps);
        assert_eq!(wanted(&steps).last(), Some(&1));
    }
}
