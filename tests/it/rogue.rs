//! A backend that breaks the protocol: what a proxy makes of one connection's replies. Tells a
//! shared link by its fences, and keeps every reply that its own doing may bring to a client that
//! did not ask for it, which after the next fence is none. Knows no sockets.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use crate::dice::Dice;
use crate::resp::{self, Stop, Value};

/// What is done to replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rogue {
    /// One of all kinds, now and then.
    Anything,
    /// A further reply after each script's, as a server with CVE-2025-67733 can be made to send.
    AfterScripts,
    /// A reply too many, once, where it is armed for.
    Surplus,
    /// A reply too few, once, where it is armed for.
    Missing,
}

/// One way to break the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Deed {
    Surplus,
    Missing,
    /// A length beyond every bound.
    Endless,
    /// A length that could be, of a reply that never comes whole.
    Huge,
    Nested,
    Push,
    /// An error in the place of the reply.
    Error(&'static str),
}

const DEEDS: [Deed; 10] = [
    Deed::Surplus,
    Deed::Surplus,
    Deed::Missing,
    Deed::Missing,
    Deed::Endless,
    Deed::Huge,
    Deed::Nested,
    Deed::Push,
    Deed::Error("-LOADING Redis is loading the dataset in memory\r\n"),
    Deed::Error("-NOAUTH Authentication required.\r\n"),
];

const MOVED: Deed = Deed::Error("-MOVED 3999 169.254.169.254:80\r\n");

/// How many replies pass between two deeds.
const RARELY: u64 = 2_000;

/// Replies that clients may get although they did not ask for them.
#[derive(Default)]
pub(crate) struct Taint {
    allowed: HashMap<Vec<u8>, u32>,
    done: HashMap<String, u32>,
    explained: u64,
    /// Replies that pass before what happens once.
    left: Option<u64>,
}

impl Taint {
    fn allow(&mut self, value: &Value) {
        *self.allowed.entry(key(value)).or_default() += 1;
    }

    fn note(&mut self, deed: &str) {
        *self.done.entry(deed.to_owned()).or_default() += 1;
    }

    /// Whether a client's reply is such a one; each counts once.
    pub(crate) fn explains(&mut self, value: &Value) -> bool {
        match self.allowed.get_mut(&key(value)) {
            Some(left) if *left > 0 => {
                *left -= 1;
                self.explained += 1;
                true
            }
            _ => false,
        }
    }

    /// What happens once, happens behind so many replies from now on.
    pub(crate) fn arm(&mut self, position: u64) {
        self.left = Some(position);
    }

    /// Whether it is still to happen.
    pub(crate) fn is_armed(&self) -> bool {
        self.left.is_some()
    }

    /// Counts a reply. Whether it is the one.
    fn fire(&mut self) -> bool {
        let is_now = self.left == Some(0);
        self.left = self.left.and_then(|left| left.checked_sub(1));
        is_now
    }

    /// How often what was done.
    pub(crate) fn summary(&self) -> String {
        let mut done: Vec<String> = self.done.iter().map(|(deed, count)| format!("{count} {deed}")).collect();
        done.sort();
        format!("{}; {} replies before a fence that were another request's", done.join(", "), self.explained)
    }

    /// How often anything was done.
    pub(crate) fn count(&self) -> u64 {
        self.done.values().map(|&count| u64::from(count)).sum()
    }
}

/// Tells two replies apart, however long.
fn key(value: &Value) -> Vec<u8> {
    [value.to_string().into_bytes(), value.to_bytes()].concat()
}

/// What a request is, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Fence,
    Script,
    Other,
}

/// One connection: what was asked, and which reply comes next.
#[derive(Default)]
pub(crate) struct Track {
    requests: Vec<u8>,
    replies: Vec<u8>,
    /// Requests whose replies have not come.
    asked: VecDeque<Asked>,
    /// The first was a greeting's; a link with another is a shared one.
    fences: u32,
    /// Set by a surplus (1) or a missing (-1) reply: by how much later ones are shifted.
    shift: i64,
    is_past_fence: bool,
    is_done: bool,
}

impl Track {
    /// Takes bytes of requests.
    pub(crate) fn asked(&mut self, bytes: &[u8]) {
        self.requests.extend_from_slice(bytes);
        let mut at = 0;
        while let Ok((request, took)) = resp::read(&self.requests[at..]) {
            at += took;
            let words = request.items();
            let is = |word: &str| words[0].bytes().eq_ignore_ascii_case(word.as_bytes());
            // Clients' own have a token.
            let is_fence = is("ECHO") && memchr::memmem::find(words[1].bytes(), b"TKN").is_none();
            self.asked.push_back(match is_fence {
                true => Asked::Fence,
                false if is("EVAL") => Asked::Script,
                false => Asked::Other,
            });
        }
        self.requests.drain(..at);
    }

