//! One client of the model cluster: what it asks, and what may come back for it.

use std::collections::VecDeque;

use respgate::resp::SHARE_MIN;

use super::super::dice::Dice;
use super::super::frame::{array, bulk, command, frame_len, null_array, show};
use super::nodes::{NODES, Nodes, Tag, everything, padded};

/// Hash tags, each of another slot.
pub(super) const TAGS: usize = 9;

/// A request that has not been answered.
#[derive(Debug)]
struct Asked {
    seq: u64,
    /// The right answer; for DBSIZE any number of nodes.
    want: Vec<u8>,
    keys: Vec<Vec<u8>>,
    /// Whether it changes something, and goes to several nodes.
    changes_by_parts: bool,
    /// Whether a slot that moves may have it refused: it has several keys of one slot, or is on a link
    /// of the session's own.
    may_be_refused: bool,
}

pub(super) struct Client {
    number: usize,
    pub(super) to_send: Vec<u8>,
    pub(super) received: Vec<u8>,
    asked: VecDeque<Asked>,
    seq: u64,
    /// Replies that were errors, which say what has not run or is not known to have.
    pub(super) lost: usize,
    pub(super) answered: usize,
}

/// What may be said of a request.
pub(super) struct Terms {
    /// Whether a link has been lost in this run.
    pub(super) has_lost: bool,
}

impl Client {
    pub(super) fn new(number: usize) -> Self {
        Self {
            number,
            to_send: Vec::new(),
            received: Vec::new(),
            asked: VecDeque::new(),
            seq: 0,
            lost: 0,
            answered: 0,
        }
    }

    pub(super) fn awaits(&self) -> usize {
        self.asked.len()
    }

    /// Writes a few requests.
    pub(super) fn plan(&mut self, dice: &mut Dice) {
        for _ in 0..dice.between(1, 12) {
            self.seq += 1;
            let tag = format!("{}:{}", self.number, self.seq).into_bytes();
            // Of these a client has few: what comes later for one must not overtake.
            let own = format!("{{{}}}{}", dice.below(TAGS), self.number).into_bytes();
            let fresh: Vec<Vec<u8>> = (0..dice.between(1, 5))
                .map(|n| {
                    [format!("{{{}}}", dice.below(TAGS)).as_bytes(), &tag, format!(":{n}").as_bytes()]
                        .concat()
                })
                .collect();
            let several = |name: &[u8]| {
                command(&std::iter::once(name).chain(fresh.iter().map(|key| &key[..])).collect::<Vec<_>>())
            };
            let ok = || b"+OK\r\n".to_vec();
            let (bytes, want, keys, may_be_refused) = match dice.below(15) {
                0..3 => (command(&[b"SET", &own[..], &tag]), ok(), vec![own], false),
                3..5 => {
                    // Now and then a reply that is not copied, behind or before others of the same node.
                    let more = if dice.one_in(8) { SHARE_MIN } else { 0 };
                    let bytes = command(&[b"GETRANGE", &own[..], more.to_string().as_bytes(), &tag]);
                    (bytes, bulk(&padded(&tag, more)), vec![own], false)
                }
                12 | 13 => {
                    // While their slot moves they may be on both sides: this waits where others go on.
                    let pair = [own.clone(), [&own[..], b"'"].concat()];
                    let bytes = command(&[b"MSET", &pair[0][..], &tag, &pair[1], &tag]);
                    (bytes, ok(), pair.to_vec(), true)
                }
                5 => {
                    let script = [b"EVAL", &b"return ARGV[1]"[..], b"1", &own[..], &tag];
                    (command(&script), bulk(&tag), vec![own], false)
                }
                6 => (command(&[&b"PING"[..], &tag]), bulk(&tag), Vec::new(), false),
                7 => (command(&[b"DBSIZE"]), Vec::new(), Vec::new(), false),
                8 => {
                    let key = fresh[0].clone();
                    (command(&[b"BLPOP", &key[..], b"0.01"]), null_array(2), vec![key], true)
                }
                9 => {
                    let sum = format!(":{}\r\n", fresh.len()).into_bytes();
                    (several(b"DEL"), sum, fresh.clone(), true)
                }
                14 => {
                    let all = (0..NODES).map(everything).collect();
                    (command(&[&b"FLUSHALL"[..], &tag]), ok(), all, false)
                }
                _ => {
                    let all = array(&fresh.iter().map(|key| bulk(key)).collect::<Vec<_>>());
                    (several(b"MGET"), all, fresh.clone(), true)
                }
            };
            let changes_by_parts = bytes.windows(5).any(|word| word == b"DEL\r\n" || word == b"FLUSH");
            self.to_send.extend(bytes);
            self.asked.push_back(Asked { seq: self.seq, want, keys, changes_by_parts, may_be_refused });
        }
    }

    /// Reads what has come, and holds it against what was asked and what has run.
    pub(super) fn check(&mut self, nodes: &Nodes, terms: &Terms) {
        while let Some(len) = frame_len(&self.received).filter(|_| !self.received.is_empty()) {
            let reply: Vec<u8> = self.received.drain(..len).collect();
            let asked = self.asked.pop_front();
            let asked = asked.unwrap_or_else(|| panic!("{:?} answers nothing", show(&reply)));
            self.answered += 1;
            self.lost += usize::from(reply[0] == b'-');
            judge(&asked, (self.number, asked.seq), &reply, nodes, terms);
        }
    }
}

fn judge(asked: &Asked, tag: Tag, reply: &[u8], nodes: &Nodes, terms: &Terms) {
    let ran = asked.keys.iter().filter(|key| nodes.has_run(tag, key)).count();
    let said = || format!("{tag:?} {asked:?}: {:?}, {ran} have run", show(reply));
    let text = std::str::from_utf8(reply).unwrap_or_default();
    // What only reads may have been read in part where another part was refused.
    let has_not_run = ran == 0 || (asked.keys.len() > 1 && !asked.changes_by_parts);
    match text.trim_end() {
        "-ERR respgate: connection to the backend was lost, outcome unknown" => {
            assert!(terms.has_lost, "{}", said());
        }
        "-ERR respgate: not every node has run its part, outcome unknown" => {
            let is_counted = asked.changes_by_parts && asked.keys.len() > 1;
            assert!(is_counted || (asked.want.is_empty() && terms.has_lost), "{}", said());
        }
        "-ERR respgate: backend unavailable, command not sent" => {
            assert!(terms.has_lost && has_not_run, "{}", said());
        }
        "-CLUSTERDOWN respgate: the hash slot is not served, command not run" => {
            assert!((terms.has_lost || nodes.says.is_some()) && has_not_run, "{}", said());
        }
        "-TRYAGAIN respgate: the hash slot is on its way between nodes, command not run" => {
            assert!(asked.may_be_refused && has_not_run, "{}", said());
        }
        text if asked.want.is_empty() => {
            let count = text.strip_prefix(':').and_then(|count| count.parse().ok());
            assert!(count.is_some_and(|count| (1..=NODES).contains(&count)), "{}", said());
        }
        _ => assert!(reply == asked.want && ran == asked.keys.len(), "{}", said()),
    }
}
