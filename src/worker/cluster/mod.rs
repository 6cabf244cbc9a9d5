//! Requests to a Redis Cluster, behind one endpoint for clients that know nothing of clusters.
//!
//! ```text
//! request -> requests: which kind it is   -> routes: to which node     -> a link, and a flight kept
//!                                            (together: where nothing of that has to be found out)
//! client  <- flights: in its turn         <- flights: a reply, or a redirect that is followed
//!                                            parked: what has to wait for somebody to serve its slot
//! ```
//!
//! A flight is sent again only where a node has said that it did not run it, or nothing of it has
//! been written.

mod about;
mod cycle;
mod flights;
mod held;
mod parked;
mod pinned;
mod requests;
mod routes;
mod scatter;
mod together;
mod uploads;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::session::SessionId;
use crate::upstream::cluster::Topology;
use crate::upstream::{Database, DatabaseId, NodeId};
use cycle::Cycle;
use flights::Place;
use parked::Parked;
pub(super) use requests::ONE_DATABASE;
pub(super) use uploads::NotAimed;

/// Nobody waits longer for what another's node is to answer.
const PATIENCE: Duration = Duration::from_millis(1);

/// The clusters among a worker's databases.
#[derive(Debug)]
pub(super) struct Clusters {
    maps: BTreeMap<DatabaseId, Mapped>,
    /// Changes with each change of a map.
    epoch: u64,
    /// Counts the maps that have been handed in.
    maps_seen: u64,
    /// By session, and of each in the order in which they were asked for.
    parked: BTreeMap<(SessionId, Place), Parked>,
    /// When some of that can be sent before a tick.
    parked_until: Option<Instant>,
    /// Counts the requests that go to all masters of which only one is heard.
    firsts: usize,
    /// What links have written together.
    cycles: BTreeMap<DatabaseId, Cycle>,
    /// Clients that are not told yet what there is.
    held: BTreeSet<SessionId>,
    /// When the driver has been asked to rouse this worker.
    roused_at: Option<Instant>,
}

/// A cluster's map.
#[derive(Debug)]
struct Mapped {
    /// As it was handed in.
    told: Arc<Topology>,
    /// With what nodes have said of moved slots since.
    now: Topology,
}

impl Default for Clusters {
    fn default() -> Self {
        Self {
            maps: BTreeMap::new(),
            epoch: 1,
            maps_seen: 0,
            parked: BTreeMap::new(),
            parked_until: None,
            firsts: 0,
            cycles: BTreeMap::new(),
            held: BTreeSet::new(),
            roused_at: None,
        }
    }
}

impl Clusters {
    /// Takes over the maps of these databases, where they have changed.
    pub(super) fn take(&mut self, databases: &BTreeMap<DatabaseId, Database>) {
        self.maps.retain(|id, _| databases.get(id).is_some_and(|database| database.cluster.is_some()));
        for (&id, database) in databases {
            let Some(told) = &database.cluster else { continue };
            if self.maps.get(&id).is_none_or(|mapped| !Arc::ptr_eq(&mapped.told, told)) {
                let mapped = Mapped { told: Arc::clone(told), now: Topology::clone(told) };
                self.maps.insert(id, mapped);
                self.epoch += 1;
                self.maps_seen += 1;
            }
        }
    }

    /// The map of a database that is a cluster.
    pub(super) fn map(&self, id: DatabaseId) -> Option<&Topology> {
        Some(&self.maps.get(&id)?.now)
    }

    /// Whether the map says that this node has no slot: another has taken over what it had.
    fn is_no_master(&self, id: DatabaseId, node: NodeId) -> bool {
        self.map(id).is_some_and(|map| map.masters().all(|member| member.id != node))
    }

    /// Which master is to be the first to be heard, counted round and round.
    fn next_first(&mut self) -> usize {
        self.firsts = self.firsts.wrapping_add(1);
        self.firsts
    }

    /// A node has said that a slot is another's, one of the map.
    fn moved(&mut self, id: DatabaseId, slot: u16, to: NodeId) {
        if let Some(mapped) = self.maps.get_mut(&id)
            && mapped.now.node(slot) != Some(to)
        {
            mapped.now.moved(slot, to);
            self.epoch += 1;
        }
    }
}
