//! Increments and unique tokens over failovers, by clients that are told whether each ran.
//!
//! Each write looks at the role of the node that it runs on, and says so if that is not the
//! master's. What a master has acknowledged and not yet replicated is lost with it; that is
//! Redis' loss and is counted apart. What the gateway promises is that nothing is done twice,
//! and that nothing is done that it says was not sent.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::dice::Dice;
use crate::resp::{Value, request};
use crate::wire::Client;
use crate::world::World;

const CLIENTS: u64 = 8;

/// Increments, notes the token, and returns the port of the node; on a replica, an error.
pub(super) const WRITE: &str = "local info = redis.call('INFO') \
    if not string.find(info, 'role:master') then \
        return redis.error_reply('WRITTEN to what is not the master') end \
    redis.call('INCR', KEYS[1]) \
    redis.call('RPUSH', KEYS[2], ARGV[1]) \
    return tonumber(string.match(info, 'tcp_port:(%d+)'))";

/// What has become of the tokens.
#[derive(Default)]
struct Fates {
    acknowledged: Vec<String>,
    unknown: Vec<String>,
    not_sent: Vec<String>,
}

/// The clients, and what they were told.
pub(super) struct Accounts {
    fates: Arc<Mutex<Fates>>,
    is_closed: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

/// What it all came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Balance {
    pub(super) acknowledged: usize,
    pub(super) unknown: usize,
    pub(super) not_sent: usize,
    /// Acknowledged by a master and not there after it: not yet replicated.
    pub(super) lost_by_redis: usize,
}

impl Accounts {
    pub(super) fn open(world: &World) -> Self {
        let (fates, is_closed) = (Arc::<Mutex<Fates>>::default(), Arc::<AtomicBool>::default());
        let clients = (0..CLIENTS).map(|number| {
            let (fates, is_closed) = (Arc::clone(&fates), Arc::clone(&is_closed));
            let (address, tls) = (world.gateway.address, world.tls(["app", "ops"][number as usize % 2]));
            std::thread::spawn(move || {
                let mut dice = Dice::new(number);
                let mut client = Client::tls(address, Arc::clone(&tls)).expect("the gateway is there");
                for turn in 0.. {
                    if is_closed.load(Relaxed) {
                        return;
                    }
                    if !play(&mut client, &fates, &mut dice, &format!("{number}-{turn}")) {
                        client = Client::tls(address, Arc::clone(&tls)).expect("the gateway is there");
                    }
                    std::thread::sleep(std::time::Duration::from_millis(dice.below(10)));
                }
            })
        });
        let clients = clients.collect();
        Self { fates, is_closed, clients }
    }

    /// Ends the clients and holds what they were told against what is there.
    pub(super) fn settle(self, mut master: Client) -> Balance {
        self.is_closed.store(true, Relaxed);
        self.clients.into_iter().for_each(|client| client.join().expect("no client panicked"));
        let fates = self.fates.lock().expect("not poisoned");
        let Value::Array(done) = master.read_after("LRANGE tokens 0 -1") else { panic!("no tokens") };
        let done: Vec<String> =
            done.iter().map(|it| String::from_utf8_lossy(it.bytes()).into_owned()).collect();
        let once: HashSet<&str> = done.iter().map(String::as_str).collect();
        assert_eq!(once.len(), done.len(), "something was done twice");
        let there = |tokens: &[String]| tokens.iter().filter(|it| once.contains(it.as_str())).count();
        assert_eq!(there(&fates.not_sent), 0, "something was done that was not sent");
        let known = there(&fates.acknowledged) + there(&fates.unknown);
        assert_eq!(known, done.len(), "something was done that nobody sent");
        let count = master.ask("GET count");
        assert_eq!(count, format!("${}", done.len()), "increments and tokens differ");
        Balance {
            acknowledged: fates.acknowledged.len(),
            unknown: fates.unknown.len(),
            not_sent: fates.not_sent.len(),
            lost_by_redis: fates.acknowledged.len() - there(&fates.acknowledged),
        }
    }

    /// How many writes have been acknowledged so far.
    pub(super) fn acknowledged(&self) -> usize {
        self.fates.lock().expect("not poisoned").acknowledged.len()
    }
}

/// One pipeline. Whether the connection can go on.
fn play(client: &mut Client, fates: &Mutex<Fates>, dice: &mut Dice, turn: &str) -> bool {
    let tokens: Vec<String> = (0..dice.magnitude(16)).map(|number| format!("{turn}-{number}")).collect();
    // A link of its own, now and then, made for the occasion.
    let is_pinned = dice.is_one_in(10);
    let mut bytes = Vec::new();
    if is_pinned {
        bytes.extend(request(&["WATCH", "nobody"]));
    }
    for token in &tokens {
        bytes.extend(request(&["EVAL", WRITE, "2", "count", "tokens", token]));
    }
    if is_pinned {
        bytes.extend(request(&["UNWATCH"]));
    }
    let mut goes_on = client.try_write(&bytes).is_ok();
    if is_pinned {
        goes_on &= client.try_read().is_ok();
    }
    for token in tokens {
        let reply = client.try_read();
        let mut fates = fates.lock().expect("not poisoned");
        match reply {
            Ok(Value::Int(_)) => fates.acknowledged.push(token),
            Ok(Value::Error(text)) if text.ends_with("command not sent") => fates.not_sent.push(token),
            Ok(Value::Error(text)) if text.ends_with("outcome unknown") => fates.unknown.push(token),
            Ok(other) => panic!("in answer to a write: {other}"),
            Err(_) => {
                fates.unknown.push(token);
                goes_on = false;
            }
        }
    }
    goes_on && (!is_pinned || client.try_read().is_ok())
}
