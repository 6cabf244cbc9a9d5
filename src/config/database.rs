//! `[database]`, or one of several `[[database]]`: where Redis is, and how a connection to it is encrypted.

use rustls::pki_types::ServerName;

use super::auth::{self, AuthFile};
use super::cause::Cause;
use super::certificates::{self, Role};
use super::cluster::{self, ClusterFile};
use super::database_cause::DatabaseCause;
use super::keys;
use super::login::{self, LoginFile};
use super::material::Files;
use super::problem::{At, Notes};
use super::provisioning::{self, ProvisioningFile};
use super::replicas::{self, ReplicasFile};
use super::secrets::{SecretFile, keys, secret};
use super::sentinel::{self, SentinelFile};
use super::sentinel_cause::SentinelCause;
use super::source::{Section, Written};
use super::trust;
use crate::identity::Fingerprint;
use crate::io::tls::{self, BackendTls, VerificationMode};
use crate::io::{Address, Location, Subscriptions};

/// Bytes of a Unix socket's path in `sockaddr_un`, without the final NUL.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The section as written.
pub(super) struct DatabaseFile {
    pub(super) at: At,
    pub(super) name: Option<Written<String>>,
    pub(super) address: Option<Written<String>>,
    sentinel: Option<SentinelFile>,
    require_master: Option<Written<bool>>,
    pub(super) cluster: Option<ClusterFile>,
    tls: Option<TlsFile>,
    pub(super) subscriptions: Subscriptions,
    pub(super) roles: Vec<RoleFile>,
    pub(super) auth: AuthFile,
    pub(super) provisioning: Option<ProvisioningFile>,
    pub(super) replicas: Option<ReplicasFile>,
}

/// `[database.tls]`
pub(super) struct TlsFile {
    at: At,
    ca: Vec<Written<String>>,
    fingerprint: Option<Written<String>>,
    mode: VerificationMode,
    mode_at: At,
    server_name: Option<Written<String>>,
    certificate: Option<Written<String>>,
    key: Option<Written<String>>,
    key_password: SecretFile,
}

/// One of `[database] roles`
pub(super) struct RoleFile {
    pub(super) role: Option<Written<String>>,
    pub(super) login: LoginFile,
}

/// Takes the section apart.
pub(super) fn read(mut section: Section<'_>, notes: &mut Notes) -> DatabaseFile {
    let at = section.at().clone();
    let name = section.take("name").and_then(|entry| entry.text(notes));
    let (sentinel, cluster) = (section.take("sentinel"), section.take("cluster"));
    let address = match (&sentinel, &cluster) {
        (None, None) => section.need("address", "address = \"127.0.0.1:6379\"", notes),
        _ => section.take("address"),
    };
    let cluster = cluster.and_then(|it| it.section(notes)).map(|it| cluster::read(it, notes));
    let address = address.and_then(|entry| entry.text(notes));
    let sentinel = sentinel.and_then(|it| it.section(notes)).map(|it| sentinel::read(it, notes));
    let require_master = section.take("require_master").and_then(|entry| entry.flag(notes));
    let tls = section.take("tls").and_then(|entry| entry.section(notes)).map(|it| read_tls(it, notes));
    let ways = [("pinned", Subscriptions::Pinned), ("shared", Subscriptions::Shared)];
    let subscriptions = section.take("subscriptions").and_then(|entry| entry.word(&ways, notes));
    let roles = section.take("roles").and_then(|entry| entry.sections(notes)).unwrap_or_default();
    let auth = auth::read(&mut section, notes);
    let provisioning = section.take("provisioning").and_then(|entry| entry.section(notes));
    let replicas = section.take("replicas").and_then(|entry| entry.section(notes));
    section.finish(notes);
    let replicas = replicas.map(|section| replicas::read(section, notes));
    let provisioning = provisioning.map(|section| provisioning::read(section, notes));
    let roles = roles.into_iter().map(|section| read_role(section, notes)).collect();
    let subscriptions = subscriptions.unwrap_or_default();
    DatabaseFile {
        at,
        name,
        address,
        sentinel,
        require_master,
        cluster,
        tls,
        subscriptions,
        roles,
        auth,
        provisioning,
        replicas,
    }
}

