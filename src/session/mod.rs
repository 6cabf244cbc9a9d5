//! One client: the order of its replies, the state that Redis would keep for it,
//! and the answers that the gateway gives itself. It knows no other client, and
//! of links only their ids.

pub(crate) mod answer;
mod by_slot;
mod flight;
pub(crate) mod hello;
mod joined;
pub(crate) mod kill;
mod pinned;
pub(crate) mod queued;
mod refused;
mod routes;
pub(crate) mod scan;
mod slots;
pub mod subscribed;
mod unproven;
mod whoami;

use std::time::Instant;

use bytes::{Bytes, BytesMut};

pub use flight::{Flight, Split, To};
pub use joined::Joined;
pub use kill::{Filter, Kill};
pub use pinned::{Awaited, Pinned, Subscriptions, Transaction};
pub use queued::Queue;
pub use refused::Refused;
pub use routes::{Route, Routes};
pub use slots::Slots;
pub use subscribed::Subscribed;
pub use unproven::{Ask, Turn, Unproven, WRONG};
pub use whoami::Transport;

use crate::identity::{Permit, ReadFrom};
use crate::resp::{Outbox, Proto, RequestScanner, SHARE_MIN};
use crate::upstream::{DatabaseId, LaneId, LinkId};

/// A session's place in its worker, never used for another session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    /// The slot.
    pub index: u32,
    /// Which of the slot's tenants.
    pub generation: u32,
}

/// Where the replies that a session awaits come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// It awaits none.
    Nothing,
    /// A link that others use as well, of this lane.
    Shared(LinkId),
    /// Its pinned link.
    Pinned(LinkId),
    /// Links that others use as well, of several nodes of a cluster.
    Nodes,
}

/// Why a session's next request waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stall {
    /// For every earlier reply.
    Barrier,
    /// For half of the requests in flight to be answered.
    InFlight,
    /// For the client to read its output.
    Output,
    /// For room on its link.
    LinkFull,
    /// For the lane's first greeting.
    Lane,
    /// For a link of its own, of which there are as many as may be.
    Pin,
}

/// Why a session cannot have a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneRefusal {
    /// The backend refused the database, in these words: the client's own matter.
    Backend(String),
    /// The backend could not be asked.
    Unavailable,
}

/// What becomes of a client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Open,
    /// No further request is looked at; it closes when all replies have been written.
    Ending,
    /// It is closed at once.
    Dead,
}

/// Which replies CLIENT REPLY lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplyMode {
    /// All.
    #[default]
    On,
    /// None.
    Off,
    /// Not the next one.
    Skip,
}

/// Up to so much of what a client tells about itself is part of what every client takes; more is counted.
const ABOUT_BYTES: usize = 1024;

/// What a client has told about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: Vec<u8>,
    /// CLIENT SETINFO LIB-VER.
    pub lib_ver: Vec<u8>,
    /// CLIENT NO-EVICT.
    pub no_evict: bool,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
}

impl About {
    fn bytes(&self) -> usize {
        self.name.len() + self.lib_name.len() + self.lib_ver.len()
    }
}

/// The part of a request larger than what fits in memory that is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upload {
    /// It goes to this pinned link as it arrives.
    To(LinkId),
    /// Its link was lost: it is skipped.
    Discard,
}

/// What is held of a client's TLS records beneath its bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Records {
    /// The beginning of one that has not arrived whole, in bytes.
    pub begun: usize,
    /// Bytes of those that its socket has had no room for.
    pub unsent: usize,
    /// How many of these it has had room for since.
    pub sent: usize,
}

