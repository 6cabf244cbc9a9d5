//! The users that the gateway makes, at every node of their database: looked at now and then, at
//! once when a login is refused, and put right. What has to be said is decided in `upstream`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::place::Place;
use super::talk::{Talk, TalkError};
use crate::identity::Keeping;
use crate::io::clock;
use crate::io::control::{Live, Shared};
use crate::io::node::Node;
use crate::limits::Limits;
use crate::observe::metrics::Registry;
use crate::upstream::{Change, NodeId, NodeUsers, Passwords, Provisioning};

/// After a node could not be put right.
const RETRY: Duration = Duration::from_millis(500);

/// Between two looks, however often logins are refused.
const LOOKS_APART: Duration = Duration::from_millis(20);

/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// Workers take over a password within a tenth of a second; a greeting that began before then has
/// its own time.
const TAKEN_OVER: Duration = Duration::from_secs(1);

/// What is counted.
pub(super) struct Meters {
    pub(super) changes: BTreeMap<&'static str, Counter>,
    pub(super) refusals: Counter,
    pub(super) failures: Counter,
    failing: Gauge,
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
        }
    }
}

/// One database's users.
struct Estate {
    database: String,
    wanted: Provisioning,
    passwords: Passwords,
    places: HashMap<NodeId, Place>,
    /// Its users are no longer configured: it ends when they are gone.
    is_leaving: bool,
    /// Since when its database is no longer configured: nobody is there any more when the workers have taken
    /// that over, and its users go at once.
    removed_at: Option<Instant>,
    /// Users that somebody else has a password in, as they are told.
    told: BTreeSet<String>,
    published: BTreeSet<Keeping>,
}

/// Looks after them until the gateway ends. `first` is called when all have been looked at once.
pub(super) async fn keep(
    shared: &Shared,
    meters: Meters,
    first: impl FnOnce(),
    mut ended: oneshot::Receiver<()>,
) {
    let (mut estates, mut first) = (Vec::new(), Some(first));
    let mut wake = shared.keep.wake.subscribe();
    loop {
        let live = shared.live.load_full();
        follow(&mut estates, &live);
        let limits = &live.settings.limits;
        let mut rest = Duration::from_millis(limits.provisioning_check_ms);
        for gone in estates.extract_if(.., |estate| estate.is_deserted()) {
            gone.leave(shared).await;
        }
        for estate in &mut estates {
            let next = if estate.removed_at.is_some() { RETRY } else { estate.look(&live, &meters).await };
            rest = rest.min(next);
            estate.publish(shared);
        }
        let is_failing = estates.iter().any(|estate| !estate.is_right());
        meters.failing.set(f64::from(u8::from(is_failing)));
        let is_over =
            |estate: &mut Estate| estate.is_leaving && estate.removed_at.is_none() && estate.is_empty();
        for gone in estates.extract_if(.., is_over) {
            gone.withdraw(shared);
        }
        if let Some(first) = first.take() {
            first();
        }
        tokio::time::sleep(LOOKS_APART).await;
        tokio::select! {
            // An error is the gateway's end as well.
            _ = &mut ended => break,
            _ = wake.changed() => {}
            () = tokio::time::sleep(rest) => {}
        }
    }
    let farewell = tokio::time::timeout(FAREWELL, async {
        for estate in &mut estates {
            estate.farewell().await;
        }
    });
    if farewell.await.is_err() {
        tracing::warn!("the users that this gateway has made at Redis could not all be removed in time");
    }
}

/// Which estates there are by these settings. One that is not configured any more is emptied.
fn follow(estates: &mut Vec<Estate>, live: &Live) {
    let databases = live.settings.databases.iter();
    let all: Vec<_> = databases.filter_map(|it| Some((&it.name, it.provisioning.as_ref()?))).collect();
    for estate in estates.iter_mut() {
        match all.iter().find(|(database, wanted)| estate.is_of(database, wanted)) {
            Some(&(_, wanted)) => {
                if wanted.admin != estate.wanted.admin {
                    estate.places.values_mut().for_each(|place| place.talk = None);
                }
                (estate.is_leaving, estate.removed_at) = (false, None);
                estate.want(wanted.clone());
            }
            None if live.settings.database(&estate.database).is_none() => {
                estate.removed_at.get_or_insert_with(clock::now);
            }
            None if !estate.is_leaving => {
                estate.is_leaving = true;
                estate.want(Provisioning { accounts: Vec::new(), ..estate.wanted.clone() });
            }
            None => {}
        }
    }
    for (database, wanted) in all {
        if estates.iter().any(|estate| estate.is_of(database, wanted)) {
            continue;
        }
        let mut estate = Estate {
            database: database.clone(),
            wanted: wanted.clone(),
            passwords: Passwords::default(),
            places: HashMap::new(),
            is_leaving: false,
            removed_at: None,
            told: BTreeSet::new(),
            published: BTreeSet::new(),
        };
        estate.want(wanted.clone());
        estates.push(estate);
    }
}

impl Estate {
    fn is_of(&self, database: &str, wanted: &Provisioning) -> bool {
        self.database == database && self.wanted.namespace == wanted.namespace
    }

