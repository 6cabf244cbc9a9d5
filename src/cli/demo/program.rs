//! A client program of the demo: run to its end with a certificate, and shown as
//! the line that a person would type. Knows nothing of right answers.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use thiserror::Error;

use super::stage::Stage;
use super::stop::{Interrupted, Stop};

/// How long a program may take: with a debug build the benchmark takes a while.
const RUN_TIMEOUT: Duration = Duration::from_secs(120);

const STEP: Duration = Duration::from_millis(20);

/// Why there is no answer.
#[derive(Debug, Error)]
pub(super) enum ProgramError {
    #[error("{program} could not be run: {cause}")]
    Run { program: &'static str, cause: io::Error },
    #[error("{program} had not ended after {} s", RUN_TIMEOUT.as_secs())]
    TooSlow { program: &'static str },
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// What it said.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) success: bool,
    pub(super) out: String,
    pub(super) errors: String,
}

/// A program with its arguments.
#[derive(Debug)]
pub(super) struct Program {
    name: &'static str,
    command: Command,
    shown: String,
}

impl Program {
    /// A program of Redis' own with this user's certificate.
    pub(super) fn new(name: &'static str, stage: &Stage, user: &str, port: u16) -> Self {
        let file = |name: String| stage.path(&name).display().to_string();
        let (certificate, key) = (file(format!("{user}.crt")), file(format!("{user}.key")));
        let (authority, port) = (file("ca.crt".to_owned()), port.to_string());
        let mut command = Command::new(name);
        // It would send the password of something else.
        command.env_remove("REDISCLI_AUTH");
        Self { name, command, shown: name.to_owned() }.args(&[
            "--tls",
            "--cert",
            &certificate,
            "--key",
            &key,
            "--cacert",
            &authority,
            "-p",
            &port,
        ])
    }

    pub(super) fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        for arg in args {
            self.shown.push(' ');
            self.shown.push_str(&quoted(arg));
        }
        self
    }

    /// The line that a person would type.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Runs it to its end.
    pub(super) fn run(&mut self, stop: &Stop) -> Result<Output, ProgramError> {
        let program = self.name;
        let fail = |cause| ProgramError::Run { program, cause };
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(fail)?;
        let (out, errors) = (read(child.stdout.take()), read(child.stderr.take()));
        for _ in 0..RUN_TIMEOUT.as_millis() / STEP.as_millis() {
            if let Some(status) = child.try_wait().map_err(fail)? {
                return Ok(Output { success: status.success(), out: text(out), errors: text(errors) });
            }
            if stop.is_asked_for() {
                break;
            }
            thread::sleep(STEP);
        }
        child.kill().map_err(fail)?;
        child.wait().map_err(fail)?;
        stop.check()?;
        Err(ProgramError::TooSlow { program })
    }
}

/// Reads a pipe on a thread of its own, so that the program never waits for us.
fn read(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is what there is to show.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn text(read: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&read.join().unwrap_or_default()).into_owned()
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,+@%=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_quoted_word_as_it_was() {
        for word in ["demo/app.crt", "", "a b", "it's", "$(id)", "\\"] {
            let output =
                Command::new("sh").arg("-c").arg(format!("printf %s {}", quoted(word))).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), word);
        }
    }
}
