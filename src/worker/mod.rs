//! One thread's world: its sessions, its links, and the way between them.
//!
//! A state machine without I/O: bytes and the time go in, bytes and steps come
//! out. Whoever drives it (`io`, a simulation, a benchmark) calls a method named
//! by direction, then carries out [`Worker::steps`].
//!
//! ```text
//! client_input  -> requests -> lanes -> link_output
//! client_output <- replies           <- link_filled
//! ```

mod arena;
mod attempts;
mod audience;
mod batch;
mod clock;
mod cluster;
mod control;
mod dialect;
mod drain;
mod ends;
mod greetings;
mod input;
mod lanes;
mod leaving;
mod local;
mod messages;
mod nodes;
mod own;
mod peers;
mod pieces;
mod pins;
mod private;
mod probes;
mod pulse;
mod queued;
mod readers;
mod replies;
mod report;
mod requests;
mod roles;
mod streaming;
mod subscriptions;
mod successions;
mod transactions;
mod troubles;
mod unknown;
mod uploads;
mod waiting;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use slab::Slab;

use crate::command::Commands;
use crate::identity::{Kept, Permit, Reason, Refusal};
use crate::limits::Limits;
use crate::resp::{Outbox, Proto, RequestLimits, SHARE_MIN};
use crate::session::{Fate, Session, SessionId, Stall, Transport};
use crate::upstream::{DatabaseId, Lane, LaneId, LaneKey, Link, LinkId, LinkRole};
use arena::Arena;
use audience::Audience;

/// Input beyond this is not read from a client whose next request waits, unless for as long
/// as it takes; less is read, so that its leaving is noticed.
const READ_AHEAD: usize = 16 * 1024;

/// The most that a buffer grows by at a time, ahead of the bytes that fill it.
const GROW_MAX: usize = 256 * 1024;

/// What the driver has to do.
#[derive(Debug)]
pub enum Step {
    /// The client has output, may be read again, or is to be closed.
    WakeClient(SessionId),
    /// The link has output, may be read again, or is gone and to be closed.
    WakeLink(LinkId),
    /// Open a connection; then `link_connected` or `link_lost`.
    Connect(LinkId),
    /// Hand this to another worker's [`Worker::told`].
    Tell {
        /// Its number.
        worker: usize,
        /// What it is told.
        message: Message,
    },
    /// Read the map of a cluster again; some node has said that it has changed.
    WantMap(DatabaseId),
    /// Call [`Worker::roused`] at this time.
    RouseAt(Instant),
    /// Tell the operator.
    Report(Report),
}

pub use ends::{Closed, Loss};
pub use local::NeedlessAuth;
pub use peers::Message;
pub use report::Report;
pub use troubles::Troubled;

/// Counts since the worker began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is described where it is exported, in observe")]
pub struct Tally {
    pub requests: u64,
    pub answered_here: u64,
    pub refused_commands: u64,
    pub protocol_errors: u64,
    pub not_sent: u64,
    pub outcome_unknown: u64,
    pub links_opened: u64,
    pub links_lost: u64,
    pub fences: u64,
    pub pinned_requests: u64,
    pub messages: u64,
    pub bytes_from_clients: u64,
    pub bytes_to_clients: u64,
}

/// One thread's sessions and links.
#[derive(Debug)]
pub struct Worker {
    limits: Arc<Limits>,
    commands: Commands,
    sessions: Arena<SessionId, Session>,
    links: Arena<LinkId, Link>,
    lanes: Slab<Lane>,
    lane_ids: HashMap<LaneKey, LaneId>,
    /// Fence tokens must not be guessed by a client that can inject replies.
    random: ChaCha12Rng,
    nodes: nodes::Nodes,
    clusters: cluster::Clusters,
    pins: pins::Pins,
    /// What each subscriber link carries.
    audiences: HashMap<LinkId, Audience>,
    /// Passwords that have changed and are being tried.
    successions: successions::Successions,
    kept: Arc<Kept>,
    /// Subscriber links with subscriptions that nobody has any more.
    vacancies: Vec<LinkId>,
    next_client_id: u64,
    client_id_step: u64,
    peers: peers::Peers,
    /// Sessions whose stall may have ended.
    ready: Vec<SessionId>,
    /// Clients that will send no more, and have not been told all.
    leaving: Vec<leaving::Leaving>,
    /// Sessions that may hold input or output. Invariant: those whose `is_laden` says so, all that
    /// do hold some among them.
    laden: Vec<SessionId>,
    /// What those held at the last tick.
    held_bytes: usize,
    steps: Vec<Step>,
    tally: Tally,
    swept_at: Option<Instant>,
    draining: bool,
}

