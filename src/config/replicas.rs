//! `[database.replicas]`: that users may read from replicas, how old what they read may be, and as whom the
//! master is asked about them. Which users do is `read_from` of each.

use std::sync::Arc;
use std::time::Duration;

use super::cause::Cause;
use super::database_cause::DatabaseCause;
use super::file::File;
use super::material::Files;
use super::problem::{At, Notes};
use super::secrets::{SecretFile, keys, secret};
use super::source::{Section, Written};
use super::users;
use crate::identity::{Credential, ReadFrom};
use crate::io::Replicas;

/// What a replica may be behind, unless it is said.
const LAG_MAX_MS: u64 = 10_000;

/// A replica tells how far it is each second, and the master is asked each second: what is known is
/// hardly younger than that.
const LAG_MS_LEAST: u64 = 5_000;

/// Longer is no bound.
const LAG_MS_MOST: u64 = 3_600_000;

/// The section as written.
pub(super) struct ReplicasFile {
    pub(super) at: At,
    pub(super) redis_user: Option<Written<String>>,
    password: SecretFile,
    lag_max_ms: Option<Written<u64>>,
}

/// Takes the section apart.
pub(super) fn read(mut section: Section<'_>, notes: &mut Notes) -> ReplicasFile {
    let at = section.at().clone();
    let redis_user = section.need("redis_user", "redis_user = \"replication\"", notes);
    let redis_user = redis_user.and_then(|entry| entry.text(notes));
    let password = secret(&mut section, keys!("redis_password"), notes);
    let lag_max_ms = section.take("lag_max_ms").and_then(|entry| entry.number(notes));
    section.finish(notes);
    ReplicasFile { at, redis_user, password, lag_max_ms }
}

impl ReplicasFile {
    /// What it says, or nothing where something is wrong, which has been noted.
    pub(super) fn settings(&self, files: &mut Files<'_>, notes: &mut Notes) -> Option<Replicas> {
        let redis_user = self.redis_user.as_ref().and_then(|user| users::redis_user(user, notes));
        let password = self.password.need(files, notes);
        let (least, most) = (LAG_MS_LEAST, LAG_MS_MOST);
        let lag_max_ms = match &self.lag_max_ms {
            None => Some(LAG_MAX_MS),
            Some(Written { value, at }) => {
                let cause = || Cause::OutOfRange { found: *value, least, most };
                notes.ok(at, Some(*value).filter(|value| (least..=most).contains(value)).ok_or_else(cause))
            }
        };
        let service = Arc::new(Credential::new(redis_user?, password?));
        Some(Replicas { service, lag_max: Duration::from_millis(lag_max_ms?) })
    }
}

/// Notes users who are to read from replicas where no database knows of any.
pub(super) fn are_known(file: &File, notes: &mut Notes) {
    for user in file.users.iter().flatten() {
        let Some((at, ReadFrom::PreferReplica | ReadFrom::Replica)) = &user.read_from else { continue };
        let is_its = |name: Option<&Written<String>>| match (&user.database, name) {
            (Some(wanted), Some(name)) => wanted.value == name.value,
            _ => true,
        };
        let mut its = file.databases.iter().filter(|database| is_its(database.name.as_ref()));
        if its.all(|database| database.replicas.is_none()) {
            notes.error(at, DatabaseCause::NoReplicas.into());
        }
    }
}
