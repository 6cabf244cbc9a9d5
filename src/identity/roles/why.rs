//! Why a rule did not grant its roles: a word from a closed list and, where
//! somebody asked to be told, a sentence. The decision runs the same code and
//! only leaves the sentences unwritten.

use std::fmt;

/// Sentences that are kept of one rule; a rule of a thousand conditions is not
/// read any further.
const MISSES_MAX: usize = 16;

/// The word for why a condition did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MissWord {
    /// The user's name is another.
    Name,
    /// The certificate's subject is another, or there is none.
    Dn,
    /// The client's address is not among those named.
    Host,
    /// The groups are others.
    Group,
    /// Another field has another value.
    Field,
    /// An exception holds.
    Excepted,
    /// The rule is switched off.
    Disabled,
    /// The rule names nobody.
    Empty,
}

impl MissWord {
    /// The word as it is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name_mismatch",
            Self::Dn => "dn_mismatch",
            Self::Host => "host_mismatch",
            Self::Group => "group_mismatch",
            Self::Field => "field_mismatch",
            Self::Excepted => "excepted",
            Self::Disabled => "disabled",
            Self::Empty => "empty",
        }
    }
}

/// A condition that did not hold. What it quotes is escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// The word.
    pub word: MissWord,
    /// The sentence.
    pub detail: String,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.word.as_str(), self.detail)
    }
}

/// Collects what did not hold while one rule is evaluated.
#[derive(Debug)]
pub(super) struct Why {
    is_told: bool,
    count: usize,
    hosts: usize,
    misses: Vec<Miss>,
}

impl Why {
    /// For a decision: counts, and writes nothing.
    pub(super) fn silent() -> Self {
        Self { is_told: false, count: 0, hosts: 0, misses: Vec::new() }
    }

    /// For a person.
    pub(super) fn told() -> Self {
        Self { is_told: true, ..Self::silent() }
    }

    pub(super) fn miss(&mut self, word: MissWord, detail: impl FnOnce() -> String) {
        self.count += 1;
        self.hosts += usize::from(word == MissWord::Host);
        if self.is_told && self.misses.len() < MISSES_MAX {
            self.misses.push(Miss { word, detail: detail() });
        }
    }

    /// As it was before, for a part of a rule that turned out to hold.
    pub(super) fn mark(&self) -> (usize, usize, usize) {
        (self.count, self.hosts, self.misses.len())
    }

    pub(super) fn back_to(&mut self, (count, hosts, misses): (usize, usize, usize)) {
        (self.count, self.hosts) = (count, hosts);
        self.misses.truncate(misses);
    }

    /// Whether the client's address was the only thing that did not fit.
    pub(super) fn is_host_alone(&self) -> bool {
        self.count > 0 && self.count == self.hosts
    }

    pub(super) fn into_misses(self) -> Vec<Miss> {
        self.misses
    }
}

/// A text in quotes, escaped, and cut where it would fill a line.
pub(super) fn shown(text: &str) -> String {
    const CHARACTERS_MAX: usize = 100;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}
