//! The databases that a worker serves, and what it knows of the node of each: whether it
//! answers, and how it speaks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dialect::Dialect;
use super::{Loss, Worker};
use crate::session::{LaneRefusal, SessionId};
use crate::upstream::cluster::Topology;
use crate::upstream::{
    Circuit, Credentials, Database, DatabaseId, LaneId, LaneKey, LinkId, LinkRole, NodeId, Role, Trouble,
};

/// What a worker knows of a node.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// What it has to be.
    pub(super) role: Option<Role>,
    /// Whether it may be connected to.
    pub(super) circuit: Circuit,
    /// Why its circuit is open.
    pub(super) trouble: Option<Trouble>,
    /// Why it does not answer though it is connected to.
    pub(super) not_now: Option<Trouble>,
    /// When it was last asked how it is.
    pub(super) asked_at: Option<Instant>,
    /// Links to it that are being connected.
    pub(super) connecting: usize,
    /// Links that wait for one of those to be.
    pub(super) queue: VecDeque<LinkId>,
    /// The lane by which it is tried without demand, while it fails.
    /// Invariant: it has a place of its own among that lane's sessions.
    pub(super) probe_lane: Option<LaneId>,
    /// The lanes by which Redis users are tried without demand that it refuses, by their names.
    /// Invariant: each has a place of its own among that lane's sessions.
    pub(super) refused: BTreeMap<String, LaneId>,
    /// How its server speaks, as its last greeting told.
    pub(super) dialect: Option<Dialect>,
    /// The databases that it has refused last, by Redis user.
    refused_databases: BTreeMap<String, RefusedDatabase>,
}

/// A database that a node has refused to a Redis user.
#[derive(Debug)]
struct RefusedDatabase {
    db: u32,
    text: String,
    since: Instant,
    count: u32,
}

/// So long a refused database is not asked for again, since each time is a connection: short, for
/// rights may be given at any time.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// So many refused databases a Redis user may ask for in that time.
const REFUSED_MAX: u32 = 16;

impl RefusedDatabase {
    fn covers(&self, db: u32) -> bool {
        // Rights may be to a single database (Valkey 9.1); what else is refused is refused beyond as well.
        let is_of_one = self.text.starts_with("NOPERM") && !self.text.contains("'select'");
        if is_of_one { db == self.db } else { db >= self.db }
    }
}

impl Node {
    /// A link that was being connected has been, or is gone.
    pub(super) fn connecting_ended(&mut self) {
        // It may be of a time before the node was forgotten.
        self.connecting = self.connecting.saturating_sub(1);
    }

    /// The node has refused this database to this Redis user, in these words.
    pub(super) fn database_refused(&mut self, redis_user: &str, db: u32, text: &str, now: Instant) {
        let before = self.refused(redis_user, now).map(|refused| (refused.since, refused.count));
        let (since, count) = before.unwrap_or((now, 0));
        let refused = RefusedDatabase { db, text: text.to_owned(), since, count: count + 1 };
        self.refused_databases.insert(redis_user.to_owned(), refused);
    }

    /// In which words the node has refused this database to this Redis user just now.
    pub(super) fn refusal_of(&self, redis_user: &str, db: u32, now: Instant) -> Option<LaneRefusal> {
        let refused = self.refused(redis_user, now)?;
        if refused.covers(db) {
            return Some(LaneRefusal::Backend(refused.text.clone()));
        }
        (refused.count >= REFUSED_MAX).then_some(LaneRefusal::Unavailable)
    }

    fn refused(&self, redis_user: &str, now: Instant) -> Option<&RefusedDatabase> {
        let refused = self.refused_databases.get(redis_user)?;
        (now.saturating_duration_since(refused.since) < REFUSED_FOR).then_some(refused)
    }
}

/// The databases by number, and their nodes.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    databases: BTreeMap<DatabaseId, Database>,
    nodes: BTreeMap<NodeId, Node>,
}

impl Nodes {
    /// A node that some lane is at.
    pub(super) fn of(&mut self, id: NodeId) -> &mut Node {
        self.nodes.entry(id).or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().map(|(&id, node)| (id, node))
    }

    pub(super) fn clear_queues(&mut self) {
        for node in self.nodes.values_mut() {
            node.queue.clear();
        }
    }

    /// As whom its database's clients may speak to a node; nobody where no database is any more.
    pub(super) fn credentials(&self, id: NodeId) -> Option<&Credentials> {
        let database = self.databases.values().find(|it| it.nodes().any(|node| node == id))?;
        Some(&database.credentials)
    }

