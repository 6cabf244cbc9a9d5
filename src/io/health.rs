//! What is wrong with the backends, as all workers together know it: for `/readyz`, the metrics and
//! the audit. Decides only whether anybody can be served.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::clock;
use super::control::{Control, Live, Shared};
use super::hub::Hub;
use crate::identity::Reason;
use crate::observe::audit::{BackendRecord, Outcome};
use crate::upstream::{Cause, NodeId};
use crate::worker::{Loss, Troubled};

/// What the workers have told.
pub(super) struct Health {
    /// Of each worker.
    workers: Vec<Mutex<Vec<Troubled>>>,
    /// Redis users whose refusal has been written down, by node.
    refused: Mutex<BTreeSet<(NodeId, String)>>,
}

/// The nodes of the databases, and what is wrong with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backends {
    /// Every node: its database, its address, and whether it can be used.
    pub nodes: Vec<(String, String, bool)>,
    /// What is wrong, sorted.
    pub troubles: Vec<BackendTrouble>,
    /// Whether some user of some database can be served.
    pub can_serve: bool,
}

/// What is wrong with one node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackendTrouble {
    /// The database.
    pub database: String,
    /// The node's address.
    pub node: String,
    /// The Redis user that alone is concerned, if it is not everybody.
    pub redis_user: Option<String>,
    /// The word for it.
    pub cause: Cause,
    /// What was said of it last.
    pub text: String,
    /// Since when, in seconds since 1970.
    pub since: i64,
}

impl Health {
    pub(super) fn new(workers: usize) -> Self {
        Self { workers: (0..workers).map(|_| Mutex::default()).collect(), refused: Mutex::default() }
    }

    /// What this worker knows now.
    pub(super) fn told(&self, worker: usize, troubles: Vec<Troubled>) {
        *self.workers[worker].lock().unwrap_or_else(PoisonError::into_inner) = troubles;
    }

    /// Whether some worker knows of a node, other than those, that nobody can use.
    pub(super) fn is_some_node_failing(&self, but: impl Fn(NodeId) -> bool) -> bool {
        let told = |worker: &Mutex<Vec<Troubled>>| {
            let troubles = worker.lock().unwrap_or_else(PoisonError::into_inner);
            troubles.iter().any(|it| it.redis_user.is_none() && !but(it.node))
        };
        self.workers.iter().any(told)
    }

    /// Everything that is wrong, each once, since the first worker knew.
    fn all(&self) -> BTreeMap<(NodeId, Option<String>), Troubled> {
        let mut all: BTreeMap<_, Troubled> = BTreeMap::new();
        for worker in &self.workers {
            for it in worker.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                let known = all.entry((it.node, it.redis_user.clone())).or_insert_with(|| it.clone());
                known.trouble.since = known.trouble.since.min(it.trouble.since);
                known.is_served |= it.is_served;
            }
        }
        all
    }
}

impl Control {
    /// The nodes of the databases, and what is wrong with them.
    #[must_use]
    pub fn backends(&self) -> Backends {
        let (live, all) = (self.shared.live.load(), self.shared.health.all());
        let (now, unix_now) = (clock::now(), clock::unix_now());
        let mut backends = Backends::default();
        for (name, id, address) in live.reach.places() {
            let lost_since = live.reach.node(id).and_then(|node| node.lost_since());
            // What a worker has to say of a node that nobody has found is no more than that.
            let mine = || all.iter().filter(|((node, _), _)| *node == id && lost_since.is_none());
            let is_up = lost_since.is_none() && !mine().any(|((_, user), _)| user.is_none());
            let refused = mine().filter(|(_, it)| !it.is_served);
            let refused: BTreeSet<&str> = refused.filter_map(|((_, user), _)| user.as_deref()).collect();
            let is_enough = !live.reach.is_standby(id);
            backends.can_serve |= is_enough && is_up && !is_everybody(&live, &name, &refused);
            backends.troubles.extend(mine().map(|((_, user), Troubled { trouble, .. })| BackendTrouble {
                database: name.clone(),
                node: address.clone(),
                redis_user: user.clone(),
                cause: trouble.cause,
                text: trouble.text.clone(),
                since: unix_now
                    - i64::try_from(now.saturating_duration_since(trouble.since).as_secs()).unwrap_or(0),
            }));
            backends.troubles.extend(lost_since.map(|since| BackendTrouble {
                database: name.clone(),
                node: address.clone(),
                redis_user: None,
                cause: Cause::NoMaster,
                text: Loss::NoMaster.to_string(),
                since,
            }));
            backends.nodes.push((name, address, is_up));
        }
        backends.nodes.sort();
        backends.troubles.sort();
        backends
    }
}

/// Whether these are all Redis users that the configuration names for a database.
fn is_everybody(live: &Live, database: &str, refused: &BTreeSet<&str>) -> bool {
    let Some(settings) = live.settings.database(database) else { return false };
    let mut all = live.settings.credentials(settings).peekable();
    all.peek().is_some() && all.all(|it| refused.contains(it.redis_user.as_str()))
}

impl Shared {
    /// Writes down, once, that a Redis user is refused, and that it no longer is.
    pub(super) fn note_refused_users(&self, hub: &Hub) {
        for (node, redis_user, refusal) in hub.losses.borrow_mut().take_verdicts() {
            let key = (node, redis_user);
            let mut refused = self.health.refused.lock().unwrap_or_else(PoisonError::into_inner);
            let is_new = if refusal.is_some() { refused.insert(key.clone()) } else { refused.remove(&key) };
            drop(refused);
            if !is_new {
                continue;
            }
            let (database, address) = hub.place(node);
            let record = BackendRecord {
                outcome: if refusal.is_some() { Outcome::Refused } else { Outcome::Accepted },
                reason: refusal.is_some().then_some(Reason::BackendAuthFailed.as_str()),
                detail: refusal,
                database,
                node: address,
                redis_user: key.1,
            };
            if self.audit.backend(&record).is_err() {
                tracing::error!(
                    redis_user = record.redis_user,
                    "an audit record was lost: its queue is full"
                );
            }
        }
    }
}
