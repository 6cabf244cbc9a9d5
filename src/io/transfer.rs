//! One client's bytes, both ways: socket, TLS, machine. Decides nothing.
//!
//! rustls is driven directly rather than through tokio-rustls' stream: what the
//! socket has is read at once into the thread's buffer, decrypted there record
//! by record, and handed to the machine without a further copy.

use std::future::poll_fn;
use std::io::{self, BufRead, IoSlice, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::clock;
use super::hub::Hub;
use crate::session::{Fate, SessionId};

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
    socket: &'a mut TcpStream,
    tls: &'a mut ServerConnection,
    now: Instant,
    cx: &'a mut Context<'b>,
}

/// Moves bytes both ways until the client's end. Requests that came along with the end of the
/// handshake are in rustls' hands already: no socket will announce them.
pub(super) async fn transfer(hub: &Rc<Hub>, id: SessionId, stream: &mut TlsStream<TcpStream>) -> End {
    let mut is_first = true;
    poll_fn(|cx| {
        hub.client_waits(id, cx);
        let (socket, tls) = stream.get_mut();
        let mut turn = Turn { hub, id, socket, tls, now: clock::now(), cx };
        if std::mem::take(&mut is_first) && turn.hand_over().is_err() {
            return Poll::Ready(End::Abrupt);
        }
        turn.run()
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
            let Ok(wrote) = self.write() else { return Poll::Ready(End::Abrupt) };
            match hub.peek(|machine| machine.client_fate(id)) {
                Fate::Dead => return Poll::Ready(End::Abrupt),
                Fate::Ending if !wrote && !self.tls.wants_write() => {
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

    /// Encrypts and writes what there is; false when there is nothing, or the socket is full.
    fn write(&mut self) -> io::Result<bool> {
        let mut any = false;
        loop {
            let encrypted = self.encrypt()?;
            self.say_end_with_reply();
            while self.tls.wants_write() {
                match self.tls.write_tls(&mut ToSocket { socket: self.socket, cx: self.cx }) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(_) => any = true,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(any),
                    Err(error) => return Err(error),
                }
            }
            if !encrypted {
                return Ok(any);
            }
        }
    }

    /// Encrypts output as far as rustls' own buffer has room; false when there is none, or no room.
    fn encrypt(&mut self) -> io::Result<bool> {
        let mut any = false;
        loop {
            let taken = self.hub.peek(|machine| match machine.client_output(self.id) {
                Some(out) if !out.is_empty() => self.tls.writer().write(out.front()),
                _ => Ok(0),
            })?;
            if taken == 0 {
                return Ok(any);
            }
            any = true;
            self.hub.at(|machine| machine.client_wrote(self.id, taken, self.now));
        }
    }

    /// The end goes with the last reply, in one write: whoever has read the one can see the other.
    fn say_end_with_reply(&mut self) {
        let is_over = self.hub.peek(|machine| {
            machine.client_fate(self.id) == Fate::Ending
                && machine.client_output(self.id).is_none_or(|out| out.is_empty())
        });
        if is_over {
            self.tls.send_close_notify();
        }
    }

    /// Reads once from the socket; false when it has nothing.
    fn read(&mut self) -> io::Result<bool> {
        let mut scratch = self.hub.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        match Pin::new(&mut *self.socket).poll_read(self.cx, &mut buffer) {
            Poll::Pending => return Ok(false),
            Poll::Ready(result) => result?,
        }
        let mut bytes = buffer.filled();
        let mut eof = bytes.is_empty();
        while eof || !bytes.is_empty() {
            let taken = self.tls.read_tls(&mut bytes)?;
            if let Err(error) = self.tls.process_new_packets() {
                // The client is told why, if its socket has room for the alert.
                let _ = self.tls.write_tls(&mut ToSocket { socket: self.socket, cx: self.cx });
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            eof = self.hand_over()?;
            if eof || taken == 0 {
                break;
            }
        }
        Ok(true)
    }

    /// Gives the machine what has been decrypted; true at the end of the client's stream, which
    /// is an error without a close_notify.
    fn hand_over(&mut self) -> io::Result<bool> {
        let Self { hub, id, now, .. } = *self;
        let mut reader = self.tls.reader();
        loop {
            let plain = match reader.fill_buf() {
                Ok(plain) => plain,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            if plain.is_empty() {
                hub.at(|machine| machine.client_eof(id, now));
                return Ok(true);
            }
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
            reader.consume(count);
        }
    }
}

/// The socket, as rustls writes to it.
struct ToSocket<'a, 'b> {
    socket: &'a mut TcpStream,
    cx: &'a mut Context<'b>,
}

impl Write for ToSocket<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        done(Pin::new(&mut *self.socket).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        done(Pin::new(&mut *self.socket).poll_write_vectored(self.cx, parts))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn done(written: Poll<io::Result<usize>>) -> io::Result<usize> {
    match written {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
