//! What is said on the connection to one sentinel: who we are, that we want to hear of
//! switches, and again and again where the master is. Bytes in, bytes and answers out.
//!
//! RESP3, so that what it announces and what it answers share a connection. A sentinel
//! is believed by nobody alone, and whatever is not an answer ends the connection.

use bytes::{Buf, Bytes, BytesMut};
use redis_protocol::resp3::types::{BytesFrame, Resp3Frame};
use thiserror::Error;

use super::{Answer, Place};
use crate::resp::{ReplyError, ReplyScanner, write};
use crate::secret::Secret;
use crate::upstream::REPLY_BYTES_MAX;

/// The answers are flat; HELLO's has a list in it.
const DEPTH_MAX: usize = 8;

/// What a sentinel announces a switch on.
const CHANNEL: &str = "+switch-master";

/// The longest host name that a lookup takes.
const HOST_BYTES_MAX: usize = 253;

/// What a connection to a sentinel is for, and how it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The master's name.
    pub master: String,
    /// Who we are to the sentinel; without a name its default user.
    pub redis_user: Option<String>,
    /// Its password; without one nothing is proved.
    pub password: Option<Secret>,
}

/// Why a sentinel is not listened to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the text of each says what it is")]
pub enum TalkError {
    #[error("it refused {command}: {text}")]
    Refused { command: &'static str, text: String },
    #[error("it answered {0} with something else")]
    Unexpected(&'static str),
    #[error("it is no sentinel, its mode is {0:?}")]
    NotASentinel(String),
    #[error("unreadable: {0}")]
    Unreadable(ReplyError),
    #[error("it sent more than {REPLY_BYTES_MAX} bytes in one reply")]
    TooLong,
    #[error("it answered what nobody asked")]
    Surplus,
}

/// What a connection has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Send this.
    Send(Vec<u8>),
    /// It may be asked from now on.
    Ready,
    /// It says where the master is.
    Answer(Answer),
    /// It says that the master has changed. Where to, its answers tell.
    Switch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Auth,
    Hello,
    Id,
    Subscribe,
    Idle,
    Asked,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Auth => "AUTH",
            Self::Hello => "HELLO 3",
            Self::Id => "SENTINEL MYID",
            Self::Subscribe => "SUBSCRIBE",
            Self::Idle | Self::Asked => "SENTINEL GET-MASTER-ADDR-BY-NAME",
        }
    }
}

/// A connection to one sentinel.
#[derive(Debug)]
pub struct Talk {
    master: String,
    step: Step,
    scan: ReplyScanner,
    id: Option<String>,
}

impl Talk {
    /// Begins; the bytes are its first command. AUTH goes alone, as in a link's greeting.
    #[must_use]
    pub fn begin(login: &Login) -> (Self, Vec<u8>) {
        let mut talk = Self {
            master: login.master.clone(),
            step: Step::Auth,
            scan: ReplyScanner::new(DEPTH_MAX),
            id: None,
        };
        let first = match (&login.redis_user, &login.password) {
            (_, None) => talk.hello(),
            (None, Some(password)) => write::command(&[b"AUTH", password.expose()]),
            (Some(user), Some(password)) => write::command(&[b"AUTH", user.as_bytes(), password.expose()]),
        };
        (talk, first)
    }

    /// The sentinel's own id, if it has told.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The question, unless the last one is unanswered or it may not be asked yet.
    pub fn ask(&mut self) -> Option<Vec<u8>> {
        (self.step == Step::Idle).then(|| {
            self.step = Step::Asked;
            write::command(&[b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self.master.as_bytes()])
        })
    }

