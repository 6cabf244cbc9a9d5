//! Which of a session's requests concern which hash slot, so that none overtakes another of its slot. A request may
//! have thousands of parts, and there may be thousands of replies before it that wait for their turn: if
//! each part were held against all of that, one client would take a second of everybody's time.

use std::ops::Range;

use super::Slots;
use super::flight::{Flight, To};
use crate::upstream::NodeId;

/// A place in the order of the session's replies, and which part of the request there.
type Place = (u64, u32);

/// Requests for hash slots, and parts of such, by their slot, and of each slot in the order in which they came.
#[derive(Debug)]
pub(super) struct BySlot(Vec<(u16, Place)>);

impl BySlot {
    fn of<'a>(flights: impl Iterator<Item = (Place, &'a Flight)>) -> Self {
        let slot_of = |flight: &Flight| match flight.to {
            To::Slot(slot) => Some(slot),
            To::Node(_) | To::Any => None,
        };
        let mut all: Vec<_> = flights.filter_map(|(at, flight)| Some((slot_of(flight)?, at))).collect();
        all.sort_unstable();
        Self(all)
    }

    fn at(&self, slot: u16, places: Range<u64>) -> impl Iterator<Item = Place> {
        let from = self.0.partition_point(|&(of, (place, _))| (of, place) < (slot, places.start));
        let those = self.0[from..].iter().take_while(move |(of, at)| *of == slot && at.0 < places.end);
        those.map(|&(_, at)| at)
    }
}

impl Slots {
    /// The requests and parts at these places that concern the hash slot of the one at this place, while
    /// that is awaited. Some of them may have been answered.
    fn like(&mut self, (place, part): Place, places: Range<u64>) -> Vec<Place> {
        let Some(To::Slot(slot)) = self.flight(place, part).map(|flight| flight.to) else {
            return Vec::new();
        };
        let by_slot = self.by_slot.take().unwrap_or_else(|| BySlot::of(self.flights()));
        let those = by_slot.at(slot, places).collect();
        self.by_slot = Some(by_slot);
        those
    }

    /// The requests of the same hash slot, and parts of such, that came before. Some may have been answered.
    pub fn before(&mut self, place: u64, part: u32) -> Vec<(u64, u32)> {
        self.like((place, part), 0..place)
    }

    /// Whether the request at this place, or a part of it, can be sent to that node without overtaking
    /// one of the same hash slot: those that came before it have been sent there, too.
    pub fn lets_by(&mut self, place: u64, part: u32, node: NodeId) -> bool {
        let before = self.before(place, part);
        before.iter().all(|at| self.flight(at.0, at.1).is_none_or(|flight| flight.at == Some(node)))
    }

    /// Whether a later request of the same hash slot is under way: sent now, this one may run behind it.
    pub fn is_followed(&mut self, place: u64, part: u32) -> bool {
        let behind = self.like((place, part), place + 1..u64::MAX);
        behind.iter().any(|at| self.flight(at.0, at.1).is_some_and(|flight| flight.at.is_some()))
    }

    /// A node has said to which hash slot a request belongs.
    pub fn aim(&mut self, place: u64, part: u32, slot: u16) {
        let Some(flight) = self.flight(place, part) else { return };
        if std::mem::replace(&mut flight.to, To::Slot(slot)) != To::Slot(slot) {
            self.by_slot = None;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "a test needs some instant to count from")]

    use std::time::{Duration, Instant};

    use bytes::Bytes;

    use super::super::{Joined, Split};
    use super::*;

    fn to(slot: u16) -> Flight {
        Flight::new(Bytes::from_static(b"x"), To::Slot(slot))
    }

    #[test]
    fn a_request_waits_for_those_of_its_slot_that_are_elsewhere() {
        let (mut slots, here, there) = (Slots::default(), NodeId(1), NodeId(2));
        let first = slots.push_flight(to(7), false);
        let split = slots.push_split(Split::new(vec![to(8), to(9)], Joined::Sum), false);
        let [same, other] = [7, 8].map(|slot| slots.push_flight(to(slot), false));
        assert!(first < split && split < same && same < other);
        assert!(slots.lets_by(first, 0, here) && !slots.lets_by(same, 0, here));
        slots.flight(first, 0).expect("awaited").at = Some(here);
        assert!(!slots.is_followed(first, 0) && !slots.is_followed(same, 0));
        assert!(slots.lets_by(same, 0, here) && !slots.lets_by(same, 0, there));
        assert!(!slots.lets_by(other, 0, here), "a part of another request is nowhere");
        slots.flight(other, 0).expect("awaited").at = Some(here);
        assert!(slots.is_followed(split, 0) && !slots.is_followed(split, 1));
        slots.arrived(split, 0, Bytes::from_static(b":1\r\n"));
        slots.arrived(first, 0, Bytes::from_static(b":1\r\n"));
        assert!(slots.lets_by(other, 0, here) && slots.lets_by(same, 0, there));
    }

    #[test]
    fn who_is_sent_to_another_slot_is_waited_for_there() {
        let (mut slots, here) = (Slots::default(), NodeId(1));
        let any = slots.push_flight(Flight::new(Bytes::from_static(b"x"), To::Any), false);
        let later = slots.push_flight(to(7), false);
        assert!(slots.lets_by(later, 0, here) && slots.before(later, 0).is_empty());
        slots.aim(any, 0, 7);
        assert!(!slots.lets_by(later, 0, here));
        assert_eq!(slots.before(later, 0), [(any, 0)]);
        // What comes later still is looked at as well.
        let last = slots.push_flight(to(7), false);
        assert_eq!(slots.before(last, 0), [(any, 0), (later, 0)]);
    }

    #[test]
    fn a_part_that_is_held_against_what_came_before_costs_no_look_at_other_slots() {
        // Far more than a client may have under way: looking at all of it for each part takes minutes.
        const ALL: u16 = 16_384;
        let (mut slots, here) = (Slots::default(), NodeId(1));
        slots.push_flight(to(0), false);
        for _ in 0..16 {
            slots.push_split(Split::new((0..ALL).map(to).collect(), Joined::Sum), false);
        }
        let last = slots.push_split(Split::new((0..ALL).map(to).collect(), Joined::Sum), false);
        let begun_at = Instant::now();
        for part in 0..u32::from(ALL) {
            slots.stray(last, part);
            assert!(!slots.lets_by(last, part, here) && !slots.is_followed(last, part));
            assert_eq!(slots.before(last, part).len(), if part == 0 { 17 } else { 16 });
            assert!(begun_at.elapsed() < Duration::from_secs(30), "at part {part}");
        }
    }
}
