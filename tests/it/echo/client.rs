//! One client of the echo: a connection, a second one that feeds it, and the
//! pipelines it sends. Decides nothing about replies: `kinds` judges them.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::DEADLINE;
use super::habits;
use super::kinds::{Batch, Maker, NOT_SENT, Want, judge};
use super::terms::{Losses, Terms};
use super::totals::{Outcome, Phase, Totals};
use crate::resp::{self, Stop, Value, request};

/// Who a client is.
pub(super) struct Plan {
    pub(super) id: u32,
    pub(super) user: &'static str,
    pub(super) is_resp3: bool,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) terms: Arc<Terms>,
}

/// Runs until the phase is `End`.
pub(super) async fn run(plan: Plan, totals: Arc<Totals>) {
    let maker = Maker::new(plan.id, plan.user, plan.is_resp3, plan.terms.diet);
    let mut client = Client { plan, totals, maker, main: None, feeder: None, has_met_faults: false };
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
    /// In the turn before.
    has_met_faults: bool,
}

impl Client {
    /// One pipeline, or one scene of two connections. A connection that ended is replaced.
    async fn turn(&mut self) {
        let (was_faulty, faults_before) = (self.totals.phase() == Phase::Faults, self.totals.faults());
        if std::mem::replace(&mut self.has_met_faults, was_faulty) && !was_faulty {
            self.forget();
        }
        let Some(mut main) = self.connection(true, was_faulty).await else { return };
        let Some(mut feeder) = self.connection(false, was_faulty).await else { return };
        let terms = &*self.plan.terms;
        let judge = Judge {
            id: self.plan.id,
            totals: &self.totals,
            terms,
            was_faulty,
            faults_before,
            began: Instant::now(),
            may_end: false,
        };
        let habit = terms.habit.filter(|_| was_faulty && self.maker.dice.is_one_in(terms.habit_one_in));
        let is_well = match (habit, self.maker.dice.below(100)) {
            (Some(habit), _) => {
                self.feeder = Some(feeder);
                self.main = habits::turn(habit, &mut self.maker, main, judge).await;
                return;
            }
            (None, 0..3) => fed_pop(&mut self.maker, &mut main, &mut feeder, &judge).await,
            (None, 3..6) => subscription(&mut self.maker, &mut main, &mut feeder, &judge).await,
            (None, _) => {
                let batch = self.maker.batch();
                let pieces = self.maker.dice.roll();
                [main.exchange(batch, pieces, &judge).await, true]
            }
        };
        self.main = is_well[0].then_some(main);
        self.feeder = is_well[1].then_some(feeder);
    }

    /// A gateway that is gone takes connections along that are not looked at before the next turn.
    fn forget(&mut self) {
        if self.plan.terms.may_be_refused {
            (self.main, self.feeder) = (None, None);
        }
    }

    async fn connection(&mut self, is_main: bool, was_faulty: bool) -> Option<Connection> {
        let kept = if is_main { self.main.take() } else { self.feeder.take() };
        if kept.is_some() {
            return kept;
        }
        let began = Instant::now();
        let error = match timeout(DEADLINE, Connection::open(&self.plan)).await {
            Ok(Ok(connection)) => return Some(connection),
            Ok(Err(error)) => error,
            Err(_) => {
                self.totals.find(Outcome::Silent, || format!("client {}: no connection", self.plan.id));
                return None;
            }
        };
        let mut is_explained = was_faulty || self.totals.phase() == Phase::Faults;
        if !is_explained {
            is_explained = self.plan.terms.was_accident(began).await;
        }
        let is_told = error.get_ref().is_some_and(|told| told.is::<NotGreeted>());
        if is_explained && is_told && self.plan.terms.allows_losses(true) {
            self.totals.count(Outcome::NotSent, 1);
        } else if self.plan.terms.may_be_refused && is_explained {
            self.totals.count(Outcome::Refused, 1);
            tokio::time::sleep(Duration::from_millis(20)).await;
        } else {
            self.totals.find(Outcome::Wrong, || format!("client {} cannot connect: {error}", self.plan.id));
        }
        None
    }
}

/// Counts what comes back.
pub(super) struct Judge<'a> {
    pub(super) id: u32,
    pub(super) totals: &'a Totals,
    pub(super) terms: &'a Terms,
    pub(super) was_faulty: bool,
    /// How often there had been faults when it began.
    pub(super) faults_before: u64,
    /// When it began.
    pub(super) began: Instant,
    /// Whether this client has given a reason to close its connection.
    pub(super) may_end: bool,
}

impl Judge<'_> {
    pub(super) fn are_losses_allowed(&self) -> bool {
        self.terms.allows_losses(self.are_there_faults())
    }

    fn are_there_faults(&self) -> bool {
        self.was_faulty || self.totals.faults() > self.faults_before
    }

    /// The same, where something else than an inflicted fault may explain them.
    async fn are_losses_explained(&self) -> bool {
        self.are_losses_allowed() || self.terms.was_accident(self.began).await
    }

    async fn reply(&self, want: &Want, got: &Value) {
        let may_be_lost = self.are_losses_allowed();
        let is_loss = !may_be_lost
            && judge(self.id, want, got, false).is_finding()
            && !judge(self.id, want, got, true).is_finding();
        let may_be_lost = may_be_lost || (is_loss && self.are_losses_explained().await);
        let outcome = match judge(self.id, want, got, may_be_lost) {
            outcome if outcome.is_finding() && self.terms.explains(got) => Outcome::Shifted,
            outcome if outcome.is_finding() && self.terms.may_move(want, got, self.are_there_faults()) => {
                Outcome::NotSent
            }
            outcome => outcome,
        };
        if matches!(want, Want::User(_)) && outcome == Outcome::Right {
            self.totals.saw_whoami();
        }
        if !outcome.is_finding() {
            return self.totals.count(outcome, 1);
        }
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

    /// The connection ended with so many requests unanswered.
    async fn end(&self, unanswered: usize, error: &io::Error) {
        // No fault of Redis explains what is not RESP or not TLS.
        let is_close = error.kind() != io::ErrorKind::InvalidData;
        if is_close && (self.may_end || self.are_losses_explained().await) {
            self.totals.count(Outcome::Closed, unanswered as u64);
        } else {
            self.totals.find(Outcome::Wrong, || {
                format!("client {}: closed with {unanswered} unanswered: {error}", self.id)
            });
        }
    }

    pub(super) fn silence(&self, unanswered: usize) {
        self.totals.find(Outcome::Silent, || format!("client {}: {unanswered} never answered", self.id));
    }
}

