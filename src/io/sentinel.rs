//! The sentinels of the databases that have some: a task for each asks and listens, the
//! council of `upstream::sentinel` decides, and where it says that the master is, there the
//! database is from then on. On a thread of its own; no request waits for it.

mod meters;
mod once;
mod room;
mod voice;

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::MissedTickBehavior;

use super::clock;
use super::control::{Live, Shared, Stage};
use super::doors::ReloadError;
use super::node::Node;
use super::settings::{Address, Database, Location, Settings};
use super::tls::{BackendTls, TlsError};
use crate::observe::metrics::Registry;
use crate::secret::Secret;
use crate::upstream::sentinel::{Council, Login, Place};
use meters::Meters;
pub(super) use once::find;
use room::Room;
use voice::Voice;

/// How often what has lasted is looked at, and whether the master is to be reached.
const LOOK: Duration = Duration::from_millis(100);

/// Who says which node is the master, and how they are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentinels {
    /// The master's name.
    pub master: String,
    /// Where they are, all by TCP; none twice.
    pub addresses: Vec<Address>,
    /// How many of them have to agree: more than half.
    pub quorum: usize,
    /// Who the gateway is to them; without a name their default user.
    pub redis_user: Option<String>,
    /// The password, if they ask for one.
    pub password: Option<Secret>,
    /// How they are spoken to, where that is TLS.
    pub tls: Option<BackendTls>,
}

/// Begins to follow the sentinels of the settings in force, until the gateway stops.
pub(super) fn start(
    shared: &Arc<Shared>,
    stages: watch::Receiver<Stage>,
    registry: &Arc<Registry>,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (shared, registry) = (Arc::clone(shared), Arc::clone(registry));
    std::thread::Builder::new().name("sentinels".to_owned()).spawn(move || {
        LocalSet::new().block_on(&runtime, follow(&shared, stages, &registry));
    })
}

async fn follow(shared: &Arc<Shared>, mut stages: watch::Receiver<Stage>, registry: &Registry) {
    let mut leads = Leads { shared, live: None, leads: HashMap::new(), meters: HashMap::new() };
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // An error means that the gateway is being dropped.
            _ = stages.wait_for(|stage| *stage == Stage::Stopped) => return,
            _ = ticks.tick() => leads.look(registry),
        }
    }
}

/// All databases that are led by sentinels.
struct Leads<'a> {
    shared: &'a Arc<Shared>,
    /// The settings that are followed.
    live: Option<Arc<Live>>,
    /// By the names of their databases.
    leads: HashMap<String, Lead>,
    /// Kept for the process's lifetime.
    meters: HashMap<String, Meters>,
}

/// One of them, listened to until this is dropped.
struct Lead {
    room: Rc<Room>,
    settings: Sentinels,
    _voices: JoinSet<()>,
}

