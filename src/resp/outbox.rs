//! Bytes waiting to be written to one socket: small runs are copied together,
//! large ones are shared.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

/// A run of this many bytes or more is shared rather than copied.
pub const SHARE_MIN: usize = 16 * 1024;

/// Copied runs are gathered up to about this size before a new part is begun.
const PART_BYTES: usize = 64 * 1024;

/// Room for the first run: others mostly follow.
const FIRST_BYTES: usize = 512;

/// Left free before bytes that are copied once more by whoever writes them.
///
/// rustls copies what a record carries to five bytes behind the beginning of an allocation, and of a page where the
/// record is large. AMD's Zen 3 and 4 copy there from the beginning of another page at a twentieth of their speed: glibc
/// copies more than 2 KiB by `rep movsb`, which is slow where the target is by up to 16 bytes farther into its
/// page than the source (glibc bug 30994).
pub const LEAD: usize = 64;

/// Bytes waiting to be written, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    parts: VecDeque<Part>,
    /// Invariant: the sum of the lengths of `parts`.
    len: usize,
    /// Invariant: the sum of what of `parts` is other outboxes' to answer for.
    others: usize,
}

#[derive(Debug)]
enum Part {
    Copied {
        bytes: Vec<u8>,
        written: usize,
    },
    Shared(Bytes),
    /// In several outboxes at once, and so much of it the others'.
    Common(Bytes, usize),
}

impl Part {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied { bytes, written } => &bytes[*written..],
            Self::Shared(bytes) | Self::Common(bytes, _) => bytes,
        }
    }
}

impl Outbox {
    /// Bytes waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a copy of these bytes.
    pub fn copy(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.len += bytes.len();
        if let Some(Part::Copied { bytes: last, .. }) = self.parts.back_mut()
            && last.len() < PART_BYTES
        {
            last.extend_from_slice(bytes);
            return;
        }
        let mut first = Vec::with_capacity((LEAD + bytes.len()).max(FIRST_BYTES));
        first.resize(LEAD, 0);
        first.extend_from_slice(bytes);
        self.parts.push_back(Part::Copied { bytes: first, written: LEAD });
    }

    /// Appends these bytes without copying them, unless they are few.
    pub fn share(&mut self, bytes: Bytes) {
        if bytes.len() < SHARE_MIN {
            self.copy(&bytes);
        } else {
            self.len += bytes.len();
            self.parts.push_back(Part::Shared(bytes));
        }
    }

    /// As `share`, of bytes that so many outboxes get: each holds a part of them.
    pub fn share_among(&mut self, bytes: Bytes, outboxes: usize) {
        let others = bytes.len() - bytes.len().div_ceil(outboxes.max(1));
        self.len += bytes.len();
        self.others += others;
        self.parts.push_back(Part::Common(bytes, others));
    }

    /// Memory that is held for what waits, of what is in several outboxes its part.
    #[must_use]
    pub fn held(&self) -> usize {
        self.len - self.others.min(self.len)
    }

    /// The bytes to write next; empty when nothing waits.
    #[must_use]
    pub fn front(&self) -> &[u8] {
        self.parts.front().map_or(&[], Part::bytes)
    }

    /// Removes bytes that have been written.
    pub fn advance(&mut self, mut count: usize) {
        debug_assert!(count <= self.len);
        self.len -= count;
        while let Some(part) = self.parts.front_mut() {
            let here = part.bytes().len();
            if count < here {
                match part {
                    Part::Copied { written, .. } => *written += count,
                    Part::Shared(bytes) | Part::Common(bytes, _) => bytes.advance(count),
                }
                return;
            }
            count -= here;
            if let Part::Common(_, others) = part {
                self.others -= *others;
            }
            self.parts.pop_front();
        }
    }

    /// Gives memory back where nothing waits.
    pub fn rest(&mut self) {
        if self.parts.is_empty() {
            self.parts = VecDeque::new();
        }
    }

    /// Drops everything that waits.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_they_came_whatever_is_written_at_a_time() {
        let large = Bytes::from(vec![b'L'; SHARE_MIN]);
        for step in [1, 7, 1000, 1 << 20] {
            let mut outbox = Outbox::default();
            outbox.copy(b"first ");
            outbox.share(Bytes::from_static(b"second "));
            outbox.share(large.clone());
            outbox.copy(b"last");
            outbox.share_among(large.clone(), 4);
            let expected = [b"first second ".as_slice(), &large, b"last", &large].concat();
            assert_eq!(outbox.len(), expected.len());
            assert_eq!(outbox.held(), expected.len() - SHARE_MIN / 4 * 3, "a fourth of it is its own");
            let mut written = Vec::new();
            while !outbox.is_empty() {
                let front = outbox.front();
                let n = step.min(front.len());
                written.extend_from_slice(&front[..n]);
                outbox.advance(n);
            }
            assert_eq!(written, expected);
            assert_eq!(outbox.held(), 0);
            assert!(outbox.front().is_empty());
        }
    }
}
