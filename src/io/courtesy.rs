//! Giving way. A link that is about to write lets the clients go first whose sockets are ready by then:
//! what they bring goes in the same write.

use std::pin::pin;
use std::task::Context;

/// How often it looks at the sockets before a write.
const LOOKS: u32 = 2;

/// A write of so many bytes waits for nobody.
const ENOUGH: usize = 4 * 1024;

/// A link's.
#[derive(Debug, Default)]
pub(super) struct Courtesy {
    /// How often it has looked.
    looks: u32,
}

impl Courtesy {
    /// Lets the other tasks run, and the runtime look at the sockets, if so many bytes are to be written and
    /// it has not done so often enough; then the task is woken. Whether it has to wait for that.
    pub(super) fn gives_way(&mut self, unwritten: usize, cx: &mut Context<'_>) -> bool {
        // Waking it at once would not wait for the sockets.
        if (1..ENOUGH).contains(&unwritten)
            && self.looks < LOOKS
            && pin!(tokio::task::yield_now()).poll(cx).is_pending()
        {
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
        let cases = [(9, LOOKS), (9, LOOKS), (1, 1), (0, 0), (9, LOOKS)];
        for (nothing_to_wait_for, (reasons, looks)) in
            [0, ENOUGH].into_iter().flat_map(|it| cases.map(|case| (it, case)))
        {
            let mut polls = 0;
            poll_fn(|cx| {
                polls += 1;
                let unwritten = if polls <= reasons { ENOUGH - 1 } else { nothing_to_wait_for };
                if courtesy.gives_way(unwritten, cx) { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            assert_eq!(polls - 1, looks);
        }
    }
}
