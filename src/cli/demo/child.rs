//! The processes of the demo: redis-server and the gateway. Each is started with
//! its output in a file, watched, and ended by its own process id.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;

use super::stage::Stage;
use super::stop::{Interrupted, Stop};

/// How often what is waited for is looked at.
const STEP: Duration = Duration::from_millis(20);

/// Programs that the demo runs, and the Debian packages that have them.
const TOOLS: [(&str, &str); 3] =
    [("redis-server", "redis-server"), ("redis-cli", "redis-tools"), ("redis-benchmark", "redis-tools")];

/// What went wrong with a process.
#[derive(Debug, Error)]
pub(super) enum ChildError {
    #[error(
        "{program} is not to be found on the PATH; on Debian and Ubuntu it is in the package {package}: \
         apt-get install redis-server redis-tools"
    )]
    Missing { program: &'static str, package: &'static str },
    #[error("{name} could not be run: {cause}")]
    Spawn { name: &'static str, cause: io::Error },
    #[error("{path}: {cause}", path = path.display())]
    Log { path: PathBuf, cause: io::Error },
    #[error("{name} ended by itself ({status}); the end of {path}:\n{tail}", path = log.display())]
    Ended { name: &'static str, status: ExitStatus, log: PathBuf, tail: String },
    #[error("waited {seconds} s for {what} in vain; the end of {path}:\n{tail}", path = log.display())]
    TooSlow { what: &'static str, seconds: u64, log: PathBuf, tail: String },
    #[error("{name} had not ended {seconds} s after SIGTERM and was killed; the end of {path}:\n{tail}",
            path = log.display())]
    Killed { name: &'static str, seconds: u64, log: PathBuf, tail: String },
    #[error("{name} ended with an error when asked to end ({status}); the end of {path}:\n{tail}",
            path = log.display())]
    BadEnd { name: &'static str, status: ExitStatus, log: PathBuf, tail: String },
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Looks for the programs that are needed, before anything is made.
pub(super) fn find_tools() -> Result<(), ChildError> {
    for (program, package) in TOOLS {
        let found = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        match found {
            Ok(_) => {}
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                return Err(ChildError::Missing { program, package });
            }
            Err(cause) => return Err(ChildError::Spawn { name: program, cause }),
        }
    }
    Ok(())
}

/// Starts Redis.
pub(super) fn redis(stage: &Stage) -> Result<Child, ChildError> {
    let mut command = Command::new("redis-server");
    command.arg(stage.path("redis.conf"));
    Child::start("redis-server", command, stage.path("redis.log"))
}

/// Starts the gateway: this very program, told to run.
pub(super) fn gateway(stage: &Stage) -> Result<Child, ChildError> {
    let name = "the gateway";
    let program = std::env::current_exe().map_err(|cause| ChildError::Spawn { name, cause })?;
    let mut command = Command::new(program);
    command.arg("run").arg("--config").arg(stage.path("respgate.toml"));
    Child::start(name, command, stage.path("gateway.log"))
}

/// A process that is ended when this is dropped.
#[derive(Debug)]
pub(super) struct Child {
    name: &'static str,
    process: process::Child,
    log: PathBuf,
}

impl Child {
    fn start(name: &'static str, mut command: Command, log: PathBuf) -> Result<Self, ChildError> {
        let fail = |cause| ChildError::Log { path: log.clone(), cause };
        let output = File::create(&log).map_err(fail)?;
        let errors = output.try_clone().map_err(fail)?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        // Ctrl-C reaches the foreground group: the demo alone, which then ends
        // its processes in their order.
        command.process_group(0);
        let process = command.spawn().map_err(|cause| ChildError::Spawn { name, cause })?;
        Ok(Self { name, process, log })
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Waits for `found` to give something, the process still being there.
    pub(super) fn wait_for<T>(
        &mut self,
        what: &'static str,
        timeout: Duration,
        stop: &Stop,
        mut found: impl FnMut() -> Option<T>,
    ) -> Result<T, ChildError> {
        for _ in 0..timeout.as_millis() / STEP.as_millis() {
            if let Some(found) = found() {
                return Ok(found);
            }
            self.still_runs()?;
            stop.check()?;
            thread::sleep(STEP);
        }
        let (log, tail) = (self.log.clone(), tail(&self.log));
        Err(ChildError::TooSlow { what, seconds: timeout.as_secs(), log, tail })
    }

    /// An error if it has ended.
    pub(super) fn still_runs(&mut self) -> Result<(), ChildError> {
        match self.process.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                let (log, tail) = (self.log.clone(), tail(&self.log));
                Err(ChildError::Ended { name: self.name, status, log, tail })
            }
            Err(cause) => Err(ChildError::Spawn { name: self.name, cause }),
        }
    }

    /// Asks it to end and waits; an error if it has to be killed, or fails.
    pub(super) fn end(mut self, timeout: Duration) -> Result<(), ChildError> {
        let ended = self.terminate(timeout);
        let (name, log, tail) = (self.name, self.log.clone(), tail(&self.log));
        match ended {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => Err(ChildError::BadEnd { name, status, log, tail }),
            Ok(None) => Err(ChildError::Killed { name, seconds: timeout.as_secs(), log, tail }),
            Err(cause) => Err(ChildError::Spawn { name, cause }),
        }
    }

    /// SIGTERM, then SIGKILL if there is no end in time: `None` if it came to that.
    fn terminate(&mut self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        if let Some(status) = self.process.try_wait()? {
            return Ok(Some(status));
        }
        // Not waited for yet, so its id is still its own.
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        for _ in 0..timeout.as_millis() / STEP.as_millis() {
            if let Some(status) = self.process.try_wait()? {
                return Ok(Some(status));
            }
            thread::sleep(STEP);
        }
        self.process.kill()?;
        self.process.wait()?;
        Ok(None)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // After an error; what led here is reported, not this.
        let _ = self.terminate(Duration::from_secs(3));
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    const LINES: usize = 10;
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last: Vec<String> =
        lines[lines.len().saturating_sub(LINES)..].iter().map(|line| format!("  {line}")).collect();
    last.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(dir: &Path, script: &str) -> Child {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        Child::start("sh", command, dir.join("sh.log")).unwrap()
    }

    #[test]
    fn a_process_that_ends_by_itself_is_an_error_with_the_end_of_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = shell(dir.path(), "seq 20; echo why >&2; exit 3");
        let waited = child.wait_for("ever", Duration::from_secs(10), &Stop::never(), || None::<()>);
        let error = waited.unwrap_err().to_string();
        assert!(error.starts_with("sh ended by itself (exit status: 3); the end of "), "{error}");
        assert!(
            error.ends_with("sh.log:\n  12\n  13\n  14\n  15\n  16\n  17\n  18\n  19\n  20\n  why"),
            "{error}"
        );
    }

    #[test]
    fn a_process_that_does_not_end_when_asked_to_is_killed_and_told_of() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = shell(dir.path(), "trap '' TERM; echo here; exec sleep 60");
        let here = dir.path().join("sh.log");
        let said = || fs::read(&here).is_ok_and(|log| !log.is_empty()).then_some(());
        child.wait_for("the shell", Duration::from_secs(10), &Stop::never(), said).unwrap();
        let error = child.end(Duration::from_millis(100)).unwrap_err().to_string();
        assert!(error.starts_with("sh had not ended 0 s after SIGTERM and was killed"), "{error}");
    }

    #[test]
    fn a_process_ends_when_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let child = shell(dir.path(), "exec sleep 60");
        let id = Pid::from_child(&child.process);
        drop(child);
        assert!(rustix::process::test_kill_process(id).is_err());
    }
}
