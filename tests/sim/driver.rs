//! The tasks of clients and links, as `io` has them: each acts when it is woken, or
//! when a socket that it waits for has become ready, and not otherwise, so that a
//! wake that the worker forgets is silence here as well.

use respgate::session::Fate;
use respgate::upstream::LinkId;
use respgate::worker::Loss;

use super::frame::show;
use super::world::{Scene, Socket, Wire, World};

/// A task that goes round more often than this spins.
const ROUNDS_MAX: usize = 10_000;

impl<S: Scene> World<S> {
    /// One poll of a client's task.
    pub(crate) fn poll_client(&mut self, number: usize) {
        self.sockets[number].runnable = false;
        let is_held = self.worker.client_awaits_more(self.sockets[number].session, self.now);
        self.pump();
        if is_held {
            return;
        }
        for _ in 0..ROUNDS_MAX {
            let id = self.sockets[number].session;
            let wrote = self.write_client(number);
            if self.sockets[number].ended {
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
            if self.sockets[number].ended || (!wrote && !read) {
                return;
            }
        }
        panic!("the task of client {number} spins");
    }

    fn write_client(&mut self, number: usize) -> bool {
        let mut any = false;
        loop {
            let socket = &mut self.sockets[number];
            let Some(out) = self.worker.client_output(socket.session) else { return any };
            let bound = self.limits.client_output_hard_bytes + 70_000 + self.limits.large_reply_bytes;
            assert!(out.len() <= bound, "client {number} has {} bytes of output", out.len());
            let free = socket.out_cap.saturating_sub(socket.outbound.len());
            if out.is_empty() {
                return any;
            }
            if socket.reset {
                self.end_client(number, "reset");
                return any;
            }
            if free == 0 {
                socket.write_armed = true;
                return any;
            }
            let front = out.front();
            let count = self.dice.chunk(front.len().min(free));
            socket.outbound.extend_from_slice(&front[..count]);
            self.worker.client_wrote(socket.session, count, self.now);
            self.pump();
            any = true;
        }
    }

    /// False when there is nothing to read.
    fn read_client(&mut self, number: usize) -> bool {
        let socket = &mut self.sockets[number];
        if socket.reset {
            self.end_client(number, "reset");
            return false;
        }
        if socket.inbound.is_empty() {
            if socket.fin {
                self.worker.client_eof(socket.session, self.now);
                self.pump();
                return true;
            }
            socket.read_armed = true;
            return false;
        }
        let count = self.dice.chunk(socket.inbound.len());
        let bytes: Vec<u8> = socket.inbound.drain(..count).collect();
        if self.trace {
            eprintln!("{:>6} client {number} sends {}", self.at, show(&bytes));
        }
        match self.worker.client_buffer(socket.session) {
            Some(buffer) => {
                buffer.extend_from_slice(&bytes);
                self.worker.client_filled(socket.session, count, self.now);
            }
            None => self.worker.client_input(socket.session, &bytes, self.now),
        }
        self.pump();
        true
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
            let end = self.scene.end(wire.conn).expect("connected");
            if !wire.eof && !end.is_greeted {
                let read = wire.from_backend.is_empty() && end.output.is_empty();
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

    /// Everything that can run, does; in an order that the dice choose.
    pub(crate) fn poll_one(&mut self) -> bool {
        let ready = |socket: &Socket| {
            let readable = socket.read_armed && (!socket.inbound.is_empty() || socket.fin || socket.reset);
            let writable = socket.write_armed && (socket.outbound.len() < socket.out_cap || socket.reset);
            !socket.ended && (socket.runnable || readable || writable)
        };
        let clients: Vec<usize> =
            (0..self.sockets.len()).filter(|&number| ready(&self.sockets[number])).collect();
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
            let socket = &mut self.sockets[number];
            socket.read_armed = false;
            socket.write_armed = false;
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
