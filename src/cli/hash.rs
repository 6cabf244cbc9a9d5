//! `respgate hash`: the argon2id hash of a password, for `password_hash` or
//! `password_hash_file`. The password comes by standard input, where neither the
//! shell's history nor the list of processes shows it.

use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::identity::PasswordHash;

/// No person types more, and no program needs more.
const PASSWORD_BYTES_MAX: usize = 4_096;

/// Hash a password, read from standard input without its last newline.
#[derive(Debug, clap::Args)]
#[command(after_help = "The password is read from standard input, without its last newline.

Example:
  (umask 077 && respgate hash < jane.password > jane.hash)")]
pub struct Args {}

#[derive(Debug, Error)]
enum HashError {
    #[error("the password could not be read from standard input: {0}")]
    Read(io::Error),
    #[error("the password is empty")]
    Empty,
    #[error("the password is longer than {PASSWORD_BYTES_MAX} bytes")]
    Long,
    #[error("the system has no random bytes: {0}")]
    Random(getrandom::Error),
}

/// Reads, prints to standard output and returns the exit code.
#[must_use]
pub fn run(_: &Args) -> ExitCode {
    if io::stdin().is_terminal() {
        // Somebody is waiting, and what they type is seen.
        let _ = writeln!(io::stderr(), "Password (it is shown), then Enter and Ctrl-D:");
    }
    match hash(io::stdin().lock()) {
        Ok(text) => {
            let _ = writeln!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "respgate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn hash(input: impl Read) -> Result<String, HashError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(PASSWORD_BYTES_MAX + 3));
    input.take(PASSWORD_BYTES_MAX as u64 + 3).read_to_end(&mut bytes).map_err(HashError::Read)?;
    let password = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let password = password.strip_suffix(b"\r").unwrap_or(password);
    match password.len() {
        0 => return Err(HashError::Empty),
        1..=PASSWORD_BYTES_MAX => {}
        _ => return Err(HashError::Long),
    }
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(HashError::Random)?;
    PasswordHash::make(password, &salt).ok_or(HashError::Long)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_newline_is_no_part_of_the_password() {
        for input in ["secret", "secret\n", "secret\r\n"] {
            let text = hash(input.as_bytes()).expect("a hash");
            assert!(PasswordHash::parse(&text).is_ok_and(|hash| hash.fits(b"secret")), "{input:?}");
        }
        let text = hash(&b" secret\n\n"[..]).expect("a hash");
        assert!(PasswordHash::parse(&text).is_ok_and(|hash| hash.fits(b" secret\n")));
    }

    #[test]
    fn a_password_that_is_empty_or_endless_is_refused() {
        assert!(matches!(hash(&b"\n"[..]), Err(HashError::Empty)));
        assert!(hash(&[b'x'; PASSWORD_BYTES_MAX][..]).is_ok());
        assert!(matches!(hash(&[b'x'; PASSWORD_BYTES_MAX + 1][..]), Err(HashError::Long)));
        assert!(matches!(hash(io::repeat(b'x')), Err(HashError::Long)));
    }
}
