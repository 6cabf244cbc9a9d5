//! Single claims in the same world: what chance meets too seldom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use respgate::command::slot::slot;
use respgate::limits::Limits;
use respgate::upstream::cluster::{Endpoint, Map, Part, Topology};
use respgate::upstream::{Database, LinkId, NodeId};
use respgate::worker::Loss;

use super::super::frame::command;
use super::super::world::Wire;
use super::{DATABASE, WAIT, World};

/// Nodes that say all the time that the cluster is down are asked for as long as a request may wait;
/// then it is answered so, at whatever moment between two attempts that is.
#[test]
fn a_cluster_that_stays_down_is_said_to_be_when_the_time_to_wait_is_over() {
    for seed in 0..16 {
        let mut world = World::of_nodes(seed, Instant::now(), false);
        world.scene.nodes.says = Some("-CLUSTERDOWN The cluster is down\r\n");
        for client in &mut world.scene.clients {
            client.plan(&mut world.dice);
        }
        while world.is_awaiting() {
            // A client has asked twelve at most, one after the other if its limit is one.
            let waited = world.now.duration_since(world.began);
            assert!(waited < 12 * 2 * WAIT, "seed {seed}: {}", world.unanswered());
            world.settle();
            let ms = world.dice.pick(&[1, 5, 20, 50]);
            world.pass(ms);
            world.tell_map();
        }
        assert!(world.scene.nodes.redirects > 0 && world.scene.clients.iter().any(|client| client.lost > 0));
    }
}

impl World {
    /// The worker is told that only these nodes have slots, each a half of those from `first` on.
    fn tell_map_from(&mut self, first: u16, nodes: [usize; 2]) {
        let half = first + (16_383 - first) / 2;
        let part = |first, last, node| Part {
            first,
            last,
            master: Endpoint::new(&format!("n{node}"), 7000),
            replicas: Vec::new(),
        };
        let parts = vec![part(first, half, nodes[0]), part(half + 1, 16_383, nodes[1])];
        let number = |endpoint: &Endpoint| NodeId(endpoint.host[1..].parse().expect("one of ours"));
        let cluster = Some(Arc::new(Topology::of(&Map { parts, ..Map::default() }, number)));
        let credentials = self.people.credentials();
        let database = Database { cluster, credentials, ..Database::new(NodeId(1), false) };
        self.worker.set_databases(BTreeMap::from([(DATABASE, database)]), self.now);
        self.pump();
    }

    /// What the first client is told.
    fn is_told(&mut self, words: &[&str]) -> String {
        if !words.is_empty() {
            self.sockets[0].inbound.extend(command(words));
        }
        let end = self.now + 3 * WAIT;
        while self.sockets[0].outbound.is_empty() {
            assert!(self.now < end, "silence");
            self.carry();
            self.pass(50);
        }
        self.sockets[0].runnable = true;
        String::from_utf8(std::mem::take(&mut self.sockets[0].outbound)).expect("text")
    }
}

/// Who found a node failing has left it. Those whose slot it gets wait for it, and it is back.
#[test]
fn a_node_that_nobody_is_at_any_more_is_tried_for_those_who_wait_for_it() {
    let mut world = World::of_nodes(3, Instant::now(), false);
    world.scene.terms.has_lost = true;
    world.sockets[0].out_cap = 1 << 20;
    let key_in = |range: std::ops::Range<u16>| {
        (0..).map(|number| format!("k{number}")).find(|key| range.contains(&slot(key.as_bytes())))
    };
    let (first, last) = (key_in(0..5_000).expect("any"), key_in(11_000..16_000).expect("any"));
    world.sockets[0].inbound.extend(command(&["GETRANGE", &first, "0", "0:1"]));
    while world.sockets[0].outbound.is_empty() {
        world.client_arrives(0, true);
        while world.poll_one() {}
        let fresh: Vec<LinkId> = world.wires.keys().copied().collect();
        fresh.into_iter().for_each(|link| world.lose(link, Loss::Connect("refused".into())));
        world.pass(50);
    }
    assert!(std::mem::take(&mut world.sockets[0].outbound).starts_with(b"-"));
    // Its slots are nobody's for a while, and the client has its ways anew.
    world.tell_map_from(5_461, [1, 2]);
    assert!(!world.is_told(&["GETRANGE", &last, "0", "0:2"]).starts_with('-'));
    world.sockets[0].inbound.extend(command(&["GETRANGE", &first, "0", "0:3"]));
    world.carry();
    world.pass(50);
    world.scene.wants_map = true;
    world.tell_map();
    let back = world.now;
    assert_eq!(world.is_told(&[]), "$3\r\n0:3\r\n");
    assert!(world.now - back < WAIT / 2, "after {:?}", world.now - back);
}

