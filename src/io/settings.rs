//! What runs: immutable, complete and checked. Knows nothing of files and TOML.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::keeper::PasswordCommand;
use super::sentinel::Sentinels;
use super::tls::{BackendTls, TlsSettings};
use crate::identity::roles::{DatabaseRoles, RoleMap};
use crate::identity::{Chain, Credential, Directory, Gate, Rights, UserMap};
use crate::limits::Limits;
use crate::upstream::Provisioning;

/// The most workers that may be configured.
pub const WORKERS_MAX: usize = 256;

/// What a single listener is called that has no name.
pub const LISTENER_NAME: &str = "default";

/// What a single database is called that has no name.
pub const DATABASE_NAME: &str = "default";

/// Everything the gateway runs by. Replaced whole at a reload.
#[derive(Debug)]
pub struct Settings {
    /// Where clients come in; at least one.
    pub listeners: Vec<Listener>,
    /// Where their commands go; at least one.
    pub databases: Vec<Database>,
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
    /// Whether a change of a file reloads.
    pub watch: bool,
    /// Whether clients may ask RESPGATE WHOAMI.
    pub whoami: bool,
    /// Whether the process gives up the rights that it does not need.
    pub landlock: bool,
    /// Programs that passwords come from.
    pub password_commands: Vec<PasswordCommand>,
}

impl Settings {
    /// Which roles users have, and what those are to a database.
    #[must_use]
    pub fn rights<'a>(&'a self, database: &'a Database) -> Rights<'a> {
        Rights { rules: &self.roles, database: &database.roles }
    }

    /// The database of this name.
    #[must_use]
    pub fn database(&self, name: &str) -> Option<&Database> {
        self.databases.iter().find(|database| database.name == name)
    }

    /// As whom the clients of a database may speak to it.
    pub fn credentials<'a>(&'a self, database: &'a Database) -> impl Iterator<Item = &'a Arc<Credential>> {
        let is_there = |of: Option<&str>| of.is_none_or(|of| of == database.name);
        let users = self.users.users().iter().filter(move |user| is_there(user.database.as_deref()));
        users.filter_map(|user| user.credential.as_ref()).chain(database.roles.credentials())
    }
}

/// Where clients come in.
#[derive(Debug, Clone)]
pub struct Listener {
    /// What it is called in logs, audit and metrics; no two have the same.
    pub name: String,
    /// The address to listen on; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Certificate, key, client CAs and versions.
    pub tls: TlsSettings,
    /// Which of the certificates that the CAs vouch for it takes.
    pub gate: Gate,
    /// What recognises its clients, in this order.
    pub realms: Chain,
    /// Where their commands go.
    pub destinations: Destinations,
}

/// Which database is behind a listener.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Destinations {
    /// By the server name that a client asks for (SNI), in lower case.
    pub by_server_name: BTreeMap<String, Arc<str>>,
    /// For those that ask for none, or for another.
    pub default: Option<Arc<str>>,
}

impl Destinations {
    /// The name of the database that this server name leads to.
    #[must_use]
    pub fn database(&self, server_name: Option<&str>) -> Option<&Arc<str>> {
        let asked = server_name.and_then(|name| self.by_server_name.get(&name.to_ascii_lowercase()));
        asked.or(self.default.as_ref())
    }
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

impl Listener {
    /// Who the listener's clients are, of those that go to this database.
    #[must_use]
    pub fn directory<'a>(&'a self, settings: &'a Settings, database: &'a Database) -> Directory<'a> {
        Directory::new(&settings.users, settings.rights(database), &self.realms, &self.gate)
    }
}

/// A Redis behind the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// What it is called in the configuration, logs and audit; no two have the same.
    pub name: String,
    /// Where it is.
    pub location: Location,
    /// Whether what is found there has to be a master, and is told nothing if it is not.
    pub requires_master: bool,
    /// How it is spoken to, where that is TLS; not with a Unix socket.
    pub tls: Option<BackendTls>,
    /// Who the gateway is to it on behalf of those without a Redis user of their own.
    pub roles: DatabaseRoles,
    /// How it is told what clients subscribe to.
    pub subscriptions: Subscriptions,
    /// Which of its users the gateway makes, if it does.
    pub provisioning: Option<Provisioning>,
    /// How its replicas may be read from, if they may.
    pub replicas: Option<Replicas>,
}

/// How replicas may be read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replicas {
    /// As whom the master is asked about them.
    pub service: Arc<Credential>,
    /// How old what is read there may be.
    pub lag_max: Duration,
}

