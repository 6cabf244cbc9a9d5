//! `[database.provisioning]`: by whom Redis users are made, what they are called, and which there
//! are to be. Every name is PREFIX:INSTANCE:KIND:NAME, of which neither prefix nor instance has a colon, so
//! that no gateway's users can be taken for another's.

use std::sync::Arc;
use std::time::Duration;

use super::credential_cause::CredentialCause;
use super::database::{DatabaseFile, RoleFile};
use super::file::{File, UserFile};
use super::login::Logins;
use super::material::Files;
use super::password_command::seconds;
use super::problem::{At, Notes};
use super::secrets::{SecretFile, keys, secret};
use super::source::{Section, Written};
use super::users;
use crate::identity::{Credential, Keeping};
use crate::io::{DATABASE_NAME, Database};
use crate::upstream::{Account, AclRules, Provisioning};

const PREFIX: &str = "respgate";

/// A day.
const ROTATE_EVERY_S: u64 = 24 * 60 * 60;

/// The section as written.
pub(super) struct ProvisioningFile {
    at: At,
    redis_user: Option<Written<String>>,
    password: SecretFile,
    prefix: Option<Written<String>>,
    instance: Option<Written<String>>,
    instance_env: Option<Written<String>>,
    rotate_every: Option<Written<u64>>,
}

/// What the users that the gateway makes are called.
#[derive(Debug, Clone)]
pub(super) struct Naming {
    /// With the colon at its end.
    namespace: String,
    /// Which has passwords of its own.
    database: String,
}

/// Takes the section apart.
pub(super) fn read(mut section: Section<'_>, notes: &mut Notes) -> ProvisioningFile {
    let at = section.at().clone();
    let redis_user = section.need("redis_user", "redis_user = \"respgate-admin\"", notes);
    let redis_user = redis_user.and_then(|entry| entry.text(notes));
    let password = secret(&mut section, keys!("redis_password"), notes);
    let [prefix, instance, instance_env] = ["prefix", "instance", "instance_env"]
        .map(|key| section.take(key).and_then(|entry| entry.text(notes)));
    let rotate_every = section.take("rotate_every_s").and_then(|entry| entry.number(notes));
    section.finish(notes);
    ProvisioningFile { at, redis_user, password, prefix, instance, instance_env, rotate_every }
}

impl Naming {
    fn redis_user(&self, kind: &str, name: &str) -> String {
        format!("{}{kind}:{name}", self.namespace)
    }

    /// The user that is made for this user or role.
    pub(super) fn credential(&self, kind: &str, name: &str) -> Credential {
        let redis_user = self.redis_user(kind, name);
        let keeping = self.keeping(&redis_user);
        Credential::kept(redis_user, keeping)
    }

    /// Notes a user that is given and called as if the gateway had made it: it would be removed. One who
    /// makes users would remove itself.
    pub(super) fn spares(&self, given: &Written<String>, notes: &mut Notes) {
        // Where the names cannot be told, that has been noted.
        if !self.namespace.is_empty() && given.value.starts_with(&self.namespace) {
            let (found, namespace) = (given.value.clone(), self.namespace.clone());
            notes.error(&given.at, CredentialCause::GivenAsMade { found, namespace }.into());
        }
    }

    fn keeping(&self, redis_user: &str) -> Keeping {
        Keeping(format!("made in {}: {redis_user}", self.database).into())
    }
}

impl ProvisioningFile {
    /// Where the section stands.
    pub(super) fn at(&self) -> &At {
        &self.at
    }

    /// What users are called. Where that cannot be said, which has been noted, nothing runs by it.
    pub(super) fn naming(&self, database: &str, files: &Files<'_>, notes: &mut Notes) -> Naming {
        let prefix = match &self.prefix {
            None => Some(PREFIX.to_owned()),
            Some(written) => part(&written.value, &written.at, notes),
        };
        let instance = match (&self.instance, &self.instance_env) {
            (Some(written), None) => part(&written.value, &written.at, notes),
            (None, Some(variable)) => {
                let value = super::secrets::variable(&variable.value, &variable.at, files, notes);
                value.and_then(|value| part(&value, &variable.at, notes))
            }
            (None, None) => {
                notes.error(&self.at, CredentialCause::NoInstance.into());
                None
            }
            (Some(_), Some(second)) => {
                notes.error(&second.at, CredentialCause::TwoInstances.into());
                None
            }
        };
        let namespace = prefix.zip(instance).map(|(prefix, instance)| format!("{prefix}:{instance}:"));
        Naming { namespace: namespace.unwrap_or_default(), database: database.to_owned() }
    }

