//! The one handle by which the surfaces reach the gateway: start, reload, drain.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, watch};

use super::budget::Budget;
use super::census::Census;
use super::cluster;
use super::doors::{self, Door, Entrance, ReloadError};
use super::files::Files;
use super::health::Health;
use super::keeper::{self, Keep, Keeper};
use super::listen::{self, Accepted, Desk};
use super::memory;
use super::passwords::Passwords;
use super::peers;
use super::reach::Reach;
use super::replicas;
use super::sentinel;
use super::shed::Shed;
use super::tally::{Gauges, Meters};
use super::thread::{self, Post};
use super::turns::Turns;
use super::{AtStart, Settings, WORKERS_MAX};
use crate::fault::Reference;
use crate::identity::{Permit, Refusal};
use crate::observe::audit::Audit;
use crate::observe::metrics::Registry;
use crate::upstream::DatabaseId;
use crate::worker::Seed;

/// Accepted clients that may wait for a worker to take them.
const HAND_OVER_MAX: usize = 1024;

/// What is in force, swapped whole: by a reload, and when a database is found elsewhere.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) settings: Arc<Settings>,
    /// What is behind each door, by its number; nothing where its listener is gone.
    pub(super) entrances: Arc<[Option<Entrance>]>,
    /// Where the databases are.
    pub(super) reach: Arc<Reach>,
}

impl Live {
    /// Decides again about a client that was let in.
    pub(super) fn again(&self, permit: &Permit) -> Result<Permit, Refusal> {
        let listener = permit.evidence().listener();
        let entrance = self.entrances.iter().flatten().find(|entrance| **entrance.name() == *listener);
        entrance.ok_or_else(doors::removed)?.again(&self.settings, permit)
    }

    /// What is behind the door of this number.
    pub(super) fn entrance(&self, door: usize) -> Option<&Entrance> {
        self.entrances.get(door).and_then(Option::as_ref)
    }
}

/// What all threads share.
pub(super) struct Shared {
    pub(super) live: ArcSwap<Live>,
    /// One change at a time.
    change: Mutex<()>,
    /// Fixed at the start.
    pub(super) doors: Vec<Door>,
    pub(super) census: Arc<Census>,
    /// What is held for clients.
    pub(super) budget: Budget,
    pub(super) handshakes: Turns,
    /// How many clients there may be, fixed at the start.
    pub(super) files: Files,
    /// What the workers know of the backends.
    pub(super) health: Health,
    /// Clusters whose map is to be read again.
    pub(super) wanted_maps: Mutex<BTreeSet<DatabaseId>>,
    pub(super) audit: Audit,
    pub(super) passwords: Passwords,
    /// Passwords that are known only while the gateway runs.
    pub(super) keep: Keep,
    /// Places of clients that have yet to say who they are.
    pub(super) unproven: Semaphore,
    pub(super) stages: watch::Receiver<Stage>,
}

/// How far the gateway's life has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Running,
    Draining,
    Stopped,
}

/// What the gateway is started with, besides its settings.
pub struct Handles {
    /// Where audit records go.
    pub audit: Audit,
    /// Where metrics are registered.
    pub registry: Arc<Registry>,
}

