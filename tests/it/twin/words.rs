//! Requests drawn by chance: phrases, phrases with something wrong, and every command that the
//! server knows with arguments made up, in right and in wrong number.

use super::commands::{Known, is_free};
use super::compare::Compare;
use super::dice::Dice;
use super::phrases::{COLLECTIONS, KEYS as KEY_PHRASES, LIBRARY, MACHINES, SERVER};
use super::request::{Request, words};
use crate::backend::Version;

/// The keys that there are, and one that there is not.
pub(crate) const KEYS: [&str; 12] = ["s", "n", "f", "l", "t", "i", "h", "z", "g", "x", "p", "none"];

/// What stands for a key, a value, a field, an option. No time may be made of it that is near:
/// nothing is to end between the two servers' looking at it.
const WORDS: [&str; 40] = [
    "a",
    "b",
    "f1",
    "m1",
    "hello",
    "field",
    "grp",
    "c1",
    "1-1",
    "-",
    "+",
    "(1",
    "[a",
    "*x",
    "WITHSCORES",
    "LIMIT",
    "COUNT",
    "MATCH",
    "NX",
    "GT",
    "CH",
    "LEFT",
    "RIGHT",
    "BEFORE",
    "MIN",
    "MAX",
    "STREAMS",
    "BY",
    "ALPHA",
    "STORE",
    "WEIGHTS",
    "IDX",
    "ANY",
    "REPLACE",
    "HELP",
    "GET",
    "LEN",
    "inf",
    "nan",
    "abc",
];

const NUMBERS: [&str; 9] =
    ["0", "-1", "1000000", "7", "1.5", "-0", "9223372036854775807", "9223372036854775808", "1e5"];

/// The generator of requests for one server.
pub(crate) struct Words {
    /// See `Session`.
    pub(crate) loses_auth: bool,
    known: Vec<Known>,
    phrases: [Vec<&'static str>; 4],
}

impl Words {
    pub(crate) fn new(version: Version, known: Vec<Known>) -> Self {
        let split = |text: &'static str| text.split(['|', '\n']).collect();
        let loses_auth = version == Version::Redis8;
        Self { loses_auth, known, phrases: [KEY_PHRASES, COLLECTIONS, MACHINES, SERVER].map(split) }
    }

    /// Any request.
    pub(crate) fn any(&self, dice: &mut Dice) -> Request {
        match dice.below(10) {
            0 | 1 => self.made_up(dice),
            2 => self.wrong_number(dice),
            3 => self.spoilt(dice),
            _ => self.phrase(dice),
        }
    }

    /// A phrase about keys, which leaves the connection as it is.
    pub(crate) fn about_keys(&self, dice: &mut Dice) -> Request {
        let from = dice.pick(&[0, 0, 1, 1, 2]);
        Request::typed(dice.pick(&self.phrases[from]))
    }

    /// The same, of those that do not wait and are compared byte for byte.
    pub(crate) fn plain(&self, dice: &mut Dice) -> Request {
        loop {
            let request = self.about_keys(dice);
            let waits = request.args[0].starts_with(b"B")
                || request.args[0].starts_with(b"WAIT")
                || request.has(1, "BLOCK")
                || request.bytes.windows(5).any(|word| word == b"BLOCK");
            if request.compare == Compare::Exact && !waits {
                return request;
            }
        }
    }

    fn phrase(&self, dice: &mut Dice) -> Request {
        if dice.one_in(150) {
            return load(dice);
        }
        let from = dice.below(4);
        Request::typed(dice.pick(&self.phrases[from]))
    }

    /// A phrase that has lost a word, or has got one that does not belong there.
    fn spoilt(&self, dice: &mut Dice) -> Request {
        let from = dice.below(3);
        let mut args = words(dice.pick(&self.phrases[from]));
        // What has a time in it keeps its words: it could end soon, or wait long.
        let timed = ["EX", "WAIT", "BL", "BR", "BZ", "XREAD", "SUBSCR", "RESTORE"];
        let text = String::from_utf8_lossy(&args.concat()).to_uppercase();
        if timed.iter().any(|word| text.contains(word))
            || !is_free(&text.to_lowercase())
            || text.starts_with("SPOP")
        {
            return Request::new(args);
        }
        let at = dice.below(args.len());
        match dice.below(3) {
            0 if args.len() > 1 => {
                args.remove(at);
            }
            1 => args.push(argument(dice)),
            _ => args[at] = argument(dice),
        }
        let name = String::from_utf8_lossy(&args[0]).to_lowercase();
        // One that has lost its first word may be another: FLUSHALL SYNC.
        if !is_free(&name) || name == "xadd" {
            return Request::typed("PING");
        }
        harmless(args)
    }

