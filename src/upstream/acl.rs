//! Rules of a Redis ACL user, in Redis' own syntax, as far as they may be written in the place of a
//! user and a password. What a rule means is Redis' to say; that none of them lets anybody in who
//! should not come in is held here.

use std::fmt;

use thiserror::Error;

/// More is not a person's work. Redis' own bound is far above.
const BYTES_MAX: usize = 64 * 1024;

/// Rules that are passed on to Redis, one word each; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclRules(Vec<String>);

/// Why a text is not such rules. No password that is written by mistake is shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AclError {
    /// No word at all.
    #[error("no rule, expected at least one such as +@read")]
    Empty,
    /// More than can be meant.
    #[error("{0} bytes of rules, expected at most {BYTES_MAX}")]
    Long(usize),
    /// A character that no rule has.
    #[error("a control character")]
    Control,
    /// `>..`, `<..`, `#..`, `!..`: words with a password in them, or its hash.
    #[error("a rule that begins with {0:?} sets a password, which is the gateway's to set")]
    Password(char),
    /// `nopass`, `resetpass`, `on`, `off`, `reset`.
    #[error("{0:?} is about who comes in, which is the gateway's to set")]
    Access(&'static str),
    /// `(+get ~b`: Redis takes all that follows for a part of it.
    #[error("the parenthesis of {0:?} is not closed")]
    Open(String),
}

impl AclRules {
    /// Reads rules that are separated by blanks.
    ///
    /// # Errors
    /// If there is none, or one that is not about commands, keys or channels.
    pub fn parse(text: &str) -> Result<Self, AclError> {
        if text.len() > BYTES_MAX {
            return Err(AclError::Long(text.len()));
        }
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err(AclError::Control);
        }
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        if words.is_empty() {
            return Err(AclError::Empty);
        }
        words.iter().try_for_each(|word| about_rights(word))?;
        match open_selector(&words) {
            Some(word) => Err(AclError::Open(word.chars().take(100).collect())),
            None => Ok(Self(words)),
        }
    }

    /// The words, in order.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for AclRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// Whether a word is about what may be done; the brackets of a selector hide nothing.
fn about_rights(word: &str) -> Result<(), AclError> {
    let word = word.trim_start_matches('(').trim_end_matches(')');
    if let Some(first) = word.chars().next().filter(|first| "><#!".contains(*first)) {
        return Err(AclError::Password(first));
    }
    match ["on", "off", "nopass", "resetpass", "reset"].into_iter().find(|it| it.eq_ignore_ascii_case(word)) {
        Some(found) => Err(AclError::Access(found)),
        None => Ok(()),
    }
}

/// The first word of a selector that does not end. Where one does, is by `ACLMergeSelectorArguments` in
/// Redis' `acl.c`: outside of selectors `~a)` is a pattern.
fn open_selector(words: &[String]) -> Option<&String> {
    let mut open = None;
    for word in words {
        if open.is_none() && word.starts_with('(') {
            open = Some(word);
        }
        if word.ends_with(')') {
            open = None;
        }
    }
    open
}

/// Whether an error that ACL SETUSER is answered with is about the user that it names. What else a node
/// has to say has a code of its own (NOPERM, LOADING, ..), but for a node that does not know the command.
#[must_use]
pub fn is_refusal(error: &str) -> bool {
    let Some(what) = error.strip_prefix("ERR ") else { return false };
    let is =
        |beginning: &str| what.get(..beginning.len()).is_some_and(|it| it.eq_ignore_ascii_case(beginning));
    !is("unknown command ") && !is("unknown subcommand ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_about_rights_are_taken_word_by_word() {
        let rules = AclRules::parse(" +@read\n ~app:*  (+get ~b) resetchannels allkeys ").expect("rules");
        assert_eq!(rules.to_string(), "+@read ~app:* (+get ~b) resetchannels allkeys");
        assert_eq!(rules.words().count(), 6);
    }

    #[test]
    fn rules_about_who_comes_in_are_refused_and_passwords_are_not_shown() {
        for (text, error) in [
            ("", AclError::Empty),
            ("  \n", AclError::Empty),
            ("+@read >hunter2", AclError::Password('>')),
            ("(+get <hunter2)", AclError::Password('<')),
            ("#0123", AclError::Password('#')),
            ("!0123", AclError::Password('!')),
            ("+@all NoPass", AclError::Access("nopass")),
            ("ON +@all", AclError::Access("on")),
            ("off", AclError::Access("off")),
            ("resetpass", AclError::Access("resetpass")),
            ("((reset)", AclError::Access("reset")),
            ("+get\0", AclError::Control),
            ("+@read (+get ~b", AclError::Open("(+get".to_owned())),
            ("(+get ~b) ( +set ~c", AclError::Open("(".to_owned())),
        ] {
            assert_eq!(AclRules::parse(text), Err(error.clone()), "{text:?}");
            assert!(!error.to_string().contains("hunter2"));
        }
        let long = "+get ".repeat(20_000);
        assert_eq!(AclRules::parse(&long), Err(AclError::Long(long.len())));
    }

    #[test]
    fn parentheses_are_matched_as_redis_matches_them() {
        for text in
            ["(+get ~b)", "( +get ~b )", "(+get ~b) (+set ~c)", "(+get ~(b)", "(+get) ~b)", "~b(c", "~b)"]
        {
            assert!(AclRules::parse(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn an_error_is_about_the_user_unless_the_node_cannot_make_any() {
        for error in [
            "ERR Error in ACL SETUSER modifier '+nonsense': Unknown command or category name in ACL",
            "ERR Unmatched parenthesis in acl selector starting at '(+get'.",
            "ERR Usernames can't contain spaces or null characters",
        ] {
            assert!(is_refusal(error), "{error}");
        }
        for error in [
            "NOPERM User adm has no permissions to run the 'acl|setuser' command",
            "NOAUTH Authentication required.",
            "LOADING Redis is loading the dataset in memory",
            "READONLY You can't write against a read only replica.",
            "ERR unknown command 'ACL', with args beginning with: 'SETUSER' 'x'",
            "ERR unknown subcommand 'SETUSER'. Try ACL HELP.",
            "ERR Unknown subcommand or wrong number of arguments for 'SETUSER'. Try ACL HELP.",
        ] {
            assert!(!is_refusal(error), "{error}");
        }
    }
}
