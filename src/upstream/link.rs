//! A link: one backend connection, in one lane for life.
//!
//! A ticket is made before its request's first byte can be written, and the
//! backend answers in the order of tickets. Nothing here decides what a reply
//! means to a session: `worker` does.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};

use super::LaneId;
use super::batch::Batches;
use super::greet::Greeting;
use super::node::DatabaseId;
use crate::limits::Limits;
use crate::resp::{LEAD, Outbox, ReplyScanner, SmallBytes};
use crate::session::{Kill, SessionId, Transaction};

/// As much of a socket is read at a time.
const READ_BYTES: usize = 64 * 1024;

/// A link's place in its worker, never used for another link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId {
    /// The slot.
    pub index: u32,
    /// Which of the slot's tenants.
    pub generation: u32,
}

/// Who may use a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRole {
    /// Every session of the lane.
    Shared,
    /// A shared link that a very large reply has made private to its reader.
    Private(SessionId),
    /// One session, until the link closes.
    Pinned(SessionId),
    /// Nobody yet: it is greeted ahead of a session that will want one of its own.
    Spare,
    /// Every session of the lane, for what must not queue.
    Control,
    /// Subscriptions of all sessions of its Redis user.
    Subscriber,
}

/// How far a link has come.
#[derive(Debug)]
pub enum Phase {
    /// Not to be connected before the backoff allows it.
    Waiting,
    /// The connection is being made.
    Connecting,
    /// Connected; no client's byte may be written.
    Greeting(Greeting),
    /// It speaks for its user.
    Ready,
}

/// What a ticket's reply is held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// One reply, whatever it says.
    Reply,
    /// As `Reply`, of a command that may take as long as it likes.
    Patient,
    /// Exactly this, which goes to nobody. `strict`: an error is as bad as any
    /// other reply, since it follows a script.
    Fence {
        /// The bytes of the reply.
        reply: Box<[u8]>,
        /// Whether Redis' own BUSY or LOADING is too little.
        strict: bool,
    },
    /// An error, or else output that is no longer replies.
    Stream,
    /// So many confirmations, or one error.
    Confirmations(u64),
    /// MULTI's or DISCARD's: whether a transaction is open.
    Boundary,
    /// WATCH's, of a session that watches no key yet.
    Watch,
    /// EXEC's, of this transaction.
    Exec(Box<Transaction>),
    /// SELECT's; where it succeeds the session is in this database from then on.
    Select(u32),
    /// What the first of the requests on a subscriber link is answered by.
    Subscription,
    /// Any; the session gets these bytes in its place.
    Instead(Box<[u8]>),
    /// What the server says of itself, which goes to nobody.
    Role,
    /// What the server says of this command, which goes to nobody.
    CommandInfo(Box<str>),
    /// Any but an error, which goes to nobody. An error ends the link.
    Nothing,
    /// Whatever it says goes to nobody.
    Ignored,
    /// Whatever it says goes to nobody: whether the link has been marked for the WAIT behind.
    Mark {
        /// By a command that goes to the replicas, which marks it on every server.
        replicates: bool,
    },
    /// PING's: how the node is, which goes to nobody.
    Pulse,
    /// WAIT's, which may take as long as it likes.
    Wait,
    /// An error, which the session gets; anything else lets it kill these clients.
    Kill(Box<Kill>),
    /// CLIENT TRACKING's; where it succeeds invalidations go to this client, or nobody else.
    Tracking(Option<u64>),
    /// A reply that tells where invalidations go, by an id that is the backend's.
    Redirect,
    /// That of a request to a cluster, kept in its session at this place.
    Flown {
        /// Where in the order of the session's replies.
        place: u64,
        /// Which part of the request.
        part: u32,
        /// Whether it may take as long as it likes.
        patient: bool,
    },
}

impl Expect {
    /// Whether the reply may take as long as it likes.
    #[must_use]
    pub fn is_patient(&self) -> bool {
        matches!(self, Self::Patient | Self::Wait | Self::Flown { patient: true, .. })
    }

    /// Whether the reply is a session's; the others are the gateway's own.
    #[must_use]
    pub fn is_for_session(&self) -> bool {
        !matches!(
            self,
            Self::Fence { .. } | Self::Role | Self::Pulse | Self::Nothing | Self::Ignored | Self::Mark { .. }
        )
    }

    /// Whether it only shows that the link is as it should be.
    #[must_use]
    pub fn is_proof(&self) -> bool {
        matches!(self, Self::Fence { .. } | Self::Role | Self::Pulse)
    }
}

/// A claim to the next replies of a link.
#[derive(Debug)]
pub struct Ticket {
    /// Whose they are. The session may be gone by then.
    pub session: SessionId,
    /// How many requests the ticket is for; more than one only with `Reply`.
    pub count: u32,
    /// What each of them is held to.
    pub expect: Expect,
    /// Where its first byte is in the stream of request bytes.
    pub start: u64,
}

