//! Clients that do not do as one should: they reset, finish early, read late, or write byte by
//! byte. What they do is their own; nobody else may notice.

use std::time::Duration;

use tokio::time::timeout;

use super::DEADLINE;
use super::client::{Connection, Judge};
use super::kinds::{Batch, Maker};
use super::totals::Outcome;

/// A way to behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Habit {
    /// A TCP reset, anywhere in a request or among the replies.
    Resets,
    /// FIN behind a pipeline, or in the middle of one of its requests.
    Finishes,
    /// Large replies, and no reading for up to three seconds.
    ReadsLate,
    /// Each byte by itself.
    Drips,
}

/// One turn of such a client; its connection, where that goes on.
pub(super) async fn turn(
    habit: Habit,
    maker: &mut Maker,
    mut main: Connection,
    judge: Judge<'_>,
) -> Option<Connection> {
    judge.totals.saw_habit();
    match habit {
        Habit::Resets => reset(maker, main, &judge).await,
        Habit::Finishes => finish(maker, main, &judge).await,
        Habit::ReadsLate => {
            let pause = Duration::from_millis(maker.dice.magnitude(3_000));
            let judge = Judge { may_end: true, ..judge };
            let is_well = main.exchange_late(maker.feast(), 1, pause, &judge).await;
            return is_well.then_some(main);
        }
        Habit::Drips => {
            let mut batch = Batch::default();
            while batch.bytes.len() < 600 {
                maker.add(&mut batch);
            }
            // One that is large by chance would take for ever.
            let pieces = if batch.bytes.len() < 4_000 { 0 } else { 1 };
            return main.exchange(batch, pieces, &judge).await.then_some(main);
        }
    }
    None
}

/// Sends a pipeline, reads some of its replies, and resets the connection.
async fn reset(maker: &mut Maker, mut main: Connection, judge: &Judge<'_>) {
    let batch = maker.batch();
    let stop_at = maker.dice.below(batch.wants.len() as u64) as usize;
    let cut = maker.dice.below(batch.bytes.len() as u64) as usize;
    // All of it, or a part that ends inside a request.
    let bytes = if cut.is_multiple_of(2) { &batch.bytes[..] } else { &batch.bytes[..cut] };
    // What is not read within this time is not waited for: the connection goes.
    let talk = main.converse(bytes, false, &batch.wants[..stop_at], judge);
    let _ = timeout(Duration::from_millis(200), talk).await;
    judge.totals.count(Outcome::Closed, (batch.wants.len() - stop_at) as u64);
    main.reset();
}

/// Sends a pipeline and no more. What is whole and does not wait for anybody is answered;
/// what is not whole is as if it had not been sent.
async fn finish(maker: &mut Maker, mut main: Connection, judge: &Judge<'_>) {
    let mut batch = Batch::default();
    let is_plain = maker.dice.is_one_in(2);
    for _ in 0..maker.dice.magnitude(100) {
        if is_plain { maker.echo(&mut batch) } else { maker.add(&mut batch) }
    }
    let is_whole = maker.dice.is_one_in(2);
    let cut = maker.dice.below(batch.bytes.len() as u64) as usize;
    let bytes = if is_whole { &batch.bytes[..] } else { &batch.bytes[..cut] };
    let (mut answered, mut error) = (0, None);
    let end = timeout(DEADLINE, async {
        (answered, error) = main.converse(bytes, true, &batch.wants, judge).await;
        error.is_some() || main.ends().await
    })
    .await;
    let unanswered = batch.wants.len() - answered;
    let must_answer = is_plain && is_whole && !judge.are_losses_allowed();
    match end {
        Err(_) => judge.silence(unanswered),
        Ok(false) => judge.totals.find(Outcome::Wrong, || "a reply behind the last".to_owned()),
        Ok(true) if must_answer && unanswered > 0 => judge.totals.find(Outcome::Wrong, || {
            let (id, all, bytes) = (judge.id, batch.wants.len(), batch.bytes.len());
            format!("client {id}: {unanswered} of {all} ({bytes} bytes) unanswered after FIN: {error:?}")
        }),
        Ok(true) => judge.totals.count(Outcome::Closed, unanswered as u64),
    }
}
