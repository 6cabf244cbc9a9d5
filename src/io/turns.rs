//! Whose handshake is worked on: so many at a time, further ones wait for their turn. Whoever lets
//! itself be waited for loses its turn, and has it again when it has spoken. What those hold
//! meanwhile is bounded, too. Knows no TLS.

use std::collections::BTreeMap;
use std::io;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};

/// How long a handshake keeps its turn in all while its client is waited for. Most answer sooner, so that a
/// crowd is let in one group after the other; and who sends a byte now and then keeps it no longer.
const PATIENCE: Duration = Duration::from_millis(100);

/// What all may hold together whose clients are waited for without a turn; past that the one that began
/// first is closed. Four thousand that have sent a ClientHello and nothing more.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What each of them holds besides what its client has sent: its task, and what rustls remembers.
const EACH_BYTES: usize = 12 * 1024;

/// The handshakes of all listeners.
pub struct Turns {
    places: Semaphore,
    waiting: Mutex<Waiting>,
    held_bytes_max: usize,
}

/// Handshakes without a turn whose clients are waited for.
#[derive(Default)]
struct Waiting {
    /// By number: in the order in which they have begun. One whose sender goes is closed.
    each: BTreeMap<u64, (usize, oneshot::Sender<()>)>,
    /// Invariant: the sum of theirs.
    bytes: usize,
    /// Of the next that begins.
    number: u64,
}

/// A handshake's right to be worked on, given back when it has ended.
pub struct Turn<'a> {
    turns: &'a Turns,
    number: u64,
    place: Option<SemaphorePermit<'a>>,
    /// Until then it is kept while the client is waited for.
    until: Instant,
}

/// One among those that are waited for, until it goes.
struct Left<'a> {
    turns: &'a Turns,
    number: u64,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        let mut waiting = self.turns.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((bytes, _)) = waiting.each.remove(&self.number) {
            waiting.bytes -= bytes;
        }
    }
}

impl Turns {
    /// So many at a time, at least one.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let places = Semaphore::new(most.max(1));
        Self { places, waiting: Mutex::default(), held_bytes_max: HELD_BYTES_MAX }
    }

    /// A turn for a client that has begun to speak.
    ///
    /// # Errors
    /// None: turns are given for ever.
    pub async fn begin(&self) -> io::Result<Turn<'_>> {
        let place = Some(self.place().await?);
        let number = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.number += 1;
            waiting.number
        };
        #[allow(clippy::disallowed_methods, reason = "tokio's own clock, which its timers follow")]
        let until = Instant::now() + PATIENCE;
        Ok(Turn { turns: self, number, place, until })
    }

    async fn place(&self) -> io::Result<SemaphorePermit<'_>> {
        self.places.acquire().await.map_err(io::Error::other)
    }

    /// Puts one among those that are waited for. What it is given ends when it is to be closed.
    fn leave(&self, number: u64, bytes: usize) -> (Left<'_>, oneshot::Receiver<()>) {
        let (sender, closed) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.each.insert(number, (bytes, sender));
        waiting.bytes += bytes;
        while waiting.bytes > self.held_bytes_max
            && let Some((_, (bytes, _))) = waiting.each.pop_first()
        {
            waiting.bytes -= bytes;
        }
        drop(waiting);
        (Left { turns: self, number }, closed)
    }
}

impl Turn<'_> {
    /// Waits for what the client says next, of which there is room for so many bytes. Afterwards it is
    /// this handshake's turn.
    ///
    /// # Errors
    /// As `next` fails, or if others need the memory.
    pub async fn await_client<T>(
        &mut self,
        room: usize,
        next: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let mut next = pin!(next);
        if let Ok(came) = timeout_at(self.until, next.as_mut()).await {
            return came;
        }
        self.place = None;
        let (left, closed) = self.turns.leave(self.number, EACH_BYTES + room);
        let came = tokio::select! {
            biased;
            came = next => came?,
            _ = closed => return Err(crowded_out()),
        };
        drop(left);
        self.place = Some(self.turns.place().await?);
        Ok(came)
    }
}

fn crowded_out() -> io::Error {
    let why = "closed while it was waited for: too many others have begun a handshake as well";
    io::Error::new(io::ErrorKind::TimedOut, why)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    /// Runs it, and fails where it does not end.
    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let limited = async { tokio::time::timeout(Duration::from_secs(20), test).await };
        runtime.block_on(limited).expect("it goes on");
    }

    #[test]
    fn who_is_waited_for_keeps_nobody_from_their_turn() {
        run(async {
            let turns = Turns::new(1);
            let mut silent = turns.begin().await.expect("open");
            let (asked, answer) = oneshot::channel();
            let silent = async {
                silent
                    .await_client(0, async { answer.await.map_err(io::Error::other) })
                    .await
                    .expect("it came");
                assert_eq!(turns.places.available_permits(), 0, "its turn again");
            };
            let other = async {
                let mut turn = turns.begin().await.expect("open");
                turn.await_client(0, ready(Ok(()))).await.expect("there at once");
                asked.send(()).expect("it is waited for");
                tokio::task::yield_now().await;
            };
            tokio::join!(silent, other);
            let waiting = turns.waiting.lock().expect("not poisoned");
            assert_eq!((waiting.each.len(), waiting.bytes), (0, 0));
        });
    }

    #[test]
    fn a_byte_now_and_then_makes_no_turn_longer() {
        run(async {
            let turns = Turns::new(1);
            let mut slow = turns.begin().await.expect("open");
            let until = slow.until;
            let soon = async {
                tokio::time::sleep(PATIENCE / 4).await;
                Ok(())
            };
            slow.await_client(0, soon).await.expect("it came");
            assert_eq!((slow.until, turns.places.available_permits()), (until, 0));
            let (say, said) = oneshot::channel();
            let seen = async {
                while turns.places.available_permits() == 0 {
                    tokio::time::sleep(PATIENCE / 10).await;
                }
                say.send(()).expect("it is waited for");
            };
            let (came, ()) =
                tokio::join!(slow.await_client(0, async { said.await.map_err(io::Error::other) }), seen);
            came.expect("it came");
        });
    }

    #[test]
    fn what_is_held_is_bounded_and_who_began_first_is_closed() {
        run(async {
            let turns = Turns { held_bytes_max: 3 * EACH_BYTES, ..Turns::new(8) };
            let mut begun = Vec::new();
            for _ in 0..4 {
                begun.push(turns.begin().await.expect("open"));
            }
            let mut fourth = begun.pop().expect("there are four");
            let mut third = begun.pop().expect("there are four");
            let mut second = begun.pop().expect("there are four");
            let mut first = begun.pop().expect("there are four");
            let forever = || pending::<io::Result<()>>();
            let ended = tokio::select! {
                ended = first.await_client(0, forever()) => ended,
                _ = async { tokio::join!(
                    second.await_client(0, forever()),
                    third.await_client(0, forever()),
                    fourth.await_client(0, forever()),
                ) } => unreachable!("they wait for ever"),
            };
            assert_eq!(ended.expect_err("closed").kind(), io::ErrorKind::TimedOut);
            assert_eq!(turns.waiting.lock().expect("not poisoned").bytes, 0, "all have gone");
        });
    }
}
