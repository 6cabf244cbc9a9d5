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
            let (mut all, mut meters) = (HashMap::new(), HashMap::new());
            let follow = async {
                loop {
                    look(&shared, &mut all, &mut meters, &registry).await;
                    let ms = shared.live.load().settings.limits.replica_check_ms;
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
            };
            tokio::select! {
                () = follow => {}
                // An error means that the gateway is being dropped.
                _ = stages.wait_for(|stage| *stage == Stage::Stopped) => {}
            }
        });
    })
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
            let asked = watched.ask(&node, &replicas, &limits).await;
            (name, watched, asked)
        });
    }
    while let Some(looked) = looks.join_next().await {
        // A look that panics is a bug, and told by the panic's own line.
        let Ok((name, mut watched, asked)) = looked else { continue };
        if let Some(database) = live.settings.database(&name) {
            watched.note(database, asked);
            watched.publish(shared, &live, database);
            let meters = meters.entry(name.clone()).or_insert_with(|| Meters::new(registry, &name));
            meters.set(&watched.known);
        }
        all.insert(name, watched);
    }
    for (name, meters) in meters.iter().filter(|(name, _)| !all.contains_key(*name)) {
        tracing::trace!(database = name, "its replicas are not asked about");
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
        let told = text.map_err(Unasked::from).and_then(|text| Ok(Told::read(&text)?));
        if told.is_err() {
            self.talk = None;
        }
        self.lags.told(told?, asked_at, replicas.lag_max);
        Ok(())
    }

    fn note(&mut self, database: &Database, asked: Result<(), Unasked>) {
        let complaint = asked.err().map(|error| error.to_string());
        if complaint != self.complaint {
            let name = &database.name;
            match &complaint {
                Some(error) => {
                    tracing::warn!(database = name, error, "the master does not tell how far its replicas are");
                }
                None => tracing::info!(database = name, "the master tells how far its replicas are"),
            }
            self.complaint = complaint;
        }
    }

    /// Puts in force who may be read from until it is looked at again.
    fn publish(&mut self, shared: &Shared, live: &Live, database: &Database) {
        let Some(replicas) = &database.replicas else { return };
        let limits = &live.settings.limits;
        // By then, at the latest, the next look has been put in force.
        let next = Duration::from_millis(limits.replica_check_ms + 2 * limits.connect_timeout_ms);
        let known = self.lags.replicas(clock::now() + next, replicas.lag_max);
        let known: BTreeMap<Endpoint, bool> = known.map(|(it, is_in_step)| (it.clone(), is_in_step)).collect();
        for (Endpoint { host, port }, &is_in_step) in &known {
            let was = self.known.get(&Endpoint { host: host.clone(), port: *port });
            if was != Some(&is_in_step) {
                let (database, replica) = (&database.name, format!("{host}:{port}"));
                if is_in_step {
                    tracing::info!(database, replica, "this replica is read from");
                } else {
                    tracing::info!(database, replica, "this replica is too far behind: it is not read from");
                }
            }
        }
        for Endpoint { host, port } in self.known.keys().filter(|it| !known.contains_key(*it)) {
            let (database, replica) = (&database.name, format!("{host}:{port}"));
            tracing::info!(database, replica, "this replica does not follow the master any more: it is not read from");
        }
        self.known = known;
        let put = shared.replace(|live| {
            // What it would be put beside may have changed meanwhile.
            let is_same = live.settings.database(&database.name).is_some_and(|now| now == database);
            let reach = live.reach.with_replicas(database, self.master, &self.known)?;
            Ok::<_, super::tls::TlsError>(match reach {
                Some(reach) if is_same => Live { reach: Arc::new(reach), ..live.clone() },
                _ => live.clone(),
            })
        });
        if let Err(error) = put {
            tracing::error!(database = database.name, %error, "the replicas cannot be spoken to");
        }
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
