//! Replies to what the gateway has asked for itself: they prove a link, or tell something of the
//! server, and go to nobody.

use std::time::Instant;

use super::{Loss, Worker};
use crate::upstream::{Expect, LinkId, is_not_now};

impl Worker {
    /// Holds a reply against what it has to be.
    ///
    /// # Errors
    /// Why the link has to end.
    pub(super) fn own_reply(
        &mut self,
        id: LinkId,
        expect: Expect,
        frame: &[u8],
        now: Instant,
    ) -> Result<(), Loss> {
        let Some(lane) = self.links.get(id).map(|link| link.lane) else { return Ok(()) };
        match expect {
            Expect::Fence { reply, strict } if *frame != *reply && (strict || !is_not_now(frame)) => {
                return Err(Loss::OutOfStep);
            }
            Expect::Nothing if matches!(frame[0], b'-' | b'!') => return Err(Loss::Refused),
            Expect::Role => self.role_told(id, frame)?,
            Expect::Pulse => self.pulse(lane, frame, now)?,
            Expect::CommandInfo(name) => self.lanes[lane].learned.answered(&name, frame, &self.commands),
            _ => {}
        }
        Ok(())
    }
}
