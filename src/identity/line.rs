//! A `certificate_subject_line`: the operator's text, the name it means, and how
//! that name is compared with a certificate's.

use std::fmt;
use std::str::FromStr;

use super::name::Rdn;
use super::parse::parse;
use super::{LineError, Name};

/// How a name differs from the one a line asks for, the nearest cause first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// It is the line's, in reverse order.
    Order,
    /// It is the line's but for the case of letters and the number of spaces.
    Case,
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
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order => f.write_str("it would match if its order were reversed"),
            Self::Case => f.write_str("it differs in the case of letters or in spaces only"),
            Self::OrderAndCase => {
                f.write_str("it would match if its order were reversed and case and spaces were ignored")
            }
            Self::Rdn { at, line, certificate, case_only } => {
                let text = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".to_owned());
                let why = if *case_only { " (case or spaces)" } else { "" };
                write!(f, "RDN {at}: line {}, certificate {}{why}", text(line), text(certificate))
            }
        }
    }
}

/// A subject that a user is recognised by. Its `Display` is the text as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectLine {
    text: String,
    name: Name,
    ignore_case: bool,
    written: Vec<String>,
}

impl SubjectLine {
    /// Whether the comparison ignores case, spaces at the ends of a value, and
    /// the number of spaces within one. It does not, unless asked to.
    #[must_use]
    pub fn with_ignore_case(self, ignore_case: bool) -> Self {
        Self { ignore_case, ..self }
    }

    /// As set by [`Self::with_ignore_case`].
    #[must_use]
    pub fn ignores_case(&self) -> bool {
        self.ignore_case
    }

    /// The name that the line means.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The attribute types as the line names them, in its order.
    pub(super) fn written(&self) -> &[String] {
        &self.written
    }

    /// Whether a subject is the one that the line means.
    #[must_use]
    pub fn matches(&self, subject: &Name) -> bool {
        self.name == *subject || (self.ignore_case && self.name.folded() == subject.folded())
    }

    /// As [`Self::matches`], and if not, how they differ.
    ///
    /// # Errors
    ///
    /// The difference, if there is one.
    pub fn compare(&self, subject: &Name) -> Result<(), Mismatch> {
        if self.matches(subject) {
            return Ok(());
        }
        let (line, certificate) = (self.name.folded(), subject.folded());
        Err(if line == certificate {
            Mismatch::Case
        } else if line == certificate.reversed() {
            let exact = self.ignore_case || self.name == subject.reversed();
            if exact { Mismatch::Order } else { Mismatch::OrderAndCase }
        } else {
            self.first_difference(subject)
        })
    }

    /// The first RDN that differs, from the most specific on.
    fn first_difference(&self, subject: &Name) -> Mismatch {
        let equal = |a: &Rdn, b: &Rdn| a == b || (self.ignore_case && a.folded() == b.folded());
        let (mut line, mut certificate) = (self.name.rdns().iter().rev(), subject.rdns().iter().rev());
        let mut at = 1;
        loop {
            match (line.next(), certificate.next()) {
                (Some(ours), Some(theirs)) if equal(ours, theirs) => at += 1,
                (ours, theirs) => {
                    return Mismatch::Rdn {
                        at,
                        line: ours.map(brief),
                        certificate: theirs.map(brief),
                        case_only: ours
                            .zip(theirs)
                            .is_some_and(|(ours, theirs)| ours.folded() == theirs.folded()),
                    };
                }
            }
        }
    }
}

/// An RDN's text, cut where it would fill a log line.
pub(super) fn brief(rdn: &Rdn) -> String {
    const CHARACTERS_MAX: usize = 200;
    let text = rdn.to_string();
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

impl FromStr for SubjectLine {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        let (name, written) = parse(text)?;
        Ok(Self { text: text.to_owned(), name, ignore_case: false, written })
    }
}

impl fmt::Display for SubjectLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
