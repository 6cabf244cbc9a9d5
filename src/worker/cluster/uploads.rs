//! Requests too large to hold, which go to the session's own link as they arrive: at which node
//! that has to be is told by their first key, if it has arrived.

use super::super::Worker;
use crate::command::Keys;
use crate::command::slot::slot;
use crate::resp::{Request, args};
use crate::session::{SessionId, Stall, To};

const TOO_LARGE: &str = "ERR respgate: request too large for its command";

/// Why such a request goes nowhere now.
pub(in super::super) enum NotAimed {
    /// It waits.
    Stall(Stall),
    /// This is wrong with it.
    Refused(&'static str),
}

impl Worker {
    /// Has the session's own link at the node of a request of which this much has arrived. With one
    /// server there is nothing to do.
    pub(in super::super) fn aim_upload(
        &mut self,
        id: SessionId,
        held: &[u8],
        request: &Request,
    ) -> Result<(), NotAimed> {
        let Some(session) = self.sessions.get(id) else { return Ok(()) };
        if self.clusters.map(session.database).is_none() {
            return Ok(());
        }
        if session.is_bound() {
            // It stays where it is; a node that is not its key's says so.
            return Ok(());
        }
        let first = match self.commands.keys(held, request) {
            Some(Keys::Range { first, .. }) => usize::from(first),
            Some(Keys::Counted { count, other: 0, .. }) => usize::from(count) + 1,
            Some(Keys::Counted { other, .. }) => usize::from(other),
            Some(Keys::Named { .. }) => 1,
            Some(Keys::None | Keys::Streams | Keys::Migrate) | None => {
                return Err(NotAimed::Refused(TOO_LARGE));
            }
        };
        let Some(key) = args(held).nth(first) else { return Err(NotAimed::Refused(TOO_LARGE)) };
        let Some(node) = self.node_to(id, To::Slot(slot(key))) else {
            return Err(NotAimed::Refused(super::flights::DOWN));
        };
        self.move_to_node(id, node).map_err(NotAimed::Stall)
    }
}
