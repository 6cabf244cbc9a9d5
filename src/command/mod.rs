//! What a command is: its class, and whether a user's profile lets it through.
//!
//! Classification looks at a request's first two arguments, and at all of them
//! only where an option changes the class. It knows nothing of sessions or links.

mod class;
mod key_places;
mod keys;
mod profile;
mod reads;
pub mod slot;
mod subcommands;
mod table;

pub use class::{Answer, Class, Topic, Tx, Why};
pub use keys::{Keys, Placement};
pub use profile::Profile;
pub use table::Row;

use crate::resp::{self, Request};
use subcommands::SUBCOMMANDS;
use table::TABLE;

/// A name longer than this is no command's.
const NAME_MAX: usize = 64;

/// Slots of an index: a power of two, several times the rows, so that chains are short.
const SLOTS: usize = 2048;

/// The numbers of rows, at the slot that a name's hash tells or the next free.
type Index<K> = Box<[Option<(K, u16)>; SLOTS]>;

/// The command table, indexed by name.
#[derive(Debug)]
pub struct Commands {
    /// Commands of up to eight letters, which are most, by these as one number.
    short: Index<u64>,
    /// Every row, by the hash of its name.
    index: Index<u32>,
    /// Where the keys of each row's command are.
    keys: Box<[Keys]>,
    /// Whether RESPGATE is a command; otherwise it is Redis' to say that it is not.
    answers_respgate: bool,
}

/// What is to be done with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes the way of its class.
    Pass(Class),
    /// The user's profile does not allow it; the name as Redis' ACL writes it.
    Refuse(&'static str),
}

impl Default for Commands {
    fn default() -> Self {
        Self::new()
    }
}

impl Commands {
    /// Indexes the table.
    #[must_use]
    pub fn new() -> Self {
        let (mut short, mut index) = (Box::new([None; SLOTS]), Box::new([None; SLOTS]));
        for (number, row) in (0..).zip(rows()) {
            let hash = match row.name.split_once('|') {
                None => hash(row.name.as_bytes(), None),
                Some((container, sub)) => hash(container.as_bytes(), Some(sub.as_bytes())),
            };
            put(&mut index, hash as usize, (hash, number));
            if let Some(letters) = letters(row.name.as_bytes()).filter(|_| !row.name.contains('|')) {
                put(&mut short, letters_slot(letters), (letters, number));
            }
        }
        let keys = rows().map(|row| Keys::of(row.name)).collect();
        Self { short, index, keys, answers_respgate: true }
    }

    /// Whether the gateway answers RESPGATE. It does, unless told otherwise.
    pub fn set_answers_respgate(&mut self, answers: bool) {
        self.answers_respgate = answers;
    }

    /// Classifies a request given its bytes, or as many of them as hold its first
    /// two arguments.
    #[inline]
    #[must_use]
    pub fn classify(&self, input: &[u8], request: &Request, profile: &Profile) -> Verdict {
        let Some(mut row) = self.row(&input[request.name.clone()], None) else {
            return Verdict::Pass(Class::Pin(Why::Unknown));
        };
        if row.shares() {
            return Verdict::Pass(Class::Share);
        }
        if row.class == Class::Container {
            let sub = &input[request.second.clone()];
            match self.row(row.name.as_bytes(), Some(sub)) {
                Some(found) => row = found,
                None => return Verdict::Pass(Class::Pin(Why::Unknown)),
            }
        }
        if row.guarded && !profile.allows(row.name) {
            return Verdict::Refuse(row.name);
        }
        Verdict::Pass(match row.class {
            Class::BlockOption if !has_block_option(&input[..request.len]) => Class::Share,
            Class::BlockOption => Class::Pin(Why::Block),
            Class::Answer(Answer::Respgate) if !self.answers_respgate => Class::Pin(Why::Unknown),
            class => class,
        })
    }

    /// Where a request's keys are; `None` for what the table does not know.
    #[must_use]
    pub fn keys(&self, input: &[u8], request: &Request) -> Option<Keys> {
        let number = self.number(&input[request.name.clone()], None)?;
        let row = row(number);
        if row.class != Class::Container {
            return Some(self.keys[number]);
        }
        let number = self.number(row.name.as_bytes(), Some(&input[request.second.clone()]))?;
        Some(self.keys[number])
    }

