//! A distinguished name as a rule's pattern. Compared RDN by RDN and value by
//! value with the certificate's name as parsed: a comma within a value is never
//! taken for the end of it.

use std::fmt;

use regex::Regex;
use thiserror::Error;

use crate::identity::name::{Attribute, Rdn};
use crate::identity::pattern::{self, PATTERN_BYTES_MAX, PatternError};
use crate::identity::value::Value;
use crate::identity::{LineError, Mismatch, Name, SubjectLine};

/// Why a text is no pattern of names.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubjectPatternError {
    /// Not a distinguished name.
    #[error(transparent)]
    Line(#[from] LineError),
    /// Not a regular expression.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// `*` and `\2A` in one text: after parsing they are the same.
    #[error(
        "a wildcard and an escaped star or question mark in one name cannot be told apart: write a /regex/"
    )]
    MixedEscape,
}

/// What a name is compared with. Its `Display` is the pattern as written.
#[derive(Debug, Clone)]
pub struct SubjectPattern {
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// As a `certificate_subject_line` is compared.
    Exact(SubjectLine),
    /// `*` and `?` within values; with `is_suffix` any number of RDNs, at least
    /// one, more specific than those of the pattern.
    Wildcard { name: Name, is_suffix: bool },
    /// On the canonical RFC 4514 text, whole. The characters `,` and `+` within
    /// a value are escaped there.
    Regex(Regex),
}

impl SubjectPattern {
    /// Reads a name such as `CN=app,O=Acme`, most specific RDN first. `*` and
    /// `?` stand for characters within one value, a leading `*,` for one or more
    /// RDNs, `*` alone for any name; `/regex/` is matched with the whole canonical text.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, SubjectPatternError> {
        if text.trim().is_empty() {
            return Err(PatternError::Blank.into());
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong(text.len()).into());
        }
        let kind = match pattern::regex_of(text) {
            Some(regex) => Kind::Regex(pattern::whole(regex, false)?),
            None if pattern::has_wildcard(text) => wildcard(text)?,
            None => Kind::Exact(text.parse()?),
        };
        Ok(Self { text: text.to_owned(), kind })
    }

    /// Whether a name is what the pattern asks for.
    #[must_use]
    pub fn matches(&self, name: &Name) -> bool {
        match &self.kind {
            Kind::Exact(line) => line.matches(name),
            Kind::Wildcard { name: pattern, is_suffix } => wildcard_matches(pattern, *is_suffix, name),
            Kind::Regex(regex) => !name.is_empty() && regex.is_match(&name.to_string()),
        }
    }

    /// How a name differs, where the pattern is one whole name.
    #[must_use]
    pub fn mismatch(&self, name: &Name) -> Option<Mismatch> {
        match &self.kind {
            Kind::Exact(line) => line.compare(name).err(),
            Kind::Wildcard { .. } | Kind::Regex(_) => None,
        }
    }

    /// Whether it is a regular expression.
    #[must_use]
    pub fn is_regex(&self) -> bool {
        matches!(self.kind, Kind::Regex(_))
    }
}

impl fmt::Display for SubjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn wildcard(text: &str) -> Result<Kind, SubjectPatternError> {
    let lower = text.to_ascii_lowercase();
    if lower.contains("\\2a") || lower.contains("\\3f") {
        return Err(SubjectPatternError::MixedEscape);
    }
    if text == "*" {
        return Ok(Kind::Wildcard { name: Name::from_rdns(Vec::new()), is_suffix: true });
    }
    let (text, is_suffix) = match text.strip_prefix("*,") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let line: SubjectLine = text.parse()?;
    Ok(Kind::Wildcard { name: line.name().clone(), is_suffix })
}

/// RDNs are held most general first, so a pattern's end is the names' beginning.
fn wildcard_matches(pattern: &Name, is_suffix: bool, name: &Name) -> bool {
    let (pattern, found) = (pattern.rdns(), name.rdns());
    let fits = if is_suffix { found.len() > pattern.len() } else { found.len() == pattern.len() };
    fits && pattern.iter().zip(found).all(|(pattern, found)| rdn_matches(pattern, found))
}

/// A pattern has no type twice in an RDN. A certificate that has is matched by none.
fn rdn_matches(pattern: &Rdn, found: &Rdn) -> bool {
    let (pattern, found) = (pattern.attributes(), found.attributes());
    let has_one = |wanted: &Attribute| {
        found.iter().filter(|it| it.oid == wanted.oid).count() == 1
            && found.iter().any(|it| it.oid == wanted.oid && value_matches(&wanted.value, &it.value))
    };
    pattern.len() == found.len() && pattern.iter().all(has_one)
}

fn value_matches(pattern: &Value, found: &Value) -> bool {
    match (pattern, found) {
        (Value::Text(pattern), Value::Text(found)) => pattern::glob(pattern, found),
        _ => pattern == found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        let pattern = SubjectPattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        pattern.matches(name.parse::<SubjectLine>().expect("a line").name())
    }

    #[test]
    fn names_are_compared_part_by_part() {
        for (pattern, yes, no) in [
            ("CN=a,O=b", &["cn = a , o = b"][..], &["O=b,CN=a", "CN=a", "CN=A,O=b", "CN=a\\,O=b"][..]),
            ("CN=*,O=b", &["CN=a,O=b", "CN=x\\,CN=y,O=b"], &["CN=a,OU=x,O=b", "CN=a,O=c", "CN=a+UID=1,O=b"]),
            ("CN=app-?,O=b", &["CN=app-1,O=b"], &["CN=app-12,O=b", "CN=app-,O=b"]),
            ("UID=*+CN=a,O=b", &["CN=a+UID=7,O=b"], &["CN=a,UID=7,O=b", "CN=a+OU=7,O=b"]),
            ("*,O=b", &["CN=a,O=b", "CN=a,OU=x,O=b"], &["O=b", "CN=a,O=b,C=CA", "CN=x\\,O=b", "CN=a,O=bb"]),
            ("*,OU=x*,O=b", &["CN=a,OU=xy,O=b"], &["OU=xy,O=b", "CN=a,OU=y,O=b"]),
            ("/CN=[a-z]+,O=b/", &["CN=abc,O=b"], &["CN=abc,O=b,C=CA", "OU=1,CN=abc,O=b", "CN=a\\,O=b"]),
        ] {
            yes.iter().for_each(|name| assert!(matches(pattern, name), "{pattern} {name}"));
            no.iter().for_each(|name| assert!(!matches(pattern, name), "{pattern} {name}"));
        }
    }

    /// The class of CVE-2025-37731: a value that looks like a further RDN.
    #[test]
    fn a_value_that_contains_a_name_is_not_that_name() {
        let mallory = "CN=mallory,OU=x\\,CN=admin";
        for pattern in ["CN=admin", "CN=*,OU=x,CN=admin", "*,CN=admin", "/CN=mallory,OU=x,CN=admin/"] {
            assert!(!matches(pattern, mallory), "{pattern}");
        }
        assert!(matches("*,OU=*CN=admin", "CN=m,OU=x\\,CN=admin"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["admin", "CN=a,b", "*,", "*,*,O=b", "*N=a", ""] {
            assert!(SubjectPattern::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(SubjectPattern::parse("CN=*\\2A").map(|_| ()), Err(SubjectPatternError::MixedEscape));
        assert!(matches("CN=\\2A", "CN=\\2A") && !matches("CN=\\2A", "CN=a"));
    }
}
