//! One client of the echo: a connection, a second one that feeds it, and the
//! pipelines it sends. Decides nothing about replies: `kinds` judges them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::DEADLINE;
use super::kinds::{Batch, Dice, Maker, Want, judge};
use super::totals::{Outcome, Phase, Totals};
use crate::resp::{self, Stop, Value, request};

/// Who a client is.
pub(super) struct Plan {
    pub(super) id: u32,
    pub(super) user: &'static str,
    pub(super) is_resp3: bool,
    pub(super) address: SocketAddr,
    pub(super) tls: Arc<ClientConfig>,
}

/// Runs until the phase is `End`.
pub(super) async fn run(plan: Plan, totals: Arc<Totals>) {
    let maker = Maker::new(plan.id, plan.user, plan.is_resp3);
    let mut client = Client { plan, totals, maker, main: None, feeder: None };
    while client.totals.phase() != Phase::End && client.totals.is_flawless() {
        client.turn().await;
    }
}

struct Client {
    plan: Plan,
    totals: Arc<Totals>,
    maker: Maker,
    main: Option<Connection>,
    feeder: Option<Connection>,
}

impl Client {
    /// One pipeline, or one scene of two connections. A connection that ended is replaced.
    async fn turn(&mut self) {
        let was_faulty = self.totals.phase() == Phase::Faults;
        let Some(mut main) = self.connection(true).await else { return };
        let Some(mut feeder) = self.connection(false).await else { return };
        let judge = Judge { id: self.plan.id, totals: &self.totals, was_faulty };
        let is_well = match self.maker.dice.below(100) {
            0..3 => fed_pop(&mut self.maker, &mut main, &mut feeder, &judge).await,
            3..6 => subscription(&mut self.maker, &mut main, &mut feeder, &judge).await,
            _ => {
                let batch = self.maker.batch();
                let is_reset = was_faulty && self.maker.dice.below(20) == 0;
                if is_reset {
                    let stop_at = self.maker.dice.below(batch.wants.len() as u64) as usize;
                    reset(main, batch, stop_at, &mut self.maker.dice, &judge).await;
                    self.feeder = Some(feeder);
                    return;
                }
                let pieces = self.maker.dice.roll();
                [main.exchange(batch, pieces, &judge).await, true]
            }
        };
        self.main = is_well[0].then_some(main);
        self.feeder = is_well[1].then_some(feeder);
    }

    async fn connection(&mut self, is_main: bool) -> Option<Connection> {
        let kept = if is_main { self.main.take() } else { self.feeder.take() };
        if kept.is_some() {
            return kept;
        }
        match timeout(DEADLINE, Connection::open(&self.plan)).await {
            Ok(Ok(connection)) => Some(connection),
            Ok(Err(error)) => {
                self.totals
                    .find(Outcome::Wrong, || format!("client {} cannot connect: {error}", self.plan.id));
                None
            }
            Err(_) => {
                self.totals.find(Outcome::Silent, || format!("client {}: no connection", self.plan.id));
                None
            }
        }
    }
}

/// Counts what comes back.
struct Judge<'a> {
    id: u32,
    totals: &'a Totals,
    was_faulty: bool,
}

impl Judge<'_> {
    fn are_faults_allowed(&self) -> bool {
        self.was_faulty || self.totals.phase() == Phase::Faults
    }

    fn reply(&self, want: &Want, got: &Value) {
        let outcome = judge(self.id, want, got, self.are_faults_allowed());
        if matches!(want, Want::User(_)) && outcome == Outcome::Right {
            self.totals.saw_whoami();
        }
        if matches!(
            outcome,
            Outcome::Right | Outcome::Unknown | Outcome::NotSent | Outcome::Emptied | Outcome::Closed
        ) {
            self.totals.count(outcome, 1);
        } else {
            self.totals.find(outcome, || {
                let shown = |text: String| text.chars().take(300).collect::<String>();
                format!(
                    "client {}: wanted {}, got {}",
                    self.id,
                    shown(format!("{want:?}")),
                    shown(got.to_string())
                )
            });
        }
    }

    /// The connection ended with so many requests unanswered.
    fn end(&self, unanswered: usize, error: &io::Error) {
        if self.are_faults_allowed() {
            self.totals.count(Outcome::Closed, unanswered as u64);
        } else {
            self.totals.find(Outcome::Wrong, || {
                format!("client {}: closed with {unanswered} unanswered: {error}", self.id)
            });
        }
    }

    fn silence(&self, unanswered: usize) {
        self.totals.find(Outcome::Silent, || format!("client {}: {unanswered} never answered", self.id));
    }
}

struct Connection {
    reader: Reader<ReadHalf<TlsStream<TcpStream>>>,
    writer: WriteHalf<TlsStream<TcpStream>>,
}

impl Connection {
    async fn open(plan: &Plan) -> io::Result<Self> {
        let socket = TcpStream::connect(plan.address).await?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let stream = TlsConnector::from(Arc::clone(&plan.tls)).connect(name, socket).await?;
        let (reader, writer) = tokio::io::split(stream);
        let mut connection = Self { reader: Reader { stream: reader, bytes: Vec::new(), at: 0 }, writer };
        if plan.is_resp3 {
            connection.writer.write_all(&request(&["HELLO", "3"])).await?;
            connection.writer.flush().await?;
            let hello = connection.reader.read().await?;
            if hello.field("proto") != Some(Value::Int(3)) {
                return Err(io::Error::other(format!("HELLO 3 gave {hello}")));
            }
        }
        Ok(connection)
    }