    /// Whether something is unanswered.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.step != Step::Idle
    }

    /// Takes the next whole reply or announcement from the front of `input`; `None` while
    /// there is none.
    ///
    /// # Errors
    /// If the sentinel is not to be listened to any more.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Heard>, TalkError> {
        while let Some(len) = self.scan.scan(input).map_err(TalkError::Unreadable)? {
            let reply = Bytes::copy_from_slice(&input[..len]);
            input.advance(len);
            // The scanner has found it whole and shallow: the decoder cannot be made to recurse.
            let decoded = redis_protocol::resp3::decode::complete::decode_bytes(&reply);
            let Ok(Some((frame, _))) = decoded else { return Err(TalkError::Unexpected(self.step.name())) };
            let heard = match frame {
                BytesFrame::Push { data, .. } => self.push(&data)?,
                frame => self.reply(&frame)?,
            };
            if heard.is_some() {
                return Ok(heard);
            }
        }
        if input.len() > REPLY_BYTES_MAX { Err(TalkError::TooLong) } else { Ok(None) }
    }

    fn push(&mut self, data: &[BytesFrame]) -> Result<Option<Heard>, TalkError> {
        let words: Vec<&str> = data.iter().filter_map(BytesFrame::as_str).collect();
        match (self.step, words.as_slice()) {
            (Step::Subscribe, ["subscribe", CHANNEL, ..]) => {
                self.step = Step::Idle;
                Ok(Some(Heard::Ready))
            }
            (Step::Idle | Step::Asked, ["message", CHANNEL, text]) => {
                let is_ours = text.split(' ').next() == Some(&self.master);
                Ok(is_ours.then_some(Heard::Switch))
            }
            _ => Err(TalkError::Surplus),
        }
    }

    fn reply(&mut self, frame: &BytesFrame) -> Result<Option<Heard>, TalkError> {
        let step = self.step;
        match (step, frame) {
            (Step::Idle, _) => Err(TalkError::Surplus),
            // A sentinel before Redis 6.2 has none to tell, and its user may not be let ask.
            (Step::Id, BytesFrame::SimpleError { .. }) => Ok(Some(self.subscribe())),
            (_, BytesFrame::SimpleError { data, .. }) => {
                let text = data.chars().take(256).collect();
                Err(TalkError::Refused { command: step.name(), text })
            }
            (Step::Auth, BytesFrame::SimpleString { data, .. }) if &data[..] == b"OK" => {
                Ok(Some(Heard::Send(self.hello())))
            }
            (Step::Hello, frame) => self.greeted(frame).map(Some),
            (Step::Id, frame) => {
                let id = frame.as_str().ok_or_else(|| TalkError::Unexpected(step.name()))?;
                self.id = Some(id.to_owned());
                Ok(Some(self.subscribe()))
            }
            (Step::Asked, frame) => {
                self.step = Step::Idle;
                let answer = answer(frame).ok_or_else(|| TalkError::Unexpected(step.name()))?;
                Ok(Some(Heard::Answer(answer)))
            }
            (Step::Auth | Step::Subscribe, _) => Err(TalkError::Unexpected(step.name())),
        }
    }

    fn hello(&mut self) -> Vec<u8> {
        self.step = Step::Hello;
        write::command(&[b"HELLO", b"3"])
    }

    fn greeted(&mut self, frame: &BytesFrame) -> Result<Heard, TalkError> {
        let unexpected = TalkError::Unexpected(Step::Hello.name());
        let BytesFrame::Map { data, .. } = frame else { return Err(unexpected) };
        let mode = data.iter().find(|(key, _)| key.as_str() == Some("mode"));
        let mode = mode.and_then(|(_, value)| value.as_str()).ok_or(unexpected)?;
        if mode != "sentinel" {
            return Err(TalkError::NotASentinel(mode.chars().take(32).collect()));
        }
        self.step = Step::Id;
        Ok(Heard::Send(write::command(&[b"SENTINEL", b"MYID"])))
    }

    fn subscribe(&mut self) -> Heard {
        self.step = Step::Subscribe;
        Heard::Send(write::command(&[b"SUBSCRIBE", CHANNEL.as_bytes()]))
    }
}

fn answer(frame: &BytesFrame) -> Option<Answer> {
    match frame {
        BytesFrame::Null => Some(Answer::NoSuchMaster),
        BytesFrame::Array { data, .. } => {
            let [host, port] = data.as_slice() else { return None };
            let (host, port) = (host.as_str()?, port.as_str()?.parse().ok()?);
            (is_host(host) && port != 0).then(|| Answer::Master(Place { host: host.to_owned(), port }))
        }
        _ => None,
    }
}

