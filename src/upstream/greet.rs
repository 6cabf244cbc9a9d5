//! The greeting: what a link says before the first client's byte, one command at
//! a time, each reply awaited.
//!
//! AUTH goes alone: on Redis 7.2 to 8.x a failing AUTH that is not first in its
//! batch loses its reply (redis #15640), and every later reply would be off by one.

use redis_protocol::resp3::types::{BytesFrame, Resp3Frame};
use thiserror::Error;

use super::LaneKey;
use crate::resp::{Proto, write};
use crate::secret::Secret;

/// A greeting's replies are small; HELLO with many modules is the longest.
pub(crate) const REPLY_BYTES_MAX: usize = 64 * 1024;

/// The name that the gateway's links have in the backend's CLIENT LIST.
const LINK_NAME: &[u8] = b"respgate";

/// What the backend says of itself in its answer to HELLO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `redis` or `valkey`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `standalone`, `cluster` or `sentinel`.
    pub mode: String,
    /// `master` or `replica`.
    pub role: String,
    /// The value of `modules`, in the protocol version of the greeting.
    pub modules: Vec<u8>,
}

/// What a backend has to be for a link to be greeted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one that takes writes.
    Master,
    /// One that follows it.
    Replica,
}

impl Role {
    /// As the backend says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Replica => "replica",
        }
    }
}

/// Why a link could not be greeted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GreetError {
    /// The backend refused the user's password, or the user.
    #[error("the backend refused AUTH: {0}")]
    Auth(String),
    /// The backend refused HELLO.
    #[error("the backend refused HELLO: {0}")]
    Hello(String),
    /// The backend refused SELECT: the error line is the client's answer.
    #[error("the backend refused SELECT: {0}")]
    Select(String),
    /// The backend is another than what is connected to.
    #[error("the backend is a {found}, not the {} that is to be spoken to: nothing was written", wanted.as_str())]
    Role {
        /// What it says it is.
        found: String,
        /// What it has to be.
        wanted: Role,
    },
    /// A reply that the command cannot have.
    #[error("the backend answered {0} with something else")]
    Unexpected(&'static str),
}

impl GreetError {
    /// The backend is `found`, and has to be `wanted`.
    pub(crate) fn role(found: &str, wanted: Role) -> Self {
        Self::Role { found: found.chars().take(32).collect(), wanted }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Auth,
    Hello,
    Select,
    Name,
    Echo,
}

/// A greeting under way.
#[derive(Debug)]
pub struct Greeting {
    step: Step,
    proto: Proto,
    db: u32,
    token: [u8; 32],
    wanted: Option<Role>,
    server: Option<(Server, i64)>,
}

/// What follows a reply.
#[derive(Debug)]
pub(crate) enum Next {
    /// Send this and await its reply.
    Send(Vec<u8>),
    /// The link speaks for its user. `fences`: whether that user may ECHO; `id`: the
    /// backend's for the connection.
    Done { server: Server, fences: bool, id: i64 },
}

impl Greeting {
    /// Begins a greeting; the bytes are its first command. `wanted` is what the backend has
    /// to be, if that matters.
    #[must_use]
    pub fn begin(
        lane: &LaneKey,
        password: &Secret,
        token: [u8; 32],
        wanted: Option<Role>,
    ) -> (Self, Vec<u8>) {
        let auth = match lane.credential.is_nameless {
            true => write::command(&[b"AUTH", password.expose()]),
            false => write::command(&[b"AUTH", lane.credential.redis_user.as_bytes(), password.expose()]),
        };
        (Self { step: Step::Auth, proto: lane.proto, db: lane.db, token, wanted, server: None }, auth)
    }

    /// Whether the backend has shown to be what it has to be, or need be nothing.
    pub(crate) fn has_role(&self) -> bool {
        self.wanted.is_none() || self.server.is_some()
    }

    /// Takes the whole reply to the last command.
    pub(crate) fn reply(&mut self, reply: &[u8]) -> Result<Next, GreetError> {
        match self.step {
            Step::Auth => {
                accept(reply, "AUTH", GreetError::Auth)?;
                self.step = Step::Hello;
                Ok(Next::Send(role_question(self.proto)))
            }
            Step::Hello => {
                if let Some(text) = error_text(reply) {
                    return Err(GreetError::Hello(text));
                }
                let server = server(reply, self.proto).ok_or(GreetError::Unexpected("HELLO"))?;
                if let Some(wanted) = self.wanted.filter(|wanted| server.0.role != wanted.as_str()) {
                    return Err(GreetError::role(&server.0.role, wanted));
                }
                self.server = Some(server);
                if self.db == 0 {
                    return Ok(self.name());
                }
                self.step = Step::Select;
                Ok(Next::Send(write::command(&[b"SELECT", self.db.to_string().as_bytes()])))
            }
            Step::Select => {
                accept(reply, "SELECT", GreetError::Select)?;
                Ok(self.name())
            }
            Step::Name => {
                // A convenience for whoever reads CLIENT LIST; the user may lack the right.
                self.step = Step::Echo;
                Ok(Next::Send(fence(&self.token)))
            }
            Step::Echo => {
                // Redis asks whether the user may before whether it can now.
                let fences = reply == fence_reply(&self.token) || is_not_now(reply);
                if !fences && error_text(reply).is_none() {
                    return Err(GreetError::Unexpected("ECHO"));
                }
                let (server, id) = self.server.take().ok_or(GreetError::Unexpected("HELLO"))?;
                Ok(Next::Done { server, fences, id })
            }
        }
    }

