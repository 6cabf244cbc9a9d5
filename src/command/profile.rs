//! Which of the guarded commands a user may send. A guarded command reaches
//! other tenants or the host; Redis' own ACL still decides after the profile.

use std::collections::BTreeSet;

/// The guarded commands that a user may send.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Profile {
    /// None of them.
    #[default]
    Default,
    /// All of them.
    All,
    /// These: lower-case names as Redis writes them in ACL rules (`debug`, `config|set`).
    Listed(BTreeSet<String>),
}

impl Profile {
    /// Whether the guarded command of this lower-case name may pass. A name with
    /// a subcommand is also allowed by its container's name alone.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::Default => false,
            Self::All => true,
            Self::Listed(names) => {
                names.contains(name)
                    || name.split_once('|').is_some_and(|(container, _)| names.contains(container))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_container_allows_its_subcommands() {
        let profile = Profile::Listed(BTreeSet::from(["config".to_owned(), "acl|setuser".to_owned()]));
        assert!(profile.allows("config|set"));
        assert!(profile.allows("acl|setuser"));
        assert!(!profile.allows("acl|deluser"));
        assert!(!profile.allows("debug"));
    }
}
