//! A seeded simulation of requests to a cluster: several nodes on their links, slots that move while
//! requests are under way, connections that are lost at any byte, maps that come late.
//!
//! ```text
//! RESPGATE_SIM_SEEDS=5000 cargo test --test sim cluster      more seeds than 48
//! RESPGATE_SIM_SEED=17 cargo test --test sim cluster -- --nocapture
//! ```

mod claims;
mod client;
mod nodes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use respgate::limits::Limits;
use respgate::upstream::{Database, DatabaseId, LinkId, NodeId};
use respgate::worker::{Report, Step};

use super::dice::Dice;
use super::world::{self, End, Scene, Socket};
use client::{Client, TAGS, Terms};
use nodes::{NODES, Nodes};

type World = world::World<Cluster>;

const DATABASE: DatabaseId = DatabaseId(0);

/// Virtual time within which a calm world has answered everything.
const CALM_MS: u64 = 60_000;

/// How long a request waits for somebody to serve its slot.
const WAIT: Duration = Duration::from_secs(2);

/// As whom the nodes know a client.
fn user(client: usize) -> String {
    format!("redis{}", client % 2)
}

/// The nodes, their clients, and what may be said of them.
struct Cluster {
    nodes: Nodes,
    clients: Vec<Client>,
    wants_map: bool,
    terms: Terms,
}

fn limits(dice: &mut Dice) -> Limits {
    Limits {
        client_in_flight_max: dice.pick(&[1, 3, 40, 1_024]),
        link_in_flight_max: dice.pick(&[1, 3, 20, 4_096]),
        fail_fast_commands: dice.pick(&[1, 10, 1_024]),
        link_queue_bytes_max: dice.pick(&[100, 2_000, 1 << 22]),
        shared_links_max: dice.between(1, 3),
        fence_commands: dice.pick(&[1, 7, 1_024]),
        fence_ms: dice.pick(&[20, 1_000]),
        fail_fast_ms: dice.pick(&[20, 250]),
        reconnect_min_ms: 10,
        reconnect_max_ms: 300,
        link_age_max_ms: dice.pick(&[2_000, 3_600_000]),
        link_idle_timeout_ms: 3_000,
        cluster_wait_ms: WAIT.as_millis() as u64,
        ..Limits::default()
    }
}

impl Scene for Cluster {
    fn connect(&mut self, conn: usize, node: NodeId) {
        self.nodes.connect(conn, node);
    }

    fn end(&mut self, conn: usize) -> Option<End<'_>> {
        let conn = self.nodes.conns.get_mut(&conn)?;
        let is_greeted = conn.is_greeted;
        Some(End { input: &mut conn.input, output: &mut conn.output, dead: &mut conn.dead, is_greeted })
    }

    fn process(&mut self, conn: usize, _: Instant) {
        self.nodes.process(conn);
    }

    fn let_go(&mut self, _: usize) {}

    fn tick(&mut self, _: Instant) {}

    fn written(&mut self, number: usize) -> &mut Vec<u8> {
        &mut self.clients[number].to_send
    }

    fn asked(&mut self, step: &Step) {
        self.wants_map |= matches!(step, Step::WantMap(_));
    }

    fn report(&mut self, report: &Report, _: usize) {
        match report {
            Report::ClientClosed { why, .. } => panic!("a client was closed: {why:?}"),
            Report::RedirectRefused { to, .. } => panic!("{to} is one of the nodes"),
            Report::LinkLost { loss, .. } => assert!(self.terms.has_lost, "a link is lost: {loss:?}"),
            _ => {}
        }
    }

    fn closed(&mut self, number: usize, _: &Socket, _: &Limits) {
        panic!("client {number} was closed");
    }

    fn awaits(&self, number: usize) -> String {
        format!("{} asked", self.clients[number].awaits())
    }
}

impl World {
    fn of_nodes(seed: u64, now: Instant, trace: bool) -> Self {
        let mut dice = Dice::new(seed ^ 0xf119);
        let limits = limits(&mut dice);
        let terms = Terms { has_lost: false };
        let scene = Cluster { nodes: Nodes::default(), clients: Vec::new(), wants_map: true, terms };
        let mut world = Self::new(dice, now, limits, scene, trace);
        world.tell_map();
        for number in 0..world.dice.between(2, 6) {
            let permit = world.people.permit(number % 2).expect("a user of the map");
            let places = ("peer".to_owned(), "local".to_owned());
            let session = world.worker.client_opened(permit, DATABASE, places, now);
            let out_cap = world.dice.pick(&[50, 1_000, 1 << 20]);
            world.join(session.expect("the database is there"), out_cap);
            world.scene.clients.push(Client::new(number));
        }
        world
    }

