//! What workers tell each other, from thread to thread: bounded queues, and nothing of what
//! is said.

use tokio::sync::mpsc;

use crate::worker::Message;

/// Messages to one worker that it has not taken. A client that asks about others waits for
/// its answer, so there are few.
const QUEUE_MAX: usize = 1024;

/// The way to every worker, itself included.
#[derive(Clone)]
pub(super) struct Peers(Vec<mpsc::Sender<Message>>);

/// What the others tell one worker.
pub(super) type Inbox = mpsc::Receiver<Message>;

/// The ways between so many workers.
pub(super) fn ways(workers: usize) -> (Peers, Vec<Inbox>) {
    let (senders, inboxes) = (0..workers).map(|_| mpsc::channel(QUEUE_MAX)).unzip();
    (Peers(senders), inboxes)
}

impl Peers {
    /// Nobody waits for it: a question that gets lost is given up after its time.
    pub(super) fn tell(&self, worker: usize, message: Message) {
        if self.0.get(worker).is_none_or(|queue| queue.try_send(message).is_err()) {
            tracing::warn!(
                worker,
                "a question to another worker was lost: its queue is full, or it has ended"
            );
        }
    }
}
