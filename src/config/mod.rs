//! The configuration: a TOML file in, settings that can run out, or all of its
//! problems at once.
//!
//! ```text
//! file on disk -> source (spans) -> file (as written) -> check -> Settings
//!                        |                  |              |
//!                        +------------------+--------------+--> Problems
//! ```
//!
//! Every file that the configuration names is read once, into memory, while it
//! is checked: what was checked is what runs. No problem's text carries a value
//! that may be a secret.

mod auth;
mod cause;
mod certificates;
mod check;
mod cluster;
mod cluster_cause;
mod credential_cause;
mod database;
mod database_cause;
mod destinations;
mod file;
mod gate;
mod identity_cause;
mod keys;
pub mod keystore;
mod legacy;
mod limits;
mod log;
mod login;
mod material;
mod modes;
mod password_command;
mod pipe;
#[cfg_attr(not(feature = "pkcs12"), path = "pkcs12_absent.rs")]
mod pkcs12;
mod problem;
mod provisioning;
mod realms;
mod recognition;
mod replicas;
mod role_cause;
mod roles;
mod rules;
mod secret_cause;
mod secrets;
mod sentinel;
mod sentinel_cause;
mod source;
mod trust;
mod users;
mod ways;

use std::ffi::OsString;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::io::Settings;
pub use cause::Cause;
pub use cluster_cause::ClusterCause;
pub use credential_cause::CredentialCause;
pub use identity_cause::IdentityCause;
pub(crate) use pipe::open;
pub use problem::{At, Line, Listed, Problem, Problems, Severity};
pub use role_cause::{Elsewhere, RoleCause};
pub use secret_cause::SecretCause;
pub use secrets::Keys;

/// Names the file with the keystore's password in it.
pub const KEYSTORE_PASSWORD_FILE_VARIABLE: &str = "RESPGATE_KEYSTORE_PASSWORD_FILE";
/// Is the keystore's password.
pub const KEYSTORE_PASSWORD_VARIABLE: &str = "RESPGATE_KEYSTORE_PASSWORD";

/// A configuration that can run.
#[derive(Debug)]
pub struct Loaded {
    /// What runs.
    pub settings: Settings,
    /// What somebody should look at; only warnings.
    pub warnings: Problems,
}

/// What a configuration depends on besides files, so that tests can say it.
pub struct Surroundings<'a> {
    /// Looks up an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// Seconds since 1970, to tell whether a certificate has expired.
    pub now: i64,
    /// Cores that this process may use.
    pub cores: usize,
}

/// Reads, checks and builds the settings that the file at `path` describes.
///
/// # Errors
/// All problems that were found, warnings among them, if one of them is an error.
#[allow(clippy::disallowed_methods, reason = "whether a certificate has expired is asked of the present")]
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    load_in(
        path,
        &Surroundings {
            variable: &|name| std::env::var_os(name),
            now: i64::try_from(now).unwrap_or(i64::MAX),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        },
    )
}

/// As `load`, with the given surroundings.
///
/// # Errors
/// As `load`.
pub fn load_in(path: &Path, surroundings: &Surroundings<'_>) -> Result<Loaded, Problems> {
    let mut notes = problem::Notes::default();
    let settings = check::settings(path, surroundings, &mut notes);
    let problems = notes.into_problems(path);
    match settings {
        Some(settings) if !problems.has_errors() => Ok(Loaded { settings, warnings: problems }),
        _ => Err(problems),
    }
}
