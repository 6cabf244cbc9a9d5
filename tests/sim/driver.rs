//! The tasks of clients and links, as `io` has them: each acts when it is woken, or
//! when a socket that it waits for has become ready, and not otherwise, so that a
//! wake that the worker forgets is silence here as well.

use respgate::session::Fate;
use respgate::upstream::LinkId;
use respgate::worker::Loss;

use super::client::Client;
use super::frame::show;
use super::world::{Wire, World};

/// A task that goes round more often than this spins.
const ROUNDS_MAX: usize = 10_000;

impl World {
    /// One poll of a client's task.
    pub(crate) fn poll_client(&mut self, number: usize) {
        self.clients[number].runnable = false;
        for _ in 0..ROUNDS_MAX {
            let id = self.clients[number].session;
            let wrote = self.write_client(number);
            if self.clients[number].ended {
                return;
            }
            match self.worker.client_fate(id) {
                Fate::Dead => return self.end_client(number, "dead"),
                Fate::Ending if !wrote => {
                    if self.worker.client_output(id).is_none_or(|out| out.is_empty()) {
                        return self.end_client(number, "ended");
                    }
                }
                Fate::Ending | Fate::Open => {}
            }
            let read = self.worker.client_wants_read(id) && self.read_client(number);
            if self.clients[number].ended || (!wrote && !read) {
                return;
            }
        }
        panic!("the task of client {number} spins");
    }

    fn write_client(&mut self, number: usize) -> bool {
        let mut any = false;
        loop {
            let client = &mut self.clients[number];
            let Some(out) = self.worker.client_output(client.session) else { return any };
            let bound = self.limits.client_output_hard_bytes + 70_000 + self.limits.large_reply_bytes;
            assert!(out.len() <= bound, "client {number} has {} bytes of output", out.len());
            let free = client.out_cap.saturating_sub(client.outbound.len());
            if out.is_empty() {
                return any;
            }
            if client.reset {
                self.end_client(number, "reset");
                return any;
            }
            if free == 0 {
                client.write_armed = true;
                return any;
            }
            let front = out.front();
            let count = self.dice.chunk(front.len().min(free));
            client.outbound.extend_from_slice(&front[..count]);
            self.worker.client_wrote(client.session, count, self.now);
            self.pump();
            any = true;
        }
    }

    /// False when there is nothing to read.
    fn read_client(&mut self, number: usize) -> bool {
        let client = &mut self.clients[number];
        if client.reset {
            self.end_client(number, "reset");
            return false;
        }
        if client.inbound.is_empty() {
            if client.fin {
                self.worker.client_eof(client.session, self.now);
                self.pump();
                return true;
            }
            client.read_armed = true;
            return false;
        }
        let count = self.dice.chunk(client.inbound.len());
        let bytes: Vec<u8> = client.inbound.drain(..count).collect();
        if self.trace {
            eprintln!("{:>6} client {number} sends {}", self.at, show(&bytes));
        }
        match self.worker.client_buffer(client.session) {
            Some(buffer) => {
                buffer.extend_from_slice(&bytes);
                self.worker.client_filled(client.session, count, self.now);
            }
            None => self.worker.client_input(client.session, &bytes, self.now),
        }
        self.pump();
        true
    }

    fn end_client(&mut self, number: usize, why: &str) {
        let client = &mut self.clients[number];
        client.ended = true;
        let excused =
            client.excused || client.reset || client.fin || self.draining || self.limits.pinned_links_max > 0;
        let (session, asked) = (client.session, client.asked.len());
        self.trace(|| format!("client {number} is closed ({why}), {asked} unanswered"));
        assert!(excused, "client {number} was closed, and nothing had happened to it");
        self.worker.client_gone(session, self.now);
        self.sessions.remove(&session);
        self.pump();
    }

    /// One poll of a link's task.
    pub(crate) fn poll_link(&mut self, id: LinkId) {
        self.wires.get_mut(&id).expect("polled while there").runnable = false;
        self.worker.link_resumed(id, self.now);
        self.pump();
        for _ in 0..ROUNDS_MAX {
            let Some(wants_read) = self.worker.link_wants_read(id) else {
                self.trace(|| format!("{id:?} is let go"));
                return self.drop_wire(id);
            };
            if !self.wires[&id].connected {
                return;
            }
            let Ok(wrote) = self.write_link(id) else {
                return self.lose(id, Loss::Io("broken pipe".into()));
            };
            if self.worker.link_wants_read(id).is_none() {
                continue;
            }
            if self.worker.link_rests(id) {
                self.wires.get_mut(&id).expect("polled while there").runnable = true;
                return;
            }
            let read = wants_read && self.read_link(id);
            let wire = &self.wires[&id];
            if wants_read && wire.eof && wire.from_backend.is_empty() && !read {
                return self.lose(id, Loss::Closed);
            }
            if !wrote && !read {
                return;
            }
        }
        panic!("the task of {id:?} spins");
    }

