//! Where each database is at present, and by which numbers the machines know it and its node.
//! Replaced whole; workers take over what is in force at their next turn.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::doors::ReloadError;
use super::node::Node;
use super::settings::{self, Address, Location, Settings, Subscriptions};
use super::tls::TlsError;
use crate::upstream::cluster::{Endpoint, Map, Topology};
use crate::upstream::{Credentials, Database, DatabaseId, NodeId, Replica, Role};

/// Where the databases are.
#[derive(Default, Clone)]
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
                None => {
                    let known = before.and_then(|(before, now)| now.found_at(before, database));
                    (NodeId(number()), Arc::new(node(database, known)?))
                }
            };
            let is_found = node.address().is_some();
            reach.nodes.insert(number, node);
            let credentials =
                settings.credentials(database).map(|it| (it.redis_user.clone(), Arc::clone(it)));
            let credentials = Arc::new(credentials.collect());
            reach.databases.insert(id, as_told(database, (number, is_found), credentials));
            reach.ids.insert(database.name.clone(), id);
            if let Some((before, now)) = before.filter(|(before, now)| now.kept(before, database).is_some()) {
                reach.keep_map(id, now);
                if before.database(&database.name).is_some_and(|it| it.replicas == database.replicas) {
                    reach.keep_replicas(id, now);
                }
            }
        }
        Ok(reach)
    }

    /// The same, where this database has been found at another address.
    ///
    /// # Errors
    /// If TLS cannot be spoken there.
    pub(super) fn found(&self, database: &settings::Database, at: &Address) -> Result<Self, ReloadError> {
        let mut reach = self.clone();
        let Some(id) = self.id(&database.name) else { return Ok(reach) };
        let node = node(database, Some(at))?;
        let number = NodeId(number());
        if let Some(was) = reach.databases.remove(&id) {
            for node in was.nodes() {
                reach.nodes.remove(&node);
            }
            reach.databases.insert(id, as_told(database, (number, true), was.credentials));
        }
        reach.nodes.insert(number, Arc::new(node));
        Ok(reach)
    }

    /// Where a database is that has been found before, and is to be spoken to otherwise.
    fn found_at(&self, before: &Settings, database: &settings::Database) -> Option<&Address> {
        let before = before.database(&database.name)?;
        let same = database.location.is_same_place(&before.location);
        self.node_of(&database.name).filter(|_| same)?.address()
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

    /// Every node of the database of this name.
    pub(super) fn nodes_of(&self, database: &str) -> Vec<(NodeId, Arc<Node>)> {
        let database = self.id(database).and_then(|id| self.databases.get(&id));
        let numbers: BTreeSet<NodeId> = database.into_iter().flat_map(Database::nodes).collect();
        let nodes = numbers.into_iter().filter_map(|id| Some((id, Arc::clone(self.node(id)?))));
        // One that has yet to be found cannot be spoken to.
        nodes.filter(|(_, node)| node.address().is_some()).collect()
    }

    /// Every node: its database's name, its number, and where it is.
    pub(super) fn places(&self) -> impl Iterator<Item = (String, NodeId, String)> {
        self.ids.iter().flat_map(|(name, id)| {
            let nodes: BTreeSet<NodeId> =
                self.databases.get(id).into_iter().flat_map(Database::nodes).collect();
            nodes.into_iter().filter_map(|node| Some((name.clone(), node, self.node(node)?.to_string())))
        })
    }

    /// How connections to the database of this name are made.
    pub(super) fn node_of(&self, database: &str) -> Option<&Arc<Node>> {
        self.node(self.databases.get(&self.id(database)?)?.node)
    }
}

impl Reach {
    /// The map of a cluster holds until another one is read.
    fn keep_map(&mut self, id: DatabaseId, before: &Self) {
        let Some(database) = before.databases.get(&id).filter(|it| it.cluster.is_some()) else { return };
        for node in database.nodes() {
            self.nodes.extend(before.node(node).map(|it| (node, Arc::clone(it))));
        }
        if let Some(told) = self.databases.get_mut(&id) {
            told.cluster.clone_from(&database.cluster);
        }
    }

    /// The same with this map of a cluster; nothing if it says nothing new. A node that the map
    /// before had keeps its number.
    ///
    /// # Errors
    /// If TLS cannot be spoken to a node.
    pub(super) fn with_map(
        &self,
        database: &settings::Database,
        map: &Map,
    ) -> Result<Option<Self>, TlsError> {
        let known = self.id(&database.name).and_then(|id| Some((id, self.databases.get(&id)?)));
        let (Some((id, before)), Some(cluster)) = (known, database.cluster()) else { return Ok(None) };
        let old = before.cluster.as_deref().map(Topology::members).unwrap_or_default();
        let known = |endpoint: &Endpoint| old.iter().find(|it| it.endpoint == *endpoint).map(|it| it.id);
        let topology = Topology::of(map, |endpoint| known(endpoint).unwrap_or_else(|| NodeId(number())));
        if before.cluster.as_deref() == Some(&topology) {
            return Ok(None);
        }
        let mut reach = self.clone();
        for node in before.nodes() {
            reach.nodes.remove(&node);
        }
        for member in topology.members() {
            let node = match self.node(member.id) {
                Some(node) => Arc::clone(node),
                None => {
                    let Endpoint { host, port } = member.endpoint.clone();
                    let announced = Address::Tcp { host, port };
                    let address = cluster.addresses.get(&announced.to_string()).unwrap_or(&announced).clone();
                    Arc::new(Node::at(address, database.tls.as_ref())?)
                }
            };
            reach.nodes.insert(member.id, node);
        }
        let is_master = |id: &NodeId| topology.masters().any(|member| member.id == *id);
        let first = topology.masters().next().map(|member| member.id);
        let Some(node) = Some(before.node).filter(is_master).or(first) else { return Ok(None) };
        reach.databases.insert(id, Database { node, cluster: Some(Arc::new(topology)), ..before.clone() });
        Ok(Some(reach))
    }

