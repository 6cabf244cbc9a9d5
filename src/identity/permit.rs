//! That a client is a user, and by what. Knows nothing of how it was found out:
//! only this module and its neighbours can say so.

use std::sync::Arc;

use super::password_check::Proof;
use super::{Certificate, Credential, Evidence, Reason, Refusal, Rule, User};

/// That a client is a user. Only `identity` makes one, so whoever holds one has
/// been let in.
#[derive(Debug, Clone)]
pub struct Permit {
    user: Arc<User>,
    evidence: Evidence,
    rule: Rule,
    realm: Arc<str>,
    proof: Option<Arc<Proof>>,
    credential: Arc<Credential>,
}

impl Permit {
    /// Lets a user in by its certificate, its password, or both.
    pub(super) fn new(
        user: Arc<User>,
        evidence: Evidence,
        rule: Rule,
        realm: &Arc<str>,
        proof: Option<Arc<Proof>>,
    ) -> Result<Self, Refusal> {
        let credential = match (&user.credential, &proof) {
            (Some(own), _) => Arc::clone(own),
            (None, Some(proof)) => proof.credential().ok_or_else(|| no_credential(&user))?,
            (None, None) => return Err(no_credential(&user)),
        };
        Ok(Self { user, evidence, rule, realm: Arc::clone(realm), proof, credential })
    }

    /// Who it is.
    #[must_use]
    pub fn user(&self) -> &Arc<User> {
        &self.user
    }

    /// What was shown and counts: a user of a password alone has no certificate.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The certificate that was shown, if it counts.
    #[must_use]
    pub fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.evidence.certificate()
    }

    /// Which of the user's rules let it in.
    #[must_use]
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// The realm that recognised it; where both are needed, the password's.
    #[must_use]
    pub fn realm(&self) -> &Arc<str> {
        &self.realm
    }

    /// Who the gateway is to Redis for this client.
    #[must_use]
    pub fn credential(&self) -> &Arc<Credential> {
        &self.credential
    }

    /// What it has proved by a password.
    pub(super) fn proof(&self) -> Option<&Arc<Proof>> {
        self.proof.as_ref()
    }
}

fn no_credential(user: &User) -> Refusal {
    let detail = format!("user {} has no Redis user to be, expected redis_user and its password", user.name);
    Refusal::new(Reason::NoRedisUser, detail)
}