/// The first HELLO 3 of a user has to wait for Redis, which was not there.
#[derive(Debug, thiserror::Error)]
#[error("HELLO 3 was not sent")]
struct NotGreeted;

pub(super) struct Connection {
    reader: Reader<ReadHalf<TlsStream<TcpStream>>>,
    writer: WriteHalf<TlsStream<TcpStream>>,
}

impl Connection {
    async fn open(plan: &Plan) -> io::Result<Self> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, plan.terms.port.load(Relaxed))).await?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let stream = TlsConnector::from(Arc::clone(&plan.tls)).connect(name, socket).await?;
        let (reader, writer) = tokio::io::split(stream);
        let mut connection = Self { reader: Reader { stream: reader, bytes: Vec::new(), at: 0 }, writer };
        if plan.is_resp3 {
            connection.writer.write_all(&request(&["HELLO", "3"])).await?;
            connection.writer.flush().await?;
            let hello = connection.reader.read().await?;
            if matches!(&hello, Value::Error(text) if text == NOT_SENT) {
                return Err(io::Error::other(NotGreeted));
            }
            if hello.field("proto") != Some(Value::Int(3)) {
                return Err(io::Error::other(format!("HELLO 3 gave {hello}")));
            }
        }
        Ok(connection)
    }

    /// Writes a pipeline, in pieces that end anywhere, while reading and judging its
    /// replies. Whether the connection can go on.
    pub(super) async fn exchange(&mut self, batch: Batch, pieces: u64, judge: &Judge<'_>) -> bool {
        self.exchange_late(batch, pieces, Duration::ZERO, judge).await
    }

    /// The same, reading nothing for a while.
    pub(super) async fn exchange_late(
        &mut self,
        batch: Batch,
        pieces: u64,
        pause: Duration,
        judge: &Judge<'_>,
    ) -> bool {
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
            tokio::time::sleep(pause).await;
            for want in &wants {
                judge.reply(want, &reader.read().await?).await;
                answered += 1;
            }
            io::Result::Ok(())
        };
        // A failed write is seen by the reader too, after what is still to be read.
        let both = async { tokio::join!(write, read).1 };
        match timeout(DEADLINE, both).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                judge.end(wants.len() - answered, &error).await;
                false
            }
            Err(_) => {
                judge.silence(wants.len() - answered);
                false
            }
        }
    }
}

/// For those who do not go on.
impl Connection {
    /// Writes these bytes, and nothing after them if `is_last`, while reading and judging
    /// replies. How many came, and why no more did.
    pub(super) async fn converse(
        &mut self,
        bytes: &[u8],
        is_last: bool,
        wants: &[Want],
        judge: &Judge<'_>,
    ) -> (usize, Option<io::Error>) {
        let (reader, writer) = (&mut self.reader, &mut self.writer);
        let write = async {
            if writer.write_all(bytes).await.is_ok() {
                let _ = if is_last { writer.shutdown().await } else { writer.flush().await };
            }
        };
        let read = async {
            for (number, want) in wants.iter().enumerate() {
                match reader.read().await {
                    Ok(got) => judge.reply(want, &got).await,
                    Err(error) => return (number, Some(error)),
                }
            }
            (wants.len(), None)
        };
        tokio::join!(write, read).1
    }

    /// Whether the other side ends the connection without another reply.
    pub(super) async fn ends(&mut self) -> bool {
        self.reader.read().await.is_err()
    }

    /// Ends with a TCP reset.
    pub(super) fn reset(self) {
        let stream = self.reader.stream.unsplit(self.writer);
        let _ = socket2::SockRef::from(stream.get_ref().0).set_linger(Some(Duration::ZERO));
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
    let is_sure = matches!(judge.terms.losses, Losses::Never | Losses::Moved);
    let patience: &[u8] = if is_sure { b"30" } else { b"5" };
    waiting.ask(&[b"BLPOP", queue.as_bytes(), patience], Want::Is(popped));
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
    let (began, patience) = (Instant::now(), Duration::from_secs(3));
    let message = loop {
        match timeout(patience, main.reader.read()).await {
            Ok(message) => break message,
            // The message may have been lost with the backend, but not without one.
            Err(_) if judge.are_losses_explained().await => return [false, true],
            Err(_) if began.elapsed() > DEADLINE => {
                judge.silence(1);
                return [false, true];
            }
            Err(_) => {}
        }
    };
    match message {
        Ok(got) => judge.reply(&Want::Is(maker.message(channel, token)), &got).await,
        Err(error) => {
            judge.end(1, &error).await;
            return [false, true];
        }
    }
    let mut end = Batch::default();
    end.ask(&[b"UNSUBSCRIBE", channel], Want::Is(maker.confirmation("unsubscribe", channel, 0)));
    maker.echo(&mut end);
    [main.exchange(end, 1, judge).await, true]
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
                Err(Stop::Garbage(line)) => {
                    let what = format!("not RESP: {line:?}");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
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
