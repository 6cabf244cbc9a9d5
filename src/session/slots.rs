//! The order of one session's replies: those awaited from a link, and between
//! them those that the gateway has already given.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::resp::Outbox;

/// Replies in the order of their requests.
#[derive(Debug, Default)]
pub struct Slots {
    /// Invariant: begins with a `Local`, which would already be written, only while a
    /// push is passed on in pieces.
    queue: VecDeque<Slot>,
    /// Invariant: the sum of the counts in `queue`.
    outstanding: usize,
    /// Invariant: the sum of what the `Local`s in `queue` weigh.
    held_bytes: usize,
}

/// What a reply weighs besides its bytes, so that many short ones count as well.
const SLOT_BYTES: usize = 64;

#[derive(Debug)]
enum Slot {
    /// So many replies from the session's link.
    Awaited { count: u32, mute: bool },
    /// A reply of the gateway's own.
    Local(Bytes),
}

impl Slots {
    /// Whether every request has been answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
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
    pub(super) fn push_local(&mut self, reply: Bytes) {
        self.held_bytes += reply.len() + SLOT_BYTES;
        self.queue.push_back(Slot::Local(reply));
    }

    /// Whether the reply that comes next is dropped.
    #[must_use]
    pub fn is_mute(&self) -> bool {
        matches!(self.queue.front(), Some(Slot::Awaited { mute: true, .. }))
    }

    /// How many of the next replies are treated alike.
    #[must_use]
    pub fn alike(&self) -> u32 {
        match self.queue.front() {
            Some(Slot::Awaited { count, .. }) => *count,
            _ => 0,
        }
    }

    /// Counts replies that have arrived, at most [`Slots::alike`].
    pub(super) fn complete(&mut self, count: u32) {
        debug_assert!(count <= self.alike());
        self.outstanding -= count as usize;
        if let Some(Slot::Awaited { count: front, .. }) = self.queue.front_mut() {
            *front -= count;
            if *front == 0 {
                self.queue.pop_front();
            }
        }
    }

    /// The reply that comes next has come, and waits for the push that is under way.
    pub(super) fn hold(&mut self, reply: Bytes) {
        let Some(Slot::Awaited { count, mute }) = self.queue.front_mut() else { return };
        let is_mute = *mute;
        *count -= 1;
        self.outstanding -= 1;
        if *count == 0 {
            self.queue.pop_front();
        }
        if !is_mute {
            self.held_bytes += reply.len() + SLOT_BYTES;
            self.queue.push_front(Slot::Local(reply));
        }
    }

    /// Lets out the local replies that wait for nothing.
    pub(super) fn release(&mut self, out: &mut Outbox) {
        while let Some(Slot::Local(reply)) = self.queue.front() {
            out.copy(reply);
            self.held_bytes -= reply.len() + SLOT_BYTES;
            self.queue.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
