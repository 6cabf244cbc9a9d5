//! The world of one Redis and its replicas: who its clients are, and what may happen to them.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use respgate::limits::Limits;
use respgate::upstream::{Database, DatabaseId, NodeId, Replica};
use respgate::worker::{Closed, Report, Step};

use super::check::Facts;
use super::client::Client;
use super::dice::Dice;
use super::frame::show;
use super::people::{MUTE_USER, People};
use super::redis::Redis;
use super::world::{End, Scene, Socket, World};

/// The database of all clients.
const DATABASE: DatabaseId = DatabaseId(0);

/// Its master; every other node is a replica.
const MASTER: NodeId = NodeId(0);

pub(crate) struct Single {
    database: Database,
    /// The lowest bound of output so far.
    pub(crate) output_hard_min: usize,
    /// Transactions may not stay open for ever.
    transactions_end: bool,
    pub(crate) users: Vec<Vec<String>>,
    pub(crate) clients: Vec<Client>,
    pub(crate) redis: Redis,
    /// The last one that there has been.
    nodes: u32,
    /// The last step in which a link of a Redis user was lost.
    lost_at: HashMap<String, usize>,
    /// Something was done to the backend's output that is to be noticed.
    pub(crate) alarms_allowed: usize,
    /// Accounts that are configured and that Redis has yet to be told of.
    pub(crate) late_accounts: Vec<(String, String)>,
    pub(crate) draining: bool,
    pub(crate) listens: bool,
}

impl Scene for Single {
    fn connect(&mut self, conn: usize, node: NodeId) {
        self.redis.connect(conn, if node == MASTER { "master" } else { "replica" });
    }

    fn end(&mut self, conn: usize) -> Option<End<'_>> {
        let conn = self.redis.conns.get_mut(&conn)?;
        let is_greeted = conn.is_greeted() || conn.tainted;
        Some(End { input: &mut conn.input, output: &mut conn.output, dead: &mut conn.dead, is_greeted })
    }

    fn process(&mut self, conn: usize, now: Instant) {
        self.redis.process(conn, now);
    }

    fn let_go(&mut self, conn: usize) {
        if let Some(conn) = self.redis.conns.get_mut(&conn) {
            conn.let_go = true;
        }
    }

    fn tick(&mut self, now: Instant) {
        self.redis.tick(now);
    }

    fn written(&mut self, number: usize) -> &mut Vec<u8> {
        &mut self.clients[number].to_send
    }

    fn asked(&mut self, step: &Step) {
        panic!("there is no cluster: {step:?}");
    }

    fn report(&mut self, report: &Report, at: usize) {
        match report {
            Report::RedirectRefused { .. } => panic!("there is no cluster"),
            Report::LinkLost { redis_user, loss, .. } => {
                self.lost_at.insert(redis_user.clone(), at);
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
                    Closed::TransactionIdle => assert!(self.transactions_end, "there is no such bound"),
                    Closed::PermitEnded | Closed::UserChanged | Closed::KeysUsedUp => {
                        assert!(client.excused, "{why:?}");
                    }
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

    fn closed(&mut self, number: usize, socket: &Socket, limits: &Limits) {
        let excused = self.clients[number].excused || socket.reset || socket.fin || self.draining;
        let excused = excused || limits.pinned_links_max + limits.pinned_links_per_user_max > 0;
        assert!(excused, "client {number} was closed, and nothing had happened to it");
    }

    fn awaits(&self, number: usize) -> String {
        let client = &self.clients[number];
        let (asked, first) = (client.asked.len(), client.asked.front());
        format!("{asked} asked, first {first:?}, {} to send", client.to_send.len())
    }
}

impl World<Single> {
    pub(crate) fn of_one(seed: u64, now: Instant, limits: Limits, trace: bool) -> Self {
        let people = People::new();
        let accounts = || people.accounts.iter().flatten();
        let mut redis = Redis::default();
        redis.no_echo = Some(format!("redis{MUTE_USER}"));
        redis.accounts = accounts().cloned().collect();
        let scene = Single {
            database: Database::new(MASTER, false),
            output_hard_min: limits.client_output_hard_bytes,
            transactions_end: limits.transaction_idle_timeout_ms > 0,
            users: accounts().map(|(name, _)| vec![name.clone()]).collect(),
            clients: Vec::new(),
            redis,
            nodes: 0,
            lost_at: HashMap::new(),
            alarms_allowed: 0,
            late_accounts: Vec::new(),
            draining: false,
            listens: false,
        };
        let mut world = Self::new(Dice::new(seed), now, limits, scene, trace);
        world.tell_database();
        world
    }

    pub(crate) fn tell_database(&mut self) {
        let database = Database { credentials: self.people.credentials(), ..self.scene.database.clone() };
        self.worker.set_databases(BTreeMap::from([(DATABASE, database)]), self.now);
    }

    /// Clients subscribe over connections that they share.
    pub(crate) fn share_subscriptions(&mut self) {
        self.scene.database.shares_subscriptions = true;
        self.tell_database();
        self.scene.redis.shares = true;
    }

    /// A replica comes, goes, falls behind, or is in step again.
    pub(crate) fn change_replicas(&mut self) {
        let replicas = &mut self.scene.database.replicas;
        match self.dice.below(4) {
            0 if replicas.len() < 3 => {
                self.scene.nodes += 1;
                replicas.push(Replica { node: NodeId(self.scene.nodes), is_in_step: true });
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
        self.tell_database();
        self.pump();
    }

    /// A client comes in.
    pub(crate) fn open(&mut self, user: usize) {
        let Ok(permit) = self.people.permit(user) else { return };
        let session = self.worker.client_opened(permit, DATABASE, ("peer".into(), "local".into()), self.now);
        let session = session.expect("the database is there");
        let client_id = self.worker.client_id(session).expect("just opened");
        let out_cap = self.dice.pick(&[700, 20_000, 200_000]);
        let number = self.join(session, out_cap);
        self.trace(|| format!("client {number} of user {user} opens as {session:?}"));
        let mut client = Client::new(number, user, client_id);
        client.listens = self.scene.listens;
        self.scene.clients.push(client);
    }

    /// The client reads, and looks at what it has read.
    pub(crate) fn client_reads(&mut self, number: usize, all: bool) {
        let (client, socket) = (&mut self.scene.clients[number], &mut self.sockets[number]);
        if socket.outbound.is_empty() {
            return;
        }
        let len = socket.outbound.len();
        let count = if all { len } else { self.dice.chunk(len) };
        client.received.extend(socket.outbound.drain(..count));
        if self.trace {
            eprintln!("{:>6} client {number} has {}", self.at, show(&client.received));
        }
        let users = &self.scene.users[client.user];
        let lost_at = users.iter().filter_map(|user| self.scene.lost_at.get(user)).max().copied();
        let conns = &self.scene.redis.conns;
        let is_dead = |at: usize| conns.get(&at).is_none_or(|conn| conn.dead || conn.let_go);
        client.check(&mut Facts { ledger: &mut self.scene.redis.ledger, users, lost_at, is_dead: &is_dead });
    }
}
