//! The world around one worker: clients' sockets, links and their wires, and the moving of bytes
//! between them. What is asked, who answers, and what may come of it is the scene's to know.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use respgate::limits::Limits;
use respgate::session::SessionId;
use respgate::upstream::{LinkId, NodeId};
use respgate::worker::{Loss, Report, Seed, Step, Worker};

use super::dice::Dice;
use super::frame::show;
use super::people::People;

/// A world that moves more often than this without time passing never rests.
const ROUNDS_MAX: usize = 2_000;

/// The gateway's side of a client's connection.
pub(crate) struct Socket {
    pub(crate) session: SessionId,
    pub(crate) inbound: Vec<u8>,
    pub(crate) outbound: Vec<u8>,
    pub(crate) out_cap: usize,
    pub(crate) fin: bool,
    pub(crate) reset: bool,
    pub(crate) runnable: bool,
    pub(crate) read_armed: bool,
    pub(crate) write_armed: bool,
    pub(crate) ended: bool,
}

/// The gateway's side of a backend connection.
#[derive(Default)]
pub(crate) struct Wire {
    pub(crate) conn: usize,
    pub(crate) connected: bool,
    pub(crate) to_backend: Vec<u8>,
    pub(crate) from_backend: Vec<u8>,
    pub(crate) eof: bool,
    /// The backend does not read it for the present.
    pub(crate) hung: bool,
    pub(crate) runnable: bool,
    pub(crate) read_armed: bool,
    pub(crate) write_armed: bool,
}

/// The backend's side of it.
pub(crate) struct End<'a> {
    pub(crate) input: &'a mut Vec<u8>,
    /// What has not been delivered to the gateway.
    pub(crate) output: &'a mut Vec<u8>,
    pub(crate) dead: &'a mut bool,
    /// It may be written to before all that it has said was read.
    pub(crate) is_greeted: bool,
}

/// What one world has that others have not.
pub(crate) trait Scene {
    /// A connection to this node.
    fn connect(&mut self, conn: usize, node: NodeId);
    /// The backend's side of a connection, once that was there.
    fn end(&mut self, conn: usize) -> Option<End<'_>>;
    /// What has arrived on a connection is run.
    fn process(&mut self, conn: usize, now: Instant);
    /// The worker has given up a connection, whether or not it is closed yet.
    fn let_go(&mut self, conn: usize);
    /// Time has passed.
    fn tick(&mut self, now: Instant);
    /// What a client has written, and has not arrived.
    fn written(&mut self, number: usize) -> &mut Vec<u8>;
    /// The worker has asked for a map, or to be roused.
    fn asked(&mut self, step: &Step);
    /// The worker tells the operator.
    fn report(&mut self, report: &Report, at: usize);
    /// The gateway has closed a client's connection.
    fn closed(&mut self, number: usize, socket: &Socket, limits: &Limits);
    /// What a client waits for, for a message.
    fn awaits(&self, number: usize) -> String;
}

pub(crate) struct World<S> {
    pub(crate) scene: S,
    pub(crate) dice: Dice,
    pub(crate) now: Instant,
    pub(crate) began: Instant,
    pub(crate) worker: Worker,
    pub(crate) limits: Limits,
    pub(crate) people: People,
    /// Of every client that there has been.
    pub(crate) sockets: Vec<Socket>,
    sessions: HashMap<SessionId, usize>,
    pub(crate) wires: BTreeMap<LinkId, Wire>,
    conns: usize,
    rouse: Vec<Instant>,
    /// Counts the steps of a run.
    pub(crate) at: usize,
    pub(crate) trace: bool,
}

impl<S: Scene> World<S> {
    pub(crate) fn new(mut dice: Dice, now: Instant, limits: Limits, scene: S, trace: bool) -> Self {
        let mut random = [0; 32];
        random.fill_with(|| dice.next() as u8);
        let seed = Seed { random, number: 0, workers: 1 };
        Self {
            scene,
            dice,
            now,
            began: now,
            worker: Worker::new(Arc::new(limits.clone()), &seed),
            limits,
            people: People::new(),
            sockets: Vec::new(),
            sessions: HashMap::new(),
            wires: BTreeMap::new(),
            conns: 0,
            rouse: Vec::new(),
            at: 0,
            trace,
        }
    }

    pub(crate) fn trace(&self, text: impl FnOnce() -> String) {
        if self.trace {
            let ms = self.now.duration_since(self.began).as_millis();
            eprintln!("{:>6} {ms:>6} ms  {}", self.at, text());
        }
    }

