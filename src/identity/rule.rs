//! By what a certificate was recognised.
//!
//! One kind so far. The kinds to come (a typed subject alternative name, a
//! certificate's or key's SHA-256, issuer and serial number) are further
//! variants here, further fields of [`super::User`], and further indexes beside
//! the one of subjects in [`super::UserMap`]; a [`super::Permit`] and what is
//! done with it do not change.

use std::fmt;

/// Which of a user's rules let a certificate in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The `certificate_subject_line` at this index, counted from 0.
    SubjectLine(usize),
    /// Its password, and no certificate.
    Password,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SubjectLine(index) => write!(f, "certificate_subject_line[{index}]"),
            Self::Password => f.write_str("password"),
        }
    }
}
