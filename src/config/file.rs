//! The configuration as it is written: which keys there are, of what kind, and
//! which must be there. What they mean is for `check`.

use super::problem::{At, Notes};
use super::source::{Section, Source, Written};
use super::ways::WaysFile;
use super::{gate, limits, ways};
use crate::identity::Gate;
use crate::io::LogFormat;
use crate::io::tls::{ClientEku, TlsVersion};
use crate::limits::Limits;

/// The whole file. A section that is missing or unreadable has been noted.
pub(super) struct File {
    pub(super) allow_readable_secrets: bool,
    pub(super) workers: Option<Written<u64>>,
    pub(super) whoami: Option<Written<bool>>,
    pub(super) listener: Option<ListenerFile>,
    pub(super) database_address: Option<Written<String>>,
    pub(super) users: Option<Vec<UserFile>>,
    pub(super) admin_address: Option<Written<String>>,
    pub(super) log_format: LogFormat,
    pub(super) log_level: Option<Written<String>>,
    pub(super) audit_file: Option<Written<String>>,
    pub(super) limits: Limits,
}

/// `[listener]`
pub(super) struct ListenerFile {
    pub(super) address: Option<Written<String>>,
    pub(super) certificate: Option<Written<String>>,
    pub(super) key: Option<Written<String>>,
    pub(super) client_ca_at: At,
    pub(super) client_ca: Vec<Written<String>>,
    pub(super) min_version: TlsVersion,
    pub(super) client_eku: ClientEku,
    /// Nothing, if it has a problem, which has been noted.
    pub(super) gate: Option<Gate>,
}

/// `[[user]]`
pub(super) struct UserFile {
    pub(super) at: At,
    pub(super) name: Option<Written<String>>,
    pub(super) enabled: bool,
    pub(super) ways: WaysFile,
    pub(super) redis_user: Option<Written<String>>,
    /// Every key for a password that is there; without a text if that was not a string.
    pub(super) passwords: Vec<(Password, At, Option<String>)>,
    pub(super) commands: Option<CommandsFile>,
}

/// Where a password is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Password {
    /// `redis_password_file`
    File,
    /// `redis_password_env`
    Variable,
    /// `redis_password`
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
        let workers = root.take("workers").and_then(|entry| entry.number(notes));
        let whoami = root.take("whoami").and_then(|entry| entry.flag(notes));
        let listener =
            root.need("listener", "[listener] with address, certificate, key and client_ca", notes);
        let listener = listener.and_then(|entry| entry.section(notes)).map(|it| listener_file(it, notes));
        let database = root.need("database", "[database] with address = \"127.0.0.1:6379\"", notes);
        let database = database.and_then(|entry| entry.section(notes));
        let users = root.take("user").map_or_else(|| Some(Vec::new()), |entry| entry.sections(notes));
        let admin = root.take("admin").and_then(|entry| entry.section(notes));
        let log = root.take("log").and_then(|entry| entry.section(notes));
        let (log_format, log_level) = log.map(|section| log_file(section, notes)).unwrap_or_default();
        let audit = root.take("audit").and_then(|entry| entry.section(notes));
        let limits = root.take("limits").and_then(|entry| entry.section(notes));
        let file = Self {
            allow_readable_secrets: allow.is_some_and(|flag| flag.value),
            workers,
            whoami,
            listener,
            database_address: database
                .and_then(|it| only(it, "address", "address = \"127.0.0.1:6379\"", notes)),
            users: users.map(|users| users.into_iter().map(|it| user_file(it, notes)).collect()),
            admin_address: admin.and_then(|it| only(it, "address", "address = \"127.0.0.1:9121\"", notes)),
            log_format,
            log_level,
            audit_file: audit.and_then(|it| only(it, "file", "file = \"audit.log\"", notes)),
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
    let certificate = section.need("certificate", "certificate = \"server.crt\"", notes);
    let key = section.need("key", "key = \"server.key\"", notes);
    let client_ca = section.need("client_ca", "client_ca = \"ca.crt\"", notes);
    let client_ca_at = client_ca.as_ref().map_or_else(|| section.at().clone(), |entry| entry.at.clone());
    let versions = [("1.2", TlsVersion::V12), ("1.3", TlsVersion::V13)];
    let min_version = section.take("tls_min_version").and_then(|entry| entry.word(&versions, notes));
    let ekus = [("if_present", ClientEku::IfPresent), ("required", ClientEku::Required)];
    let client_eku = section.take("client_eku").and_then(|entry| entry.word(&ekus, notes));
    let gate = gate::read(&mut section, notes);
    section.finish(notes);
    ListenerFile {
        address: address.and_then(|entry| entry.text(notes)),
        certificate: certificate.and_then(|entry| entry.text(notes)),
        key: key.and_then(|entry| entry.text(notes)),
        client_ca_at,
        client_ca: client_ca.and_then(|entry| entry.filled_texts(notes)).unwrap_or_default(),
        min_version: min_version.unwrap_or_default(),
        client_eku: client_eku.unwrap_or_default(),
        gate,
    }
}

fn user_file(mut section: Section<'_>, notes: &mut Notes) -> UserFile {
    let at = section.at().clone();
    let name = section.need("name", "name = \"app\"", notes).and_then(|entry| entry.text(notes));
    // The only method so far; without the key it is meant.
    if let Some(entry) = section.take("auth_method") {
        let _ = entry.word(&[("certificate", ())], notes);
    }
    let enabled = section.take("enabled").and_then(|entry| entry.flag(notes));
    let ways = ways::read(&mut section, notes);
    let redis_user = section.need("redis_user", "redis_user = \"app\"", notes);
    let redis_user = redis_user.and_then(|entry| entry.text(notes));
    let sources = [
        ("redis_password_file", Password::File),
        ("redis_password_env", Password::Variable),
        ("redis_password", Password::Inline),
    ];
    let mut passwords = Vec::new();
    for (key, source) in sources {
        let Some(entry) = section.take(key) else { continue };
        let at = entry.at.clone();
        passwords.push((source, at, entry.text(notes).map(|text| text.value)));
    }
    let commands = section.take("commands").and_then(|entry| {
        let (at, is_list) = (entry.at.clone(), entry.is_list());
        entry.texts(notes).map(|names| CommandsFile { at, names, is_list })
    });
    section.finish(notes);
    let enabled = enabled.is_none_or(|flag| flag.value);
    UserFile { at, name, enabled, ways, redis_user, passwords, commands }
}

fn log_file(mut section: Section<'_>, notes: &mut Notes) -> (LogFormat, Option<Written<String>>) {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = section.take("format").and_then(|entry| entry.word(&formats, notes));
    let level = section.take("level").and_then(|entry| entry.text(notes));
    section.finish(notes);
    (format.unwrap_or_default(), level)
}
