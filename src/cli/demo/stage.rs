//! The demo's directory: certificates, passwords, and the configurations of
//! Redis and of the gateway. Knows no process.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use thiserror::Error;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::cli::cert::files::{self, FileError, Pair};
use crate::cli::cert::issue::{Authority, IssueError, KeyKind, Terms};
use crate::identity::{LineError, SubjectLine};

/// Says that the files beside it are a demo's, to be made anew each time.
const MARK: &str = ".respgate-demo";

/// The longest path of a Unix socket, less its terminating zero (unix(7)).
const SOCKET_PATH_MAX: usize = 107;

/// A user of the demo: its name, in Redis too, and what it may do there.
const USERS: [(&str, &str); 2] = [("app", "~* &* +@all -@dangerous +info"), ("ops", "~* &* +@all")];

/// Why the directory could not be prepared.
#[derive(Debug, Error)]
pub(super) enum StageError {
    #[error("{path} is not empty and not a demo's directory; choose another with --dir", path = .0.display())]
    NotOurs(PathBuf),
    #[error("{path}: {cause}", path = path.display())]
    Dir { path: PathBuf, cause: io::Error },
    #[error("the socket {path} would have a path of more than {SOCKET_PATH_MAX} bytes or with control \
             characters; choose a shorter --dir", path = .0.display())]
    SocketPath(PathBuf),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Line(#[from] LineError),
    #[error("no random bytes for passwords: {0}")]
    Random(getrandom::Error),
}

/// A directory with everything that Redis, the gateway and the clients need.
#[derive(Debug)]
pub(super) struct Stage {
    /// As the user wrote it: this is what is shown.
    dir: PathBuf,
    socket: PathBuf,
    remove: bool,
}

impl Stage {
    /// Prepares `dir`, which is made if it is not there.
    pub(super) fn at(dir: &Path, port: u16) -> Result<Self, StageError> {
        let fail = |cause| StageError::Dir { path: dir.to_owned(), cause };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fail)?;
        let is_empty = fs::read_dir(dir).map_err(fail)?.next().is_none();
        if !is_empty && !dir.join(MARK).exists() {
            return Err(StageError::NotOurs(dir.to_owned()));
        }
        Self::prepare(dir, port, false)
    }

    /// Prepares a directory of its own, which goes when the stage does.
    pub(super) fn temporary(port: u16) -> Result<Self, StageError> {
        let dir = std::env::temp_dir().join(format!("respgate-demo-{}", &random_hex()?[..12]));
        let made = fs::DirBuilder::new().mode(0o700).create(&dir);
        made.map_err(|cause| StageError::Dir { path: dir.clone(), cause })?;
        Self::prepare(&dir, port, true)
    }

    fn prepare(dir: &Path, port: u16, remove: bool) -> Result<Self, StageError> {
        let absolute =
            fs::canonicalize(dir).map_err(|cause| StageError::Dir { path: dir.to_owned(), cause })?;
        let stage = Self { dir: dir.to_owned(), socket: absolute.join("redis.sock"), remove };
        let shown = stage.socket.to_str().filter(|path| !path.contains(char::is_control));
        if shown.is_none_or(|path| path.len() > SOCKET_PATH_MAX) {
            return Err(StageError::SocketPath(stage.socket.clone()));
        }
        stage.put(MARK, "Made by respgate demo, which writes these files anew each time.\n", 0o644)?;
        stage.certificates()?;
        stage.redis()?;
        stage.gateway(port)?;
        Ok(stage)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Whether Redis takes connections.
    pub(super) fn redis_is_up(&self) -> bool {
        UnixStream::connect(&self.socket).is_ok()
    }

    fn put(&self, name: &str, text: &str, mode: u32) -> Result<(), FileError> {
        files::write(&self.path(name), text.as_bytes(), mode, true)
    }

    #[allow(clippy::disallowed_methods, reason = "certificates are valid from now on")]
    fn certificates(&self) -> Result<(), StageError> {
        let terms = Terms {
            lasts: time::Duration::days(30),
            key: KeyKind::EcdsaP256,
            now: OffsetDateTime::now_utc(),
        };
        let write = |name: &str, issued| Pair::in_dir(&self.dir, name).write(&issued, true);
        let (authority, issued) = Authority::create(&"CN=respgate demo CA".parse::<SubjectLine>()?, &terms)?;
        write("ca", issued)?;
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        write("server", authority.server(&"CN=localhost".parse()?, &names, &terms)?)?;
        for name in ["app", "ops", "stranger"] {
            write(name, authority.client(&format!("CN={name},O=Acme").parse()?, &terms)?)?;
        }
        Ok(())
    }

    fn redis(&self) -> Result<(), StageError> {
        let mut acl = "user default off\n".to_owned();
        for (name, rules) in USERS {
            let password = random_hex()?;
            self.put(&format!("{name}.password"), &password, 0o600)?;
            let hash = hex(digest(&SHA256, password.as_bytes()).as_ref());
            acl += &format!("user {name} on #{hash} {rules}\n");
        }
        self.put("redis.acl", &acl, 0o600)?;
        let dir = self.socket.parent().unwrap_or(&self.socket);
        let configuration = format!(
            "port 0\nunixsocket {socket}\nunixsocketperm 700\naclfile {acl}\ndir {dir}\nsave \"\"\nappendonly no\n",
            socket = redis_text(&self.socket),
            acl = redis_text(&dir.join("redis.acl")),
            dir = redis_text(dir),
        );
        self.put("redis.conf", &configuration, 0o600)?;
        // Left by a Redis that was killed; a new one would refuse the place.
        match fs::remove_file(&self.socket) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(StageError::Dir { path: self.socket.clone(), cause })
            }
            _ => Ok(()),
        }
    }

    fn gateway(&self, port: u16) -> Result<(), StageError> {
        let socket = toml::Value::from(format!("unix:{}", self.socket.display()));
        let mut text = format!(
            r#"# Made by respgate demo. Paths are relative to this file.

[listener]
address = "127.0.0.1:{port}"
certificate = "server.crt"
key = "server.key"
client_ca = "ca.crt"

[database]
address = {socket}
"#
        );
        for (name, _) in USERS {
            text += &format!(
                r#"
[[user]]
name = "{name}"
auth_method = "certificate"
certificate_subject_line = "CN={name},O=Acme"
redis_user = "{name}"
redis_password_file = "{name}.password"
"#
            );
        }
        text += r#"
[admin]
address = "127.0.0.1:0"

[log]
format = "json"

[audit]
file = "audit.jsonl"
"#;
        self.put("respgate.toml", &text, 0o644)?;
        // One demo's records, so that a reference leads to one line.
        self.put("audit.jsonl", "", 0o600)?;
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.remove
            && let Err(cause) = fs::remove_dir_all(&self.dir)
        {
            eprintln!("respgate demo: {} could not be removed: {cause}", self.dir.display());
        }
    }
}