/// A node has not run a request, and has run one behind it for the same key. The first must not run any more.
#[test]
fn what_another_of_its_slot_has_overtaken_is_refused() {
    overtake(
        "-CLUSTERDOWN The cluster is down\r\n",
        "-CLUSTERDOWN respgate: the hash slot is not served, command not run\r\n",
    );
    overtake(
        "-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
        "-TRYAGAIN respgate: the hash slot is on its way between nodes, command not run\r\n",
    );
}

fn overtake(says: &'static str, told: &str) {
    let mut world = World::of_nodes(5, Instant::now(), false);
    let limits = Limits {
        client_in_flight_max: 1_024,
        link_in_flight_max: 1_024,
        link_queue_bytes_max: 1 << 22,
        ..world.limits.clone()
    };
    world.worker.set_limits(Arc::new(limits));
    world.sockets[0].out_cap = 1 << 20;
    assert_eq!(world.is_told(&["SET", "{1}0", "0:1"]), "+OK\r\n");
    let [first, second] = ["0:2", "0:3"].map(|tag| command(&["SET", "{1}0", tag]));
    world.sockets[0].inbound.extend([&first[..], &second].concat());
    while world.poll_one() {}
    let is_asked = |wire: &Wire| wire.to_backend.ends_with(&second);
    let link = world.wires.iter().find(|(_, wire)| is_asked(wire)).map(|(&link, _)| link).expect("asked");
    let behind = world.wires.get_mut(&link).expect("found").to_backend.split_off(first.len());
    for (bytes, says) in [(Vec::new(), Some(says)), (behind, None)] {
        world.scene.nodes.says = says;
        world.wires.get_mut(&link).expect("found").to_backend.extend(bytes);
        world.arrive_at_backend(link, true);
        world.arrive_from_backend(link, true);
        while world.poll_one() {}
    }
    assert_eq!(world.is_told(&[]), format!("{told}+OK\r\n"));
    // It would, when it is sent again.
    world.pass(1_000);
    world.carry();
    assert!(world.scene.nodes.has_run((0, 3), b"{1}0") && !world.scene.nodes.has_run((0, 2), b"{1}0"));
}

/// Requests that are split wait for room on their links as others do. One of more parts than a link
/// ever has room for is answered as well.
#[test]
fn a_request_that_is_split_waits_for_room_on_its_links() {
    let mut world = World::of_nodes(5, Instant::now(), false);
    let limits = Limits {
        client_in_flight_max: 1_024,
        link_in_flight_max: 4,
        link_queue_bytes_max: 1 << 22,
        shared_links_max: 1,
        ..world.limits.clone()
    };
    world.worker.set_limits(Arc::new(limits));
    world.sockets[0].out_cap = 1 << 20;
    let get_all = |seq: usize| -> Vec<String> {
        let keys = (0..100).map(|tag| format!("{{{tag}}}0:{seq}:{tag}"));
        std::iter::once("MGET".to_owned()).chain(keys).collect()
    };
    let slots: BTreeSet<u16> = get_all(0)[1..].iter().map(|key| slot(key.as_bytes())).collect();
    for seq in 0..6 {
        let words = get_all(seq);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if seq == 0 {
            assert!(world.is_told(&words).starts_with("*100\r\n"), "it has more parts than there is room");
            world.wires.values_mut().for_each(|wire| wire.hung = true);
        } else {
            world.sockets[0].inbound.extend(command(&words));
        }
    }
    world.carry();
    let written: Vec<u8> = world.wires.values().flat_map(|wire| wire.to_backend.clone()).collect();
    assert_eq!(written.windows(4).filter(|word| word == b"MGET").count(), slots.len());
    world.wires.values_mut().for_each(|wire| wire.hung = false);
    let mut told = String::new();
    while told.matches("*100\r\n").count() < 5 {
        told += &world.is_told(&[]);
    }
}

