//! `[database] auth`: whether Redis knows users by name. One that has only `requirepass` does not:
//! AUTH is given a password alone, and every client is the same Redis user.

use std::sync::Arc;

use super::credential_cause::CredentialCause;
use super::database::DatabaseFile;
use super::file::File;
use super::login::Logins;
use super::material::Files;
use super::password_command::{self, CommandFile};
use super::problem::{At, Notes};
use super::secrets::{SecretFile, keys, secret};
use super::source::Section;
use crate::identity::{Credential, Password};
use crate::io::DATABASE_NAME;

/// The one user of such a Redis.
const DEFAULT_USER: &str = "default";

/// The keys of `[database]` that say it.
#[derive(Default)]
pub(super) struct AuthFile {
    pub(super) is_nameless: bool,
    /// The section's place, or the key's.
    at: At,
    password: Option<SecretFile>,
    pub(super) command: Option<CommandFile>,
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
    fn logins(&self, database: &DatabaseFile, files: &mut Files<'_>, notes: &mut Notes) -> Logins {
        let provisioning = database.provisioning.as_ref();
        let Some(password) = &self.password else { return Logins::Named(None) };
        if !self.is_nameless {
            for at in password.at().into_iter().chain(self.command.as_ref().map(|it| &it.at)) {
                notes.error(at, CredentialCause::PasswordOfDatabase.into());
            }
            let name = database.name.as_ref().map_or(DATABASE_NAME, |name| &name.value);
            return Logins::Named(provisioning.map(|file| file.naming(name, files, notes)));
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

/// How users become those of each database's Redis, in the order of the databases.
pub(super) fn all(file: &File, files: &mut Files<'_>, notes: &mut Notes) -> Vec<Logins> {
    file.databases.iter().map(|it| it.auth.logins(it, files, notes)).collect()
}
