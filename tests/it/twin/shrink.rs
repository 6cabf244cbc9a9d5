//! The smallest part of a session that still differs: requests are left out one at a time.

use std::time::{Duration, Instant};

use super::play::{Difference, Stage};
use super::request::{Cuts, Session};

/// For all attempts together: a difference that is a silence takes long each time.
const TIME_MAX: Duration = Duration::from_secs(40);

/// The session, made smaller, and how it differs; nothing if it did not when played again.
pub(crate) fn shrink(stage: &mut Stage<'_>, session: &Session) -> (Session, Option<Difference>) {
    let mut best = (Session { fresh: true, ..session.clone() }, None);
    let start = Instant::now();
    // Three times: a race may need another try.
    for _ in 0..3 {
        best.1 = stage.play(&best.0.clone().sealed(), |_| {});
        if best.1.is_some() {
            break;
        }
    }
    if best.1.is_none() {
        return best;
    }
    let mut again = best.1.as_ref().is_some_and(|difference| !difference.text.contains("come to rest"));
    while again {
        again = false;
        for smaller in parts(&best.0) {
            if start.elapsed() > TIME_MAX {
                return best;
            }
            if let Some(difference) = stage.play(&smaller.clone().sealed(), |_| {}) {
                best = (smaller, Some(difference));
                again = true;
                break;
            }
        }
    }
    best
}

/// The session without one of its steps, without one of its requests, or with uncut bytes.
fn parts(session: &Session) -> Vec<Session> {
    let mut all = Vec::new();
    for at in (0..session.steps.len()).rev() {
        let mut without = session.clone();
        without.steps.remove(at);
        all.push(without);
    }
    for at in (0..session.steps.len()).rev() {
        let count = session.steps[at].requests.len();
        for request in (0..count).rev().filter(|_| count > 1) {
            let mut without = session.clone();
            without.steps[at].requests.remove(request);
            all.push(without);
        }
        if !matches!(session.steps[at].cuts, Cuts::Whole) {
            let mut whole = session.clone();
            whole.steps[at].cuts = Cuts::Whole;
            all.push(whole);
        }
    }
    all
}
