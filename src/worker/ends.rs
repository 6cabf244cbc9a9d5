//! How links and sessions end, and what the others are told.

use std::time::Instant;

use thiserror::Error;

use super::{Report, Step, Worker};
use crate::resp::ReplyError;
use crate::session::{Fate, LaneRefusal, SessionId, Upload};
use crate::upstream::{Expect, GreetError, LaneId, Link, LinkId, LinkRole, Phase};

/// The answer to a request no byte of which has been written.
pub(super) const NOT_SENT: &str = "ERR respgate: backend unavailable, command not sent";

/// The answer to a request that may have reached the backend.
pub(super) const OUTCOME_UNKNOWN: &str = "ERR respgate: connection to the backend was lost, outcome unknown";

/// The answer to a request that needs a link of its own when there are as many as may be.
pub(super) const TOO_MANY_PINNED: &str = "ERR respgate: too many pinned connections, command not sent";

/// Why a link is gone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the text of each says what it is")]
pub enum Loss {
    #[error("the sentinels have not said where the master is")]
    NoMaster,
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("cannot speak TLS: {0}")]
    Tls(String),
    #[error("cannot connect, for want of {0}")]
    NoResources(String),
    #[error("not connected and greeted in time")]
    ConnectTimeout,
    #[error("not connected while the backend fails")]
    FailFast,
    #[error("the password of this user is not known yet")]
    NoPassword,
    #[error(transparent)]
    Greeting(GreetError),
    #[error("the backend closed the connection")]
    Closed,
    #[error("the connection failed: {0}")]
    Io(String),
    #[error("unreadable: {0}")]
    Unreadable(ReplyError),
    #[error("a reply that nobody asked for")]
    Surplus,
    #[error("a message longer than limits.client_output_hard_bytes")]
    LongMessage,
    #[error("a push on a shared connection")]
    PushOnShared,
    #[error("a fence did not come back: replies are out of step")]
    OutOfStep,
    #[error("the backend refused MULTI for a transaction that had begun at another node")]
    Refused,
    #[error("no reply in time")]
    OpTimeout,
    #[error("a request was broken off")]
    Aborted,
    #[error("the database is somewhere else from now on")]
    NodeLeft,
}

impl Loss {
    /// Whether it can only mean that replies and requests were out of step, or that
    /// the credential is wrong: somebody has to look.
    #[must_use]
    pub fn is_alarm(&self) -> bool {
        matches!(
            self,
            Self::Unreadable(_)
                | Self::Surplus
                | Self::PushOnShared
                | Self::OutOfStep
                | Self::Greeting(GreetError::Auth(_) | GreetError::Hello(_) | GreetError::Unexpected(_))
        )
    }
}

/// Why the gateway closed a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "as_str says what each is")]
pub enum Closed {
    CrossProtocol,
    ReplicaAsks,
    Unheard,
    OutputLimit,
    BuffersFull,
    OutputStalled,
    RequestStalled,
    Idle,
    TransactionIdle,
    Age,
    CertificateExpired,
    PermitEnded,
    UserChanged,
    BackendLost,
    KeysUsedUp,
    Killed,
}

impl Closed {
    /// Every reason, for registering a metric for each.
    pub const ALL: [Self; 16] = [
        Self::CrossProtocol,
        Self::ReplicaAsks,
        Self::Unheard,
        Self::OutputLimit,
        Self::BuffersFull,
        Self::OutputStalled,
        Self::RequestStalled,
        Self::Idle,
        Self::TransactionIdle,
        Self::Age,
        Self::CertificateExpired,
        Self::PermitEnded,
        Self::UserChanged,
        Self::BackendLost,
        Self::KeysUsedUp,
        Self::Killed,
    ];

    /// The word in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CrossProtocol => "cross_protocol",
            Self::ReplicaAsks => "replica_asks",
            Self::Unheard => "unheard",
            Self::OutputLimit => "output_limit",
            Self::BuffersFull => "buffers_full",
            Self::OutputStalled => "output_stalled",
            Self::RequestStalled => "request_stalled",
            Self::Idle => "idle",
            Self::TransactionIdle => "transaction_idle",
            Self::Age => "age",
            Self::CertificateExpired => "certificate_expired",
            Self::PermitEnded => "permit_ended",
            Self::UserChanged => "user_changed",
            Self::BackendLost => "backend_lost",
            Self::KeysUsedUp => "keys_used_up",
            Self::Killed => "killed",
        }
    }
}

