//! The floor: the gateway's TLS, sockets and request scanner, and nothing behind them. GET is answered
//! from memory, SET and the rest with OK. What the gateway costs beyond this is its own doing.
//!
//! It accepts, deals clients to its workers and moves bytes as the gateway does: one read of
//! the socket into the thread's buffer, decrypted there, and one write of what is to be said.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use respgate::io::ClientAuth;
use respgate::io::stream::{ClientStream, SCRATCH_BYTES, Sealed};
use respgate::io::tls::{self, TlsSettings, TlsVersion, TrustSettings};
use respgate::io::turns::Turns;
use respgate::resp::{Found, Outbox, RequestLimits, RequestScanner, args, write};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

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
    sealed: RefCell<Sealed>,
    turns: Turns,
}

/// One client after its handshake.
struct Guest {
    stream: Box<ClientStream>,
    conversation: Conversation,
}

/// What it has said, and what it is to be told.
#[derive(Default)]
struct Conversation {
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
    let desk = Rc::new(Desk {
        tls,
        values,
        scratch,
        sealed: RefCell::default(),
        turns: Turns::new(BACKLOG as usize),
    });
    while let Some(socket) = clients.recv().await {
        let desk = Rc::clone(&desk);
        // How a client ends is its own affair.
        tokio::task::spawn_local(async move { serve(&desk, socket).await.err() });
    }
}

async fn serve(desk: &Desk, socket: std::net::TcpStream) -> io::Result<()> {
    let socket = TcpStream::from_std(socket)?;
    let turn = desk.turns.begin().await?;
    let stream = Box::pin(ClientStream::accept(socket, Arc::clone(&desk.tls), turn)).await?;
    let mut guest = Box::new(Guest { stream, conversation: Conversation::default() });
    // What came along with the end of the handshake.
    guest.conversation.take_in(&guest.stream.take_early(), desk)?;
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
            let wrote = self.write(desk, cx)?;
            // A client that does not read is not read from.
            let got = if self.conversation.out.is_empty() { self.read(desk, cx)? } else { Got::Nothing };
            match got {
                Got::End => return Poll::Ready(Ok(())),
                Got::Nothing if !wrote => return Poll::Pending,
                Got::Nothing | Got::Bytes => {}
            }
        }
    }

    /// Reads once from the socket, and answers what can be decrypted.
    fn read(&mut self, desk: &Desk, cx: &mut Context<'_>) -> io::Result<Got> {
        let mut scratch = desk.scratch.borrow_mut();
        let mut taken = Ok(());
        let read = self.stream.poll_read(cx, &mut scratch, &mut |plain| {
            if taken.is_ok() {
                taken = self.conversation.take_in(plain, desk);
            }
        });
        taken?;
        match read {
            Poll::Pending => Ok(Got::Nothing),
            Poll::Ready(is_open) => Ok(if is_open? { Got::Bytes } else { Got::End }),
        }
    }

    /// Encrypts and writes what there is; false when there is nothing, or the socket is full.
    fn write(&mut self, desk: &Desk, cx: &mut Context<'_>) -> io::Result<bool> {
        let out = &mut self.conversation.out;
        let mut any = false;
        loop {
            if self.stream.is_blocked() {
                match self.stream.poll_flush(cx) {
                    Poll::Ready(flushed) => flushed?,
                    Poll::Pending => return Ok(any),
                }
            }
            let mut sealed = desk.sealed.borrow_mut();
            sealed.clear();
            while !out.is_empty() {
                match self.stream.encrypt(out.front(), &mut sealed)? {
                    0 => break,
                    taken => out.advance(taken),
                }
            }
            if sealed.is_empty() {
                return Ok(any);
            }
            self.stream.send(cx, &mut sealed)?;
            any = true;
        }
    }
}

impl Conversation {
    /// Answers what is whole of this and what came before.
    fn take_in(&mut self, plain: &[u8], desk: &Desk) -> io::Result<()> {
        let Self { scanner, rest, out } = self;
        if rest.is_empty() {
            let done = answer(plain, scanner, &desk.values, out)?;
            rest.extend_from_slice(&plain[done..]);
        } else {
            rest.extend_from_slice(plain);
            let done = answer(rest, scanner, &desk.values, out)?;
            rest.drain(..done);
        }
        Ok(())
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
