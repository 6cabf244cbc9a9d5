//! What runs: immutable, complete and checked. Knows nothing of files and TOML.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::tls::TlsSettings;
use crate::identity::roles::{DatabaseRoles, RoleMap};
use crate::identity::{Chain, Directory, Gate, UserMap};
use crate::limits::Limits;

/// The most workers that may be configured.
pub const WORKERS_MAX: usize = 256;

/// Everything the gateway runs by. Replaced whole at a reload.
#[derive(Debug)]
pub struct Settings {
    /// Where clients come in.
    pub listener: Listener,
    /// Where their commands go.
    pub database: Database,
    /// Who may come in.
    pub users: UserMap,
    /// Which roles they have.
    pub roles: RoleMap,
    /// Every bound and every wait.
    pub limits: Limits,
    /// Metrics and health, if they are served.
    pub admin: Option<Admin>,
    /// How the log is written.
    pub log: Log,
    /// Where the audit goes.
    pub audit: Audit,
    /// Worker threads; at least 1.
    pub workers: usize,
    /// Whether clients may ask RESPGATE WHOAMI.
    pub whoami: bool,
}

/// Where clients come in.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The address to listen on; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Certificate, key, client CAs and versions.
    pub tls: TlsSettings,
    /// Which of the certificates that the CAs vouch for it takes.
    pub gate: Gate,
    /// What recognises its clients, in this order.
    pub realms: Chain,
}

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// Without one there is no TLS.
    #[default]
    Required,
    /// One that is shown has to be good.
    Optional,
    /// They are not.
    None,
}

impl Settings {
    /// Who the listener's clients are: what a new client and a live session are
    /// both held against.
    #[must_use]
    pub fn directory(&self) -> Directory<'_> {
        Directory::new(&self.users, &self.listener.realms, &self.listener.gate)
    }
}

/// The Redis behind the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Where it listens.
    pub address: Address,
    /// Who the gateway is to it on behalf of those without a Redis user of their own.
    pub roles: DatabaseRoles,
}

/// Where a backend listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host name or IP address, without brackets, and a port; resolved at each connect.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The listener of metrics and health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admin {
    /// Its address, always a loopback one.
    pub address: SocketAddr,
}

/// How the log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// For a person or for a program.
    pub format: LogFormat,
    /// A filter in the syntax of `tracing_subscriber::EnvFilter`, known to parse.
    pub level: String,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For a person.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Where the audit goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// The file it is appended to; without one it goes to standard output.
    pub file: Option<PathBuf>,
}

/// Limits that size something when the gateway starts.
const LIMITS_AT_START: [&str; 7] = [
    "handshakes_max",
    "clients_max",
    "listen_backlog",
    "unproven_clients_max",
    "password_hashes_max",
    "password_connections_max",
    "password_checks_max",
];

/// The keys whose change a reload cannot bring into force. Everything else can
/// be swapped under running sessions.
#[must_use]
pub fn needs_restart(old: &Settings, new: &Settings) -> Vec<String> {
    let changed = [
        ("listener.address", old.listener.address != new.listener.address),
        ("admin.address", old.admin != new.admin),
        ("log.format", old.log.format != new.log.format),
        ("log.level", old.log.level != new.log.level),
        ("audit.file", old.audit != new.audit),
        ("workers", old.workers != new.workers),
    ];
    let keys = changed.into_iter().filter(|&(_, changed)| changed).map(|(key, _)| key.to_owned());
    let limits = old.limits.entries().into_iter().zip(new.limits.entries());
    let limits = limits.filter(|(old, new)| old != new && LIMITS_AT_START.contains(&old.0));
    keys.chain(limits.map(|(old, _)| format!("limits.{}", old.0))).collect()
}