    /// A command with arguments in right number.
    fn made_up(&self, dice: &mut Dice) -> Request {
        let command = &self.known[dice.below(self.known.len())];
        if !is_free(&command.name) {
            return self.wrong_number(dice);
        }
        let least = command.arity.unsigned_abs() as usize;
        let more = if command.arity < 0 { dice.below(4) } else { 0 };
        self.with(command, least + more, dice)
    }

    /// A command with too few arguments, or too many.
    fn wrong_number(&self, dice: &mut Dice) -> Request {
        let command = &self.known[dice.below(self.known.len())];
        let least = command.arity.unsigned_abs() as usize;
        let few = command.words().len();
        let count = if command.arity > 0 && dice.one_in(2) {
            least + 1 + dice.below(3)
        } else if least > few {
            dice.between(few, least - 1)
        } else {
            return Request::typed("PING");
        };
        // With one word fewer than it needs, a container alone is another command.
        self.with(command, count, dice)
    }

    fn with(&self, command: &Known, count: usize, dice: &mut Dice) -> Request {
        let mut args = command.words();
        if dice.one_in(4) {
            args[0].make_ascii_uppercase();
        }
        // A near time would end something between the looks of the two servers.
        let timed =
            command.name.contains("pex") || command.name.contains("psetex") || command.name == "restore";
        while args.len() < count {
            let word = if args.len() == command.first_key {
                dice.pick(&KEYS).as_bytes().to_vec()
            } else {
                argument(dice)
            };
            let number = word.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-');
            args.push(match () {
                () if command.is_blocking && number => b"word".to_vec(),
                () if timed && number => b"1000000".to_vec(),
                () => word,
            });
        }
        harmless(args)
    }
}

/// The request, without what is the server's own fault. What FUNCTION LIST finds fault with it repeats
/// as it is: with line ends in it, a reply that nobody asked for, which the gateway does not pass on
/// (exception `injected-replies`). A vector of as many values as there are numbers ends Redis 8.2.
fn harmless(mut args: Vec<Vec<u8>>) -> Request {
    if args[0].eq_ignore_ascii_case(b"function") {
        args.iter_mut().for_each(|arg| arg.retain(|byte| !matches!(byte, b'\r' | b'\n')));
    }
    if args[0].eq_ignore_ascii_case(b"vadd") || args[0].eq_ignore_ascii_case(b"vsim") {
        let huge = args.iter_mut().filter(|arg| arg.starts_with(b"92233"));
        huge.for_each(|arg| *arg = b"7".to_vec());
    }
    Request::new(args)
}

/// A word for any place.
pub(crate) fn argument(dice: &mut Dice) -> Vec<u8> {
    match dice.below(20) {
        0 => Vec::new(),
        1 => binary(dice),
        2 => vec![b'x'; dice.pick(&[100, 1_000, 5_000])],
        3..7 => dice.pick(&NUMBERS).as_bytes().to_vec(),
        7..13 => dice.pick(&KEYS).as_bytes().to_vec(),
        _ => dice.pick(&WORDS).as_bytes().to_vec(),
    }
}

/// Bytes of any kind, line ends and what looks like replies among them.
pub(crate) fn binary(dice: &mut Dice) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..dice.between(1, 20)).map(|_| dice.next() as u8).collect();
    bytes.extend_from_slice(dice.pick(&[
        &b""[..],
        b"\r\n",
        b"\0",
        b"\r\n+OK\r\n",
        b"\r\n$3\r\nabc\r\n",
        b"*1\r\n",
        b"\"",
    ]));
    bytes
}

/// FUNCTION LOAD of a library, again or anew.
fn load(dice: &mut Dice) -> Request {
    let mut args = words(dice.pick(&["FUNCTION LOAD", "FUNCTION LOAD REPLACE"]));
    args.push(LIBRARY.to_vec());
    Request::new(args)
}
