//! A request to a cluster on its way: kept until it is answered, so that it can be sent again where
//! a node has said that it did not run it. It knows no node but by number.

use std::time::Instant;

use bytes::Bytes;

use super::joined::Joined;
use crate::resp::SmallBytes;
use crate::upstream::NodeId;

/// Who is to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Whoever has this hash slot.
    Slot(u16),
    /// This node and no other.
    Node(NodeId),
    /// Any master.
    Any,
}

/// A request on its way.
#[derive(Debug, Clone)]
pub struct Flight {
    /// All of its bytes.
    pub bytes: SmallBytes,
    /// Who is to answer.
    pub to: To,
    /// Whether a fence has to follow it.
    pub is_script: bool,
    /// Whether it needs a link of the session's own.
    pub is_pinned: bool,
    /// Whether it must not queue behind what it is to stop.
    pub is_control: bool,
    /// Whether it is not, or no more, where it was sent first.
    pub is_astray: bool,
    /// The node that it was sent to last, while that has to answer it.
    pub at: Option<NodeId>,
    /// Redirects followed since it last waited.
    pub hops: u8,
    /// Answers that said to try again.
    pub tries: u8,
    /// Until when it may wait for somebody to serve its slot, once it has to.
    pub until: Option<Instant>,
}

impl Flight {
    /// A request that has not been sent.
    #[must_use]
    pub fn new(bytes: impl Into<SmallBytes>, to: To) -> Self {
        Self {
            bytes: bytes.into(),
            to,
            is_script: false,
            is_pinned: false,
            is_control: false,
            is_astray: false,
            at: None,
            hops: 0,
            tries: 0,
            until: None,
        }
    }
}

/// One request, or the parts that it was split into.
#[derive(Debug)]
pub(super) enum Way {
    /// The request as it is.
    Whole(Flight),
    /// Its parts, and how their replies become one.
    Split(Box<Split>),
}

/// The parts of a request.
#[derive(Debug)]
pub struct Split {
    parts: Vec<Part>,
    /// Parts without a reply.
    left: usize,
    /// Invariant: the sum of the lengths of the replies that have come.
    weight: usize,
    /// One of the replies that have come is that of the whole.
    is_decided: bool,
    joined: Joined,
}

/// What a part weighs until all are answered, besides its bytes and its reply: itself, its ticket, how
/// it is parked, and where its elements belong, with what the allocator adds.
const PART_BYTES: usize = 512;

#[derive(Debug)]
struct Part {
    flight: Flight,
    reply: Option<SmallBytes>,
}

impl Way {
    /// The flight of this part; 0 of a whole request.
    pub(super) fn flight(&mut self, part: u32) -> Option<&mut Flight> {
        match self {
            Self::Whole(flight) => (part == 0).then_some(flight),
            Self::Split(split) => {
                let part = split.parts.get_mut(usize::try_from(part).ok()?)?;
                part.reply.is_none().then_some(&mut part.flight)
            }
        }
    }

    /// The flights that are not answered, and which parts they are.
    pub(super) fn awaited(&self) -> impl Iterator<Item = (u32, &Flight)> {
        let (whole, parts) = match self {
            Self::Whole(flight) => (Some((0, flight)), None),
            Self::Split(split) => (None, Some((0..).zip(&split.parts))),
        };
        let parts = parts.into_iter().flatten().filter(|(_, part)| part.reply.is_none());
        whole.into_iter().chain(parts.map(|(number, part)| (number, &part.flight)))
    }

    /// Memory that it takes to keep it.
    pub(super) fn kept(&self) -> usize {
        match self {
            Self::Whole(flight) => flight.bytes.len(),
            Self::Split(split) => split.parts.iter().map(|part| part.flight.bytes.len() + PART_BYTES).sum(),
        }
    }

    /// Replies that it awaits.
    pub(super) fn left(&self) -> usize {
        match self {
            Self::Whole(_) => 1,
            Self::Split(split) => split.left,
        }
    }
}

impl Split {
    /// The parts of a request; at least one.
    #[must_use]
    pub fn new(flights: Vec<Flight>, joined: Joined) -> Self {
        let left = flights.len();
        let parts = flights.into_iter().map(|flight| Part { flight, reply: None }).collect();
        Self { parts, left, weight: 0, is_decided: false, joined }
    }

    /// Takes the reply of a part. True if it was awaited.
    pub(super) fn arrived(&mut self, part: u32, reply: SmallBytes) -> bool {
        let Some(part) = usize::try_from(part).ok().and_then(|part| self.parts.get_mut(part)) else {
            return false;
        };
        let awaited = part.reply.is_none();
        if awaited {
            self.weight += reply.len();
            self.is_decided |= self.joined.is_decided_by(&reply);
            part.reply = Some(reply);
            self.left -= 1;
        }
        awaited
    }

    /// Memory of the replies that have come.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// Parts that are not waited for once there is the reply of the whole, and how many of them are astray.
    pub(super) fn left_behind(&self) -> (usize, usize) {
        let left = self.parts.iter().filter(|part| part.reply.is_none());
        (self.left, left.filter(|part| part.flight.is_astray).count())
    }

    /// The reply that the client gets, once all parts have theirs or one is enough.
    pub(super) fn reply(&self) -> Option<Bytes> {
        // There may be thousands, and this is asked for each.
        if self.left > 0 && !self.is_decided {
            return None;
        }
        let replies: Vec<&[u8]> = self.parts.iter().filter_map(|part| part.reply.as_deref()).collect();
        Some(self.joined.of(&replies))
    }
}
