//! `[[user]]`: from what is written to the map that decides who comes in.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::cause::Cause;
use super::file::{CommandsFile, Password, UserFile};
use super::material::Files;
use super::problem::{At, Notes};
use super::{Surroundings, ways};
use crate::command::Profile;
use crate::identity::{Certificate, Credential, MapError, User, UserMap};
use crate::secret::Secret;

/// Builds the map of users. Nothing is built if a user has a problem, but the
/// others are still looked at, and all of them are compared.
pub(super) fn user_map(
    written: &[UserFile],
    trusted: &[Certificate],
    files: &mut Files,
    surroundings: &Surroundings<'_>,
    notes: &mut Notes,
) -> Option<UserMap> {
    if written.is_empty() {
        notes.warn(&At { key: "user".to_owned(), line: None }, Cause::NoUser);
    }
    let read: Vec<_> = written.iter().map(|user| one(user, trusted, files, surroundings, notes)).collect();
    let is_complete = read.iter().all(|one| one.is_complete);
    let (users, places): (Vec<_>, Vec<_>) = read.into_iter().map(|one| (one.user, one.places)).unzip();
    let place = |user: usize, entry: Option<usize>| match entry {
        Some(entry) => &places[user].entries[entry],
        None => &places[user].name,
    };
    let map = match UserMap::build(users) {
        Ok(map) => map,
        Err(errors) => {
            // A user whom nobody could be has been noted where its ways were read.
            let errors = errors.into_iter().filter(|error| !matches!(error, MapError::NoEntry { .. }));
            errors.for_each(|error| notes.error(place(error.user(), error.entry()), Cause::Map(error)));
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
    trusted: &[Certificate],
    files: &mut Files,
    surroundings: &Surroundings<'_>,
    notes: &mut Notes,
) -> One {
    let name = written.name.as_ref().and_then(|name| {
        let cause = || Cause::BadName { found: name.value.clone() };
        notes.ok(&name.at, is_name(&name.value).then_some(&name.value).ok_or_else(cause))
    });
    if written.ways.is_empty() {
        let at = At { key: format!("{}.certificate_subject_line", written.at.key), line: written.at.line };
        notes.error(&at, Cause::Missing { like: "certificate_subject_line = \"CN=app,O=Acme\"" });
    }
    let ways = ways::entries(&written.ways, trusted, files, notes);
    let redis_user = written.redis_user.as_ref().and_then(|user| {
        let cause = || Cause::BadRedisUser { found: user.value.clone() };
        notes.ok(&user.at, is_redis_user(&user.value).then_some(&user.value).ok_or_else(cause))
    });
    let password = password(written, files, surroundings, notes);
    let commands = written.commands.as_ref().map_or(Some(Profile::Default), |it| profile(it, notes));

    let is_recognised = ways.is_complete && !ways.entries.is_empty();
    let is_complete =
        is_recognised && name.is_some() && redis_user.is_some() && password.is_some() && commands.is_some();
    let (places, entries): (_, Vec<_>) = ways.entries.into_iter().unzip();
    let name_at = written.name.as_ref().map_or(&written.at, |name| &name.at).clone();
    let credential = Credential {
        redis_user: redis_user.cloned().unwrap_or_default(),
        password: password.unwrap_or_else(|| Secret::new(Vec::new())),
    };
    One {
        user: User {
            // The key's path is no name that a user can have, so it cannot be taken.
            name: name.unwrap_or(&written.at.key).clone(),
            enabled: written.enabled,
            entries,
            scope: ways.scope,
            credential: Arc::new(credential),
            commands: commands.unwrap_or_default(),
        },
        places: Places { name: name_at, entries: places },
        is_complete,
    }
}

/// Short, and without characters that logs, metrics or shells treat specially.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.:@/-".contains(c);
    (1..=128).contains(&name.len()) && name.chars().all(fits)
}

/// Redis refuses spaces and NUL in the names of ACL users.
fn is_redis_user(name: &str) -> bool {
    (1..=256).contains(&name.len()) && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}

fn password(
    written: &UserFile,
    files: &mut Files,
    surroundings: &Surroundings<'_>,
    notes: &mut Notes,
) -> Option<Secret> {
    let Some((source, at, text)) = written.passwords.first() else {
        notes.error(&written.at, Cause::NoPassword);
        return None;
    };
    for (_, second, _) in &written.passwords[1..] {
        notes.error(second, Cause::SecondPassword);
    }
    let text = text.as_ref()?;
    match source {
        Password::File => {
            let content = files.secret(text, at, notes)?;
            let password = without_newline(&content.bytes);
            let cause = || Cause::EmptyPasswordFile { path: content.path.clone() };
            notes.ok(at, filled(password).ok_or_else(cause))
        }
        Password::Variable => {
            if !is_variable(text) {
                notes.error(at, Cause::BadVariableName);
                return None;
            }
            let value = (surroundings.variable)(text);
            let value = value.ok_or_else(|| Cause::UnsetVariable { name: text.clone() });
            let value = notes.ok(at, value)?;
            let cause = || Cause::EmptyVariable { name: text.clone() };
            notes.ok(at, filled(value.as_bytes()).ok_or_else(cause))
        }
        Password::Inline => {
            notes.warn(at, Cause::InlinePassword);
            notes.ok(at, filled(text.as_bytes()).ok_or(Cause::EmptyPassword))
        }
    }
}

/// What a shell takes for a name. Anything else may be the password itself.
fn is_variable(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(fits) && !name.as_bytes()[0].is_ascii_digit()
}

fn filled(password: &[u8]) -> Option<Secret> {
    (!password.is_empty()).then(|| Secret::new(password.to_vec()))
}

/// Editors end a file with a newline; it is not part of the password.
fn without_newline(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
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
        notes.ok(&name.at, is_command(&lower).then_some(lower).ok_or_else(cause))
    });
    let names: Vec<_> = names.collect();
    names.into_iter().collect::<Option<BTreeSet<_>>>().map(Profile::Listed)
}

/// A name as Redis writes it in ACL rules: `debug`, `config|set`.
fn is_command(name: &str) -> bool {
    let fits = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    name.len() <= 128 && name.split('|').count() <= 2 && name.split('|').all(fits)
}
