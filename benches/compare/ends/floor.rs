//! The floor: the gateway's TLS, sockets and request scanner, and nothing behind them. GET is answered
//! from memory, SET and the rest with OK. What the gateway costs beyond this is its own doing.
//!
//! It accepts, deals clients to its workers and moves bytes as the gateway does: one read of
//! the socket into the thread's buffer, decrypted there, and one write of what is to be said.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, BufRead, IoSlice, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use respgate::io::ClientAuth;
use respgate::io::tls::{self, TlsSettings, TlsVersion, TrustSettings};
use respgate::resp::{Found, Outbox, RequestLimits, RequestScanner, args, write};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

const SCRATCH_BYTES: usize = 64 * 1024;
const ACCEPTED_MAX: usize = 1024;
const BACKLOG: u32 = 4096;
const LIMITS: RequestLimits = RequestLimits { args_max: 1024, bulk_bytes_max: 16 * 1024 * 1024 };

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The port, on the loopback address
    #[arg(long)]
    port: u16,
    /// The directory with ca.crt, server.crt and server.key
    #[arg(long)]
    certificates: PathBuf,
    /// Threads
    #[arg(long)]
    workers: usize,
    /// What is in memory: a key and how many bytes its value has, such as bench:1m=1048576
    #[arg(long, value_parser = value, value_delimiter = ',')]
    values: Vec<(String, usize)>,
}

fn value(text: &str) -> Result<(String, usize), String> {
    let (key, bytes) = text.split_once('=').ok_or("expected KEY=BYTES")?;
    Ok((key.to_owned(), bytes.parse().map_err(|error| format!("{error}"))?))
}

/// What is in memory, each as its whole reply. There are few, and what is asked for most comes first.
type Values = Vec<(Vec<u8>, Bytes)>;

/// What a worker's clients share.
struct Desk {
    tls: Arc<ServerConfig>,
    values: Values,
    scratch: RefCell<Box<[u8]>>,
}

/// One client after its handshake.
struct Guest {
    socket: TcpStream,
    tls: ServerConnection,
    scanner: RequestScanner,
    /// Of a request that has not arrived whole.
    rest: Vec<u8>,
    out: Outbox,
}

/// Serves until it is killed.
pub(crate) fn run(args: &Args) -> io::Result<()> {
    let tls = server_config(&args.certificates)?;
    let replies = args.values.iter().map(|(key, bytes)| {
        let reply = Bytes::from(write::bulk(&vec![b'x'; *bytes]));
        (key.as_bytes().to_vec(), reply)
    });
    let values: Values = replies.collect();
    let mut workers = Vec::new();
    for number in 0..args.workers.max(1) {
        let (sender, clients) = mpsc::channel(ACCEPTED_MAX);
        let (tls, values, runtime) = (Arc::clone(&tls), values.clone(), runtime()?);
        let name = format!("worker-{number}");
        std::thread::Builder::new().name(name).spawn(move || {
            tokio::task::LocalSet::new().block_on(&runtime, work(tls, values, clients));
        })?;
        workers.push(sender);
    }
    runtime()?.block_on(accept(args.port, &workers))
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// The gateway's own settings of TLS.
fn server_config(folder: &Path) -> io::Result<Arc<ServerConfig>> {
    let certificate = |name: &str| CertificateDer::from_pem_file(folder.join(name)).map_err(io::Error::other);
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).map_err(io::Error::other)?;
    let settings = TlsSettings {
        server: tls::certified_key(vec![certificate("server.crt")?], key).map_err(io::Error::other)?,
        min_version: TlsVersion::V13,
        client_auth: ClientAuth::Required,
        trust: TrustSettings { client_ca: vec![certificate("ca.crt")?], ..TrustSettings::default() },
        resumption: false,
        keep_server_names: false,
    };
    let trust = tls::trust(&settings).map_err(io::Error::other)?;
    tls::server_config(&settings, trust.as_ref()).map_err(io::Error::other)
}

async fn accept(port: u16, workers: &[mpsc::Sender<std::net::TcpStream>]) -> io::Result<()> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    let listener: TcpListener = socket.listen(BACKLOG)?;
    for worker in workers.iter().cycle() {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        worker.send(socket.into_std()?).await.map_err(io::Error::other)?;
    }
    Ok(())
}

async fn work(tls: Arc<ServerConfig>, values: Values, mut clients: mpsc::Receiver<std::net::TcpStream>) {
    let scratch = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
    let desk = Rc::new(Desk { tls, values, scratch });
    while let Some(socket) = clients.recv().await {
        let desk = Rc::clone(&desk);
        // How a client ends is its own affair.
        tokio::task::spawn_local(async move { serve(&desk, socket).await.err() });
    }
}

