//! Where the keys of a request are, and so which hash slot it belongs to. It knows no node.
//!
//! Nearly every command has its first key behind its name. The others are in `key_places`. Where a
//! request is so wrong that its keys cannot be told (`EVAL x many`), it has none here: any server
//! then says what is wrong with it.

use std::ops::Range;

use super::key_places;
use super::slot::slot;
use crate::resp::{self, Request};

/// Where a command's keys are. Positions count from the command's name, which is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// It names none.
    None,
    /// From `first` to `last`, each `step`th; a negative `last` counts from the end.
    Range {
        /// The first key.
        first: u8,
        /// The last one.
        last: i8,
        /// From one to the next.
        step: u8,
    },
    /// As many as the argument at `count` says, behind it, each `step`th; and one at `other`.
    Counted {
        /// Where their number is.
        count: u8,
        /// From one to the next.
        step: u8,
        /// A key before the number; 0 is none.
        other: u8,
    },
    /// The first half of what follows STREAMS.
    Streams,
    /// The first, and what follows the last of these words from position `from` on.
    Named {
        /// Where the options begin.
        from: u8,
        /// The options that a key follows.
        words: &'static [&'static str],
    },
    /// MIGRATE's: the third, or if that is empty all behind KEYS.
    Migrate,
}

/// The most common place by far.
pub(super) const FIRST: Keys = Keys::Range { first: 1, last: 1, step: 1 };

/// The slots of a request's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// It has no key.
    Anywhere,
    /// They are all in this one.
    Slot(u16),
    /// They are in several.
    Crossed,
}

impl Keys {
    /// Where the keys of the table's command `name` are; a subcommand follows its container after `|`.
    #[must_use]
    pub fn of(name: &str) -> Self {
        key_places::find(name)
    }

    /// Where COMMAND INFO's three numbers say that they are.
    #[must_use]
    pub fn told(first: i64, last: i64, step: i64) -> Self {
        match (u8::try_from(first), i8::try_from(last), u8::try_from(step)) {
            (Ok(first @ 1..), Ok(last), Ok(step @ 1..)) => Self::Range { first, last, step },
            _ => Self::None,
        }
    }

    /// The slot of a request's keys. `input` begins with the request.
    #[must_use]
    pub fn place(self, input: &[u8], request: &Request) -> Placement {
        match self {
            Self::None => Placement::Anywhere,
            FIRST if request.argc > 1 => Placement::Slot(slot(&input[request.second.clone()])),
            _ => {
                let args: Vec<&[u8]> = resp::args(&input[..request.len]).collect();
                let mut placement = Placement::Anywhere;
                for key in self.of_args(&args) {
                    let own = slot(args[key]);
                    placement = match placement {
                        Placement::Anywhere => Placement::Slot(own),
                        Placement::Slot(slot) if slot == own => placement,
                        _ => return Placement::Crossed,
                    };
                }
                placement
            }
        }
    }

    /// The positions of the keys among a request's arguments.
    #[must_use]
    pub fn of_args(self, args: &[&[u8]]) -> Vec<usize> {
        let argc = args.len();
        match self {
            Self::None => Vec::new(),
            Self::Range { first, last, step } => {
                let end = match usize::try_from(last) {
                    Ok(last) => last + 1,
                    Err(_) => (argc + 1).saturating_sub(usize::from(last.unsigned_abs())),
                };
                (usize::from(first)..end.min(argc)).step_by(usize::from(step)).collect()
            }
            Self::Counted { count, step, other } => {
                let Some(range) = counted(args, count.into(), step.into()) else { return Vec::new() };
                let other = (other > 0).then_some(usize::from(other));
                other.into_iter().chain(range.step_by(step.into())).collect()
            }
            Self::Streams => streams(args).unwrap_or(0..0).collect(),
            Self::Named { from, words } => {
                let is = |word: &&[u8]| words.iter().any(|own| word.eq_ignore_ascii_case(own.as_bytes()));
                let named = (usize::from(from)..argc.saturating_sub(1)).rfind(|&at| is(&args[at]));
                (1..argc.min(2)).chain(named.map(|at| at + 1)).collect()
            }
            Self::Migrate => migrate(args).collect(),
        }
    }
}

/// The keys behind their number, if there are as many.
fn counted(args: &[&[u8]], count: usize, step: usize) -> Option<Range<usize>> {
    let number = usize::try_from(resp::long(args.get(count)?)?).ok()?;
    let end = number.checked_mul(step)?.checked_add(count + 1)?;
    (number > 0 && end <= args.len()).then_some(count + 1..end)
}

