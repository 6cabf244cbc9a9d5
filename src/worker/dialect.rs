//! What servers say in different words, or read differently, where the gateway does it for
//! them. A worker knows once one of its links has been greeted.

use std::time::Instant;

use super::Worker;
use super::input::Input;
use super::requests::Flow;
use crate::command::Answer;
use crate::resp::{Request, joined_inline, write};
use crate::session::SessionId;
use crate::upstream::Server;

/// How the server behind the gateway speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dialect {
    /// Redis before 7.2: its refusals name no user, and it lacks what 7.2 added to CLIENT.
    is_before_7_2: bool,
    /// Valkey from 8 on: READONLY and READWRITE are welcome without a cluster.
    takes_readonly: bool,
    /// Valkey 9: in an inline request a word goes on behind a closing quote.
    pub(super) joins_quotes: bool,
}

impl Dialect {
    /// The server's, from what it said in its greeting.
    pub(super) fn of(server: &Server) -> Self {
        let mut parts = server.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        let is_valkey = server.name == "valkey";
        Self {
            is_before_7_2: !is_valkey && version < (7, 2),
            takes_readonly: is_valkey && version >= (8, 0),
            joins_quotes: is_valkey && version >= (9, 0),
        }
    }

    /// Whether what is answered depends on who the server is.
    pub(super) fn decides(answer: Answer) -> bool {
        matches!(answer, Answer::ClientSetInfo | Answer::ClientNoTouch | Answer::NotClustered)
    }

    /// Whether this is READONLY or READWRITE, and the server takes it.
    pub(super) fn takes(self, answer: Answer, name: &[u8]) -> bool {
        self.takes_readonly && answer == Answer::NotClustered && !name.eq_ignore_ascii_case(b"ASKING")
    }

    /// The server's words about a subcommand that it does not have.
    pub(super) fn lacks(self, answer: Answer, args: &[&[u8]]) -> Option<String> {
        let is_lacking = match answer {
            Answer::ClientSetInfo | Answer::ClientNoTouch => self.is_before_7_2,
            // What a server that has it would announce concerns the gateway's connections.
            Answer::ClientMaintNotifications => true,
            _ => false,
        };
        let name = String::from_utf8_lossy(args.get(1)?);
        is_lacking.then(|| format!("ERR unknown subcommand '{name}'. Try CLIENT HELP."))
    }
}

impl Worker {
    /// How the server of a session speaks, as far as that is known.
    pub(super) fn dialect(&self, id: SessionId) -> Dialect {
        self.known_dialect(id).unwrap_or_default()
    }

    fn known_dialect(&self, id: SessionId) -> Option<Dialect> {
        let lane = self.sessions.get(id)?.lane;
        self.nodes.get(self.lanes[lane].key.node)?.dialect
    }

    /// Waits for the session's first link to be greeted, where no link to its node has been.
    /// The error is what becomes of the request meanwhile, or for want of a server.
    pub(super) fn await_dialect(&mut self, id: SessionId, now: Instant) -> Result<(), Flow> {
        if self.known_dialect(id).is_some() {
            return Ok(());
        }
        let Some(session) = self.sessions.get(id) else { return Err(Flow::Done) };
        let (proto, db) = (session.proto, session.db);
        self.greeted_lane(id, proto, db, now).map(|_| ())
    }

    /// Refuses the command at the front of the input.
    pub(super) fn refuse<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        name: &str,
        now: Instant,
    ) -> Flow {
        match self.await_dialect(id, now) {
            Ok(()) => {}
            Err(Flow::Done) => {
                input.skip(request.len);
                return Flow::Done;
            }
            Err(wait) => return wait,
        }
        self.end_caching(id, now);
        self.refuse_command(id, name);
        input.skip(request.len);
        Flow::Done
    }

    /// Redis' own words for a command that the user may not send.
    pub(super) fn refuse_command(&mut self, id: SessionId, name: &str) {
        self.tally.refused_commands += 1;
        let Some(session) = self.sessions.get(id) else { return };
        let who = match self.dialect(id).is_before_7_2 {
            true => "this user".to_owned(),
            false => format!("User {}", session.permit.credential().redis_user),
        };
        let text = format!("NOPERM {who} has no permissions to run the '{name}' command");
        self.answer_bytes(id, write::error(&text));
    }

    /// Whether the server would read this line, of which Redis says that its quotes are unbalanced.
    pub(super) fn reads_joined(&self, id: SessionId, input: &[u8]) -> bool {
        self.dialect(id).joins_quotes && joined_inline(input).is_some()
    }

    /// The same line, read as the server would.
    pub(super) fn inline_joined<I: Input>(&mut self, id: SessionId, input: &mut I, now: Instant) -> Flow {
        match joined_inline(input.bytes()) {
            Some((len, strict)) => self.inline(id, input, len, &strict, now),
            None => Flow::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialect(name: &str, version: &str) -> Dialect {
        Dialect::of(&Server {
            name: name.to_owned(),
            version: version.to_owned(),
            mode: String::new(),
            role: String::new(),
            modules: Vec::new(),
        })
    }

    #[test]
    fn only_an_old_redis_lacks_setinfo_and_only_a_new_valkey_joins_quotes() {
        let args: [&[u8]; 2] = [b"client", b"SetInfo"];
        let words = "ERR unknown subcommand 'SetInfo'. Try CLIENT HELP.".to_owned();
        for (name, version, lacks, joins_quotes) in [
            ("redis", "7.0.15", Some(words), false),
            ("redis", "7.2.0", None, false),
            ("redis", "8.2.3", None, false),
            ("valkey", "8.0.1", None, false),
            ("valkey", "9.1.2", None, true),
        ] {
            let dialect = dialect(name, version);
            assert_eq!(dialect.lacks(Answer::ClientSetInfo, &args), lacks, "{name} {version}");
            assert_eq!(dialect.joins_quotes, joins_quotes, "{name} {version}");
            assert_eq!(
                dialect.takes(Answer::NotClustered, b"readonly"),
                name == "valkey",
                "{name} {version}"
            );
            assert!(!dialect.takes(Answer::NotClustered, b"asking"));
            assert_eq!(dialect.lacks(Answer::ClientSetName, &args), None);
        }
    }
}
