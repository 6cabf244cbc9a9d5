//! One client's socket with the TLS on it. Holds no bytes of a client that has
//! nothing under way: records are read into, decrypted in, and encrypted into
//! buffers of the thread, and what waits for more, or for room in the socket, is
//! kept for as long as it waits. Knows no session.
//!
//! rustls is driven by its unbuffered interface: the buffered one keeps 4 KiB for
//! each connection for ever, and more after a large request.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};
use rustls::{CommonState, Error, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use zeroize::{Zeroize, Zeroizing};

use super::tls::take_asked;
use super::turns::Turn;
use super::wear::Wear;
use crate::session::Records;

/// Read into by one client after the other: a part of a record that was kept, and as much as a
/// socket has at a time.
pub const SCRATCH_BYTES: usize = 64 * 1024;

/// What is read at least at a time, beside what was kept.
const READ_BYTES_MIN: usize = 4 * 1024;

/// The first reads of a handshake: a ClientHello is smaller.
const HANDSHAKE_BYTES: usize = 4096;

/// What one record carries.
const FRAGMENT_BYTES: usize = 16 * 1024;

/// More than a record adds to what it carries, with a change of keys before it.
const OVERHEAD_BYTES: usize = 256;

/// What is kept of a client that is in: less than a record with its header. Only a handshake has messages of
/// several; rustls itself would take 64 KiB of one at any time.
const PARTIAL_BYTES_MAX: usize = FRAGMENT_BYTES + OVERHEAD_BYTES + 5;
const _: () = assert!(PARTIAL_BYTES_MAX + READ_BYTES_MIN <= SCRATCH_BYTES);

/// Records of a thread's clients on their way to a socket, one client at a time.
#[derive(Debug)]
pub struct Sealed {
    bytes: Box<[u8]>,
    len: usize,
}

impl Default for Sealed {
    /// Room for what a socket takes at a time.
    fn default() -> Self {
        Self::with_room_for(4 * FRAGMENT_BYTES)
    }
}

impl Sealed {
    fn with_room_for(plain: usize) -> Self {
        let records = plain.div_ceil(FRAGMENT_BYTES);
        Self { bytes: vec![0; plain + records * OVERHEAD_BYTES].into_boxed_slice(), len: 0 }
    }

    /// To be called before a client's first record: what another that failed has left is not for this one.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// One client's connection, from its handshake to its end.
pub struct ClientStream {
    socket: TcpStream,
    tls: UnbufferedServerConnection,
    /// The beginning of what has not arrived whole.
    partial: Vec<u8>,
    /// What came along with the end of the handshake: no socket will announce it.
    early: Zeroizing<Vec<u8>>,
    /// Records that the socket has had no room for yet, from the place that it has come to.
    unsent: Vec<u8>,
    sent: usize,
    /// The name that the client asked for.
    server_name: Option<Box<str>>,
    has_ended: bool,
    wear: Wear,
}

impl ClientStream {
    /// The handshake. In a box: it is handed on often, and most of a client's life is waiting.
    ///
    /// # Errors
    /// As rustls refuses the client, within the same poll, as the socket fails, or if others need the
    /// memory.
    pub async fn accept(
        socket: TcpStream,
        config: Arc<ServerConfig>,
        mut turn: Turn<'_>,
    ) -> io::Result<Box<Self>> {
        let mut stream = Box::new(Self {
            socket,
            tls: UnbufferedServerConnection::new(config).map_err(io::Error::other)?,
            partial: Vec::new(),
            early: Zeroizing::default(),
            unsent: Vec::new(),
            sent: 0,
            server_name: None,
            has_ended: false,
            wear: Wear::default(),
        });
        let mut records = vec![0; HANDSHAKE_BYTES];
        let mut filled = 0;
        while stream.tls.is_handshaking() {
            if filled == records.len() {
                if filled >= SCRATCH_BYTES {
                    return Err(too_long());
                }
                records.resize(2 * filled, 0);
            }
            let room = records.len();
            let next = async {
                stream.flush().await?;
                stream.socket.read(&mut records[filled..]).await
            };
            match turn.await_client(room, next).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
            let mut early = std::mem::take(&mut stream.early);
            let done = stream.process(&mut records[..filled], &mut |plain| early.extend_from_slice(plain));
            stream.early = early;
            stream.server_name = take_asked().or(stream.server_name);
            let done = match done {
                Ok(done) => done,
                Err(error) => return Err(stream.say_why(error).await),
            };
            records.copy_within(done..filled, 0);
            filled -= done;
        }
        drop(turn);
        if filled > PARTIAL_BYTES_MAX {
            return Err(too_long());
        }
        stream.flush().await?;
        stream.wear = Wear::of(&stream.tls);
        stream.partial = records[..filled].to_vec();
        Ok(stream)
    }

    /// What the handshake arrived at.
    #[must_use]
    pub fn tls(&self) -> &CommonState {
        &self.tls
    }

    /// The server name that the client asked for.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The address that the client came to.
    ///
    /// # Errors
    /// If the socket is no longer connected.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The socket beneath.
    #[must_use]
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Whether records wait for room in the socket.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// What is kept of a record that has not arrived whole, and of those that the socket has had no
    /// room for.
    #[must_use]
    pub fn records(&self) -> Records {
        Records { begun: self.partial.len(), unsent: self.unsent.len(), sent: self.sent }
    }

    /// How much its keys may still write.
    #[must_use]
    pub(super) fn wear(&self) -> &Wear {
        &self.wear
    }

    /// Whether the client has said that nothing follows.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// What was sent with the end of the handshake, once.
    #[must_use]
    pub fn take_early(&mut self) -> Zeroizing<Vec<u8>> {
        std::mem::take(&mut self.early)
    }

    /// Reads once from the socket and gives `take` what can be decrypted; false at the end of the
    /// client's stream. The scratch is of [`SCRATCH_BYTES`].
    ///
    /// # Errors
    /// If the records are bad, which the client is told if its socket has room for the alert, or the
    /// stream ends without close_notify.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<bool>> {
        if self.has_ended {
            return Poll::Ready(Ok(false));
        }
        let kept = self.partial.len();
        let mut buffer = ReadBuf::new(&mut scratch[kept..]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
        let count = buffer.filled().len();
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        scratch[..kept].copy_from_slice(&self.partial);
        let records = &mut scratch[..kept + count];
        let done = match self.process(records, take) {
            Ok(done) => done,
            Err(error) => {
                let _ = self.poll_flush(cx);
                return Poll::Ready(Err(of_tls(error)));
            }
        };
        if kept > 0 || done < records.len() {
            if records.len() - done > PARTIAL_BYTES_MAX {
                return Poll::Ready(Err(too_long()));
            }
            self.partial = records[done..].to_vec();
        }
        Poll::Ready(Ok(!self.has_ended))
    }

    /// Encrypts the beginning of `plain`; how much of it, nothing where there is no room.
    ///
    /// # Errors
    /// If the keys are used up: what is sealed by then ends with close_notify, and is still to be sent.
    pub fn encrypt(&mut self, plain: &[u8], sealed: &mut Sealed) -> io::Result<usize> {
        let plain = &plain[..plain.len().min(FRAGMENT_BYTES)];
        let room = &mut sealed.bytes[sealed.len..];
        if room.len() < plain.len() + OVERHEAD_BYTES {
            return Ok(0);
        }
        match self.tls.process_tls_records(&mut self.partial).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                let encrypted = traffic.encrypt(plain, room);
                if matches!(encrypted, Err(EncryptError::EncryptExhausted)) {
                    self.wear.used_up();
                    // rustls has one ready.
                    sealed.len += traffic.queue_close_notify(room).map_err(io::Error::other)?;
                }
                sealed.len += encrypted.map_err(io::Error::other)?;
                self.wear.wrote_record();
                Ok(plain.len())
            }
            Ok(state) => Err(io::Error::other(format!("rustls is not ready to write: {state:?}"))),
            Err(error) => Err(of_tls(error)),
        }
    }

    /// Says that nothing follows. Once is enough; more is nothing.
    ///
    /// # Errors
    /// If there is no room for it.
    pub fn encrypt_end(&mut self, sealed: &mut Sealed) -> io::Result<()> {
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) =
            self.tls.process_tls_records(&mut self.partial).state
        {
            let room = &mut sealed.bytes[sealed.len..];
            sealed.len += traffic.queue_close_notify(room).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Writes what is sealed; what the socket has no room for waits. To be called when nothing waits.
    ///
    /// # Errors
    /// As the socket fails.
    pub fn send(&mut self, cx: &mut Context<'_>, sealed: &mut Sealed) -> io::Result<()> {
        let mut rest = &sealed.bytes[..std::mem::take(&mut sealed.len)];
        while !rest.is_empty() {
            match Pin::new(&mut self.socket).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => rest = &rest[count..],
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.unsent.extend_from_slice(rest);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Writes what waits for room. Ready when nothing waits any more.
    ///
    /// # Errors
    /// As the socket fails.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.unsent.len() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, &self.unsent[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        (self.unsent, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Reads what the client says next, nothing at its end; little at a time, and the scratch is wiped:
    /// it may be a stranger's, and its password.
    ///
    /// # Errors
    /// As [`Self::poll_read`].
    pub async fn read(&mut self, scratch: &RefCell<Box<[u8]>>) -> io::Result<Zeroizing<Vec<u8>>> {
        let mut plain = self.take_early();
        while plain.is_empty() {
            let is_open = poll_fn(|cx| {
                let mut scratch = scratch.borrow_mut();
                let end = scratch.len().min(self.partial.len() + READ_BYTES_MIN);
                let scratch = &mut scratch[..end];
                let read = self.poll_read(cx, scratch, &mut |some| plain.extend_from_slice(some));
                scratch.zeroize();
                read
            });
            if !is_open.await? {
                break;
            }
            self.flush().await?;
        }
        Ok(plain)
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// As [`Self::encrypt`] and [`Self::send`].
    pub async fn write_all(&mut self, mut plain: &[u8]) -> io::Result<()> {
        let mut sealed = Sealed::with_room_for(plain.len().min(FRAGMENT_BYTES));
        while !plain.is_empty() {
            plain = &plain[self.encrypt(plain, &mut sealed)?..];
            self.write(&mut sealed).await?;
        }
        Ok(())
    }

    /// Says that nothing follows, in TLS and then in TCP.
    ///
    /// # Errors
    /// As the socket fails.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        let mut sealed = Sealed::with_room_for(1);
        self.encrypt_end(&mut sealed)?;
        self.write(&mut sealed).await?;
        self.socket.shutdown().await
    }

    async fn write(&mut self, sealed: &mut Sealed) -> io::Result<()> {
        self.flush().await?;
        poll_fn(|cx| Poll::Ready(self.send(cx, sealed))).await?;
        self.flush().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// The error, after an attempt to tell the client. Waits for nothing.
    async fn say_why(&mut self, error: Error) -> io::Error {
        let _ = poll_fn(|cx| Poll::Ready(self.poll_flush(cx))).await;
        of_tls(error)
    }

    /// Deals with what is whole in the records, which begin with what was kept; how many bytes of
    /// them are done with. What rustls has to say in return waits for the socket.
    fn process(&mut self, records: &mut [u8], take: &mut dyn FnMut(&[u8])) -> Result<usize, Error> {
        let mut done = 0;
        loop {
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(&mut records[done..]);
            done += discard;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        done += record.discard;
                        take(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.unsent),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.has_ended = true,
                Ok(
                    ConnectionState::WriteTraffic(_)
                    | ConnectionState::BlockedHandshake
                    | ConnectionState::Closed,
                ) => return Ok(done),
                Ok(state) => return Err(Error::General(format!("not expected of rustls: {state:?}"))),
                Err(error) => {
                    // The alert; while there is one, no records are looked at.
                    while self.tls.wants_write()
                        && let Ok(ConnectionState::EncodeTlsData(data)) =
                            self.tls.process_tls_records(&mut records[done..]).state
                    {
                        encode(data, &mut self.unsent);
                    }
                    return Err(error);
                }
            }
        }
    }
}

/// Puts a record behind what waits.
fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, unsent: &mut Vec<u8>) {
    if let Err(EncodeError::InsufficientSize(wants)) = data.encode(&mut []) {
        let end = unsent.len();
        unsent.resize(end + wants.required_size, 0);
        let encoded = data.encode(&mut unsent[end..]);
        debug_assert_eq!(encoded.ok(), Some(wants.required_size));
    }
}

fn of_tls(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message of TLS is longer than a client has to send")
}