    fn name(&mut self) -> Next {
        self.step = Step::Name;
        Next::Send(write::command(&[b"CLIENT", b"SETNAME", LINK_NAME]))
    }
}

/// The command whose reply proves that a link is in step.
#[must_use]
pub(crate) fn fence(token: &[u8; 32]) -> Vec<u8> {
    write::command(&[b"ECHO", token])
}

/// The command whose reply tells the backend's role. It needs no right, is answered at any time,
/// and changes nothing on a link that speaks this version.
#[must_use]
pub(crate) fn role_question(proto: Proto) -> Vec<u8> {
    write::command(&[b"HELLO", &[b'0' + proto.number()]])
}

/// The role in that reply.
#[must_use]
pub(crate) fn role_of(reply: &[u8], proto: Proto) -> Option<String> {
    Some(server(reply, proto)?.0.role)
}

/// The only reply that a fence may have.
#[must_use]
pub(crate) fn fence_reply(token: &[u8; 32]) -> Vec<u8> {
    write::bulk(token)
}

fn accept(reply: &[u8], command: &'static str, refused: fn(String) -> GreetError) -> Result<(), GreetError> {
    match error_text(reply) {
        Some(text) => Err(refused(text)),
        None if reply == b"+OK\r\n" => Ok(()),
        None => Err(GreetError::Unexpected(command)),
    }
}

/// Redis' words where it would answer the command at another time.
pub(crate) fn is_not_now(reply: &[u8]) -> bool {
    [&b"-BUSY "[..], b"-LOADING ", b"-MASTERDOWN "].iter().any(|text| reply.starts_with(text))
}

/// The text of an error line, printable and not too long for a log.
fn error_text(reply: &[u8]) -> Option<String> {
    let text = reply.strip_prefix(b"-")?.strip_suffix(b"\r\n")?;
    Some(String::from_utf8_lossy(&text[..text.len().min(256)]).into_owned())
}

/// Reads the answer to HELLO, with the backend's id for the connection. The caller's scanner has checked its nesting and
/// its length, so that the decoder cannot be made to recurse.
fn server(reply: &[u8], proto: Proto) -> Option<(Server, i64)> {
    let bytes = bytes::Bytes::copy_from_slice(reply);
    // RESP2's flat array is read by the RESP3 decoder as well.
    let (frame, _) = redis_protocol::resp3::decode::complete::decode_bytes(&bytes).ok()??;
    let mut fields: Vec<(String, &BytesFrame)> = Vec::new();
    match (&frame, proto) {
        (BytesFrame::Map { data, .. }, Proto::Resp3) => {
            fields.extend(data.iter().filter_map(|(key, value)| Some((key.as_str()?.to_owned(), value))));
        }
        (BytesFrame::Array { data, .. }, Proto::Resp2) => {
            for pair in data.chunks_exact(2) {
                fields.push((pair[0].as_str()?.to_owned(), &pair[1]));
            }
        }
        _ => return None,
    }
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
    let text = |name: &str| field(name)?.as_str().map(str::to_owned);
    let BytesFrame::Number { data: id, .. } = field("id")? else { return None };
    let server = Server {
        name: text("server")?,
        version: text("version")?,
        mode: text("mode")?,
        role: text("role")?,
        modules: modules(reply)?,
    };
    Some((server, *id))
}

/// The bytes of the last field's value: Redis writes `modules` last.
fn modules(reply: &[u8]) -> Option<Vec<u8>> {
    let name = b"$7\r\nmodules\r\n";
    let at = memchr::memmem::find(reply, name)?;
    Some(reply[at + name.len()..].to_vec())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::identity::Credential;
    use crate::upstream::NodeId;

    const HELLO_2: &[u8] = b"*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n\
        $5\r\nproto\r\n:2\r\n$2\r\nid\r\n:3\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n\
        $4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";

    fn greeting(proto: Proto, db: u32) -> Greeting {
        let credential = Credential::new("app", Secret::new(b"pw".to_vec()));
        let lane = LaneKey { node: NodeId(0), credential: Arc::new(credential), proto, db };
        let password = Secret::new(b"pw".to_vec());
        let (greeting, first) = Greeting::begin(&lane, &password, [b'7'; 32], None);
        assert_eq!(first, b"*3\r\n$4\r\nAUTH\r\n$3\r\napp\r\n$2\r\npw\r\n");
        greeting
    }

    fn sent(next: Result<Next, GreetError>) -> String {
        match next {
            Ok(Next::Send(bytes)) => String::from_utf8(bytes).expect("text"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_command_waits_for_the_reply_before_it() {
        let mut greeting = greeting(Proto::Resp2, 3);
        assert_eq!(sent(greeting.reply(b"+OK\r\n")), "*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n");
        assert_eq!(sent(greeting.reply(HELLO_2)), "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n");
        assert!(sent(greeting.reply(b"+OK\r\n")).contains("SETNAME"));
        assert!(sent(greeting.reply(b"-NOPERM no\r\n")).contains("ECHO"));
        match greeting.reply(&fence_reply(&[b'7'; 32])) {
            Ok(Next::Done { server, fences: true, id: 3 }) => {
                assert_eq!((server.name.as_str(), server.version.as_str()), ("redis", "7.0.15"));
                assert_eq!(server.modules, b"*0\r\n");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn where_there_is_one_user_the_password_goes_alone() {
        let credential =
            Credential { is_nameless: true, ..Credential::new("default", Secret::new(Vec::new())) };
        let lane = LaneKey { node: NodeId(0), credential: Arc::new(credential), proto: Proto::Resp2, db: 0 };
        let (_, first) = Greeting::begin(&lane, &Secret::new(b"pw".to_vec()), [b'7'; 32], None);
        assert_eq!(first, b"*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n");
    }

    #[test]
    fn a_user_without_echo_has_no_fences() {
        let mut greeting = greeting(Proto::Resp2, 0);
        sent(greeting.reply(b"+OK\r\n"));
        sent(greeting.reply(HELLO_2));
        sent(greeting.reply(b"+OK\r\n"));
        let done = greeting.reply(b"-NOPERM User app has no permissions to run the 'echo' command\r\n");
        assert!(matches!(done, Ok(Next::Done { fences: false, .. })), "{done:?}");
    }

    #[test]
    fn a_busy_server_does_not_say_that_the_user_has_no_fences() {
        let mut greeting = greeting(Proto::Resp2, 0);
        sent(greeting.reply(b"+OK\r\n"));
        sent(greeting.reply(HELLO_2));
        sent(greeting.reply(b"-BUSY Redis is busy running a script.\r\n"));
        let done = greeting.reply(b"-BUSY Redis is busy running a script.\r\n");
        assert!(matches!(done, Ok(Next::Done { fences: true, .. })), "{done:?}");
    }

    #[test]
    fn what_is_not_the_master_is_told_nothing_more() {
        let password = Secret::new(b"pw".to_vec());
        let credential = Credential::new("app", password.clone());
        let lane = LaneKey { node: NodeId(0), credential: Arc::new(credential), proto: Proto::Resp2, db: 0 };
        let greeted = |hello: &[u8]| {
            let (mut greeting, _) = Greeting::begin(&lane, &password, [b'7'; 32], Some(Role::Master));
            sent(greeting.reply(b"+OK\r\n"));
            assert!(!greeting.has_role(), "it has not said so");
            let next = greeting.reply(hello);
            (next, greeting.has_role())
        };
        let hello = String::from_utf8_lossy(HELLO_2).replace("$6\r\nmaster", "$7\r\nreplica");
        match greeted(hello.as_bytes()) {
            (Err(GreetError::Role { found, wanted: Role::Master }), false) => assert_eq!(found, "replica"),
            other => panic!("{other:?}"),
        }
        assert!(matches!(greeted(HELLO_2), (Ok(Next::Send(_)), true)));
    }

    #[test]
    fn refusals_name_their_command() {
        let refused = greeting(Proto::Resp2, 0).reply(b"-WRONGPASS invalid\r\n");
        assert!(
            matches!(&refused, Err(GreetError::Auth(text)) if text == "WRONGPASS invalid"),
            "{refused:?}"
        );
        let odd = greeting(Proto::Resp2, 0).reply(b":1\r\n");
        assert!(matches!(odd, Err(GreetError::Unexpected("AUTH"))), "{odd:?}");
        let mut hello = greeting(Proto::Resp3, 0);
        sent(hello.reply(b"+OK\r\n"));
        let odd = hello.reply(HELLO_2);
        assert!(matches!(odd, Err(GreetError::Unexpected("HELLO"))), "{odd:?}");
    }
}
