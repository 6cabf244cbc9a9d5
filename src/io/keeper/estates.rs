//! The users that the gateway makes: each database that has some is looked after by itself, so that one
//! that does not answer holds up no other.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use metrics::{Counter, Gauge};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::estate::{Estate, EstateName};
use crate::io::control::Shared;
use crate::observe::metrics::Registry;
use crate::upstream::Change;

/// What is counted.
pub(super) struct Meters {
    pub(super) changes: BTreeMap<&'static str, Counter>,
    pub(super) refusals: Counter,
    pub(super) failures: Counter,
    failing: Gauge,
    /// Which are not as they are configured.
    wrong: RefCell<BTreeSet<EstateName>>,
}

impl Meters {
    pub(super) fn new(registry: &Registry) -> Self {
        let change = |change: Change| {
            let (name, about) =
                ("respgate_provisioning_changes_total", "Redis users made and changed, by why.");
            (change.as_str(), registry.counter(name, about, &[("change", change.as_str())]))
        };
        let refusals = "Rules of users that Redis refused.";
        let failures = "Attempts to put a node's users right that failed.";
        let failing = "1 while some node's users are not as they are configured.";
        Self {
            changes: Change::ALL.into_iter().map(change).collect(),
            refusals: registry.counter("respgate_provisioning_refusals_total", refusals, &[]),
            failures: registry.counter("respgate_provisioning_failures_total", failures, &[]),
            failing: registry.gauge("respgate_provisioning_failing", failing, &[]),
            wrong: RefCell::default(),
        }
    }

    /// Whether this estate is as it is configured, or is no more.
    pub(super) fn tell(&self, estate: &EstateName, is_right: bool) {
        let mut wrong = self.wrong.borrow_mut();
        if is_right {
            wrong.remove(estate);
        } else {
            wrong.insert(estate.clone());
        }
        self.failing.set(f64::from(u8::from(!wrong.is_empty())));
    }
}

/// Looks after them until the gateway ends, which is when nobody holds the other end of `ended`. `first` is
/// told of each that has been looked at once, and let go of when all have been.
pub(super) async fn keep(
    shared: &Arc<Shared>,
    meters: Meters,
    first: SyncSender<()>,
    mut ended: watch::Receiver<()>,
) {
    let (meters, mut first) = (Rc::new(meters), Some(first));
    let (mut names, mut estates) = (BTreeSet::new(), JoinSet::new());
    let mut wake = shared.keep.wake.subscribe();
    loop {
        for database in &shared.live.load_full().settings.databases {
            let Some(wanted) = &database.provisioning else { continue };
            let estate = Estate::new(&database.name, wanted);
            if names.insert(estate.name()) {
                let (shared, meters) = (Arc::clone(shared), Rc::clone(&meters));
                estates.spawn_local(estate.keep(shared, meters, first.clone(), ended.clone()));
            }
        }
        first = None;
        tokio::select! {
            // An error is the gateway's end as well.
            _ = ended.changed() => break,
            _ = wake.changed() => {}
            // One that panics is a bug, told by the panic's own line, and begun no more.
            Some(Ok(name)) = estates.join_next() => drop(names.remove(&name)),
        }
    }
    while estates.join_next().await.is_some() {}
}
