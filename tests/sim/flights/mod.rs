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

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use respgate::limits::Limits;
use respgate::session::SessionId;
use respgate::upstream::{Database, DatabaseId, LinkId, NodeId};
use respgate::worker::{Loss, Report, Seed, Step, Worker};

use super::dice::Dice;
use super::frame::show;
use super::people::People;
use client::{Client, TAGS, Terms};
use nodes::{NODES, Nodes};

const DATABASE: DatabaseId = DatabaseId(0);

/// Virtual time within which a calm world has answered everything.
const CALM_MS: u64 = 20_000;

/// How long a request waits for somebody to serve its slot.
const WAIT_MS: u64 = 2_000;

/// A task, or a world, that goes round more often than this spins.
const ROUNDS_MAX: usize = 10_000;

/// As whom the nodes know a client.
fn user(client: usize) -> String {
    format!("redis{}", client % 2)
}

/// The gateway's side of a connection.
struct Wire {
    conn: usize,
    connected: bool,
    to_node: Vec<u8>,
    from_node: Vec<u8>,
    eof: bool,
    runnable: bool,
    read_armed: bool,
}

struct World {
    dice: Dice,
    now: Instant,
    began: Instant,
    worker: Worker,
    people: People,
    nodes: Nodes,
    clients: Vec<Client>,
    sessions: HashMap<SessionId, usize>,
    wires: BTreeMap<LinkId, Wire>,
    conns: usize,
    rouse: Vec<Instant>,
    wants_map: bool,
    terms: Terms,
    trace: bool,
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
        cluster_wait_ms: WAIT_MS,
        ..Limits::default()
    }
}

impl World {
    fn new(seed: u64, now: Instant, trace: bool) -> Self {
        let mut dice = Dice::new(seed ^ 0xf119);
        let limits = limits(&mut dice);
        let mut random = [0; 32];
        random.fill_with(|| dice.next() as u8);
        let worker = Worker::new(Arc::new(limits), &Seed { random, number: 0, workers: 1 });
        let mut world = Self {
            dice,
            now,
            began: now,
            worker,
            people: People::new(),
            nodes: Nodes::default(),
            clients: Vec::new(),
            sessions: HashMap::new(),
            wires: BTreeMap::new(),
            conns: 0,
            rouse: Vec::new(),
            wants_map: true,
            terms: Terms { has_lost: false },
            trace,
        };
        world.tell_map();
        for number in 0..world.dice.between(2, 6) {
            let permit = world.people.permit(number % 2).expect("a user of the map");
            let places = ("peer".to_owned(), "local".to_owned());
            let session =
                world.worker.client_opened(permit, DATABASE, places, now).expect("the database is there");
            world.clients.push(Client::new(number, session));
            world.sessions.insert(session, number);
        }
        world
    }