    /// The socket of a session that has been opened. Its number.
    pub(crate) fn join(&mut self, session: SessionId, out_cap: usize) -> usize {
        let number = self.sockets.len();
        self.sockets.push(Socket {
            session,
            inbound: Vec::new(),
            outbound: Vec::new(),
            out_cap,
            fin: false,
            reset: false,
            runnable: true,
            read_armed: false,
            write_armed: false,
            ended: false,
        });
        self.sessions.insert(session, number);
        number
    }

    /// The gateway has closed a client's connection.
    pub(super) fn end_client(&mut self, number: usize, why: &str) {
        let socket = &mut self.sockets[number];
        socket.ended = true;
        let session = socket.session;
        self.trace(|| format!("client {number} is closed ({why}): {}", self.scene.awaits(number)));
        self.scene.closed(number, &self.sockets[number], &self.limits);
        self.worker.client_gone(session, self.now);
        self.sessions.remove(&session);
        self.pump();
    }

    /// Carries out what the worker asks for.
    pub(crate) fn pump(&mut self) {
        let mut steps = Vec::new();
        self.worker.steps(&mut steps);
        for step in steps {
            match step {
                Step::WakeClient(id) => {
                    if let Some(&number) = self.sessions.get(&id) {
                        self.sockets[number].runnable = true;
                    }
                }
                Step::WakeLink(id) => {
                    if let Some(wire) = self.wires.get_mut(&id) {
                        wire.runnable = true;
                    }
                }
                Step::Connect(id) => self.begin_connect(id),
                Step::Tell { .. } => panic!("there is one worker"),
                Step::Report(report) => {
                    self.trace(|| format!("report: {report:?}\n{}", self.unanswered()));
                    self.scene.report(&report, self.at);
                }
                Step::WantMap(_) => self.scene.asked(&step),
                Step::RouseAt(at) => {
                    self.scene.asked(&step);
                    self.rouse.push(at);
                }
            }
        }
        for (&id, wire) in &self.wires {
            if self.worker.link_wants_read(id).is_none() {
                self.scene.let_go(wire.conn);
            }
        }
    }

    fn begin_connect(&mut self, id: LinkId) {
        self.conns += 1;
        self.trace(|| format!("{id:?} connects"));
        let before = self.wires.insert(id, Wire { conn: self.conns, ..Wire::default() });
        assert!(before.is_none(), "{id:?} was connected twice");
    }

    /// Time passes, and with it the ticks of the driver, and what the worker has asked for besides.
    pub(crate) fn pass(&mut self, mut ms: u64) {
        while ms > 0 {
            let part = ms.min(50);
            ms -= part;
            let end = self.now + Duration::from_millis(part);
            while let Some(&next) = self.rouse.iter().filter(|&&at| at <= end).min() {
                self.rouse.retain(|&at| at != next);
                self.now = self.now.max(next);
                self.worker.roused(self.now);
                self.pump();
            }
            self.now = end;
            self.scene.tick(self.now);
            self.worker.tick(self.now, self.people.unix_now());
            self.pump();
        }
    }

    /// The connection attempt of a link ends.
    pub(crate) fn connect(&mut self, id: LinkId, succeeds: bool) {
        let node = self.worker.link_node(id).filter(|_| self.worker.link_wants_read(id).is_some());
        let Some(node) = node else { return self.drop_wire(id) };
        if !succeeds {
            let loss = self.dice.pick(&[Loss::Connect("refused".into()), Loss::NoResources("files".into())]);
            return self.lose(id, loss);
        }
        let wire = self.wires.get_mut(&id).expect("connecting");
        wire.connected = true;
        wire.runnable = true;
        self.scene.connect(wire.conn, node);
        self.worker.link_connected(id, self.now);
        self.pump();
    }

    /// What a client has written arrives at the gateway.
    pub(crate) fn client_arrives(&mut self, number: usize, all: bool) {
        let written = self.scene.written(number);
        if written.is_empty() {
            return;
        }
        let count = if all { written.len() } else { self.dice.chunk(written.len()) };
        self.sockets[number].inbound.extend(written.drain(..count));
    }

    /// Bytes of a link arrive at the backend, and what they ask for is done.
    pub(crate) fn arrive_at_backend(&mut self, id: LinkId, all: bool) {
        let wire = self.wires.get_mut(&id).expect("listed");
        if wire.to_backend.is_empty() || wire.hung || wire.eof {
            return;
        }
        let len = wire.to_backend.len();
        let count = if all { len } else { self.dice.chunk(len) };
        let end = self.scene.end(wire.conn).expect("connected");
        end.input.extend(wire.to_backend.drain(..count));
        if self.trace {
            eprintln!("{:>6} {id:?} is {} and brings {}", self.at, wire.conn, show(end.input));
        }
        self.scene.process(wire.conn, self.now);
    }

