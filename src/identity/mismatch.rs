//! How a subject differs from the one that a rule asks for, in words that an
//! operator can act on.

use std::fmt;

use super::name::Rdn;

/// How a name differs from the one a line asks for, the nearest cause first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// It is the line's, in reverse order.
    Order,
    /// It is the line's but for the case of letters and the number of spaces.
    Case {
        /// The first RDN that differs, counted from 1 as the line is written.
        at: usize,
        /// What the line has there.
        line: String,
        /// What the certificate has there.
        certificate: String,
    },
    /// Both of the above.
    OrderAndCase,
    /// Something else.
    Rdn {
        /// The first RDN that differs, counted from 1 as the line is written.
        at: usize,
        /// What the line has there.
        line: Option<String>,
        /// What the certificate has there.
        certificate: Option<String>,
        /// Whether only the case of letters or the number of spaces differs there.
        case_only: bool,
    },
    /// The attributes of one type differ, where their order does not count.
    Attributes {
        /// The type.
        name: String,
        /// What the rule has of it.
        rule: Vec<String>,
        /// What the certificate has of it.
        certificate: Vec<String>,
        /// Whether only the case of letters or the number of spaces differs.
        case_only: bool,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = |case_only: &bool| if *case_only { " (case or spaces)" } else { "" };
        match self {
            Self::Order => f.write_str("it would match if its order were reversed"),
            Self::Case { at, line, certificate } => write!(
                f,
                "it differs in the case of letters or in spaces only, first in RDN {at}: line {line}, certificate {certificate}"
            ),
            Self::OrderAndCase => {
                f.write_str("it would match if its order were reversed and case and spaces were ignored")
            }
            Self::Rdn { at, line, certificate, case_only } => {
                let text = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".to_owned());
                write!(
                    f,
                    "RDN {at}: line {}, certificate {}{}",
                    text(line),
                    text(certificate),
                    why(case_only)
                )
            }
            Self::Attributes { name, rule, certificate, case_only } => {
                write!(f, "{name}: rule {}, certificate {}{}", list(rule), list(certificate), why(case_only))
            }
        }
    }
}

/// Values side by side, or that there are none.
fn list(values: &[String]) -> String {
    if values.is_empty() { "nothing".to_owned() } else { values.join(" and ") }
}

/// An RDN's text, cut where it would fill a log line.
pub(super) fn brief(rdn: &Rdn) -> String {
    cut(rdn.to_string())
}

/// A text, cut where it would fill a log line.
pub(super) fn cut(text: String) -> String {
    const CHARACTERS_MAX: usize = 200;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