    /// The hash slot of a request that shares a link whoever sends it, and whose keys are all in one.
    #[inline]
    #[must_use]
    pub fn shared_slot(&self, input: &[u8], request: &Request) -> Option<u16> {
        let number = self.number(&input[request.name.clone()], None)?;
        let row = row(number);
        if !row.shares() {
            return None;
        }
        match self.keys[number].place(input, request) {
            Placement::Slot(slot) => Some(slot),
            Placement::Anywhere | Placement::Crossed => None,
        }
    }

    /// What the table calls a request's command; a subcommand follows its container after `|`.
    #[must_use]
    pub fn name(&self, input: &[u8], request: &Request) -> Option<&'static str> {
        let found = self.row(&input[request.name.clone()], None)?;
        if found.class != Class::Container {
            return Some(found.name);
        }
        Some(self.row(found.name.as_bytes(), Some(&input[request.second.clone()]))?.name)
    }

    /// Whether a replica may answer this request: it changes nothing, wherever it runs.
    #[must_use]
    pub fn reads(&self, input: &[u8], request: &Request) -> bool {
        self.name(input, request).is_some_and(reads::is_read)
    }

    /// Whether the table has this command as one that shares a link, whoever sends it.
    #[must_use]
    pub fn shares(&self, name: &[u8]) -> bool {
        self.row(name, None).is_some_and(Row::shares)
    }

    /// Whether the table has this command, or this subcommand after `|`.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        match name.split_once('|') {
            None => self.row(name.as_bytes(), None).is_some(),
            Some((container, sub)) => self.row(container.as_bytes(), Some(sub.as_bytes())).is_some(),
        }
    }

    /// The row of a command, or of the subcommand `sub` of it.
    fn row(&self, name: &[u8], sub: Option<&[u8]>) -> Option<&'static Row> {
        self.number(name, sub).map(row)
    }

    /// The number of that row.
    #[inline]
    fn number(&self, name: &[u8], sub: Option<&[u8]>) -> Option<usize> {
        match letters(name) {
            Some(letters) if sub.is_none() => find(&self.short, letters_slot(letters), letters, |_| true),
            _ if name.len() + sub.map_or(0, <[u8]>::len) > NAME_MAX => None,
            _ => {
                let hash = hash(name, sub);
                find(&self.index, hash as usize, hash, |number| row(number).is(name, sub))
            }
        }
    }
}

/// Puts a row's number at the first free slot from `slot` on.
fn put<K: Copy>(index: &mut Index<K>, slot: usize, entry: (K, u16)) {
    let free = (slot..).map(|slot| slot % SLOTS).find(|&slot| index[slot].is_none());
    index[free.expect("there are more slots than rows")] = Some(entry);
}

/// The number of the row that was put there under this key, and is the one.
#[inline]
fn find<K: Copy + PartialEq>(
    index: &Index<K>,
    slot: usize,
    key: K,
    is: impl Fn(usize) -> bool,
) -> Option<usize> {
    let mut slot = slot % SLOTS;
    loop {
        let (of, number) = index[slot]?;
        if of == key && is(number.into()) {
            return Some(number.into());
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// A name of one to eight letters as a number, in lower case: equal for equal names only.
#[inline]
fn letters(name: &[u8]) -> Option<u64> {
    let four = |at: usize| name[at..].first_chunk().map_or(0, |four| u64::from(u32::from_le_bytes(*four)));
    let word = match name.len() {
        len @ 1..4 => {
            let byte = |at: usize| u64::from(name[at]) << (8 * at);
            byte(0) | byte(len / 2) | byte(len - 1)
        }
        len @ 4..=8 => four(0) | four(len - 4) << (8 * (len - 4)),
        _ => return None,
    };
    // A zero at the end would be none.
    (name.last() != Some(&0)).then(|| lower_case(word))
}

/// Eight bytes with each ASCII capital in lower case.
#[inline]
fn lower_case(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let low = word & (0x7f * ONES);
    let from_a = low + u64::from(0x80 - b'A') * ONES;
    let past_z = low + u64::from(0x7f - b'Z') * ONES;
    word | ((from_a ^ past_z) & !word & (0x80 * ONES)) >> 2
}

/// Where these letters are looked for. A product's lower bits know nothing of the last of them.
#[inline]
fn letters_slot(letters: u64) -> usize {
    (letters.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SLOTS.ilog2())) as usize
}

impl Row {
    /// Whether it shares a link, whoever sends it.
    #[inline]
    fn shares(&self) -> bool {
        self.class == Class::Share && !self.guarded
    }

    /// Whether this is its name, in whatever case.
    fn is(&self, name: &[u8], sub: Option<&[u8]>) -> bool {
        let own = self.name.as_bytes();
        match sub {
            None => is_lower_case_of(own, name),
            Some(sub) => own.split_at_checked(name.len()).is_some_and(|(container, rest)| {
                is_lower_case_of(container, name)
                    && rest.first() == Some(&b'|')
                    && is_lower_case_of(&rest[1..], sub)
            }),
        }
    }
}

/// Shorter by far, for names as short as these, than the standard library's comparison.
fn is_lower_case_of(lower: &[u8], name: &[u8]) -> bool {
    lower.len() == name.len()
        && lower.iter().zip(name).all(|(lower, byte)| *lower == byte.to_ascii_lowercase())
}

/// The row of this number; those of the subcommands follow the others.
fn row(number: usize) -> &'static Row {
    TABLE.get(number).unwrap_or_else(|| &SUBCOMMANDS[number - TABLE.len()])
}

/// The whole table: commands, then subcommands.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    TABLE.iter().chain(SUBCOMMANDS)
}

