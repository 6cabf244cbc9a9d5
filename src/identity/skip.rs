//! Certificates that a realm leaves to the next one, told by their subject.

use std::fmt;

use thiserror::Error;

use super::{LineError, Name, Pattern, PatternError, SubjectLine};

/// Why a text does not say whom to skip.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SkipError {
    /// Neither a pattern nor a subject.
    #[error(transparent)]
    Line(#[from] LineError),
    /// A pattern that is none.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// Whom to skip: one subject, or those whose text a pattern matches.
#[derive(Debug, Clone)]
pub enum Skip {
    /// The subject that a line means.
    Subject(Box<SubjectLine>),
    /// Those whose whole subject looks like this, as RFC 4514 writes it, but with
    /// what is special in a value as hex: `O=Acme\2C Inc.`. So no value can pose as
    /// another attribute (CVE-2025-37731).
    Text(Pattern),
}

impl Skip {
    /// Reads a subject line; or a pattern, which has a `*` or a `?` in it or
    /// stands between slashes. A star in a subject is written `\2A`.
    ///
    /// # Errors
    ///
    /// If it is neither.
    pub fn parse(text: &str) -> Result<Self, SkipError> {
        let is_regex = text.len() > 1 && text.starts_with('/') && text.ends_with('/');
        if is_regex || text.contains(['*', '?']) {
            Ok(Self::Text(Pattern::parse(text)?))
        } else {
            Ok(Self::Subject(Box::new(text.parse()?)))
        }
    }

    /// Whether somebody of this subject is skipped.
    #[must_use]
    pub fn matches(&self, subject: &Name) -> bool {
        match self {
            Self::Subject(line) => line.matches(subject),
            Self::Text(pattern) => pattern.matches(&subject.unambiguous()),
        }
    }

    /// Whether it is a pattern over a whole printed subject, which is easily wider
    /// than it looks: something to remark upon.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        matches!(self, Self::Text(_))
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject(line) => line.fmt(f),
            Self::Text(pattern) => pattern.fmt(f),
        }
    }
}