fn read_role(mut section: Section<'_>, notes: &mut Notes) -> RoleFile {
    let role = section.need("role", "role = \"reader\"", notes).and_then(|entry| entry.text(notes));
    let login = login::read(&mut section, false, notes);
    section.finish(notes);
    RoleFile { role, login }
}

pub(super) fn read_tls(mut section: Section<'_>, notes: &mut Notes) -> TlsFile {
    let modes = [
        ("full", VerificationMode::Full),
        ("certificate", VerificationMode::Certificate),
        ("none", VerificationMode::None),
    ];
    let mode = section.take("verification_mode");
    let at = section.at().clone();
    let mode_at = mode.as_ref().map_or_else(|| at.clone(), |entry| entry.at.clone());
    let mut text = |key, notes: &mut Notes| section.take(key).and_then(|entry| entry.text(notes));
    let [fingerprint, server_name, certificate, key] =
        ["ca_fingerprint", "server_name", "certificate", "key"].map(|key| text(key, notes));
    let file = TlsFile {
        at,
        ca: section.take("ca").and_then(|entry| entry.filled_texts(notes)).unwrap_or_default(),
        fingerprint,
        mode: mode.and_then(|entry| entry.word(&modes, notes)).unwrap_or_default(),
        mode_at,
        server_name,
        certificate,
        key,
        key_password: secret(&mut section, keys!("key_password"), notes),
    };
    section.finish(notes);
    file
}

impl DatabaseFile {
    /// Where the backend is and how it is spoken to, or what is wrong with that, noted.
    pub(super) fn node(
        &self,
        files: &mut Files<'_>,
        now: i64,
        notes: &mut Notes,
    ) -> Option<(Location, Option<BackendTls>)> {
        if let Some(cluster) = &self.cluster {
            cluster.alone(self, notes);
            let settings = cluster.settings(files, notes);
            let seeds = settings.as_ref().map(|it| it.seeds.as_slice());
            let tls = self.tls.as_ref().map(|tls| tls.settings(seeds, files, now, notes));
            return Some((Location::Cluster(settings?), tls.map_or(Some(None), |tls| tls.map(Some))?));
        }
        let written = self.address.as_ref();
        let address = written.and_then(|it| notes.ok(&it.at, address(&it.value, files)));
        if let (Some(written), Some(_)) = (written, &self.sentinel) {
            notes.error(&written.at, SentinelCause::AddressAsWell.into());
        }
        let sentinels = self.sentinel.as_ref().map(|it| it.settings(files, now, notes));
        let cluster = self.cluster.as_ref().map(|it| {
            it.alone(self, notes);
            it.settings(files, notes)
        });
        let hosts = match (&sentinels, &cluster) {
            // Which hosts the sentinels will lead to is not known.
            (Some(_), _) => Some(&[][..]),
            (None, Some(cluster)) => cluster.as_ref().map(|it| it.seeds.as_slice()),
            (None, None) => address.as_ref().map(std::slice::from_ref),
        };
        let tls = self.tls.as_ref().map(|tls| tls.settings(hosts, files, now, notes));
        let location = match (sentinels, cluster) {
            (Some(sentinels), _) => Location::Sentinels(sentinels?),
            (None, Some(cluster)) => Location::Cluster(cluster?),
            (None, None) => Location::Address(address?),
        };
        Some((location, tls.map_or(Some(None), |tls| tls.map(Some))?))
    }

    /// Whether something else than an address says where it is.
    pub(super) fn is_led(&self) -> bool {
        self.address.is_some() || self.sentinel.is_some()
    }

    /// Whether the backend has to be a master: where sentinels lead to it, always.
    pub(super) fn requires_master(&self, notes: &mut Notes) -> bool {
        match (&self.sentinel, &self.require_master) {
            (Some(_), Some(Written { value: false, at })) => {
                notes.error(at, SentinelCause::MasterNotRequired.into());
                true
            }
            (Some(_), _) => true,
            (None, written) => written.as_ref().is_some_and(|flag| flag.value),
        }
    }
}

