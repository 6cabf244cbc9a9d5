//! Sentinels that are stale or lie, alone and in the majority. The replicas take writes
//! here (`replica-read-only no`), so that one that came to them would be seen.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::accounts::WRITE;
use super::group::{Server, nodes};
use super::liar::Liar;
use super::{NOT_SENT, asking};
use crate::log::Event;
use crate::resp::Value;
use crate::wire::{Client, PATIENCE};
use crate::world::{LOST, World};

/// A master (0), two replicas, and three sentinels that say what they are told to.
struct Stage {
    /// The first to go: it would notice that the others do.
    world: World,
    nodes: Vec<Server>,
    liars: Vec<Liar>,
    _directory: TempDir,
}

impl Stage {
    /// All of them say that the master is this node.
    fn begin(says: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let nodes = nodes(directory.path());
        let liars: Vec<Liar> = (0..3).map(|_| Liar::start(nodes[says].port)).collect();
        let ports: Vec<u16> = liars.iter().map(|liar| liar.port).collect();
        let world = World::with_unready(asking(&ports));
        world.gateway.stderr.wait_for("of the master", |line| line.contains("the sentinels say where"));
        // Only the first of them is a master.
        world.gateway.wait_status("/readyz", if says == 0 { 200 } else { 503 });
        Self { nodes, liars, world, _directory: directory }
    }

    fn say(&self, liar: usize, node: usize) {
        self.liars[liar].switch(self.nodes[node].port);
    }

    fn assert_untouched(&self, node: usize) {
        let list = self.nodes[node].ask("CLIENT LIST");
        assert!(!list.contains("name=respgate"), "{list}");
    }
}

fn write(client: &mut Client) -> Value {
    client.call(&["EVAL", WRITE, "2", "count", "tokens", "x"])
}

fn wait_for(client: &mut Client, what: &str, fits: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = write(client);
        if fits(&reply) {
            return;
        }
        assert!(Instant::now() < deadline, "never {what}: {reply}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn one_of_three_that_lies_or_is_stale_is_outvoted() {
    let stage = Stage::begin(0);
    let mut client = stage.world.client("app");
    let master = i64::from(stage.nodes[0].port);
    wait_for(&mut client, "written", |reply| *reply == Value::Int(master));
    stage.say(2, 1);
    let deadline = Instant::now() + PATIENCE;
    while stage.world.gateway.metric("respgate_sentinels_agreeing", "") != 2.0 {
        assert!(Instant::now() < deadline, "nobody has heard the lie");
        std::thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..100 {
        assert_eq!(write(&mut client), Value::Int(master));
    }
    stage.assert_untouched(1);
    assert_eq!(stage.world.gateway.metric("respgate_master_switches_total", ""), 0.0);
}

#[test]
fn a_majority_that_leads_to_a_replica_leads_to_no_write() {
    let stage = Stage::begin(1);
    stage.world.announce(LOST);
    let mut client = stage.world.client("app");
    assert_eq!(write(&mut client).to_string(), NOT_SENT);
    for _ in 0..20 {
        assert_eq!(write(&mut client).to_string(), NOT_SENT);
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = &stage.world.gateway.stderr;
    log.wait_for("of the role", |line| line.contains("the backend is a replica, not the master"));
    assert!(stage.world.gateway.wait_status("/readyz", 503).contains("backend_unavailable"));
    stage.assert_untouched(1);
    assert_eq!(stage.nodes[1].ask("EXISTS count tokens"), ":0");

    let master = i64::from(stage.nodes[0].port);
    [0, 1].into_iter().for_each(|liar| stage.say(liar, 0));
    wait_for(&mut client, "written", |reply| *reply == Value::Int(master));
    stage.world.gateway.wait_ready();
    // And again, with clients in.
    [0, 1].into_iter().for_each(|liar| stage.say(liar, 2));
    wait_for(&mut client, "refused", |reply| reply.to_string() == NOT_SENT);
    stage.assert_untouched(2);
    [0, 2].into_iter().for_each(|liar| stage.say(liar, 0));
    wait_for(&mut client, "written", |reply| *reply == Value::Int(master));
}

#[test]
fn what_lives_in_a_connection_ends_with_the_master_that_is_left() {
    let stage = Stage::begin(0);
    stage.world.announce(LOST);
    let master = i64::from(stage.nodes[0].port);
    let [mut writer, mut waiter, mut subscriber] = [(); 3].map(|()| stage.world.client("app"));
    wait_for(&mut writer, "written", |reply| *reply == Value::Int(master));
    waiter.send("BLPOP nothing 0");
    subscriber.talk(&[("SUBSCRIBE news", "[$subscribe, $news, :1]")]);
    // The second node becomes the master; the first one stays what it was, as if it were cut off.
    assert_eq!(stage.nodes[1].ask("REPLICAOF NO ONE"), "+OK");
    (0..3).for_each(|liar| stage.say(liar, 1));
    let successor = i64::from(stage.nodes[1].port);
    wait_for(&mut writer, "written", |reply| *reply == Value::Int(successor));
    assert_eq!(
        waiter.read().to_string(),
        "-ERR respgate: connection to the backend was lost, outcome unknown"
    );
    subscriber.expect_end();
    let list = stage.nodes[0].ask("CLIENT LIST");
    assert!(!list.contains("name=respgate"), "{list}");
    stage.world.client("app").talk(&[("SUBSCRIBE news", "[$subscribe, $news, :1]")]);
    let lost = || stage.world.gateway.stderr.all().into_iter().filter(|line| line.contains(LOST));
    let was = format!("127.0.0.1:{master}");
    assert!(
        lost().any(|line| line.contains("somewhere else from now on")),
        "{:#?}",
        lost().collect::<Vec<_>>()
    );
    for line in lost() {
        let event = Event::parse(&line).expect("a line of the log");
        let place = (event.field("database"), event.field("node"));
        assert_eq!(place, (Some("default"), Some(was.as_str())), "the node that was left: {line}");
    }
}

#[test]
fn a_master_that_is_demoted_and_keeps_its_connections_is_left() {
    let stage = Stage::begin(0);
    stage.world.announce(LOST);
    let mut client = stage.world.client("app");
    let [was, is] = [0, 1].map(|node: usize| stage.nodes[node].port);
    wait_for(&mut client, "written", |reply| *reply == Value::Int(i64::from(was)));
    // By hand, and without the CLIENT KILL that a sentinel would send along.
    assert_eq!(stage.nodes[1].ask("REPLICAOF NO ONE"), "+OK");
    assert_eq!(stage.nodes[0].ask(&format!("REPLICAOF 127.0.0.1 {is}")), "+OK");
    super::wait_until("nothing is sent there", || client.ask("GET k") == NOT_SENT);
    for _ in 0..20 {
        assert_eq!(write(&mut client).to_string(), NOT_SENT);
    }
    (0..3).for_each(|liar| stage.say(liar, 1));
    wait_for(&mut client, "written", |reply| *reply == Value::Int(i64::from(is)));
}
