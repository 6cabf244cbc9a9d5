//! `[database] auth`: whether Redis knows users by name. One that has only `requirepass` does not:
//! AUTH is given a password alone, and every client is the same Redis user.

use std::sync::Arc;

use super::credential_cause::CredentialCause;
use super::login::Logins;
use super::material::Files;
use super::password_command::{self, CommandFile};
use super::problem::{At, Notes};
use super::provisioning::{Naming, ProvisioningFile};
use super::secrets::{SecretFile, keys, secret};
use super::source::Section;
use crate::identity::{Credential, Password};

/// The one user of such a Redis.
const DEFAULT_USER: &str = "default";

/// The keys of `[database]` that say it.
pub(super) struct AuthFile {
    pub(super) is_nameless: bool,
    /// The section's place, or the key's.
    at: At,
    password: Option<SecretFile>,
    pub(super) command: Option<CommandFile>,
}

impl Default for AuthFile {
    fn default() -> Self {
        Self { is_nameless: false, at: At::default(), password: None, command: None }
    }
}

/// Takes the keys out of their section.
pub(super) fn read(section: &mut Section<'_>, notes: &mut Notes) -> AuthFile {
    let auth = section.take("auth");
    let at = auth.as_ref().map_or_else(|| section.at().clone(), |entry| entry.at.clone());
    let is_nameless = auth.and_then(|entry| entry.word(&[("user", false), ("password", true)], notes));
    let password = secret(section, keys!("redis_password"), notes);
    let command = password_command::read(section, &password, notes);
    AuthFile { is_nameless: is_nameless.unwrap_or_default(), at, password: Some(password), command }
}

impl AuthFile {
    /// How users become those of Redis.
    pub(super) fn logins(
        &self,
        provisioning: Option<&ProvisioningFile>,
        files: &mut Files<'_>,
        notes: &mut Notes,
    ) -> Logins {
        let naming = |files: &Files<'_>, notes: &mut Notes| -> Option<Naming> {
            provisioning.and_then(|file| file.naming(files, notes))
        };
        let Some(password) = &self.password else { return Logins::Named(None) };
        if !self.is_nameless {
            for at in password.at().into_iter().chain(self.command.as_ref().map(|it| &it.at)) {
                notes.error(at, CredentialCause::PasswordOfDatabase.into());
            }
            return Logins::Named(naming(files, notes));
        }
        notes.warn(&self.at, CredentialCause::OneRedisUser.into());
        if let Some(provisioning) = provisioning {
            notes.error(provisioning.at(), CredentialCause::ProvisioningOfNameless.into());
        }
        let password = match &self.command {
            Some(command) => Some(Password::Kept(command.keeping())),
            None => password.need(files, notes).map(Password::Given),
        };
        let redis_user = DEFAULT_USER.to_owned();
        Logins::Nameless(
            password.map(|password| Arc::new(Credential { redis_user, password, is_nameless: true })),
        )
    }
}