async fn serve(desk: &Desk, socket: std::net::TcpStream) -> io::Result<()> {
    let socket = TcpStream::from_std(socket)?;
    let shaken = Box::pin(TlsAcceptor::from(Arc::clone(&desk.tls)).accept(socket)).await?;
    let (socket, tls) = shaken.into_inner();
    let (scanner, rest, out) = (RequestScanner::default(), Vec::new(), Outbox::default());
    let mut guest = Box::new(Guest { socket, tls, scanner, rest, out });
    // What came along with the end of the handshake.
    guest.take_in(desk)?;
    poll_fn(|cx| guest.turn(desk, cx)).await
}

/// What reading once brought.
enum Got {
    Bytes,
    Nothing,
    End,
}

impl Guest {
    /// Moves bytes both ways until neither can be moved.
    fn turn(&mut self, desk: &Desk, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let wrote = self.write(cx)?;
            // A client that does not read is not read from.
            let got = if self.out.is_empty() { self.read(desk, cx)? } else { Got::Nothing };
            match got {
                Got::End => return Poll::Ready(Ok(())),
                Got::Nothing if !wrote => return Poll::Pending,
                Got::Nothing | Got::Bytes => {}
            }
        }
    }

    /// Reads once from the socket, and takes in what can be decrypted.
    fn read(&mut self, desk: &Desk, cx: &mut Context<'_>) -> io::Result<Got> {
        let mut scratch = desk.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        match Pin::new(&mut self.socket).poll_read(cx, &mut buffer) {
            Poll::Pending => return Ok(Got::Nothing),
            Poll::Ready(result) => result?,
        }
        let mut bytes = buffer.filled();
        if bytes.is_empty() {
            return Ok(Got::End);
        }
        while !bytes.is_empty() && self.tls.read_tls(&mut bytes)? > 0 {
            self.tls.process_new_packets().map_err(io::Error::other)?;
            if self.take_in(desk)? {
                return Ok(Got::End);
            }
        }
        Ok(Got::Bytes)
    }

    /// Answers what has been decrypted; true at the end of the client's stream.
    fn take_in(&mut self, desk: &Desk) -> io::Result<bool> {
        let mut reader = self.tls.reader();
        loop {
            let plain = match reader.fill_buf() {
                Ok([]) => return Ok(true),
                Ok(plain) => plain,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            let count = plain.len();
            if self.rest.is_empty() {
                let done = answer(plain, &mut self.scanner, &desk.values, &mut self.out)?;
                self.rest.extend_from_slice(&plain[done..]);
            } else {
                self.rest.extend_from_slice(plain);
                let done = answer(&self.rest, &mut self.scanner, &desk.values, &mut self.out)?;
                self.rest.drain(..done);
            }
            reader.consume(count);
        }
    }

    /// Encrypts and writes what there is; false when there is nothing, or the socket is full.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut any = false;
        loop {
            let taken = if self.out.is_empty() { 0 } else { self.tls.writer().write(self.out.front())? };
            self.out.advance(taken);
            if taken > 0 && !self.out.is_empty() {
                continue;
            }
            while self.tls.wants_write() {
                match self.tls.write_tls(&mut ToSocket { socket: &mut self.socket, cx }) {
                    Ok(_) => any = true,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(any),
                    Err(error) => return Err(error),
                }
            }
            if self.out.is_empty() {
                return Ok(any);
            }
        }
    }
}

/// Answers every whole request, and says how many bytes they were.
fn answer(
    input: &[u8],
    scanner: &mut RequestScanner,
    values: &Values,
    out: &mut Outbox,
) -> io::Result<usize> {
    let mut at = 0;
    loop {
        match scanner.scan(&input[at..], LIMITS).map_err(io::Error::other)? {
            Found::Request(request) => {
                reply(&input[at..at + request.len], values, out);
                at += request.len;
            }
            Found::Inline { len, .. } => {
                out.copy(b"+OK\r\n");
                at += len;
            }
            Found::Nothing { len } => at += len,
            Found::More => return Ok(at),
        }
    }
}

fn reply(request: &[u8], values: &Values, out: &mut Outbox) {
    let mut words = args(request);
    match (words.next(), words.next()) {
        (Some(b"GET"), Some(key)) => match values.iter().find(|(known, _)| known == key) {
            Some((_, reply)) => out.share(reply.clone()),
            None => out.copy(b"$-1\r\n"),
        },
        _ => out.copy(b"+OK\r\n"),
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