impl Worker {
    /// A link's socket could not be opened, or has failed.
    pub fn link_lost(&mut self, id: LinkId, loss: Loss, now: Instant) {
        self.lose_link(id, loss, now);
        self.run_ready(now);
    }

    /// Ends a link and answers everything that waited for it.
    pub(super) fn lose_link(&mut self, id: LinkId, loss: Loss, now: Instant) {
        let Some(link) = self.take_link(id) else { return };
        self.note_failure(&link, &loss, now);
        let is_refused = matches!(loss, Loss::Greeting(GreetError::Auth(_)));
        let other_role = matches!(loss, Loss::Greeting(GreetError::Role { .. }));
        let node = self.lanes[link.lane].key.node;
        let refusal = match &loss {
            Loss::Greeting(GreetError::Select(text)) => LaneRefusal::Backend(text.clone()),
            _ => LaneRefusal::Unavailable,
        };
        if let LaneRefusal::Backend(text) = &refusal {
            let key = &self.lanes[link.lane].key;
            self.nodes.of(node).database_refused(&key.credential.redis_user, key.db, text, now);
        }
        self.refuse_waiters(link.lane, &refusal);
        let may_wait = !matches!(loss, Loss::Greeting(_) | Loss::NoResources(_));
        if !matches!(loss, Loss::Greeting(GreetError::Select(_))) {
            // A database that the backend does not have is its client's mistake.
            let key = &self.lanes[link.lane].key;
            let (node, redis_user) = (key.node, key.credential.redis_user.clone());
            let in_flight = link.in_flight;
            self.steps.push(Step::Report(Report::LinkLost { node, redis_user, loss, in_flight }));
            self.tally.links_lost += 1;
        }
        self.fail_requests(&link, may_wait, now);
        match link.role {
            LinkRole::Pinned(owner) => self.lose_pinned(owner),
            LinkRole::Private(reader) => {
                if let Some(session) = self.sessions.get_mut(reader) {
                    session.private.take_if(|private| *private == id);
                }
            }
            LinkRole::Subscriber => self.lose_audience(id),
            LinkRole::Shared | LinkRole::Spare | LinkRole::Control => {}
        }
        self.ready.extend_from_slice(&link.waiters);
        self.connect_next(self.lanes[link.lane].key.node, now);
        let key = is_refused.then(|| self.lanes[link.lane].key.clone());
        self.release_lane(link.lane);
        if let Some(key) = key {
            self.refused(key.node, &key.credential);
        }
        if other_role {
            self.leave_other_role(node, now);
        }
    }

    /// Those who wait for a lane's first greeting cannot have the lane.
    pub(super) fn refuse_waiters(&mut self, lane: LaneId, refusal: &LaneRefusal) {
        let lane = &mut self.lanes[lane];
        for id in std::mem::take(&mut lane.waiters) {
            if let Some(session) = self.sessions.get_mut(id) {
                session.lane_refusal = Some((lane.key.proto, lane.key.db, refusal.clone()));
                self.ready.push(id);
            }
        }
    }

    /// Takes a link away without a word; the driver closes its socket.
    pub(super) fn remove_link(&mut self, id: LinkId) {
        if let Some(link) = self.take_link(id) {
            self.audiences.remove(&id);
            // Whoever waits for its greeting looks again.
            self.ready.append(&mut self.lanes[link.lane].waiters);
            self.release_lane(link.lane);
        }
    }

    /// A link takes no new request and closes when its last reply has arrived; its
    /// sessions move on then.
    pub(super) fn retire_link(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(id) else { return };
        link.draining = true;
        let (idle, lane) = (link.pending.is_empty(), &mut self.lanes[link.lane]);
        lane.shared.retain(|&shared| shared != id);
        lane.control.take_if(|control| *control == id);
        if idle {
            self.remove_link(id);
        }
    }

