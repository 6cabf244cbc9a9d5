//! Requests that are kept until they are answered: how they are sent, and what becomes of a node's
//! answer. A redirect is followed, within bounds and only to nodes of the map.

use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};

use super::super::ends::{NOT_SENT, OUTCOME_UNKNOWN};
use super::super::input::Input;
use super::super::lanes::NOBODY;
use super::super::requests::Flow;
use super::super::{Closed, Loss, Report, Step, Worker};
use super::parked::Awaits;
use crate::resp::{SHARE_MIN, SmallBytes, write};
use crate::session::{Fate, Flight, Joined, SessionId, Split, Stall, To, Via};
use crate::upstream::cluster::Redirect;
use crate::upstream::{Expect, LinkId, LinkRole, NodeId, Ticket};

/// Redirects that one request follows.
const HOPS_MAX: u8 = 5;

/// Times that a request is tried again because its keys are under way between two nodes.
const TRIES_MAX: u8 = 3;

/// How long it waits before that.
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// The answer to a request whose slot nobody serves whom the map knows.
pub(super) const DOWN: &str = "CLUSTERDOWN respgate: the hash slot is not served, command not run";

/// The answer to a request that was sent from node to node without an end.
pub(super) const MOVING: &str =
    "TRYAGAIN respgate: the hash slot is on its way between nodes, command not run";

/// Where in the order of its session's replies a flight belongs, and which part of its request it is.
pub(super) type Place = (u64, u32);

