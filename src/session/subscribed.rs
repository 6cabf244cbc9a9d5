//! What one client listens to over a link that it shares with others, and the
//! words in which it is told. Which link that is and who else listens is the
//! worker's to know.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Session, Subscriptions};
use crate::command::Topic;
use crate::resp::{Proto, SHARE_MIN, write};
use crate::upstream::LinkId;

/// What a name weighs besides its bytes: its places in the client's set and in the
/// worker's, each with its share of the set's own memory.
const NAME_BYTES: usize = 200;

/// A client's subscriptions over a shared link.
#[derive(Debug)]
pub struct Subscribed {
    /// The link, the same for as long as there is any subscription.
    pub link: LinkId,
    /// Requests on it that have not been answered.
    pub asked: usize,
    /// What the names in those weigh.
    pub asked_bytes: usize,
    names: [BTreeSet<Bytes>; 3],
    /// Invariant: what `names` weigh.
    bytes: usize,
}

/// What names weigh.
#[must_use]
pub fn weight<'a>(names: impl Iterator<Item = &'a [u8]>) -> usize {
    names.map(|name| name.len() + NAME_BYTES).sum()
}

impl Subscribed {
    /// Nothing yet, on this link.
    #[must_use]
    pub fn new(link: LinkId) -> Self {
        Self { link, asked: 0, asked_bytes: 0, names: Default::default(), bytes: 0 }
    }

    /// The names of one kind, in order.
    pub fn names(&self, topic: Topic) -> impl Iterator<Item = &Bytes> {
        self.names[topic as usize].iter()
    }

    /// Adds a name that Redis has confirmed.
    pub fn add(&mut self, topic: Topic, name: Bytes) {
        let weight = weight([&*name].into_iter());
        if self.names[topic as usize].insert(name) {
            self.bytes += weight;
        }
    }

    /// Takes a name away; false when it was not there.
    pub fn remove(&mut self, topic: Topic, name: &[u8]) -> bool {
        let was_there = self.names[topic as usize].remove(name);
        if was_there {
            self.bytes -= weight([name].into_iter());
        }
        was_there
    }

    /// Whether there is no subscription.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.iter().all(BTreeSet::is_empty)
    }

    /// What its names weigh, those asked for included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes + self.asked_bytes
    }

    /// How many there are of each kind.
    #[must_use]
    pub fn counts(&self) -> Subscriptions {
        let [channels, patterns, shards] = [0, 1, 2].map(|kind: usize| self.names[kind].len() as u64);
        Subscriptions { channels, patterns, shards }
    }
}

/// The first word of a confirmation, and the command of the same name.
#[must_use]
pub fn word(topic: Topic, adds: bool) -> &'static str {
    match (topic, adds) {
        (Topic::Channel, true) => "subscribe",
        (Topic::Channel, false) => "unsubscribe",
        (Topic::Pattern, true) => "psubscribe",
        (Topic::Pattern, false) => "punsubscribe",
        (Topic::Shard, true) => "ssubscribe",
        (Topic::Shard, false) => "sunsubscribe",
    }
}

/// Writes a confirmation as Redis does (pubsub.c, `addReplyPubsubSubscribed`). Without
/// a name there was nothing to unsubscribe from.
pub fn confirm(
    proto: Proto,
    (topic, adds): (Topic, bool),
    name: Option<&[u8]>,
    counts: Subscriptions,
    into: &mut Vec<u8>,
) {
    let count = match topic {
        Topic::Channel | Topic::Pattern => counts.channels + counts.patterns,
        Topic::Shard => counts.shards,
    };
    let (head, null): (&[u8], &[u8]) = match proto {
        Proto::Resp2 => (b"*3\r\n", b"$-1\r\n"),
        Proto::Resp3 => (b">3\r\n", b"_\r\n"),
    };
    into.extend_from_slice(head);
    into.extend_from_slice(&write::bulk(word(topic, adds).as_bytes()));
    match name {
        Some(name) => into.extend_from_slice(&write::bulk(name)),
        None => into.extend_from_slice(null),
    }
    into.extend_from_slice(format!(":{count}\r\n").as_bytes());
}