/// An IP address or a name that can be looked up.
fn is_host(host: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    (1..=HOST_BYTES_MAX).contains(&host.len()) && host.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "%2\r\n$5\r\nproto\r\n:3\r\n$4\r\nmode\r\n$8\r\nsentinel\r\n";
    const SUBSCRIBED: &str = ">3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n";

    fn login(user: Option<&str>, password: Option<&str>) -> Login {
        Login {
            master: "orders".to_owned(),
            redis_user: user.map(str::to_owned),
            password: password.map(|it| Secret::new(it.as_bytes().to_vec())),
        }
    }

    fn hear(talk: &mut Talk, bytes: &str) -> Result<Vec<Heard>, TalkError> {
        let mut input = BytesMut::from(bytes);
        let mut heard = Vec::new();
        while let Some(one) = talk.next(&mut input)? {
            heard.push(one);
        }
        assert!(input.is_empty(), "all of it has been heard");
        Ok(heard)
    }

    fn sent(heard: Result<Vec<Heard>, TalkError>) -> String {
        match heard.as_deref() {
            Ok([Heard::Send(bytes)]) => String::from_utf8(bytes.clone()).expect("text"),
            other => panic!("{other:?}"),
        }
    }

    fn ready() -> Talk {
        let (mut talk, _) = Talk::begin(&login(None, None));
        sent(hear(&mut talk, HELLO));
        sent(hear(&mut talk, "$2\r\nid\r\n"));
        assert_eq!(hear(&mut talk, SUBSCRIBED), Ok(vec![Heard::Ready]));
        talk
    }

    #[test]
    fn each_command_waits_for_the_reply_before_it() {
        let (mut talk, first) = Talk::begin(&login(Some("gate"), Some("pw")));
        assert_eq!(first, b"*3\r\n$4\r\nAUTH\r\n$4\r\ngate\r\n$2\r\npw\r\n");
        assert_eq!(talk.ask(), None);
        assert_eq!(sent(hear(&mut talk, "+OK\r\n")), "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n");
        assert!(sent(hear(&mut talk, HELLO)).contains("MYID"));
        assert!(sent(hear(&mut talk, "$3\r\nabc\r\n")).contains("SUBSCRIBE"));
        assert_eq!(hear(&mut talk, SUBSCRIBED), Ok(vec![Heard::Ready]));
        assert_eq!(talk.id(), Some("abc"));
        let question = talk.ask().expect("it may be asked");
        assert!(question.ends_with(b"$6\r\norders\r\n"));
        assert_eq!(talk.ask(), None, "one question at a time");
        let place = Place { host: "10.0.0.2".to_owned(), port: 6379 };
        let answer = hear(&mut talk, "*2\r\n$8\r\n10.0.0.2\r\n$4\r\n6379\r\n");
        assert_eq!(answer, Ok(vec![Heard::Answer(Answer::Master(place))]));
        assert!(!talk.is_waiting());
    }

    #[test]
    fn a_password_without_a_name_is_the_default_users() {
        let (_, first) = Talk::begin(&login(None, Some("pw")));
        assert_eq!(first, b"*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n");
    }

    #[test]
    fn a_switch_of_another_master_is_not_ours() {
        let mut talk = ready();
        let message = |text: &str| {
            format!(">3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n${}\r\n{text}\r\n", text.len())
        };
        assert_eq!(hear(&mut talk, &message("carts a 1 b 2")), Ok(vec![]));
        talk.ask();
        // Between a question and its answer as well.
        let both = message("orders a 1 b 2") + "_\r\n";
        assert_eq!(hear(&mut talk, &both), Ok(vec![Heard::Switch, Heard::Answer(Answer::NoSuchMaster)]));
    }

    #[test]
    fn an_older_one_need_not_tell_its_id() {
        let (mut talk, _) = Talk::begin(&login(None, None));
        sent(hear(&mut talk, HELLO));
        assert!(sent(hear(&mut talk, "-ERR Unknown sentinel subcommand 'MYID'\r\n")).contains("SUBSCRIBE"));
        assert_eq!(talk.id(), None);
    }

    #[test]
    fn what_is_no_sentinel_is_told_apart() {
        let (mut talk, _) = Talk::begin(&login(None, None));
        let hello = HELLO.replace("$8\r\nsentinel", "$10\r\nstandalone");
        assert_eq!(hear(&mut talk, &hello), Err(TalkError::NotASentinel("standalone".to_owned())));
    }

    #[test]
    fn refusals_name_their_command() {
        let (mut talk, _) = Talk::begin(&login(None, None));
        let refused = hear(&mut talk, "-NOAUTH HELLO must be called\r\n");
        let text = "NOAUTH HELLO must be called".to_owned();
        assert_eq!(refused, Err(TalkError::Refused { command: "HELLO 3", text }));
        let mut talk = ready();
        talk.ask();
        assert!(matches!(hear(&mut talk, "-NOPERM no\r\n"), Err(TalkError::Refused { .. })));
    }

    #[test]
    fn what_is_no_answer_ends_the_conversation() {
        for bad in [
            "*2\r\n$1\r\na\r\n$1\r\n0\r\n",
            "*2\r\n$1\r\na\r\n$5\r\n65536\r\n",
            "*2\r\n$3\r\na b\r\n$1\r\n1\r\n",
            "*2\r\n$0\r\n\r\n$1\r\n1\r\n",
            "*3\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\n1\r\n",
            ":1\r\n",
            "*2\r\n*2\r\n:1\r\n:1\r\n$1\r\n1\r\n",
            "+OK\r\n",
        ] {
            let mut talk = ready();
            talk.ask();
            assert!(matches!(hear(&mut talk, bad), Err(TalkError::Unexpected(_))), "{bad:?}");
        }
        assert_eq!(hear(&mut ready(), "_\r\n"), Err(TalkError::Surplus));
        let deep = "*1\r\n".repeat(DEPTH_MAX + 1);
        assert!(matches!(hear(&mut ready(), &deep), Err(TalkError::Unreadable(_))));
        let mut endless = BytesMut::from(&b"$1000000\r\n"[..]);
        endless.resize(REPLY_BYTES_MAX + 11, b'x');
        assert_eq!(ready().next(&mut endless), Err(TalkError::TooLong));
    }
}
