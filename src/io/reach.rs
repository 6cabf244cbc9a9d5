//! Where each database is at present, and by which number the machines know its node. Replaced
//! whole; workers take over what is in force at their next turn.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::node::Node;
use super::settings::{self, Address, Location, Settings, Subscriptions};
use super::tls::TlsError;
use crate::upstream::{Database, DatabaseId, NodeId, Role};

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
            None => {
                let known = before.and_then(|(before, now)| now.leads_to(before, settings));
                (number(), Arc::new(first(&settings.database, known)?))
            }
        };
        let mut reach = Self::default();
        reach.nodes.insert(id, node);
        reach.databases.insert(DATABASE, database(&settings.database, id));
        Ok(reach)
    }

    /// The same, where this database has been found at another address.
    ///
    /// # Errors
    /// If TLS cannot be spoken there.
    pub(super) fn found(&self, settings: &Settings, at: Address) -> Result<Self, TlsError> {
        let tls = settings.database.tls.as_ref();
        let (id, node) = (number(), Node::at(at, tls)?);
        let mut reach = Self::default();
        reach.nodes.insert(id, Arc::new(node));
        reach.databases.insert(DATABASE, database(&settings.database, id));
        Ok(reach)
    }

    /// Where a database is that has been found before, and is to be spoken to otherwise.
    fn leads_to(&self, before: &Settings, settings: &Settings) -> Option<&Address> {
        let same = settings.database.location.is_same_place(&before.database.location);
        self.node_of(DATABASE).filter(|_| same)?.address()
    }

    /// Whether some database has yet to be found.
    pub(super) fn is_incomplete(&self) -> bool {
        self.nodes.values().any(|node| node.address().is_none())
    }

    /// How connections to a node are made, as long as some database is there.
    pub(super) fn node(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.nodes.get(&id)
    }

    /// How connections to a database are made.
    pub(super) fn node_of(&self, database: DatabaseId) -> Option<&Arc<Node>> {
        self.node(self.databases.get(&database)?.node)
    }
}

/// The node of a database as far as it is known from its settings, or from before.
fn first(database: &settings::Database, known: Option<&Address>) -> Result<Node, TlsError> {
    match (&database.location, known) {
        (Location::Address(address), _) | (Location::Sentinels(_), Some(address)) => {
            Node::at(address.clone(), database.tls.as_ref())
        }
        (Location::Sentinels(_), None) => Ok(Node::nowhere()),
    }
}

/// What the machines are told.
fn database(settings: &settings::Database, node: NodeId) -> Database {
    Database {
        node,
        role: settings.requires_master.then_some(Role::Master),
        leaves_at_once: matches!(settings.location, Location::Sentinels(_)),
        shares_subscriptions: settings.subscriptions == Subscriptions::Shared,
    }
}

/// Never the same twice in a process.
fn number() -> NodeId {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NodeId(NEXT.fetch_add(1, Ordering::Relaxed))
}
