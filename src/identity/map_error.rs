//! What is wrong with users: that they cannot be told apart, or that nobody can
//! be them.

use thiserror::Error;

/// Why some users cannot be told apart, or never recognised. Users and entries
/// are counted from 0, in the order given.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MapError {
    /// Two entries that one certificate would match.
    #[error(
        "{}: {text:?} means the same {} as {other_text:?} of user {other_name:?}{}: remove one of them",
        if *.is_subject { "duplicate_subject" } else { "duplicate_rule" },
        if *.is_subject { "subject" } else { "certificates" },
        if *.by_case { " once case and spaces are ignored" } else { "" }
    )]
    Duplicate {
        /// The later user.
        user: usize,
        /// Its entry.
        entry: usize,
        /// That entry as written.
        text: String,
        /// The earlier user, which may be the same.
        other: usize,
        /// The earlier user's name.
        other_name: String,
        /// The earlier user's entry.
        other_entry: usize,
        /// That entry as written.
        other_text: String,
        /// Whether they are subjects.
        is_subject: bool,
        /// Whether they are the same only because one of them ignores case.
        by_case: bool,
    },
    /// Two users of one name.
    #[error("the user name {name:?} is taken by an earlier user: choose another")]
    DuplicateUser {
        /// The later user.
        user: usize,
        /// The name.
        name: String,
        /// The earlier user.
        other: usize,
    },
}

impl MapError {
    /// The index of the user to change.
    #[must_use]
    pub fn user(&self) -> usize {
        match *self {
            Self::Duplicate { user, .. } | Self::DuplicateUser { user, .. } => user,
        }
    }

    /// The index of that user's entry to change, if it is one entry's fault.
    #[must_use]
    pub fn entry(&self) -> Option<usize> {
        match *self {
            Self::Duplicate { entry, .. } => Some(entry),
            Self::DuplicateUser { .. } => None,
        }
    }
}
