//! Giving way. Who is about to write lets the others go first whose sockets are ready by then: what
//! they bring goes in the same write.

use std::pin::pin;
use std::task::Context;

/// Somebody who writes.
#[derive(Debug)]
pub(super) struct Courtesy {
    /// How often it gives way before a write.
    most: u32,
    /// How often it has.
    given: u32,
}

impl Courtesy {
    pub(super) fn new(most: u32) -> Self {
        Self { most, given: 0 }
    }

    /// Lets the other tasks run, and the runtime look at the sockets, if it `would` and has not done so
    /// often enough; then the task is woken. Whether it has to wait for that.
    pub(super) fn gives_way(&mut self, would: bool, cx: &mut Context<'_>) -> bool {
        // Waking it at once would not wait for the sockets.
        if would && self.given < self.most && pin!(tokio::task::yield_now()).poll(cx).is_pending() {
            self.given += 1;
            return true;
        }
        self.given = 0;
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
        let mut courtesy = Courtesy::new(2);
        for (reasons, given) in [(9, 2), (9, 2), (1, 1), (0, 0), (9, 2)] {
            let mut polls = 0;
            poll_fn(|cx| {
                polls += 1;
                if courtesy.gives_way(polls <= reasons, cx) { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            assert_eq!(polls - 1, given);
        }
    }
}