    fn write_link(&mut self, id: LinkId) -> Result<bool, ()> {
        let mut any = false;
        loop {
            let wire = self.wires.get_mut(&id).expect("polled while there");
            let Some(out) = self.worker.link_output(id) else { return Ok(any) };
            let free = 100_000_usize.saturating_sub(wire.to_backend.len());
            if out.is_empty() {
                return Ok(any);
            }
            if wire.eof && self.dice.one_in(2) {
                return Err(());
            }
            if free == 0 {
                wire.write_armed = true;
                return Ok(any);
            }
            let front = out.front();
            let count = self.dice.chunk(front.len().min(free));
            let conn = &self.redis.conns[&wire.conn];
            if !wire.eof && !conn.is_greeted() && !conn.tainted {
                let read = wire.from_backend.is_empty() && conn.output.is_empty();
                assert!(read, "{:?} is written before the greeting's last reply was read", show(front));
            }
            if !wire.eof {
                wire.to_backend.extend_from_slice(&front[..count]);
            }
            self.worker.link_wrote(id, count, self.now);
            self.pump();
            any = true;
        }
    }

    fn read_link(&mut self, id: LinkId) -> bool {
        let wire = self.wires.get_mut(&id).expect("polled while there");
        if wire.from_backend.is_empty() {
            wire.read_armed = true;
            return false;
        }
        let count = self.dice.chunk(wire.from_backend.len().min(70_000));
        let Some(buffer) = self.worker.link_buffer(id) else { return false };
        buffer.extend_from_slice(&wire.from_backend[..count]);
        wire.from_backend.drain(..count);
        self.worker.link_filled(id, self.now);
        self.pump();
        true
    }

    pub(crate) fn lose(&mut self, id: LinkId, loss: Loss) {
        self.worker.link_lost(id, loss, self.now);
        self.pump();
        self.drop_wire(id);
    }

    /// The gateway has closed its end; the backend may still run what had arrived.
    pub(crate) fn drop_wire(&mut self, id: LinkId) {
        let Some(mut wire) = self.wires.remove(&id) else { return };
        self.cut_backend(&mut wire);
    }

    /// The backend's end of a connection that is over.
    pub(crate) fn cut_backend(&mut self, wire: &mut Wire) {
        let Some(conn) = self.redis.conns.get_mut(&wire.conn) else { return };
        if conn.dead {
            return;
        }
        conn.dead = true;
        let arrived = self.dice.below(wire.to_backend.len() + 1);
        conn.input.extend(wire.to_backend.drain(..).take(arrived));
        if wire.hung {
            conn.input.clear();
        }
        self.redis.process(wire.conn, self.now);
    }

    /// Everything that can run, does; in an order that the dice choose.
    pub(crate) fn poll_one(&mut self) -> bool {
        let ready = |client: &Client| {
            let readable = client.read_armed && (!client.inbound.is_empty() || client.fin || client.reset);
            let writable = client.write_armed && (client.outbound.len() < client.out_cap || client.reset);
            !client.ended && (client.runnable || readable || writable)
        };
        let clients: Vec<usize> =
            self.clients.iter().filter(|client| ready(client)).map(|client| client.number).collect();
        let ready = |wire: &Wire| {
            let readable = wire.read_armed && (!wire.from_backend.is_empty() || wire.eof);
            let writable = wire.write_armed && (wire.to_backend.len() < 100_000 || wire.eof);
            wire.runnable || (wire.connected && (readable || writable))
        };
        let links: Vec<LinkId> =
            self.wires.iter().filter(|(_, wire)| ready(wire)).map(|(&id, _)| id).collect();
        let count = clients.len() + links.len();
        if count == 0 {
            return false;
        }
        let chosen = self.dice.below(count);
        if let Some(&number) = clients.get(chosen) {
            let client = &mut self.clients[number];
            client.read_armed = false;
            client.write_armed = false;
            self.poll_client(number);
        } else {
            let id = links[chosen - clients.len()];
            let wire = self.wires.get_mut(&id).expect("listed above");
            wire.read_armed = false;
            wire.write_armed = false;
            self.poll_link(id);
        }
        true
    }
}