/// What is between STREAMS and as many ids. Options come before it, and an option's values are no
/// options, whatever they say (db.c, `xreadGetKeys`).
fn streams(args: &[&[u8]]) -> Option<Range<usize>> {
    let mut at = 1;
    while let Some(word) = args.get(at) {
        let is = |option: &str| word.eq_ignore_ascii_case(option.as_bytes());
        at += match () {
            () if is("STREAMS") => {
                let rest = args.len() - at - 1;
                return (rest > 0 && rest.is_multiple_of(2)).then_some(at + 1..at + 1 + rest / 2);
            }
            () if is("GROUP") => 3,
            () if ["BLOCK", "COUNT", "MAXCOUNT", "MAXSIZE", "CLAIM"].into_iter().any(is) => 2,
            () => 1,
        };
    }
    None
}

/// `MIGRATE host port key|"" db timeout [.. AUTH password | AUTH2 user password] [KEYS key ..]`.
fn migrate(args: &[&[u8]]) -> Range<usize> {
    if args.get(3).is_none_or(|key| !key.is_empty()) {
        return 3..4.min(args.len()).max(3);
    }
    let mut at = 6;
    while let Some(word) = args.get(at) {
        let is = |option: &str| word.eq_ignore_ascii_case(option.as_bytes());
        at += match () {
            () if is("KEYS") => return at + 1..args.len(),
            () if is("AUTH") => 2,
            () if is("AUTH2") => 3,
            () => 1,
        };
    }
    3..3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::{Found, RequestLimits, RequestScanner, write};

    fn keys<'a>(words: &[&'a str]) -> Vec<&'a str> {
        let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let name = match words[0] {
            "object" | "xgroup" => format!("{}|{}", words[0], words[1]),
            name => name.to_owned(),
        };
        Keys::of(&name).of_args(&args).into_iter().map(|at| words[at]).collect()
    }

    #[test]
    fn keys_are_where_each_command_has_them() {
        for (line, expected) in [
            ("get a", "a"),
            ("get", ""),
            ("mset a 1 b 2", "a b"),
            ("del a b c", "a b c"),
            ("blpop a b 0", "a b"),
            ("bitop and d a b", "d a b"),
            ("object encoding a", "a"),
            ("xgroup create a g $", "a"),
            ("eval x 2 a b c", "a b"),
            ("eval x 0 c", ""),
            ("eval x -1 c", ""),
            ("eval x 3 a b", ""),
            ("zunionstore d 2 a b weights 1 2", "d a b"),
            ("blmpop 0 2 a b left", "a b"),
            ("zinter 2 a b", "a b"),
            ("msetex 2 a 1 b 2 ex 3", "a b"),
            ("xread count 2 streams a b 0 0", "a b"),
            ("xread streams a b 0", ""),
            ("xreadgroup group streams streams block 1 streams a >", "a"),
            ("sort a by w_* store d", "a d"),
            ("sort a", "a"),
            ("georadius a 1 2 3 m storedist d", "a d"),
            ("migrate h 1 a 0 9", "a"),
            ("ping x", ""),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(keys(&words), expected.split_whitespace().collect::<Vec<_>>(), "{line}");
        }
        assert_eq!(keys(&["migrate", "h", "1", "", "0", "9", "AUTH", "KEYS", "KEYS", "a", "b"]), ["a", "b"]);
        assert_eq!(keys(&["migrate", "h", "1", "", "0", "9"]), [""; 0]);
    }

    #[test]
    fn a_request_is_in_the_slot_of_all_its_keys_or_crosses() {
        let place = |name: &str, words: &[&[u8]]| {
            let input = write::command(words);
            let limits = RequestLimits { args_max: 100, bulk_bytes_max: 100 };
            match RequestScanner::default().scan(&input, limits) {
                Ok(Found::Request(request)) => Keys::of(name).place(&input, &request),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(place("get", &[b"GET", b"a"]), Placement::Slot(slot(b"a")));
        assert_eq!(place("get", &[b"GET"]), Placement::Anywhere);
        assert_eq!(place("ping", &[b"PING", b"a"]), Placement::Anywhere);
        assert_eq!(place("mget", &[b"MGET", b"{a}1", b"{a}2"]), Placement::Slot(slot(b"a")));
        assert_eq!(place("mget", &[b"MGET", b"a", b"b"]), Placement::Crossed);
    }

    #[test]
    fn three_numbers_of_a_server_are_a_range_if_they_make_sense() {
        assert_eq!(Keys::told(1, -1, 2), Keys::Range { first: 1, last: -1, step: 2 });
        for (first, last, step) in [(0, 0, 0), (-1, 1, 1), (1, 1, 0), (300, 300, 1), (1, 1, 1 << 40)] {
            assert_eq!(Keys::told(first, last, step), Keys::None);
        }
    }
}
