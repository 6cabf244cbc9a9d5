//! Requests of a cluster's client that need a link of the session's own: it is at the node of their
//! slot, and the session with it.

use std::time::Instant;

use bytes::{Buf, BytesMut};

use super::super::input::Input;
use super::super::lanes::NOBODY;
use super::super::pins::Unplaced;
use super::super::requests::Flow;
use super::super::{Worker, ends::TOO_MANY_PINNED};
use super::flights::{DOWN, MOVING, Place};
use super::requests::CROSSED;
use crate::command::{Class, Placement, Verdict, Why};
use crate::resp::{Found, Request, RequestScanner, SHARE_MIN, write};
use crate::session::{Flight, Session, SessionId, Stall, To, Transaction, Via};
use crate::upstream::cluster::Redirect;
use crate::upstream::{Expect, LaneKey, LinkId, NodeId, Ticket};

/// The answer to a key of another node in a transaction that cannot go there any more.
const KEY_FIRST: &str = "ERR respgate: with a cluster a transaction is at the node of its first command: \
    begin it with one that has a key";

/// The answer to what would have to leave behind what the connection is bound by, now and whenever it is asked
/// for again.
const ELSEWHERE: &str = "ERR respgate: with a cluster a connection's subscriptions, watched keys, transactions \
    and blocking commands are at one node, and this is for another: use another connection";

