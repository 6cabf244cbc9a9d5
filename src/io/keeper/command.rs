//! A program whose output is a password: run without a shell, for so long and no longer, and
//! nothing of what it prints is shown but what it says of its own failure.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use zeroize::Zeroizing;

use crate::identity::Keeping;
use crate::observe::log;
use crate::secret::Secret;

/// The longest password. Tokens of clouds are some kilobytes.
const PASSWORD_BYTES_MAX: u64 = 64 * 1024;

/// How much of what it says on standard error is shown.
const COMPLAINT_BYTES_MAX: u64 = 1024;

/// A program that a password comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordCommand {
    /// Under which the password is known.
    pub keeping: Keeping,
    /// The program: a path, or a name that is looked up in PATH.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// How often it is run.
    pub refresh: Duration,
}

/// Why there is no password.
#[derive(Debug, Error)]
pub(super) enum NoPassword {
    #[error("it cannot be run: {0}")]
    Start(std::io::Error),
    #[error("it has not ended within limits.password_command_timeout_ms")]
    Late,
    #[error("{status}{complaint}")]
    Failed { status: std::process::ExitStatus, complaint: String },
    #[error("it printed nothing")]
    Empty,
    #[error("it printed more than {PASSWORD_BYTES_MAX} bytes")]
    Long,
}

impl PasswordCommand {
    /// Runs it and takes what it prints, without the newline at its end.
    pub(super) async fn run(&self, timeout: Duration) -> Result<Secret, NoPassword> {
        // Dropped with the child in it, the future kills it.
        tokio::time::timeout(timeout, self.output()).await.unwrap_or(Err(NoPassword::Late))
    }

    async fn output(&self) -> Result<Secret, NoPassword> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().map_err(NoPassword::Start)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // Both at once: a full pipe would stop it.
        let (printed, complaint) =
            tokio::join!(read(stdout, PASSWORD_BYTES_MAX), read(stderr, COMPLAINT_BYTES_MAX));
        if printed.len() as u64 > PASSWORD_BYTES_MAX {
            return Err(NoPassword::Long);
        }
        let status = child.wait().await.map_err(NoPassword::Start)?;
        if !status.success() {
            let said = log::one_line(String::from_utf8_lossy(&complaint).trim());
            let complaint = if said.is_empty() { said } else { format!(": {said}") };
            return Err(NoPassword::Failed { status, complaint });
        }
        let password = printed.strip_suffix(b"\n").unwrap_or(&printed);
        let password = password.strip_suffix(b"\r").unwrap_or(password);
        if password.is_empty() { Err(NoPassword::Empty) } else { Ok(Secret::new(password.to_vec())) }
    }
}

/// What comes up to a bound and one byte more; the rest is read to nowhere, so that its writer goes on.
async fn read(stream: Option<impl AsyncRead + Unpin>, most: u64) -> Zeroizing<Vec<u8>> {
    // With room for everything from the start, no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most as usize + 1));
    let Some(stream) = stream else { return bytes };
    let mut bounded = stream.take(most + 1);
    // What cannot be read is missing, and that shows.
    let _ = bounded.read_to_end(&mut bytes).await;
    if bytes.len() as u64 <= most {
        return bytes;
    }
    let _ = tokio::io::copy(&mut bounded.into_inner(), &mut tokio::io::sink()).await;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(script: &str) -> Result<Vec<u8>, String> {
        let command = PasswordCommand {
            keeping: Keeping("x".into()),
            program: "sh".into(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            refresh: Duration::from_secs(1),
        };
        let result = command.run(Duration::from_secs(2)).await;
        result.map(|secret| secret.expose().to_vec()).map_err(|why| why.to_string())
    }

    #[tokio::test]
    async fn what_a_program_prints_is_the_password_and_what_it_complains_of_is_told() {
        assert_eq!(said("echo one; echo noise >&2").await, Ok(b"one".to_vec()));
        assert_eq!(said("printf 'a b\\n\\n'").await, Ok(b"a b\n".to_vec()));
        let failed = said("echo canary; echo no such account >&2; exit 3").await.unwrap_err();
        assert!(failed.contains("3") && failed.ends_with("no such account"), "{failed}");
        assert!(!failed.contains("canary"), "{failed}");
        let forged = said("printf 'bad \\033[31m\\nERROR forged' >&2; exit 2").await.unwrap_err();
        assert!(
            forged.ends_with("bad  [31m ERROR forged") && !forged.contains(char::is_control),
            "{forged:?}"
        );
        assert_eq!(said("true").await.unwrap_err(), "it printed nothing");
        assert!(said("head -c 70000 /dev/zero").await.unwrap_err().contains("more than"));
        assert!(said("head -c 3000000 /dev/zero >&2; exit 1").await.is_err());
        assert!(said("sleep 10").await.unwrap_err().contains("has not ended"));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_said_to_be() {
        let command = PasswordCommand {
            keeping: Keeping("x".into()),
            program: "/nowhere/to/be/found".into(),
            arguments: Vec::new(),
            refresh: Duration::from_secs(1),
        };
        let why = command.run(Duration::from_secs(2)).await.unwrap_err().to_string();
        assert!(why.starts_with("it cannot be run: "), "{why}");
    }
}
