//! What can be wrong with a configuration: one variant a cause, with the value
//! that was found, what was expected, and a way out where there is one.
//!
//! No variant carries a password, a line of the file, or bytes of a key file.

use std::fmt;
use std::path::PathBuf;

use super::identity_cause::IdentityCause;
use crate::identity::{EntryError, LineError, Lint, MapError};

/// Longer values are cut where they are shown.
const SHOWN_CHARS_MAX: usize = 100;

/// One thing that is wrong or doubtful.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the error texts say what the variants and their fields are")]
pub enum Cause {
    // The file and its keys.
    #[error("not TOML: {why}")]
    Syntax { why: String },
    #[error("the file is not UTF-8 text")]
    NotText,
    #[error("unknown key")]
    UnknownKey { near: Vec<&'static str>, known: Vec<&'static str> },
    #[error("missing")]
    Missing { like: &'static str },
    #[error("found {found}, expected {expected}")]
    WrongKind { found: &'static str, expected: &'static str },
    #[error("found a number that is negative or too large, expected a whole number from 0")]
    NotNatural,
    #[error("found an empty list, expected at least one")]
    EmptyList,
    #[error("found {}, expected {}", Shown(found), Words(expected))]
    NotOneOf { found: String, expected: Vec<&'static str> },

    // Numbers.
    #[error("found {found}, expected {least} to {most}")]
    OutOfRange { found: u64, least: u64, most: u64 },
    #[error("{small} is {found}, expected at most {large}, which is {most}")]
    OutOfOrder { small: &'static str, found: u64, large: &'static str, most: u64 },

    // Addresses.
    #[error("found {}, expected an IP address and a port", Shown(found))]
    BadSocketAddress { found: String },
    #[error("found {}, expected host:port or unix:/path", Shown(found))]
    BadBackendAddress { found: String },
    #[error("the path of the socket has {bytes} bytes, expected at most {most}")]
    LongSocketPath { bytes: usize, most: usize },
    #[error("{found} can be reached from other machines, expected a loopback address")]
    NotLoopback { found: std::net::SocketAddr },
    #[error("found {}, expected a log filter: {why}", Shown(found))]
    BadLogLevel { found: String, why: String },

    // Files that the configuration names.
    #[error("cannot read {}: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("{} is larger than {most} bytes", path.display())]
    TooLarge { path: PathBuf, most: usize },
    #[error("cannot write {}: {why}", path.display())]
    Unwritable { path: PathBuf, why: String },
    #[error("{} can be read or written by others than its owner (mode {mode:04o})", path.display())]
    ReadableSecret { path: PathBuf, mode: u32 },
    #[error("{} is not readable as PEM: {why}", path.display())]
    BadPem { path: PathBuf, why: &'static str },
    #[error("{} has no certificate in it", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{} has no private key in it", path.display())]
    NoKey { path: PathBuf },
    #[error("{} has {count} private keys in it, expected one", path.display())]
    SeveralKeys { path: PathBuf, count: usize },
    #[error("the private key in {} is encrypted", path.display())]
    EncryptedKey { path: PathBuf },
    #[error("the key in {} cannot be used", path.display())]
    UnusableKey { path: PathBuf },
    #[error("the key in {} does not belong to the first certificate in {}", path.display(), certificate.display())]
    KeyMismatch { path: PathBuf, certificate: PathBuf },
    #[error("certificate {number} in {} cannot be used: {why}", path.display())]
    BadCertificate { path: PathBuf, number: usize, why: String },
    #[error("certificate {number} in {} has an RSA key of {bits} bits, expected at least {least}", path.display())]
    WeakKey { path: PathBuf, number: usize, bits: usize, least: usize },
    #[error("certificate {number} in {} is not a CA's", path.display())]
    NotCa { path: PathBuf, number: usize },
    #[error("certificate {number} in {} expired on {on}", path.display())]
    CertificateExpired { path: PathBuf, number: usize, on: String },
    #[error("CA certificate {number} in {} expired on {on}", path.display())]
    CaExpired { path: PathBuf, number: usize, on: String },
    #[error("certificate {number} in {} expires on {on}", path.display())]
    CertificateExpires { path: PathBuf, number: usize, on: String },
    #[error("certificate {number} in {} is not valid before {on}", path.display())]
    CertificateNotYetValid { path: PathBuf, number: usize, on: String },
    #[error("the TLS settings cannot be used: {why}")]
    UnusableTls { why: String },

    // Users.
    #[error("no user: every certificate will be refused")]
    NoUser,
    #[error("found {}, expected 1 to 128 of A-Z a-z 0-9 _ . : @ / -", Shown(found))]
    BadName { found: String },
    #[error("found {}, expected the name of a Redis ACL user", Shown(found))]
    BadRedisUser { found: String },
    #[error("no password")]
    NoPassword,
    #[error("a second source of the password, expected only one")]
    SecondPassword,
    #[error("the password in {} is empty", path.display())]
    EmptyPasswordFile { path: PathBuf },
    #[error("the password is empty")]
    EmptyPassword,
    #[error("not the name of an environment variable, expected letters, digits and underscores")]
    BadVariableName,
    #[error("the environment variable {} is not set", Shown(name))]
    UnsetVariable { name: String },
    #[error("the environment variable {} is empty", Shown(name))]
    EmptyVariable { name: String },
    #[error("the password stands in the configuration file")]
    InlinePassword,
    #[error("found {}, expected \"default\", \"all\" or a list of command names", Shown(found))]
    BadCommands { found: String },
    #[error("found {}, expected a command name such as \"debug\" or \"config|set\"", Shown(found))]
    BadCommand { found: String },
    #[error(transparent)]
    Line(#[from] LineError),
    #[error(transparent)]
    Map(#[from] MapError),
    #[error("{0}")]
    Lint(Lint),
    #[error(transparent)]
    Identity(#[from] IdentityCause),
}

impl From<EntryError> for Cause {
    fn from(error: EntryError) -> Self {
        Self::Identity(error.into())
    }
}

impl Cause {
    /// The name of the cause, which does not change from version to version.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "syntax",
            Self::NotText => "not_text",
            Self::UnknownKey { .. } => "unknown_key",
            Self::Missing { .. } => "missing_key",
            Self::WrongKind { .. } => "wrong_kind",
            Self::NotNatural => "not_natural",
            Self::EmptyList => "empty_list",
            Self::NotOneOf { .. } => "not_one_of",
            Self::OutOfRange { .. } => "out_of_range",
            Self::OutOfOrder { .. } => "out_of_order",
            Self::BadSocketAddress { .. } => "socket_address",
            Self::BadBackendAddress { .. } => "backend_address",
            Self::LongSocketPath { .. } => "long_socket_path",
            Self::NotLoopback { .. } => "not_loopback",
            Self::BadLogLevel { .. } => "log_level",
            Self::Unreadable { .. } => "unreadable_file",
            Self::TooLarge { .. } => "large_file",
            Self::Unwritable { .. } => "unwritable_file",
            Self::ReadableSecret { .. } => "readable_secret",
            Self::BadPem { .. } => "pem",
            Self::NoCertificate { .. } => "no_certificate",
            Self::NoKey { .. } => "no_key",
            Self::SeveralKeys { .. } => "several_keys",
            Self::EncryptedKey { .. } => "encrypted_key",
            Self::UnusableKey { .. } => "unusable_key",
            Self::KeyMismatch { .. } => "key_mismatch",
            Self::BadCertificate { .. } => "unusable_certificate",
            Self::WeakKey { .. } => "weak_key",
            Self::NotCa { .. } => "not_ca",
            Self::CertificateExpired { .. } => "certificate_expired",
            Self::CaExpired { .. } => "ca_expired",
            Self::CertificateExpires { .. } => "certificate_expires_soon",
            Self::CertificateNotYetValid { .. } => "certificate_not_yet_valid",
            Self::UnusableTls { .. } => "unusable_tls",
            Self::NoUser => "no_user",
            Self::BadName { .. } => "user_name",
            Self::BadRedisUser { .. } => "redis_user",
            Self::NoPassword => "no_password",
            Self::SecondPassword => "second_password",
            Self::EmptyPasswordFile { .. } | Self::EmptyPassword | Self::EmptyVariable { .. } => {
                "empty_password"
            }
            Self::BadVariableName => "variable_name",
            Self::UnsetVariable { .. } => "unset_variable",
            Self::InlinePassword => "inline_password",
            Self::BadCommands { .. } => "commands",
            Self::BadCommand { .. } => "command_name",
            Self::Line(_) => "subject_line",
            Self::Map(MapError::Duplicate { is_subject: true, .. }) => "duplicate_subject",
            Self::Map(MapError::Duplicate { is_subject: false, .. }) => "duplicate_rule",
            Self::Map(MapError::DuplicateUser { .. }) => "duplicate_user",
            Self::Map(MapError::NoEntry { .. }) => "no_entry",
            Self::Lint(lint) => lint.advice.as_str(),
            Self::Identity(cause) => cause.id(),
        }
    }

    /// What to do about it, if that can be said in a sentence.
    #[must_use]
    pub fn way_out(&self) -> Option<String> {
        Some(match self {
            Self::Syntax { .. } => "nothing else was checked: correct this first".to_owned(),
            Self::UnknownKey { near, known } if near.is_empty() => format!("known here: {}", known.join(", ")),
            Self::UnknownKey { near, .. } => format!("did you mean {}?", near.join(" or ")),
            Self::Missing { like } => format!("for example: {like}"),
            Self::NotNatural => "write 0 or more, without a sign, a fraction or a unit".to_owned(),
            Self::BadSocketAddress { .. } => "for example: \"0.0.0.0:6380\" or \"[::]:6380\"".to_owned(),
            Self::BadBackendAddress { .. } => {
                "for example: \"127.0.0.1:6379\", \"[::1]:6379\", \"redis.internal:6379\" or \"unix:/run/redis.sock\""
                    .to_owned()
            }
            Self::NotLoopback { .. } => {
                "metrics and health are served without TLS or password: use 127.0.0.1 or [::1]".to_owned()
            }
            Self::BadLogLevel { .. } => "for example: \"info\" or \"warn,respgate=debug\"".to_owned(),
            Self::Unreadable { .. } => "relative paths start at the configuration file's directory".to_owned(),
            Self::ReadableSecret { path, .. } => {
                format!("run: chmod 600 {}; or set allow_readable_secrets = true", Shell(path))
            }
            Self::NoKey { .. } => "expected a section that begins with -----BEGIN PRIVATE KEY-----".to_owned(),
            Self::EncryptedKey { path } => {
                format!("decrypt it: umask 077; openssl pkcs8 -topk8 -nocrypt -in {} -out decrypted.key", Shell(path))
            }
            Self::UnusableKey { .. } => {
                "expected RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519".to_owned()
            }
            Self::KeyMismatch { .. } => {
                "the server's own certificate comes first in its file, then those that issued it".to_owned()
            }
            Self::NotCa { .. } => "list the CA that issued the clients' certificates, not one of these".to_owned(),
            Self::CertificateExpired { .. } => {
                "clients that verify it refuse to connect: replace it, or check this machine's clock".to_owned()
            }
            Self::CaExpired { .. } => {
                "certificates that it issued are accepted until their own end: remove it if none are in use".to_owned()
            }
            Self::CertificateNotYetValid { .. } => "replace it, or check this machine's clock".to_owned(),
            Self::CertificateExpires { .. } => "replace it, then reload with SIGHUP".to_owned(),
            Self::NoPassword => {
                "for example: redis_password_file = \"app.password\" or redis_password_env = \"APP_PASSWORD\"".to_owned()
            }
            Self::BadVariableName => {
                "the key takes a name such as \"APP_PASSWORD\"; the password itself stands in the environment".to_owned()
            }
            Self::SecondPassword => {
                "keep one of redis_password_file, redis_password_env and redis_password".to_owned()
            }
            Self::InlinePassword => {
                "whoever reads the file reads it: use redis_password_file or redis_password_env".to_owned()
            }
            Self::NoUser => "add a [[user]] section".to_owned(),
            Self::Identity(cause) => return cause.way_out(),
            _ => return None,
        })
    }
}

/// A value in quotes, its control characters escaped and its end cut if it is long.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(SHOWN_CHARS_MAX) {
            Some((end, _)) => write!(f, "{:?}...", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}

/// Words as a choice: "a" or "b".
struct Words<'a>(&'a [&'static str]);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.0.iter().enumerate() {
            let before = if index == 0 { "" } else { " or " };
            write!(f, "{before}{word:?}")?;
        }
        Ok(())
    }
}

/// A path as one word of a shell command.
struct Shell<'a>(&'a std::path::Path);

impl fmt::Display for Shell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.display().to_string();
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
        if path.chars().all(plain) {
            return f.write_str(&path);
        }
        write!(f, "'{}'", path.replace('\'', r"'\''"))
    }
}