impl Worker {
    /// Sends a request over the session's own link, at the node that is to answer it.
    pub(super) fn request_at_node<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        (to, class): (To, Class),
        now: Instant,
    ) -> Flow {
        let slot = match to {
            To::Slot(slot) => Some(slot),
            To::Node(_) | To::Any => None,
        };
        // A redirect that is still to come is about the slot that the link has been used for so far.
        let awaits_another = |session: &Session| {
            let own = session.pinned.as_ref().and_then(|pinned| pinned.slot);
            own.is_some() && own != slot && !session.is_settled()
        };
        if self.sessions.get(id).is_some_and(awaits_another) {
            return Flow::Wait(Stall::Barrier);
        }
        if let Err(flow) = self.go_to_node(id, input, request, (to, class)) {
            return flow;
        }
        let flow = self.request_pinned(id, input, request, class, now);
        if flow == Flow::Done
            && let Some(pinned) = self.sessions.get_mut(id).and_then(|session| session.pinned.as_mut())
        {
            pinned.slot = slot;
        }
        flow
    }

    /// A request that may take its time, and leaves nothing behind.
    pub(super) fn fly_pinned<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        (to, class): (To, Class),
        now: Instant,
    ) -> Flow {
        if let Err(flow) = self.go_to_node(id, input, request, (to, class)) {
            return flow;
        }
        let link = match self.pinned_link(id, now) {
            Ok(link) => link,
            Err(Unplaced::Stall(stall)) => return Flow::Wait(stall),
            Err(Unplaced::TooManyPinned) => return self.refuse_words(id, input, request, TOO_MANY_PINNED),
        };
        if class == Class::Pin(Why::Unknown) {
            self.ask_about(id, &input.bytes()[request.name.clone()], now);
        }
        let is_script = class == Class::Script;
        let flight = Flight { is_script, is_pinned: true, ..Flight::new(input.take(request.len), to) };
        let Some(session) = self.sessions.get_mut(id) else { return Flow::Done };
        let mute = session.take_mute();
        let place = (session.slots.push_flight(flight, mute), 0);
        self.tally.requests += 1;
        self.send_pinned_flight(id, link, place, now);
        Flow::Done
    }

    /// Has the session at the node that is to answer over its own link; or what becomes of the
    /// request instead.
    fn go_to_node<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        (to, class): (To, Class),
    ) -> Result<(), Flow> {
        let Some(node) = self.node_for_pin(id, to) else {
            let flow = self.refuse_words(id, input, request, DOWN);
            if matches!(class, Class::Transaction(_)) {
                // What follows a WATCH or MULTI must not run without it.
                self.end_client(id);
            }
            return Err(flow);
        };
        self.move_to_node(id, node).map_err(Flow::Wait)
    }

    fn send_pinned_flight(&mut self, id: SessionId, on: LinkId, (place, part): Place, now: Instant) {
        let (Some(session), Some(link)) = (self.sessions.get_mut(id), self.links.get_mut(on)) else { return };
        let Some(flight) = session.slots.flight(place, part) else { return };
        flight.at = Some(self.lanes[link.lane].key.node);
        link.claim(id, 1, Expect::Flown { place, part, patient: true }, now);
        link.append_kept(&flight.bytes);
        session.via = Via::Pinned(on);
        self.tally.pinned_requests += 1;
        self.wake_link(on);
    }

    /// Sends a flight again over the session's own link, which goes to this node for it. Only where
    /// nothing else is awaited from it.
    pub(super) fn send_pinned_again(
        &mut self,
        id: SessionId,
        at: Place,
        node: NodeId,
        asking: bool,
        now: Instant,
    ) {
        let is_alone = |session: &Session| session.slots.outstanding() == 1 && !session.is_bound();
        let alone = self.sessions.get(id).is_some_and(is_alone);
        let key = self.sessions.get(id).map(|session| &self.lanes[session.lane].key);
        let Some(key) = key.filter(|_| alone) else {
            return self.answer_flight(id, at, write::error(MOVING).into());
        };
        let lane = self.lane(LaneKey { node, ..key.clone() });
        self.move_session(id, lane);
        self.unpin(id);
        let on = self.pin(id, lane, now);
        if asking && let Some(link) = self.links.get_mut(on) {
            // It holds for the next command of the connection, which is this one.
            link.claim(NOBODY, 1, Expect::Ignored, now);
            link.append(&write::command(&[b"ASKING"]));
        }
        self.send_pinned_flight(id, on, at, now);
    }

    /// The node for a request over the session's own link: without a key it stays where that is.
    fn node_for_pin(&self, id: SessionId, to: To) -> Option<NodeId> {
        let session = self.sessions.get(id)?;
        let here = self.lanes[session.lane].key.node;
        match to {
            To::Any if session.pinned.is_some() && !self.is_node_failing(here) => Some(here),
            to => self.node_to(id, to),
        }
    }

    /// Has the session's own link at this node.
    pub(super) fn move_to_node(&mut self, id: SessionId, node: NodeId) -> Result<(), Stall> {
        let Some(session) = self.sessions.get(id) else { return Err(Stall::Barrier) };
        if session.via == Via::Nodes && !session.is_settled() {
            return Err(Stall::Barrier);
        }
        let key = &self.lanes[session.lane].key;
        if key.node != node {
            if !session.is_settled() {
                return Err(Stall::Barrier);
            }
            let lane = self.lane(LaneKey { node, ..key.clone() });
            self.move_session(id, lane);
        }
        Ok(())
    }

    /// A session that nothing holds leaves a node that does not answer.
    pub(super) fn leave_failing_node(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get(id) else { return };
        let here = self.lanes[session.lane].key.node;
        if !session.is_bound()
            && self.is_node_failing(here)
            && let Some(node) = self.any_master(id)
        {
            // If it has to wait for replies first, it stays.
            let _ = self.move_to_node(id, node);
        }
    }

    /// Where what stands behind a MULTI belongs: the first key of it that has arrived says so.
    pub(super) fn key_behind(&self, id: SessionId, input: &[u8], request: &Request) -> Option<To> {
        let mut rest = &input[request.len..];
        loop {
            let Ok(Found::Request(behind)) = RequestScanner::default().scan(rest, self.request_limits())
            else {
                return None;
            };
            if let Some(slot) = self.slot_of(id, rest, &behind) {
                return Some(To::Slot(slot));
            }
            if matches!(self.commands.name(rest, &behind), Some("exec" | "discard")) {
                return None;
            }
            rest = &rest[behind.len..];
        }
    }

    fn slot_of(&self, id: SessionId, input: &[u8], request: &Request) -> Option<u16> {
        match self.keys_of(id, input, request, Class::Pin(Why::Unknown)).place(input, request) {
            Placement::Slot(slot) => Some(slot),
            Placement::Anywhere | Placement::Crossed => None,
        }
    }

    /// The first key of a transaction says at which node it is. MULTI may have gone to another one: then
    /// it is begun again there, with what was queued since, and nobody has missed anything.
    pub(in super::super) fn place_transaction<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        verdict: Verdict,
        now: Instant,
    ) -> Result<(), Flow> {
        let Some(session) = self.sessions.get(id) else { return Ok(()) };
        if self.clusters.map(session.database).is_none() {
            return Ok(());
        }
        let Some(pinned) = session.pinned.as_ref() else { return Ok(()) };
        let Some(transaction) = pinned.transaction.as_ref() else { return Ok(()) };
        if transaction.is_placed && pinned.slot.is_some() {
            return Ok(());
        }
        let passes = matches!(verdict, Verdict::Pass(_));
        let slot = passes.then(|| self.slot_of(id, input.bytes(), request)).flatten();
        if slot.is_none() && may_be_queued_again(verdict) {
            return Ok(());
        }
        let node = slot.and_then(|slot| self.node_to(id, To::Slot(slot)));
        let here = self.lanes[session.lane].key.node;
        let free = !pinned.watching && !pinned.connection && pinned.subscriptions.total() == 0;
        let transaction = transaction.clone();
        if let Some(node) = node.filter(|node| *node != here) {
            if free && !transaction.is_placed {
                self.begin_again(id, node, &transaction, now)?;
            } else if pinned.slot.is_none() {
                let text = if free { KEY_FIRST } else { ELSEWHERE };
                return Err(self.spoil_transaction(id, input, request, text));
            }
        }
        if let Some(pinned) = self.sessions.get_mut(id).and_then(|session| session.pinned.as_mut()) {
            pinned.slot = pinned.slot.or(slot);
            pinned.transaction = Some(Transaction { is_placed: true, before_key: Vec::new(), ..transaction });
        }
        Ok(())
    }

    /// Begins a transaction again, at this node.
    fn begin_again(
        &mut self,
        id: SessionId,
        node: NodeId,
        transaction: &Transaction,
        now: Instant,
    ) -> Result<(), Flow> {
        if self.sessions.get(id).is_none_or(|session| !session.is_settled()) {
            return Err(Flow::Wait(Stall::Barrier));
        }
        self.unpin(id);
        self.move_to_node(id, node).map_err(Flow::Wait)?;
        let Some(lane) = self.sessions.get(id).map(|session| session.lane) else { return Ok(()) };
        let on = self.pin(id, lane, now);
        if let Some(link) = self.links.get_mut(on) {
            link.claim(NOBODY, 1, Expect::Nothing, now);
            link.append(&write::command(&[b"MULTI"]));
            for queued in &transaction.before_key {
                // The client knows what the other node has said of it.
                link.claim(NOBODY, 1, Expect::Ignored, now);
                link.append(queued);
            }
        }
        Ok(())
    }

    /// A request is about to be queued. Of a transaction that has no key yet it is kept, up to a bound:
    /// its first key may be of another node.
    pub(in super::super) fn keep_before_key(&mut self, id: SessionId, request: &[u8]) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if self.clusters.map(session.database).is_none() {
            return;
        }
        let transaction = session.pinned.as_mut().and_then(|pinned| pinned.transaction.as_mut());
        let Some(transaction) = transaction.filter(|it| !it.is_placed) else { return };
        if transaction.before_key_bytes() + request.len() <= SHARE_MIN {
            transaction.before_key.push(request.to_vec());
        } else {
            transaction.is_placed = true;
            transaction.before_key = Vec::new();
        }
    }

    /// A redirect on a session's own link names a node, which is not the client's to know. True if
    /// it was one: the client gets the gateway's words for it.
    pub(in super::super) fn hide_redirect(
        &mut self,
        id: SessionId,
        input: &mut BytesMut,
        len: usize,
    ) -> Option<usize> {
        let session = self.sessions.get(id)?;
        let database = session.database;
        let map = self.clusters.map(database)?;
        let redirect = Redirect::read(&input[..len])?;
        let own = session.pinned.as_ref().and_then(|pinned| pinned.slot);
        let here = self.lanes[session.lane].key.node;
        let text = match redirect {
            // As long as the map has it here, it may be on its way, or come back.
            Redirect::Moved(slot, _) | Redirect::Ask(slot, _)
                if map.node(slot) != Some(here) && self.stays(session) =>
            {
                ELSEWHERE
            }
            // It may be a script's: what all others go by is for the map to say.
            Redirect::Moved(slot, _) | Redirect::Ask(slot, _) if own.is_some_and(|own| own != slot) => {
                CROSSED
            }
            Redirect::Moved(..) | Redirect::Ask(..) => MOVING,
            Redirect::TryAgain | Redirect::Down => return None,
        };
        self.want_map(database);
        let mut line = BytesMut::from(&write::error(text)[..]);
        let hidden = line.len();
        input.advance(len);
        line.extend_from_slice(input);
        *input = line;
        Some(hidden)
    }

    /// Whether what a session's own link is answering goes there again when it is tried again. A transaction ends,
    /// and lets go of watched keys; and what is refused does not bind.
    fn stays(&self, session: &Session) -> bool {
        let Some(pinned) = session.pinned.as_ref() else { return false };
        let answered = self.links.get(pinned.link).and_then(|link| link.pending.front());
        let is_free = |ticket: &Ticket| matches!(ticket.expect, Expect::Watch | Expect::Exec(_));
        if pinned.transaction.is_some() || answered.is_some_and(is_free) {
            pinned.subscriptions.total() > 0
        } else {
            pinned.is_bound()
        }
    }
}

/// Whether a command that is queued at one node can as well be queued at another in its place.
fn may_be_queued_again(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Pass(Class::Share | Class::Script))
}