impl Worker {
    /// Sends one request to whoever is to answer it.
    pub(super) fn fly<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        bytes: usize,
        (to, is_script): (To, bool),
        now: Instant,
    ) -> Flow {
        if let Err(stall) = self.may_fly(id) {
            return Flow::Wait(stall);
        }
        let lane = self.node_to(id, to).and_then(|node| self.lane_at(id, node));
        let link =
            match lane.map(|lane| self.link_in(id, lane, now).and_then(|link| self.reserve_room(id, link))) {
                Some(Ok(link)) => Some(link),
                Some(Err(stall)) => return Flow::Wait(stall),
                None => None,
            };
        let flight = Flight { is_script, ..Flight::new(input.take(bytes), to) };
        let Some(session) = self.sessions.get_mut(id) else { return Flow::Done };
        let mute = session.take_mute();
        let place = (session.slots.push_flight(flight, mute), 0);
        session.via = Via::Nodes;
        self.tally.requests += 1;
        match link {
            Some(link) => self.send_flight(id, link, place, now),
            None => self.park(id, place, now, Awaits::Map(self.clusters.maps_seen)),
        }
        Flow::Done
    }

    /// Whether a request for all of these may be sent now. A link that has room takes its parts, however
    /// many there are: all of a large request may be more than it ever has room for.
    pub(super) fn may_fly_to(
        &mut self,
        id: SessionId,
        targets: impl Iterator<Item = To>,
        now: Instant,
    ) -> Result<(), Stall> {
        self.may_fly(id)?;
        let mut seen = Vec::new();
        for to in targets {
            let Some(node) = self.node_to(id, to).filter(|node| !seen.contains(node)) else { continue };
            seen.push(node);
            let Some(lane) = self.lane_at(id, node) else { continue };
            let link = self.link_in(id, lane, now)?;
            self.reserve_room(id, link)?;
        }
        Ok(())
    }

    /// Sends the parts of one request, each to whoever is to answer it. The caller has asked `may_fly_to`.
    pub(super) fn fly_split(&mut self, id: SessionId, flights: Vec<Flight>, joined: Joined, now: Instant) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let mute = session.take_mute();
        let parts: Vec<(To, bool)> = flights.iter().map(|flight| (flight.to, flight.is_control)).collect();
        let place = session.slots.push_split(Split::new(flights, joined), mute);
        for (part, (to, is_control)) in (0..).zip(&parts) {
            // What is about all keys, or all scripts, must not be overtaken either.
            if matches!(to, To::Node(_)) && !is_control {
                session.slots.stray(place, part);
            }
        }
        session.via = Via::Nodes;
        self.tally.requests += 1;
        for (part, (to, is_control)) in (0..).zip(parts) {
            match self.node_to(id, to).and_then(|node| self.link_at(id, node, is_control, now)) {
                Some(link) => self.send_flight(id, link, (place, part), now),
                None => self.park(id, (place, part), now, Awaits::Map(self.clusters.maps_seen)),
            }
        }
    }

    /// The link for what does not wait for room, or does so no more.
    fn link_at(&mut self, id: SessionId, node: NodeId, is_control: bool, now: Instant) -> Option<LinkId> {
        let lane = self.lane_at(id, node)?;
        if is_control {
            return Some(self.control_link_in(lane, now));
        }
        Some(match self.link_in(id, lane, now) {
            Ok(link) => link,
            Err(_) => self.pick_shared_in(id, lane, now),
        })
    }

    fn send_flight(&mut self, id: SessionId, on: LinkId, (place, part): Place, now: Instant) {
        let Some(link) = self.links.get_mut(on) else { return };
        let flight = self.sessions.get_mut(id).and_then(|session| session.slots.flight(place, part));
        let Some(flight) = flight else { return };
        flight.at = Some(self.lanes[link.lane].key.node);
        let is_script = flight.is_script;
        link.claim(id, 1, Expect::Flown { place, part, patient: false }, now);
        link.append_kept(&flight.bytes);
        link.since_fence += 1;
        if is_script {
            self.send_fence(on, true, now);
        } else if link.since_fence >= self.limits.fence_commands && link.is_ready() {
            self.send_fence(on, false, now);
        }
        self.wake_link(on);
    }

    /// A link is about to be written to for the first time. What waits there to stop something, and whose client
    /// has its answer from another node or has left, would stop what somebody has begun since: it is not sent.
    pub(in super::super) fn drop_answered(&mut self, on: LinkId, now: Instant) {
        let Some(link) = self.links.get_mut(on).filter(|link| link.role == LinkRole::Control) else { return };
        if !link.pending.iter().all(|ticket| matches!(ticket.expect, Expect::Flown { .. })) {
            return;
        }
        for Ticket { session, expect, .. } in link.shed().pending {
            let Expect::Flown { place, part, .. } = expect else { continue };
            let flight = self.sessions.get_mut(session).and_then(|session| session.slots.flight(place, part));
            if let Some(flight) = flight {
                link.claim(session, 1, expect, now);
                link.append_kept(&flight.bytes);
            }
        }
    }

    /// Sends a flight again. It counts as one that others must not overtake until it is answered.
    pub(super) fn send_again(&mut self, id: SessionId, at: Place, node: NodeId, asking: bool, now: Instant) {
        let flight = self.sessions.get_mut(id).and_then(|session| session.slots.flight(at.0, at.1));
        let Some(flight) = flight else { return };
        if flight.is_pinned {
            return self.send_pinned_again(id, at, node, asking, now);
        }
        let is_control = flight.is_control;
        let Some(on) = self.link_at(id, node, is_control, now) else { return };
        if asking && let Some(link) = self.links.get_mut(on) {
            // It holds for the next command of the connection, which is this one.
            link.claim(NOBODY, 1, Expect::Ignored, now);
            link.append(&write::command(&[b"ASKING"]));
        }
        self.send_flight(id, on, at, now);
    }

    /// A node has answered a flight.
    pub(in super::super) fn landed(
        &mut self,
        on: LinkId,
        id: SessionId,
        at: Place,
        input: &mut BytesMut,
        len: usize,
        now: Instant,
    ) {
        let Some(session) = self.sessions.get_mut(id).filter(|session| session.fate != Fate::Dead) else {
            return input.advance(len);
        };
        let next = session.slots.is_next(at.0) && !session.mid_frame;
        if input[0] == b'-'
            && let Some(redirect) = Redirect::read(&input[..len])
            && session.slots.flight(at.0, at.1).is_some_and(|flight| may_be_of_node(flight, &redirect))
        {
            input.advance(len);
            if let Err(text) = self.redirected(on, id, at, redirect, now) {
                self.answer_flight(id, at, write::error(text).into());
            }
            return;
        }
        if next {
            self.give(id, input, len, true, now);
            self.settle_session(id, 1);
            return;
        }
        if session.slots.has_astray() {
            self.refuse_overtaken(id, at);
        }
        let reply = if len < SHARE_MIN {
            let reply = SmallBytes::copy(&input[..len]);
            input.advance(len);
            reply
        } else {
            input.split_to(len).freeze().into()
        };
        self.answer_flight(id, at, reply);
    }

    /// Whether the reply that has begun to come may be passed on in pieces: not before its turn.
    pub(in super::super) fn flight_may_stream(&self, id: SessionId, place: u64) -> bool {
        let session = self.sessions.get(id).filter(|session| session.fate != Fate::Dead);
        session.is_none_or(|session| session.slots.is_next(place) && !session.mid_frame)
    }

    /// A reply that has not come to its end waits for its turn, up to what a client may have unread.
    pub(in super::super) fn hold_part(&mut self, id: SessionId, held: usize) -> Result<(), Loss> {
        let unread = self.sessions.get(id).map_or(0, |session| session.unread_bytes());
        if unread + held > self.limits.client_output_hard_bytes {
            self.close_client(id, Closed::OutputLimit);
        }
        Ok(())
    }

    /// Gives a flight its reply, which the client gets in its turn.
    pub(super) fn answer_flight(&mut self, id: SessionId, (place, part): Place, reply: SmallBytes) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.slots.arrived(place, part, reply);
        session.settled(0);
        if session.stall.is_some() {
            self.ready.push(id);
        }
        if session.unread_bytes() > self.limits.client_output_hard_bytes {
            self.close_client(id, Closed::OutputLimit);
        }
        self.wake_client(id);
    }

    /// A node has not run a request, and says why. An error is the client's answer.
    fn redirected(
        &mut self,
        on: LinkId,
        id: SessionId,
        at: Place,
        redirect: Redirect,
        now: Instant,
    ) -> Result<(), &'static str> {
        let (Some(from), Some(session)) = (self.link_node(on), self.sessions.get_mut(id)) else {
            return Ok(());
        };
        let database = session.database;
        let Some(flight) = session.slots.flight(at.0, at.1) else { return Ok(()) };
        if flight.until.is_some_and(|until| until <= now) {
            // It has waited for as long as it may, and was tried once more.
            return Err(if redirect == Redirect::Down { DOWN } else { MOVING });
        }
        // What waits where it is goes nowhere.
        flight.hops += u8::from(matches!(redirect, Redirect::Moved(..) | Redirect::Ask(..)));
        if flight.hops > HOPS_MAX || matches!(flight.to, To::Node(_)) {
            return Err(MOVING);
        }
        // A script, or a command that nobody knows, can say whatever it likes: what all others go by is
        // then for the map to say, and nothing for the log.
        let is_said_by_node = !flight.is_script && !flight.is_pinned;
        let slot = match flight.to {
            To::Slot(slot) => Some(slot),
            To::Node(_) | To::Any => None,
        };
        let (to, asking, told) = match redirect {
            Redirect::TryAgain => {
                flight.tries += 1;
                if flight.tries > TRIES_MAX {
                    return Err(MOVING);
                }
                self.park(id, at, now + TRY_AGAIN, Awaits::Turn);
                self.rouse_parked_at(now + TRY_AGAIN, now);
                return Ok(());
            }
            Redirect::Down => {
                // It is asked again and again until its time to wait is over.
                self.park(id, at, now + TRY_AGAIN * 10, Awaits::Service);
                return Ok(());
            }
            Redirect::Moved(told, to) => (to, false, told),
            Redirect::Ask(told, to) => (to, true, told),
        };
        let target = self.clusters.map(database).and_then(|map| map.target(from, &to));
        self.want_map(database);
        let Some(target) = target else {
            if is_said_by_node {
                self.steps.push(Step::Report(Report::RedirectRefused { node: from, to: to.to_string() }));
            }
            self.park(id, at, now, Awaits::Map(self.clusters.maps_seen));
            return Ok(());
        };
        if slot.is_none_or(|slot| slot == told) {
            // A command whose keys nobody could tell is where the node says that it belongs.
            if let Some(session) = self.sessions.get_mut(id) {
                session.slots.aim(at.0, at.1, told);
            }
        }
        if !asking && is_said_by_node {
            self.clusters.moved(database, told, target);
        }
        let Some(session) = self.sessions.get_mut(id) else { return Ok(()) };
        if !session.slots.lets_by(at.0, at.1, target) {
            self.park(id, at, now, Awaits::Turn);
            return Ok(());
        }
        session.slots.stray(at.0, at.1);
        self.send_again(id, at, target, asking, now);
        Ok(())
    }

    /// A flight's link is gone. What has not been written goes another way, as far as there is one.
    pub(in super::super) fn flight_failed(
        &mut self,
        id: SessionId,
        at: Place,
        (was_sent, may_wait): (bool, bool),
        now: Instant,
    ) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let database = session.database;
        let Some(flight) = session.slots.flight(at.0, at.1) else { return };
        let is_over = flight.until.is_some_and(|until| until <= now);
        if may_wait {
            self.want_map(database);
        }
        if !was_sent && may_wait && !is_over {
            return self.park(id, at, now, Awaits::Turn);
        }
        let text = if was_sent {
            self.tally.outcome_unknown += 1;
            OUTCOME_UNKNOWN
        } else {
            self.tally.not_sent += 1;
            NOT_SENT
        };
        self.answer_flight(id, at, write::error(text).into());
    }
}

/// Whether a node can have said this of a request. A script can say whatever it likes, and has run
/// then; but a node names the slot of its keys, and has nothing to say where there are none.
fn may_be_of_node(flight: &Flight, redirect: &Redirect) -> bool {
    match (flight.to, redirect) {
        _ if !flight.is_script => true,
        (To::Slot(slot), Redirect::Moved(told, _) | Redirect::Ask(told, _)) => slot == *told,
        (To::Slot(_), Redirect::TryAgain | Redirect::Down) => true,
        (To::Node(_) | To::Any, _) => false,
    }
}
