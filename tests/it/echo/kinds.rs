//! The kinds of request in the echo: the bytes, and exactly what must come back.
//! Knows no connection.

use super::totals::Outcome;
use crate::dice::Dice;
use crate::resp::{Value, request};

/// What must come back for one request.
#[derive(Debug, Clone)]
pub(super) enum Want {
    /// Exactly this.
    Is(Value),
    /// A number, whichever.
    Number,
    /// An error that contains this token.
    ErrorWith(String),
    /// `+QUEUED`. Never the answer itself: a command must not run outside the
    /// transaction that it was written in, whatever became of its MULTI.
    Queued,
    /// The name of the Redis user.
    User(&'static str),
    /// These, each of a key of its own; where data may be lost, some of them may be gone.
    Each(Vec<Value>),
    /// This, unless a slot moves: what is on a connection of its own may then be refused.
    Tried(Box<Self>),
}

/// Marks a token: letters that no command or error contains.
const MARK: &[u8] = b"TKN";

/// What a client asks for beside the ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Diet {
    Plain,
    /// A fifth of the values are large.
    Heavy,
    /// Without SELECT; half of the keys are in the slots of [`tags`].
    Cluster,
}

/// What half of a cluster's keys have between braces.
pub(crate) fn tags() -> impl Iterator<Item = String> {
    (0..TAGS).map(|number| format!("t{number}"))
}

const TAGS: u64 = 200;

/// What a cluster says of a request that is on a connection of its own while its slot moves.
pub(super) const MOVING: &str =
    "TRYAGAIN respgate: the hash slot is on its way between nodes, command not run";

/// What the gateway says of a request for which there was no Redis.
pub(super) const NOT_SENT: &str = "ERR respgate: backend unavailable, command not sent";

/// Makes tokens and keys for one client: its number, a sequence number and chance, 128 bits.
pub(super) struct Maker {
    pub(super) id: u32,
    pub(super) user: &'static str,
    pub(super) is_resp3: bool,
    diet: Diet,
    sequence: u64,
    pub(super) dice: Dice,
}

/// Requests that belong together, and a `Want` for each.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) wants: Vec<Want>,
}

impl Batch {
    pub(super) fn ask(&mut self, args: &[&[u8]], want: Want) {
        self.bytes.extend_from_slice(&request(args));
        self.wants.push(want);
    }
}

fn bulk(bytes: &[u8]) -> Value {
    Value::Bulk(bytes.to_vec())
}

fn tried(want: Want) -> Want {
    Want::Tried(Box::new(want))
}

fn ok() -> Want {
    Want::Is(Value::Simple("OK".to_owned()))
}

impl Maker {
    pub(super) fn new(id: u32, user: &'static str, is_resp3: bool, diet: Diet) -> Self {
        Self { id, user, is_resp3, diet, sequence: 0, dice: Dice::new(u64::from(id) + 1) }
    }

    pub(super) fn token(&mut self) -> String {
        self.sequence += 1;
        format!("TKN{:08x}{:016x}{:08x}", self.id, self.sequence, self.dice.roll() as u32)
    }

    /// A token with padding: mostly small, up to 256 KiB, rarely 2 MiB.
    fn payload(&mut self) -> Vec<u8> {
        let chance = self.dice.below(100_000);
        let most = match if self.diet == Diet::Heavy { chance / 300 } else { chance } {
            0..2 => 2 << 20,
            2..200 => 256 << 10,
            200..2_000 => 16 << 10,
            _ => 512,
        };
        let mut payload = self.token().into_bytes();
        let padding = self.dice.magnitude(most) as usize;
        payload.resize(payload.len() + padding, b'a' + (self.sequence % 26) as u8);
        payload
    }

    fn plain_key(&mut self) -> Vec<u8> {
        self.sequence += 1;
        format!("{}:{}:{}", self.user, self.id, self.sequence).into_bytes()
    }

    /// The same, in one of the slots of [`tags`] half of the time.
    fn key(&mut self) -> Vec<u8> {
        let key = self.plain_key();
        if self.diet == Diet::Cluster && self.dice.is_one_in(2) {
            return [format!("{{t{}}}", self.dice.below(TAGS)).as_bytes(), &key].concat();
        }
        key
    }