/// Why the gateway could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The listening socket.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        cause: io::Error,
    },
    /// There is room for no client.
    #[error(
        "the process may open {open_files} files, expected at least {least}, and {all} for all that clients_max and \
         pinned_links_max allow: raise the limit (ulimit -Hn, or LimitNOFILE of its unit)"
    )]
    Files {
        /// How many it may open at most.
        open_files: usize,
        /// With so many one client can come in.
        least: usize,
        /// With so many the configuration is met in full.
        all: usize,
    },
    /// The settings of a listener.
    #[error(transparent)]
    Listener(#[from] ReloadError),
    /// A thread or its runtime, or random bytes.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// A running gateway.
pub struct Control {
    pub(super) shared: Arc<Shared>,
    stage: watch::Sender<Stage>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    gauges: Gauges,
    at_start: AtStart,
    /// What the process may use, found out once.
    memory: Option<u64>,
    keeper: Mutex<Option<Keeper>>,
}

/// Listens and starts the threads.
///
/// # Errors
/// If the address is taken, or the system has no files or threads to give.
pub fn start(mut settings: Settings, handles: Handles) -> Result<Control, StartError> {
    let memory = memory::available();
    fit_buffers(&mut settings, memory);
    let files = Files::at_start(&mut settings)?;
    let (doors, sockets) = open_doors(&settings)?;
    let entrances = doors::entrances(&doors, &settings, &[])?;
    let reach = Arc::new(Reach::plan(None, &settings)?);
    let gauges = Gauges::new(&handles.registry, &doors);
    gauges.set(&settings);
    let at_start = AtStart::of(&settings);
    let workers = settings.workers.clamp(1, WORKERS_MAX);
    let limits = Arc::new(settings.limits.clone());
    let (stage, stages) = watch::channel(Stage::Running);
    let shared = Arc::new(Shared {
        doors,
        census: Census::new(workers),
        budget: Budget::new(workers),
        handshakes: Turns::new(settings.limits.handshakes_max),
        files,
        health: Health::new(workers),
        wanted_maps: Mutex::default(),
        passwords: Passwords::new(&limits),
        keep: Keep::default(),
        unproven: Semaphore::new(limits.unproven_clients_max.max(1)),
        stages: stages.clone(),
        live: ArcSwap::from_pointee(Live {
            settings: Arc::new(settings),
            entrances: entrances.into(),
            reach,
        }),
        change: Mutex::default(),
        audit: handles.audit,
    });
    // Before the first client: what it needs is known by then, if it can be.
    let keeper = Mutex::new(Some(keeper::start(&shared, &handles.registry)?));
    let mut threads = Vec::new();
    let mut queues = Vec::new();
    let (peers, inboxes) = peers::ways(workers);
    for (number, inbox) in inboxes.into_iter().enumerate() {
        let (queue, clients) = mpsc::channel::<Accepted>(HAND_OVER_MAX);
        queues.push(queue);
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        // A name for the lifetime of the process: there are few workers.
        let name: &'static str = Box::leak(number.to_string().into_boxed_str());
        let post = Post {
            number,
            seed: Seed { random, number: number as u64, workers: workers as u64 },
            shared: Arc::clone(&shared),
            clients,
            peers: peers.clone(),
            inbox,
            stage: stages.clone(),
            meters: Meters::new(&handles.registry, name, &shared.doors),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || thread::run(&runtime, post))?;
        threads.push(thread);
    }
    threads.push(sentinel::start(&shared, stages.clone(), &handles.registry)?);
    threads.push(cluster::start(&shared, stages.clone())?);
    threads.push(replicas::start(&shared, stages.clone(), &handles.registry)?);
    let shed = RefCell::new(Shed::new(&handles.registry));
    let desk = Desk { limits, shared: Arc::clone(&shared), workers: queues, shed };
    threads.push(start_acceptor(sockets, desk, stages)?);
    Ok(Control { shared, stage, threads: Mutex::new(threads), gauges, at_start, memory, keeper })
}

/// Opens the socket of each listener.
fn open_doors(settings: &Settings) -> Result<(Vec<Door>, Vec<std::net::TcpListener>), StartError> {
    let (mut doors, mut sockets) = (Vec::new(), Vec::new());
    for listener in &settings.listeners {
        let address = listener.address;
        let socket = listen::bind(address, settings.limits.listen_backlog)
            .map_err(|cause| StartError::Listen { address, cause })?;
        // For the lifetime of the process: there are few listeners.
        let name: &'static str = Box::leak(listener.name.clone().into_boxed_str());
        doors.push(Door { name, address: socket.local_addr()? });
        sockets.push(socket);
    }
    Ok((doors, sockets))
}

fn start_acceptor(
    sockets: Vec<std::net::TcpListener>,
    desk: Desk,
    stages: watch::Receiver<Stage>,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("acceptor".to_owned()).spawn(move || {
        let desk = Rc::new(desk);
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let mut accepting = tokio::task::JoinSet::new();
            for (door, socket) in sockets.into_iter().enumerate() {
                let (desk, mut stages) = (Rc::clone(&desk), stages.clone());
                accepting.spawn_local(async move {
                    let stop = async move {
                        // An error means that the gateway is being dropped.
                        let _ = stages.wait_for(|stage| *stage != Stage::Running).await;
                    };
                    match tokio::net::TcpListener::from_std(socket) {
                        Ok(socket) => listen::accept(door, socket, &desk, stop).await,
                        Err(error) => tracing::error!(%error, "the listening socket cannot be used"),
                    }
                });
            }
            accepting.join_all().await;
        });
        // Workers go on with the clients that they have.
        drop(desk);
    })
}

