//! Where each database is at present, and by which number the machines know its node. Replaced
//! whole; workers take over what is in force at their next turn.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::node::Node;
use super::settings::{Address, Settings, Subscriptions};
use super::tls::TlsError;
use crate::upstream::cluster::{Endpoint, Map, Topology};
use crate::upstream::{Database, DatabaseId, NodeId};

/// The only database there is.
pub(super) const DATABASE: DatabaseId = DatabaseId(0);

/// Where the databases are.
#[derive(Default, Clone)]
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
        if let Some((_, now)) = same.filter(|_| settings.database.cluster.is_some()) {
            // Its map holds until another one is read.
            return Ok(now.clone());
        }
        let kept =
            same.and_then(|(_, now)| Some((now.databases.get(&DATABASE)?.node, now.node_of(DATABASE)?)));
        let (id, node) = match kept {
            Some((id, node)) => (id, Arc::clone(node)),
            None => (
                number(),
                Arc::new(Node::at(settings.database.address.clone(), settings.database.tls.as_ref())?),
            ),
        };
        let shares_subscriptions = settings.database.subscriptions == Subscriptions::Shared;
        // Until its map has been read, nobody has any of its slots.
        let cluster = settings.database.cluster.as_ref().map(|_| Arc::new(Topology::default()));
        let mut reach = Self::default();
        reach.nodes.insert(id, node);
        reach.databases.insert(DATABASE, Database { node: id, shares_subscriptions, cluster });
        Ok(reach)
    }

    /// The same with this map of a cluster; nothing if it says nothing new. A node that the map
    /// before had keeps its number.
    ///
    /// # Errors
    /// If TLS cannot be spoken to a node.
    pub(super) fn with_map(
        &self,
        settings: &Settings,
        id: DatabaseId,
        map: &Map,
    ) -> Result<Option<Self>, TlsError> {
        let (Some(before), Some(cluster)) = (self.databases.get(&id), &settings.database.cluster) else {
            return Ok(None);
        };
        let old = before.cluster.as_deref().map(Topology::members).unwrap_or_default();
        let known = |endpoint: &Endpoint| old.iter().find(|it| it.endpoint == *endpoint).map(|it| it.id);
        let topology = Topology::of(map, |endpoint| known(endpoint).unwrap_or_else(number));
        if before.cluster.as_deref() == Some(&topology) {
            return Ok(None);
        }
        let mut nodes = self.nodes.clone();
        nodes.retain(|id, _| topology.members().iter().any(|member| member.id == *id));
        for member in topology.members() {
            if !nodes.contains_key(&member.id) {
                let Endpoint { host, port } = member.endpoint.clone();
                let announced = Address::Tcp { host, port };
                let address = cluster.addresses.get(&announced.to_string()).unwrap_or(&announced).clone();
                nodes.insert(member.id, Arc::new(Node::at(address, settings.database.tls.as_ref())?));
            }
        }
        let is_master = |id: &NodeId| topology.masters().any(|member| member.id == *id);
        let first = topology.masters().next().map(|member| member.id);
        let Some(node) = Some(before.node).filter(is_master).or(first) else { return Ok(None) };
        let database = Database { node, cluster: Some(Arc::new(topology)), ..before.clone() };
        let mut databases = self.databases.clone();
        databases.insert(id, database);
        Ok(Some(Self { databases, nodes }))
    }

    /// Where the nodes of a database are.
    pub(super) fn addresses(&self, id: DatabaseId) -> Vec<Address> {
        let Some(database) = self.databases.get(&id) else { return Vec::new() };
        database.nodes().filter_map(|node| Some(self.node(node)?.address().clone())).collect()
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

/// Never the same twice in a process.
fn number() -> NodeId {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NodeId(NEXT.fetch_add(1, Ordering::Relaxed))
}
