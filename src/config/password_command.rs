//! `redis_password_command`: a program whose output is a password, and how often it is asked
//! for another. Nothing is run here.

use std::time::Duration;

use super::credential_cause::CredentialCause;
use super::file::File;
use super::material::Files;
use super::problem::{At, Notes};
use super::secrets::SecretFile;
use super::source::{Section, Written};
use crate::identity::Keeping;
use crate::io::PasswordCommand;

/// Tokens of clouds hold 15 minutes at least.
const REFRESH_S: u64 = 600;

/// A year.
pub(super) const SECONDS_MAX: u64 = 365 * 24 * 60 * 60;

/// The keys of one.
pub(super) struct CommandFile {
    pub(super) at: At,
    words: Vec<Written<String>>,
    refresh: u64,
}

/// Takes the keys out of their section.
pub(super) fn read(
    section: &mut Section<'_>,
    password: &SecretFile,
    notes: &mut Notes,
) -> Option<CommandFile> {
    let command = section.take("redis_password_command");
    let refresh = section.take("redis_password_refresh_s").and_then(|entry| entry.number(notes));
    let Some(command) = command else {
        if let Some(refresh) = refresh {
            notes.error(&refresh.at, CredentialCause::RefreshWithoutCommand.into());
        }
        return None;
    };
    let at = command.at.clone();
    if let Some(password) = password.at() {
        notes.error(password, CredentialCause::CommandBesidePassword.into());
    }
    let refresh = refresh.map_or(Some(REFRESH_S), |written| seconds(&written, notes))?;
    let words = command.filled_texts(notes)?;
    Some(CommandFile { at, words, refresh })
}

/// Every command of a configuration, each once.
pub(super) fn all(file: &File, files: &Files<'_>, notes: &mut Notes) -> Option<Vec<PasswordCommand>> {
    let of_users = file.users.iter().flatten().filter_map(|user| user.login.command.as_ref());
    let of_roles =
        file.databases.iter().flat_map(|it| &it.roles).filter_map(|role| role.login.command.as_ref());
    let of_databases = file.databases.iter().filter_map(|it| it.auth.command.as_ref());
    let all = of_users.chain(of_roles).chain(of_databases);
    let all: Vec<_> = all.map(|command| command.command(files, notes)).collect();
    let mut all = all.into_iter().collect::<Option<Vec<_>>>()?;
    // As often as whoever wants it most often.
    all.sort_by(|one, other| (&one.keeping, one.refresh).cmp(&(&other.keeping, other.refresh)));
    all.dedup_by(|one, other| one.keeping == other.keeping);
    Some(all)
}

/// A number of seconds that makes sense.
pub(super) fn seconds(written: &Written<u64>, notes: &mut Notes) -> Option<u64> {
    let (found, least, most) = (written.value, 1, SECONDS_MAX);
    let bad = || CredentialCause::Seconds { found, least, most }.into();
    notes.ok(&written.at, (least..=most).contains(&found).then_some(found).ok_or_else(bad))
}

impl CommandFile {
    /// The name of its password: the same for all who name the same command, however often they want
    /// it run, so that a change of that alone changes nobody's password.
    pub(super) fn keeping(&self) -> Keeping {
        let words: Vec<&str> = self.words.iter().map(|word| word.value.as_str()).collect();
        Keeping(format!("printed by {words:?}").into())
    }

    /// What is to be run, or a note of why it cannot be.
    pub(super) fn command(&self, files: &Files<'_>, notes: &mut Notes) -> Option<PasswordCommand> {
        let (program, arguments) = self.words.split_first()?;
        let found = &program.value;
        if found.is_empty() {
            notes.error(&program.at, CredentialCause::NoProgram.into());
            return None;
        }
        let path = if found.contains('/') { files.resolve(found) } else { found.into() };
        if found.contains('/') && !path.is_file() {
            notes.error(&program.at, CredentialCause::UnknownProgram { found: found.clone() }.into());
            return None;
        }
        Some(PasswordCommand {
            keeping: self.keeping(),
            program: path,
            arguments: arguments.iter().map(|word| word.value.clone()).collect(),
            refresh: Duration::from_secs(self.refresh),
        })
    }
}
