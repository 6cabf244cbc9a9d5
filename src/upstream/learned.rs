//! What a server says, in its answer to COMMAND INFO, of commands that the table does not know:
//! those of modules, of newer servers, and renamed ones. It knows no session and no link.

use std::collections::HashMap;

use crate::command::{Commands, Keys};
use crate::resp::{elements, write};

/// A name longer than this is not asked about.
const NAME_MAX: usize = 64;

/// Names remembered of one lane; past that all are forgotten, so that a client that makes up
/// names fills no memory and spoils no other's for good.
const NAMES_MAX: usize = 256;

/// Flags that say nothing against sharing a link. One that is not here does, also one that no
/// server has yet: `blocking`, `pubsub`, `admin`, `no_multi`; `noscript`, since what is barred from
/// scripts waits, or has to do with its connection.
const HARMLESS: [&str; 10] = [
    "write",
    "readonly",
    "denyoom",
    "fast",
    "module",
    "movablekeys",
    "loading",
    "stale",
    "random",
    "no_async_loading",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The answer is awaited.
    Asked,
    /// One reply, nothing left behind: it may share a link.
    Shares(Keys),
    /// It may not, or the server does not know it or does not say.
    Pinned,
}

/// What a lane's server has said so far.
#[derive(Debug, Default)]
pub struct Learned {
    names: HashMap<Box<str>, State>,
}

impl Learned {
    /// Whether the server has said of this command that it may share a link.
    #[must_use]
    pub fn shares(&self, name: &[u8]) -> bool {
        !self.names.is_empty() && self.keys(name).is_some()
    }

    /// Where the keys of a command are that the server has said may share a link.
    #[must_use]
    pub(crate) fn keys(&self, name: &[u8]) -> Option<Keys> {
        match self.names.get(&*name_of(name)?)? {
            State::Shares(keys) => Some(*keys),
            State::Asked | State::Pinned => None,
        }
    }

    /// The name to ask the server about, if it has not been asked and can be.
    pub(crate) fn unasked(&self, name: &[u8]) -> Option<Box<str>> {
        name_of(name).filter(|name| !self.names.contains_key(name))
    }

    /// The request that asks about a name.
    pub(crate) fn ask(&mut self, name: &str) -> Vec<u8> {
        self.note(name, State::Asked);
        write::command(&[b"COMMAND", b"INFO", name.as_bytes()])
    }

    /// The server's answer about a name: whatever it is not, is no leave to share. Of a renamed
    /// command the server tells the name that it was born with: then the table has its word too.
    pub(crate) fn answered(&mut self, name: &str, reply: &[u8], table: &Commands) {
        let keys = may_share(reply).and_then(|(told, keys)| {
            keys.filter(|_| told.eq_ignore_ascii_case(name.as_bytes()) || table.shares(told))
        });
        self.note(name, keys.map_or(State::Pinned, State::Shares));
    }

    /// A link of the lane has been greeted: what another server has said counts no more, and
    /// an answer that is still awaited may have been lost with the link before.
    pub(crate) fn greeted(&mut self, same_server: bool) {
        self.names.retain(|_, state| same_server && *state != State::Asked);
    }

    fn note(&mut self, name: &str, state: State) {
        if self.names.len() >= NAMES_MAX && !self.names.contains_key(name) {
            self.names.clear();
        }
        self.names.insert(name.into(), state);
    }
}

/// A client's word as the name of a command, in lower case; `None` for what no command is called.
fn name_of(word: &[u8]) -> Option<Box<str>> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    if word.is_empty() || word.len() > NAME_MAX || !word.iter().all(is_plain) {
        return None;
    }
    Some(String::from_utf8_lossy(word).to_ascii_lowercase().into())
}