    /// Adds one request, or a few that belong together. Each key is used once:
    /// after a fault there is no older value to be taken for a stray reply.
    pub(super) fn add(&mut self, batch: &mut Batch) {
        match self.dice.below(100) {
            0..38 => self.echo(batch),
            38..58 => self.string(batch),
            58..64 => self.hash(batch),
            64..70 => self.list(batch),
            70..74 => self.script(batch),
            74..82 => self.transaction(batch),
            82..87 => self.stream(batch),
            87..92 => self.error(batch),
            92..94 if self.diet == Diet::Cluster => self.several(batch),
            92..94 => self.database(batch),
            94..96 => self.pinned(batch),
            _ => batch.ask(&[b"ACL", b"WHOAMI"], Want::User(self.user)),
        }
    }

    pub(super) fn echo(&mut self, batch: &mut Batch) {
        let payload = self.payload();
        batch.ask(&[b"ECHO", &payload], Want::Is(bulk(&payload)));
    }

    fn string(&mut self, batch: &mut Batch) {
        let (key, first, second) = (self.key(), self.payload(), self.payload());
        batch.ask(&[b"SET", &key, &first], ok());
        batch.ask(&[b"GET", &key], Want::Is(bulk(&first)));
        if self.diet == Diet::Cluster {
            // A replica that takes over may have missed a second value, and have the first.
            return batch.ask(&[b"GETDEL", &key], Want::Is(bulk(&first)));
        }
        batch.ask(&[b"GETSET", &key, &second], Want::Is(bulk(&first)));
        batch.ask(&[b"GETDEL", &key], Want::Is(bulk(&second)));
    }

    fn hash(&mut self, batch: &mut Batch) {
        let (key, payload) = (self.key(), self.payload());
        let (field, value) = (bulk(b"f"), bulk(&payload));
        let all =
            if self.is_resp3 { Value::Map(vec![(field, value)]) } else { Value::Array(vec![field, value]) };
        batch.ask(&[b"HSET", &key, b"f", &payload], Want::Number);
        batch.ask(&[b"HGETALL", &key], Want::Is(all));
        batch.ask(&[b"DEL", &key], Want::Number);
    }

    fn list(&mut self, batch: &mut Batch) {
        let (key, payload) = (self.key(), self.payload());
        batch.ask(&[b"LPUSH", &key, &payload], Want::Number);
        batch.ask(&[b"LRANGE", &key, b"0", b"-1"], Want::Is(Value::Array(vec![bulk(&payload)])));
        batch.ask(&[b"DEL", &key], Want::Number);
    }

    fn script(&mut self, batch: &mut Batch) {
        let (key, payload) = (self.key(), self.payload());
        let both = Value::Array(vec![bulk(&key), bulk(&payload)]);
        batch.ask(&[b"EVAL", b"return {KEYS[1], ARGV[1]}", b"1", &key, &payload], Want::Is(both));
    }

    /// A pipeline with much to read.
    pub(super) fn feast(&mut self) -> Batch {
        let (mut batch, key) = (Batch::default(), self.key());
        let mut value = self.token().into_bytes();
        value.resize(200 << 10, b'v');
        batch.ask(&[b"SET", &key, &value], ok());
        for _ in 0..self.dice.magnitude(60) {
            batch.ask(&[b"GET", &key], Want::Is(bulk(&value)));
            self.echo(&mut batch);
        }
        batch.ask(&[b"GETDEL", &key], Want::Is(bulk(&value)));
        batch
    }

    fn transaction(&mut self, batch: &mut Batch) {
        let (key, payload, token) = (self.key(), self.payload(), self.token());
        let is_watched = self.dice.below(3) == 0;
        if is_watched {
            batch.ask(&[b"WATCH", &key], tried(ok()));
        }
        let done = Value::Simple("OK".to_owned());
        batch.ask(&[b"MULTI"], ok());
        batch.ask(&[b"SET", &key, &payload], tried(Want::Queued));
        batch.ask(&[b"ECHO", token.as_bytes()], Want::Queued);
        batch.ask(&[b"GETDEL", &key], tried(Want::Queued));
        let all = Value::Array(vec![done, bulk(token.as_bytes()), bulk(&payload)]);
        batch.ask(&[b"EXEC"], tried(Want::Is(all)));
    }