/// One client.
#[derive(Debug)]
pub struct Session {
    /// Who it is.
    pub permit: Permit,
    /// Its id as CLIENT ID tells it.
    pub client_id: u64,
    /// Its address and the one it connected to, for CLIENT INFO.
    pub addresses: (String, String),
    /// How it is encrypted, once that is known.
    pub transport: Option<Transport>,
    /// Input that has not become requests yet.
    pub input: BytesMut,
    /// Where in it the scan stopped.
    pub scan: RequestScanner,
    /// What is held of its TLS records.
    pub records: Records,
    /// Replies for the client.
    pub out: Outbox,
    /// The order of the replies that it awaits.
    pub slots: Slots,
    /// Where they come from.
    pub via: Via,
    /// A reply or push is being passed on in pieces: nothing may come between.
    pub mid_frame: bool,
    /// Why the next request waits, if it does.
    pub stall: Option<Stall>,
    /// The protocol version and database of the lane that it waited for, and why it
    /// cannot have it.
    pub lane_refusal: Option<(Proto, u32, LaneRefusal)>,
    /// What becomes of the connection.
    pub fate: Fate,
    /// The client has sent all that it will, and is ended when that has been answered.
    pub ends_after_input: bool,
    /// The protocol version that the client chose.
    pub proto: Proto,
    /// The database that the client selected.
    pub db: u32,
    /// Which of the gateway's databases is behind it.
    pub database: DatabaseId,
    /// The lane of its user, protocol version and database index.
    pub lane: LaneId,
    /// Its ways to the nodes of a cluster, or to replicas.
    pub routes: Routes,
    /// Since when it is not told what there is, because more is about to come.
    pub held_since: Option<Instant>,
    /// Since when it waits for a link of its own.
    pub pin_wanted_at: Option<Instant>,
    /// What it told about itself.
    pub about: About,
    /// It has been told of that AUTH named another user, and that AUTH was needless.
    pub auth_told: (bool, bool),
    /// Which replies it wants.
    pub reply_mode: ReplyMode,
    /// Which nodes answer what it reads, as its permit says.
    pub reads: ReadFrom,
    /// What it listens to over a link that others use as well.
    pub subscribed: Option<Box<Subscribed>>,
    /// Messages that wait for the end of what is being passed on in pieces.
    pub held: Vec<Bytes>,
    /// Its own link, and the state that lives there.
    pub pinned: Option<Box<Pinned>>,
    /// A shared link that its large replies have made its own.
    pub private: Option<LinkId>,
    /// A request that is passed on as it arrives.
    pub upload: Option<Upload>,
    /// When it connected.
    pub opened_at: Instant,
    /// When it last sent something.
    pub heard_at: Instant,
    /// When it last read something, or had nothing to read.
    pub read_at: Instant,
    /// When the request under way began, and how much of it had arrived, at the
    /// last look.
    pub partial: Option<(Instant, usize)>,
    /// Already on the list of clients to be woken.
    pub woken: bool,
    /// Already on the list of clients that may hold memory.
    pub is_laden: bool,
    /// Somebody else looks after the end of its certificate.
    pub may_outlive_certificate: bool,
    /// It is to be ended together with a reply, or when it is quiet.
    pub ends_soon: bool,
}

impl Session {
    /// A client that has just completed its handshake.
    #[must_use]
    pub fn new(
        permit: Permit,
        client_id: u64,
        addresses: (String, String),
        (database, lane): (DatabaseId, LaneId),
        now: Instant,
    ) -> Self {
        Self {
            reads: permit.user().read_from,
            permit,
            client_id,
            addresses,
            transport: None,
            input: BytesMut::new(),
            scan: RequestScanner::default(),
            records: Records::default(),
            out: Outbox::default(),
            slots: Slots::default(),
            via: Via::Nothing,
            mid_frame: false,
            stall: None,
            lane_refusal: None,
            fate: Fate::Open,
            ends_after_input: false,
            proto: Proto::Resp2,
            db: 0,
            database,
            lane,
            routes: Routes::default(),
            held_since: None,
            pin_wanted_at: None,
            about: About::default(),
            auth_told: (false, false),
            reply_mode: ReplyMode::On,
            subscribed: None,
            held: Vec::new(),
            pinned: None,
            private: None,
            upload: None,
            opened_at: now,
            heard_at: now,
            read_at: now,
            partial: None,
            woken: false,
            is_laden: false,
            may_outlive_certificate: false,
            ends_soon: false,
        }
    }