    fn want(&mut self, wanted: Provisioning) {
        self.passwords.want(&wanted, &mut random);
        self.wanted = wanted;
    }

    /// Looks at every node and puts right what is not. How long may pass until the next look.
    async fn look(&mut self, live: &Live, meters: &Meters) -> Duration {
        let limits = Arc::new(live.settings.limits.clone());
        let stays = Duration::from_millis(limits.connect_timeout_ms) + TAKEN_OVER;
        let every = self.wanted.rotate_every;
        loop {
            self.look_everywhere(live, &limits, meters).await;
            let mut there = self.places.values().filter(|place| place.failing.is_none());
            let is_keyed = there.clone().next().is_some()
                && there.all(|place| place.users.is_keyed(&self.wanted, &self.passwords));
            let now = clock::now();
            if !self.passwords.tick(every, stays, is_keyed, &mut random, now) {
                let is_failing = self.places.values().any(|place| place.failing.is_some());
                let next = self.passwords.next(every, stays, now);
                return if is_failing { next.min(RETRY) } else { next };
            }
        }
    }

    async fn look_everywhere(&mut self, live: &Live, limits: &Arc<Limits>, meters: &Meters) {
        let nodes: HashMap<NodeId, Arc<Node>> = live.reach.nodes_of(&self.database).into_iter().collect();
        self.places.retain(|id, _| nodes.contains_key(id));
        // A node that does not answer holds up no other.
        let mut looks = JoinSet::new();
        let orders = Arc::new((self.wanted.clone(), self.passwords.clone()));
        for (id, node) in nodes {
            let mut place = self.places.remove(&id).unwrap_or_default();
            let (orders, limits) = (Arc::clone(&orders), Arc::clone(limits));
            looks.spawn_local(async move {
                let looked = place.look(&node, &orders.0, &orders.1, &limits).await;
                (id, node, place, looked)
            });
        }
        while let Some(looked) = looks.join_next().await {
            // A look that panics is a bug, and told by the panic's own line.
            let Ok((id, node, mut place, looked)) = looked else { continue };
            place.note(&node, looked, meters);
            for redis_user in place.users.newly_shared(&mut self.told) {
                tracing::error!(
                    redis_user,
                    %node,
                    "somebody else has put a password into a user of this gateway's: another gateway of the same instance?"
                );
            }
            self.places.insert(id, place);
        }
    }

    /// Hands on the passwords that are good somewhere.
    fn publish(&mut self, shared: &Shared) {
        let (wanted, passwords) = (&self.wanted, &self.passwords);
        let is_there = |redis_user: &str| self.places.values().any(|place| place.users.has(redis_user));
        let is_ours = |keeping: &Keeping| wanted.accounts.iter().any(|account| account.keeping == *keeping);
        let published = &self.published;
        shared.keep.put(|kept| {
            kept.retain(|keeping, _| !published.contains(keeping) || is_ours(keeping));
            passwords.publish(wanted, &is_there, kept);
        });
        self.published = wanted.accounts.iter().map(|account| account.keeping.clone()).collect();
    }

    fn withdraw(&self, shared: &Shared) {
        shared.keep.put(|kept| kept.retain(|keeping, _| !self.published.contains(keeping)));
    }

    fn is_right(&self) -> bool {
        if self.removed_at.is_some() {
            return true;
        }
        let is_right = |place: &Place| place.failing.is_none() && place.users.is_complete(&self.wanted);
        !self.places.is_empty() && self.places.values().all(is_right)
    }

    /// Whether none of its users is there any more.
    fn is_empty(&self) -> bool {
        self.places.values().all(|place| place.failing.is_none() && !place.users.awaits_removal())
    }

    /// Whether its database is gone, and whoever spoke to it.
    fn is_deserted(&self) -> bool {
        self.removed_at.is_some_and(|at| clock::now().saturating_duration_since(at) >= TAKEN_OVER)
    }

    /// The last that is done for a database that is gone: what cannot be removed now stays.
    async fn leave(mut self, shared: &Shared) {
        let is_heard = self.places.values().all(|place| place.talk.is_some());
        let said = tokio::time::timeout(FAREWELL, self.farewell()).await;
        if !is_heard || said.is_err() {
            tracing::warn!(
                database = self.database,
                "the users that this gateway has made at a database that is no longer configured could not all be removed"
            );
        }
        self.withdraw(shared);
    }

    async fn farewell(&mut self) {
        for place in self.places.values_mut() {
            if let Some(talk) = &mut place.talk
                && let Err(error) = farewell(talk, &place.users).await
            {
                tracing::warn!(%error, "users that this gateway has made at Redis could not be removed");
            }
        }
    }
}

async fn farewell(talk: &mut Talk, users: &NodeUsers) -> Result<(), TalkError> {
    let list = talk.list().await?;
    for command in users.farewell(&list) {
        talk.order("ACL", &command).await?;
    }
    Ok(())
}

/// 256 bits that nobody can guess.
fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    if getrandom::fill(&mut bytes).is_err() {
        // A password that could be guessed must never be one.
        panic!("the system has no random bytes to give");
    }
    bytes
}