    /// What is known of replicas holds until it is looked at again.
    fn keep_replicas(&mut self, id: DatabaseId, before: &Self) {
        let known = before.databases.get(&id).map(|it| it.replicas.clone()).unwrap_or_default();
        for replica in &known {
            self.nodes.extend(before.node(replica.node).map(|it| (replica.node, Arc::clone(it))));
        }
        if let Some(database) = self.databases.get_mut(&id) {
            database.replicas = known;
        }
    }

    /// The same with these replicas of a database, and whether each is in step; nothing if that says nothing
    /// new, or if its master is not the one that said it. One that was known keeps its number.
    ///
    /// # Errors
    /// If TLS cannot be spoken to one.
    pub(super) fn with_replicas(
        &self,
        database: &settings::Database,
        master: NodeId,
        replicas: &BTreeMap<Endpoint, bool>,
    ) -> Result<Option<Self>, TlsError> {
        let before = self.id(&database.name).and_then(|id| Some((id, self.databases.get(&id)?)));
        let Some((id, before)) = before.filter(|(_, it)| it.node == master) else { return Ok(None) };
        let (mut reach, mut all) = (self.clone(), Vec::new());
        for replica in &before.replicas {
            reach.nodes.remove(&replica.node);
        }
        for (Endpoint { host, port }, &is_in_step) in replicas {
            let address = Address::Tcp { host: host.clone(), port: *port };
            let mut nodes = before.replicas.iter().filter_map(|it| Some((it.node, self.node(it.node)?)));
            let known = nodes.find(|(_, node)| node.address() == Some(&address));
            let (number, node) = match known {
                Some((number, node)) => (number, Arc::clone(node)),
                None => (NodeId(number()), Arc::new(Node::at(address, database.tls.as_ref())?)),
            };
            reach.nodes.insert(number, node);
            all.push(Replica { node: number, is_in_step });
        }
        if all == before.replicas {
            return Ok(None);
        }
        reach.databases.insert(id, Database { replicas: all, ..before.clone() });
        Ok(Some(reach))
    }

    /// A database's master, if it has been found.
    pub(super) fn master_of(&self, database: &str) -> Option<(NodeId, Arc<Node>)> {
        let number = self.databases.get(&self.id(database)?)?.node;
        Some((number, Arc::clone(self.node(number).filter(|node| node.address().is_some())?)))
    }

    /// Whether nobody is served by a node alone: it is there to be read from, or has no slots of its cluster.
    pub(super) fn is_standby(&self, id: NodeId) -> bool {
        self.databases.values().any(|it| {
            let members = it.cluster.iter().flat_map(|map| map.members());
            it.replicas.iter().any(|replica| replica.node == id)
                || members.into_iter().any(|member| member.id == id && !member.is_master)
        })
    }

    /// Where the nodes of a database are.
    pub(super) fn addresses(&self, id: DatabaseId) -> Vec<Address> {
        let Some(database) = self.databases.get(&id) else { return Vec::new() };
        database.nodes().filter_map(|node| self.node(node)?.address().cloned()).collect()
    }
}

/// The node of a database as far as it is known from its settings, or has been found.
fn node(database: &settings::Database, found: Option<&Address>) -> Result<Node, ReloadError> {
    let address = match (&database.location, found) {
        (Location::Address(address), _) | (Location::Sentinels(_), Some(address)) => address,
        (Location::Sentinels(_), None) => return Ok(Node::nowhere()),
        // The first seed stands for it until its map has been read.
        (Location::Cluster(cluster), _) => match cluster.seeds.first() {
            Some(seed) => seed,
            None => return Ok(Node::nowhere()),
        },
    };
    Node::at(address.clone(), database.tls.as_ref())
        .map_err(|why| ReloadError::Database { database: database.name.clone(), why })
}

/// What the machines are told of a database.
fn as_told(
    database: &settings::Database,
    (node, is_found): (NodeId, bool),
    credentials: Arc<Credentials>,
) -> Database {
    Database {
        node,
        is_found,
        role: database.requires_master.then_some(Role::Master),
        leaves_at_once: matches!(database.location, Location::Sentinels(_)),
        shares_subscriptions: database.subscriptions == Subscriptions::Shared,
        // Until its map has been read, nobody has any of its slots.
        cluster: database.cluster().map(|_| Arc::new(Topology::default())),
        // Nor is it known who follows the master, until that has been asked.
        replicas: Vec::new(),
        credentials,
    }
}

/// Never the same twice in a process.
fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
