//! The world around one worker: clients and their sockets, links and theirs, the
//! model backend, and a driver that moves bytes between them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use respgate::limits::Limits;
use respgate::session::SessionId;
use respgate::upstream::{Database, DatabaseId, LinkId, NodeId, Replica};
use respgate::worker::{Closed, Loss, Report, Seed, Step, Worker};

use super::check::Facts;
use super::client::Client;
use super::dice::Dice;
use super::frame::show;
use super::people::{MUTE_USER, People};
use super::redis::Redis;

/// The gateway's side of a backend connection.
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

pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) now: Instant,
    began: Instant,
    pub(crate) worker: Worker,
    database: Database,
    pub(crate) limits: Limits,
    /// The lowest bound of output so far.
    pub(crate) output_hard_min: usize,
    pub(crate) people: People,
    pub(crate) users: Vec<Vec<String>>,
    pub(crate) clients: Vec<Client>,
    pub(crate) sessions: HashMap<SessionId, usize>,
    pub(crate) wires: BTreeMap<LinkId, Wire>,
    pub(crate) redis: Redis,
    conns: usize,
    /// The last one that there has been.
    nodes: u32,
    pub(crate) at: usize,
    /// The last step in which a link of a Redis user was lost.
    lost_at: HashMap<String, usize>,
    /// Something was done to the backend's output that is to be noticed.
    pub(crate) alarms_allowed: usize,
    /// Accounts that are configured and that Redis has yet to be told of.
    pub(crate) late_accounts: Vec<(String, String)>,
    pub(crate) draining: bool,
    pub(crate) listens: bool,
    pub(crate) trace: bool,
}

/// The database of all clients.
const DATABASE: DatabaseId = DatabaseId(0);

/// Its master; every other node is a replica.
const MASTER: NodeId = NodeId(0);

impl World {
    pub(crate) fn new(seed: u64, now: Instant, limits: Limits, trace: bool) -> Self {
        let mut dice = Dice::new(seed);
        let people = People::new();
        let mut random = [0; 32];
        random.fill_with(|| dice.next() as u8);
        let mut redis = Redis::default();
        redis.no_echo = Some(format!("redis{MUTE_USER}"));
        redis.accounts = people.accounts.iter().flatten().cloned().collect();
        let seed = Seed { random, number: 0, workers: 1 };
        let mut worker = Worker::new(Arc::new(limits.clone()), &seed);
        let database = Database::new(MASTER, false);
        worker.set_databases(BTreeMap::from([(DATABASE, database.clone())]), now);
        Self {
            database,
            dice,
            now,
            began: now,
            worker,
            output_hard_min: limits.client_output_hard_bytes,
            limits,
            users: people.accounts.iter().flatten().map(|(name, _)| vec![name.clone()]).collect(),
            people,
            clients: Vec::new(),
            sessions: HashMap::new(),
            wires: BTreeMap::new(),
            redis,
            conns: 0,
            nodes: 0,
            at: 0,
            lost_at: HashMap::new(),
            alarms_allowed: 0,
            late_accounts: Vec::new(),
            draining: false,
            listens: false,
            trace,
        }
    }

    /// Clients subscribe over connections that they share.
    pub(crate) fn share_subscriptions(&mut self) {
        self.database.shares_subscriptions = true;
        self.worker.set_databases(BTreeMap::from([(DATABASE, self.database.clone())]), self.now);
        self.redis.shares = true;
    }

    /// A replica comes, goes, falls behind, or is in step again.
    pub(crate) fn change_replicas(&mut self) {
        let replicas = &mut self.database.replicas;
        match self.dice.below(4) {
            0 if replicas.len() < 3 => {
                self.nodes += 1;
                replicas.push(Replica { node: NodeId(self.nodes), is_in_step: true });
            }
            1 if !replicas.is_empty() => {
                let gone = self.dice.below(replicas.len());
                replicas.remove(gone);
            }
            _ if !replicas.is_empty() => {
                let which = self.dice.below(replicas.len());
                replicas[which].is_in_step ^= true;
            }
            _ => {}
        }
        self.worker.set_databases(BTreeMap::from([(DATABASE, self.database.clone())]), self.now);
        self.pump();
    }

    pub(crate) fn trace(&self, text: impl FnOnce() -> String) {
        if self.trace {
            let ms = self.now.duration_since(self.began).as_millis();
            eprintln!("{:>6} {ms:>6} ms  {}", self.at, text());
        }
    }

    /// A client comes in.
    pub(crate) fn open(&mut self, user: usize) {
        let Ok(permit) = self.people.permit(user) else { return };
        let session = self.worker.client_opened(permit, DATABASE, ("peer".into(), "local".into()), self.now);
        let session = session.expect("the database is there");
        let client_id = self.worker.client_id(session).expect("just opened");
        let number = self.clients.len();
        self.trace(|| format!("client {number} of user {user} opens as {session:?}"));
        let mut client = Client::new(number, user, session, client_id);
        client.listens = self.listens;
        client.out_cap = self.dice.pick(&[700, 20_000, 200_000]);
        self.clients.push(client);
        self.sessions.insert(session, number);
    }