    /// The worker is told the present map.
    fn tell_map(&mut self) {
        if std::mem::take(&mut self.scene.wants_map) {
            self.trace(|| "a map".to_owned());
            let cluster = Some(Arc::new(self.scene.nodes.map()));
            let credentials = self.people.credentials();
            let database = Database { cluster, credentials, ..Database::new(NodeId(0), false) };
            self.worker.set_databases(BTreeMap::from([(DATABASE, database)]), self.now);
            self.pump();
        }
    }

    fn step(&mut self, (faults, moves): (usize, usize)) {
        self.at += 1;
        let links: Vec<LinkId> = self.wires.keys().copied().collect();
        let link = (!links.is_empty()).then(|| self.dice.pick(&links));
        let number = self.dice.below(self.sockets.len());
        match self.dice.below(20) {
            0 if self.scene.clients[number].awaits() < 100 => {
                self.scene.clients[number].plan(&mut self.dice);
            }
            1..3 => self.client_arrives(number, false),
            3 => self.client_reads(number),
            4..9 => {
                self.poll_one();
            }
            9..18 => {
                if let Some(id) = link {
                    self.link_moves(id);
                }
            }
            18 if self.dice.one_in(3) => {
                let ms = self.dice.pick(&[1, 5, 20, 50]);
                self.pass(ms);
                if self.dice.one_in(4) {
                    self.tell_map();
                }
            }
            _ => {}
        }
        if self.dice.one_in(moves) {
            self.shift();
        }
        if faults > 0
            && self.dice.one_in(faults)
            && let Some(id) = link.filter(|id| self.wires.contains_key(id))
        {
            self.scene.terms.has_lost = true;
            if self.wires[&id].connected {
                self.cut(id);
            } else {
                self.connect(id, false);
            }
        }
    }

    fn link_moves(&mut self, id: LinkId) {
        if !self.wires[&id].connected {
            return self.connect(id, true);
        }
        if self.dice.one_in(2) {
            self.arrive_at_backend(id, false);
        }
        self.arrive_from_backend(id, false);
    }

    /// A slot begins to move, or moves on.
    fn shift(&mut self) {
        let key = format!("{{{}}}", self.dice.below(TAGS));
        let to = self.dice.below(NODES);
        let (wires, nodes) = (&self.wires, &self.scene.nodes);
        let quiet: Vec<bool> = (0..NODES)
            .map(|node| {
                let is_on_its_way = |wire: &world::Wire| {
                    wire.connected && !wire.to_backend.is_empty() && nodes.node_of(wire.conn) == node
                };
                nodes.is_idle(node) && !wires.values().any(is_on_its_way)
            })
            .collect();
        self.scene.nodes.shift(respgate::command::slot::slot(key.as_bytes()), to, |node| quiet[node]);
    }

    fn client_reads(&mut self, number: usize) {
        let Cluster { nodes, clients, terms, .. } = &mut self.scene;
        clients[number].received.append(&mut self.sockets[number].outbound);
        clients[number].check(nodes, terms);
    }

    /// Nothing is lost and nothing moves any more: everything comes to its end.
    fn calm(&mut self) {
        self.trace(|| "calm".to_owned());
        let end = self.now + Duration::from_millis(CALM_MS);
        while self.is_awaiting() {
            assert!(self.now < end, "silence: {}", self.unanswered());
            self.settle();
            self.pass(50);
            self.tell_map();
        }
    }

    fn is_awaiting(&self) -> bool {
        self.scene.clients.iter().any(|client| client.awaits() > 0)
    }

    /// Moves every byte that can be moved.
    fn settle(&mut self) {
        while self.carry() || self.sockets.iter().any(|socket| !socket.outbound.is_empty()) {
            (0..self.sockets.len()).for_each(|number| self.client_reads(number));
        }
    }
}

/// What a run has seen: requests answered, errors among them, redirects.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) answered: usize,
    pub(crate) lost: usize,
    pub(crate) redirects: usize,
}

/// Runs a seed. Panics where a promise is broken.
pub(crate) fn run(seed: u64, base: Instant, trace: bool) -> Seen {
    let mut world = World::of_nodes(seed, base, trace);
    // In a third of the runs no connection is lost.
    let weather = (world.dice.pick(&[0, 60, 300]), world.dice.pick(&[10, 40, 200]));
    for _ in 0..2 {
        for _ in 0..world.dice.between(500, 2_500) {
            world.step(weather);
        }
        world.calm();
    }
    for socket in &world.sockets {
        world.worker.client_gone(socket.session, world.now);
    }
    world.pump();
    assert_eq!(world.worker.population().0, 0, "sessions stay");
    let sum = |of: fn(&Client) -> usize| world.scene.clients.iter().map(of).sum();
    Seen { answered: sum(|it| it.answered), lost: sum(|it| it.lost), redirects: world.scene.nodes.redirects }
}
