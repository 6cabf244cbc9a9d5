//! One client's bytes, both ways: socket, TLS, machine. Decides nothing.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::clock;
use super::hub::Hub;
use super::stream::{ClientStream, Sealed};
use crate::session::{Fate, Records, SessionId};
use crate::worker::Closed;

/// How a client's transfer ended.
pub(super) enum End {
    /// Everything has been written: close politely.
    Polite,
    /// The client is gone, or is to be closed at once.
    Abrupt,
}

/// One turn of a client's task.
struct Turn<'a, 'b> {
    hub: &'a Rc<Hub>,
    id: SessionId,
    stream: &'a mut ClientStream,
    now: Instant,
    cx: &'a mut Context<'b>,
}

/// Moves bytes both ways until the client's end.
pub(super) async fn transfer(hub: &Rc<Hub>, id: SessionId, stream: &mut ClientStream) -> End {
    hand_over(hub, id, clock::now(), &stream.take_early());
    if stream.has_ended() {
        hub.with(|machine, now| machine.client_eof(id, now));
    }
    let mut held = Records::default();
    poll_fn(|cx| {
        hub.client_waits(id, cx);
        let now = clock::now();
        // What other nodes are about to answer goes in the same write.
        if hub.at(|machine| machine.client_awaits_more(id, now)) {
            return Poll::Pending;
        }
        let end = Turn { hub, id, stream: &mut *stream, now, cx }.run();
        let holds = stream.records();
        if holds != held {
            held = holds;
            hub.peek(|machine| machine.client_holds(id, holds, now));
        }
        end
    })
    .await
}

impl Turn<'_, '_> {
    /// Moves bytes both ways until neither can be moved.
    fn run(&mut self) -> Poll<End> {
        let (hub, id) = (self.hub, self.id);
        loop {
            if hub.peek(|machine| machine.client_ends_with_reply(id)) {
                // What has arrived is answered first.
                match self.read() {
                    Ok(true) => {}
                    Ok(false) => hub.at(|machine| machine.end_with_reply(id)),
                    Err(_) => return Poll::Ready(End::Abrupt),
                }
            }
            let Ok(wrote) = self.write() else { return Poll::Ready(self.end_of_writing()) };
            if self.stream.wear().is_near_its_end() {
                hub.at(|machine| machine.end_soon(id));
            }
            match hub.peek(|machine| machine.client_fate(id)) {
                Fate::Dead => return Poll::Ready(End::Abrupt),
                Fate::Ending if !wrote && !self.stream.is_blocked() => {
                    if hub.peek(|machine| machine.client_output(id).is_none_or(|out| out.is_empty())) {
                        return Poll::Ready(End::Polite);
                    }
                }
                Fate::Ending | Fate::Open => {}
            }
            let read = hub.peek(|machine| machine.client_wants_read(id)) && {
                let Ok(read) = self.read() else { return Poll::Ready(End::Abrupt) };
                read
            };
            if !wrote && !read {
                return Poll::Pending;
            }
        }
    }

    /// Nothing can be written any more: what has been sealed goes out first, where that is known to be all.
    fn end_of_writing(&self) -> End {
        if !self.stream.wear().is_at_its_end() {
            return End::Abrupt;
        }
        self.hub.at(|machine| machine.end_permit(self.id, Closed::KeysUsedUp));
        End::Polite
    }

    /// Encrypts and writes what there is; false when there is nothing, or the socket is full.
    fn write(&mut self) -> io::Result<bool> {
        let mut any = false;
        loop {
            if self.stream.is_blocked() {
                match self.stream.poll_flush(self.cx) {
                    Poll::Ready(flushed) => flushed?,
                    Poll::Pending => return Ok(any),
                }
                any = true;
            }
            let mut sealed = self.hub.sealed.borrow_mut();
            sealed.clear();
            let encrypted = self.encrypt(&mut sealed);
            let is_done = sealed.is_empty();
            self.stream.send(self.cx, &mut sealed)?;
            encrypted?;
            if is_done {
                return Ok(any);
            }
            any = true;
        }
    }

    /// Encrypts output as far as there is room. The end goes with the last reply, in one write:
    /// whoever has read the one can see the other.
    fn encrypt(&mut self, sealed: &mut Sealed) -> io::Result<()> {
        loop {
            let taken = self.hub.peek(|machine| match machine.client_output(self.id) {
                Some(out) if !out.is_empty() => self.stream.encrypt(out.front(), sealed).map(Some),
                _ => Ok(None),
            })?;
            match taken {
                Some(0) => return Ok(()),
                Some(taken) => self.hub.at(|machine| machine.client_wrote(self.id, taken, self.now)),
                None => break,
            }
        }
        if self.hub.peek(|machine| machine.client_fate(self.id)) == Fate::Ending {
            self.stream.encrypt_end(sealed)?;
        }
        Ok(())
    }

    /// Reads once from the socket; false when it has nothing.
    fn read(&mut self) -> io::Result<bool> {
        if self.stream.has_ended() {
            return Ok(false);
        }
        let Self { hub, id, now, .. } = *self;
        let mut scratch = hub.scratch.borrow_mut();
        let mut take = |plain: &[u8]| hand_over(hub, id, now, plain);
        match self.stream.poll_read(self.cx, &mut scratch, &mut take) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(true)) => {}
            Poll::Ready(Ok(false)) => hub.at(|machine| machine.client_eof(id, now)),
            Poll::Ready(Err(error)) => return Err(error),
        }
        Ok(true)
    }
}

/// Gives the machine what has been decrypted.
fn hand_over(hub: &Rc<Hub>, id: SessionId, now: Instant, mut plain: &[u8]) {
    while !plain.is_empty() {
        let held = hub.peek(|machine| {
            let buffer = machine.client_buffer(id)?;
            let count = plain.len().min(buffer.capacity() - buffer.len());
            buffer.extend_from_slice(&plain[..count]);
            Some(count)
        });
        let count = match held {
            Some(count) => {
                hub.at(|machine| machine.client_filled(id, count, now));
                count
            }
            None => {
                hub.at(|machine| machine.client_input(id, plain, now));
                plain.len()
            }
        };
        plain = &plain[count..];
    }
}