impl Leads<'_> {
    fn look(&mut self, registry: &Registry) {
        let live = self.shared.live.load_full();
        let is_known = |before: &Arc<Live>| Arc::ptr_eq(&before.settings, &live.settings);
        if !self.live.as_ref().is_some_and(is_known) {
            self.take_over(&live, registry);
        }
        let is_failing = self.shared.health.is_some_node_failing(|node| live.reach.is_standby(node));
        self.live = Some(live);
        for (database, lead) in &self.leads {
            if is_failing {
                lead.room.urge();
            }
            lead.room.tell(Council::tick);
            if let Some(meters) = self.meters.get_mut(database) {
                lead.room.peek(|council| meters.set(council, clock::unix_now()));
            }
        }
    }

    /// Asks whom the settings name, and nobody else any more.
    fn take_over(&mut self, live: &Live, registry: &Registry) {
        self.leads.retain(|name, _| {
            let is_led = sentinels(&live.settings, name).is_some();
            if let (false, Some(meters)) = (is_led, self.meters.get_mut(name)) {
                meters.clear();
            }
            is_led
        });
        for database in &live.settings.databases {
            if let Location::Sentinels(sentinels) = &database.location {
                self.lead(database, sentinels, live, registry);
            }
        }
    }

    fn lead(&mut self, database: &Database, sentinels: &Sentinels, live: &Live, registry: &Registry) {
        let (name, limits) = (&database.name, Arc::new(live.settings.limits.clone()));
        if let Some(lead) = self.leads.get(name).filter(|lead| lead.settings == *sentinels) {
            lead.room.set_limits(&limits);
            // Where the settings have come and gone meanwhile, what is known is put in force again.
            let known = live.reach.node_of(name).and_then(|node| place(node.address()?));
            if let Some(master) = lead.room.peek(|council| council.master().cloned())
                && known.as_ref() != Some(&master)
            {
                move_to(self.shared, name, &sentinels.master, &master);
            }
            return;
        }
        let believed = live.reach.node_of(name).and_then(|node| place(node.address()?));
        let council = Council::new(sentinels.addresses.len(), sentinels.quorum, believed, clock::now());
        let shared = Arc::clone(self.shared);
        let names = (name.clone(), sentinels.master.clone());
        let publish = {
            let (name, master) = names.clone();
            move |place: &Place| move_to(&shared, &name, &master, place)
        };
        let room = Rc::new(Room::new(names, council, &limits, Box::new(publish)));
        self.meters.entry(name.clone()).or_insert_with(|| Meters::new(registry, name));
        match listen(&room, sentinels) {
            Ok(voices) => {
                let lead = Lead { room, settings: sentinels.clone(), _voices: voices };
                self.leads.insert(name.clone(), lead);
            }
            // Settings that have been checked, and yet.
            Err(error) => tracing::error!(database = name, %error, "the sentinels cannot be spoken to"),
        }
    }
}

/// Who leads the database of this name, if somebody does.
fn sentinels<'a>(settings: &'a Settings, database: &str) -> Option<&'a Sentinels> {
    match &settings.database(database)?.location {
        Location::Sentinels(sentinels) => Some(sentinels),
        Location::Address(_) | Location::Cluster(_) => None,
    }
}

/// Who we are to each of them, and whom they are asked for.
fn login(sentinels: &Sentinels) -> Login {
    Login {
        master: sentinels.master.clone(),
        redis_user: sentinels.redis_user.clone(),
        password: sentinels.password.clone(),
    }
}

/// A task for each of them; dropped, they end.
fn listen(room: &Rc<Room>, sentinels: &Sentinels) -> Result<JoinSet<()>, TlsError> {
    let mut voices = JoinSet::new();
    for (number, address) in sentinels.addresses.iter().enumerate() {
        let login = login(sentinels);
        let node = Node::at(address.clone(), sentinels.tls.as_ref())?;
        voices.spawn_local(Voice { room: Rc::clone(room), number, node, login }.listen());
    }
    Ok(voices)
}

/// From now on the database is there, unless it is no longer led by this name.
fn move_to(shared: &Shared, database: &str, master: &str, place: &Place) {
    let Place { host, port } = place.clone();
    let at = Address::Tcp { host, port };
    let moved = shared.replace(|live| {
        let settings = live.settings.database(database);
        let is_led = sentinels(&live.settings, database).is_some_and(|it| it.master == master);
        let Some(settings) = settings.filter(|_| is_led) else { return Ok(live.clone()) };
        let reach = Arc::new(live.reach.found(settings, &at)?);
        Ok::<_, ReloadError>(Live { reach, ..live.clone() })
    });
    if let Err(error) = moved {
        tracing::error!(database, master, at = %place, %error, "the master cannot be spoken to");
    }
}

fn place(address: &Address) -> Option<Place> {
    match address {
        Address::Tcp { host, port } => Some(Place { host: host.clone(), port: *port }),
        Address::Unix(_) => None,
    }
}
