//! What became of a client at each step, for somebody who wants to know why. The
//! steps are those of the decision, which tells of them as it takes them.

use std::sync::Arc;

use super::directory::{Admission, Directory};
use super::recognition::{Recognised, Unrecognised};
use super::rights::Known;
use super::roles::Tried;
use super::{Evidence, Refusal, Rule};

/// What a realm said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// That it is this user.
    User {
        /// Its name.
        name: String,
        /// By what.
        rule: Rule,
        /// The groups that the certificate says.
        groups: Vec<String>,
    },
    /// That it is for the next realm to say.
    Left(Refusal),
    /// That nobody comes in with it.
    Refused(Refusal),
    /// That it is asked for a password.
    Password,
    /// Nothing: it looks at what the client has not shown, or another realm had decided.
    NotAsked,
}

/// A realm and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its name.
    pub realm: Arc<str>,
    /// What it said.
    pub verdict: Verdict,
}

/// Every step to a decision, and the decision.
#[derive(Debug)]
pub struct Account {
    /// Why the gate does not take the certificate.
    pub gate: Option<Refusal>,
    /// The realms in their order.
    pub realms: Vec<Asked>,
    /// Every rule for roles, if it is known who it is.
    pub roles: Vec<Tried>,
    /// The decision.
    pub admission: Admission,
}

/// Told of what a realm said as it is asked.
pub(super) type Listening<'l> = &'l mut dyn FnMut(&Arc<str>, Said<'_>);

/// The same as a [`Verdict`], while it is being decided.
pub(super) enum Said<'s> {
    User(&'s Recognised),
    Not(&'s Unrecognised),
    Password,
}

impl From<Said<'_>> for Verdict {
    fn from(said: Said<'_>) -> Self {
        match said {
            Said::User(Recognised { user, rule, groups }) => {
                Self::User { name: user.name.clone(), rule: *rule, groups: groups.clone() }
            }
            Said::Not(Unrecognised::Refused(refusal)) => Self::Refused(refusal.clone()),
            Said::Not(Unrecognised::Unknown(refusal) | Unrecognised::Elsewhere(refusal)) => {
                Self::Left(refusal.clone())
            }
            Said::Password => Self::Password,
        }
    }
}

impl Directory<'_> {
    /// Decides as [`Self::arrive`] does, and keeps each step.
    #[must_use]
    pub fn account(&self, evidence: &Evidence) -> Account {
        let (mut realms, mut roles): (Vec<Asked>, _) = (Vec::new(), Vec::new());
        let admission = self.decide(evidence, &mut |realm, said| {
            if let Said::User(Recognised { user, rule, groups }) = &said {
                let (user, evidence, groups) = (Arc::clone(user), evidence.clone(), groups.clone());
                let known =
                    Known { user, evidence, rule: *rule, realm: Arc::clone(realm), groups, proof: None };
                roles = self.rights().rules.trace(&known.principal());
            }
            realms.push(Asked { realm: Arc::clone(realm), verdict: said.into() });
        });
        let in_order = self.chain().realms().iter().map(|realm| {
            let asked = realms.iter().find(|asked| asked.realm == realm.name).cloned();
            asked.unwrap_or_else(|| Asked { realm: Arc::clone(&realm.name), verdict: Verdict::NotAsked })
        });
        Account { gate: self.pass(evidence).err(), realms: in_order.collect(), roles, admission }
    }
}
