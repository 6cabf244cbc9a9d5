//! The order of one session's replies: those awaited from a link, and between
//! them those that the gateway has already given. With a cluster several links answer at once,
//! and what comes before its turn waits here.

use std::collections::VecDeque;

use super::by_slot::BySlot;
use super::flight::{Flight, Split, Way};
use crate::resp::{Outbox, SmallBytes};

/// Replies in the order of their requests.
#[derive(Debug, Default)]
pub struct Slots {
    /// Invariant: begins with a `Local`, which would already be written, only while a
    /// push is passed on in pieces.
    queue: VecDeque<Slot>,
    /// Invariant: the sum of the counts in `queue`.
    outstanding: usize,
    /// Invariant: the sum of what the `Local`s in `queue` weigh, and of the replies to parts.
    held_bytes: usize,
    /// Invariant: the sum of what it takes to keep the requests of the `Flown`s in `queue`.
    kept_bytes: usize,
    /// The place of the front of `queue`, counted from the session's first.
    front: u64,
    /// The place behind the last of those whose replies the client is to get at once.
    together: u64,
    /// Requests to a cluster that are not, or no more, where they were sent first, or are about all keys.
    astray: usize,
    /// What concerns which hash slot, from when that is asked until none of them is astray.
    /// Invariant: has all that are awaited, and maybe others that no longer are.
    pub(super) by_slot: Option<BySlot>,
}

/// What a reply weighs besides its bytes, so that many short ones count as well.
const SLOT_BYTES: usize = 64;

#[derive(Debug)]
enum Slot {
    /// So many replies from the session's link.
    Awaited { count: u32, mute: bool },
    /// A reply of the gateway's own, or one that came before its turn.
    Local(SmallBytes),
    /// The reply to a request on its way to a cluster.
    Flown { way: Way, mute: bool },
}

impl Slot {
    fn way(&self) -> Option<&Way> {
        match self {
            Self::Flown { way, .. } => Some(way),
            Self::Awaited { .. } | Self::Local(_) => None,
        }
    }
}

impl Slots {
    /// Whether every request has been answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Gives memory back where nothing is awaited.
    pub fn rest(&mut self) {
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }

    /// The client has asked for all that is awaited now at once, unless it awaits some of what it asked for before.
    pub fn bind(&mut self) {
        if self.front >= self.together {
            self.together = self.front.wrapping_add(self.queue.len() as u64);
        }
    }

