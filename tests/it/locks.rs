//! Optimistic locks: clients that WATCH, GET and EXEC on a few counters while connections die on both
//! sides. Each increment leaves its number in a set within the same transaction, so that also those
//! whose outcome is unknown can be looked up: the counter must be exact.
//!
//! `RESPGATE_LOCKS` is how many EXECs are sent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::dice::Dice;
use crate::echo::{from_env, say};
use crate::proxy::Proxy;
use crate::resp::{Value, typed};
use crate::wire::Client;
use crate::world::{LOST, Setup, World};

const CLIENTS: u64 = 32;
const COUNTERS: u64 = 4;

/// What became of one EXEC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    /// The counter had changed, or the gateway said that it was not sent.
    NotDone,
    Unknown,
}

/// One EXEC: which counter, its number, and its fate.
struct Entry {
    counter: u64,
    id: String,
    fate: Fate,
}

#[test]
fn optimistic_locks_count_exactly_while_connections_die() {
    let wanted = from_env("RESPGATE_LOCKS", 3_000);
    let proxy = Proxy::start(21);
    let world = World::with_unready(Setup {
        limits: "reconnect_max_ms = 100",
        database: Some(proxy.address.to_string()),
        ..Setup::default()
    });
    world.announce(LOST);
    proxy.lead_to(&world.redis.socket());
    world.gateway.wait_ready();
    let begun = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (address, tls, begun) = (world.gateway.address, world.tls("app"), Arc::clone(&begun));
            std::thread::spawn(move || count(number, address, &tls, &begun, wanted))
        })
        .collect();
    let mut cuts = 0;
    while clients.iter().any(|client| !client.is_finished()) {
        std::thread::sleep(Duration::from_millis(200));
        proxy.cut_all();
        cuts += 1;
    }
    let entries: Vec<Entry> =
        clients.into_iter().flat_map(|client| client.join().expect("no client panicked")).collect();
    let counts = [Fate::Done, Fate::NotDone, Fate::Unknown]
        .map(|fate| entries.iter().filter(|entry| entry.fate == fate).count());
    say(&format!(
        "locks: {} EXECs of {CLIENTS} clients in {:.0?}, all connections cut {cuts} times: {} done, {} not done, {} \
         unknown",
        entries.len(),
        start.elapsed(),
        counts[0],
        counts[1],
        counts[2]
    ));
    assert!(entries.len() as u64 >= wanted && counts.iter().all(|&count| count > 0), "{counts:?}");
    for counter in 0..COUNTERS {
        settle(&world, counter, &entries);
    }
}

/// What is in the set was counted, once; what was answered is there, and what was refused is not.
fn settle(world: &World, counter: u64, entries: &[Entry]) {
    let mut root = world.redis.client("root");
    let mut number = |command: &str| match root.ask(command) {
        answer if answer == "nil" => 0,
        answer => answer.trim_start_matches(['$', ':']).parse::<u64>().expect("a number"),
    };
    let value = number(&format!("GET lock:{counter}"));
    let done = number(&format!("SCARD done:{counter}"));
    assert_eq!(value, done, "lock:{counter} is {value}, but {done} transactions counted");
    let ours: Vec<&Entry> = entries.iter().filter(|entry| entry.counter == counter).collect();
    let mut found = 0;
    for part in ours.chunks(500) {
        let mut words = vec!["SMISMEMBER".to_owned(), format!("done:{counter}")];
        words.extend(part.iter().map(|entry| entry.id.clone()));
        for (entry, is_there) in part.iter().zip(root.call(&words).items()) {
            let is_there = is_there == Value::Int(1);
            found += u64::from(is_there);
            match entry.fate {
                Fate::Done => assert!(is_there, "{} was answered and is lost", entry.id),
                Fate::NotDone => assert!(!is_there, "{} was refused and has run", entry.id),
                Fate::Unknown => {}
            }
        }
    }
    assert_eq!(found, done, "done:{counter} holds what nobody sent");
}

/// One client: increments, on connections that come and go.
fn count(
    number: u64,
    address: SocketAddr,
    tls: &Arc<ClientConfig>,
    begun: &AtomicU64,
    wanted: u64,
) -> Vec<Entry> {
    let mut dice = Dice::new(number);
    let mut entries = Vec::new();
    let mut client = None;
    while begun.load(Relaxed) < wanted {
        let mut connection: Client = match client.take() {
            Some(connection) => connection,
            None => Client::tls(address, Arc::clone(tls)).expect("the gateway is always there"),
        };
        let (counter, id) = (dice.below(COUNTERS), format!("{number}:{}", entries.len()));
        // A reset somewhere behind EXEC.
        let is_reset = dice.is_one_in(100);
        let Ok(Some(exec)) = prepare(&mut connection, counter, &id, &mut dice) else { continue };
        begun.fetch_add(1, Relaxed);
        let fate = match is_reset {
            true => {
                let _ = connection.try_write(&exec);
                connection.reset();
                entries.push(Entry { counter, id, fate: Fate::Unknown });
                continue;
            }
            false => execute(&mut connection, &exec),
        };
        // An error at any of its commands ends the attempt, not always the connection.
        client = fate.is_ok().then_some(connection);
        entries.push(Entry { counter, id, fate: fate.unwrap_or(Fate::Unknown) });
    }
    entries
}

/// Reads the counter under WATCH; the bytes of the transaction that follows. Nothing where the backend
/// was not there, and then this connection is not gone on with.
fn prepare(client: &mut Client, counter: u64, id: &str, dice: &mut Dice) -> io::Result<Option<Vec<u8>>> {
    let (key, set) = (format!("lock:{counter}"), format!("done:{counter}"));
    // Now and then without a lock: then the transaction is written in one piece on a shared link.
    if dice.is_one_in(5) {
        let all = ["MULTI".into(), format!("INCR {key}"), format!("SADD {set} {id}"), "EXEC".into()];
        return Ok(Some(all.iter().flat_map(|command| typed(command)).collect()));
    }
    client.try_write(&[typed(&format!("WATCH {key}")), typed(&format!("GET {key}"))].concat())?;
    let (watched, value) = (client.try_read()?, client.try_read()?);
    let value: u64 = match (watched.to_string().as_str(), &value) {
        ("+OK", Value::Nil) => 0,
        ("+OK", Value::Bulk(text)) => {
            std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).expect("a number")
        }
        _ => return Ok(None),
    };
    let all = ["MULTI".into(), format!("SET {key} {}", value + 1), format!("SADD {set} {id}"), "EXEC".into()];
    Ok(Some(all.iter().flat_map(|command| typed(command)).collect()))
}

/// Sends the transaction and reads its four replies; the last one tells.
fn execute(client: &mut Client, bytes: &[u8]) -> io::Result<Fate> {
    client.try_write(bytes)?;
    for _ in 0..3 {
        client.try_read()?;
    }
    Ok(match client.try_read()? {
        Value::Array(items) => {
            assert_eq!((items.len(), &items[1]), (2, &Value::Int(1)), "{items:?}");
            Fate::Done
        }
        Value::Nil => Fate::NotDone,
        Value::Error(text) if text.ends_with("outcome unknown") => Fate::Unknown,
        Value::Error(text) if text.ends_with("command not sent") || text.starts_with("EXECABORT ") => {
            Fate::NotDone
        }
        other => panic!("in answer to EXEC: {other}"),
    })
}
