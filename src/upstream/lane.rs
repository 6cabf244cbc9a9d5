//! A lane: everything that may share a connection. Two Redis users never do.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use super::{Backoff, Learned, LinkId, NodeId, Server, Trouble};
use crate::identity::Credential;
use crate::resp::Proto;
use crate::session::SessionId;

/// What all requests on a link have in common.
#[derive(Debug, Clone)]
pub struct LaneKey {
    /// Where its links are made to.
    pub node: NodeId,
    /// Whom the link speaks for. A changed password makes another lane, whose links
    /// greet anew.
    pub credential: Arc<Credential>,
    /// The protocol version that Redis formats its replies in.
    pub proto: Proto,
    /// The database index.
    pub db: u32,
}

impl LaneKey {
    /// Whether it is at this node, for this user with this password.
    #[must_use]
    pub fn is_of(&self, node: NodeId, credential: &Arc<Credential>) -> bool {
        self.node == node && (Arc::ptr_eq(&self.credential, credential) || self.credential == *credential)
    }
}

impl PartialEq for LaneKey {
    fn eq(&self, other: &Self) -> bool {
        (self.node, self.proto, self.db) == (other.node, other.proto, other.db)
            && (Arc::ptr_eq(&self.credential, &other.credential) || self.credential == other.credential)
    }
}

impl Eq for LaneKey {}

impl LaneKey {
    /// Whether the other one is the same at another node, or the same.
    #[must_use]
    pub fn differs_in_node_alone(&self, other: &Self) -> bool {
        *self == Self { node: self.node, ..other.clone() }
    }
}

impl Hash for LaneKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.node, &self.credential.redis_user, self.proto, self.db).hash(state);
    }
}

/// A lane's place in its worker.
pub type LaneId = usize;

/// A lane of one worker.
#[derive(Debug)]
pub struct Lane {
    /// What it is for.
    pub key: LaneKey,
    /// The links that new requests may use.
    pub shared: Vec<LinkId>,
    /// The link for what must not queue behind other requests.
    pub control: Option<LinkId>,
    /// The link for subscriptions that sessions share; in lanes of RESP3 and database 0.
    pub subscriber: Option<LinkId>,
    /// What the backend said of itself to the last link that was greeted.
    pub server: Option<Server>,
    /// Whether this Redis user may ECHO, without which nothing proves a link in step.
    pub fences: bool,
    /// What the backend said of commands that the table does not know.
    pub learned: Learned,
    /// Failed greetings of this lane.
    pub backoff: Backoff,
    /// Why the last of them failed.
    pub trouble: Option<Trouble>,
    /// When it was tried last, if it has not been greeted since.
    pub tried_at: Option<Instant>,
    /// Sessions that wait for the first greeting to end, well or badly.
    pub waiters: Vec<SessionId>,
    /// Sessions whose next request would use this lane.
    pub sessions: usize,
    /// Links that belong to it, of every role.
    pub links: usize,
}

impl Lane {
    /// A lane that nothing is known of.
    #[must_use]
    pub fn new(key: LaneKey) -> Self {
        Self {
            key,
            shared: Vec::new(),
            control: None,
            subscriber: None,
            server: None,
            fences: true,
            learned: Learned::default(),
            backoff: Backoff::default(),
            trouble: None,
            tried_at: None,
            waiters: Vec::new(),
            sessions: 0,
            links: 0,
        }
    }
}