/// The command that the answer describes, and where its keys are, if as one that reads or writes
/// them at a known place and has no flag that speaks against sharing; `None` where it is no such answer.
///
/// `*1 *10 $fetch :2 *2 +readonly +fast :1 :1 :1 ...`: name, arity, flags, first key, last key,
/// step, ACL categories, tips, key specifications, subcommands. RESP3 has sets for some.
fn may_share(reply: &[u8]) -> Option<(&[u8], Option<Keys>)> {
    let [command] = elements(reply)?[..] else { return None };
    let fields = elements(command)?;
    let [told, _, flags, first, last, step, ..] = fields[..] else { return None };
    let flags = elements(flags)?;
    let flag = |text: &[u8]| {
        let text = text.strip_prefix(b"+")?.strip_suffix(b"\r\n")?;
        HARMLESS.into_iter().find(|flag| flag.as_bytes() == text)
    };
    let flags: Vec<&str> = flags.into_iter().map(flag).collect::<Option<_>>()?;
    let number = |field: &[u8]| crate::resp::long(field.strip_prefix(b":")?.strip_suffix(b"\r\n")?);
    let keys = Keys::told(number(first)?, number(last)?, number(step)?);
    // A container's own flags say nothing of its subcommands.
    let has_subcommands = fields.get(9).is_some_and(|subcommands| !subcommands[1..].starts_with(b"0\r\n"));
    let touches_keys = keys != Keys::None && (flags.contains(&"write") || flags.contains(&"readonly"));
    let told = told.strip_prefix(b"$").filter(|told| told.first() != Some(&b'-'))?;
    let told = &told[memchr::memchr(b'\n', told)? + 1..];
    Some((told.strip_suffix(b"\r\n")?, (touches_keys && !has_subcommands).then_some(keys)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, flags: &[&str], first_key: i32, subcommands: &str) -> Vec<u8> {
        let list: String = flags.iter().map(|flag| format!("+{flag}\r\n")).collect();
        format!(
            "*1\r\n*10\r\n${}\r\n{name}\r\n:2\r\n~{}\r\n{list}:{first_key}\r\n:1\r\n:1\r\n~1\r\n+@read\r\n*0\r\n\
             *1\r\n%1\r\n$5\r\nflags\r\n~1\r\n+RO\r\n{subcommands}",
            name.len(),
            flags.len()
        )
        .into_bytes()
    }

    /// Whether a command asked about as `name` shares after this answer.
    fn shares_after(name: &str, reply: &[u8]) -> bool {
        let mut learned = Learned::default();
        learned.answered(name, reply, &Commands::new());
        learned.shares(name.as_bytes())
    }

    #[test]
    fn what_reads_or_writes_its_keys_at_once_may_share() {
        let shares = |flags: &[&str]| shares_after("fetch", &info("fetch", flags, 1, "*0\r\n"));
        assert!(shares(&["readonly", "fast"]));
        assert!(shares(&["write", "denyoom", "module"]));
        assert!(shares_after("json.get", &info("JSON.GET", &["readonly", "module"], 1, "*0\r\n")));
        for flag in ["blocking", "pubsub", "noscript", "admin", "no_multi", "not-known-to-anybody"] {
            assert!(!shares(&["write", flag]), "{flag}");
        }
        assert!(!shares(&["fast"]));
    }

    #[test]
    fn what_names_no_key_or_has_subcommands_stays_pinned() {
        let flags = ["readonly"];
        assert!(!shares_after("fetch", &info("fetch", &flags, 0, "*0\r\n")));
        assert!(!shares_after("fetch", &info("fetch", &flags, 1, "*1\r\n*1\r\n+x\r\n")));
    }

    #[test]
    fn what_was_renamed_is_what_the_table_says_it_was() {
        let flags = ["write"];
        for (told, shares) in [
            ("get", true),
            ("blpop", false),
            ("migrate", false),
            ("xread", false),
            ("client", false),
            ("other", false),
        ] {
            assert_eq!(shares_after("fetch", &info(told, &flags, 1, "*0\r\n")), shares, "{told}");
        }
    }

    #[test]
    fn what_is_no_description_is_no_leave() {
        let whole = info("fetch", &["readonly"], 1, "*0\r\n");
        for reply in [
            &b"*1\r\n*-1\r\n"[..],
            b"*1\r\n_\r\n",
            b"*1\r\n$-1\r\n",
            b"*0\r\n",
            b"*-1\r\n",
            b"-NOPERM no\r\n",
            b"+OK\r\n",
            b"$5\r\nfetch\r\n",
            b"*1\r\n*2\r\n$5\r\nfetch\r\n:2\r\n",
            b"",
        ] {
            assert_eq!(may_share(reply), None, "{}", reply.escape_ascii());
        }
        for end in 0..whole.len() {
            assert!(!shares_after("fetch", &whole[..end]), "{end}");
        }
    }

    #[test]
    fn a_name_is_asked_about_once_and_served_in_any_case() {
        let mut learned = Learned::default();
        let name = learned.unasked(b"FeTch").expect("a name");
        assert_eq!(learned.ask(&name), b"*3\r\n$7\r\nCOMMAND\r\n$4\r\nINFO\r\n$5\r\nfetch\r\n");
        assert_eq!(learned.unasked(b"fetch"), None);
        assert!(!learned.shares(b"FETCH"));
        learned.answered(&name, &info("fetch", &["readonly"], 1, "*0\r\n"), &Commands::new());
        assert!(learned.shares(b"FETCH") && !learned.shares(b"fetchh"));
        learned.greeted(true);
        assert!(learned.shares(b"fetch"));
        learned.greeted(false);
        assert!(!learned.shares(b"fetch") && learned.unasked(b"fetch").is_some());
    }

    #[test]
    fn an_answer_lost_with_its_link_is_asked_for_again() {
        let mut learned = Learned::default();
        learned.ask("fetch");
        learned.greeted(true);
        assert!(learned.unasked(b"fetch").is_some());
    }

    #[test]
    fn names_are_bounded_and_plain() {
        let mut learned = Learned::default();
        for name in [&b""[..], b"a b", b"client|kill", b"a\r\nb", b"\xff", &[b'a'; 65]] {
            assert_eq!(learned.unasked(name), None, "{}", name.escape_ascii());
        }
        for number in 0..10_000 {
            learned.ask(&format!("made-up-{number}"));
            assert!(learned.names.len() <= NAMES_MAX);
        }
    }
}