impl Control {
    /// Each listener's name and the address that its clients come to.
    pub fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        self.shared.doors.iter().map(|door| (door.name, door.address))
    }

    /// Clients connected, those in their handshake included.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.shared.census.total()
    }

    /// Puts other settings in force: new clients meet them at once, sessions are held
    /// against them within a tenth of a second. Returns the keys by which they differ
    /// from what the process was started with, and which need a restart.
    ///
    /// # Errors
    /// If a listener cannot be made of them, or changes a name that it is to keep;
    /// nothing has changed then.
    pub fn reload(&self, mut settings: Settings) -> Result<Vec<String>, ReloadError> {
        fit_buffers(&mut settings, self.memory);
        self.shared.files.fit(&mut settings);
        let unchanged = self.at_start.needs_restart(&settings);
        self.shared.replace(|before| self.live(before, settings))?;
        Ok(unchanged)
    }

    /// What these settings put in force.
    fn live(&self, before: &Live, settings: Settings) -> Result<Live, ReloadError> {
        doors::keep_names(&before.settings, &settings)?;
        let entrances = doors::entrances(&self.shared.doors, &settings, &before.entrances)?;
        let reach = Arc::new(Reach::plan(Some((&before.settings, &before.reach)), &settings)?);
        self.gauges.set(&settings);
        Ok(Live { settings: Arc::new(settings), entrances: entrances.into(), reach })
    }

    /// How long [`Control::drain`] lets clients finish.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.shared.live.load().settings.limits.drain_timeout_ms)
    }

    /// Stops accepting and ends each session as soon as it awaits no reply; returns
    /// when all have ended or the drain timeout is over.
    pub async fn drain(&self) {
        self.stage.send_replace(Stage::Draining);
        let ended = async {
            while self.clients() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(self.drain_timeout(), ended).await.is_err() {
            tracing::warn!(clients = self.clients(), "drain timeout: the remaining clients are closed");
        }
    }

    /// Ends every thread, and whatever session there still is.
    pub fn stop(&self) {
        self.stage.send_replace(Stage::Stopped);
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread panicked");
            }
        }
        // Nobody speaks by its passwords any more.
        if let Some(keeper) = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.end();
        }
    }
}

impl Shared {
    /// Changes what is in force, unless that fails; nobody else changes it meanwhile.
    pub(super) fn replace<E>(&self, change: impl FnOnce(&Live) -> Result<Live, E>) -> Result<(), E> {
        let _turn = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&self.live.load())?;
        self.live.store(Arc::new(changed));
        self.keep.wake();
        Ok(())
    }

    /// Has the maps of these clusters read again.
    pub(super) fn want_maps(&self, databases: &BTreeSet<DatabaseId>) {
        self.wanted_maps.lock().unwrap_or_else(PoisonError::into_inner).extend(databases);
    }

    /// A new reference for an error line and the records about it.
    pub(super) fn reference(&self) -> Reference {
        // Without randomness references repeat, and nothing else depends on them.
        Reference::from_random(getrandom::u32().unwrap_or(0))
    }
}

/// What clients may make the gateway hold, where that is not written: by the memory that there is.
fn fit_buffers(settings: &mut Settings, memory: Option<u64>) {
    let buffers_bytes_max = settings.limits.buffers_bytes(memory);
    if settings.limits.buffers_bytes_max != buffers_bytes_max {
        tracing::info!(
            buffers_bytes_max,
            memory_bytes = memory,
            "buffers are bounded by the memory there is"
        );
        settings.limits.buffers_bytes_max = buffers_bytes_max;
    }
}
