//! Failovers: ordered, by a master that dies, and by one that hangs and comes back. Nothing
//! is done twice, nothing is written to what is not the master, and clients go on within two
//! seconds of the sentinels' word.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::accounts::{Accounts, WRITE};
use super::group::{Group, Guard, NAME, Server};
use super::watch::Switches;
use super::{led, wait_until};
use crate::echo::{Vigil, from_env, say};
use crate::resp::Value;
use crate::world::{LOST, World};

/// How a master ceases to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// It dies, and comes back as a master without data.
    Kill,
    /// A sentinel is told to.
    Order,
    /// It hangs, and comes back as it was.
    Stop,
}

const DEEDS: [Deed; 3] = [Deed::Kill, Deed::Order, Deed::Stop];

/// When a write was first acknowledged by each node, since this was last asked.
#[derive(Clone, Default)]
struct Firsts(Arc<Mutex<Vec<(u16, Instant)>>>);

impl Firsts {
    fn clear(&self) {
        self.0.lock().expect("not poisoned").clear();
    }

    fn at(&self, port: u16) -> Option<Instant> {
        self.0.lock().expect("not poisoned").iter().find(|(of, _)| *of == port).map(|(_, at)| *at)
    }

    fn note(&self, port: u16) {
        let mut all = self.0.lock().expect("not poisoned");
        if !all.iter().any(|(of, _)| *of == port) {
            all.push((port, Instant::now()));
        }
    }
}

/// A client that writes one thing after another.
struct Probe {
    firsts: Firsts,
    is_closed: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Probe {
    fn start(world: &World) -> Self {
        let (firsts, is_closed) = (Firsts::default(), Arc::<AtomicBool>::default());
        let (ours, closed) = (firsts.clone(), Arc::clone(&is_closed));
        let mut client = world.client("app");
        let thread = std::thread::spawn(move || {
            while !closed.load(Relaxed) {
                match client.call(&["EVAL", WRITE, "2", "probe", "probes", "x"]) {
                    Value::Int(port) => ours.note(u16::try_from(port).expect("a port")),
                    Value::Error(text) if text.starts_with("ERR respgate: ") => {}
                    other => panic!("in answer to a write: {other}"),
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self { firsts, is_closed, thread }
    }

    fn end(self) {
        self.is_closed.store(true, Relaxed);
        self.thread.join().expect("it did not panic");
    }
}

#[test]
fn failovers_do_nothing_twice_and_write_to_nothing_but_the_master() {
    let count = from_env("RESPGATE_FAILOVERS", 2);
    let mut group = Group::start(Guard::Open);
    let switches = Switches::watch(&group);
    let world = World::with(Vigil::users(led(group.section())));
    world.announce(LOST);
    world.announce("the sentinels do not agree");
    let words = switches.clone();
    let vigil = Vigil::begin(&world, move |began| words.explain(began));
    let (accounts, probe) = (Accounts::open(&world), Probe::start(&world));
    let (start, mut waits) = (Instant::now(), Vec::new());
    for round in 0..count {
        let before = accounts.acknowledged();
        wait_until("writes are acknowledged", || accounts.acknowledged() >= before + 100);
        let deed = DEEDS[round as usize % DEEDS.len()];
        vigil.faults();
        let (was, wait) = fail_over(&mut group, deed, &probe.firsts, &switches);
        waits.push((deed, wait));
        say(&format!(
            "failover {}: {deed:?}, {wait:.0?} after the word, {:.0?} in all",
            round + 1,
            start.elapsed()
        ));
        vigil.peace(&world);
        come_back(&mut group.nodes[was], deed);
        group.wait_settled();
    }
    let replies = vigil.end();
    probe.end();
    let master = group.wait_settled();
    let balance = accounts.settle(group.nodes[master].client());
    waits.sort_by_key(|(_, wait)| *wait);
    let (median, longest) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    say(&format!(
        "failovers: {count} in {:.0?}; after the sentinels' word clients went on within {:.0?} (median) and {:.0?} \
         ({:?}, the longest); {balance:?}; {replies}",
        start.elapsed(),
        median.1,
        longest.1,
        longest.0,
    ));
    assert!(longest.1 < Duration::from_secs(15), "{waits:?}");
    let switched = world.gateway.metric("respgate_master_switches_total", "");
    assert!(switched >= count as f64, "{switched} of {count} switches");
}

/// Has the master cease to be one. Its number, and how long after the first word of a switch a
/// write was acknowledged by its successor.
fn fail_over(group: &mut Group, deed: Deed, firsts: &Firsts, switches: &Switches) -> (usize, Duration) {
    let was = group.wait_settled();
    firsts.clear();
    switches.order();
    let start = Instant::now();
    match deed {
        Deed::Kill => group.nodes[was].kill(),
        Deed::Stop => group.nodes[was].signal(Signal::STOP),
        // It may still be busy with the last one.
        Deed::Order => wait_until("a failover begins", || {
            group.sentinels[0].ask(&format!("SENTINEL FAILOVER {NAME}")) == "+OK"
        }),
    }
    let is_elsewhere = || (0..3).all(|sentinel| group.master_by(sentinel) != was);
    wait_until("the sentinels agree on another master", is_elsewhere);
    let port = group.nodes[group.master_by(0)].port;
    wait_until("it is announced", || switches.since(start, port).is_some());
    wait_until("it is written to", || firsts.at(port).is_some());
    let (word, first) = (switches.since(start, port), firsts.at(port));
    let (word, first) = (word.expect("waited for"), first.expect("waited for"));
    (was, first.saturating_duration_since(word))
}

/// Brings an old master back and looks at it for as long as it believes to be one.
fn come_back(node: &mut Server, deed: Deed) {
    match deed {
        Deed::Kill => node.resume(),
        Deed::Stop => {
            node.signal(Signal::CONT);
            // What the gateway has closed meanwhile, it has yet to notice.
            wait_until("the gateway's connections end", || !is_used(node));
        }
        Deed::Order => {}
    }
    wait_until("it follows the new master", || {
        let is_master = node.ask("INFO replication").contains("role:master");
        if is_master {
            assert!(
                !is_used(node),
                "the gateway has come back to an old master: {}",
                node.ask("CLIENT LIST")
            );
        }
        !is_master
    });
}

/// Whether a connection of the gateway has been greeted there.
fn is_used(node: &Server) -> bool {
    node.ask("CLIENT LIST").contains("name=respgate")
}