impl TlsFile {
    /// How these are spoken to, as far as they are known; nothing, where they should be and
    /// are not.
    pub(super) fn settings(
        &self,
        addresses: Option<&[Address]>,
        files: &mut Files<'_>,
        now: i64,
        notes: &mut Notes,
    ) -> Option<BackendTls> {
        let ca = trust::of_files(&self.ca, Role::BackendCa, files, now, notes);
        let fingerprint = self.fingerprint.as_ref().map(|it| {
            let read = it.value.parse::<Fingerprint>();
            notes.ok(&it.at, read.map_err(|why| DatabaseCause::Fingerprint(why).into()))
        });
        let trusts = !self.ca.is_empty() || fingerprint.is_some();
        match (self.mode, trusts) {
            (VerificationMode::None, true) => {
                notes.error(&self.mode_at, DatabaseCause::CaWithoutVerification.into());
            }
            (VerificationMode::None, false) => notes.warn(&self.mode_at, DatabaseCause::NotVerified.into()),
            (_, false) => notes.error(&self.at, DatabaseCause::NoCa.into()),
            (_, true) => {}
        }
        let server_name = self.server_name(addresses, notes);
        let client = self.client(files, now, notes);
        let tls = BackendTls {
            ca: ca?,
            ca_fingerprint: fingerprint.map_or(Some(None), |it| it.map(Some))?,
            mode: self.mode,
            server_name: server_name?,
            client: client.map_or(Some(None), |it| it.map(Some))?,
        };
        // Built here once to see that it can be: a reload must not find out later.
        let built = tls::client_config(&tls).map_err(|error| Cause::UnusableTls { why: error.to_string() });
        notes.ok(&self.at, built).map(|_| tls)
    }

    /// The name to verify, if it is not the host that is connected to. That one must do, too.
    fn server_name(
        &self,
        addresses: Option<&[Address]>,
        notes: &mut Notes,
    ) -> Option<Option<ServerName<'static>>> {
        let addresses = addresses?;
        if addresses.iter().any(|address| matches!(address, Address::Unix(_))) {
            notes.error(&self.at, DatabaseCause::TlsOnUnixSocket.into());
            return None;
        }
        let checked = |name: &str, at: &At, notes: &mut Notes| {
            let bad = || DatabaseCause::ServerName { found: name.to_owned() }.into();
            notes.ok(at, ServerName::try_from(name.to_owned()).map_err(|_error| bad()))
        };
        if let Some(name) = &self.server_name {
            return checked(&name.value, &name.at, notes).map(Some);
        }
        for address in addresses {
            let Address::Tcp { host, .. } = address else { continue };
            checked(host, &self.at, notes)?;
        }
        Some(None)
    }

    /// The gateway's own certificate, if there is to be one.
    fn client(
        &self,
        files: &mut Files<'_>,
        now: i64,
        notes: &mut Notes,
    ) -> Option<Option<std::sync::Arc<rustls::sign::CertifiedKey>>> {
        let (certificate, key) = match (&self.certificate, &self.key) {
            (None, None) => {
                if let Some(at) = self.key_password.at() {
                    notes.error(at, DatabaseCause::HalfAPair.into());
                }
                return None;
            }
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(Written { at, .. }), None) | (None, Some(Written { at, .. })) => {
                notes.error(at, DatabaseCause::HalfAPair.into());
                return Some(None);
            }
        };
        let chain = certificates::chain(certificate, files, now, notes);
        let key = keys::private_key(&key.value, &key.at, &self.key_password, files, notes);
        let both = chain.zip(key);
        Some(both.and_then(|((chain, path), (key, key_path))| {
            certificates::certified(chain, path, key, key_path, &certificate.at, notes)
        }))
    }
}

pub(super) fn address(found: &str, files: &Files<'_>) -> Result<Address, Cause> {
    let bad = || Cause::BadBackendAddress { found: found.to_owned() };
    if let Some(path) = found.strip_prefix("unix:") {
        let path = files.resolve(path);
        let bytes = path.as_os_str().len();
        return match bytes {
            _ if found == "unix:" || found.contains('\0') => Err(bad()),
            0..=SOCKET_PATH_BYTES_MAX => Ok(Address::Unix(path)),
            _ => Err(Cause::LongSocketPath { bytes, most: SOCKET_PATH_BYTES_MAX }),
        };
    }
    let (host, port) = found.rsplit_once(':').ok_or_else(bad)?;
    let port = port.parse().ok().filter(|&port| port != 0).ok_or_else(bad)?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok().then_some(ip),
        None => is_host(host).then_some(host),
    };
    Ok(Address::Tcp { host: host.ok_or_else(bad)?.to_owned(), port })
}

fn is_host(host: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=253).contains(&host.len()) && host.bytes().all(fits)
}
