//! The configuration as it is written: which keys there are, of what kind, and
//! which must be there. What they mean is for `check`.

use super::cause::Cause;
use super::database::{self, DatabaseFile};
use super::destinations::{self, ByServerName};
use super::login::{self, LoginFile};
use super::problem::{At, Notes};
use super::realms::{self, RealmFile};
use super::roles::{self, Placed};
use super::secret_cause::SecretCause;
use super::secrets::{SecretFile, keys, secret};
use super::source::{Section, Source, Written};
use super::trust::{self, TrustFile};
use super::ways::{self, WaysFile};
use super::{gate, limits};
use crate::identity::{Gate, Needs, ReadFrom};
use crate::io::LogFormat;
use crate::io::tls::TlsVersion;
use crate::limits::Limits;

/// The whole file. A section that is missing or unreadable has been noted.
pub(super) struct File {
    pub(super) allow_readable_secrets: bool,
    pub(super) strict: bool,
    pub(super) keystore: Option<Written<String>>,
    pub(super) workers: Option<Written<u64>>,
    pub(super) watch: bool,
    pub(super) whoami: Option<Written<bool>>,
    /// Empty if the section is missing or unreadable.
    pub(super) listeners: Vec<ListenerFile>,
    /// Empty if the section is missing or unreadable.
    pub(super) databases: Vec<DatabaseFile>,
    pub(super) role_rules: Vec<Placed>,
    pub(super) role_mapping_file: Option<Written<String>>,
    pub(super) users: Option<Vec<UserFile>>,
    pub(super) realms: Option<Vec<RealmFile>>,
    pub(super) admin_address: Option<Written<String>>,
    pub(super) log_format: LogFormat,
    pub(super) log_level: Option<Written<String>>,
    pub(super) audit_file: Option<Written<String>>,
    pub(super) landlock: bool,
    pub(super) limits: Limits,
}

/// `[listener]`, or one of several `[[listener]]`.
pub(super) struct ListenerFile {
    pub(super) at: At,
    pub(super) name: Option<Written<String>>,
    pub(super) trust: TrustFile,
    pub(super) address: Option<Written<String>>,
    pub(super) certificate: Option<Written<String>>,
    pub(super) key: Option<Written<String>>,
    pub(super) key_password: SecretFile,
    /// A PKCS#12 file in the place of `certificate` and `key`.
    pub(super) keystore: Option<Written<String>>,
    pub(super) keystore_password: SecretFile,
    pub(super) min_version: TlsVersion,
    /// Nothing, if it has a problem, which has been noted.
    pub(super) gate: Option<Gate>,
    /// The names of its realms, if they are given.
    pub(super) realms: Option<Vec<Written<String>>>,
    /// Where its clients' commands go.
    pub(super) database: Option<Written<String>>,
    pub(super) sni: Vec<ByServerName>,
}

/// `[[user]]`
pub(super) struct UserFile {
    pub(super) at: At,
    pub(super) name: Option<Written<String>>,
    pub(super) needs: Needs,
    pub(super) enabled: bool,
    pub(super) ways: WaysFile,
    pub(super) roles: Vec<Written<String>>,
    pub(super) login: LoginFile,
    /// What the Redis user is one of.
    pub(super) database: Option<Written<String>>,
    /// Every key for a hash that is there; without a text if that was not a string.
    pub(super) hashes: Vec<(Hash, At, Option<String>)>,
    pub(super) commands: Option<CommandsFile>,
    pub(super) read_from: Option<(At, ReadFrom)>,
}

/// Where a password's hash is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    /// `password_hash_file`
    File,
    /// `password_hash`
    Inline,
}

/// `commands`: a word or a list of names.
pub(super) struct CommandsFile {
    pub(super) at: At,
    pub(super) names: Vec<Written<String>>,
    pub(super) is_list: bool,
}