    /// Whether some of what the client asked for at once has been answered, or may have been, and some has not.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.front < self.together
    }

    /// What has been answered is not to wait for the rest.
    pub fn unbind(&mut self) {
        self.together = self.front;
    }

    /// Requests that await a reply from a link.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Memory of the gateway's own replies that wait for others.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Awaits more replies; `mute` ones do not reach the client.
    pub fn push_awaited(&mut self, count: u32, mute: bool) {
        self.outstanding += count as usize;
        if let Some(Slot::Awaited { count: last, mute: same }) = self.queue.back_mut()
            && *same == mute
        {
            *last += count;
            return;
        }
        self.queue.push_back(Slot::Awaited { count, mute });
    }

    /// Puts a reply behind those awaited, or behind the push that is under way.
    pub(super) fn push_local(&mut self, reply: impl Into<SmallBytes>) {
        let reply = reply.into();
        self.held_bytes += reply.len() + SLOT_BYTES;
        self.queue.push_back(Slot::Local(reply));
    }

    /// Whether the reply that comes next is dropped.
    #[must_use]
    pub fn is_mute(&self) -> bool {
        matches!(self.queue.front(), Some(Slot::Awaited { mute: true, .. } | Slot::Flown { mute: true, .. }))
    }

    /// How many of the next replies are treated alike.
    #[must_use]
    pub fn alike(&self) -> u32 {
        match self.queue.front() {
            Some(Slot::Awaited { count, .. }) => *count,
            Some(Slot::Flown { way: Way::Whole(_), .. }) => 1,
            _ => 0,
        }
    }

    /// Counts replies that have arrived, at most [`Slots::alike`].
    pub(super) fn complete(&mut self, count: u32) {
        debug_assert!(count <= self.alike());
        if count == 0 {
            return;
        }
        self.outstanding -= count as usize;
        match self.queue.front_mut() {
            Some(Slot::Awaited { count: front, .. }) => {
                *front -= count;
                if *front == 0 {
                    self.pop();
                }
            }
            Some(Slot::Flown { way, .. }) => {
                self.kept_bytes -= way.kept();
                let astray = usize::from(way.flight(0).is_some_and(|flight| flight.is_astray));
                self.found(astray);
                self.pop();
            }
            Some(Slot::Local(_)) | None => {}
        }
    }

    fn pop(&mut self) {
        self.queue.pop_front();
        self.front = self.front.wrapping_add(1);
    }

    /// Memory of requests that may have to be sent again.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Awaits the reply to a request to a cluster. Its place, which is above those of earlier ones.
    pub fn push_flight(&mut self, flight: Flight, mute: bool) -> u64 {
        self.push_way(Way::Whole(flight), mute)
    }

    /// Awaits the replies to the parts of a request. Its place.
    pub fn push_split(&mut self, split: Split, mute: bool) -> u64 {
        self.push_way(Way::Split(Box::new(split)), mute)
    }

    fn push_way(&mut self, way: Way, mute: bool) -> u64 {
        self.by_slot = None;
        self.outstanding += way.left();
        self.kept_bytes += way.kept();
        self.queue.push_back(Slot::Flown { way, mute });
        self.front.wrapping_add(self.queue.len() as u64 - 1)
    }

    fn index(&self, place: u64) -> Option<usize> {
        usize::try_from(place.wrapping_sub(self.front)).ok().filter(|&index| index < self.queue.len())
    }

    /// The request at this place, or a part of it, while it is not answered.
    pub fn flight(&mut self, place: u64, part: u32) -> Option<&mut Flight> {
        let index = self.index(place)?;
        match &mut self.queue[index] {
            Slot::Flown { way, .. } => way.flight(part),
            Slot::Awaited { .. } | Slot::Local(_) => None,
        }
    }

    /// Whether the reply to the whole request at this place comes next.
    #[must_use]
    pub fn is_next(&self, place: u64) -> bool {
        place == self.front && matches!(self.queue.front(), Some(Slot::Flown { way: Way::Whole(_), .. }))
    }

    /// The flights that are not answered, their places, and which parts they are.
    pub(super) fn flights(&self) -> impl Iterator<Item = ((u64, u32), &Flight)> {
        let ways = (self.front..).zip(&self.queue).filter_map(|(place, slot)| Some((place, slot.way()?)));
        ways.flat_map(|(place, way)| way.awaited().map(move |(part, flight)| ((place, part), flight)))
    }

    /// Whether there are requests that had to be sent again, or wait for that, or are about all keys: what
    /// comes after them must not overtake them.
    #[must_use]
    pub fn has_astray(&self) -> bool {
        self.astray > 0
    }

    /// This request is not to be answered where it was sent first, or is about all keys.
    pub fn stray(&mut self, place: u64, part: u32) {
        if self.flight(place, part).is_some_and(|flight| !std::mem::replace(&mut flight.is_astray, true)) {
            self.astray += 1;
        }
    }

    /// So many of these are answered.
    fn found(&mut self, count: usize) {
        self.astray -= count;
        if self.astray == 0 {
            self.by_slot = None;
        }
    }

    /// A reply has come before its turn, or is that of a part.
    pub fn arrived(&mut self, place: u64, part: u32, reply: impl Into<SmallBytes>) {
        let reply = reply.into();
        if self.flight(place, part).is_some_and(|flight| std::mem::take(&mut flight.is_astray)) {
            self.found(1);
        }
        let Some(index) = self.index(place) else { return };
        let Slot::Flown { way, mute } = &mut self.queue[index] else { return };
        let reply = match way {
            Way::Whole(_) => Some(reply),
            Way::Split(split) => {
                let before = split.weight();
                if !split.arrived(part, reply) {
                    return;
                }
                self.held_bytes += split.weight() - before;
                let reply = split.reply();
                if reply.is_some() {
                    let (left, astray) = split.left_behind();
                    self.held_bytes -= split.weight();
                    self.outstanding -= left;
                    self.astray -= astray;
                }
                reply.map(SmallBytes::from)
            }
        };
        self.outstanding -= 1;
        let Some(reply) = reply else { return };
        self.kept_bytes -= way.kept();
        let reply = if *mute { SmallBytes::copy(b"") } else { reply };
        self.held_bytes += reply.len() + SLOT_BYTES;
        self.queue[index] = Slot::Local(reply);
    }

    /// A reply has come: it is let out if it is next, with those that wait for it.
    pub fn land(&mut self, place: u64, part: u32, reply: &[u8], out: &mut Outbox) {
        if !self.is_next(place) {
            return self.arrived(place, part, SmallBytes::copy(reply));
        }
        if !self.is_mute() {
            out.copy(reply);
        }
        self.complete(1);
        self.release(out);
    }

    /// The reply that comes next has come, and waits for the push that is under way.
    pub(super) fn hold(&mut self, reply: impl Into<SmallBytes>) {
        let reply = reply.into();
        let Some(Slot::Awaited { count, mute }) = self.queue.front_mut() else { return };
        let is_mute = *mute;
        *count -= 1;
        self.outstanding -= 1;
        if *count == 0 {
            self.pop();
        }
        if !is_mute {
            self.held_bytes += reply.len() + SLOT_BYTES;
            self.queue.push_front(Slot::Local(reply));
            self.front = self.front.wrapping_sub(1);
        }
    }

    /// Lets out the local replies that wait for nothing.
    pub(super) fn release(&mut self, out: &mut Outbox) {
        while let Some(Slot::Local(reply)) = self.queue.front() {
            reply.share_with(out);
            self.held_bytes -= reply.len() + SLOT_BYTES;
            self.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "a test needs some instant to count from")]

    use std::time::{Duration, Instant};

    use bytes::Bytes;

    use super::super::flight::To;
    use super::super::joined::Joined;
    use super::*;
    use crate::upstream::NodeId;

    #[test]
    fn local_replies_wait_for_those_before_them() {
        let (mut slots, mut out) = (Slots::default(), Outbox::default());
        slots.push_awaited(2, false);
        slots.push_awaited(1, false);
        slots.push_local(Bytes::from_static(b"a"));
        slots.push_local(Bytes::from_static(b"b"));
        slots.push_awaited(1, true);
        slots.push_local(Bytes::from_static(b"c"));
        assert_eq!((slots.outstanding(), slots.alike(), slots.is_mute()), (4, 3, false));
        slots.complete(2);
        slots.release(&mut out);
        assert!(out.is_empty());
        slots.complete(1);
        slots.release(&mut out);
        assert_eq!(out.front(), b"ab");
        assert_eq!((slots.outstanding(), slots.alike(), slots.is_mute()), (1, 1, true));
        assert_eq!(slots.held_bytes(), 1 + SLOT_BYTES);
        slots.complete(1);
        slots.release(&mut out);
        assert_eq!(out.front(), b"abc");
        assert!(slots.is_empty() && slots.held_bytes() == 0);
    }

    #[test]
    fn a_reply_may_wait_for_a_push_to_end() {
        let (mut slots, mut out) = (Slots::default(), Outbox::default());
        slots.push_awaited(1, false);
        slots.push_local(Bytes::from_static(b"b"));
        slots.hold(Bytes::from_static(b"a"));
        assert_eq!((slots.outstanding(), slots.held_bytes()), (0, 2 + 2 * SLOT_BYTES));
        slots.release(&mut out);
        assert_eq!(out.front(), b"ab");
        slots.push_awaited(1, true);
        slots.hold(Bytes::from_static(b"unheard"));
        assert!(slots.is_empty() && slots.held_bytes() == 0 && slots.outstanding() == 0);
    }

    fn flight(bytes: &'static [u8]) -> Flight {
        Flight::new(Bytes::from_static(bytes), To::Any)
    }

    #[test]
    fn replies_of_several_nodes_come_out_in_the_order_of_their_requests() {
        let (mut slots, mut out) = (Slots::default(), Outbox::default());
        slots.push_local(Bytes::from_static(b"0"));
        slots.release(&mut out);
        let places = [b"a", b"b", b"c"].map(|name| slots.push_flight(flight(name), name == b"b"));
        assert_eq!((slots.outstanding(), slots.kept_bytes()), (3, 3));
        slots.arrived(places[2], 0, Bytes::from_static(b"3"));
        slots.arrived(places[2], 0, Bytes::from_static(b"again"));
        slots.arrived(places[1], 0, Bytes::from_static(b"mute"));
        slots.release(&mut out);
        assert_eq!((out.front(), slots.outstanding(), slots.kept_bytes()), (&b"0"[..], 1, 1));
        assert!(slots.is_next(places[0]) && !slots.is_next(places[1]) && slots.alike() == 1);
        slots.stray(places[0], 0);
        slots.stray(places[0], 0);
        assert!(slots.has_astray());
        out.copy(b"1");
        slots.complete(1);
        slots.release(&mut out);
        assert_eq!(out.front(), b"013");
        assert!(
            slots.is_empty() && slots.held_bytes() == 0 && slots.kept_bytes() == 0 && !slots.has_astray()
        );
    }

    #[test]
    fn what_is_asked_for_at_once_is_bound_until_its_last_reply() {
        let mut slots = Slots::default();
        slots.bind();
        assert!(!slots.is_bound());
        let places = [b"a", b"b", b"c"].map(|name| slots.push_flight(flight(name), false));
        slots.bind();
        slots.push_flight(flight(b"later"), false);
        slots.bind();
        slots.arrived(places[2], 0, Bytes::from_static(b"3"));
        slots.complete(1);
        assert!(slots.is_bound(), "b is awaited");
        slots.complete(1);
        slots.release(&mut Outbox::default());
        assert!(!slots.is_bound() && slots.outstanding() == 1, "what came later is another matter");
        slots.bind();
        assert!(slots.is_bound());
        slots.unbind();
        assert!(!slots.is_bound());
    }

    #[test]
    fn the_parts_of_a_request_make_one_reply() {
        let (mut slots, mut out) = (Slots::default(), Outbox::default());
        let split = Split::new(vec![flight(b"aa"), flight(b"b")], Joined::Sum);
        let place = slots.push_split(split, false);
        slots.push_local(Bytes::from_static(b"+x\r\n"));
        assert_eq!((slots.outstanding(), slots.alike()), (2, 0));
        assert!(slots.kept_bytes() > 2 * size_of::<Flight>(), "each part takes more than its bytes");
        assert!(
            !slots.is_next(place) && slots.flight(place, 1).is_some() && slots.flight(place, 2).is_none()
        );
        slots.stray(place, 1);
        slots.arrived(place, 1, Bytes::from_static(b":1\r\n"));
        slots.arrived(place, 1, Bytes::from_static(b":9\r\n"));
        slots.release(&mut out);
        assert!(out.is_empty() && slots.flight(place, 1).is_none() && !slots.has_astray());
        slots.arrived(place, 0, Bytes::from_static(b":2\r\n"));
        slots.release(&mut out);
        assert_eq!(out.front(), b":3\r\n+x\r\n");
        assert!(slots.is_empty() && slots.held_bytes() == 0 && slots.kept_bytes() == 0);
        assert_eq!(slots.outstanding(), 0);
    }

    #[test]
    fn who_has_stopped_what_ran_is_waited_for_and_no_other() {
        let (mut slots, mut out) = (Slots::default(), Outbox::default());
        let nodes =
            (0..4).map(|node| Flight::new(Bytes::from_static(b"x"), To::Node(NodeId(node)))).collect();
        let place = slots.push_split(Split::new(nodes, Joined::Stopped), false);
        slots.push_flight(flight(b"next"), false);
        slots.stray(place, 0);
        slots.arrived(place, 3, Bytes::from_static(b"-NOTBUSY x\r\n"));
        slots.release(&mut out);
        assert!(out.is_empty());
        slots.arrived(place, 1, Bytes::from_static(b"+OK\r\n"));
        slots.release(&mut out);
        assert_eq!((out.front(), slots.outstanding(), slots.has_astray()), (&b"+OK\r\n"[..], 1, false));
        assert_eq!((slots.held_bytes(), slots.kept_bytes()), (0, 4));
        for late in [0, 2] {
            slots.arrived(place, late, Bytes::from_static(b"-NOTBUSY late\r\n"));
        }
        slots.land(place + 1, 0, b"+next\r\n", &mut out);
        assert_eq!(out.front(), b"+OK\r\n+next\r\n");
        assert!(slots.is_empty() && slots.outstanding() == 0);
    }

    #[test]
    fn a_reply_to_one_of_many_parts_costs_no_look_at_the_others() {
        // Far more than there are hash slots: looking at all of them for each takes minutes.
        const PARTS: u32 = 1 << 17;
        let (mut slots, mut out) = (Slots::default(), Outbox::default());
        let parts = (0..PARTS).map(|_| flight(b"x")).collect();
        let place = slots.push_split(Split::new(parts, Joined::Sum), false);
        let begun_at = Instant::now();
        for part in (0..PARTS).rev() {
            slots.stray(place, part);
            slots.arrived(place, part, Bytes::from_static(b":1\r\n"));
            slots.release(&mut out);
            assert!(begun_at.elapsed() < Duration::from_secs(30), "{part} parts are left");
        }
        assert_eq!(out.front(), b":131072\r\n");
        assert!(slots.is_empty() && slots.held_bytes() == 0 && slots.kept_bytes() == 0);
    }
}