/// What a worker is made with.
#[derive(Debug, Clone)]
pub struct Seed {
    /// Random bytes of which nothing else is made.
    pub random: [u8; 32],
    /// This worker's number, from zero.
    pub number: u64,
    /// How many workers there are: client ids differ between them.
    pub workers: u64,
}

impl Worker {
    /// A worker without databases, sessions or links.
    #[must_use]
    pub fn new(limits: Arc<Limits>, seed: &Seed) -> Self {
        Self {
            limits,
            commands: Commands::new(),
            sessions: Arena::default(),
            links: Arena::default(),
            lanes: Slab::new(),
            lane_ids: HashMap::new(),
            random: ChaCha12Rng::from_seed(seed.random),
            nodes: nodes::Nodes::default(),
            clusters: cluster::Clusters::default(),
            pins: pins::Pins::default(),
            audiences: HashMap::new(),
            successions: successions::Successions::default(),
            kept: Arc::default(),
            vacancies: Vec::new(),
            next_client_id: seed.number + 1,
            client_id_step: seed.workers,
            peers: peers::Peers::new(seed),
            ready: Vec::new(),
            leaving: Vec::new(),
            laden: Vec::new(),
            held_bytes: 0,
            steps: Vec::new(),
            tally: Tally::default(),
            swept_at: None,
            draining: false,
        }
    }

    /// Moves the steps to be carried out to the end of `into`.
    pub fn steps(&mut self, into: &mut Vec<Step>) {
        into.append(&mut self.steps);
    }

    /// Counts since the worker began.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Sessions and links at present.
    #[must_use]
    pub fn population(&self) -> (usize, usize) {
        (self.sessions.len(), self.links.len())
    }

    /// Input and output that was held for clients at the last tick.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// A client of this database has completed its handshake. The addresses are its own and the one
    /// that it connected to. Nothing, if there is no such database.
    pub fn client_opened(
        &mut self,
        permit: Permit,
        database: DatabaseId,
        addresses: (String, String),
        now: Instant,
    ) -> Option<SessionId> {
        let node = self.nodes.database(database)?.node;
        let credential = Arc::clone(permit.credential());
        self.succeed_unknown(node, &credential);
        let key = LaneKey { node, credential, proto: Proto::Resp2, db: 0 };
        let lane = self.lane(key);
        self.lanes[lane].sessions += 1;
        let client_id = self.next_client_id;
        self.next_client_id += self.client_id_step;
        Some(self.sessions.insert(Session::new(permit, client_id, addresses, (database, lane), now)))
    }

