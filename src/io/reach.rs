//! Where each database is at present, and by which number the machines know its node. Replaced
//! whole; workers take over what is in force at their next turn.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::node::Node;
use super::settings::{Settings, Subscriptions};
use super::tls::TlsError;
use crate::upstream::{Database, DatabaseId, NodeId};

/// The only database there is.
pub(super) const DATABASE: DatabaseId = DatabaseId(0);

/// Where the databases are.
#[derive(Default)]
pub(super) struct Reach {
    /// As workers are told.
    pub(super) databases: BTreeMap<DatabaseId, Database>,
    nodes: HashMap<NodeId, Arc<Node>>,
}

impl Reach {
    /// Where everything is by these settings: a node that was reached so before keeps its number.
    ///
    /// # Errors
    /// If TLS cannot be spoken by them.
    pub(super) fn plan(before: Option<(&Settings, &Self)>, settings: &Settings) -> Result<Self, TlsError> {
        let same = before.filter(|(before, _)| settings.database.is_same_node(&before.database));
        let kept =
            same.and_then(|(_, now)| Some((now.databases.get(&DATABASE)?.node, now.node_of(DATABASE)?)));
        let (id, node) = match kept {
            Some((id, node)) => (id, Arc::clone(node)),
            None => (number(), Arc::new(Node::new(&settings.database)?)),
        };
        let shares_subscriptions = settings.database.subscriptions == Subscriptions::Shared;
        let mut reach = Self::default();
        reach.nodes.insert(id, node);
        reach.databases.insert(DATABASE, Database { node: id, shares_subscriptions });
        Ok(reach)
    }

    /// How connections to a node are made, as long as some database is there.
    pub(super) fn node(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.nodes.get(&id)
    }

    /// Every node, of all databases.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (NodeId, Arc<Node>)> {
        self.nodes.iter().map(|(&id, node)| (id, Arc::clone(node)))
    }

    /// How connections to a database are made.
    pub(super) fn node_of(&self, database: DatabaseId) -> Option<&Arc<Node>> {
        self.node(self.databases.get(&database)?.node)
    }
}

/// Never the same twice in a process.
fn number() -> NodeId {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NodeId(NEXT.fetch_add(1, Ordering::Relaxed))
}