/// One backend connection.
#[derive(Debug)]
pub struct Link {
    /// The lane that it belongs to for life.
    pub lane: LaneId,
    /// Who may use it.
    pub role: LinkRole,
    /// How far it has come.
    pub phase: Phase,
    /// Bytes for the socket. Before `Ready` these are the greeting's.
    pub out: Outbox,
    /// Requests that wait for `Ready`.
    pub queued: Outbox,
    /// Tickets in the order their requests are written to the socket.
    /// Invariant: the backend answers in this order, so the front ticket owns the
    /// next reply.
    pub pending: VecDeque<Ticket>,
    /// The backend's id for the connection, told in its greeting.
    pub backend_id: Option<i64>,
    /// Requests that `pending` stands for.
    pub in_flight: usize,
    /// Request bytes ever appended, and of these, written.
    appended: u64,
    written: u64,
    batches: Batches,
    /// The cluster that it carries plain requests to.
    pub cluster: Option<DatabaseId>,
    /// Of which cluster, and the number of, what it has written together with others and has no answer to.
    pub cycle: Option<(DatabaseId, u64)>,
    /// The beginning of a reply whose end has not arrived.
    pub input: BytesMut,
    /// Where in it the scan stopped.
    pub scan: ReplyScanner,
    /// Set while the reply under way is passed on before its end has arrived.
    pub stream: Option<Stream>,
    /// When the backend last made progress, or was last given something to do.
    pub progress_at: Instant,
    /// When the backend last sent anything.
    pub heard_at: Option<Instant>,
    /// When the connection was asked for.
    pub opened_at: Instant,
    /// When a session last used it.
    pub used_at: Instant,
    /// Requests since the last fence, and when that was.
    pub since_fence: u64,
    /// See `since_fence`.
    pub fence_at: Instant,
    /// When the backend was last asked for its role.
    pub role_at: Instant,
    /// Not read from, until its reader has caught up.
    pub paused: bool,
    /// Takes no new request and closes when the last reply has arrived.
    pub draining: bool,
    /// Its database or protocol is no longer the lane's; it closes when its
    /// session's state has ended.
    pub strayed: bool,
    /// Sessions that wait for room.
    pub waiters: Vec<SessionId>,
    /// Already on the list of links to be woken.
    pub woken: bool,
}

/// A reply that is passed on in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// Bytes passed on so far.
    pub bytes: u64,
    /// Whether its end completes the front ticket's request. A push does not.
    pub completes: bool,
}

impl Link {
    /// A link that waits to be connected.
    #[must_use]
    pub fn new(lane: LaneId, role: LinkRole, depth_max: usize, now: Instant) -> Self {
        Self {
            lane,
            role,
            phase: Phase::Waiting,
            out: Outbox::default(),
            queued: Outbox::default(),
            pending: VecDeque::new(),
            backend_id: None,
            in_flight: 0,
            appended: 0,
            written: 0,
            batches: Batches::default(),
            cluster: None,
            cycle: None,
            input: BytesMut::new(),
            scan: ReplyScanner::new(depth_max),
            stream: None,
            progress_at: now,
            heard_at: None,
            opened_at: now,
            used_at: now,
            since_fence: 0,
            fence_at: now,
            role_at: now,
            paused: false,
            draining: false,
            strayed: false,
            waiters: Vec::new(),
            woken: false,
        }
    }

