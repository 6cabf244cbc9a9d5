//! The proof that somebody has been let in.

use std::sync::Arc;

use super::{Certificate, Evidence, Rule, User};

/// That somebody is a user. Only this module's siblings make one, so whoever
/// holds one has been let in.
#[derive(Debug, Clone)]
pub struct Permit {
    user: Arc<User>,
    evidence: Evidence,
    rule: Rule,
}

impl Permit {
    pub(super) fn new(user: Arc<User>, evidence: Evidence, rule: Rule) -> Self {
        Self { user, evidence, rule }
    }

    /// Who it is.
    #[must_use]
    pub fn user(&self) -> &Arc<User> {
        &self.user
    }

    /// What was shown.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The certificate that was shown, if any was.
    #[must_use]
    pub fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.evidence.certificate()
    }

    /// Which of the user's rules let it in.
    #[must_use]
    pub fn rule(&self) -> Rule {
        self.rule
    }
}
