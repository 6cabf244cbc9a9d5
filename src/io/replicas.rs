//! How far the replicas of each database are behind, where users read from them: the master is asked, and
//! what follows is put in force. On a thread of its own, so that a master that hangs delays no client.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use metrics::Gauge;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::clock;
use super::control::{Live, Shared, Stage};
use super::keeper::talk::{Talk, TalkError};
use super::node::Node;
use super::settings::{Database, Replicas};
use super::tls::TlsError;
use crate::limits::Limits;
use crate::observe::metrics::Registry;
use crate::upstream::NodeId;
use crate::upstream::cluster::Endpoint;
use crate::upstream::replicas::{InfoError, Lags, Told};

/// What is known of one database's replicas.
struct Watched {
    /// Which of its nodes said it.
    master: NodeId,
    talk: Option<Talk>,
    lags: Lags,
    /// As it was told last.
    known: BTreeMap<Endpoint, bool>,
    /// Said of the last question, so that it is said once.
    complaint: Option<String>,
}

/// Its numbers.
struct Meters {
    replicas: Gauge,
    in_step: Gauge,
}

/// Why a master has not told of its replicas.
#[derive(Debug, thiserror::Error)]
enum Unasked {
    #[error(transparent)]
    Talk(#[from] TalkError),
    #[error(transparent)]
    Info(#[from] InfoError),
}

/// Starts the thread that asks.
pub(super) fn start(
    shared: &Arc<Shared>,
    mut stages: watch::Receiver<Stage>,
    registry: &Arc<Registry>,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (shared, registry) = (Arc::clone(shared), Arc::clone(registry));
    std::thread::Builder::new().name("replicas".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = follow(&shared, &registry) => {}
                // An error means that the gateway is being dropped.
                _ = stages.wait_for(|stage| *stage == Stage::Stopped) => {}
            }
        });
    })
}

