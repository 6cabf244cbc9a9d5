//! WAIT and WAITAOF, which ask about the writes of their own connection, for a session whose
//! writes have gone over others.
//!
//! The session's own link is marked first, behind all that the session was answered: up to Redis
//! 7.0 by any command, later by one that goes to the replicas. SPUBLISH does, changes nothing,
//! and no pattern hears it. Without a mark there is no answer: it would count replicas that lack
//! the writes.

use std::time::Instant;

use bytes::{Buf, BytesMut};

use super::Worker;
use crate::resp::write;
use crate::session::SessionId;
use crate::upstream::{Expect, LinkId, Server};

/// A shard channel that nobody listens to.
const CHANNEL: &[u8] = b"respgate:wait";

/// The answer where the link could not be marked.
const UNMARKED: &str =
    "NOPERM respgate: WAIT needs the Redis user's right to SPUBLISH on the channel respgate:wait";

impl Worker {
    /// Gives the session's own link an offset at or past the session's last write.
    pub(super) fn mark(&mut self, id: SessionId, on: LinkId, now: Instant) {
        if let Some(link) = self.links.get_mut(on) {
            link.claim(id, 1, Expect::Mark { replicates: false }, now);
            link.append(&write::command(&[b"PING"]));
            link.claim(id, 1, Expect::Mark { replicates: true }, now);
            link.append(&write::command(&[b"SPUBLISH", CHANNEL, b""]));
        }
    }

    /// The first of the two that mark the link has been answered, or the second.
    pub(super) fn marked(&mut self, on: LinkId, id: SessionId, replicates: bool, is_error: bool) {
        let Some(link) = self.links.get(on) else { return };
        let any_marks = self.lanes[link.lane].server.as_ref().is_some_and(any_command_marks);
        if let Some(pinned) = self.sessions.get_mut(id).and_then(|session| session.pinned.as_mut()) {
            let is_marked = !is_error && (replicates || any_marks);
            pinned.is_marked = is_marked || (replicates && pinned.is_marked);
        }
    }

    /// WAIT has been answered, of which the client hears only if it can be believed.
    pub(super) fn waited(&mut self, id: SessionId, input: &mut BytesMut, len: usize, now: Instant) {
        let pinned = self.sessions.get(id).and_then(|session| session.pinned.as_ref());
        if input[0] == b'-' || pinned.is_some_and(|pinned| pinned.is_marked) {
            return self.give(id, input, len, true, now);
        }
        input.advance(len);
        let mut reply = BytesMut::from(&write::error(UNMARKED)[..]);
        let len = reply.len();
        self.give(id, &mut reply, len, true, now);
    }
}

/// Redis 7.0 and before took the offset of the last command, whatever it was.
fn any_command_marks(server: &Server) -> bool {
    let mut parts = server.version.split('.').map(|part| part.parse::<u32>().unwrap_or(u32::MAX));
    let (major, minor) = (parts.next().unwrap_or(u32::MAX), parts.next().unwrap_or(u32::MAX));
    server.name == "redis" && (major, minor) <= (7, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_servers_are_marked_by_any_command() {
        for (name, version, old) in [
            ("redis", "6.2.14", true),
            ("redis", "7.0.15", true),
            ("redis", "7.2.0", false),
            ("redis", "8.2.3", false),
            ("valkey", "7.0.1", false),
            ("redis", "unknown", false),
            ("redis", "7", false),
        ] {
            let server = Server {
                name: name.to_owned(),
                version: version.to_owned(),
                mode: String::new(),
                role: String::new(),
                modules: Vec::new(),
            };
            assert_eq!(any_command_marks(&server), old, "{name} {version}");
        }
    }
}
