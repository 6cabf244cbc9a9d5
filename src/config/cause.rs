//! What can be wrong with a configuration: one variant a cause, with the value
//! that was found, what was expected, and a way out where there is one.
//!
//! No variant carries a password, a line of the file, or bytes of a key file.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::cluster_cause::ClusterCause;
use super::credential_cause::CredentialCause;
use super::database_cause::DatabaseCause;
use super::identity_cause::IdentityCause;
use super::log::LEVELS;
use super::role_cause::{Elsewhere, RoleCause};
use super::secret_cause::SecretCause;
use super::sentinel_cause::SentinelCause;
use crate::identity::{EntryError, HashError, LineError, Lint, MapError};
use crate::io::tls::CrlError;

/// Longer values are cut where they are shown.
const SHOWN_CHARS_MAX: usize = 100;

/// Characters of a listener's name: it is a label of metrics.
pub(super) const LISTENER_NAME_MAX: usize = 64;

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
    #[error("not a key of respgate")]
    LegacyKey { instead: &'static str },
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
    NotLoopback { found: SocketAddr },
    #[error("found {}, expected a log filter: {why}", Shown(found))]
    BadLogLevel { found: String, why: String },
    #[error("found {}, expected {}", Shown(found), Words(LEVELS))]
    UnknownLogLevel { found: String, near: Vec<&'static str> },
    #[error("nothing that writes to the log is called {}", Shown(found))]
    UnknownLogTarget { found: String, near: Vec<&'static str> },

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
    #[error("certificate {number} in {} is a CA's (CA:TRUE), which nobody is let in with", path.display())]
    PinnedCa { path: PathBuf, number: usize },
    #[error("certificate {number} in {} expired on {on}: its client is refused", path.display())]
    PinnedExpired { path: PathBuf, number: usize, on: String },
    #[error("certificate {number} in {} is signed with MD5 or SHA-1", path.display())]
    WeakHash { path: PathBuf, number: usize },
    #[error("{} has no CRL in it", path.display())]
    NoCrl { path: PathBuf },
    #[error("CRL {number} in {} cannot be used: {why}", path.display())]
    BadCrl { path: PathBuf, number: usize, why: CrlError },
    #[error("CRL {number} in {} ended on {on}", path.display())]
    CrlExpired { path: PathBuf, number: usize, on: String },
    #[error("CRL {number} in {} ends on {on}", path.display())]
    CrlExpires { path: PathBuf, number: usize, on: String },
    #[error("CRL {number} in {} has the name of {} and was not signed by it", path.display(), Shown(issuer))]
    CrlOfAnother { path: PathBuf, number: usize, issuer: String },
    #[error("certificates signed with SHA-1 or MD5 are never accepted")]
    WeakHashing,
    #[error("clients may come in with an expired certificate")]
    ExpiredAllowed,
    #[error("found {}, expected 1 to {LISTENER_NAME_MAX} of A-Z a-z 0-9 _ . -", Shown(found))]
    BadListenerName { found: String },
    #[error("the listener name {} is taken by an earlier listener", Shown(found))]
    DuplicateListener { found: String },
    #[error("{found} cannot be listened on: the listener at {by} has it")]
    DuplicateAddress { found: SocketAddr, by: SocketAddr },
    #[error("{found} can be listened on beside {by} only if net.ipv6.bindv6only is set")]
    BothFamilies { found: SocketAddr, by: SocketAddr },
    #[error("the TLS settings cannot be used: {why}")]
    UnusableTls { why: String },

    #[error(transparent)]
    Secret(SecretCause),

    // Users.
    #[error("no user: every certificate will be refused")]
    NoUser,
    #[error("found {}, expected 1 to 128 of A-Z a-z 0-9 _ . : @ / -", Shown(found))]
    BadName { found: String },
    #[error("found {}, expected the name of a Redis ACL user", Shown(found))]
    BadRedisUser { found: String },
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
    #[error("found {}, expected \"default\", \"all\" or a list of command names", Shown(found))]
    BadCommands { found: String },
    #[error("found {}, expected a command name such as \"debug\" or \"config|set\"", Shown(found))]
    BadCommand { found: String },
    #[error("{} is no guarded command: to list it changes nothing", Shown(found))]
    UnguardedCommand { found: String, near: Vec<&'static str> },
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error("user \"default\" would be Redis' user of that name, for which any password may be right")]
    DefaultUser,
    #[error("a second hash of the password, expected only one")]
    SecondHash,
    #[error("a password, but auth_method is \"certificate\"")]
    PasswordOfCertificateUser,
    #[error("this is about a certificate, but auth_method is \"password\"")]
    LineOfPasswordUser,
    #[error(
        "no realm of the listener checks the password of {} (verify = {verify:?}): nobody can be this user",
        Shown(name)
    )]
    UnheardPassword { name: String, verify: &'static str },

    // Realms.
    #[error("no [[realm]] is named {}", Shown(name))]
    UnknownRealm { name: String },
    #[error("the realm {} is there twice", Shown(name))]
    RealmTwice { name: String },
    #[error("the realm {} is in no listener's realms: it recognises nobody", Shown(name))]
    InactiveRealm { name: String },
    #[error("clients are not asked for a certificate, but a realm looks at certificates")]
    UnaskedCertificates,
    #[error("a client without a certificate can only be refused: no realm looks at passwords")]
    NothingElse,
    #[error(transparent)]
    Line(#[from] LineError),
    #[error(transparent)]
    Map(#[from] MapError),
    #[error("{0}")]
    Lint(Lint),
    #[error(transparent)]
    Identity(#[from] IdentityCause),
    #[error(transparent)]
    Role(#[from] RoleCause),
    #[error(transparent)]
    Database(#[from] DatabaseCause),
    #[error(transparent)]
    Sentinel(#[from] SentinelCause),
    #[error(transparent)]
    Cluster(#[from] ClusterCause),
    #[error(transparent)]
    Credential(CredentialCause),
    #[error("{0}")]
    Elsewhere(Box<Elsewhere>),
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
            Self::LegacyKey { .. } => "legacy_key",
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
            Self::BadLogLevel { .. } | Self::UnknownLogLevel { .. } => "log_level",
            Self::UnknownLogTarget { .. } => "log_target",
            Self::Unreadable { .. } => "unreadable_file",
            Self::TooLarge { .. } => "large_file",
            Self::Unwritable { .. } => "unwritable_file",
            Self::ReadableSecret { .. } => "readable_secret",
            Self::BadPem { .. } => "pem",
            Self::NoCertificate { .. } => "no_certificate",
            Self::NoKey { .. } => "no_key",
            Self::SeveralKeys { .. } => "several_keys",
            Self::UnusableKey { .. } => "unusable_key",
            Self::KeyMismatch { .. } => "key_mismatch",
            Self::BadCertificate { .. } => "unusable_certificate",
            Self::WeakKey { .. } => "weak_key",
            Self::NotCa { .. } => "not_ca",
            Self::CertificateExpired { .. } => "certificate_expired",
            Self::CaExpired { .. } => "ca_expired",
            Self::CertificateExpires { .. } => "certificate_expires_soon",
            Self::CertificateNotYetValid { .. } => "certificate_not_yet_valid",
            Self::PinnedCa { .. } => "pinned_ca",
            Self::PinnedExpired { .. } => "pinned_expired",
            Self::WeakHash { .. } => "weak_hash",
            Self::NoCrl { .. } => "no_crl",
            Self::BadCrl { .. } => "unusable_crl",
            Self::CrlExpired { .. } => "crl_expired",
            Self::CrlExpires { .. } => "crl_expires_soon",
            Self::CrlOfAnother { .. } => "crl_of_another_issuer",
            Self::WeakHashing => "weak_hashing",
            Self::ExpiredAllowed => "expired_allowed",
            Self::BadListenerName { .. } => "listener_name",
            Self::DuplicateListener { .. } => "duplicate_listener",
            Self::DuplicateAddress { .. } => "duplicate_address",
            Self::BothFamilies { .. } => "duplicate_address_by_family",
            Self::UnusableTls { .. } => "unusable_tls",
            Self::Secret(cause) => cause.id(),
            Self::NoUser => "no_user",
            Self::BadName { .. } => "user_name",
            Self::BadRedisUser { .. } => "redis_user",
            Self::EmptyPasswordFile { .. } | Self::EmptyPassword | Self::EmptyVariable { .. } => {
                "empty_password"
            }
            Self::BadVariableName => "variable_name",
            Self::UnsetVariable { .. } => "unset_variable",
            Self::BadCommands { .. } => "commands",
            Self::BadCommand { .. } => "command_name",
            Self::UnguardedCommand { .. } => "unguarded_command",
            Self::Hash(_) => "password_hash",
            Self::DefaultUser => "default_user",
            Self::SecondHash => "second_password_hash",
            Self::PasswordOfCertificateUser => "password_of_certificate_user",
            Self::LineOfPasswordUser => "subject_of_password_user",
            Self::UnheardPassword { .. } => "unchecked_password",
            Self::UnknownRealm { .. } => "unknown_realm",
            Self::RealmTwice { .. } => "realm_twice",
            Self::InactiveRealm { .. } => "inactive_realm",
            Self::UnaskedCertificates => "certificates_not_asked_for",
            Self::NothingElse => "client_auth_without_password",
            Self::Line(_) => "subject_line",
            Self::Map(MapError::Duplicate { is_subject: true, .. }) => "duplicate_subject",
            Self::Map(MapError::Duplicate { is_subject: false, .. }) => "duplicate_rule",
            Self::Map(MapError::DuplicateUser { .. }) => "duplicate_user",
            Self::Lint(lint) => lint.advice.as_str(),
            Self::Identity(cause) => cause.id(),
            Self::Role(cause) => cause.id(),
            Self::Database(cause) => cause.id(),
            Self::Sentinel(cause) => cause.id(),
            Self::Cluster(cause) => cause.id(),
            Self::Credential(cause) => cause.id(),
            Self::Elsewhere(elsewhere) => elsewhere.cause.id(),
        }
    }

    /// What to do about it, if that can be said in a sentence.
    #[must_use]
    pub fn way_out(&self) -> Option<String> {
        Some(match self {
            Self::Syntax { .. } => "nothing else was checked: correct this first".to_owned(),
            Self::UnknownKey { near, known } if near.is_empty() => format!("known here: {}", known.join(", ")),
            Self::UnknownKey { near, .. }
            | Self::UnknownLogLevel { near, .. }
            | Self::UnknownLogTarget { near, .. }
            | Self::UnguardedCommand { near, .. }
                if !near.is_empty() =>
            {
                format!("did you mean {}?", near.join(" or "))
            }
            Self::LegacyKey { instead } => format!("use {instead}"),
            Self::Role(cause) => return cause.way_out(),
            Self::Elsewhere(elsewhere) => return elsewhere.cause.way_out(),
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
            Self::BadLogLevel { .. } | Self::UnknownLogLevel { .. } | Self::UnknownLogTarget { .. } => "for example: \"info\" or \"warn,respgate=debug\"".to_owned(),
            Self::UnguardedCommand { .. } => "remove it: only guarded commands wait for being listed".to_owned(),
            Self::Unreadable { .. } => "relative paths start at the configuration file's directory".to_owned(),
            Self::ReadableSecret { path, .. } => {
                format!("run: chmod 600 {}; or set allow_readable_secrets = true", Shell(path))
            }
            Self::NoKey { .. } => "expected a section that begins with -----BEGIN PRIVATE KEY-----".to_owned(),
            Self::UnusableKey { .. } => {
                "expected RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519".to_owned()
            }
            Self::KeyMismatch { .. } => {
                "the server's own certificate comes first in its file, then those that issued it".to_owned()
            }
            Self::NotCa { .. } => "list the CA that issued the clients' certificates, not one of these".to_owned(),
            Self::PinnedCa { path, .. } => format!(
                "if {} is a CA, list it in client_ca; if it is one client's, make it anew with CA:FALSE \
                 (openssl req -x509 ... -addext basicConstraints=critical,CA:FALSE)",
                Shell(path)
            ),
            Self::WeakHash { .. } => "have it signed anew with SHA-256".to_owned(),
            Self::NoCrl { .. } => {
                "expected DER, or a section that begins with -----BEGIN X509 CRL-----".to_owned()
            }
            Self::BadCrl { .. } => {
                "have its CA issue a full CRL of its own certificates (version 2, nextUpdate, CRL number), \
                 for all reasons"
                    .to_owned()
            }
            Self::CrlExpired { .. } => {
                "clients of its CA are refused (crl_expired = \"deny\"): get the present one, then reload".to_owned()
            }
            Self::CrlExpires { .. } => {
                "from then on clients of its CA are refused: get the next one in time, then reload".to_owned()
            }
            Self::CrlOfAnother { .. } => {
                "another CA of the same name has issued it, or a key of long ago: get the CRL of the CA in client_ca"
                    .to_owned()
            }
            Self::WeakHashing => "remove the key, and have such certificates signed anew with SHA-256".to_owned(),
            Self::ExpiredAllowed => {
                "meant for a short time only: replace those certificates, then remove allow_expired_certificates"
                    .to_owned()
            }
            Self::DuplicateListener { .. } => {
                "give each [[listener]] a name of its own, for example: name = \"apps\"".to_owned()
            }
            Self::BothFamilies { .. } => "[::] stands for all addresses, those of IPv4 included".to_owned(),
            Self::CertificateExpired { .. } => {
                "clients that verify it refuse to connect: replace it, or check this machine's clock".to_owned()
            }
            Self::CaExpired { .. } => {
                "certificates that it issued are accepted until their own end: remove it if none are in use".to_owned()
            }
            Self::CertificateNotYetValid { .. } => "replace it, or check this machine's clock".to_owned(),
            Self::CertificateExpires { .. } => "replace it, then reload with SIGHUP".to_owned(),
            Self::BadVariableName => {
                "the key takes a name such as \"APP_PASSWORD\"; the password itself stands in the environment".to_owned()
            }
            Self::Secret(cause) => return cause.way_out(),
            Self::Hash(_) => {
                "make one by: respgate hash < FILE, where FILE holds the password".to_owned()
            }
            Self::DefaultUser => "name a Redis user by redis_user and redis_password_file".to_owned(),
            Self::SecondHash => "keep one of password_hash_file and password_hash".to_owned(),
            Self::PasswordOfCertificateUser => {
                "remove it, or set auth_method = \"certificate_and_password\" to ask for both".to_owned()
            }
            Self::LineOfPasswordUser => {
                "remove it, or set auth_method = \"certificate_and_password\" to ask for both".to_owned()
            }
            Self::UnheardPassword { verify, .. } => format!(
                "add a [[realm]] with kind = \"password\" and verify = {verify:?}, and its name to the listener's realms"
            ),
            Self::UnknownRealm { name } => format!("add a [[realm]] with name = {}", Shown(name)),
            Self::InactiveRealm { name } => format!("add {} to the listener's realms, or remove it", Shown(name)),
            Self::UnaskedCertificates => {
                "set client_auth = \"optional\", or list only password realms in the listener's realms".to_owned()
            }
            Self::NothingElse => {
                "list a realm with kind = \"password\" in the listener's realms, or set client_auth = \"required\""
                    .to_owned()
            }
            Self::NoUser => "add a [[user]] section".to_owned(),
            Self::Identity(cause) => return cause.way_out(),
            Self::Database(cause) => return cause.way_out(),
            Self::Sentinel(cause) => return cause.way_out(),
            Self::Cluster(cause) => return cause.way_out(),
            Self::Credential(cause) => return cause.way_out(),
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
pub(super) struct Shell<'a>(pub(super) &'a std::path::Path);

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
