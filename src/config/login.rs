//! As whom somebody's commands run, as it is written: a Redis user with its password, one whose
//! password a command yields, or rules by which the gateway makes one.

use std::sync::Arc;

use super::credential_cause::CredentialCause;
use super::material::Files;
use super::password_command::{self, CommandFile};
use super::problem::{At, Notes};
use super::provisioning::Naming;
use super::secrets::{SecretFile, keys, secret};
use super::source::{Section, Written};
use super::users;
use crate::identity::Credential;

/// The keys of a `[[user]]` or a role that say it.
pub(super) struct LoginFile {
    pub(super) redis_user: Option<Written<String>>,
    pub(super) password: SecretFile,
    pub(super) command: Option<CommandFile>,
    pub(super) acl: Option<Written<String>>,
}

/// What logins depend on.
pub(super) enum Logins {
    /// Redis knows users by name; those that the gateway makes are called so.
    Named(Option<Naming>),
    /// It knows one user; nothing if its password could not be had, which has been noted.
    Nameless(Option<Arc<Credential>>),
}

impl Logins {
    /// What those are called that the gateway makes, if it does.
    pub(super) fn naming(&self) -> Option<&Naming> {
        match self {
            Self::Named(naming) => naming.as_ref(),
            Self::Nameless(_) => None,
        }
    }
}

/// Takes the keys out of their section. `may_lack`: whether it need not say anything.
pub(super) fn read(section: &mut Section<'_>, may_lack: bool, notes: &mut Notes) -> LoginFile {
    let password = secret(section, keys!("redis_password"), notes);
    let command = password_command::read(section, &password, notes);
    let acl = section.take("acl").and_then(|entry| entry.text(notes));
    let lacks = acl.is_some() || (may_lack && password.at().is_none() && command.is_none());
    let redis_user = if lacks {
        section.take("redis_user")
    } else {
        section.need("redis_user", "redis_user = \"app\"", notes)
    };
    let redis_user = redis_user.and_then(|entry| entry.text(notes));
    LoginFile { redis_user, password, command, acl }
}

impl LoginFile {
    /// Whether anything is said.
    pub(super) fn is_written(&self) -> bool {
        self.redis_user.is_some() || self.acl.is_some() || self.has_password().is_some()
    }

    fn has_password(&self) -> Option<&At> {
        self.password.at().or_else(|| self.command.as_ref().map(|command| &command.at))
    }

    /// The credential that is meant, or a note of why there is none. `name` is the user's or the
    /// role's, if it has one.
    pub(super) fn credential(
        &self,
        kind: &str,
        name: Option<&str>,
        logins: &Logins,
        files: &mut Files<'_>,
        notes: &mut Notes,
    ) -> Option<Arc<Credential>> {
        let naming = match logins {
            Logins::Named(naming) => naming.as_ref(),
            Logins::Nameless(sole) => {
                let acl = self.acl.as_ref().map(|it| &it.at);
                let user = self.redis_user.as_ref().map(|it| &it.at);
                for at in [user, acl, self.has_password()].into_iter().flatten() {
                    notes.error(at, CredentialCause::UserOfNameless.into());
                }
                return sole.clone();
            }
        };
        if let Some(acl) = &self.acl {
            let user = self.redis_user.as_ref().map(|it| &it.at);
            for at in [user, self.has_password()].into_iter().flatten() {
                notes.error(at, CredentialCause::BesideAcl.into());
            }
            if naming.is_none() {
                notes.error(&acl.at, CredentialCause::NoProvisioning.into());
            }
            return Some(Arc::new(naming?.credential(kind, name?)));
        }
        let redis_user = self.redis_user.as_ref().and_then(|user| users::redis_user(user, notes));
        if let (Some(naming), Some(user)) = (naming, &self.redis_user) {
            naming.spares(user, notes);
        }
        if let Some(command) = &self.command {
            return Some(Arc::new(Credential::kept(redis_user?, command.keeping())));
        }
        let password = self.password.need(files, notes);
        Some(Arc::new(Credential::new(redis_user?, password?)))
    }
}