impl File {
    /// Takes the file apart, noting everything that does not fit.
    pub(super) fn read(source: &Source<'_>, notes: &mut Notes) -> Self {
        let mut root = source.root();
        let allow = root.take("allow_readable_secrets").and_then(|entry| entry.flag(notes));
        let strict = root.take("strict").and_then(|entry| entry.flag(notes));
        let keystore = root.take("keystore").and_then(|entry| entry.text(notes));
        let watch = root.take("watch").and_then(|entry| entry.flag(notes));
        let workers = root.take("workers").and_then(|entry| entry.number(notes));
        let whoami = root.take("whoami").and_then(|entry| entry.flag(notes));
        let listener =
            root.need("listener", "[listener] with address, certificate, key and client_ca", notes);
        let listeners = listener.and_then(|entry| entry.section_or_sections(notes)).unwrap_or_default();
        let listeners = listeners.into_iter().map(|it| listener_file(it, notes)).collect();
        let database = root.need("database", "[database] with address = \"127.0.0.1:6379\"", notes);
        let databases = database.and_then(|entry| entry.section_or_sections(notes)).unwrap_or_default();
        let databases: Vec<_> = databases.into_iter().map(|it| database::read(it, notes)).collect();
        let role_rules = roles::read(&mut root, notes);
        let role_mapping_file = root.take("role_mapping_file").and_then(|entry| entry.text(notes));
        let may_lack = databases.iter().any(|it| !it.roles.is_empty() || it.auth.is_nameless);
        let users = root.take("user").map_or_else(|| Some(Vec::new()), |entry| entry.sections(notes));
        let realms = root.take("realm").map_or_else(|| Some(Vec::new()), |entry| entry.sections(notes));
        let admin = root.take("admin").and_then(|entry| entry.section(notes));
        let log = root.take("log").and_then(|entry| entry.section(notes));
        let (log_format, log_level) = log.map(|section| log_file(section, notes)).unwrap_or_default();
        let audit = root.take("audit").and_then(|entry| entry.section(notes));
        let process = root.take("process").and_then(|entry| entry.section(notes));
        let limits = root.take("limits").and_then(|entry| entry.section(notes));
        let file = Self {
            allow_readable_secrets: allow.is_some_and(|flag| flag.value),
            strict: strict.is_some_and(|flag| flag.value),
            keystore,
            workers,
            watch: watch.is_some_and(|flag| flag.value),
            whoami,
            listeners,
            databases,
            role_rules,
            role_mapping_file,
            users: users.map(|users| users.into_iter().map(|it| user_file(it, may_lack, notes)).collect()),
            realms: realms.map(|them| them.into_iter().map(|it| realms::read(it, notes)).collect()),
            admin_address: admin.and_then(|it| only(it, "address", "address = \"127.0.0.1:9121\"", notes)),
            log_format,
            log_level,
            audit_file: audit.and_then(|it| only(it, "file", "file = \"audit.log\"", notes)),
            landlock: process.is_none_or(|section| process_file(section, notes)),
            limits: limits.map(|section| limits::read(section, notes)).unwrap_or_default(),
        };
        root.finish(notes);
        file
    }
}

/// A section of a single key.
fn only(
    mut section: Section<'_>,
    key: &'static str,
    like: &'static str,
    notes: &mut Notes,
) -> Option<Written<String>> {
    let text = section.need(key, like, notes).and_then(|entry| entry.text(notes));
    section.finish(notes);
    text
}

fn listener_file(mut section: Section<'_>, notes: &mut Notes) -> ListenerFile {
    let address = section.need("address", "address = \"0.0.0.0:6380\"", notes);
    let at = section.at().clone();
    let name = section.take("name").and_then(|entry| entry.text(notes));
    let [certificate, key, keystore] = server_files(&mut section, notes);
    let key_password = secret(&mut section, keys!("key_password"), notes);
    let keystore_password = secret(&mut section, keys!("keystore_password"), notes);
    let trust = trust::read(&mut section, notes);
    let versions = [("1.2", TlsVersion::V12), ("1.3", TlsVersion::V13)];
    let min_version = section.take("tls_min_version").and_then(|entry| entry.word(&versions, notes));
    let gate = gate::read(&mut section, notes);
    let realms = section.take("realms").and_then(|entry| entry.filled_texts(notes));
    let database = section.take("database").and_then(|entry| entry.text(notes));
    let sni = section.take("sni").and_then(|entry| entry.section(notes));
    let sni = sni.map(|sni| destinations::read_sni(sni, notes)).unwrap_or_default();
    section.finish(notes);
    ListenerFile {
        at,
        name,
        trust,
        address: address.and_then(|entry| entry.text(notes)),
        certificate,
        key,
        key_password,
        keystore,
        keystore_password,
        min_version: min_version.unwrap_or_default(),
        gate,
        realms,
        database,
        sni,
    }
}