    fn trace(&self, text: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>6} ms  {}", self.now.duration_since(self.began).as_millis(), text());
        }
    }

    /// The worker is told the present map.
    fn tell_map(&mut self) {
        if std::mem::take(&mut self.wants_map) {
            self.trace(|| "a map".to_owned());
            let cluster = Some(Arc::new(self.nodes.map()));
            let database = Database { cluster, ..Database::new(NodeId(0), false) };
            self.worker.set_databases(BTreeMap::from([(DATABASE, database)]), self.now);
            self.pump();
        }
    }

    /// Carries out what the worker asks for.
    fn pump(&mut self) {
        let mut steps = Vec::new();
        self.worker.steps(&mut steps);
        for step in steps {
            match step {
                Step::WakeClient(id) => {
                    if let Some(&number) = self.sessions.get(&id) {
                        self.clients[number].runnable = true;
                    }
                }
                Step::WakeLink(id) => {
                    if let Some(wire) = self.wires.get_mut(&id) {
                        wire.runnable = true;
                    }
                }
                Step::Connect(id) => {
                    self.conns += 1;
                    let (to_node, from_node) = (Vec::new(), Vec::new());
                    let (connected, eof, runnable, read_armed) = (false, false, false, false);
                    let wire =
                        Wire { conn: self.conns, connected, to_node, from_node, eof, runnable, read_armed };
                    assert!(self.wires.insert(id, wire).is_none(), "{id:?} was connected twice");
                }
                Step::WantMap(_) => self.wants_map = true,
                Step::RouseAt(at) => self.rouse.push(at),
                Step::Tell { .. } => panic!("there is one worker"),
                Step::Report(Report::ClientClosed { why, .. }) => panic!("a client was closed: {why:?}"),
                Step::Report(Report::RedirectRefused { to }) => panic!("{to} is one of the nodes"),
                Step::Report(Report::LinkLost { loss, .. }) => {
                    assert!(self.terms.has_lost, "a link is lost: {loss:?}");
                }
                Step::Report(_) => {}
            }
        }
    }

    /// Time passes, and with it ticks and what was asked for besides.
    fn pass(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(&next) = self.rouse.iter().filter(|&&at| at <= end).min() {
            self.rouse.retain(|&at| at != next);
            self.now = self.now.max(next);
            self.worker.roused(self.now);
            self.pump();
        }
        self.now = end;
        self.worker.tick(self.now, self.people.unix_now());
        self.pump();
    }

    fn step(&mut self, (faults, moves): (usize, usize)) {
        let links: Vec<LinkId> = self.wires.keys().copied().collect();
        let link = (!links.is_empty()).then(|| self.dice.pick(&links));
        let number = self.dice.below(self.clients.len());
        match self.dice.below(20) {
            0 if self.clients[number].awaits() < 100 => self.clients[number].plan(&mut self.dice),
            1..4 => self.client_arrives(number, false),
            4..9 => {
                self.poll_one();
            }
            9..18 => {
                if let Some(id) = link {
                    self.link_moves(id, false);
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
            let key = format!("{{{}}}", self.dice.below(TAGS));
            let to = self.dice.below(NODES);
            let (wires, nodes) = (&self.wires, &self.nodes);
            let quiet: Vec<bool> = (0..NODES)
                .map(|node| {
                    let is_on_its_way = |wire: &Wire| {
                        wire.connected && !wire.to_node.is_empty() && nodes.node_of(wire.conn) == node
                    };
                    nodes.is_idle(node) && !wires.values().any(is_on_its_way)
                })
                .collect();
            self.nodes.shift(respgate::command::slot::slot(key.as_bytes()), to, |node| quiet[node]);
        }
        if faults > 0
            && self.dice.one_in(faults)
            && let Some(id) = link.filter(|id| self.wires.contains_key(id))
        {
            self.terms.has_lost = true;
            self.cut(id);
        }
    }

    fn client_arrives(&mut self, number: usize, all: bool) {
        let client = &mut self.clients[number];
        if client.to_send.is_empty() {
            return;
        }
        let count = if all { client.to_send.len() } else { self.dice.chunk(client.to_send.len()) };
        client.inbound.extend(client.to_send.drain(..count));
    }

    fn link_moves(&mut self, id: LinkId, all: bool) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        if !wire.connected {
            match self.worker.link_node(id) {
                Some(node) if self.worker.link_wants_read(id).is_some() => {
                    wire.connected = true;
                    wire.runnable = true;
                    self.nodes.connect(wire.conn, node);
                    self.worker.link_connected(id, self.now);
                    return self.pump();
                }
                _ => return self.drop_wire(id),
            }
        }
        if wire.eof {
            return;
        }
        let conn = wire.conn;
        if !wire.to_node.is_empty() && (all || self.dice.one_in(2)) {
            let count = if all { wire.to_node.len() } else { self.dice.chunk(wire.to_node.len()) };
            let input = wire.to_node.drain(..count);
            let conn_input = &mut self.nodes.conns.get_mut(&conn).expect("connected").input;
            conn_input.extend(input);
            if self.trace {
                let node = self.nodes.node_of(conn);
                eprintln!("{id:?} to n{node}: {}", show(&self.nodes.conns[&conn].input));
            }
            self.nodes.process(conn);
            if self.trace {
                eprintln!("{id:?} says {}", show(&self.nodes.conns[&conn].output));
            }
        }
        let output = &mut self.nodes.conns.get_mut(&conn).expect("connected").output;
        if !output.is_empty() {
            let count = if all { output.len() } else { self.dice.chunk(output.len()) };
            wire.from_node.extend(output.drain(..count));
        }
    }

    /// The connection is cut: each direction loses what had not arrived, from any byte on.
    fn cut(&mut self, id: LinkId) {
        self.trace(|| format!("{id:?} is cut"));
        let wire = self.wires.get_mut(&id).expect("listed");
        if !wire.connected {
            return self.lose(id, Loss::Connect("refused".into()));
        }
        if !wire.eof {
            wire.eof = true;
            let kept = self.dice.below(wire.from_node.len() + 1);
            wire.from_node.truncate(kept);
            self.end_conn(id);
        }
    }

    /// The node's end of a connection that is over: it may still run what had arrived.
    fn end_conn(&mut self, id: LinkId) {
        let wire = self.wires.get_mut(&id).expect("listed");
        let Some(conn) = self.nodes.conns.get_mut(&wire.conn).filter(|conn| !conn.dead) else { return };
        conn.dead = true;
        let arrived = self.dice.below(wire.to_node.len() + 1);
        conn.input.extend(wire.to_node.drain(..).take(arrived));
        self.nodes.process(wire.conn);
    }

    fn lose(&mut self, id: LinkId, loss: Loss) {
        self.worker.link_lost(id, loss, self.now);
        self.pump();
        self.drop_wire(id);
    }

    fn drop_wire(&mut self, id: LinkId) {
        if self.wires.contains_key(&id) {
            self.end_conn(id);
            self.wires.remove(&id);
        }
    }

    /// One poll of a client's task, as `io` has it.
    fn poll_client(&mut self, number: usize) {
        let id = self.clients[number].session;
        self.clients[number].runnable = false;
        for _ in 0..ROUNDS_MAX {
            let mut moved = false;
            while let Some(out) = self.worker.client_output(id).filter(|out| !out.is_empty()) {
                let count = self.dice.chunk(out.front().len());
                self.clients[number].outbound.extend_from_slice(&out.front()[..count]);
                self.worker.client_wrote(id, count, self.now);
                self.pump();
                moved = true;
            }
            let client = &mut self.clients[number];
            client.check(&self.nodes, &self.terms);
            if self.worker.client_wants_read(id) {
                if client.inbound.is_empty() {
                    client.read_armed = true;
                } else {
                    let count = self.dice.chunk(client.inbound.len());
                    let bytes: Vec<u8> = client.inbound.drain(..count).collect();
                    self.worker.client_input(id, &bytes, self.now);
                    self.pump();
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
        panic!("the task of client {number} spins");
    }

    /// One poll of a link's task.
    fn poll_link(&mut self, id: LinkId) {
        self.wires.get_mut(&id).expect("polled while there").runnable = false;
        self.worker.link_resumed(id, self.now);
        self.pump();
        for _ in 0..ROUNDS_MAX {
            let Some(wants_read) = self.worker.link_wants_read(id) else { return self.drop_wire(id) };
            if !self.wires[&id].connected {
                return;
            }
            let mut moved = false;
            while let Some(out) = self.worker.link_output(id).filter(|out| !out.is_empty()) {
                let count = self.dice.chunk(out.front().len());
                let wire = self.wires.get_mut(&id).expect("polled while there");
                if !wire.eof {
                    wire.to_node.extend_from_slice(&out.front()[..count]);
                }
                self.worker.link_wrote(id, count, self.now);
                self.pump();
                moved = true;
            }
            if self.worker.link_rests(id) {
                self.wires.get_mut(&id).expect("polled while there").runnable = true;
                return;
            }
            let wire = self.wires.get_mut(&id).expect("polled while there");
            if wants_read && wire.from_node.is_empty() {
                if wire.eof {
                    return self.lose(id, Loss::Closed);
                }
                wire.read_armed = true;
            } else if wants_read && let Some(buffer) = self.worker.link_buffer(id) {
                let count = self.dice.chunk(wire.from_node.len());
                buffer.extend(wire.from_node.drain(..count));
                self.worker.link_filled(id, self.now);
                self.pump();
                moved = true;
            }
            if !moved {
                return;
            }
        }
        panic!("the task of {id:?} spins");
    }

    /// One of the tasks that can run does.
    fn poll_one(&mut self) -> bool {
        let ready = |client: &&Client| client.runnable || (client.read_armed && !client.inbound.is_empty());
        let clients: Vec<usize> = self.clients.iter().filter(ready).map(|client| client.number).collect();
        let ready = |wire: &Wire| {
            wire.runnable || (wire.connected && wire.read_armed && (wire.eof || !wire.from_node.is_empty()))
        };
        let links: Vec<LinkId> =
            self.wires.iter().filter(|(_, wire)| ready(wire)).map(|(&id, _)| id).collect();
        if clients.is_empty() && links.is_empty() {
            return false;
        }
        let chosen = self.dice.below(clients.len() + links.len());
        match clients.get(chosen) {
            Some(&number) => {
                self.clients[number].read_armed = false;
                self.poll_client(number);
            }
            None => {
                let id = links[chosen - clients.len()];
                self.wires.get_mut(&id).expect("listed above").read_armed = false;
                self.poll_link(id);
            }
        }
        true
    }

    /// Nothing is lost and nothing moves any more: everything comes to its end.
    fn calm(&mut self) {
        self.trace(|| "calm".to_owned());
        let end = self.now + Duration::from_millis(CALM_MS);
        while self.clients.iter().any(|client| client.awaits() > 0) {
            assert!(self.now < end, "silence: {}", self.unanswered());
            self.carry();
            self.pass(50);
            self.tell_map();
        }
    }

    /// Moves every byte that can be moved without time passing.
    fn carry(&mut self) {
        for _ in 0..ROUNDS_MAX {
            for number in 0..self.clients.len() {
                self.client_arrives(number, true);
            }
            for id in self.wires.keys().copied().collect::<Vec<_>>() {
                self.link_moves(id, true);
            }
            if !self.poll_one() {
                return;
            }
        }
        panic!("the world goes round without time passing");
    }

    fn unanswered(&self) -> String {
        let of = |client: &Client| {
            let (number, count, input) = (client.number, client.awaits(), show(&client.inbound));
            format!("client {number} awaits {count}, has not sent {input:?}")
        };
        self.clients.iter().map(of).collect::<Vec<_>>().join("\n")
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
    let mut world = World::new(seed, base, trace);
    // In a third of the runs no connection is lost.
    let weather = (world.dice.pick(&[0, 60, 300]), world.dice.pick(&[10, 40, 200]));
    for _ in 0..2 {
        for _ in 0..world.dice.between(500, 2_500) {
            world.step(weather);
        }
        world.calm();
    }
    for client in &world.clients {
        world.worker.client_gone(client.session, world.now);
    }
    world.pump();
    assert_eq!(world.worker.population().0, 0, "sessions stay");
    let sum = |of: fn(&Client) -> usize| world.clients.iter().map(of).sum();
    Seen { answered: sum(|it| it.answered), lost: sum(|it| it.lost), redirects: world.nodes.redirects }
}