/// 24 random bytes in hexadecimal.
fn random_hex() -> Result<Zeroizing<String>, StageError> {
    let mut bytes = Zeroizing::new([0; 24]);
    getrandom::fill(&mut *bytes).map_err(StageError::Random)?;
    Ok(Zeroizing::new(hex(&*bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A path as Redis reads it in its configuration: in quotes, C-like escapes.
fn redis_text(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output};
    use std::time::Duration;

    use super::super::child;
    use super::super::stop::Stop;
    use super::*;

    fn redis_cli(stage: &Stage, user: Option<&str>, command: &[&str]) -> String {
        let mut cli = Command::new("redis-cli");
        cli.env_remove("REDISCLI_AUTH").arg("-s").arg(stage.socket());
        if let Some(user) = user {
            let password = fs::read_to_string(stage.path(&format!("{user}.password"))).unwrap();
            cli.args(["--no-auth-warning", "--user", user, "--pass", &password]);
        }
        let Output { stdout, .. } = cli.args(command).output().expect("redis-cli: run make test");
        String::from_utf8(stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn redis_takes_its_configuration_and_knows_the_two_users_and_nobody_else() {
        let parent = tempfile::tempdir().unwrap();
        // As awkward as a path may be.
        let stage = Stage::at(&parent.path().join("a \"demo\" \\ dir"), 0).unwrap();
        let mut redis = child::redis(&stage).unwrap();
        let up = || stage.redis_is_up().then_some(());
        redis.wait_for("Redis", Duration::from_secs(20), &Stop::never(), up).unwrap();
        assert_eq!(redis_cli(&stage, Some("app"), &["ACL", "WHOAMI"]), "app");
        assert_eq!(redis_cli(&stage, Some("ops"), &["ACL", "WHOAMI"]), "ops");
        assert_eq!(redis_cli(&stage, None, &["PING"]), "NOAUTH Authentication required.");
        let denied = redis_cli(&stage, Some("app"), &["FLUSHALL"]);
        assert!(denied.starts_with("NOPERM "), "{denied}");
        redis.end(Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn the_gateway_takes_its_configuration_without_a_warning() {
        let parent = tempfile::tempdir().unwrap();
        let stage = Stage::at(&parent.path().join("a \"demo\" \\ dir"), 0).unwrap();
        let loaded = crate::config::load(&stage.path("respgate.toml")).unwrap_or_else(|all| panic!("{all}"));
        assert!(loaded.warnings.list.is_empty(), "{}", loaded.warnings);
        assert_eq!(
            loaded.settings.databases[0].location,
            crate::io::Location::Address(crate::io::Address::Unix(stage.socket().to_owned()))
        );
        assert_eq!(loaded.settings.users.users().len(), 2);
    }

    #[test]
    fn a_directory_of_somebody_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.key"), "precious").unwrap();
        let error = Stage::at(dir.path(), 0).unwrap_err();
        assert!(matches!(error, StageError::NotOurs(_)), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_demo_may_be_repeated_in_its_directory_with_new_passwords() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("demo");
        let password = |stage: Stage| fs::read(stage.path("app.password")).unwrap();
        let first = password(Stage::at(&dir, 0).unwrap());
        assert_ne!(first, password(Stage::at(&dir, 0).unwrap()));
    }

    #[test]
    fn a_temporary_directory_goes_with_its_stage() {
        let stage = Stage::temporary(0).unwrap();
        let dir = stage.dir().to_owned();
        assert!(dir.join("respgate.toml").exists());
        drop(stage);
        assert!(!dir.exists());
    }

    #[test]
    fn a_socket_path_that_does_not_fit_is_an_error_before_redis_says_so() {
        let parent = tempfile::tempdir().unwrap();
        let error = Stage::at(&parent.path().join("x".repeat(120)), 0).unwrap_err().to_string();
        assert!(
            error.contains("more than 107 bytes") && error.ends_with("choose a shorter --dir"),
            "{error}"
        );
    }
}