/// Set in the hash of a subcommand: who writes `client|id` as one word has named no command.
const IS_SUB: u32 = 1 << 31;

/// FNV-1a over a name, in whatever case. The table is fixed and a miss costs a few
/// comparisons, so nobody gains by choosing names.
fn hash(name: &[u8], sub: Option<&[u8]>) -> u32 {
    let add = |hash: u32, &byte: &u8| (hash ^ u32::from(byte | 0x20)).wrapping_mul(0x0100_0193);
    let hash = name.iter().fold(0x811c_9dc5, add);
    let mixed = |hash: u32| hash ^ hash >> 15;
    match sub {
        None => mixed(hash) & !IS_SUB,
        Some(sub) => mixed(sub.iter().fold(hash, add)) | IS_SUB,
    }
}

/// Whether XREAD or XREADGROUP waits. Options come before STREAMS, and what follows that are
/// keys and ids; an option's values are no options, whatever they say.
fn has_block_option(request: &[u8]) -> bool {
    let mut args = resp::args(request).skip(1);
    while let Some(arg) = args.next() {
        let is = |option: &str| arg.eq_ignore_ascii_case(option.as_bytes());
        let values = match () {
            () if is("BLOCK") => return true,
            () if is("STREAMS") => return false,
            () if is("GROUP") => 2,
            () if ["COUNT", "MAXCOUNT", "MAXSIZE", "CLAIM"].into_iter().any(is) => 1,
            () => 0,
        };
        args.by_ref().take(values).for_each(drop);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::{Found, RequestLimits, RequestScanner, write};

    fn classify(words: &[&str], profile: &Profile) -> Verdict {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let input = write::command(&words);
        let limits = RequestLimits { args_max: 100, bulk_bytes_max: 1000 };
        match RequestScanner::default().scan(&input, limits) {
            Ok(Found::Request(request)) => Commands::new().classify(&input, &request, profile),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_shares_a_link_and_is_in_one_slot_is_told_at_once() {
        let commands = Commands::new();
        let told = |words: &[&str]| {
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            let input = write::command(&words);
            let limits = RequestLimits { args_max: 10, bulk_bytes_max: 100 };
            let request = Request::whole(&input, limits).expect("whole");
            commands.shared_slot(&input, &request)
        };
        assert_eq!(told(&["get", "k"]), Some(slot::slot(b"k")));
        assert_eq!(told(&["MSET", "{k}1", "v", "{k}2", "v"]), Some(slot::slot(b"k")));
        let others: [&[&str]; 8] = [
            &["MGET", "a", "b"],
            &["PING"],
            &["GET"],
            &["BLPOP", "k", "0"],
            &["EVAL", "return 1", "1", "k"],
            &["CONFIG", "GET", "k"],
            &["WATCH", "k"],
            &["NOSUCH", "k"],
        ];
        for words in others {
            assert_eq!(told(words), None, "{words:?}");
        }
    }

    #[test]
    fn rows_are_in_order_and_found_by_name() {
        let commands = Commands::new();
        for pair in [TABLE, SUBCOMMANDS].into_iter().flat_map(|part| part.windows(2)) {
            assert!(pair[0].name < pair[1].name, "{} {}", pair[0].name, pair[1].name);
        }
        for row in rows() {
            assert!(commands.knows(row.name), "{}", row.name);
        }
        assert!(!commands.knows("nosuch"));
        assert!(!commands.knows("client|nosuch"));
        assert!(commands.knows("object|freq"));
        assert!(!commands.knows("get|freq"));
    }

    #[test]
    fn letters_are_one_number_for_one_name() {
        for byte in 0..=u8::MAX {
            for len in 1..=8 {
                let name: Vec<u8> = (0..len).map(|at| byte.wrapping_add(at)).collect();
                let expected =
                    name.iter().rev().fold(0, |word, byte| word << 8 | u64::from(byte.to_ascii_lowercase()));
                let expected = (name.last() != Some(&0)).then_some(expected);
                assert_eq!(letters(&name), expected, "{name:?}");
            }
        }
        assert_eq!(letters(b""), None);
        assert_eq!(letters(b"ninechars"), None);
    }

    #[test]
    fn names_are_case_insensitive() {
        for name in ["get", "GET", "gEt"] {
            assert_eq!(classify(&[name, "k"], &Profile::Default), Verdict::Pass(Class::Share));
        }
        assert_eq!(
            classify(&["Client", "SetName", "x"], &Profile::Default),
            Verdict::Pass(Class::Answer(Answer::ClientSetName))
        );
    }

    #[test]
    fn what_the_table_does_not_know_is_pinned() {
        let long = "x".repeat(500);
        for words in [
            &["nosuch"][..],
            &["client"],
            &["client", "nosuch"],
            &["client|id"],
            &["client|setname", "x", "y"],
            &["xgroup", "create|"],
            &["get\0"],
            &["\0get"],
            &[&long],
            &["client", &long],
            &[""],
        ] {
            assert_eq!(
                classify(words, &Profile::Default),
                Verdict::Pass(Class::Pin(Why::Unknown)),
                "{words:?}"
            );
        }
    }

    #[test]
    fn respgate_is_unknown_where_it_is_switched_off() {
        let words = write::command(&[b"respgate", b"whoami"]);
        let limits = RequestLimits { args_max: 100, bulk_bytes_max: 1000 };
        let Ok(Found::Request(request)) = RequestScanner::default().scan(&words, limits) else {
            panic!("a request")
        };
        let mut commands = Commands::new();
        for (answers, class) in [(true, Class::Answer(Answer::Respgate)), (false, Class::Pin(Why::Unknown))] {
            commands.set_answers_respgate(answers);
            assert_eq!(commands.classify(&words, &request, &Profile::Default), Verdict::Pass(class));
        }
    }

    #[test]
    fn guarded_commands_need_the_profile() {
        let config = Profile::Listed(["config".to_owned()].into());
        assert_eq!(classify(&["DEBUG", "SLEEP", "1"], &Profile::Default), Verdict::Refuse("debug"));
        assert_eq!(
            classify(&["DEBUG", "SLEEP", "1"], &Profile::All),
            Verdict::Pass(Class::Pin(Why::Answers))
        );
        assert_eq!(classify(&["CONFIG", "SET", "a"], &Profile::Default), Verdict::Refuse("config|set"));
        assert_eq!(classify(&["CONFIG", "SET", "a"], &config), Verdict::Pass(Class::Share));
        assert_eq!(classify(&["CONFIG", "GET", "a"], &Profile::Default), Verdict::Pass(Class::Share));
    }

    #[test]
    fn a_block_option_pins() {
        for (words, class) in [
            (&["XREAD", "COUNT", "1", "STREAMS", "BLOCK", "0"][..], Class::Share),
            (&["XREAD", "block", "0", "STREAMS", "s", "0"], Class::Pin(Why::Block)),
            (&["XREADGROUP", "GROUP", "g", "c", "BLOCK", "1", "STREAMS", "s", ">"], Class::Pin(Why::Block)),
            (
                &["XREADGROUP", "GROUP", "streams", "c", "BLOCK", "0", "STREAMS", "s", ">"],
                Class::Pin(Why::Block),
            ),
            (&["XREADGROUP", "GROUP", "block", "BLOCK", "COUNT", "1", "STREAMS", "s", ">"], Class::Share),
        ] {
            assert_eq!(classify(words, &Profile::Default), Verdict::Pass(class), "{words:?}");
        }
    }
}
