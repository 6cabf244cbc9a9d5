//! Which CAs may vouch for a user, told by key: two CAs may share a name, and do
//! when somebody wants to be taken for the other.

use std::collections::BTreeSet;
use std::fmt;

use super::Fingerprint;

/// The CAs of which at least one must be on a certificate's verified path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// SHA-256 of the CAs' keys, and of their certificates where that is how the
    /// configuration tells them.
    any_of: BTreeSet<Fingerprint>,
}

impl Scope {
    /// The CAs with these fingerprints. Without any, nobody is in the scope.
    #[must_use]
    pub fn new(any_of: impl IntoIterator<Item = Fingerprint>) -> Self {
        Self { any_of: any_of.into_iter().collect() }
    }

    /// Whether one of the CAs on a path is in the scope.
    #[must_use]
    pub fn admits(&self, issuers: &[Fingerprint]) -> bool {
        issuers.iter().any(|issuer| self.any_of.contains(issuer))
    }

    /// Whether no CA is in both.
    pub(super) fn is_disjoint(&self, other: &Self) -> bool {
        self.any_of.is_disjoint(&other.any_of)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list: Vec<String> = self.any_of.iter().map(Fingerprint::to_string).collect();
        f.write_str(&list.join(" or "))
    }
}
