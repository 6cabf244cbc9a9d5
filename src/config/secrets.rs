//! The secrets of a configuration, each from one of four places: `X_file`,
//! `X_env`, `X_keystore`, or `X` itself. Knows where a secret is found and
//! that it is never shown; not what it is for.

use std::os::unix::ffi::OsStrExt;

use super::cause::Cause;
use super::material::Files;
use super::problem::{At, Notes};
use super::secret_cause::SecretCause;
use super::source::Section;
use crate::secret::Secret;

/// The keys under which one secret may stand. Made by `keys!`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    /// The secret itself.
    pub inline: &'static str,
    /// The path of a file with the secret in it.
    pub file: &'static str,
    /// The name of an environment variable.
    pub env: &'static str,
    /// The name of a secret in the keystore.
    pub keystore: &'static str,
}

/// The four keys of a secret, from its name.
macro_rules! keys {
    ($name:literal) => {
        $crate::config::secrets::Keys {
            inline: $name,
            file: concat!($name, "_file"),
            env: concat!($name, "_env"),
            keystore: concat!($name, "_keystore"),
        }
    };
}
pub(super) use keys;

/// A secret as it is written: every key for it that is there.
pub(super) struct SecretFile {
    keys: Keys,
    /// The section, for when no key is there.
    section: At,
    /// Without a text if the value was not a string, which has been noted.
    found: Vec<(Place, At, Option<String>)>,
}

/// Where a secret is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    File,
    Variable,
    Keystore,
    Inline,
}

/// Whether a secret of no bytes is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Empty {
    /// It is a slip of the pen.
    Refused,
    /// It is distinct from none: a key may be encrypted with an empty password.
    Meant,
}

/// A secret could not be had, and why has been noted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noted;

/// Takes the keys of a secret out of its section.
pub(super) fn secret(section: &mut Section<'_>, keys: Keys, notes: &mut Notes) -> SecretFile {
    let places = [
        (keys.file, Place::File),
        (keys.env, Place::Variable),
        (keys.keystore, Place::Keystore),
        (keys.inline, Place::Inline),
    ];
    let mut found = Vec::new();
    for (key, place) in places {
        let Some(entry) = section.take(key) else { continue };
        let at = entry.at.clone();
        found.push((place, at, entry.text(notes).map(|text| text.value)));
    }
    SecretFile { keys, section: section.at().clone(), found }
}

impl SecretFile {
    /// Where the secret is written, if it is.
    pub(super) fn at(&self) -> Option<&At> {
        self.found.first().map(|(_, at, _)| at)
    }

    /// The keys that it may stand under.
    pub(super) fn keys(&self) -> Keys {
        self.keys
    }

    /// A secret that must be there and not be empty.
    pub(super) fn need(&self, files: &mut Files<'_>, notes: &mut Notes) -> Option<Secret> {
        if self.found.is_empty() {
            notes.error(&self.section, SecretCause::NoSecret { keys: self.keys }.into());
        }
        self.read(Empty::Refused, files, notes).ok().flatten()
    }

    /// A secret that may be left away, and that may be empty where it is not.
    pub(super) fn optional(&self, files: &mut Files<'_>, notes: &mut Notes) -> Result<Option<Secret>, Noted> {
        self.read(Empty::Meant, files, notes)
    }

    fn read(&self, empty: Empty, files: &mut Files<'_>, notes: &mut Notes) -> Result<Option<Secret>, Noted> {
        let Some((place, at, text)) = self.found.first() else { return Ok(None) };
        for (_, second, _) in &self.found[1..] {
            notes.error(second, SecretCause::SecondSecret { keys: self.keys }.into());
        }
        let secret = text.as_ref().and_then(|text| match place {
            Place::File => from_file(text, empty, at, files, notes),
            Place::Variable => from_variable(text, empty, at, files, notes),
            Place::Keystore => from_keystore(text, at, files, notes),
            Place::Inline => self.inline(text, empty, at, files, notes),
        });
        secret.map(Some).ok_or(Noted)
    }

    fn inline(
        &self,
        text: &str,
        empty: Empty,
        at: &At,
        files: &mut Files<'_>,
        notes: &mut Notes,
    ) -> Option<Secret> {
        // An empty one tells nobody anything.
        if !text.is_empty() {
            notes.warn(at, SecretCause::InlineSecret { keys: self.keys }.into());
            files.secret_in_configuration(at, notes);
        } else if empty == Empty::Refused {
            notes.warn(at, SecretCause::InlineSecret { keys: self.keys }.into());
        }
        notes.ok(at, filled(text.as_bytes(), empty).ok_or(Cause::EmptyPassword))
    }
}

fn from_file(path: &str, empty: Empty, at: &At, files: &mut Files<'_>, notes: &mut Notes) -> Option<Secret> {
    let content = files.secret(path, at, notes)?;
    let cause = || Cause::EmptyPasswordFile { path: content.path.clone() };
    notes.ok(at, filled(without_newline(&content.bytes), empty).ok_or_else(cause))
}

fn from_variable(name: &str, empty: Empty, at: &At, files: &Files<'_>, notes: &mut Notes) -> Option<Secret> {
    if !is_variable(name) {
        notes.error(at, Cause::BadVariableName);
        return None;
    }
    let value = files.variable(name).ok_or_else(|| Cause::UnsetVariable { name: name.to_owned() });
    let value = notes.ok(at, value)?;
    let cause = || Cause::EmptyVariable { name: name.to_owned() };
    notes.ok(at, filled(value.as_bytes(), empty).ok_or_else(cause))
}

/// What an environment variable holds that is no secret.
pub(super) fn variable(name: &str, at: &At, files: &Files<'_>, notes: &mut Notes) -> Option<String> {
    if !is_variable(name) {
        notes.error(at, Cause::BadVariableName);
        return None;
    }
    let value = files.variable(name).ok_or_else(|| Cause::UnsetVariable { name: name.to_owned() });
    notes.ok(at, value).map(|value| value.to_string_lossy().into_owned())
}

/// An empty one was put there on purpose, but the keystore holds none.
fn from_keystore(name: &str, at: &At, files: &Files<'_>, notes: &mut Notes) -> Option<Secret> {
    use super::material::Store;
    let keystore = match files.keystore() {
        Store::Open(keystore) => keystore,
        Store::NotNamed => {
            notes.error(at, SecretCause::NoKeystore.into());
            return None;
        }
        // Why has been noted where it is named.
        Store::Unusable => return None,
    };
    let secret = keystore.secret(name).cloned();
    let near = || super::source::near(name, &keystore.names().collect::<Vec<_>>());
    let unknown = || SecretCause::UnknownSecret { near: owned(near()) };
    notes.ok(at, secret.ok_or_else(|| unknown().into()))
}

fn owned(names: Vec<&str>) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// What a shell takes for a name. Anything else may be the secret itself.
fn is_variable(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(fits) && !name.as_bytes()[0].is_ascii_digit()
}

fn filled(secret: &[u8], empty: Empty) -> Option<Secret> {
    (empty == Empty::Meant || !secret.is_empty()).then(|| Secret::new(secret.to_vec()))
}

/// Editors end a file with a newline; it is not part of the secret.
pub(super) fn without_newline(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}
