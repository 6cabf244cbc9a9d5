//! The users that the gateway makes at one database, on each of its nodes: looked at now and then, at
//! once when a login is refused, and put right. What has to be said is decided in `upstream`.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::estates::Meters;
use super::place::{Look, Place};
use super::talk::TalkError;
use crate::identity::Keeping;
use crate::io::clock;
use crate::io::control::{Live, Shared};
use crate::io::node::Node;
use crate::limits::Limits;
use crate::upstream::{NodeId, Passwords, Provisioning};

/// After a node could not be put right.
const RETRY: Duration = Duration::from_millis(500);

/// Between two looks, however often logins are refused.
const LOOKS_APART: Duration = Duration::from_millis(20);

/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// Workers take over a password within a tenth of a second; a greeting that began before then has
/// its own time.
const TAKEN_OVER: Duration = Duration::from_secs(1);

/// The database, and how the names of its users begin.
pub(super) type EstateName = (String, String);

/// One database's users.
pub(super) struct Estate {
    database: String,
    wanted: Provisioning,
    passwords: Passwords,
    /// The nodes, but for those that are being looked at.
    places: HashMap<NodeId, Place>,
    looks: JoinSet<(NodeId, Place, Look)>,
    /// Its users are no longer configured: it ends when they are gone.
    is_leaving: bool,
    /// Since when its database is no longer configured: nobody is there any more when the workers have taken
    /// that over, and its users go at once.
    removed_at: Option<Instant>,
    /// Users that somebody else has a password in, as they are told.
    told: BTreeSet<String>,
    published: BTreeSet<Keeping>,
}

impl Estate {
    pub(super) fn new(database: &str, wanted: &Provisioning) -> Self {
        Self {
            database: database.to_owned(),
            wanted: wanted.clone(),
            passwords: Passwords::default(),
            places: HashMap::new(),
            looks: JoinSet::new(),
            is_leaving: false,
            removed_at: None,
            told: BTreeSet::new(),
            published: BTreeSet::new(),
        }
    }

    pub(super) fn name(&self) -> EstateName {
        (self.database.clone(), self.wanted.namespace.clone())
    }

    /// Looks after it until it is no longer configured, or the gateway ends.
    pub(super) async fn keep(
        mut self,
        shared: Arc<Shared>,
        meters: Rc<Meters>,
        mut first: Option<SyncSender<()>>,
        mut ended: watch::Receiver<()>,
    ) -> EstateName {
        let mut wake = shared.keep.wake.subscribe();
        loop {
            let live = shared.live.load_full();
            self.follow(&live);
            if self.is_deserted() {
                break;
            }
            let mut rest = Duration::from_millis(live.settings.limits.provisioning_check_ms);
            if self.removed_at.is_some() {
                rest = rest.min(RETRY);
            } else {
                tokio::select! {
                    next = self.look(&live, &meters) => rest = rest.min(next),
                    _ = ended.changed() => break,
                }
            }
            self.publish(&shared);
            meters.tell(&self.name(), self.is_right());
            if self.is_leaving && self.removed_at.is_none() && self.is_empty() {
                break;
            }
            if let Some(first) = first.take() {
                // Whoever waits for the start may have been told of others, or wait no longer.
                let _ = first.try_send(());
            }
            tokio::time::sleep(LOOKS_APART).await;
            tokio::select! {
                _ = ended.changed() => break,
                _ = wake.changed() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
        let limits = Arc::new(shared.live.load().settings.limits.clone());
        self.farewell(&limits).await;
        self.withdraw(&shared);
        meters.tell(&self.name(), true);
        self.name()
    }

    /// What is configured of it now. What is not configured any more is emptied.
    fn follow(&mut self, live: &Live) {
        let Some(database) = live.settings.database(&self.database) else {
            self.removed_at.get_or_insert_with(clock::now);
            return;
        };
        match &database.provisioning {
            Some(wanted) if wanted.namespace == self.wanted.namespace => {
                if wanted.admin != self.wanted.admin {
                    self.places.values_mut().for_each(|place| place.talk = None);
                }
                (self.is_leaving, self.removed_at) = (false, None);
                self.want(wanted.clone());
            }
            _ if !self.is_leaving => {
                self.is_leaving = true;
                self.want(Provisioning { accounts: Vec::new(), ..self.wanted.clone() });
            }
            _ => {}
        }
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
        let orders = Arc::new((self.wanted.clone(), self.passwords.clone()));
        for (id, node) in nodes {
            let mut place = self.places.remove(&id).unwrap_or_else(|| Place::at(&node));
            place.node = node;
            let (orders, limits) = (Arc::clone(&orders), Arc::clone(limits));
            self.looks.spawn_local(async move {
                let looked = place.look(&orders.0, &orders.1, &limits).await;
                (id, place, looked)
            });
        }
        while let Some(looked) = self.looks.join_next().await {
            // A look that panics is a bug, and told by the panic's own line.
            let Ok((id, mut place, looked)) = looked else { continue };
            place.note(looked, meters);
            for redis_user in place.users.newly_shared(&mut self.told) {
                let node = &place.node;
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

    /// The last that is done, within its time: what cannot be removed then stays. A node that does not answer
    /// takes no time of another's.
    async fn farewell(&mut self, limits: &Arc<Limits>) {
        let until = tokio::time::Instant::from_std(clock::now() + FAREWELL);
        let mut farewells = JoinSet::new();
        let mut begin = |mut place: Place| {
            let (wanted, limits) = (self.wanted.clone(), Arc::clone(limits));
            let database = self.database.clone();
            farewells.spawn_local(async move {
                let said = tokio::time::timeout_at(until, place.farewell(&wanted, &limits)).await;
                if let Err(error) = said.unwrap_or(Err(TalkError::Late)) {
                    let node = &place.node;
                    tracing::warn!(%error, database, %node, "users that this gateway has made at Redis could not be removed");
                }
            });
        };
        std::mem::take(&mut self.places).into_values().for_each(&mut begin);
        // A look that the end has met is not broken off: what it makes has to be known.
        let looks = async {
            while let Some(looked) = self.looks.join_next().await {
                looked.into_iter().for_each(|(_, place, _)| begin(place));
            }
        };
        if tokio::time::timeout_at(until, looks).await.is_err() {
            let (database, error) = (&self.database, TalkError::Late);
            tracing::warn!(%error, database, "users that this gateway has made at Redis could not be removed");
        }
        while farewells.join_next().await.is_some() {}
    }
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
