//! What happens because time has passed.

use std::time::{Duration, Instant};

use super::{Closed, Loss, READ_AHEAD, Worker};
use crate::session::{Fate, Session, SessionId};
use crate::upstream::{Link, LinkId, LinkRole, Phase};

/// Sessions are looked at this often; there may be thousands.
const SWEEP: Duration = Duration::from_secs(1);

/// Above this much of a request under way, it must arrive at [`RATE_MIN`].
const RATE_FROM: usize = 64 * 1024;

/// Bytes a second.
const RATE_MIN: u64 = 1024;

impl Worker {
    /// Looks at every deadline; to be called a few times in each tenth of a second.
    /// `unix_now` is the wall clock in seconds, for certificates.
    pub fn tick(&mut self, now: Instant, unix_now: i64) {
        for (node, since) in self.nodes.failing() {
            self.try_node(node, since, now);
        }
        for id in self.links.keys() {
            self.tick_link(id, now);
        }
        self.tick_parked(now);
        self.tick_pins(now);
        self.tick_leaving(now);
        self.try_successions(now);
        self.tell_what_has_gone();
        self.ask_again(now);
        self.try_refused_lanes(now);
        self.hold_buffers_down();
        self.tick_peers(now);
        if self.swept_at.is_none_or(|at| now.saturating_duration_since(at) >= SWEEP) {
            self.swept_at = Some(now);
            self.watch_databases(now);
            debug_assert!(self.sessions.iter().all(|(_, it)| it.is_laden || self.held_for(it) == 0));
            for id in self.sessions.keys() {
                self.tick_session(id, now, unix_now);
            }
        } else if self.draining {
            for id in self.sessions.keys() {
                self.drain_client(id, now);
            }
        }
        self.run_ready(now);
    }

    /// The time of a [`Step::RouseAt`](super::Step::RouseAt) has come.
    pub fn roused(&mut self, now: Instant) {
        self.tick_parked_if_due(now);
        self.tick_cycles(now);
        self.tick_held(now);
        self.run_ready(now);
    }

    /// Closes the client that holds most until all together hold no more than may be. Only those
    /// are looked at that have been heard of since they held nothing: most are idle.
    fn hold_buffers_down(&mut self) {
        let mut laden = std::mem::take(&mut self.laden);
        let mut total = 0;
        laden.retain(|&id| {
            let Some(held) = self.sessions.get(id).map(|session| self.held_for(session)) else {
                return false;
            };
            let Some(session) = self.sessions.get_mut(id) else { return false };
            total += held;
            // What it awaits may have to wait for others, without it being woken.
            session.is_laden = held > 0 || !session.is_settled();
            session.is_laden
        });
        let share = self.share_of(self.limits.buffers_bytes(None));
        while total > share {
            let each = laden.iter().filter_map(|&id| Some((self.held_for(self.sessions.get(id)?), id)));
            let Some((held, id)) = each.max().filter(|&(held, _)| held > 0) else { break };
            // What was shared with others is theirs now.
            total = total.saturating_sub(held);
            self.close_client(id, Closed::BuffersFull);
        }
        self.laden.append(&mut laden);
        self.held_bytes = total;
    }

    /// Memory that a client makes the gateway hold, with requests that its own link has no room for. One that is
    /// closed gives it back in a moment.
    fn held_for(&self, session: &Session) -> usize {
        if session.fate == Fate::Dead {
            return 0;
        }
        session.held_bytes() + self.own_link(session).map_or(0, Link::backlog)
    }

    fn tick_link(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.links.get(id) else { return };
        match link.phase {
            _ if link.role == LinkRole::Spare => self.tick_spare(id, now),
            Phase::Ready => self.tick_ready_link(id, now),
            _ => self.tick_unconnected_link(id, now),
        }
    }

    fn tick_ready_link(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.links.get(id) else { return };
        let since = |at: Instant| now.saturating_duration_since(at);
        let ms = Duration::from_millis;
        let limits = &self.limits;
        if let LinkRole::Pinned(owner) = link.role {
            let awaits_nothing = link.pending.is_empty() && link.stream.is_none();
            let patient =
                awaits_nothing || self.sessions.get(owner).is_some_and(|owner| self.waits_patiently(owner));
            if !patient && !link.paused && since(link.progress_at) >= ms(limits.op_timeout_ms) {
                self.lose_link(id, Loss::OpTimeout, now);
            } else if since(link.used_at) >= ms(limits.link_idle_timeout_ms) && self.is_pin_idle(owner) {
                self.unpin(owner);
            }
            return;
        }
        let only_fences = link.pending.iter().all(|ticket| ticket.expect.is_proof());
        let patience = if only_fences { limits.probe_timeout_ms } else { limits.op_timeout_ms };
        if !link.pending.is_empty() && !link.paused && since(link.progress_at) >= ms(patience) {
            return self.lose_link(id, Loss::OpTimeout, now);
        }
        let serves = self.audiences.get(&id).is_some_and(|audience| !audience.is_empty());
        if link.pending.is_empty() && !serves && since(link.used_at) >= ms(limits.link_idle_timeout_ms) {
            self.remove_link(id);
            return;
        }
        if link.role == LinkRole::Shared && since(link.opened_at) >= ms(age_max(limits.link_age_max_ms, id)) {
            return self.retire_link(id);
        }
        let active = link.since_fence > 0 && since(link.fence_at) >= ms(limits.fence_ms);
        let idle = link.pending.is_empty() && since(link.progress_at) >= ms(limits.probe_interval_ms);
        if (active || idle) && !link.draining {
            self.send_fence(id, false, now);
            self.ask_how_it_is(id, now);
        }
        self.ask_role(id, now);
    }