/// How the nodes of a cluster are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Whom to ask for its map; at least one.
    pub seeds: Vec<Address>,
    /// As whom.
    pub service: Arc<Credential>,
    /// Where a node is reached that announces itself at the address before it.
    pub addresses: BTreeMap<String, Address>,
}

/// Over which connections clients subscribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Subscriptions {
    /// Each subscriber has one of its own.
    #[default]
    Pinned,
    /// One of each worker and Redis user, for all subscribers.
    Shared,
}

impl Database {
    /// How its nodes are found, if it is a cluster.
    #[must_use]
    pub fn cluster(&self) -> Option<&Cluster> {
        match &self.location {
            Location::Cluster(cluster) => Some(cluster),
            Location::Address(_) | Location::Sentinels(_) => None,
        }
    }

    /// Whether connections to it are made to the same place in the same way.
    #[must_use]
    pub fn is_same_node(&self, other: &Self) -> bool {
        self.location.is_same_place(&other.location)
            && (&self.tls, self.requires_master) == (&other.tls, other.requires_master)
    }
}

/// Where a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// There.
    Address(Address),
    /// Where these say that its master is.
    Sentinels(Sentinels),
    /// Where the map of a cluster says that its nodes are.
    Cluster(Cluster),
}

impl Location {
    /// Whether what leads to one leads to the other, too: a master is known by its name,
    /// whoever of its sentinels is asked, and a cluster by what its map says.
    #[must_use]
    pub fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Address(one), Self::Address(other)) => one == other,
            (Self::Sentinels(one), Self::Sentinels(other)) => one.master == other.master,
            // Which nodes it has is for its map to say.
            (Self::Cluster(one), Self::Cluster(other)) => one.addresses == other.addresses,
            _ => false,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Sentinels(sentinels) => {
                write!(f, "master {}, by its sentinels", sentinels.master)
            }
            Self::Cluster(cluster) => {
                let seeds: Vec<_> = cluster.seeds.iter().map(ToString::to_string).collect();
                write!(f, "the cluster of {}", seeds.join(", "))
            }
        }
    }
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

/// What only a start brings into force: everything else can be swapped under running sessions.
#[derive(Debug)]
pub struct AtStart {
    listeners: BTreeMap<String, SocketAddr>,
    admin: Option<Admin>,
    log: Log,
    audit: Audit,
    workers: usize,
    landlock: bool,
    limits: Vec<(&'static str, u64)>,
}

impl AtStart {
    /// What a process has that is started with these.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let listeners = settings.listeners.iter().map(|it| (it.name.clone(), it.address));
        let limits = settings.limits.entries().into_iter();
        Self {
            listeners: listeners.collect(),
            admin: settings.admin,
            log: settings.log.clone(),
            audit: settings.audit.clone(),
            workers: settings.workers,
            landlock: settings.landlock,
            limits: limits.filter(|(key, _)| LIMITS_AT_START.contains(key)).collect(),
        }
    }

    /// The keys by which these settings differ from what the process has.
    #[must_use]
    pub fn needs_restart(&self, settings: &Settings) -> Vec<String> {
        let new = Self::of(settings);
        let changed = [
            ("admin.address", self.admin != new.admin),
            ("log.format", self.log.format != new.log.format),
            ("log.level", self.log.level != new.log.level),
            ("audit.file", self.audit != new.audit),
            ("workers", self.workers != new.workers),
            ("process.landlock", self.landlock != new.landlock),
        ];
        let keys = changed.into_iter().filter(|&(_, changed)| changed).map(|(key, _)| key.to_owned());
        let limits = self.limits.iter().zip(&new.limits).filter(|(old, new)| old != new);
        let limits = limits.map(|((key, _), _)| format!("limits.{key}"));
        self.listeners_that_need_restart(&new).into_iter().chain(keys).chain(limits).collect()
    }

    /// Sockets are opened and closed at a start only. A listener that is new does not
    /// listen yet; one that is gone lets nobody in any more.
    fn listeners_that_need_restart(&self, new: &Self) -> Vec<String> {
        let names: BTreeSet<&String> = self.listeners.keys().chain(new.listeners.keys()).collect();
        let changes =
            names.into_iter().filter_map(|name| match (self.listeners.get(name), new.listeners.get(name)) {
                (Some(old), Some(new)) if old == new => None,
                (Some(_), Some(_)) if name == LISTENER_NAME => Some("listener.address".to_owned()),
                (Some(_), Some(_)) => Some(format!("listener {name:?}: address")),
                (Some(_), None) => Some(format!("listener {name:?}: removed")),
                (None, _) => Some(format!("listener {name:?}: added")),
            });
        changes.collect()
    }
}