    /// Whether every earlier request has been answered, to the last byte.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.slots.is_empty() && !self.mid_frame
    }

    /// Whether it has replies to be told, and awaits others from several nodes.
    #[must_use]
    pub fn awaits_more(&self) -> bool {
        let has_some = !self.out.is_empty() && self.out.len() < SHARE_MIN;
        self.fate == Fate::Open && has_some && self.slots.is_bound()
    }

    /// Whether state lives in its pinned link, so that every command has to go there.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.pinned.as_ref().is_some_and(|pinned| pinned.is_bound())
    }

    /// The transaction on its own link, open or asked for.
    #[must_use]
    pub fn transaction(&self) -> Option<&Transaction> {
        self.pinned.as_ref()?.transaction.as_ref()
    }

    /// Whether Redis has yet to say whether a transaction is open.
    #[must_use]
    pub fn awaits_boundary(&self) -> bool {
        self.transaction().is_some_and(|transaction| transaction.awaits.is_some())
    }

    /// Whether it has keys watched or a transaction open.
    #[must_use]
    pub fn is_in_transaction(&self) -> bool {
        self.pinned.as_ref().is_some_and(|pinned| pinned.watching || pinned.transaction.is_some())
    }

    /// Whether what it waits for is its own link's, or part of a request that has
    /// begun to go there: it ends with the client.
    #[must_use]
    pub fn waits_on_its_own(&self) -> bool {
        self.is_bound() || matches!(self.via, Via::Pinned(_)) || self.upload.is_some()
    }

    /// Whether something is under way that may have to end before the next request: a reply in pieces,
    /// an answer on its own link that decides what follows, a subscription.
    #[must_use]
    pub fn has_something_open(&self) -> bool {
        self.mid_frame || self.awaits_what_follows() || self.subscribed.is_some()
    }

    /// Whether no request may be looked at: an answer on its own link decides what it is, or a push is
    /// being passed on in pieces, and no reply may come between.
    #[must_use]
    pub fn holds_requests(&self) -> bool {
        self.awaits_what_follows() || (self.mid_frame && self.slots.is_empty())
    }

    fn awaits_what_follows(&self) -> bool {
        self.pinned.as_ref().is_some_and(|pinned| pinned.awaits_stream || pinned.awaits_name)
    }

    /// Whether the next reply is to be dropped. Uses up a SKIP.
    pub fn take_mute(&mut self) -> bool {
        match self.reply_mode {
            ReplyMode::On => false,
            ReplyMode::Off => true,
            ReplyMode::Skip => {
                self.reply_mode = ReplyMode::On;
                true
            }
        }
    }

    /// Replies that the client has not read, those included that wait for others.
    #[must_use]
    pub fn unread_bytes(&self) -> usize {
        self.out.len() + self.slots.held_bytes() + self.held.iter().map(Bytes::len).sum::<usize>()
    }

    /// Memory that it makes the gateway hold, but for what waits on its own link.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let about = self.about.bytes();
        let about = if about > ABOUT_BYTES { about } else { 0 };
        let names = self.subscribed.as_ref().map_or(0, |subscribed| subscribed.bytes());
        let common = self.out.len() - self.out.held();
        let records = self.records.begun + self.records.unsent;
        let queued = self.transaction().map_or(0, Transaction::held_bytes);
        let unread = self.unread_bytes() + self.slots.kept_bytes() - common;
        // With its room: that is kept for what has been announced.
        self.input.capacity() + records + unread + about + names + queued
    }

    /// Whether something waits for its reading.
    #[must_use]
    pub fn is_to_read(&self) -> bool {
        !self.out.is_empty() || self.records.unsent > 0
    }

    /// Puts it on the list of those that may hold memory.
    pub fn lade(&mut self, id: SessionId, list: &mut Vec<SessionId>) {
        if !self.is_laden {
            self.is_laden = true;
            list.push(id);
        }
    }

    /// Gives the client this reply, after those it already awaits.
    pub fn answer(&mut self, reply: Vec<u8>) {
        if self.take_mute() {
            return;
        }
        if self.is_settled() {
            self.out.copy(&reply);
        } else {
            self.slots.push_local(Bytes::from(reply));
        }
    }

    /// Gives back the memory of buffers that are empty: most clients are idle most of the time.
    pub fn rest(&mut self) {
        self.out.rest();
        self.slots.rest();
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }

    /// Counts answered requests and lets out the local answers behind them.
    pub fn settled(&mut self, count: u32) {
        self.slots.complete(count);
        if !self.mid_frame {
            self.slots.release(&mut self.out);
        }
        if self.slots.is_empty() {
            self.via = Via::Nothing;
        }
    }

    /// Keeps the reply that was awaited until the push under way has ended.
    pub fn hold(&mut self, reply: Bytes) {
        self.slots.hold(reply);
    }

    /// The push that was passed on in pieces has ended: what waited for that goes on.
    pub fn push_ended(&mut self) {
        self.frame_ended();
        self.slots.release(&mut self.out);
        if self.slots.is_empty() {
            self.via = Via::Nothing;
        }
    }

    /// What it listens to, as far as the backend has confirmed it.
    #[must_use]
    pub fn subscriptions(&self) -> Subscriptions {
        match &self.subscribed {
            Some(subscribed) => subscribed.counts(),
            None => self.pinned.as_ref().map(|pinned| pinned.subscriptions).unwrap_or_default(),
        }
    }
}