    /// Bytes of the backend arrive at the gateway.
    pub(crate) fn arrive_from_backend(&mut self, id: LinkId, all: bool) {
        let wire = self.wires.get_mut(&id).expect("listed");
        let Some(end) = self.scene.end(wire.conn) else { return };
        if end.output.is_empty() || wire.hung || wire.eof {
            return;
        }
        let count = if all { end.output.len() } else { self.dice.chunk(end.output.len()) };
        wire.from_backend.extend(end.output.drain(..count));
    }

    /// The connection is cut: each direction loses what had not arrived, from any byte on.
    pub(crate) fn cut(&mut self, id: LinkId) {
        self.trace(|| format!("{id:?} is cut"));
        let mut wire = self.wires.remove(&id).expect("listed");
        if !wire.eof {
            if let Some(end) = self.scene.end(wire.conn)
                && !wire.hung
            {
                let arrived = self.dice.below(end.output.len() + 1);
                wire.from_backend.extend(end.output.drain(..arrived));
            }
            let kept = self.dice.below(wire.from_backend.len() + 1);
            wire.from_backend.truncate(kept);
            wire.eof = true;
            self.cut_backend(&mut wire);
        }
        self.wires.insert(id, wire);
    }

    /// The backend's end of a connection that is over; it may still run what had arrived.
    fn cut_backend(&mut self, wire: &mut Wire) {
        let Some(end) = self.scene.end(wire.conn).filter(|end| !*end.dead) else { return };
        *end.dead = true;
        let arrived = self.dice.below(wire.to_backend.len() + 1);
        end.input.extend(wire.to_backend.drain(..).take(arrived));
        if wire.hung {
            end.input.clear();
        }
        self.scene.process(wire.conn, self.now);
    }

    pub(crate) fn lose(&mut self, id: LinkId, loss: Loss) {
        self.worker.link_lost(id, loss, self.now);
        self.pump();
        self.drop_wire(id);
    }

    /// The gateway has closed its end.
    pub(super) fn drop_wire(&mut self, id: LinkId) {
        let Some(mut wire) = self.wires.remove(&id) else { return };
        self.cut_backend(&mut wire);
    }

    /// Moves every byte that can be moved without a client reading; false when there
    /// was none.
    pub(crate) fn carry(&mut self) -> bool {
        let mut any = false;
        for _ in 0..ROUNDS_MAX {
            let before = (self.worker.tally(), self.pending_bytes());
            for number in 0..self.sockets.len() {
                self.client_arrives(number, true);
            }
            for id in self.wires.keys().copied().collect::<Vec<_>>() {
                // One that ended before may have taken it along.
                let Some(wire) = self.wires.get(&id) else { continue };
                if !wire.connected {
                    self.connect(id, true);
                } else {
                    self.arrive_at_backend(id, true);
                    self.arrive_from_backend(id, true);
                }
            }
            let mut polled = false;
            while self.poll_one() {
                polled = true;
            }
            if !polled && before == (self.worker.tally(), self.pending_bytes()) {
                return any;
            }
            any = true;
        }
        panic!("the world goes round without time passing: {}", self.unanswered());
    }

    fn pending_bytes(&mut self) -> usize {
        let mut count = 0;
        for (number, socket) in self.sockets.iter().enumerate() {
            count += self.scene.written(number).len() + socket.outbound.len();
        }
        for wire in self.wires.values() {
            let output = self.scene.end(wire.conn).map_or(0, |end| end.output.len());
            count += wire.to_backend.len() + wire.from_backend.len() + output;
        }
        count
    }

    pub(crate) fn unanswered(&self) -> String {
        let waits = self.sockets.iter().enumerate().filter(|(_, socket)| !socket.ended);
        let waits = waits.map(|(number, socket)| {
            format!(
                "client {number} {:?}: {}, inbound {}, {} outbound, armed {} {}, fate {:?}, wants_read {}",
                socket.session,
                self.scene.awaits(number),
                show(&socket.inbound),
                socket.outbound.len(),
                socket.read_armed,
                socket.write_armed,
                self.worker.client_fate(socket.session),
                self.worker.client_wants_read(socket.session),
            )
        });
        waits.collect::<Vec<_>>().join("\n")
    }
}
