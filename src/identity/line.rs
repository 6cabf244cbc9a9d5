//! A `certificate_subject_line`: the operator's text, the name it means, and how
//! that name is compared with a certificate's.

use std::fmt;
use std::str::FromStr;

use super::mismatch::brief;
use super::multiset::Multiset;
use super::name::Rdn;
use super::parse::parse;
use super::{LineError, Mismatch, Name};

/// In which order a line names the RDNs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The most specific first, as RFC 4514 writes a name.
    #[default]
    Rfc4514,
    /// The most general first, as the certificate has them and as
    /// `openssl x509 -noout -subject` prints them.
    Certificate,
}

/// A subject that a user is recognised by. Its `Display` is the text as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectLine {
    text: String,
    name: Name,
    ignore_case: bool,
    order: Order,
    /// Set where only the listed types count, as a multiset each.
    partial: Option<Multiset>,
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

    /// Reads the line in this order instead of that of RFC 4514.
    #[must_use]
    pub fn with_order(self, order: Order) -> Self {
        let name = if order == self.order { self.name } else { self.name.reversed() };
        Self { name, order, ..self }
    }

    /// As set by [`Self::with_order`].
    #[must_use]
    pub fn order(&self) -> Order {
        self.order
    }

    /// Whether only the types that the line names count: the subject must have
    /// exactly the line's values of them, as often as the line has them and in
    /// any order; what it has of other types is free. It does not, unless asked to.
    #[must_use]
    pub fn with_partial(self, partial: bool) -> Self {
        Self { partial: partial.then(|| Multiset::of(&self.name)), ..self }
    }

    /// As set by [`Self::with_partial`].
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.partial.is_some()
    }

    /// What a partial line compares.
    pub(super) fn partial(&self) -> Option<&Multiset> {
        self.partial.as_ref()
    }

    /// A line for a name that was not written as one.
    pub(super) fn from_name(name: Name) -> Self {
        let text = name.to_string();
        Self { text, name, ignore_case: false, order: Order::Rfc4514, partial: None, written: Vec::new() }
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
        match &self.partial {
            Some(wanted) => wanted.compare(subject, self.ignore_case, true).is_ok(),
            None => self.name == *subject || (self.ignore_case && self.name.folded() == subject.folded()),
        }
    }

    /// As [`Self::matches`], and if not, how they differ.
    ///
    /// # Errors
    ///
    /// The difference, if there is one.
    pub fn compare(&self, subject: &Name) -> Result<(), Mismatch> {
        if let Some(wanted) = &self.partial {
            return wanted.compare(subject, self.ignore_case, true);
        }
        if self.matches(subject) {
            return Ok(());
        }
        let (line, certificate) = (self.name.folded(), subject.folded());
        Err(if line == certificate {
            match self.first_difference(subject) {
                Mismatch::Rdn { at, line: Some(line), certificate: Some(certificate), .. } => {
                    Mismatch::Case { at, line, certificate }
                }
                other => other,
            }
        } else if line == certificate.reversed() {
            let exact = self.ignore_case || self.name == subject.reversed();
            if exact { Mismatch::Order } else { Mismatch::OrderAndCase }
        } else {
            self.first_difference(subject)
        })
    }

    /// The first RDN that differs, in the order of the line.
    fn first_difference(&self, subject: &Name) -> Mismatch {
        let equal = |a: &Rdn, b: &Rdn| a == b || (self.ignore_case && a.folded() == b.folded());
        let (mut line, mut certificate) = (self.as_written(&self.name), self.as_written(subject));
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

impl SubjectLine {
    /// The RDNs of a name in the order of the line.
    fn as_written<'a>(&self, name: &'a Name) -> Box<dyn Iterator<Item = &'a Rdn> + 'a> {
        match self.order {
            Order::Rfc4514 => Box::new(name.rdns().iter().rev()),
            Order::Certificate => Box::new(name.rdns().iter()),
        }
    }
}

impl FromStr for SubjectLine {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        let (name, written) = parse(text)?;
        Ok(Self { text: text.to_owned(), written, ..Self::from_name(name) })
    }
}

impl fmt::Display for SubjectLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
