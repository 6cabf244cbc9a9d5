//! Where the command line has passwords from: a file, the environment, or the
//! person at the terminal. Never from an argument, which every user of the
//! machine can read.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use super::terminal;
use crate::config::{KEYSTORE_PASSWORD_FILE_VARIABLE, KEYSTORE_PASSWORD_VARIABLE};
use crate::secret::Secret;

/// Longer ones are cut off, which no password that was typed is.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// Why there is no password.
#[derive(Debug, Error)]
pub(super) enum AskError {
    #[error("{}: {cause}", path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error("both {KEYSTORE_PASSWORD_FILE_VARIABLE} and {KEYSTORE_PASSWORD_VARIABLE} are set, expected one")]
    TwoVariables,
    #[error("there is no terminal to ask for {what}: {cause}; {instead}")]
    NoTerminal { what: String, instead: String, cause: io::Error },
    #[error("nothing was typed: nothing is changed")]
    GivenUp,
    #[error("the two passwords are not the same")]
    Different,
    #[error("the new password is empty")]
    Empty,
}

/// The password of a keystore that has one.
pub(super) fn for_password(keystore: &Path) -> Result<Secret, AskError> {
    if let Some(password) = from_environment()? {
        return Ok(password);
    }
    let instead = format!("set {KEYSTORE_PASSWORD_FILE_VARIABLE}");
    prompt(&format!("Password of {}: ", keystore.display()), "the keystore's password", &instead)
}

/// The keystore's password, if the environment tells it.
pub(super) fn from_environment() -> Result<Option<Secret>, AskError> {
    match (env::var_os(KEYSTORE_PASSWORD_FILE_VARIABLE), env::var_os(KEYSTORE_PASSWORD_VARIABLE)) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(AskError::TwoVariables),
        (None, Some(password)) => Ok(Some(Secret::new(password.into_encoded_bytes()))),
        (Some(path), None) => from_file(Path::new(&path)).map(Some),
    }
}

/// A new password, from a file or typed twice.
pub(super) fn for_new_password(file: Option<&Path>) -> Result<Secret, AskError> {
    let password = match file {
        Some(path) => from_file(path)?,
        None => {
            let (what, instead) = ("the new password", "name a file with it");
            let first = prompt("New password: ", what, instead)?;
            if first != prompt("The same again: ", what, instead)? {
                return Err(AskError::Different);
            }
            first
        }
    };
    if password.is_empty() { Err(AskError::Empty) } else { Ok(password) }
}

/// A secret to be kept.
pub(super) fn for_secret(name: &str) -> Result<Secret, AskError> {
    prompt(&format!("Secret for {name}: "), &format!("the secret for {name}"), "use --stdin")
}

/// Editors end a file with a newline; it is not part of the secret.
pub(super) fn without_newline(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

fn prompt(text: &str, what: &str, instead: &str) -> Result<Secret, AskError> {
    let typed = terminal::prompt(text).map_err(|cause| match cause.kind() {
        io::ErrorKind::Interrupted => AskError::GivenUp,
        _ => AskError::NoTerminal { what: what.to_owned(), instead: instead.to_owned(), cause },
    })?;
    Ok(Secret::new(typed.to_vec()))
}

fn from_file(path: &Path) -> Result<Secret, AskError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(PASSWORD_BYTES_MAX as usize));
    let read = File::open(path).and_then(|file| file.take(PASSWORD_BYTES_MAX).read_to_end(&mut bytes));
    read.map_err(|cause| AskError::File { path: path.to_owned(), cause })?;
    Ok(Secret::new(without_newline(&bytes).to_vec()))
}