    /// How the client's connection is encrypted.
    pub fn client_secured(&mut self, id: SessionId, transport: Transport) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.transport = Some(transport);
        }
    }

    /// The client's id as CLIENT ID tells it.
    #[must_use]
    pub fn client_id(&self, id: SessionId) -> Option<u64> {
        Some(self.sessions.get(id)?.client_id)
    }

    /// What becomes of the client's connection; `Dead` also for one unknown.
    #[must_use]
    pub fn client_fate(&self, id: SessionId) -> Fate {
        match self.sessions.get(id) {
            Some(session) if session.fate == Fate::Ending && !session.is_settled() => Fate::Open,
            Some(session) => session.fate,
            None => Fate::Dead,
        }
    }

    /// Whether the client is to be read from.
    #[must_use]
    pub fn client_wants_read(&self, id: SessionId) -> bool {
        self.sessions.get(id).is_some_and(|session| match (session.fate, session.stall) {
            (Fate::Dead, _) => false,
            _ if session.ends_after_input => false,
            // Nothing of it is looked at, but its leaving must end a wait of its own.
            (Fate::Ending, _) => session.waits_on_its_own(),
            (Fate::Open, None) => true,
            (Fate::Open, Some(Stall::Output)) => false,
            (Fate::Open, Some(_)) => session.input.len() < READ_AHEAD || self.waits_patiently(session),
        })
    }

    /// Where the client's next bytes are best read to, when a large argument is
    /// under way; then call [`Worker::client_filled`].
    pub fn client_buffer(&mut self, id: SessionId) -> Option<&mut BytesMut> {
        let session = self.sessions.get_mut(id)?;
        let held = session.input.len();
        let awaited = session.scan.awaited(held);
        if awaited < SHARE_MIN || session.stall.is_some() || session.fate != Fate::Open {
            return None;
        }
        // In step with what has arrived: an announcement alone allocates little.
        session.input.reserve(awaited.min(held.clamp(4 * SHARE_MIN, GROW_MAX)));
        Some(&mut session.input)
    }

    /// Bytes for the client. After writing some, call [`Worker::client_wrote`].
    pub fn client_output(&mut self, id: SessionId) -> Option<&mut Outbox> {
        let session = self.sessions.get_mut(id)?;
        session.woken = false;
        // What a closed client's requests have brought since would be taken for the
        // answer to what it is not answered.
        (session.fate != Fate::Dead).then_some(&mut session.out)
    }

    /// The client's socket has taken so many bytes of its output.
    pub fn client_wrote(&mut self, id: SessionId, count: usize, now: Instant) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.out.advance(count);
        session.read_at = now;
        self.tally.bytes_to_clients += count as u64;
        if session.out.len() > self.limits.client_output_soft_bytes / 2 {
            return;
        }
        let own = [session.pinned.as_ref().map(|pinned| pinned.link), session.private];
        if session.stall == Some(Stall::Output) {
            self.ready.push(id);
        }
        for link in own.into_iter().flatten() {
            if self.links.get(link).is_some_and(|link| link.paused) {
                self.links.get_mut(link).expect("found above").paused = false;
                self.wake_link(link);
            }
        }
        self.run_ready(now);
    }

    /// A link's bytes for the backend; none when it is gone, or they wait for replies that are on
    /// their way. After writing some, call [`Worker::link_wrote`].
    pub fn link_output(&mut self, id: LinkId) -> Option<&mut Outbox> {
        let waits = self.waits_for_others(id);
        let link = self.links.get_mut(id)?;
        link.woken = false;
        if waits { None } else { link.output() }
    }

    /// The link's socket has taken so many bytes of its output.
    pub fn link_wrote(&mut self, id: LinkId, count: usize, now: Instant) {
        let Some(link) = self.links.get_mut(id) else { return };
        link.wrote(count, now);
        if matches!(link.role, LinkRole::Pinned(_)) {
            // A large request on its way is progress. On a shared link others' requests
            // would make a backend that hangs look alive.
            link.progress_at = now;
        }
        if link.backlog() <= self.limits.link_queue_bytes_max / 2 && !link.waiters.is_empty() {
            self.ready.append(&mut link.waiters);
            self.run_ready(now);
        }
        self.join_cycle(id, now);
    }

    /// Whether the link is to be read from; `None` when it is gone.
    #[must_use]
    pub fn link_wants_read(&self, id: LinkId) -> Option<bool> {
        self.links.get(id).map(|link| !link.paused)
    }

    /// Where the link's next bytes are read to; then call [`Worker::link_filled`].
    pub fn link_buffer(&mut self, id: LinkId) -> Option<&mut BytesMut> {
        self.links.get_mut(id).map(Link::room)
    }

    /// Holds every session against changed users: a permit that no longer holds ends
    /// its session, one whose Redis user or rights have changed is exchanged. Returns whom
    /// that has ended, and why.
    pub fn recheck(
        &mut self,
        permit: &dyn Fn(&Permit) -> Result<Permit, Refusal>,
    ) -> Vec<(SessionId, Refusal)> {
        let mut ended = Vec::new();
        for id in self.sessions.keys() {
            let Some(session) = self.sessions.get_mut(id).filter(|session| session.fate != Fate::Dead) else {
                continue;
            };
            let renewed = match permit(&session.permit) {
                Ok(renewed) => renewed,
                Err(refusal) => {
                    self.close_client(id, Closed::PermitEnded);
                    ended.push((id, refusal));
                    continue;
                }
            };
            let (old, new) = (session.permit.credential(), renewed.credential());
            if (session.is_bound() || session.subscribed.is_some()) && old.redis_user != new.redis_user {
                // Its state lives in a link that speaks for another Redis user.
                let detail = "its Redis user is another one now, and it has state of its own in Redis";
                self.close_client(id, Closed::UserChanged);
                ended.push((id, Refusal::new(Reason::RoleChanged, detail)));
                continue;
            }
            let is_changed = old != new;
            let (proto, db, lane) = (session.proto, session.db, session.lane);
            let credential = Arc::clone(renewed.credential());
            session.reads = renewed.user().read_from;
            session.permit = renewed;
            if is_changed {
                self.succeed(lane, &credential);
            }
            if let Some(lane) = self.sibling_lane(id, proto, db) {
                self.move_session(id, lane);
            }
        }
        ended
    }

    /// Ends a session at once: what it was let in by no longer holds, or its connection.
    pub fn end_permit(&mut self, id: SessionId, why: Closed) {
        self.close_client(id, why);
    }

    /// Leaves the end of this session's certificate to the caller, who allows more.
    pub fn may_outlive_certificate(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.may_outlive_certificate = true;
        }
    }

    /// Keepalive and user timeout of the backend's sockets, in milliseconds.
    #[must_use]
    pub fn tcp_timeouts(&self) -> (u64, u64) {
        (self.limits.keepalive_ms, self.limits.tcp_user_timeout_ms)
    }

    /// Replaces the limits; those of connections under way change as well.
    pub fn set_limits(&mut self, limits: Arc<Limits>) {
        self.limits = limits;
    }

    /// Whether RESPGATE is answered here, or passed on as unknown.
    pub fn set_answers_respgate(&mut self, answers: bool) {
        self.commands.set_answers_respgate(answers);
    }

    /// This worker's part of what all workers may have together.
    fn share_of(&self, total: usize) -> usize {
        total / self.workers()
    }

    fn workers(&self) -> usize {
        usize::try_from(self.client_id_step).unwrap_or(1).max(1)
    }

    fn request_limits(&self) -> RequestLimits {
        RequestLimits { args_max: self.limits.request_args_max, bulk_bytes_max: self.limits.bulk_bytes_max }
    }

    fn wake_client(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id)
            && !session.woken
        {
            session.woken = true;
            session.lade(id, &mut self.laden);
            self.steps.push(Step::WakeClient(id));
        }
    }

    fn wake_link(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(id)
            && !link.woken
        {
            link.woken = true;
            self.steps.push(Step::WakeLink(id));
        }
    }

    /// Lets sessions go on whose reason to wait has gone.
    fn run_ready(&mut self, now: Instant) {
        while let Some(id) = self.ready.pop() {
            let Some(session) = self.sessions.get_mut(id) else { continue };
            let over = match session.stall {
                None => false,
                Some(Stall::Barrier) => session.is_settled(),
                Some(Stall::InFlight) => {
                    session.slots.outstanding() <= self.limits.client_in_flight_max / 2
                        && session.slots.kept_bytes() <= self.limits.link_queue_bytes_max / 2
                }
                Some(Stall::Output) => session.unread_bytes() <= self.limits.client_output_soft_bytes / 2,
                Some(Stall::LinkFull | Stall::Lane | Stall::Pin) => true,
            };
            if over {
                session.stall = None;
                self.run_held(id, now);
                self.wake_client(id);
            }
        }
        self.fill_vacancies(now);
    }
}
