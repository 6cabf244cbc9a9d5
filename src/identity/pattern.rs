//! A text pattern: the text itself, `*` and `?`, or a `/regex/`. Always compared
//! with a whole text; knows nothing of what the text is.

use std::fmt;

use regex::{Regex, RegexBuilder};
use thiserror::Error;

/// The longest pattern. Nobody writes a longer one by hand.
pub(super) const PATTERN_BYTES_MAX: usize = 1024;

/// What a compiled regular expression may take; `\w{100}` does not fit.
const REGEX_BYTES_MAX: usize = 256 << 10;

/// Groups within groups in a regular expression.
const REGEX_DEPTH_MAX: u32 = 32;

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// Nothing, or spaces only.
    #[error("the pattern is blank: remove it, or write * if everybody is meant")]
    Blank,
    /// Too much text.
    #[error("the pattern has {0} bytes, expected at most {PATTERN_BYTES_MAX}")]
    TooLong(usize),
    /// Not a regular expression.
    #[error("not a regular expression: {0}")]
    Regex(String),
    /// A regular expression that takes too much memory.
    #[error("the regular expression takes more than {REGEX_BYTES_MAX} bytes once compiled: make it simpler")]
    RegexTooLarge,
}

/// What a text is compared with. Its `Display` is the pattern as written.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    kind: Kind,
    ignores_case: bool,
}

#[derive(Debug, Clone)]
enum Kind {
    Exact,
    Wildcard,
    Regex(Regex),
}

impl Pattern {
    /// Reads a pattern: `/regex/`, or a text in which `*` stands for any
    /// characters and `?` for one. There is no escape: a text with a star in it
    /// is written as a regular expression.
    ///
    /// # Errors
    ///
    /// Why it is none. A blank one is refused, so that it cannot mean everybody.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        Self::read(text, false)
    }

    /// As [`Self::parse`], for what is the same in either case of ASCII letters.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn parse_ignoring_case(text: &str) -> Result<Self, PatternError> {
        Self::read(text, true)
    }

    fn read(text: &str, ignores_case: bool) -> Result<Self, PatternError> {
        if text.trim().is_empty() {
            return Err(PatternError::Blank);
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong(text.len()));
        }
        let kind = match regex_of(text) {
            Some(regex) => Kind::Regex(whole(regex, ignores_case)?),
            None if has_wildcard(text) => Kind::Wildcard,
            None => Kind::Exact,
        };
        Ok(Self { text: text.to_owned(), kind, ignores_case })
    }

    /// Whether the whole text is what the pattern asks for.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match &self.kind {
            Kind::Exact if self.ignores_case => self.text.eq_ignore_ascii_case(text),
            Kind::Exact => self.text == text,
            Kind::Wildcard if self.ignores_case => {
                glob(&self.text.to_ascii_lowercase(), &text.to_ascii_lowercase())
            }
            Kind::Wildcard => glob(&self.text, text),
            Kind::Regex(regex) => regex.is_match(text),
        }
    }

    /// Whether it is a regular expression.
    #[must_use]
    pub fn is_regex(&self) -> bool {
        matches!(self.kind, Kind::Regex(_))
    }

    /// Whether it is stars only, which every text matches.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.text.bytes().all(|byte| byte == b'*')
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What stands between the slashes of `/regex/`.
pub(super) fn regex_of(text: &str) -> Option<&str> {
    text.strip_prefix('/')?.strip_suffix('/')
}

pub(super) fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Compiles a regular expression that must match a whole text. The crate's
/// engine takes time linear in the text, whatever the expression.
pub(super) fn whole(regex: &str, ignores_case: bool) -> Result<Regex, PatternError> {
    if regex.trim().is_empty() {
        return Err(PatternError::Blank);
    }
    let build = |text: &str| {
        RegexBuilder::new(text)
            .size_limit(REGEX_BYTES_MAX)
            .dfa_size_limit(REGEX_BYTES_MAX)
            .nest_limit(REGEX_DEPTH_MAX)
            .case_insensitive(ignores_case)
            // A line break in a value must not let it slip past an exception.
            .dot_matches_new_line(true)
            .build()
            .map_err(refused)
    };
    // On its own first: `a)|(b` would otherwise close the group that anchors it.
    build(regex)?;
    build(&format!(r"\A(?:{regex})\z"))
}

