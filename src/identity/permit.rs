//! That a client is a user, and by what. Knows nothing of how it was found out:
//! only this module and its neighbours can say so.

use std::sync::Arc;

use super::password_check::Proof;
use super::rights::Known;
use super::roles::{Resolved, Roles};
use super::{Certificate, Credential, Evidence, Rule, User};

/// That a client is a user. Only `identity` makes one, so whoever holds one has
/// been let in.
#[derive(Debug, Clone)]
pub struct Permit {
    known: Arc<Known>,
    resolved: Arc<Resolved>,
}

impl Permit {
    /// For who has been found to be somebody, and has a Redis user.
    pub(super) fn new(known: Known, resolved: Resolved) -> Self {
        Self { known: Arc::new(known), resolved: Arc::new(resolved) }
    }

    /// Who it is.
    #[must_use]
    pub fn user(&self) -> &Arc<User> {
        &self.known.user
    }

    /// What was shown and counts: a user of a password alone has no certificate.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        &self.known.evidence
    }

    /// The certificate that was shown, if it counts.
    #[must_use]
    pub fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.known.evidence.certificate()
    }

    /// Which of the user's rules let it in.
    #[must_use]
    pub fn rule(&self) -> Rule {
        self.known.rule
    }

    /// The realm that recognised it; where both are needed, the password's.
    #[must_use]
    pub fn realm(&self) -> &Arc<str> {
        &self.known.realm
    }

    /// What the realm says that it is a member of.
    #[must_use]
    pub fn groups(&self) -> &[String] {
        &self.known.groups
    }

    /// All roles that it has.
    #[must_use]
    pub fn roles(&self) -> &Roles {
        &self.resolved.roles
    }

    /// The role that led to its Redis user; none if the user has one of its own.
    #[must_use]
    pub fn role(&self) -> Option<&str> {
        self.resolved.role.as_deref()
    }

    /// Who the gateway is to Redis for this client.
    #[must_use]
    pub fn credential(&self) -> &Arc<Credential> {
        &self.resolved.credential
    }

    /// What it has proved by a password.
    pub(super) fn proof(&self) -> Option<&Arc<Proof>> {
        self.known.proof.as_ref()
    }
}
