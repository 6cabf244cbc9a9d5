//! Where each database is at present, and by which numbers the machines know it and its node.
//! Replaced whole; workers take over what is in force at their next turn.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::doors::ReloadError;
use super::node::Node;
use super::settings::{self, Settings, Subscriptions};
use crate::upstream::{Database, DatabaseId, NodeId};

/// Where the databases are.
#[derive(Default)]
pub(super) struct Reach {
    /// As workers are told.
    pub(super) databases: BTreeMap<DatabaseId, Database>,
    ids: HashMap<String, DatabaseId>,
    nodes: HashMap<NodeId, Arc<Node>>,
}

impl Reach {
    /// Where everything is by these settings: a database of a name that was there before keeps
    /// its number, and a node that was reached in the same way its own.
    ///
    /// # Errors
    /// If TLS cannot be spoken by them.
    pub(super) fn plan(before: Option<(&Settings, &Self)>, settings: &Settings) -> Result<Self, ReloadError> {
        let mut reach = Self::default();
        for database in &settings.databases {
            let known = before.and_then(|(_, now)| now.id(&database.name));
            let id = known.unwrap_or_else(|| DatabaseId(number()));
            let (number, node) = match before.and_then(|(before, now)| now.kept(before, database)) {
                Some(kept) => kept,
                None => (NodeId(number()), Arc::new(node(database)?)),
            };
            let shares_subscriptions = database.subscriptions == Subscriptions::Shared;
            reach.nodes.insert(number, node);
            reach.databases.insert(id, Database { node: number, shares_subscriptions });
            reach.ids.insert(database.name.clone(), id);
        }
        Ok(reach)
    }

    /// The node of a database, if it is reached as it was by the settings before.
    fn kept(&self, before: &Settings, database: &settings::Database) -> Option<(NodeId, Arc<Node>)> {
        before.database(&database.name).filter(|before| database.is_same_node(before))?;
        let number = self.databases.get(&self.id(&database.name)?)?.node;
        Some((number, Arc::clone(self.node(number)?)))
    }

    /// The number of the database of this name.
    pub(super) fn id(&self, database: &str) -> Option<DatabaseId> {
        self.ids.get(database).copied()
    }

    /// How connections to a node are made, as long as some database is there.
    pub(super) fn node(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.nodes.get(&id)
    }

    /// Every node: its database's name, its number, and where it is.
    pub(super) fn places(&self) -> impl Iterator<Item = (String, NodeId, String)> {
        self.ids.iter().filter_map(|(name, id)| {
            let node = self.databases.get(id)?.node;
            Some((name.clone(), node, self.node(node)?.to_string()))
        })
    }

    /// How connections to the database of this name are made.
    pub(super) fn node_of(&self, database: &str) -> Option<&Arc<Node>> {
        self.node(self.databases.get(&self.id(database)?)?.node)
    }
}

fn node(database: &settings::Database) -> Result<Node, ReloadError> {
    Node::new(database).map_err(|why| ReloadError::Database { database: database.name.clone(), why })
}

/// Never the same twice in a process.
fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