/// One node has stopped what it ran: nobody waits for another that hangs, whose answer is nobody's then.
#[test]
fn what_has_been_stopped_is_said_although_another_node_hangs() {
    let mut world = World::of_nodes(3, Instant::now(), false);
    world.sockets[0].out_cap = 1 << 20;
    let notbusy = "-NOTBUSY nothing runs\r\n";
    assert_eq!(world.is_told(&["SCRIPT", "KILL"]), notbusy);
    world.scene.nodes.busy = Some(1);
    let World { wires, scene, .. } = &mut world;
    let of_last = wires.values_mut().filter(|wire| scene.nodes.node_of(wire.conn) == 2);
    of_last.for_each(|wire| wire.hung = true);
    let asked = world.now;
    assert_eq!(world.is_told(&["SCRIPT", "KILL"]), "+OK\r\n");
    assert!(world.now - asked < WAIT, "after {:?}", world.now - asked);
    world.wires.values_mut().for_each(|wire| wire.hung = false);
    assert_eq!(world.is_told(&["PING", "0:1"]), "$3\r\n0:1\r\n");
    assert_eq!(world.is_told(&["SCRIPT", "KILL"]), notbusy);
}

/// One node has stopped what it ran, and the client knows. Another that could not be asked so far is not
/// asked any more: it would stop what somebody has begun since.
#[test]
fn what_is_to_stop_something_is_not_sent_once_the_client_has_its_answer() {
    let mut world = World::of_nodes(3, Instant::now(), false);
    world.sockets[0].out_cap = 1 << 20;
    world.scene.nodes.busy = Some(1);
    world.sockets[0].inbound.extend(command(&["SCRIPT", "KILL"]));
    world.client_arrives(0, true);
    while world.poll_one() {}
    for link in world.wires.keys().copied().collect::<Vec<_>>() {
        let is_last = world.worker.link_node(link) == Some(NodeId(2));
        world.connect(link, true);
        world.wires.get_mut(&link).expect("connected").hung = is_last;
    }
    assert_eq!(world.is_told(&[]), "+OK\r\n");
    world.scene.nodes.busy = Some(2);
    world.wires.values_mut().for_each(|wire| wire.hung = false);
    assert_eq!(world.is_told(&["PING", "0:1"]), "$3\r\n0:1\r\n");
    world.pass(1_000);
    world.carry();
    assert_eq!(world.scene.nodes.busy, Some(2), "it runs on");
    // The connection serves those who ask now.
    assert_eq!(world.is_told(&["SCRIPT", "KILL"]), "+OK\r\n");
    assert_eq!(world.scene.nodes.busy, None);
}

/// No node can be reached at first. The one that runs what is to be stopped is back, and does not wait for another.
#[test]
fn what_is_to_stop_something_reaches_a_node_although_another_fails() {
    let mut world = World::of_nodes(3, Instant::now(), false);
    world.scene.terms.has_lost = true;
    world.sockets[0].out_cap = 1 << 20;
    world.scene.nodes.busy = Some(1);
    world.sockets[0].inbound.extend(command(&["SCRIPT", "KILL"]));
    let asked = world.now;
    let mut is_back = false;
    while world.sockets[0].outbound.is_empty() {
        world.client_arrives(0, true);
        while world.poll_one() {}
        for link in world.wires.keys().copied().collect::<Vec<_>>() {
            if is_back && world.worker.link_node(link) == Some(NodeId(1)) {
                if !world.wires[&link].connected {
                    world.connect(link, true);
                }
                world.arrive_at_backend(link, true);
                world.arrive_from_backend(link, true);
            } else {
                world.lose(link, Loss::Connect("refused".into()));
            }
        }
        while world.poll_one() {}
        world.pass(50);
        is_back |= world.now > asked + WAIT / 8;
        assert!(world.now < asked + WAIT / 2, "silence");
    }
    assert_eq!(world.is_told(&[]), "+OK\r\n");
}

/// What was for a master that does not answer does not wait for it once another has its slots.
#[test]
fn a_master_that_another_has_replaced_is_not_waited_for() {
    let mut world = World::of_nodes(3, Instant::now(), false);
    world.scene.terms.has_lost = true;
    world.sockets[0].out_cap = 1 << 20;
    world.scene.nodes.busy = Some(0);
    world.tell_map_from(0, [0, 1]);
    world.sockets[0].inbound.extend(command(&["SCRIPT", "KILL"]));
    // All connections fail, and then those are back that serve.
    for _ in 0..4 {
        world.client_arrives(0, true);
        while world.poll_one() {}
        let fresh: Vec<LinkId> = world.wires.keys().copied().collect();
        fresh.into_iter().for_each(|link| world.lose(link, Loss::Connect("refused".into())));
        world.pass(50);
    }
    assert!(world.sockets[0].outbound.is_empty(), "it waits");
    world.tell_map_from(0, [1, 2]);
    let asked = world.now;
    assert_eq!(world.is_told(&[]), "-NOTBUSY No scripts in execution right now.\r\n");
    assert!(world.now - asked < WAIT / 2, "after {:?}", world.now - asked);
}