    fn stream(&mut self, batch: &mut Batch) {
        let (key, payload) = (self.key(), self.payload());
        let id = format!("{}-1", self.sequence);
        let fields = Value::Array(vec![bulk(b"f"), bulk(&payload)]);
        let entry = Value::Array(vec![bulk(id.as_bytes()), fields]);
        batch.ask(&[b"XADD", &key, id.as_bytes(), b"f", &payload], Want::Is(bulk(id.as_bytes())));
        batch.ask(&[b"XRANGE", &key, b"-", b"+"], Want::Is(Value::Array(vec![entry])));
        batch.ask(&[b"DEL", &key], Want::Number);
    }

    fn error(&mut self, batch: &mut Batch) {
        let token = self.token();
        let want = Want::ErrorWith(token.clone());
        match self.dice.below(3) {
            0 => batch.ask(&[b"OBJECT", token.as_bytes()], want),
            1 => batch.ask(&[b"CLIENT", token.as_bytes()], want),
            _ => batch.ask(&[b"EVAL", b"return redis.error_reply(ARGV[1])", b"0", token.as_bytes()], want),
        }
    }

    fn database(&mut self, batch: &mut Batch) {
        let (key, payload) = (self.key(), self.payload());
        let number = self.dice.below(3) + 1;
        batch.ask(&[b"SELECT", number.to_string().as_bytes()], ok());
        batch.ask(&[b"SET", &key, &payload], ok());
        batch.ask(&[b"SELECT", b"0"], ok());
        batch.ask(&[b"EXISTS", &key], Want::Is(Value::Int(0)));
        batch.ask(&[b"SELECT", number.to_string().as_bytes()], ok());
        batch.ask(&[b"GETDEL", &key], Want::Is(bulk(&payload)));
        batch.ask(&[b"SELECT", b"0"], ok());
    }

    /// Keys of several slots, whose requests are split by slot and joined again. Two of one slot that
    /// moves would be refused.
    fn several(&mut self, batch: &mut Batch) {
        let mut keys = vec![self.key()];
        keys.extend((1..self.dice.magnitude(8)).map(|_| self.plain_key()));
        let values: Vec<Vec<u8>> = keys.iter().map(|_| self.payload()).collect();
        let mut set: Vec<&[u8]> = vec![b"MSET"];
        keys.iter().zip(&values).for_each(|(key, value)| set.extend([&key[..], &value[..]]));
        batch.ask(&set, ok());
        let named = |name: &'static [u8]| -> Vec<&[u8]> {
            std::iter::once(name).chain(keys.iter().rev().map(|key| &key[..])).collect()
        };
        let wanted = values.iter().rev().map(|value| bulk(value)).collect();
        batch.ask(&named(b"MGET"), Want::Each(wanted));
        batch.ask(&named(b"UNLINK"), Want::Number);
    }

    /// What moves a session to a link of its own and back.
    fn pinned(&mut self, batch: &mut Batch) {
        let (key, token) = (self.key(), self.token());
        match self.dice.below(3) {
            0 => batch.ask(&[b"BLPOP", &key, b"0.01"], tried(Want::Is(Value::Nil))),
            1 => {
                let want = tried(Want::ErrorWith(token.clone()));
                batch.ask(&[b"NOSUCHCOMMAND", token.as_bytes()], want);
            }
            _ => {
                batch.ask(&[b"SUBSCRIBE", &key], Want::Is(self.confirmation("subscribe", &key, 1)));
                batch.ask(&[b"UNSUBSCRIBE", &key], Want::Is(self.confirmation("unsubscribe", &key, 0)));
            }
        }
    }

    pub(super) fn confirmation(&self, word: &str, channel: &[u8], count: i64) -> Value {
        self.pushed(vec![bulk(word.as_bytes()), bulk(channel), Value::Int(count)])
    }

    pub(super) fn message(&self, channel: &[u8], text: &[u8]) -> Value {
        self.pushed(vec![bulk(b"message"), bulk(channel), bulk(text)])
    }

    fn pushed(&self, items: Vec<Value>) -> Value {
        if self.is_resp3 { Value::Push(items) } else { Value::Array(items) }
    }

    /// A pipeline of 1 to 512 requests.
    pub(super) fn batch(&mut self) -> Batch {
        let length = self.dice.magnitude(512) as usize;
        let mut batch = Batch::default();
        while batch.wants.len() < length && batch.bytes.len() < 4 << 20 {
            self.add(&mut batch);
        }
        batch
    }
}

