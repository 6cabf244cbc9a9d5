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
        Ok(Self(words))
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
        ] {
            assert_eq!(AclRules::parse(text), Err(error.clone()), "{text:?}");
            assert!(!error.to_string().contains("hunter2"));
        }
        let long = "+get ".repeat(20_000);
        assert_eq!(AclRules::parse(&long), Err(AclError::Long(long.len())));
    }
}
