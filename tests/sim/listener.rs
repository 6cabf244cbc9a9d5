//! What a client hears of what is published, held against what the backend has
//! published: nothing missing, nothing twice, nothing out of turn, from its
//! subscription to the end of it, whichever way the messages take.

use std::collections::BTreeMap;

use super::frame::{bulk, null, push, show};

/// Every message published, by channel, in order.
pub(crate) type Published = BTreeMap<Vec<u8>, Vec<Vec<u8>>>;

/// How many there are of each channel at some time.
pub(crate) type Lengths = BTreeMap<Vec<u8>, usize>;

pub(crate) fn lengths(published: &Published) -> Lengths {
    published.iter().map(|(channel, messages)| (channel.clone(), messages.len())).collect()
}

/// A channel or pattern; in the model a pattern fits the channel of its name only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) is_pattern: bool,
    pub(crate) text: Vec<u8>,
}

/// One subscription.
#[derive(Debug)]
struct Period {
    /// Where in the channel's messages it can have begun.
    earliest: usize,
    latest: usize,
    /// The place of the next message, once there has been one.
    next: Option<usize>,
}

/// One client's subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    periods: BTreeMap<Name, Period>,
}

impl Listener {
    pub(crate) fn is_subscribed(&self) -> bool {
        !self.periods.is_empty()
    }

    /// How many channels, or patterns, there are.
    pub(crate) fn count(&self, is_pattern: bool) -> usize {
        self.periods.keys().filter(|name| name.is_pattern == is_pattern).count()
    }

    /// The frames that confirm a SUBSCRIBE, and what they change.
    pub(crate) fn subscribed(
        &mut self,
        proto: u8,
        names: &[Name],
        (before, published): (&Lengths, &Published),
    ) -> Vec<u8> {
        let mut expected = Vec::new();
        for name in names {
            let earliest = before.get(&name.text).copied().unwrap_or_default();
            let latest = published.get(&name.text).map_or(0, Vec::len);
            self.periods.entry(name.clone()).or_insert(Period { earliest, latest, next: None });
            let word: &[u8] = if name.is_pattern { b"psubscribe" } else { b"subscribe" };
            expected.extend(self.confirmation(proto, word, Some(&name.text)));
        }
        expected
    }

    /// The frames that confirm an UNSUBSCRIBE of these, and what they change. Whatever
    /// was published `before` it was sent has come.
    pub(crate) fn unsubscribed(&mut self, proto: u8, name: &Name, before: &Lengths) -> Vec<u8> {
        if let Some(period) = self.periods.remove(name) {
            let due = before.get(&name.text).copied().unwrap_or_default();
            let missed = period.next.unwrap_or(period.latest) < due;
            assert!(!missed, "{name:?} {period:?} ends, and {due} messages were published before that");
        }
        let word: &[u8] = if name.is_pattern { b"punsubscribe" } else { b"unsubscribe" };
        self.confirmation(proto, word, Some(&name.text))
    }

    /// As above, of all that there are of one kind; their order is the backend's.
    pub(crate) fn all_unsubscribed(&mut self, proto: u8, is_pattern: bool, reply: &[u8], before: &Lengths) {
        let names: Vec<Name> =
            self.periods.keys().filter(|it| it.is_pattern == is_pattern).cloned().collect();
        if names.is_empty() {
            let word: &[u8] = if is_pattern { b"punsubscribe" } else { b"unsubscribe" };
            assert_eq!(show(reply), show(&self.confirmation(proto, word, None)));
        }
        let mut rest = reply;
        let mut left = names.len();
        while left > 0 {
            let len = super::frame::frame_len(rest).expect("as many frames as there were subscriptions");
            let (frame, behind) = rest.split_at(len);
            let words: Vec<&[u8]> = frame.split(|&byte| byte == b'\n').collect();
            let text = words[4].strip_suffix(b"\r").expect("a bulk").to_vec();
            let expected = self.unsubscribed(proto, &Name { is_pattern, text }, before);
            assert_eq!(show(frame), show(&expected));
            rest = behind;
            left -= 1;
        }
        assert_eq!(self.count(is_pattern), 0);
    }

    /// Everything has ended with no word about each.
    pub(crate) fn start_over(&mut self) {
        self.periods.clear();
    }

    fn confirmation(&self, proto: u8, word: &[u8], name: Option<&[u8]>) -> Vec<u8> {
        let name = name.map_or_else(|| null(proto), bulk);
        push(proto, &[bulk(word), name, format!(":{}\r\n", self.periods.len()).into_bytes()])
    }

    /// A message has come.
    pub(crate) fn hears(&mut self, proto: u8, frame: &[u8], published: &Published) {
        let head: &[u8] = if proto == 3 { b">" } else { b"*" };
        assert!(frame.starts_with(head), "{} in RESP{proto}", show(frame));
        let words: Vec<&[u8]> = frame.split(|&byte| byte == b'\n').collect();
        let is_pattern = words[2] == b"pmessage\r";
        let text = words[4].strip_suffix(b"\r").expect("a bulk").to_vec();
        let payload = words[if is_pattern { 8 } else { 6 }].strip_suffix(b"\r").expect("a bulk");
        let name = Name { is_pattern, text };
        let Some(period) = self.periods.get_mut(&name) else {
            panic!("{} comes for {name:?}, which is not subscribed to", show(frame));
        };
        let all = &published[&name.text];
        let at = match period.next {
            Some(next) => {
                assert_eq!(all.get(next).map(|it| show(it)), Some(show(payload)), "{name:?} {period:?}");
                next
            }
            None => {
                let at = all.iter().position(|it| it == payload).expect("published before it is heard");
                let fits = (period.earliest..=period.latest).contains(&at);
                assert!(fits, "the first message of {name:?} {period:?} is number {at}");
                at
            }
        };
        period.next = Some(at + 1);
    }

    /// Nothing is under way any more: all has been heard.
    pub(crate) fn has_heard_all(&self, published: &Published) -> Result<(), String> {
        for (name, period) in &self.periods {
            let all = published.get(&name.text).map_or(0, Vec::len);
            if period.next.unwrap_or(period.latest) < all {
                return Err(format!("{name:?} {period:?} of {all}"));
            }
        }
        Ok(())
    }
}