/// `certificate` and `key`, or `keystore` in their place.
fn server_files(section: &mut Section<'_>, notes: &mut Notes) -> [Option<Written<String>>; 3] {
    let keystore = section.take("keystore");
    let files = [("certificate", "certificate = \"server.crt\""), ("key", "key = \"server.key\"")];
    let [certificate, key] = files.map(|(name, like)| match &keystore {
        None => section.need(name, like, notes).and_then(|entry| entry.text(notes)),
        Some(_) => {
            if let Some(entry) = section.take(name) {
                notes.error(&entry.at, SecretCause::BesideKeystore.into());
            }
            None
        }
    });
    [certificate, key, keystore.and_then(|entry| entry.text(notes))]
}

fn user_file(mut section: Section<'_>, may_lack: bool, notes: &mut Notes) -> UserFile {
    let at = section.at().clone();
    let name = section.need("name", "name = \"app\"", notes).and_then(|entry| entry.text(notes));
    let methods = [
        ("certificate", Needs::Certificate),
        ("password", Needs::Password),
        ("certificate_and_password", Needs::Both),
    ];
    let needs = section.take("auth_method").and_then(|entry| entry.word(&methods, notes)).unwrap_or_default();
    let enabled = section.take("enabled").and_then(|entry| entry.flag(notes));
    let ways = if needs.certificate() {
        ways::read(&mut section, notes)
    } else {
        ways::refuse(&mut section, notes);
        WaysFile::default()
    };
    let roles = section.take("roles").and_then(|entry| entry.texts(notes)).unwrap_or_default();
    let hashes = hashes(&mut section, needs, notes);
    // Who is checked by Redis may be to Redis who it is, and a role may have a Redis user.
    let is_itself = needs.password() && hashes.is_empty();
    let login = login::read(&mut section, is_itself || may_lack, notes);
    let database = section.take("database").and_then(|entry| entry.text(notes));
    let commands = section.take("commands").and_then(|entry| {
        let (at, is_list) = (entry.at.clone(), entry.is_list());
        entry.texts(notes).map(|names| CommandsFile { at, names, is_list })
    });
    let nodes = [
        ("master", ReadFrom::Master),
        ("prefer-replica", ReadFrom::PreferReplica),
        ("replica", ReadFrom::Replica),
    ];
    let read_from = section.take("read_from").and_then(|entry| {
        let at = entry.at.clone();
        entry.word(&nodes, notes).map(|nodes| (at, nodes))
    });
    section.finish(notes);
    let enabled = enabled.is_none_or(|flag| flag.value);
    UserFile { at, name, needs, enabled, ways, roles, login, database, hashes, commands, read_from }
}

/// The keys for a password's hash, which a user of certificates alone has none of.
fn hashes(section: &mut Section<'_>, needs: Needs, notes: &mut Notes) -> Vec<(Hash, At, Option<String>)> {
    let mut hashes = Vec::new();
    for (key, source) in [("password_hash_file", Hash::File), ("password_hash", Hash::Inline)] {
        let Some(entry) = section.take(key) else { continue };
        let at = entry.at.clone();
        if !needs.password() {
            notes.error(&at, Cause::PasswordOfCertificateUser);
            continue;
        }
        hashes.push((source, at, entry.text(notes).map(|text| text.value)));
    }
    hashes
}

fn log_file(mut section: Section<'_>, notes: &mut Notes) -> (LogFormat, Option<Written<String>>) {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = section.take("format").and_then(|entry| entry.word(&formats, notes));
    let level = section.take("level").and_then(|entry| entry.text(notes));
    section.finish(notes);
    (format.unwrap_or_default(), level)
}

/// `[process]`: whether Landlock is used.
fn process_file(mut section: Section<'_>, notes: &mut Notes) -> bool {
    let landlock = section.take("landlock").and_then(|entry| entry.flag(notes));
    section.finish(notes);
    landlock.is_none_or(|flag| flag.value)
}
