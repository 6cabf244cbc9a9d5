//! Commands that the table does not know: which way they go, and who is asked about them.
//!
//! The first uses travel on links of their sessions' own, and nobody waits. The answer of the
//! lane's server serves later uses.

use std::time::Instant;

use slab::Slab;

use super::Worker;
use super::lanes::NOBODY;
use crate::command::{Class, Commands, Verdict, Why};
use crate::resp::Request;
use crate::session::{Session, SessionId};
use crate::upstream::{Expect, Lane};

/// The table's verdict on a request, or the server's where the table knows nothing.
#[inline]
pub(super) fn verdict(
    commands: &Commands,
    lanes: &Slab<Lane>,
    session: &Session,
    input: &[u8],
    request: &Request,
) -> Verdict {
    match commands.classify(input, request, &session.permit.user().commands) {
        Verdict::Pass(Class::Pin(Why::Unknown))
            if lanes[session.lane].learned.shares(&input[request.name.clone()]) =>
        {
            Verdict::Pass(Class::Share)
        }
        verdict => verdict,
    }
}

impl Worker {
    /// Asks the server about a name, over a shared link: on the session's own a script of its
    /// could answer. A link without room is not asked, and the next use tries again.
    pub(super) fn ask_about(&mut self, id: SessionId, word: &[u8], now: Instant) {
        // A session that is bound to its link would go on there whatever the answer is.
        let Some(session) = self.sessions.get(id).filter(|session| !session.is_bound()) else { return };
        let lane = session.lane;
        // A container is known, and its subcommand is a newer server's: HIMPORT SET looks like
        // any write, and needs what HIMPORT PREPARE has left in the connection.
        let Some(name) = self.lanes[lane].learned.unasked(word).filter(|name| !self.commands.knows(name))
        else {
            return;
        };
        let on = match self.lanes[lane].shared.first() {
            Some(&link) => link,
            None => self.open_shared(lane, now),
        };
        let Some(link) = self.links.get_mut(on) else { return };
        if link.in_flight >= self.limits.fail_fast_commands
            || link.backlog() >= self.limits.link_queue_bytes_max
        {
            return;
        }
        let question = self.lanes[lane].learned.ask(&name);
        link.claim(NOBODY, 1, Expect::CommandInfo(name), now);
        link.append(&question);
        self.wake_link(on);
    }
}