    /// Takes bytes of replies; what of it goes to the gateway.
    pub(crate) fn replied(
        &mut self,
        bytes: &[u8],
        rogue: Option<Rogue>,
        dice: &mut Dice,
        taint: &Mutex<Taint>,
    ) -> Vec<u8> {
        self.replies.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.replies);
        let (mut at, mut out) = (0, Vec::new());
        loop {
            match resp::read(&all[at..]) {
                Ok((value, took)) => {
                    self.reply(&value, &all[at..at + took], rogue, dice, taint, &mut out);
                    at += took;
                }
                Err(Stop::Short) => break,
                Err(Stop::Garbage(line)) => panic!("Redis sent what is not RESP: {line:?}"),
            }
        }
        self.replies = all[at..].to_vec();
        out
    }

    fn reply(
        &mut self,
        value: &Value,
        raw: &[u8],
        rogue: Option<Rogue>,
        dice: &mut Dice,
        taint: &Mutex<Taint>,
        out: &mut Vec<u8>,
    ) {
        // Which request it will be taken for, if the last is still to be written: an ordinary one.
        let lands = match self.shift {
            1 => self.asked.get(1).copied(),
            _ => self.asked.front().copied(),
        };
        let asked = self.asked.pop_front();
        if asked == Some(Asked::Fence) {
            self.fences += 1;
        }
        let is_shared = self.fences > 1;
        let is_greeted = self.fences > 0 && !(self.fences == 1 && asked == Some(Asked::Fence));
        if self.is_done {
            return self.pass_on(value, raw, asked, lands, taint, out);
        }
        match rogue {
            Some(Rogue::AfterScripts) if is_shared && asked == Some(Asked::Script) && dice.is_one_in(20) => {
                self.is_done = true;
                self.is_past_fence = true;
                taint.lock().expect("not poisoned").note("replies after a script's");
                out.extend_from_slice(raw);
                out.extend_from_slice(&surplus(dice));
            }
            Some(Rogue::Anything) if is_shared && dice.is_one_in(RARELY) => {
                let number = dice.below(DEEDS.len() as u64 + 1) as usize;
                let deed = DEEDS.get(number).copied().unwrap_or(MOVED);
                self.strike(deed, value, raw, asked, dice, taint, out);
            }
            Some(Rogue::Surplus | Rogue::Missing)
                if is_greeted && taint.lock().expect("not poisoned").fire() =>
            {
                let deed = if rogue == Some(Rogue::Surplus) { Deed::Surplus } else { Deed::Missing };
                self.strike(deed, value, raw, asked, dice, taint, out);
            }
            _ => out.extend_from_slice(raw),
        }
    }

    /// What comes after a deed: until the next fence, a shifted reply may be anybody's.
    fn pass_on(
        &mut self,
        value: &Value,
        raw: &[u8],
        asked: Option<Asked>,
        lands: Option<Asked>,
        taint: &Mutex<Taint>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(raw);
        if self.shift == 0 {
            return;
        }
        // With one too few, the fence's own reply is taken for the request's before it.
        let is_fenced = match self.shift {
            1 => lands == Some(Asked::Fence),
            _ => false,
        };
        if is_fenced {
            self.is_past_fence = true;
        }
        if !self.is_past_fence {
            taint.lock().expect("not poisoned").allow(value);
        }
        if self.shift == -1 && asked == Some(Asked::Fence) {
            self.is_past_fence = true;
        }
    }

    #[allow(clippy::too_many_arguments, reason = "a reply, and all that a deed may need to know of it")]
    fn strike(
        &mut self,
        deed: Deed,
        value: &Value,
        raw: &[u8],
        asked: Option<Asked>,
        dice: &mut Dice,
        taint: &Mutex<Taint>,
        out: &mut Vec<u8>,
    ) {
        let is_fence = asked == Some(Asked::Fence);
        let mut taint = taint.lock().expect("not poisoned");
        self.is_done = true;
        match deed {
            Deed::Surplus => {
                taint.note("surplus replies");
                let extra = surplus(dice);
                self.shift = 1;
                self.is_past_fence = is_fence;
                out.extend_from_slice(&extra);
                out.extend_from_slice(raw);
                if !is_fence {
                    taint.allow(&resp::read(&extra).expect("whole").0);
                    if self.asked.front() == Some(&Asked::Fence) {
                        self.is_past_fence = true;
                    } else {
                        taint.allow(value);
                    }
                }
            }
            Deed::Missing => {
                taint.note("missing replies");
                self.shift = -1;
                self.is_past_fence = is_fence;
            }
            Deed::Endless => {
                taint.note("endless lengths");
                out.extend_from_slice(b"$99999999999999999999\r\n");
            }
            Deed::Huge => {
                taint.note("huge lengths");
                out.extend_from_slice(b"$400000000\r\n");
                out.extend_from_slice(raw);
            }
            Deed::Nested => {
                taint.note("deep nestings");
                out.extend_from_slice(&b"*1\r\n".repeat(1_000_000));
            }
            Deed::Push => {
                taint.note("pushes");
                out.extend_from_slice(b">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$3\r\nTKN\r\n");
                out.extend_from_slice(raw);
            }
            Deed::Error(text) => {
                taint.note("errors in the place of a reply");
                // In step: it may be done again.
                self.is_done = is_fence;
                if !is_fence {
                    taint.allow(&resp::read(text.as_bytes()).expect("whole").0);
                }
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}

/// A reply that nobody asked for, and that shows.
fn surplus(dice: &mut Dice) -> Vec<u8> {
    let token = format!("TKNffffffff{:016x}{:08x}", dice.roll(), dice.roll() as u32);
    format!("${}\r\n{token}\r\n", token.len()).into_bytes()
}
