//! `[[user]]`: from what is written to the map that decides who comes in.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::cause::Cause;
use super::credential_cause::CredentialCause;
use super::destinations::Known;
use super::file::{CommandsFile, Hash, UserFile};
use super::identity_cause::IdentityCause;
use super::login::Logins;
use super::material::Files;
use super::problem::{At, Notes};
use super::secrets::without_newline;
use super::source::{Written, near};
use super::ways::{self, Ways};
use crate::command::{self, Profile};
use crate::identity::{Certificate, PasswordHash, Rule, SubjectLine, User, UserMap};

/// What users may have elsewhere than in their own sections.
pub(super) struct Elsewhere<'a> {
    /// Those whom a realm recognises by a value.
    pub(super) by_value: BTreeSet<&'a str>,
    /// Whether a value can be a user by itself.
    pub(super) is_value: bool,
    /// Whether some role has a Redis user.
    pub(super) has_roles: bool,
    /// How users become those of each database's Redis.
    pub(super) logins: &'a [Logins],
    /// Those that a redis_user may be for.
    pub(super) databases: &'a Known,
}

/// Builds the map of users. Nothing is built if a user has a problem, but the
/// others are still looked at, and all of them are compared.
pub(super) fn user_map(
    written: &[UserFile],
    elsewhere: &Elsewhere<'_>,
    trusted: &[Certificate],
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Option<UserMap> {
    if written.is_empty() && !elsewhere.is_value {
        notes.warn(&At { key: "user".to_owned(), line: None }, Cause::NoUser);
    }
    let read: Vec<_> = written.iter().map(|user| one(user, elsewhere, trusted, files, notes)).collect();
    let is_complete = read.iter().all(|one| one.is_complete);
    let (users, places): (Vec<_>, Vec<_>) = read.into_iter().map(|one| (one.user, one.places)).unzip();
    let place = |user: usize, entry: Option<usize>| match entry {
        Some(entry) => &places[user].entries[entry],
        None => &places[user].name,
    };
    let map = match UserMap::build(users) {
        Ok(map) => map,
        Err(errors) => {
            errors
                .into_iter()
                .for_each(|error| notes.error(place(error.user(), error.entry()), Cause::Map(error)));
            return None;
        }
    };
    for lint in map.lints() {
        notes.warn(place(lint.user, Some(lint.entry)), Cause::Lint(lint));
    }
    let unbound = if ways::are_several(trusted) { map.unbound() } else { Vec::new() };
    for lint in unbound {
        notes.warn(place(lint.user, Some(lint.entry)), Cause::Lint(lint));
    }
    is_complete.then_some(map)
}

/// A user as far as it could be read.
struct One {
    user: User,
    places: Places,
    /// Whether it was read without a problem. If not, the user serves for
    /// comparison with the others, and no map with it in leaves this file.
    is_complete: bool,
}

/// Where the parts of a user are written.
struct Places {
    name: At,
    /// One for each of the user's entries.
    entries: Vec<At>,
}

fn one(
    written: &UserFile,
    elsewhere: &Elsewhere<'_>,
    trusted: &[Certificate],
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> One {
    let name = written.name.as_ref().and_then(|name| {
        let cause = || Cause::BadName { found: name.value.clone() };
        notes.ok(&name.at, is_name(&name.value).then_some(&name.value).ok_or_else(cause))
    });
    let is_by_value = name.is_some_and(|name| elsewhere.by_value.contains(name.as_str()));
    let ways = recognised_by(written, is_by_value, trusted, files, notes);
    // Without a Redis user of its own it is to Redis who it says to be.
    let logins = elsewhere.databases.logins_of(written, elsewhere.logins);
    let is_nameless = matches!(logins, Logins::Nameless(_));
    let has_own = written.login.is_written() || is_nameless;
    let is_itself = !has_own && written.needs.password() && written.hashes.is_empty();
    let is_by_role = !has_own && !is_itself && elsewhere.has_roles;
    if is_itself && name.is_some_and(|name| name == "default") {
        notes.error(written.name.as_ref().map_or(&written.at, |name| &name.at), Cause::DefaultUser);
    }
    if let (true, Some(name)) = (is_itself, &written.name) {
        // At whichever database.
        elsewhere.logins.iter().filter_map(Logins::naming).for_each(|naming| naming.spares(name, notes));
    }
    let database = elsewhere.databases.of_user(written, elsewhere.logins, notes);
    let credential = if is_itself || is_by_role {
        None
    } else {
        written.login.credential("user", name.map(String::as_str), logins, files, notes)
    };
    if is_nameless {
        held_back_here(written, notes);
    }
    let hash = hash(written, files, notes);
    let commands = written.commands.as_ref().map_or(Some(Profile::Default), |it| profile(it, notes));
    if commands.as_ref().is_some_and(|commands| *commands != Profile::Default) {
        exactly_recognised(&ways, notes);
    }

    let is_recognised =
        ways.is_complete && (!ways.entries.is_empty() || is_by_value || !written.needs.certificate());
    let has_credential = credential.is_some() || is_itself || is_by_role;
    let has_hash = hash.is_some() || written.hashes.is_empty();
    let is_complete = is_recognised
        && name.is_some()
        && has_credential
        && has_hash
        && commands.is_some()
        && database.is_some();
    let (places, entries): (_, Vec<_>) = ways.entries.into_iter().unzip();
    let name_at = written.name.as_ref().map_or(&written.at, |name| &name.at).clone();
    One {
        user: User {
            // The key's path is no name that a user can have, so it cannot be taken.
            name: name.unwrap_or(&written.at.key).clone(),
            needs: written.needs,
            enabled: written.enabled,
            entries,
            scope: ways.scope,
            password: hash.map(Arc::new),
            credential,
            database: database.flatten(),
            commands: commands.unwrap_or_default(),
            read_from: written.read_from.as_ref().map(|(_, nodes)| *nodes).unwrap_or_default(),
        },
        places: Places { name: name_at, entries: places },
        is_complete,
    }
}

/// Where Redis tells nobody from anybody, the gateway alone says what a user may do.
fn held_back_here(written: &UserFile, notes: &mut Notes) {
    if written.commands.is_none() {
        let at = At { key: format!("{}.commands", written.at.key), line: written.at.line };
        notes.error(&at, CredentialCause::NoCommands.into());
    }
    if written.needs.password() && written.hashes.is_empty() {
        notes.error(&written.at, CredentialCause::ComparedByNameless.into());
    }
}

/// Who may reach other users or the host is known by a whole subject, name or fingerprint:
/// whoever may issue some certificates must not get there by a part that is left open.
fn exactly_recognised(ways: &Ways, notes: &mut Notes) {
    let is_open = |line: &SubjectLine| line.is_partial() || line.ignores_case();
    for (at, entry) in &ways.entries {
        let text = entry.to_string();
        let is_attribute = matches!(entry.rule(0), Rule::Attributes(_));
        if is_attribute || entry.line().is_some_and(is_open) || text.contains('*') {
            notes.error(at, IdentityCause::NotExact { found: text }.into());
        }
    }
}

/// Short, and without characters that logs, metrics or shells treat specially.
pub(super) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.:@/-".contains(c);
    (1..=128).contains(&name.len()) && name.chars().all(fits)
}

/// The name of an ACL user, if it is one.
pub(super) fn redis_user(written: &Written<String>, notes: &mut Notes) -> Option<String> {
    let cause = || Cause::BadRedisUser { found: written.value.clone() };
    notes.ok(&written.at, is_redis_user(&written.value).then(|| written.value.clone()).ok_or_else(cause))
}

/// Redis refuses spaces and NUL in the names of ACL users.
fn is_redis_user(name: &str) -> bool {
    (1..=256).contains(&name.len()) && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// What certificates the user is recognised by; none, if it is not by any.
fn recognised_by(
    written: &UserFile,
    is_by_value: bool,
    trusted: &[Certificate],
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Ways {
    if written.needs.certificate() && written.ways.is_empty() && !is_by_value {
        let at = At { key: format!("{}.certificate_subject_line", written.at.key), line: written.at.line };
        notes.error(&at, Cause::Missing { like: "certificate_subject_line = \"CN=app,O=Acme\"" });
    }
    ways::entries(&written.ways, trusted, files, notes)
}

/// The hash of the user's own password, if it is given and can be used.
fn hash(written: &UserFile, files: &mut Files<'_>, notes: &mut Notes) -> Option<PasswordHash> {
    let (source, at, text) = written.hashes.first()?;
    for (_, second, _) in &written.hashes[1..] {
        notes.error(second, Cause::SecondHash);
    }
    let text = text.as_ref()?;
    let parsed = match source {
        Hash::Inline => PasswordHash::parse(text),
        Hash::File => {
            let content = files.secret(text, at, notes)?;
            // What is not text is not a hash either.
            PasswordHash::parse(std::str::from_utf8(without_newline(&content.bytes)).unwrap_or_default())
        }
    };
    notes.ok(at, parsed.map_err(Cause::from))
}

fn profile(written: &CommandsFile, notes: &mut Notes) -> Option<Profile> {
    if !written.is_list {
        return match written.names.first().map(|name| name.value.as_str()) {
            Some("default") => Some(Profile::Default),
            Some("all") => Some(Profile::All),
            Some(other) => {
                notes.error(&written.at, Cause::BadCommands { found: other.to_owned() });
                None
            }
            None => None,
        };
    }
    let names = written.names.iter().map(|name| {
        let lower = name.value.to_ascii_lowercase();
        let cause = || Cause::BadCommand { found: name.value.clone() };
        let command = notes.ok(&name.at, is_command(&lower).then_some(lower).ok_or_else(cause))?;
        if !is_guarded(&command) {
            let near = if command::rows().any(|row| row.name == command) {
                Vec::new()
            } else {
                let guarded: Vec<_> = guarded().collect();
                near(&command, &guarded)
            };
            notes.warn(&name.at, Cause::UnguardedCommand { found: name.value.clone(), near });
        }
        Some(command)
    });
    let names: Vec<_> = names.collect();
    names.into_iter().collect::<Option<BTreeSet<_>>>().map(Profile::Listed)
}

/// The names of guarded commands.
fn guarded() -> impl Iterator<Item = &'static str> {
    command::rows().filter(|row| row.guarded).map(|row| row.name)
}

/// Whether it changes anything that a profile lists this name.
fn is_guarded(name: &str) -> bool {
    guarded().any(|it| it == name || it.split_once('|').is_some_and(|(container, _)| container == name))
}

/// A name as Redis writes it in ACL rules: `debug`, `config|set`.
fn is_command(name: &str) -> bool {
    let fits = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    name.len() <= 128 && name.split('|').count() <= 2 && name.split('|').all(fits)
}