async fn follow(shared: &Shared, registry: &Registry) {
    let (mut all, mut meters) = (HashMap::new(), HashMap::new());
    loop {
        look(shared, &mut all, &mut meters, registry).await;
        let ms = shared.live.load().settings.limits.replica_check_ms;
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// Asks every master once.
async fn look(
    shared: &Shared,
    all: &mut HashMap<String, Watched>,
    meters: &mut HashMap<String, Meters>,
    registry: &Registry,
) {
    let live = shared.live.load_full();
    let mut before = std::mem::take(all);
    let mut looks = JoinSet::new();
    for database in &live.settings.databases {
        let Some(replicas) = &database.replicas else { continue };
        let Some((id, node)) = live.reach.master_of(&database.name) else { continue };
        let known = before.remove(&database.name).filter(|it| it.master == id);
        let mut watched = known.unwrap_or_else(|| Watched::of(id));
        let (replicas, limits, name) =
            (replicas.clone(), live.settings.limits.clone(), database.name.clone());
        // A master that does not answer holds up no other.
        looks.spawn(async move {
            let patience = Duration::from_millis(limits.replica_check_ms);
            let asked = tokio::time::timeout(patience, watched.ask(&node, &replicas, &limits)).await;
            let asked = asked.unwrap_or_else(|_elapsed| Err(TalkError::Late.into()));
            if asked.is_err() {
                // An answer that is still to come would be taken for the next one.
                watched.talk = None;
            }
            (name, watched, asked)
        });
    }
    while let Some(looked) = looks.join_next().await {
        // A look that panics is a bug, and told by the panic's own line.
        let Ok((name, mut watched, asked)) = looked else { continue };
        if let Some(database) = live.settings.database(&name) {
            watched.note(database, asked);
            watched.publish(shared, database, &live.settings.limits);
            let meters = meters.entry(name.clone()).or_insert_with(|| Meters::new(registry, &name));
            meters.set(&watched.known);
        }
        all.insert(name, watched);
    }
    for (_, meters) in meters.iter().filter(|(name, _)| !all.contains_key(*name)) {
        meters.set(&BTreeMap::new());
    }
}

impl Watched {
    fn of(master: NodeId) -> Self {
        Self { master, talk: None, lags: Lags::default(), known: BTreeMap::new(), complaint: None }
    }

    /// Asks the master. A connection that was there may have been lost.
    async fn ask(&mut self, node: &Arc<Node>, replicas: &Replicas, limits: &Limits) -> Result<(), Unasked> {
        let asked_at = clock::now();
        let mut text = match &mut self.talk {
            Some(talk) => talk.replication().await,
            None => Err(TalkError::Closed),
        };
        if text.is_err() {
            self.talk = None;
            let mut talk = Talk::open(node, &replicas.service, limits).await?;
            text = talk.replication().await;
            self.talk = Some(talk);
        }
        self.lags.told(Told::read(&text?)?, asked_at, replicas.lag_max);
        Ok(())
    }

    fn note(&mut self, database: &Database, asked: Result<(), Unasked>) {
        let complaint = asked.err().map(|error| error.to_string());
        if complaint != self.complaint {
            let name = &database.name;
            match &complaint {
                Some(error) => {
                    tracing::warn!(
                        database = name,
                        error,
                        "the master does not tell how far its replicas are"
                    );
                }
                None => tracing::info!(database = name, "the master tells how far its replicas are"),
            }
            self.complaint = complaint;
        }
    }

    /// Puts in force who may be read from until it is looked at again.
    fn publish(&mut self, shared: &Shared, database: &Database, limits: &Limits) {
        let Some(replicas) = &database.replicas else { return };
        // By then the next look, which takes as long at most, has been put in force.
        let next = Duration::from_millis(2 * limits.replica_check_ms);
        let known = self.lags.replicas(clock::now() + next, replicas.lag_max);
        let known: BTreeMap<Endpoint, bool> =
            known.map(|(it, is_in_step)| (it.clone(), is_in_step)).collect();
        let before = std::mem::replace(&mut self.known, known);
        tell(&database.name, &before, &self.known);
        let found = |live: &Live| live.reach.with_replicas(database, self.master, &self.known);
        let live = shared.live.load_full();
        if matches!(found(&live), Ok(None)) {
            return;
        }
        let put = shared.replace(|live| {
            // It may have been configured otherwise meanwhile.
            let is_same = live.settings.database(&database.name).is_some_and(|now| now == database);
            Ok::<_, TlsError>(match found(live)? {
                Some(reach) if is_same => Live { reach: Arc::new(reach), ..live.clone() },
                _ => live.clone(),
            })
        });
        if let Err(error) = put {
            tracing::error!(database = database.name, %error, "the replicas cannot be spoken to");
        }
    }
}

/// Says what has changed.
fn tell(database: &str, before: &BTreeMap<Endpoint, bool>, now: &BTreeMap<Endpoint, bool>) {
    for (replica, is_in_step) in now.iter().filter(|(replica, it)| before.get(*replica) != Some(it)) {
        if *is_in_step {
            tracing::info!(database, %replica, "this replica is read from");
        } else {
            tracing::info!(database, %replica, "this replica is too far behind: it is not read from");
        }
    }
    for replica in before.keys().filter(|it| !now.contains_key(*it)) {
        tracing::info!(database, %replica, "this replica does not follow the master any more: it is not read from");
    }
}

impl Meters {
    fn new(registry: &Registry, database: &str) -> Self {
        // For the lifetime of the process: there are few databases.
        let database: &'static str = Box::leak(database.to_owned().into_boxed_str());
        let gauge = |name, about| registry.gauge(name, about, &[("database", database)]);
        Self {
            replicas: gauge("respgate_replicas", "Replicas that follow the master."),
            in_step: gauge("respgate_replicas_in_step", "Replicas that are read from."),
        }
    }

    fn set(&self, known: &BTreeMap<Endpoint, bool>) {
        self.replicas.set(known.len() as f64);
        self.in_step.set(known.values().filter(|is_in_step| **is_in_step).count() as f64);
    }
}
