//! What is behind the gateway, as the machines name it. Where a node is and how it is spoken to
//! is known to whoever opens the connections.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Role;
use super::cluster::Topology;
use crate::identity::Credential;

/// Credentials by their Redis user.
pub type Credentials = BTreeMap<String, Arc<Credential>>;

/// A place that connections are made to, in one way. The number is given by whoever makes them,
/// never to another place again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// One of the configuration's databases: the same number for as long as one of its name is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DatabaseId(pub u32);

/// How a database is reached now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Where its commands go; of a cluster, those that go nowhere else.
    pub node: NodeId,
    /// Whether it is known where that is.
    pub is_found: bool,
    /// What the node has to be; on another nothing is written.
    pub role: Option<Role>,
    /// Whether a node that is left is not waited for: others have taken its place, and what
    /// it still does is lost.
    pub leaves_at_once: bool,
    /// Whether subscribers share one connection in each worker.
    pub shares_subscriptions: bool,
    /// The map of it, if it is a cluster.
    pub cluster: Option<Arc<Topology>>,
    /// Nodes that have the same data a little later; as far as users read from them.
    pub replicas: Vec<Replica>,
    /// As whom its clients may speak: where none asks, it is tried as one of them.
    pub credentials: Arc<Credentials>,
}

/// A node that follows a database's master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Which.
    pub node: NodeId,
    /// Whether it is not too far behind to be read from.
    pub is_in_step: bool,
}

impl Database {
    /// One of a single node that may be anything.
    #[must_use]
    pub fn new(node: NodeId, shares_subscriptions: bool) -> Self {
        let (role, cluster, replicas) = (None, None, Vec::new());
        let (is_found, leaves_at_once, credentials) = (true, false, Arc::default());
        Self { node, is_found, role, leaves_at_once, shares_subscriptions, cluster, replicas, credentials }
    }

    /// Every node of it.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        let members = self.cluster.iter().flat_map(|map| map.members()).map(|member| member.id);
        let replicas = self.replicas.iter().map(|replica| replica.node);
        std::iter::once(self.node).chain(members).chain(replicas)
    }
}