    fn tick_session(&mut self, id: SessionId, now: Instant, unix_now: i64) {
        if self.draining || self.sessions.get(id).is_some_and(|session| session.ends_soon) {
            self.drain_client(id, now);
        }
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.fate == Fate::Dead {
            return;
        }
        if !session.is_to_read() {
            session.read_at = now;
        }
        if now.saturating_duration_since(session.heard_at) >= SWEEP {
            session.rest();
        }
        if session.input.len() >= READ_AHEAD {
            // It may have begun to wait since it was last read.
            self.wake_client(id);
        }
        let Some(session) = self.sessions.get(id) else { return };
        let since = |at: Instant| now.saturating_duration_since(at);
        let past = |at: Instant, ms: u64| ms > 0 && since(at) >= Duration::from_millis(ms);
        let limits = &self.limits;
        let outlived = session.permit.certificate().is_some_and(|shown| shown.not_after() < unix_now);
        let why = if outlived && !session.may_outlive_certificate {
            Some(Closed::CertificateExpired)
        } else if past(session.opened_at, limits.session_age_max_ms) {
            Some(Closed::Age)
        } else if session.is_settled()
            && !session.is_bound()
            && session.subscribed.is_none()
            && past(session.heard_at, limits.client_idle_timeout_ms)
        {
            Some(Closed::Idle)
        } else if session.is_settled()
            && session.stall.is_none()
            && session.out.is_empty()
            && session.is_in_transaction()
            && past(session.heard_at, limits.transaction_idle_timeout_ms)
        {
            Some(Closed::TransactionIdle)
        } else if (session.is_to_read() && past(session.read_at, limits.client_output_stall_timeout_ms))
            || self.holds_others_up(id, now)
        {
            Some(Closed::OutputStalled)
        } else if self.request_has_stalled(id, now) {
            Some(Closed::RequestStalled)
        } else {
            None
        };
        if let Some(why) = why {
            self.close_client(id, why);
        }
    }

    /// A slow reader of a very large reply, with requests of others behind it.
    fn holds_others_up(&self, id: SessionId, now: Instant) -> bool {
        let Some(session) = self.sessions.get(id) else { return false };
        let limit = Duration::from_millis(self.limits.large_reply_stall_timeout_ms);
        session.private.and_then(|link| self.links.get(link)).is_some_and(|link| {
            link.paused
                && link.pending.iter().any(|ticket| ticket.session != id)
                && now.saturating_duration_since(session.read_at) >= limit
        })
    }

    /// A request under way that makes no progress, or too little.
    fn request_has_stalled(&mut self, id: SessionId, now: Instant) -> bool {
        let Some(session) = self.sessions.get_mut(id) else { return false };
        let has_begun = !session.input.is_empty() || session.upload.is_some() || session.records.begun > 0;
        let under_way = session.stall.is_none() && has_begun && !session.ends_after_input;
        if !under_way {
            session.partial = None;
            return false;
        }
        let held = session.input.len();
        let (since, then) = *session.partial.get_or_insert((now, held));
        let waited = now.saturating_duration_since(since);
        let silent = now.saturating_duration_since(session.heard_at);
        if silent >= Duration::from_millis(self.limits.request_stall_timeout_ms) {
            return true;
        }
        let due = RATE_MIN * waited.as_secs();
        waited.as_secs() > 10 && held > RATE_FROM && ((held - then.min(held)) as u64) < due
    }
}

/// The age at which a shared link is replaced: within a tenth of the limit, by its
/// slot, so that links opened together do not all close together.
fn age_max(limit_ms: u64, id: LinkId) -> u64 {
    let spread = u64::from(id.index.wrapping_mul(2_654_435_761) >> 16) % 201;
    limit_ms / 1000 * (900 + spread)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests need some instant to count from")]

    use std::sync::Arc;

    use super::super::Seed;
    use super::*;
    use crate::identity::Credential;
    use crate::limits::Limits;
    use crate::resp::Proto;
    use crate::secret::Secret;
    use crate::upstream::{Expect, LaneKey, Link, NodeId};

    /// How often the node of a link is asked how it is in two seconds, after one request.
    fn pulses(fences: bool) -> usize {
        let limits = Limits { fence_ms: 1000, ..Limits::default() };
        let mut worker = Worker::new(Arc::new(limits), &Seed { random: [1; 32], number: 0, workers: 1 });
        let mut now = Instant::now();
        let credential = Arc::new(Credential::new("app", Secret::new(b"pass".to_vec())));
        let lane = worker.lane(LaneKey { node: NodeId(0), credential, proto: Proto::Resp2, db: 0 });
        worker.lanes[lane].links = 1;
        worker.lanes[lane].fences = fences;
        let mut link = Link::new(lane, LinkRole::Shared, 1, now);
        link.phase = Phase::Ready;
        link.since_fence = 1;
        let id = worker.links.insert(link);
        for _ in 0..40 {
            now += Duration::from_millis(50);
            worker.tick(now, 0);
        }
        let link = worker.links.get(id).expect("a link");
        link.pending.iter().filter(|ticket| ticket.expect == Expect::Pulse).count()
    }

    #[test]
    fn a_node_is_asked_once_after_a_request_also_where_the_user_may_not_echo() {
        assert_eq!([true, false].map(pulses), [1, 1]);
    }
}
