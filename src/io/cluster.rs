//! Where the nodes of each cluster are: asks those that are known, and the seeds, for the map, and
//! puts it in force. On a thread of its own, so that a node that hangs delays no client.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::timeout;

use super::clock;
use super::control::{Live, Shared, Stage};
use super::node::{Node, Socket};
use super::settings::{Address, Cluster, Database};
use crate::limits::Limits;
use crate::resp::{ReplyScanner, write};
use crate::upstream::cluster::Map;

/// A map is read again no sooner than this.
const AGAIN: Duration = Duration::from_secs(1);

/// How often is looked whether one is wanted.
const LOOK: Duration = Duration::from_millis(50);

/// Nodes that are asked in one round.
const ASKED_MAX: usize = 8;

/// Bytes of a map: a thousand nodes and as many ranges are less.
const MAP_BYTES_MAX: usize = 8 << 20;

/// What is known of one cluster's reading.
#[derive(Default)]
struct Reading {
    /// When it was last begun.
    at: Option<Instant>,
    /// When it is due without need.
    due: Option<Instant>,
    /// Said of the last one, so that it is said once.
    complaint: Option<String>,
    /// The settings that it was read by.
    by: Option<Cluster>,
    rounds: u64,
}

/// Starts the thread that reads the maps.
pub(super) fn start(shared: &Arc<Shared>, mut stages: watch::Receiver<Stage>) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name("cluster".to_owned()).spawn(move || {
        runtime.block_on(async {
            let mut reading = HashMap::new();
            loop {
                look(&shared, &mut reading).await;
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    stopped = stages.wait_for(|stage| *stage == Stage::Stopped) => {
                        // An error means that the gateway is being dropped.
                        drop(stopped);
                        return;
                    }
                }
            }
        });
    })
}

/// Reads the map of each cluster that is due.
async fn look(shared: &Arc<Shared>, readings: &mut HashMap<String, Reading>) {
    let live = shared.live.load_full();
    let wanted = std::mem::take(&mut *shared.wanted_maps.lock().unwrap_or_else(PoisonError::into_inner));
    readings.retain(|name, _| live.settings.database(name).is_some());
    for database in &live.settings.databases {
        let (Some(cluster), Some(id)) = (database.cluster(), live.reach.id(&database.name)) else { continue };
        let reading = readings.entry(database.name.clone()).or_default();
        if !refreshed(shared, &live, (database, cluster), reading, wanted.contains(&id)).await {
            // Too soon after the last time.
            shared.want_maps(&BTreeSet::from([id]));
        }
    }
}

/// Reads the map of one cluster, if that is due. False if it is wanted and has to wait.
async fn refreshed(
    shared: &Arc<Shared>,
    live: &Live,
    (database, cluster): (&Database, &Cluster),
    reading: &mut Reading,
    is_wanted: bool,
) -> bool {
    let now = clock::now();
    let is_new = reading.by.as_ref() != Some(cluster);
    let rested = reading.at.is_none_or(|at| now.saturating_duration_since(at) >= AGAIN);
    let is_due = is_new || reading.due.is_none_or(|due| due <= now) || is_wanted;
    if !is_due {
        return true;
    }
    if !is_new && !rested {
        return false;
    }
    reading.at = Some(now);
    reading.by = Some(cluster.clone());
    reading.rounds = reading.rounds.wrapping_add(1);
    let read = read(live, database, cluster, reading.rounds).await;
    let limits = &live.settings.limits;
    let (wait, complaint) = match read {
        Ok(map) => {
            let hole = map.hole();
            let complaint = (hole > 0)
                .then(|| format!("{hole} of its slots have no master, or none whose address is told"));
            match shared.replace(|live| take_over(live, database, &map)) {
                Ok(()) => (refresh(limits, reading.rounds), complaint),
                Err(error) => (AGAIN, Some(error)),
            }
        }
        Err(why) => (AGAIN, Some(why)),
    };
    reading.due = Some(now + wait);
    if complaint != reading.complaint {
        let name = &database.name;
        match &complaint {
            Some(why) => tracing::warn!(database = name, %why, "the map of the cluster is not whole"),
            None => tracing::info!(database = name, "the map of the cluster is whole"),
        }
        reading.complaint = complaint;
    }
    true
}

