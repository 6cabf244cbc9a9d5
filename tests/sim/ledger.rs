//! What the backend has received and answered, by the unique tag that every
//! request carries, and what follows from it: nothing runs twice, nothing runs that
//! a client was told had not been sent, and a session's requests run in order.

use std::collections::{HashMap, HashSet};

use super::listener::Published;

/// The client's number and its request's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tag {
    pub(crate) client: usize,
    pub(crate) seq: usize,
}

impl Tag {
    pub(crate) fn text(self) -> String {
        format!("#{}.{}", self.client, self.seq)
    }

    /// The tag at the end of an argument.
    pub(crate) fn find(arg: &[u8]) -> Option<Self> {
        let at = arg.iter().position(|&byte| byte == b'#')?;
        let text = std::str::from_utf8(&arg[at + 1..]).ok()?;
        let text = text.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let (client, seq) = text.split_once('.')?;
        Some(Self { client: client.parse().ok()?, seq: seq.parse().ok()? })
    }
}

/// An argument without its tag: the key that is meant.
pub(crate) fn key(arg: &[u8]) -> &[u8] {
    arg.split(|&byte| byte == b'#').next().unwrap_or(arg)
}

/// A request that has reached the backend.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) conn: usize,
    pub(crate) user: String,
    pub(crate) db: u32,
    pub(crate) proto: u8,
    pub(crate) reply: Option<Vec<u8>>,
}

/// An EXEC that has run.
#[derive(Debug)]
pub(crate) struct Executed {
    pub(crate) conn: usize,
    /// The reply, without what the gateway is to answer in it.
    pub(crate) parts: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) entries: HashMap<Tag, Entry>,
    /// By the first tag that was queued.
    pub(crate) executed: HashMap<Tag, Executed>,
    /// Their clients were told that they had not been sent.
    not_sent: HashSet<Tag>,
    /// Transactions that must not run, by the first tag queued.
    not_executed: HashSet<Tag>,
    last: HashMap<usize, usize>,
    pub(crate) published: Published,
}

impl Ledger {
    /// A request has arrived whole. `live`: the gateway still has the connection.
    pub(crate) fn receive(&mut self, tag: Tag, entry: Entry, live: bool) {
        assert!(!self.not_sent.contains(&tag), "{tag:?} runs, and its client was told it had not been sent");
        if live {
            let last = self.last.entry(tag.client).or_default();
            assert!(tag.seq > *last, "{tag:?} runs after request {last} of its client");
            *last = tag.seq;
        }
        let before = self.entries.insert(tag, entry);
        assert!(before.is_none(), "{tag:?} reached the backend twice");
    }

    pub(crate) fn answer(&mut self, tag: Tag, reply: &[u8]) {
        self.entries.get_mut(&tag).expect("received before").reply = Some(reply.to_vec());
    }

    /// A client was told that this had not been sent.
    pub(crate) fn forbid(&mut self, tag: Tag) {
        let seen = self.entries.contains_key(&tag);
        assert!(!seen, "{tag:?} was said not to have been sent, and reached the backend");
        self.not_sent.insert(tag);
    }

    /// A client was told that its transaction would not run.
    pub(crate) fn forbid_exec(&mut self, first: Tag) {
        let ran = self.executed.contains_key(&first);
        assert!(!ran, "the transaction of {first:?} was said not to run, and did");
        self.not_executed.insert(first);
    }

    pub(crate) fn execute(&mut self, first: Tag, executed: Executed) {
        assert!(!self.not_executed.contains(&first), "the transaction of {first:?} runs, and must not");
        let before = self.executed.insert(first, executed);
        assert!(before.is_none(), "the transaction of {first:?} ran twice");
    }
}