/// Holds a reply against what was wanted.
pub(super) fn judge(id: u32, want: &Want, got: &Value, are_faults_allowed: bool) -> Outcome {
    if let Want::Tried(want) = want {
        return judge(id, want, got, are_faults_allowed);
    }
    if is_right(want, got) {
        return Outcome::Right;
    }
    if let Some(outcome) = stray(id, want, got) {
        return outcome;
    }
    if !are_faults_allowed {
        return if matches!(want, Want::User(_)) { Outcome::WrongUser } else { Outcome::Wrong };
    }
    match (want, got) {
        (_, Value::Error(text)) => match text.as_str() {
            "ERR respgate: connection to the backend was lost, outcome unknown" => Outcome::Unknown,
            NOT_SENT => Outcome::NotSent,
            text if text.starts_with("EXECABORT ") => Outcome::NotSent,
            _ => Outcome::Wrong,
        },
        (Want::User(_), _) => Outcome::WrongUser,
        (Want::Each(wanted), Value::Array(items))
            if wanted.len() == items.len()
                && wanted.iter().zip(items).all(|(wanted, item)| [wanted, &Value::Nil].contains(&item)) =>
        {
            Outcome::Emptied
        }
        (Want::Is(wanted), Value::Nil) if !matches!(wanted, Value::Simple(_)) => Outcome::Emptied,
        (Want::Is(Value::Array(_)), Value::Array(items)) if items.is_empty() => Outcome::Emptied,
        (Want::Is(Value::Map(_)), Value::Map(items)) if items.is_empty() => Outcome::Emptied,
        _ => Outcome::Wrong,
    }
}

fn is_right(want: &Want, got: &Value) -> bool {
    match (want, got) {
        (Want::Is(wanted), got) => wanted == got,
        (Want::Each(wanted), Value::Array(items)) => wanted == items,
        (Want::Number, Value::Int(_)) => true,
        (Want::ErrorWith(token), Value::Error(text)) => text.contains(token.as_str()),
        (Want::Queued, Value::Simple(text)) => text == "QUEUED",
        (Want::User(user), Value::Bulk(name)) => name == user.as_bytes(),
        _ => false,
    }
}

/// Whether a reply holds a token that was not asked for, and whose it is.
fn stray(id: u32, want: &Want, got: &Value) -> Option<Outcome> {
    let wanted = match want {
        Want::Is(value) => value.to_bytes(),
        Want::ErrorWith(token) => token.clone().into_bytes(),
        Want::Each(values) => Value::Array(values.clone()).to_bytes(),
        Want::Tried(want) => return stray(id, want, got),
        Want::Number | Want::Queued | Want::User(_) => Vec::new(),
    };
    let wanted: Vec<&[u8]> = tokens(&wanted).collect();
    let got = got.to_bytes();
    let stray = tokens(&got).find(|token| !wanted.contains(token))?;
    let is_ours = stray.get(3..11) == Some(format!("{id:08x}").as_bytes());
    Some(if is_ours { Outcome::Inverted } else { Outcome::Foreign })
}

fn tokens(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts = memchr::memmem::find_iter(bytes, MARK).collect::<Vec<_>>();
    starts.into_iter().map(|start| &bytes[start..bytes.len().min(start + 35)])
}

#[test]
fn a_stray_token_an_inversion_and_a_wrong_user_are_found() {
    let mut maker = Maker::new(7, "app", false, Diet::Plain);
    let (mine, later) = (maker.token(), maker.token());
    let theirs = Maker::new(8, "app", false, Diet::Plain).token();
    let want = Want::Is(bulk(mine.as_bytes()));
    let judge_both = |got: Value| [false, true].map(|faults| judge(7, &want, &got, faults));
    assert_eq!(judge_both(bulk(mine.as_bytes())), [Outcome::Right; 2]);
    assert_eq!(judge_both(bulk(later.as_bytes())), [Outcome::Inverted; 2]);
    assert_eq!(judge_both(Value::Array(vec![bulk(theirs.as_bytes())])), [Outcome::Foreign; 2]);
    assert_eq!(judge_both(Value::Simple("OK".to_owned())), [Outcome::Wrong; 2]);
    assert_eq!(judge_both(Value::Nil), [Outcome::Wrong, Outcome::Emptied]);
    let unknown =
        Value::Error("ERR respgate: connection to the backend was lost, outcome unknown".to_owned());
    assert_eq!(judge_both(unknown), [Outcome::Wrong, Outcome::Unknown]);
    assert_eq!(judge(7, &Want::User("app"), &bulk(b"ops"), true), Outcome::WrongUser);
}