/// The answer to PING while a RESP2 client is subscribed.
#[must_use]
pub fn pong(argument: &[u8]) -> Vec<u8> {
    [b"*2\r\n$4\r\npong\r\n", write::bulk(argument).as_slice()].concat()
}

/// A message as Redis sends it in RESP3, for one or thousands of clients.
#[derive(Debug)]
pub enum Message<'a> {
    /// Copied for each.
    Small(&'a [u8]),
    /// One buffer for all of them.
    Large {
        /// The frame.
        bytes: Bytes,
        /// For how many clients it is.
        readers: usize,
    },
}

impl Session {
    /// Whether what it listens to over a shared link has it in RESP2's subscribed mode, or is
    /// about to.
    #[must_use]
    pub fn is_modal_by_sharing(&self) -> bool {
        self.proto == Proto::Resp2 && self.subscribed.is_some()
    }

    /// Gives the client a message; behind the reply or push that is being passed on in
    /// pieces, if there is one.
    pub fn hear(&mut self, message: &Message<'_>) {
        let frame: &[u8] = match message {
            Message::Small(frame) => frame,
            Message::Large { bytes, .. } => bytes,
        };
        // RESP2 has no pushes: the same elements are an array there.
        let head: &[u8] = if self.proto == Proto::Resp2 { b"*" } else { &frame[..1] };
        if self.mid_frame {
            self.held.push(Bytes::from([head, &frame[1..]].concat()));
            return;
        }
        self.out.copy(head);
        match message {
            Message::Small(frame) => self.out.copy(&frame[1..]),
            Message::Large { bytes, readers } => self.out.share_among(bytes.slice(1..), *readers),
        }
    }

    /// Gives the client whole frames of the gateway's own; behind the reply or push that
    /// is being passed on in pieces, if there is one.
    pub fn say(&mut self, frames: &[u8]) {
        if self.mid_frame {
            self.held.push(Bytes::copy_from_slice(frames));
        } else {
            self.out.copy(frames);
        }
    }

    /// What was passed on in pieces has ended: what came meanwhile follows.
    pub fn frame_ended(&mut self) {
        self.mid_frame = false;
        for frame in std::mem::take(&mut self.held) {
            if frame.len() < SHARE_MIN {
                self.out.copy(&frame);
            } else {
                self.out.share(frame);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirmation_counts_channels_and_patterns_together_and_shards_apart() {
        let link = LinkId { index: 0, generation: 0 };
        let mut subscribed = Subscribed::new(link);
        subscribed.add(Topic::Channel, Bytes::from_static(b"a"));
        subscribed.add(Topic::Channel, Bytes::from_static(b"a"));
        subscribed.add(Topic::Pattern, Bytes::from_static(b"a*"));
        subscribed.add(Topic::Shard, Bytes::from_static(b"s"));
        let counts = subscribed.counts();
        let mut text = Vec::new();
        confirm(Proto::Resp3, (Topic::Pattern, true), Some(b"a*"), counts, &mut text);
        confirm(Proto::Resp2, (Topic::Shard, false), None, counts, &mut text);
        let expected =
            b">3\r\n$10\r\npsubscribe\r\n$2\r\na*\r\n:2\r\n*3\r\n$12\r\nsunsubscribe\r\n$-1\r\n:1\r\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn names_weigh_something_until_they_are_gone() {
        let mut subscribed = Subscribed::new(LinkId { index: 0, generation: 0 });
        subscribed.add(Topic::Channel, Bytes::from_static(b"abc"));
        assert_eq!(subscribed.bytes(), 3 + NAME_BYTES);
        assert!(subscribed.remove(Topic::Channel, b"abc") && !subscribed.remove(Topic::Channel, b"abc"));
        assert!(subscribed.is_empty() && subscribed.bytes() == 0);
    }
}
