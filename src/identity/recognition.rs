//! How a realm that looks at certificates finds the user of one: under which CAs,
//! whom it leaves to other realms, and what of a certificate says who somebody is.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{
    Certificate, Evidence, Extract, Extraction, Principal, Reason, Refusal, Rule, Scope, Skip, User, UserMap,
    admissible,
};

/// What a realm does with a certificate. Without anything it holds the users' own
/// entries against it.
#[derive(Debug, Clone)]
pub struct Recognition {
    /// The CAs of which one must be on the path, by key; without it, all that are trusted.
    pub client_ca: Option<Scope>,
    /// Those who are left to the next realm.
    pub skip: Vec<Skip>,
    /// The value that says who somebody is, in the place of the users' entries.
    pub extraction: Option<Box<Extraction>>,
    /// The values that are the client's groups.
    pub groups: Option<Box<Extract>>,
}

/// Whom a realm has recognised.
pub(super) struct Recognised {
    pub(super) user: Arc<User>,
    pub(super) rule: Rule,
    pub(super) groups: Vec<String>,
}

/// Why a realm has not.
pub(super) enum Unrecognised {
    /// It does not look at certificates like this one.
    Elsewhere(Refusal),
    /// It does not know this one; another realm may.
    Unknown(Refusal),
    /// What is wrong with it is wrong in every realm.
    Refused(Refusal),
}

impl From<Refusal> for Unrecognised {
    fn from(refusal: Refusal) -> Self {
        match refusal.reason() {
            Reason::NoMapping | Reason::RdnOrder | Reason::CaseOnly | Reason::IdentityAttributeMissing => {
                Self::Unknown(refusal)
            }
            _ => Self::Refused(refusal),
        }
    }
}

impl Recognition {
    /// By the users' own entries.
    #[must_use]
    pub const fn by_entries() -> Self {
        Self { client_ca: None, skip: Vec::new(), extraction: None, groups: None }
    }

    /// Decides about a certificate that TLS has believed.
    pub(super) fn recognise(
        &self,
        users: &UserMap,
        evidence: &Evidence,
        certificate: &Certificate,
    ) -> Result<Recognised, Unrecognised> {
        admissible::check(certificate, &BTreeSet::new())?;
        self.looks_at(evidence, certificate).map_err(Unrecognised::Elsewhere)?;
        let (user, rule) = match &self.extraction {
            None => users.recognise(evidence)?,
            Some(extraction) => by_value(extraction, users, evidence, certificate)?,
        };
        let groups = self.groups.as_ref().map_or_else(|| Ok(Vec::new()), |them| them.values(certificate))?;
        Ok(Recognised { user, rule, groups })
    }

    fn looks_at(&self, evidence: &Evidence, certificate: &Certificate) -> Result<(), Refusal> {
        if let Some(scope) = self.client_ca.as_ref().filter(|scope| !scope.admits(evidence.issuers())) {
            let detail = format!("none of the realm's CAs has issued the certificate: {scope}");
            return Err(Refusal::new(Reason::IssuerScope, detail));
        }
        if let Some(skip) = self.skip.iter().find(|skip| skip.matches(certificate.subject())) {
            let detail = format!("the realm's skip_users has {:?}", skip.to_string());
            return Err(Refusal::new(Reason::NoMapping, detail));
        }
        Ok(())
    }
}

/// The user that a value stands for. One that is made of the value alone must not
/// be mistaken for one of the configuration, nor stand in for one.
fn by_value(
    extraction: &Extraction,
    users: &UserMap,
    evidence: &Evidence,
    certificate: &Certificate,
) -> Result<(Arc<User>, Rule), Unrecognised> {
    let (name, is_subject) = match extraction.principal(certificate)? {
        Principal::User(name) => return Ok(listed(users, &name)?),
        Principal::Value(name) => (name, false),
        Principal::Subject(_) => (certificate.subject().unambiguous(), true),
    };
    match users.recognise(evidence).map_err(Unrecognised::from) {
        Ok((user, rule)) if is_subject || user.name == name => Ok((user, rule)),
        Ok((user, rule)) => {
            let detail = format!(
                "the certificate stands for {name:?}, and is user {:?} by {rule}: change one of them",
                user.name
            );
            Err(Unrecognised::Refused(Refusal::new(Reason::AmbiguousIdentity, detail)))
        }
        Err(Unrecognised::Unknown(_)) if extraction.makes_users() => {
            if users.named(&name).is_some() {
                let detail = format!(
                    "the certificate stands for {name:?}, which is a user of the configuration: \
                     list it in the realm's values if it is meant"
                );
                return Err(Unrecognised::Refused(Refusal::new(Reason::UnusableName, detail)));
            }
            Ok((Arc::new(User::derived(name)), Rule::Derived))
        }
        Err(why) => Err(why),
    }
}

/// The user that the table names.
fn listed(users: &UserMap, name: &str) -> Result<(Arc<User>, Rule), Refusal> {
    let Some(user) = users.named(name) else {
        let detail = format!("the realm's values name {name:?}, and there is no such user");
        return Err(Refusal::new(Reason::NoMapping, detail));
    };
    if !user.enabled {
        let detail = format!("the certificate is user {name:?}, which is not enabled");
        return Err(Refusal::new(Reason::UserDisabled, detail));
    }
    Ok((Arc::clone(user), Rule::Value))
}
