//! Several databases: what each is called, and which of them a listener leads to and a user's
//! redis_user is for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustls::pki_types::DnsName;

use super::cause::{Cause, LISTENER_NAME_MAX};
use super::database_cause::DatabaseCause;
use super::file::{ListenerFile, UserFile};
use super::login::Logins;
use super::problem::{At, Notes};
use super::source::{Section, Written};
use crate::io::{DATABASE_NAME, Destinations};

/// A server name, and the database that it leads to.
pub(super) type ByServerName = (Written<String>, Written<String>);

/// Takes `sni` apart.
pub(super) fn read_sni(section: Section<'_>, notes: &mut Notes) -> Vec<ByServerName> {
    let entries = section.entries().into_iter();
    entries
        .filter_map(|(name, entry)| {
            let at = entry.at.clone();
            Some((Written { at, value: name }, entry.text(notes)?))
        })
        .collect()
}

/// The names of the databases that are there.
pub(super) struct Known {
    names: BTreeSet<String>,
    /// As they are written, also those that are no good.
    order: Vec<String>,
}

/// The database's name, if it can be one and no earlier database has it.
pub(super) fn name(
    written: Option<&Written<String>>,
    at: &At,
    known: &mut Known,
    notes: &mut Notes,
) -> Option<String> {
    let found = written.map_or(DATABASE_NAME, |name| &name.value);
    let at = written.map_or(at, |name| &name.at);
    known.order.push(found.to_owned());
    let is_name = is_name(found).then(|| found.to_owned());
    let name =
        notes.ok(at, is_name.ok_or_else(|| DatabaseCause::BadName { found: found.to_owned() }.into()))?;
    if !known.names.insert(name.clone()) {
        notes.error(at, DatabaseCause::Duplicate { found: name }.into());
        return None;
    }
    Some(name)
}

/// Short, and without characters that logs, metrics or shells treat specially.
pub(super) fn is_name(found: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=LISTENER_NAME_MAX).contains(&found.len()) && found.bytes().all(fits)
}

impl Known {
    pub(super) fn none() -> Self {
        Self { names: BTreeSet::new(), order: Vec::new() }
    }

    fn list(&self) -> Vec<String> {
        self.names.iter().cloned().collect()
    }

    /// The database that a key names.
    fn named(&self, written: &Written<String>, notes: &mut Notes) -> Option<Arc<str>> {
        let found = written.value.as_str();
        let cause =
            || Cause::Database(DatabaseCause::Unknown { found: found.to_owned(), known: self.list() });
        notes.ok(&written.at, self.names.contains(found).then(|| found.into()).ok_or_else(cause))
    }

    /// Where a listener leads, if it can be told and everything that it names is there.
    pub(super) fn destinations(&self, listener: &ListenerFile, notes: &mut Notes) -> Option<Destinations> {
        let mut by_server_name = BTreeMap::new();
        let mut all_known = true;
        for (name, database) in &listener.sni {
            let found = name.value.to_ascii_lowercase();
            let cause = || DatabaseCause::ServerName { found: name.value.clone() }.into();
            let is_dns = DnsName::try_from(found.as_str()).is_ok();
            let server_name = notes.ok(&name.at, is_dns.then_some(found).ok_or_else(cause));
            match server_name.zip(self.named(database, notes)) {
                Some((server_name, database)) => {
                    by_server_name.insert(server_name, database);
                }
                None => all_known = false,
            }
        }
        let default = match (&listener.database, self.names.first()) {
            (Some(written), _) => Some(self.named(written, notes)?),
            (None, Some(only)) if self.names.len() == 1 => Some(only.as_str().into()),
            // Who asks for another name, or for none, is refused.
            (None, _) if !listener.sni.is_empty() => None,
            (None, None) => return None,
            (None, Some(_)) => {
                notes.error(&listener.at, DatabaseCause::Which { known: self.list() }.into());
                return None;
            }
        };
        all_known.then_some(Destinations { by_server_name, default })
    }

    /// Which database a user's redis_user or acl is for, where there are several.
    pub(super) fn of_user(
        &self,
        user: &UserFile,
        logins: &[Logins],
        notes: &mut Notes,
    ) -> Option<Option<String>> {
        let login = &user.login;
        let own = login.redis_user.as_ref().or(login.acl.as_ref());
        let is_nameless = matches!(self.logins_of(user, logins), Logins::Nameless(_));
        match (&user.database, own) {
            (Some(written), own) if own.is_some() || is_nameless => {
                Some(Some(self.named(written, notes)?.to_string()))
            }
            (Some(written), _) => {
                notes.error(&written.at, DatabaseCause::WithoutRedisUser.into());
                None
            }
            (None, Some(written)) if self.names.len() > 1 => {
                notes.error(&written.at, DatabaseCause::WhichOfUser { known: self.list() }.into());
                None
            }
            (None, _) => Some(None),
        }
    }

    /// How a user becomes one of its database's Redis: the one that it names, or the only one.
    pub(super) fn logins_of<'a>(&self, user: &UserFile, logins: &'a [Logins]) -> &'a Logins {
        const NONE: &Logins = &Logins::Named(None);
        match (&user.database, logins) {
            (None, [only]) => only,
            (None, _) => NONE,
            (Some(written), _) => {
                let at = self.order.iter().position(|name| *name == written.value);
                at.and_then(|at| logins.get(at)).unwrap_or(NONE)
            }
        }
    }
}