    /// As `remove_link`, but its lane stays even if nothing else belongs to it.
    fn take_link(&mut self, id: LinkId) -> Option<Link> {
        // Woken first: the driver finds it gone.
        self.wake_link(id);
        let link = self.links.remove(id)?;
        self.leave_cycle(link.cycle);
        let lane = &mut self.lanes[link.lane];
        lane.links -= 1;
        lane.shared.retain(|&shared| shared != id);
        if lane.control == Some(id) {
            lane.control = None;
        }
        lane.subscriber.take_if(|subscriber| *subscriber == id);
        if link.role == LinkRole::Spare {
            self.pins.forget_spare(id);
        }
        let node = self.nodes.of(lane.key.node);
        node.circuit.gone(id);
        if matches!(link.phase, Phase::Connecting | Phase::Greeting(_)) {
            node.connecting_ended();
        }
        Some(link)
    }

    /// Each request that waited gets one error, which says whether it may have run.
    pub(super) fn fail_requests(&mut self, link: &Link, may_wait: bool, now: Instant) {
        // A user that a node refuses is not let in by waiting.
        let may_wait = may_wait && !self.lanes[link.lane].backoff.is_failing();
        let mut broken_off = link.stream.is_some();
        if let (Some(stream), LinkRole::Pinned(owner)) = (link.stream, link.role)
            && !stream.completes
        {
            self.close_client(owner, Closed::BackendLost);
            broken_off = false;
        }
        for ticket in &link.pending {
            let Some(session) = self.sessions.get_mut(ticket.session) else {
                broken_off = false;
                continue;
            };
            if !ticket.expect.is_for_session() {
                continue;
            }
            if std::mem::take(&mut broken_off) {
                // Part of the reply is with the client: no error can follow it.
                self.close_client(ticket.session, Closed::BackendLost);
                continue;
            }
            if let Expect::Flown { place, part, .. } = ticket.expect {
                let was_sent = link.may_have_sent(ticket);
                self.flight_failed(ticket.session, (place, part), (was_sent, may_wait), now);
                continue;
            }
            let text = if link.may_have_sent(ticket) {
                self.tally.outcome_unknown += u64::from(ticket.count);
                OUTCOME_UNKNOWN
            } else {
                self.tally.not_sent += u64::from(ticket.count);
                NOT_SENT
            };
            let line = crate::resp::write::error(text);
            for _ in 0..ticket.count {
                if !session.slots.is_mute() {
                    session.say(&line);
                }
                session.settled(1);
            }
            if session.stall.is_some() {
                self.ready.push(ticket.session);
            }
            self.wake_client(ticket.session);
        }
    }

    /// A session's own link is gone: with state in it, so is the session.
    fn lose_pinned(&mut self, owner: SessionId) {
        let Some(pinned) = self.take_pinned(owner) else { return };
        let Some(session) = self.sessions.get_mut(owner) else { return };
        if matches!(session.upload, Some(Upload::To(_))) {
            session.upload = Some(Upload::Discard);
        }
        if pinned.is_bound() {
            self.end_client(owner);
        }
    }

    /// The client's socket is closed, or is about to be: its pinned link goes first,
    /// so that what it waited for is nobody's.
    pub fn client_gone(&mut self, id: SessionId, now: Instant) {
        self.unpin(id);
        self.unlisten(id);
        self.forget_routes(id);
        let Some(session) = self.sessions.remove(id) else { return };
        if let Some(private) = session.private {
            self.release_private(private);
        }
        self.lanes[session.lane].sessions -= 1;
        self.release_lane(session.lane);
        self.run_ready(now);
    }

    /// No further request is looked at; the client is closed when all its replies
    /// have been written.
    pub(super) fn end_client(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id)
            && session.fate == Fate::Open
        {
            session.fate = Fate::Ending;
            session.input.clear();
            self.wake_client(id);
        }
    }

    /// Closes a client at once.
    pub(super) fn close_client(&mut self, id: SessionId, why: Closed) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.fate == Fate::Dead {
            return;
        }
        session.fate = Fate::Dead;
        session.out.clear();
        session.input.clear();
        self.report_closed(id, why);
        self.unpin(id);
        self.unlisten(id);
        self.wake_client(id);
    }

    /// Tells why a client is closed.
    pub(super) fn report_closed(&mut self, id: SessionId, why: Closed) {
        let Some(session) = self.sessions.get(id) else { return };
        let (client_id, user) = (session.client_id, session.permit.user().name.clone());
        self.steps.push(Step::Report(Report::ClientClosed { client_id, user, why }));
    }
}