    /// Carries out what the worker asks for.
    pub(crate) fn pump(&mut self) {
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
                Step::Connect(id) => self.begin_connect(id),
                Step::Tell { .. } => panic!("there is one worker"),
                Step::WantMap(_) | Step::RouseAt(_) => panic!("there is no cluster"),
                Step::Report(report) => self.report(&report),
            }
        }
        for (&id, wire) in &self.wires {
            if let (None, Some(conn)) =
                (self.worker.link_wants_read(id), self.redis.conns.get_mut(&wire.conn))
            {
                conn.let_go = true;
            }
        }
    }

    fn begin_connect(&mut self, id: LinkId) {
        self.conns += 1;
        self.trace(|| format!("{id:?} connects"));
        let wire = Wire {
            conn: self.conns,
            connected: false,
            to_backend: Vec::new(),
            from_backend: Vec::new(),
            eof: false,
            hung: false,
            runnable: false,
            read_armed: false,
            write_armed: false,
        };
        let before = self.wires.insert(id, wire);
        assert!(before.is_none(), "{id:?} was connected twice");
    }

    fn report(&mut self, report: &Report) {
        self.trace(|| format!("report: {report:?}"));
        if self.trace {
            eprintln!("{}", self.unanswered());
        }
        match report {
            Report::RedirectRefused { .. } => panic!("there is no cluster"),
            Report::LinkLost { redis_user, loss, .. } => {
                self.lost_at.insert(redis_user.clone(), self.at);
                // Whoever had state there may be closed.
                for client in &mut self.clients {
                    client.excused |= self.users[client.user].contains(redis_user);
                }
                if loss.is_alarm() {
                    assert!(self.alarms_allowed > 0, "an alarm without a cause: {loss:?}");
                }
            }
            Report::ClientClosed { client_id, why, .. } => {
                let client = self.clients.iter_mut().find(|client| client.client_id == *client_id);
                let client = client.expect("a client of ours");
                match why {
                    Closed::BackendLost => {
                        assert!(!self.lost_at.is_empty(), "closed for the loss of a link; none was lost");
                    }
                    Closed::OutputLimit | Closed::OutputStalled => {
                        let small = self.output_hard_min < 1 << 20;
                        let expected = client.has_stopped || (small && *why == Closed::OutputLimit);
                        assert!(expected, "client {} reads, and was closed: {why:?}", client.number);
                    }
                    Closed::PermitEnded | Closed::UserChanged => assert!(client.excused, "{why:?}"),
                    other => panic!("client {} was closed: {other:?}", client.number),
                }
                client.excused = true;
            }
            Report::NoFences { redis_user } => assert_eq!(Some(redis_user), self.redis.no_echo.as_ref()),
            Report::PasswordRefused { .. } => {
                assert!(self.alarms_allowed > 0, "a password is refused that is right")
            }
            Report::PasswordTaken { .. } => {}
            Report::NodeBack { .. } | Report::UserBack { .. } | Report::NeedlessAuth(..) => {}
        }
    }

    /// Time passes, and with it the ticks of the driver.
    pub(crate) fn pass(&mut self, mut ms: u64) {
        while ms > 0 {
            let part = ms.min(50);
            ms -= part;
            self.now += Duration::from_millis(part);
            self.redis.tick(self.now);
            self.worker.tick(self.now, self.people.unix_now());
            self.pump();
        }
    }

    /// The connection attempt of a link ends.
    pub(crate) fn connect(&mut self, id: LinkId, succeeds: bool) {
        if self.worker.link_wants_read(id).is_none() {
            return self.drop_wire(id);
        }
        if !succeeds {
            let loss = self.dice.pick(&[Loss::Connect("refused".into()), Loss::NoResources("files".into())]);
            return self.lose(id, loss);
        }
        let wire = self.wires.get_mut(&id).expect("connecting");
        wire.connected = true;
        wire.runnable = true;
        let role = if self.worker.link_node(id) == Some(MASTER) { "master" } else { "replica" };
        self.redis.connect(wire.conn, role);
        self.worker.link_connected(id, self.now);
        self.pump();
    }

    /// Bytes of a link arrive at the backend, and what they ask for is done.
    pub(crate) fn arrive_at_backend(&mut self, id: LinkId, all: bool) {
        let wire = self.wires.get_mut(&id).expect("listed");
        if wire.to_backend.is_empty() || wire.hung || wire.eof {
            return;
        }
        let len = wire.to_backend.len();
        let count = if all { len } else { self.dice.chunk(len) };
        let conn = self.redis.conns.get_mut(&wire.conn).expect("connected");
        conn.input.extend(wire.to_backend.drain(..count));
        if self.trace {
            eprintln!("{:>6} {id:?} is {} and brings {}", self.at, wire.conn, show(&conn.input));
        }
        self.redis.process(wire.conn, self.now);
    }

    /// Bytes of the backend arrive at the gateway.
    pub(crate) fn arrive_from_backend(&mut self, id: LinkId, all: bool) {
        let wire = self.wires.get_mut(&id).expect("listed");
        let Some(conn) = self.redis.conns.get_mut(&wire.conn) else { return };
        if conn.output.is_empty() || wire.hung || wire.eof {
            return;
        }
        let count = if all { conn.output.len() } else { self.dice.chunk(conn.output.len()) };
        wire.from_backend.extend(conn.output.drain(..count));
    }

    /// The client reads, and looks at what it has read.
    pub(crate) fn client_reads(&mut self, number: usize, all: bool) {
        let client = &mut self.clients[number];
        if client.outbound.is_empty() {
            return;
        }
        let len = client.outbound.len();
        let count = if all { len } else { self.dice.chunk(len) };
        client.received.extend(client.outbound.drain(..count));
        if self.trace {
            eprintln!("{:>6} client {number} has {}", self.at, show(&client.received));
        }
        let users = &self.users[client.user];
        let lost_at = users.iter().filter_map(|user| self.lost_at.get(user)).max().copied();
        let conns = &self.redis.conns;
        let is_dead = |at: usize| conns.get(&at).is_none_or(|conn| conn.dead || conn.let_go);
        client.check(&mut Facts { ledger: &mut self.redis.ledger, users, lost_at, is_dead: &is_dead });
    }
}