    /// Writes a pipeline, in pieces that end anywhere, while reading and judging its
    /// replies. Whether the connection can go on.
    async fn exchange(&mut self, batch: Batch, pieces: u64, judge: &Judge<'_>) -> bool {
        let Batch { bytes, wants } = batch;
        let (reader, writer) = (&mut self.reader, &mut self.writer);
        let write = async move {
            let piece =
                if pieces.is_multiple_of(4) { 1 + (pieces >> 8) as usize % 2_000 } else { bytes.len() };
            for part in bytes.chunks(piece) {
                writer.write_all(part).await?;
                writer.flush().await?;
            }
            io::Result::Ok(())
        };
        let mut answered = 0;
        let read = async {
            for want in &wants {
                judge.reply(want, &reader.read().await?);
                answered += 1;
            }
            io::Result::Ok(())
        };
        // A failed write is seen by the reader too, after what is still to be read.
        let both = async { tokio::join!(write, read).1 };
        match timeout(DEADLINE, both).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                judge.end(wants.len() - answered, &error);
                false
            }
            Err(_) => {
                judge.silence(wants.len() - answered);
                false
            }
        }
    }
}

/// A pop that waits between two echoes, and the push that it waits for, in either order.
async fn fed_pop(
    maker: &mut Maker,
    main: &mut Connection,
    feeder: &mut Connection,
    judge: &Judge<'_>,
) -> [bool; 2] {
    let (queue, token, pause) = (maker.token(), maker.token(), maker.dice.below(8));
    let popped = Value::Array(vec![Value::Bulk(queue.clone().into()), Value::Bulk(token.clone().into())]);
    let mut waiting = Batch::default();
    maker.echo(&mut waiting);
    // A push that a fault has eaten is not waited for much longer.
    waiting.ask(&[b"BLPOP", queue.as_bytes(), b"5"], Want::Is(popped));
    maker.echo(&mut waiting);
    let mut push = Batch::default();
    push.ask(&[b"RPUSH", queue.as_bytes(), token.as_bytes()], Want::Number);
    let feed = async {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        feeder.exchange(push, 1, judge).await
    };
    let (main_well, feeder_well) = tokio::join!(main.exchange(waiting, 1, judge), feed);
    [main_well, feeder_well]
}

/// A subscription to a channel of its own, and a message from the other connection.
async fn subscription(
    maker: &mut Maker,
    main: &mut Connection,
    feeder: &mut Connection,
    judge: &Judge<'_>,
) -> [bool; 2] {
    let (channel, token) = (maker.token(), maker.token());
    let (channel, token) = (channel.as_bytes(), token.as_bytes());
    let mut begin = Batch::default();
    begin.ask(&[b"SUBSCRIBE", channel], Want::Is(maker.confirmation("subscribe", channel, 1)));
    if !main.exchange(begin, 1, judge).await {
        return [false, true];
    }
    let mut publish = Batch::default();
    publish.ask(&[b"PUBLISH", channel, token], Want::Number);
    if !feeder.exchange(publish, 1, judge).await {
        return [false, false];
    }
    let message = timeout(Duration::from_secs(3), main.reader.read()).await;
    match message {
        Ok(Ok(got)) => judge.reply(&Want::Is(maker.message(channel, token)), &got),
        Ok(Err(error)) => {
            judge.end(1, &error);
            return [false, true];
        }
        // The message may have been lost with the backend, but not without one.
        Err(_) if judge.are_faults_allowed() => return [false, true],
        Err(_) => {
            judge.silence(1);
            return [false, true];
        }
    }
    let mut end = Batch::default();
    end.ask(&[b"UNSUBSCRIBE", channel], Want::Is(maker.confirmation("unsubscribe", channel, 0)));
    maker.echo(&mut end);
    [main.exchange(end, 1, judge).await, true]
}

/// Sends a pipeline, reads some of its replies, and resets the connection.
async fn reset(mut main: Connection, batch: Batch, stop_at: usize, dice: &mut Dice, judge: &Judge<'_>) {
    let unanswered = batch.wants.len() - stop_at;
    let cut = dice.below(batch.bytes.len() as u64) as usize;
    let enough: Vec<Want> = batch.wants.into_iter().take(stop_at).collect();
    let read = async {
        for want in &enough {
            let Ok(got) = main.reader.read().await else { return };
            judge.reply(want, &got);
        }
    };
    let write = async {
        // All of it, or a part that ends inside a request.
        let bytes = if cut.is_multiple_of(2) { &batch.bytes[..] } else { &batch.bytes[..cut] };
        let _ = main.writer.write_all(bytes).await;
        let _ = main.writer.flush().await;
    };
    // What is not read within this time is not waited for: the connection goes.
    let _ = timeout(Duration::from_millis(200), async { tokio::join!(write, read) }).await;
    judge.totals.count(Outcome::Closed, unanswered as u64);
    judge.totals.saw_reset();
    let stream = main.reader.stream.unsplit(main.writer);
    let _ = socket2::SockRef::from(stream.get_ref().0).set_linger(Some(Duration::ZERO));
}

struct Reader<R> {
    stream: R,
    bytes: Vec<u8>,
    at: usize,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    async fn read(&mut self) -> io::Result<Value> {
        loop {
            match resp::read(&self.bytes[self.at..]) {
                Ok((value, took)) => {
                    self.at += took;
                    return Ok(value);
                }
                Err(Stop::Garbage(line)) => return Err(io::Error::other(format!("not RESP: {line:?}"))),
                Err(Stop::Short) => {}
            }
            self.bytes.drain(..self.at);
            self.at = 0;
            self.bytes.reserve(64 * 1024);
            if self.stream.read_buf(&mut self.bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
