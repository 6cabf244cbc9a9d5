//! A client that sees bytes: it says exactly what is written, in which pieces,
//! and reads exactly what comes back. It knows no command.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::resp::{self, Stop, Value};

/// How long any one wait of a test may take. Wide: two cores carry everything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

enum Stream {
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Unix(UnixStream),
}

/// One connection, to the gateway or to Redis itself.
pub(crate) struct Client {
    stream: Stream,
    unread: Vec<u8>,
}

impl Client {
    /// Connects over TLS and finishes the handshake.
    pub(crate) fn tls(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Self> {
        Self::tls_over(TcpStream::connect_timeout(&address, PATIENCE)?, config)
    }

    /// The same, asking for this server name; for none, if it is an address.
    pub(crate) fn tls_named(
        address: SocketAddr,
        config: Arc<ClientConfig>,
        name: &'static str,
    ) -> io::Result<Self> {
        Self::shake(Self::over_named(TcpStream::connect_timeout(&address, PATIENCE)?, config, name)?)
    }

    /// The same over a connection that there is already.
    pub(crate) fn tls_over(socket: TcpStream, config: Arc<ClientConfig>) -> io::Result<Self> {
        Self::shake(Self::over(socket, config)?)
    }

    fn shake(mut client: Self) -> io::Result<Self> {
        let Stream::Tls(stream) = &mut client.stream else { unreachable!("it was made with TLS") };
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(client)
    }

    fn connect(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE)?, config)
    }

    fn over(socket: TcpStream, config: Arc<ClientConfig>) -> io::Result<Self> {
        Self::over_named(socket, config, "localhost")
    }

    fn over_named(socket: TcpStream, config: Arc<ClientConfig>, name: &'static str) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        Ok(Self { stream: Stream::Tls(Box::new(StreamOwned::new(session, socket))), unread: Vec::new() })
    }

    /// Connects over TLS and sends `first` in one write with the end of the client's handshake, as
    /// a client may that does not wait for the server to have read it.
    pub(crate) fn tls_at_once(
        address: SocketAddr,
        config: Arc<ClientConfig>,
        first: &[u8],
    ) -> io::Result<Self> {
        let mut client = Self::connect(address, config)?;
        let Stream::Tls(stream) = &mut client.stream else { unreachable!("it was made with TLS") };
        let (tls, socket) = (&mut stream.conn, &mut stream.sock);
        // A chain may be longer than what a client keeps until it is written.
        tls.set_buffer_limit(None);
        while tls.is_handshaking() {
            if tls.wants_write() {
                tls.write_tls(socket)?;
            } else {
                tls.read_tls(socket)?;
                tls.process_new_packets().map_err(io::Error::other)?;
            }
        }
        tls.writer().write_all(first)?;
        let mut flight = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut flight)?;
        }
        socket.write_all(&flight)?;
        Ok(client)
    }

    /// Connects to Redis' own socket.
    pub(crate) fn unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: Stream::Unix(stream), unread: Vec::new() })
    }

    /// Writes these bytes and pushes them out.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).unwrap_or_else(|error| panic!("writing {} bytes: {error}", bytes.len()));
    }

    /// As `write`, for a peer that may already have closed.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }

    /// Writes one request given as words.
    pub(crate) fn send(&mut self, command: &str) {
        self.write(&resp::typed(command));
    }

    /// Reads one value, waiting for it as long as `PATIENCE`.
    pub(crate) fn read(&mut self) -> Value {
        self.try_read().unwrap_or_else(|error| panic!("reading a reply: {error}"))
    }

    /// As `read`; an end of the stream is `UnexpectedEof`.
    pub(crate) fn try_read(&mut self) -> io::Result<Value> {
        loop {
            match resp::read(&self.unread) {
                Ok((value, took)) => {
                    self.unread.drain(..took);
                    return Ok(value);
                }
                Err(Stop::Garbage(line)) => return Err(io::Error::other(format!("not RESP: {line:?}"))),
                Err(Stop::Short) if self.fill()? == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(Stop::Short) => {}
            }
        }
    }

    /// Reads to the end of a line, without its end.
    pub(crate) fn read_line(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.unread.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).expect("text");
            }
            assert_ne!(self.fill().expect("more of a line"), 0, "the connection ended");
        }
    }

    /// Reads what comes next, but no more than this.
    pub(crate) fn read_piece(&mut self, most: usize) -> Vec<u8> {
        if self.unread.is_empty() {
            assert_ne!(self.fill().expect("more bytes"), 0, "the connection ended");
        }
        let rest = self.unread.split_off(self.unread.len().min(most));
        std::mem::replace(&mut self.unread, rest)
    }

    /// Reads what there is, or (`wait`) what comes next, as it comes; zero at the end. To be used
    /// alone: the other ways of reading keep what they have read too much. Over TLS it waits.
    pub(crate) fn receive(&mut self, into: &mut Vec<u8>, wait: bool) -> io::Result<usize> {
        let mut piece = [0; 16 * 1024];
        let count = match &mut self.stream {
            Stream::Tls(stream) => stream.read(&mut piece),
            Stream::Unix(stream) => {
                stream.set_nonblocking(!wait)?;
                let count = stream.read(&mut piece);
                stream.set_nonblocking(false)?;
                count
            }
        }?;
        into.extend_from_slice(&piece[..count]);
        Ok(count)
    }

    /// Sends one command and reads one reply.
    pub(crate) fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        self.write(&resp::request(args));
        self.read()
    }

    /// Sends one command given as words, and returns the reply as text.
    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.read().to_string()
    }

    /// Sends one command given as words, and returns the reply.
    pub(crate) fn read_after(&mut self, command: &str) -> Value {
        self.send(command);
        self.read()
    }

    /// A conversation: each command must get exactly this reply.
    pub(crate) fn talk(&mut self, turns: &[(&str, &str)]) {
        for (command, expected) in turns {
            assert_eq!(self.ask(command), *expected, "in answer to {command:?}");
        }
    }

    /// A pipeline: all commands in one write, then all replies in order.
    pub(crate) fn pipeline(&mut self, turns: &[(&str, &str)]) {
        self.write(&turns.iter().flat_map(|(command, _)| resp::typed(command)).collect::<Vec<u8>>());
        for (command, expected) in turns {
            assert_eq!(self.read().to_string(), *expected, "in answer to {command:?}");
        }
    }

    /// Everything that still comes, until the other side ends the connection.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "the connection did not end");
            match self.fill() {
                Ok(0) => return std::mem::take(&mut self.unread),
                Ok(_) => {}
                Err(error) if is_end(&error) => return std::mem::take(&mut self.unread),
                Err(error) => {
                    panic!("no end ({error}), only {:?}", String::from_utf8_lossy(&self.unread))
                }
            }
        }
    }

    /// The connection ends without another byte.
    pub(crate) fn expect_end(&mut self) {
        let rest = self.read_to_end();
        assert!(rest.is_empty(), "before the end came {:?}", String::from_utf8_lossy(&rest));
    }

    /// Whether the other side has ended the connection, as far as that has arrived.
    pub(crate) fn has_ended(&mut self) -> bool {
        let Stream::Tls(stream) = &mut self.stream else { unreachable!("asked of clients of the gateway") };
        let (tls, socket) = (&mut stream.conn, &mut stream.sock);
        socket.set_nonblocking(true).expect("a socket");
        let read = tls.read_tls(socket);
        socket.set_nonblocking(false).expect("a socket");
        match read {
            Ok(0) => true,
            Ok(_) => tls.process_new_packets().is_ok_and(|state| state.peer_has_closed()),
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Whether something has arrived that is not read yet.
    pub(crate) fn has_more(&mut self) -> bool {
        let Stream::Tls(stream) = &mut self.stream else { unreachable!("asked of clients of the gateway") };
        stream.sock.set_nonblocking(true).expect("a socket");
        let has_more = stream.sock.peek(&mut [0]).is_ok_and(|count| count > 0);
        stream.sock.set_nonblocking(false).expect("a socket");
        has_more
    }

    /// Nothing arrives for this long, and the connection stays.
    pub(crate) fn expect_silence(&mut self, time: Duration) {
        assert!(self.unread.is_empty(), "unread: {:?}", String::from_utf8_lossy(&self.unread));
        self.set_read_timeout(time);
        let got = self.fill();
        self.set_read_timeout(PATIENCE);
        match got {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Ok(0) => panic!("the connection ended"),
            Ok(_) => panic!("unexpected: {:?}", String::from_utf8_lossy(&self.unread)),
            Err(error) => panic!("{error}"),
        }
    }

    /// Says that nothing more will be sent (close_notify and FIN), and stays to read.
    pub(crate) fn finish_writing(&mut self) {
        match &mut self.stream {
            Stream::Tls(stream) => {
                stream.conn.send_close_notify();
                let _ = stream.flush();
                let _ = stream.sock.shutdown(Shutdown::Write);
            }
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write).expect("open"),
        }
    }

    /// Ends the connection with a TCP reset, as a client that crashes may.
    pub(crate) fn reset(self) {
        match &self.stream {
            Stream::Tls(stream) => socket2::SockRef::from(&stream.sock).set_linger(Some(Duration::ZERO)),
            Stream::Unix(_) => Ok(()),
        }
        .expect("a socket");
    }

    /// Whatever comes within this time, or until the other side ends the connection.
    pub(crate) fn read_for(&mut self, time: Duration) -> Vec<u8> {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.set_read_timeout(left);
            if !matches!(self.fill(), Ok(count) if count > 0) {
                break;
            }
        }
        self.set_read_timeout(PATIENCE);
        std::mem::take(&mut self.unread)
    }

    /// The TLS version, how many tickets the server gave, and whether this is a
    /// resumed session; nothing on a plain connection.
    pub(crate) fn tls_facts(&self) -> Option<(rustls::ProtocolVersion, u32, bool)> {
        let Stream::Tls(stream) = &self.stream else { return None };
        let is_resumed = stream.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        Some((stream.conn.protocol_version()?, stream.conn.tls13_tickets_received(), is_resumed))
    }

    /// Writes to the socket, beneath TLS.
    pub(crate) fn write_beneath(&mut self, bytes: &[u8]) {
        match &mut self.stream {
            Stream::Tls(stream) => stream.sock.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
        .expect("open");
    }

    /// The server's certificate, as DER.
    pub(crate) fn server_certificate(&self) -> Option<Vec<u8>> {
        let Stream::Tls(stream) = &self.stream else { return None };
        Some(stream.conn.peer_certificates()?.first()?.to_vec())
    }

    /// From now on a write gives up after this long.
    pub(crate) fn limit_write(&mut self, time: Duration) {
        match &self.stream {
            Stream::Tls(stream) => stream.sock.set_write_timeout(Some(time)),
            Stream::Unix(stream) => stream.set_write_timeout(Some(time)),
        }
        .expect("a positive time");
    }

    fn set_read_timeout(&mut self, time: Duration) {
        match &self.stream {
            Stream::Tls(stream) => stream.sock.set_read_timeout(Some(time)),
            Stream::Unix(stream) => stream.set_read_timeout(Some(time)),
        }
        .expect("a positive time");
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = vec![0; 64 * 1024];
        let count = match &mut self.stream {
            Stream::Tls(stream) => stream.read(&mut piece),
            Stream::Unix(stream) => stream.read(&mut piece),
        }?;
        self.unread.extend_from_slice(&piece[..count]);
        Ok(count)
    }
}

/// Whether an error of a read or a write means that the peer has gone.
pub(crate) fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}