fn refused(error: regex::Error) -> PatternError {
    match error {
        regex::Error::CompiledTooBig(_) => PatternError::RegexTooLarge,
        // A drawing of several lines; the last one says what is wrong.
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            PatternError::Regex(last.strip_prefix("error: ").unwrap_or(last).to_owned())
        }
    }
}

/// Whether a whole text is what a pattern of `*` and `?` asks for. Goes back to
/// the last star only, so the time is at most the product of the lengths.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // What follows the last star, and the text from where that was last tried.
    let mut star: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let here = text.clone();
        match (pattern.next(), text.next()) {
            (Some('*'), _) => {
                text = here;
                star = Some((pattern.clone(), text.clone()));
            }
            (Some('?'), Some(_)) => {}
            (Some(expected), Some(found)) if expected == found => {}
            (None, None) => return true,
            _ => {
                let Some((rest, from)) = &mut star else { return false };
                if from.next().is_none() {
                    return false;
                }
                (pattern, text) = (rest.clone(), from.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).matches(text)
    }

    #[test]
    fn a_pattern_is_compared_with_the_whole_text() {
        for (pattern, yes, no) in [
            ("app", &["app"][..], &["App", "app1", "my app", ""][..]),
            ("app*", &["app", "app1", "app*"], &["ap", "xapp"]),
            ("*app", &["app", "xapp", "appapp"], &["app1"]),
            ("a*b*c", &["abc", "aXbYc", "abcbc"], &["ab", "acb", "abcd"]),
            ("a?c", &["abc", "aßc"], &["ac", "abbc"]),
            ("*", &["", "anything"], &[]),
            ("?*", &["x", "xy"], &[""]),
            ("/a|ab/", &["a", "ab"], &["abc", "xa"]),
            ("/app-[0-9]+/", &["app-1", "app-22"], &["app-", "app-1x", "x-app-1"]),
            ("/a.c/", &["abc", "a\nc"], &["ac"]),
            ("/a", &["/a"], &["a"]),
            ("a/", &["a/"], &["a"]),
        ] {
            yes.iter().for_each(|text| assert!(matches(pattern, text), "{pattern} {text:?}"));
            no.iter().for_each(|text| assert!(!matches(pattern, text), "{pattern} {text:?}"));
        }
    }

    #[test]
    fn no_regular_expression_gets_out_of_its_anchors() {
        for text in ["/a)|(?:b/", "/a)|b(/", "/)/", "/(/", "/[/"] {
            assert!(matches!(Pattern::parse(text), Err(PatternError::Regex(_))), "{text}");
        }
        assert!(matches!(Pattern::parse("/(?x)a # b/"), Err(PatternError::Regex(_))));
        assert!(!matches("/(?m)^a$/", "x\na\ny"));
    }

    #[test]
    fn blank_and_boundless_patterns_are_refused() {
        for blank in ["", " ", "\t\n", "//", "/ /"] {
            assert_eq!(Pattern::parse(blank).map(|_| ()), Err(PatternError::Blank), "{blank:?}");
        }
        let long = "x".repeat(PATTERN_BYTES_MAX + 1);
        assert_eq!(Pattern::parse(&long).map(|_| ()), Err(PatternError::TooLong(1025)));
        assert_eq!(Pattern::parse(r"/(\w{100}){100}/").map(|_| ()), Err(PatternError::RegexTooLarge));
        let deep = format!("/{}a{}/", "(".repeat(200), ")".repeat(200));
        assert!(matches!(Pattern::parse(&deep), Err(PatternError::Regex(_))));
        assert_eq!(
            Pattern::parse("/a(b/").map(|_| ()),
            Err(PatternError::Regex("unclosed group".to_owned()))
        );
    }

    #[test]
    fn a_pattern_of_stars_does_not_explode() {
        let pattern = format!("{}b", "a*".repeat(500));
        assert!(!matches(&pattern, &"a".repeat(30_000)));
    }
}
