//! Giving way. A link that is about to write lets the clients go first whose sockets are ready by then:
//! what they bring goes in the same write.

use std::pin::pin;
use std::task::Context;

/// How often it looks at the sockets before a write.
const LOOKS: u32 = 2;

/// A link's.
#[derive(Debug, Default)]
pub(super) struct Courtesy {
    /// How often it has looked.
    looks: u32,
}

impl Courtesy {
    /// Lets the other tasks run, and the runtime look at the sockets, if it is to `wait` and has not done so
    /// often enough; then the task is woken. Whether it has to wait for that.
    pub(super) fn gives_way(&mut self, wait: bool, cx: &mut Context<'_>) -> bool {
        // Waking it at once would not wait for the sockets.
        if wait && self.looks < LOOKS && pin!(tokio::task::yield_now()).poll(cx).is_pending() {
            self.looks += 1;
            return true;
        }
        self.looks = 0;
        false
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn way_is_given_so_often_before_each_write_and_not_without_a_reason() {
        let mut courtesy = Courtesy::default();
        for (reasons, looks) in [(9, LOOKS), (9, LOOKS), (1, 1), (0, 0), (9, LOOKS)] {
            let mut polls = 0;
            poll_fn(|cx| {
                polls += 1;
                if courtesy.gives_way(polls <= reasons, cx) { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            assert_eq!(polls - 1, looks);
        }
    }
}