    /// What is to be made by whom. Users and roles whose names are no good have been noted.
    fn build(
        &self,
        naming: Option<&Naming>,
        users: &[&UserFile],
        roles: &[RoleFile],
        files: &mut Files<'_>,
        notes: &mut Notes,
    ) -> Option<Provisioning> {
        let redis_user = self.redis_user.as_ref().and_then(|user| users::redis_user(user, notes));
        let password = self.password.need(files, notes);
        let every = self.rotate_every.as_ref().map_or(Some(ROTATE_EVERY_S), |it| seconds(it, notes));
        let of_users = users.iter().map(|user| ("user", &user.name, &user.login.acl));
        let of_roles = roles.iter().map(|role| ("role", &role.role, &role.login.acl));
        let written: Vec<_> = of_users.chain(of_roles).filter(|(_, _, acl)| acl.is_some()).collect();
        if written.is_empty() {
            notes.warn(&self.at, CredentialCause::NobodyProvisioned.into());
        }
        let accounts: Vec<Option<Account>> = written
            .into_iter()
            .map(|(kind, name, acl)| {
                let acl = acl.as_ref()?;
                let parsed = AclRules::parse(&acl.value);
                let rules = notes.ok(&acl.at, parsed.map_err(|why| CredentialCause::Acl(why).into()));
                let naming = naming?;
                let redis_user = naming.redis_user(kind, &name.as_ref()?.value);
                Some(Account { keeping: naming.keeping(&redis_user), redis_user, rules: rules? })
            })
            .collect();
        Some(Provisioning {
            admin: Arc::new(Credential::new(redis_user?, password?)),
            namespace: naming?.namespace.clone(),
            rotate_every: Duration::from_secs(every?),
            accounts: accounts.into_iter().collect::<Option<_>>()?,
        })
    }
}

/// What a database has made, if it does.
pub(super) fn of(
    file: &File,
    database: &DatabaseFile,
    logins: &Logins,
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Option<Option<Provisioning>> {
    let Some(written) = &database.provisioning else { return Some(None) };
    let naming = match logins {
        Logins::Named(naming) => naming.as_ref(),
        Logins::Nameless(_) => return None,
    };
    let is_only = file.databases.len() == 1;
    let is_here = |user: &&UserFile| match (&user.database, &database.name) {
        (Some(named), Some(name)) => named.value == name.value,
        (Some(named), None) => named.value == DATABASE_NAME,
        (None, _) => is_only,
    };
    // Whoever else speaks to its nodes. Users and roles are looked at with their passwords.
    let replicas = database.replicas.as_ref().and_then(|it| it.redis_user.as_ref());
    let cluster = database.cluster.as_ref().and_then(|it| it.redis_user.as_ref());
    for given in [written.redis_user.as_ref(), replicas, cluster].into_iter().flatten() {
        if let Some(naming) = naming {
            naming.spares(given, notes);
        }
    }
    let users: Vec<&UserFile> = file.users.iter().flatten().filter(is_here).collect();
    written.build(naming, &users, &database.roles, files, notes).map(Some)
}

/// Whether no two databases are the same Redis with the same names: each would remove the
/// other's users.
pub(super) fn are_apart(all: &[Database], written: &[DatabaseFile], notes: &mut Notes) -> bool {
    let namespace = |it: &Database| it.provisioning.as_ref().map(|made| made.namespace.clone());
    let are_one = |one: &Database, other: &Database| {
        one.location.is_same_place(&other.location) && namespace(one) == namespace(other)
    };
    let mut is_apart = true;
    for (at, database) in all.iter().enumerate() {
        let is_double = namespace(database).is_some() && all[..at].iter().any(|it| are_one(it, database));
        if let (true, Some(file)) = (is_double, written[at].provisioning.as_ref()) {
            notes.error(&file.at, CredentialCause::SameInstance.into());
            is_apart = false;
        }
    }
    is_apart
}

/// A part of a name, if it can be one.
fn part(found: &str, at: &At, notes: &mut Notes) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let is_part = (1..=64).contains(&found.len()) && found.chars().all(fits);
    let bad = || CredentialCause::BadNamePart { found: found.chars().take(100).collect() }.into();
    notes.ok(at, is_part.then(|| found.to_owned()).ok_or_else(bad))
}
