//! The state that lives in a session's own link.

use std::sync::Arc;

use super::Queue;
use crate::command::Topic;
use crate::identity::User;
use crate::upstream::LinkId;

/// A session's own link, and what it is bound to it by.
#[derive(Debug)]
pub struct Pinned {
    /// The link.
    pub link: LinkId,
    /// Whose it counts as.
    pub user: Arc<User>,
    /// A transaction has been opened and not yet ended.
    pub transaction: Option<Transaction>,
    /// Keys are watched.
    pub watching: bool,
    /// What the session listens to.
    pub subscriptions: Subscriptions,
    /// RESET has been sent there, which ends the subscriptions: the link is closed behind it.
    pub has_left: bool,
    /// A command left state that only the connection's end removes.
    pub connection: bool,
    /// A command that names a client waits to be told which connection is meant: what follows
    /// must not overtake it.
    pub awaits_name: bool,
    /// MONITOR or SYNC has been asked for: what follows waits for whether it is allowed.
    pub awaits_stream: bool,
    /// The link's output is no longer replies (MONITOR, SYNC).
    pub stream: bool,
    /// It is MONITOR's.
    pub monitors: bool,
    /// SCRIPT DEBUG has been sent there: where a debugged script ends, its result comes behind the
    /// debugger's own answer to the last step.
    pub debugs: bool,
    /// What WAIT says on the link can be believed of the session's writes.
    pub is_marked: bool,
    /// The hash slot that it is used for, with a cluster.
    pub slot: Option<u16>,
    /// The client that invalidations go to, by the gateway's id for it.
    pub redirect: Option<u64>,
}

/// A transaction on a pinned link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Redis has yet to answer the MULTI that opens it, or the DISCARD that ends it. It may refuse
    /// either to this user.
    pub awaits: Option<Awaited>,
    /// The gateway refused a command in it: EXEC has to fail.
    pub aborted: bool,
    /// The database that the session is in after EXEC.
    pub select: Option<u32>,
    /// With a cluster: it stays at the node where it is, since its first key is there or it cannot go on.
    pub is_placed: bool,
    /// With a cluster: the requests that came before that, and so would have to be queued elsewhere.
    pub before_key: Vec<Vec<u8>>,
    /// What the gateway answers of it.
    pub queue: Queue,
}

/// What decides whether a transaction is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// MULTI's answer.
    Multi,
    /// DISCARD's.
    Discard,
}

impl Transaction {
    /// One whose MULTI is on its way.
    #[must_use]
    pub fn asked_for() -> Self {
        Self { awaits: Some(Awaited::Multi), ..Self::default() }
    }

    /// Memory of the requests that came before its first key.
    #[must_use]
    pub fn before_key_bytes(&self) -> usize {
        self.before_key.iter().map(|queued| queued.len() + size_of::<Vec<u8>>()).sum()
    }

    /// Memory that it makes the gateway hold.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.before_key_bytes() + self.queue.bytes()
    }
}

/// How many subscriptions of each kind the backend has confirmed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Subscriptions {
    /// SUBSCRIBE.
    pub channels: u64,
    /// PSUBSCRIBE.
    pub patterns: u64,
    /// SSUBSCRIBE.
    pub shards: u64,
}

impl Subscriptions {
    /// All of them.
    #[must_use]
    pub fn total(self) -> u64 {
        self.channels + self.patterns + self.shards
    }

    /// Those of one kind.
    #[must_use]
    pub fn of(self, topic: Topic) -> u64 {
        match topic {
            Topic::Channel => self.channels,
            Topic::Pattern => self.patterns,
            Topic::Shard => self.shards,
        }
    }

    /// Takes over the number in a confirmation: Redis counts channels and patterns
    /// together, shard channels apart (pubsub.c, `addReplyPubsubSubscribed`).
    pub fn confirmed(&mut self, topic: Topic, number: u64) {
        match topic {
            Topic::Channel => self.channels = number.saturating_sub(self.patterns),
            Topic::Pattern => self.patterns = number.saturating_sub(self.channels),
            Topic::Shard => self.shards = number,
        }
    }
}

impl Pinned {
    /// A link that carries no state yet.
    #[must_use]
    pub fn new(link: LinkId, user: &Arc<User>) -> Self {
        Self {
            link,
            user: Arc::clone(user),
            transaction: None,
            watching: false,
            subscriptions: Subscriptions::default(),
            has_left: false,
            connection: false,
            awaits_name: false,
            awaits_stream: false,
            stream: false,
            monitors: false,
            debugs: false,
            is_marked: false,
            slot: None,
            redirect: None,
        }
    }

    /// Whether state lives in the link, so that the session cannot do without it.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.transaction.is_some()
            || self.watching
            || self.connection
            || self.stream
            || self.subscriptions.total() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirmations_tell_how_many_of_each_kind_there_are() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.confirmed(Topic::Channel, 1);
        subscriptions.confirmed(Topic::Pattern, 2);
        subscriptions.confirmed(Topic::Pattern, 3);
        subscriptions.confirmed(Topic::Shard, 1);
        assert_eq!(subscriptions, Subscriptions { channels: 1, patterns: 2, shards: 1 });
        subscriptions.confirmed(Topic::Channel, 2);
        subscriptions.confirmed(Topic::Shard, 0);
        assert_eq!(subscriptions, Subscriptions { channels: 0, patterns: 2, shards: 0 });
        assert_eq!(subscriptions.total(), 2);
    }
}