/// Within a tenth of the interval, so that several gateways do not ask together.
fn refresh(limits: &Limits, round: u64) -> Duration {
    let spread = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    Duration::from_millis(limits.cluster_refresh_ms / 1000 * (900 + spread % 201))
}

/// What is in force with this map; the same where it says nothing new.
fn take_over(live: &Live, database: &Database, map: &Map) -> Result<Live, String> {
    let reach = live.reach.with_map(database, map).map_err(|error| error.to_string())?;
    Ok(match reach {
        Some(reach) => Live { reach: Arc::new(reach), ..live.clone() },
        None => live.clone(),
    })
}

/// Asks known nodes and seeds until one tells a map without a hole; otherwise the best of them.
async fn read(live: &Live, database: &Database, cluster: &Cluster, round: u64) -> Result<Map, String> {
    let known = live.reach.id(&database.name).map(|id| live.reach.addresses(id));
    let mut candidates: Vec<Address> = known.unwrap_or_default();
    let from = usize::try_from(round).unwrap_or(0) % candidates.len().max(1);
    candidates.rotate_left(from);
    candidates.extend(cluster.seeds.iter().cloned());
    let mut seen = BTreeSet::new();
    candidates.retain(|address| seen.insert(address.to_string()));
    let (mut best, mut whys): (Option<Map>, Vec<String>) = (None, Vec::new());
    for address in candidates.into_iter().take(ASKED_MAX) {
        let limits = &live.settings.limits;
        let limit = Duration::from_millis(limits.connect_timeout_ms);
        let asked = timeout(limit, ask(&address, database, cluster, limits)).await;
        match asked.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(map) if map.hole() == 0 => return Ok(map),
            Ok(map) => {
                if best.as_ref().is_none_or(|best| map.hole() < best.hole()) {
                    best = Some(map);
                }
            }
            Err(why) => whys.push(format!("{address}: {why}")),
        }
    }
    best.ok_or_else(|| whys.join("; "))
}

/// Asks one node.
async fn ask(
    address: &Address,
    database: &Database,
    cluster: &Cluster,
    limits: &Limits,
) -> Result<Map, String> {
    let node = Node::at(address.clone(), database.tls.as_ref()).map_err(|error| error.to_string())?;
    let Address::Tcp { host, .. } = address else { return Err("not reached by TCP".to_owned()) };
    let times = (limits.keepalive_ms, limits.tcp_user_timeout_ms);
    let mut socket = node.open(times).await.map_err(|error| error.to_string())?;
    let service = &cluster.service;
    let Some(password) = service.password.given() else { return Err("its password is not known".to_owned()) };
    let auth =
        zeroize::Zeroizing::new(write::command(&[b"AUTH", service.redis_user.as_bytes(), password.expose()]));
    let answer = call(&mut socket, &auth).await?;
    if answer != b"+OK\r\n" {
        return Err(format!("it answers AUTH with {}", shown(&answer)));
    }
    let shards = call(&mut socket, &write::command(&[b"CLUSTER", b"SHARDS"])).await?;
    let slots = call(&mut socket, &write::command(&[b"CLUSTER", b"SLOTS"])).await?;
    Map::of_both(&shards, &slots, host, database.tls.is_some()).map_err(|error| error.to_string())
}

async fn call(socket: &mut Socket, request: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| error.to_string();
    socket.write_all(request).await.map_err(failed)?;
    socket.flush().await.map_err(failed)?;
    let mut answer = Vec::new();
    let mut scanner = ReplyScanner::new(8);
    loop {
        match scanner.scan(&answer).map_err(|error| error.to_string())? {
            Some(len) if len == answer.len() => return Ok(answer),
            Some(_) => return Err("it answers more than it is asked".to_owned()),
            None if answer.len() > MAP_BYTES_MAX => return Err("its answer has no end".to_owned()),
            None => {}
        }
        if socket.read_buf(&mut answer).await.map_err(failed)? == 0 {
            return Err("it closed the connection".to_owned());
        }
    }
}

fn shown(answer: &[u8]) -> String {
    let line = String::from_utf8_lossy(&answer[..answer.len().min(128)]);
    format!("{:?}", line.trim_end())
}
