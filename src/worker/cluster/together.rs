//! Requests of one client that go to the nodes of their hash slots together, and replies that one client
//! gets from a node together: each by itself, with nothing looked at twice that is the same for all of them.

use std::time::Instant;

use bytes::{Buf, BytesMut};

use super::super::input::Input;
use super::super::{Closed, Step, Worker};
use super::flights::Place;
use crate::limits::Limits;
use crate::resp::{Request, SHARE_MIN, SmallBytes};
use crate::session::{Fate, Flight, SessionId, To, Via};
use crate::upstream::{Expect, Link, LinkId, Ticket};

impl Worker {
    /// Sends whole requests from the front of the input, up to the first that has something about it
    /// or its way to be found out: a command that is not shared, or one without a single slot; a node
    /// or a link that the session has not come to yet; a link that is full, or has a fence due. How many.
    ///
    /// The caller knows that the session is bound to no link and wants every reply.
    pub(in super::super) fn fly_together<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        now: Instant,
    ) -> usize {
        if self.may_fly(id).is_err() {
            return 0;
        }
        let limits = self.request_limits();
        let Some(session) = self.sessions.get_mut(id) else { return 0 };
        let Some(map) = self.clusters.map(session.database) else { return 0 };
        let most = self.limits.client_in_flight_max.saturating_sub(session.slots.outstanding());
        let len_max = self.limits.shared_request_bytes_max.min(SHARE_MIN);
        let mut count = 0;
        while count < most && session.slots.kept_bytes() <= self.limits.link_queue_bytes_max {
            let unread = input.bytes();
            let Some(request) = Request::whole(unread, limits).filter(|it| it.len < len_max) else { break };
            let Some(slot) = self.commands.shared_slot(unread, &request) else { break };
            let way = map.node(slot).and_then(|node| session.routes.ways.iter().find(|it| it.node == node));
            let Some((node, on)) = way.and_then(|way| Some((way.node, way.link?))) else { break };
            let Some(link) = self.links.get_mut(on).filter(|it| takes_at_once(it, id, &self.limits)) else {
                break;
            };
            let bytes = &unread[..request.len];
            let flight = Flight { at: Some(node), ..Flight::new(SmallBytes::copy(bytes), To::Slot(slot)) };
            let is_lone = session.slots.is_empty();
            let place = session.slots.push_flight(flight, false);
            link.claim_flown(id, (place, session.database), is_lone, now);
            link.append(bytes);
            link.since_fence += 1;
            if !std::mem::replace(&mut link.woken, true) {
                self.steps.push(Step::WakeLink(on));
            }
            input.skip(request.len);
            count += 1;
        }
        if count > 0 {
            session.via = Via::Nodes;
            session.slots.bind();
            self.tally.requests += count as u64;
        }
        count
    }

    /// Whether a session takes replies to its flights with nothing else to be done.
    pub(in super::super) fn lands_at_once(&self, id: SessionId) -> bool {
        let session = self.sessions.get(id).filter(|session| session.fate != Fate::Dead);
        session.is_some_and(|session| !session.mid_frame && !session.slots.has_astray())
    }

    /// Gives a session the replies at the front of a link's input, as far as they are plain ones to its
    /// flights. The first is to this one, and so long.
    ///
    /// The caller knows that it is plain and short, and that it lands at once.
    pub(in super::super) fn land_together(
        &mut self,
        on: LinkId,
        (id, mut at): (SessionId, Place),
        input: &mut BytesMut,
        mut len: usize,
        now: Instant,
    ) {
        let (Some(link), Some(session)) = (self.links.get_mut(on), self.sessions.get_mut(id)) else { return };
        if session.out.is_empty() {
            session.read_at = now;
        }
        let mut read = 0;
        loop {
            session.slots.land(at.0, at.1, &input[read..read + len], &mut session.out);
            link.settle(1);
            read += len;
            let is_plain = input.get(read).is_some_and(|first| !matches!(first, b'-' | b'>'));
            let Some(next) = link.pending.front().and_then(|it| place_of(it, id)).filter(|_| is_plain) else {
                break;
            };
            // The caller scans anew what is none of this, and finds the same.
            match link.scan.scan(&input[read..]) {
                Ok(Some(short)) if short < SHARE_MIN => (at, len) = (next, short),
                _ => break,
            }
        }
        input.advance(read);
        session.settled(0);
        session.lade(id, &mut self.laden);
        if session.stall.is_some() {
            self.ready.push(id);
        }
        if session.unread_bytes() > self.limits.client_output_hard_bytes {
            self.close_client(id, Closed::OutputLimit);
        } else if (session.fate == Fate::Ending || !session.out.is_empty())
            && !self.client_awaits_more(id, now)
        {
            self.wake_client(id);
        }
    }
}

/// Which of this session's flights a ticket is for, if it is.
fn place_of(ticket: &Ticket, id: SessionId) -> Option<Place> {
    match ticket.expect {
        Expect::Flown { place, part, .. } if ticket.session == id => Some((place, part)),
        _ => None,
    }
}

/// Whether a link takes a request of this session now, with nothing else to be done.
fn takes_at_once(link: &Link, session: SessionId, limits: &Limits) -> bool {
    link.is_ready()
        && link.may_share(session)
        && link.has_room(limits)
        && link.since_fence + 1 < limits.fence_commands
}