    pub(super) fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    pub(super) fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// The nodes that a connection has failed to, and when the last did.
    pub(super) fn failing(&self) -> Vec<(NodeId, Instant)> {
        self.nodes.iter().filter_map(|(&id, node)| Some((id, node.circuit.open_since()?))).collect()
    }

    /// The nodes of the databases that are not known to fail: those that do are tried by their circuits.
    pub(super) fn watched(&self) -> impl Iterator<Item = NodeId> {
        let found = self.databases.values().filter(|it| it.is_found).map(|it| it.node);
        found.filter(|&id| self.get(id).is_none_or(|node| !node.circuit.is_open()))
    }

    /// How a database is reached, if it is still there.
    pub(super) fn database(&self, id: DatabaseId) -> Option<&Database> {
        self.databases.get(&id)
    }
}

impl Worker {
    /// Whether this is a database, and a cluster's map has been read.
    #[must_use]
    pub fn knows_the_way_to(&self, id: DatabaseId) -> bool {
        let database = self.nodes.database(id);
        database.is_some_and(|it| it.cluster.as_ref().is_none_or(|map| !map.members().is_empty()))
    }

    /// Where a link is made to.
    #[must_use]
    pub fn link_node(&self, id: LinkId) -> Option<NodeId> {
        Some(self.lanes[self.links.get(id)?.lane].key.node)
    }

    /// These are the databases from now on. The sessions of one that has moved go on at its new node: what shares a link
    /// finishes where it is, unless that is left at once; what lives in a link of its own, or waits for one to be made, ends as
    /// at any loss of a connection. Sessions of one that is gone are the caller's to end.
    pub fn set_databases(&mut self, databases: BTreeMap<DatabaseId, Database>, now: Instant) {
        self.clusters.take(&databases);
        let of = |databases: &BTreeMap<DatabaseId, Database>| -> BTreeMap<NodeId, bool> {
            let all = databases.values();
            all.flat_map(|it| it.nodes().map(|node| (node, it.leaves_at_once))).collect()
        };
        let before = of(&self.nodes.databases);
        let present: BTreeSet<NodeId> = of(&databases).into_keys().collect();
        self.nodes.databases = databases;
        for (node, leaves_at_once) in before {
            if !present.contains(&node) {
                self.leave_node(node, leaves_at_once, now);
            }
        }
        for database in self.nodes.databases.values() {
            self.nodes.nodes.entry(database.node).or_default().role = database.role;
            for replica in &database.replicas {
                self.nodes.nodes.entry(replica.node).or_default().role = Some(Role::Replica);
            }
        }
        for id in self.sessions.keys() {
            self.follow(id);
        }
        self.renew_probes(now);
        let (nodes, lanes) = (&mut self.nodes, &self.lanes);
        nodes
            .nodes
            .retain(|&id, _| present.contains(&id) || lanes.iter().any(|(_, lane)| lane.key.node == id));
        self.watch_databases(now);
        self.run_ready(now);
    }

    /// Moves a session to where its database is.
    fn follow(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get(id) else { return };
        let Some(node) = self.nodes.database(session.database).map(|database| database.node) else { return };
        let key = &self.lanes[session.lane].key;
        let is_member = |map: &Topology| map.members().iter().any(|member| member.id == key.node);
        if key.node != node && !self.clusters.map(session.database).is_some_and(is_member) {
            // Not by the lane's: a password that is being replaced is known at the old node alone.
            let credential = Arc::clone(session.permit.credential());
            let lane = self.lane(LaneKey { node, credential, ..key.clone() });
            self.move_session(id, lane);
        }
    }

    /// No database is there any more.
    fn leave_node(&mut self, node: NodeId, at_once: bool, now: Instant) {
        self.forget_successions(node);
        for id in self.links.keys() {
            let Some(link) = self.links.get(id) else { continue };
            if self.lanes[link.lane].key.node != node {
                continue;
            }
            let lives_there = matches!(link.role, LinkRole::Pinned(_) | LinkRole::Subscriber);
            // What nobody waits for is left without a word.
            let is_awaited = !link.is_ready() && !link.pending.is_empty();
            if lives_there || at_once || is_awaited {
                self.lose_link(id, Loss::NodeLeft, now);
            } else {
                self.retire_link(id);
            }
        }
    }
}