    /// Whether clients' bytes may be written.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready)
    }

    /// Whether it is not to be connected yet.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Waiting)
    }

    /// Whether it takes requests of this session beside those of others.
    #[must_use]
    pub fn may_share(&self, session: SessionId) -> bool {
        let role = match self.role {
            LinkRole::Shared => true,
            LinkRole::Private(reader) => reader == session,
            LinkRole::Pinned(_) | LinkRole::Spare | LinkRole::Control | LinkRole::Subscriber => false,
        };
        role && !self.draining
    }

    /// Whether it takes one more request now.
    #[must_use]
    pub fn has_room(&self, limits: &Limits) -> bool {
        let requests_max =
            if self.is_ready() { limits.link_in_flight_max } else { limits.fail_fast_commands };
        self.in_flight < requests_max && self.backlog() < limits.link_queue_bytes_max
    }

    /// Request bytes not yet written.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.out.len() + self.queued.len()
    }

    /// Claims the replies of requests whose bytes the caller appends next.
    pub fn claim(&mut self, session: SessionId, count: u32, expect: Expect, now: Instant) {
        if !matches!(expect, Expect::Reply) {
            return self.push_ticket(session, count, expect, now);
        }
        if let Some(last) = self.pending.back_mut()
            && last.session == session
            && last.expect == Expect::Reply
            // Nothing of it has been written, so that one word is true of all of it.
            && last.start >= self.written
        {
            last.count += count;
            self.in_flight += count as usize;
            self.used_at = now;
            return;
        }
        self.batches.note(Some(session));
        self.push_ticket(session, count, expect, now);
    }

    fn push_ticket(&mut self, session: SessionId, count: u32, expect: Expect, now: Instant) {
        if self.pending.is_empty() {
            self.progress_at = now;
        }
        self.used_at = now;
        self.in_flight += count as usize;
        self.pending.push_back(Ticket { session, count, expect, start: self.appended });
    }

    /// Claims the reply of a plain request to a cluster. Its client is alone with it, or awaits others
    /// as well, of several nodes.
    pub fn claim_flown(
        &mut self,
        session: SessionId,
        (place, database): (u64, DatabaseId),
        is_lone: bool,
        now: Instant,
    ) {
        self.push_ticket(session, 1, Expect::Flown { place, part: 0, patient: false }, now);
        self.cluster = Some(database);
        self.batches.note(is_lone.then_some(session));
    }

    /// Appends a copy of request bytes.
    pub fn append(&mut self, bytes: &[u8]) {
        self.appended += bytes.len() as u64;
        if self.is_ready() { self.out.copy(bytes) } else { self.queued.copy(bytes) }
    }

    /// Appends request bytes without copying them, unless they are few.
    pub fn append_shared(&mut self, bytes: Bytes) {
        self.appended += bytes.len() as u64;
        if self.is_ready() { self.out.share(bytes) } else { self.queued.share(bytes) }
    }

    /// Appends request bytes that are kept as well.
    pub fn append_kept(&mut self, bytes: &SmallBytes) {
        self.appended += bytes.len() as u64;
        bytes.share_with(if self.is_ready() { &mut self.out } else { &mut self.queued });
    }

    /// Takes away what waits for `Ready`, as a link that is lost with it.
    pub fn shed(&mut self) -> Self {
        debug_assert!(!self.is_ready(), "what has been written cannot be taken back");
        let mut shed = Self::new(self.lane, self.role, 0, self.opened_at);
        shed.pending = std::mem::take(&mut self.pending);
        self.queued = Outbox::default();
        shed.in_flight = std::mem::take(&mut self.in_flight);
        self.appended = 0;
        shed
    }

    /// The greeting has succeeded: what waited may be written.
    pub fn become_ready(&mut self, now: Instant) {
        debug_assert!(self.out.is_empty(), "the greeting's last command has been answered");
        self.phase = Phase::Ready;
        self.out = std::mem::take(&mut self.queued);
        self.progress_at = now;
        self.fence_at = now;
        self.role_at = now;
    }

    /// What the socket is to take now; none while it waits for replies that are on their way.
    pub fn output(&mut self) -> Option<&mut Outbox> {
        if self.role == LinkRole::Shared && self.is_ready() {
            if self.is_owed() && self.may_wait() {
                return None;
            }
            self.batches.begin(self.appended);
        }
        Some(&mut self.out)
    }

    /// Whether what it carries waits for replies that are on their way, and goes together.
    #[must_use]
    pub fn gathers(&self) -> bool {
        self.role == LinkRole::Shared && self.is_ready() && self.batches.gather()
    }

    /// Whether that is so of what it has to write now.
    #[must_use]
    pub fn may_wait(&self) -> bool {
        self.gathers() && self.batches.may_wait(self.written, self.out.len())
    }

    /// Whether the backend may have something to answer.
    #[must_use]
    pub fn is_owed(&self) -> bool {
        self.pending.front().is_some_and(|front| self.may_have_sent(front))
    }

    /// Whether what the backend says now is nobody's: no request of those that wait for a reply has been
    /// written. On a link of a session's own it may be a message.
    #[must_use]
    pub fn awaits_nothing(&self) -> bool {
        self.stream.is_none() && !matches!(self.role, LinkRole::Pinned(_)) && !self.is_owed()
    }

    /// The socket has taken so many bytes of `out`.
    pub fn wrote(&mut self, count: usize, now: Instant) {
        self.out.advance(count);
        if self.is_ready() {
            if self.pending.front().is_some_and(|front| !self.may_have_sent(front)) {
                self.batches.asked(now);
            }
            self.written += count as u64;
        }
    }

    /// Where the socket's next bytes belong, with room for as many as are read at a time.
    pub fn room(&mut self) -> &mut BytesMut {
        if !self.input.is_empty() {
            self.input.reserve(READ_BYTES);
        } else {
            if !self.input.try_reclaim(READ_BYTES) {
                self.input = BytesMut::with_capacity(READ_BYTES);
            }
            self.input.resize(LEAD, 0);
            self.input.advance(LEAD);
        }
        &mut self.input
    }

    /// The socket has brought something.
    pub fn heard(&mut self, now: Instant) {
        self.progress_at = now;
        self.heard_at = Some(now);
        self.batches.answered(now);
    }

    /// Whether any byte of this ticket's requests may have reached the backend.
    #[must_use]
    pub fn may_have_sent(&self, ticket: &Ticket) -> bool {
        ticket.start < self.written
    }

    /// So many requests of the front ticket have been answered.
    pub fn settle(&mut self, count: u32) {
        self.in_flight -= count as usize;
        if let Some(front) = self.pending.front_mut() {
            front.count -= count;
            if front.count == 0 {
                self.pending.pop_front();
            }
        }
    }
}
