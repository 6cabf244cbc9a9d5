//! One task a sentinel: connects, asks, listens, and connects again. What is said is
//! `upstream::sentinel`'s, what it means the council's.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, sleep_until, timeout};

use super::super::clock;
use super::super::node::{Node, Socket};
use super::room::Room;
use crate::upstream::Backoff;
use crate::upstream::sentinel::{Heard, Login, Talk, TalkError};

/// How often a sentinel that is away is thought of.
const AWAY: Duration = Duration::from_millis(50);

/// Why a sentinel is not listened to any more.
#[derive(Debug, Error)]
enum Lost {
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    #[error("it closed the connection")]
    Closed,
    #[error("no answer in time")]
    Silent,
    #[error(transparent)]
    Talk(#[from] TalkError),
}

/// The sentinel of this number in its council.
pub(super) struct Voice {
    pub(super) room: Rc<Room>,
    pub(super) number: usize,
    pub(super) node: Node,
    pub(super) login: Login,
}

impl Voice {
    /// Listens to it for ever. That it is away is told once.
    pub(super) async fn listen(self) {
        let (mut backoff, mut is_away) = (Backoff::default(), false);
        loop {
            let Err(lost) = self.converse(&mut backoff, &mut is_away).await;
            self.room.tell(|council, now, _| council.left(self.number, now));
            let (database, sentinel) = (&self.room.database, &self.node);
            if is_away {
                tracing::debug!(database, %sentinel, %lost, "this sentinel still does not answer");
            } else {
                tracing::warn!(database, %sentinel, %lost, "this sentinel does not answer");
            }
            is_away = true;
            // Without randomness they all come back at once, which they can bear.
            let random = getrandom::u64().unwrap_or(0);
            backoff.failed(clock::now(), &self.room.limits(), random);
            while !backoff.allows(clock::now()) {
                sleep(AWAY).await;
            }
        }
    }

    async fn converse(&self, backoff: &mut Backoff, is_away: &mut bool) -> Result<Infallible, Lost> {
        let mut socket = self.connect().await?;
        let (mut talk, first) = Talk::begin(&self.login);
        self.say(&mut socket, &first).await?;
        let (mut said_at, mut input) = (clock::now(), BytesMut::new());
        loop {
            let patience = if talk.is_waiting() { self.patience() } else { self.room.interval() };
            let mut words = None;
            tokio::select! {
                count = socket.read_buf(&mut input) => {
                    if count? == 0 {
                        return Err(Lost::Closed);
                    }
                    while let Some(heard) = talk.next(&mut input)? {
                        match heard {
                            Heard::Send(bytes) => words = Some(bytes),
                            Heard::Ready => words = talk.ask(),
                            Heard::Switch => self.room.urge(),
                            Heard::Answer(answer) => {
                                self.room.tell(|council, now, _| {
                                    council.answered(self.number, talk.id(), answer, now);
                                });
                                self.note_answer(backoff, is_away);
                            }
                        }
                    }
                }
                // The interval is another one.
                () = self.room.changed.notified() => {}
                () = sleep_until((said_at + patience).into()) => {
                    words = Some(talk.ask().ok_or(Lost::Silent)?);
                }
            }
            if let Some(words) = words {
                self.say(&mut socket, &words).await?;
                said_at = clock::now();
            }
        }
    }

    fn note_answer(&self, backoff: &mut Backoff, is_away: &mut bool) {
        backoff.succeeded();
        if std::mem::take(is_away) {
            tracing::info!(database = self.room.database, sentinel = %self.node, "this sentinel answers again");
        }
    }

    async fn connect(&self) -> Result<Socket, Lost> {
        let limits = self.room.limits();
        let times = (limits.keepalive_ms, limits.tcp_user_timeout_ms);
        let opened = timeout(self.patience(), self.node.open(times)).await;
        opened.map_err(|_elapsed| Lost::Silent)?.map_err(Lost::Connect)
    }

    async fn say(&self, socket: &mut Socket, words: &[u8]) -> Result<(), Lost> {
        let said = timeout(self.patience(), async {
            socket.write_all(words).await?;
            socket.flush().await
        });
        said.await.map_err(|_elapsed| Lost::Silent)?.map_err(Lost::Io)
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.room.limits().sentinel_timeout_ms)
    }
}
