//! How a link comes to speak for its user, and what its lane learns by it.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use rand_chacha::rand_core::Rng;

use super::dialect::Dialect;
use super::{Loss, Worker};
use crate::identity::{Kept, Password};
use crate::upstream::{GreetError, Greeting, LinkId, Next, Phase, REPLY_BYTES_MAX};

impl Worker {
    /// The socket of a link is connected: the greeting begins.
    pub fn link_connected(&mut self, id: LinkId, now: Instant) {
        let token = self.token();
        let Some(link) = self.links.get_mut(id) else { return };
        let key = &self.lanes[link.lane].key;
        let Some(password) = key.credential.secret(&self.kept) else {
            return self.lose_link(id, Loss::NoPassword, now);
        };
        let (greeting, first) = Greeting::begin(key, password, token, self.nodes.of(key.node).role);
        link.phase = Phase::Greeting(greeting);
        link.out.copy(&first);
        link.progress_at = now;
        self.wake_link(id);
    }

    /// Bytes that nobody can guess, in hexadecimal.
    pub(super) fn token(&mut self) -> [u8; 32] {
        let mut raw = [0; 16];
        self.random.fill_bytes(&mut raw);
        let mut token = [0; 32];
        for (pair, byte) in token.chunks_exact_mut(2).zip(raw) {
            pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
            pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
        }
        token
    }

    /// These are the passwords that are kept, from now on. What has been greeted stays, and a lane
    /// whose password is among them no more goes on with the one that it had: by a reload another may
    /// have taken its place, which has to prove itself first.
    pub fn set_kept(&mut self, mut kept: Arc<Kept>, now: Instant) {
        for (_, lane) in &self.lanes {
            if let Password::Kept(keeping) = &lane.key.credential.password
                && !kept.contains_key(keeping)
                && let Some(last) = self.kept.get(keeping)
            {
                Arc::make_mut(&mut kept).insert(keeping.clone(), last.clone());
            }
        }
        let before = std::mem::replace(&mut self.kept, kept);
        for (_, lane) in &mut self.lanes {
            if lane.key.credential.secret(&before) != lane.key.credential.secret(&self.kept) {
                // What was refused is not what is tried next.
                lane.backoff.succeeded();
            }
        }
        for id in self.links.keys() {
            self.try_connect(id, now);
        }
        self.run_ready(now);
    }

    pub(super) fn greeting(&mut self, id: LinkId, input: &mut BytesMut, now: Instant) -> Result<(), Loss> {
        let Some(link) = self.links.get_mut(id) else { return Ok(()) };
        if !link.out.is_empty() {
            // It answers what it has not been told.
            return Err(Loss::Surplus);
        }
        let Some(len) = link.scan.scan(input).map_err(Loss::Unreadable)? else {
            return if input.len() > REPLY_BYTES_MAX { Err(Loss::OutOfStep) } else { Ok(()) };
        };
        if len < input.len() {
            return Err(Loss::Surplus);
        }
        let Phase::Greeting(greeting) = &mut link.phase else { return Ok(()) };
        let next = greeting.reply(&input[..len]).map_err(Loss::Greeting);
        let (of, has_role) = (link.lane, greeting.has_role());
        let node = self.lanes[of].key.node;
        // What answers, and is something else, is not what has been failing.
        if has_role {
            self.node_answered(node, now);
        }
        if matches!(next, Err(Loss::Greeting(GreetError::Select(_)))) {
            self.lane_answered(of);
        }
        let next = next?;
        let Some(link) = self.links.get_mut(id) else { return Ok(()) };
        input.advance(len);
        match next {
            Next::Send(bytes) => link.out.copy(&bytes),
            Next::Done { server, fences, id: backend_id } => {
                self.drop_answered(id, now);
                let Some(link) = self.links.get_mut(id) else { return Ok(()) };
                link.become_ready(now);
                link.backend_id = Some(backend_id);
                self.nodes.of(node).dialect = Some(Dialect::of(&server));
                self.note_fences(of, fences);
                let lane = &mut self.lanes[of];
                lane.learned.greeted(lane.server.as_ref() == Some(&server));
                lane.server = Some(server);
                self.ready.append(&mut lane.waiters);
                self.lane_answered(of);
                self.nodes.of(node).connecting_ended();
                self.ask_how_it_is(id, now);
                self.connect_next(node, now);
                self.succeeded(of);
            }
        }
        self.wake_link(id);
        Ok(())
    }
}
