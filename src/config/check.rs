//! From the file as written to settings that can run: every section is looked
//! at, whatever is wrong with the others.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::cause::Cause;
use super::destinations::{self, Known};
use super::file::File;
use super::login::Logins;
use super::material::{self, Files};
use super::modes::Modes;
use super::problem::{At, Notes};
use super::source::{Source, Written};
use super::{
    Surroundings, auth, certificates, log, password_command, provisioning, realms, replicas, roles, users,
    ways,
};
use crate::io::{Admin, Audit, Database, LISTENER_NAME, Listener, Settings, WORKERS_MAX};

/// Workers that are started where the number is left to us. More threads make
/// smaller batches, and Redis' one thread is busy long before these are.
const WORKERS_DEFAULT_MAX: usize = 8;

/// Reads and checks everything.
pub(super) fn settings(path: &Path, surroundings: &Surroundings<'_>, notes: &mut Notes) -> Option<Settings> {
    let whole = At::default();
    let content = notes.ok(&whole, material::read(path))?;
    let text = notes.ok(&whole, std::str::from_utf8(&content.bytes).map_err(|_error| Cause::NotText))?;
    let source = Source::parse(text, notes)?;
    let mut file = File::read(&source, notes);

    let modes = Modes::new(file.allow_readable_secrets, file.strict);
    let mut files = Files::beside(&content, modes, surroundings);
    files.check_configuration(notes);
    if let Some(keystore) = &file.keystore {
        files.open_keystore(&keystore.value, &keystore.at, notes);
    }
    let mut known = Known::none();
    let logins = auth::all(&file, &mut files, notes);
    let databases = databases(&file, &logins, &mut known, &mut files, surroundings.now, notes);
    replicas::are_known(&file, notes);
    let listeners = listeners(&file, &known, &mut files, surroundings.now, notes);
    let client_ca = listeners.iter().flatten().flat_map(|it: &Listener| &it.tls.trust.client_ca);
    let trusted = ways::trusted(client_ca);
    let elsewhere = users::Elsewhere {
        by_value: realms::users_by_value(file.realms.as_deref().unwrap_or_default()),
        is_value: realms::make_users(file.realms.as_deref().unwrap_or_default()),
        has_roles: file.databases.iter().any(|it| !it.roles.is_empty()),
        databases: &known,
        logins: &logins,
    };
    let users = file.users.as_ref().map(|it| users::user_map(it, &elsewhere, &trusted, &mut files, notes));
    let realm_users = match (&file.realms, &file.users) {
        (Some(realms), Some(users)) => realms::check_users(realms, users, notes),
        _ => None,
    };
    if let (Some(listeners), Some(Some(map)), Some(written)) = (&listeners, &users, &file.users) {
        let places: Vec<At> = written.iter().map(|user| user.at.clone()).collect();
        let chains: Vec<_> = listeners.iter().map(|listener| &listener.realms).collect();
        realms::unheard(map, &places, &chains, notes);
    }
    let commands = password_command::all(&file, &files, notes);
    let written: Vec<_> = file.databases.iter_mut().flat_map(|it| std::mem::take(&mut it.roles)).collect();
    let roles = roles::role_map(&mut file, &mut files, &written, notes);
    let admin = file.admin_address.as_ref().map(|it| admin(it, &file, notes));
    let log = log::log(&file, notes);
    let audit = file.audit_file.as_ref().map(|it| notes.ok(&it.at, audit_file(&files.resolve(&it.value))));
    notes.depends_on(files.paths());
    let workers = workers(file.workers.as_ref(), surroundings.cores, notes);
    realm_users?;
    Some(Settings {
        listeners: listeners?,
        databases: databases?,
        password_commands: commands?,
        users: users??,
        roles: roles?,
        limits: file.limits,
        admin: admin.map_or(Some(None), |admin| admin.map(Some))?,
        log: log?,
        audit: Audit { file: audit.map_or(Some(None), |file| file.map(Some))? },
        workers: workers?,
        watch: file.watch,
        whoami: file.whoami.is_none_or(|flag| flag.value),
        landlock: file.landlock,
    })
}

/// All of them, or nothing if any is no good or there is none, which has been noted.
fn databases(
    file: &File,
    logins: &[Logins],
    known: &mut Known,
    files: &mut Files<'_>,
    now: i64,
    notes: &mut Notes,
) -> Option<Vec<Database>> {
    let mut all = Vec::new();
    for (it, logins) in file.databases.iter().zip(logins) {
        let name = destinations::name(it.name.as_ref(), &it.at, known, notes);
        let node = it.node(files, now, notes);
        let roles = roles::database_roles(&it.roles, logins, files, notes);
        let made = provisioning::of(file, it, logins, files, notes);
        let subscriptions = it.subscriptions;
        let replicas = it.replicas.as_ref().map(|it| it.settings(files, notes));
        let replicas = replicas.map_or(Some(None), |it| it.map(Some));
        let requires_master = it.requires_master(notes);
        let whole = name.zip(node).zip(made.zip(replicas));
        all.push(whole.map(|((name, (location, tls)), (provisioning, replicas))| Database {
            name,
            location,
            requires_master,
            tls,
            roles,
            subscriptions,
            provisioning,
            replicas,
        }));
    }
    let all: Option<Vec<Database>> = all.into_iter().collect();
    let is_apart = provisioning::are_apart(all.as_deref().unwrap_or_default(), &file.databases, notes);
    all.filter(|all| is_apart && !all.is_empty())
}

/// All of them, or nothing if any is no good or there is none, which has been noted.
fn listeners(
    file: &File,
    known: &Known,
    files: &mut Files<'_>,
    now: i64,
    notes: &mut Notes,
) -> Option<Vec<Listener>> {
    let written = file.realms.as_deref().unwrap_or_default();
    let has_roles = file.databases.iter().any(|it| !it.roles.is_empty());
    let built = realms::build(written, has_roles, files, notes);
    let (mut names, mut addresses) = (BTreeSet::new(), Vec::new());
    let realms_known = file.realms.as_ref().and_then(|all| realms::known(all, notes));
    realms::inactive(written, &file.listeners, notes);
    let mut all = Vec::new();
    for it in &file.listeners {
        let name = it.name.as_ref().map_or(LISTENER_NAME, |name| &name.value);
        let name_at = it.name.as_ref().map_or(&it.at, |name| &name.at);
        let mut named = notes.ok(name_at, listener_name(name));
        if !names.insert(name) {
            notes.error(name_at, Cause::DuplicateListener { found: name.to_owned() });
            named = None;
        }
        let mut address = it.address.as_ref().and_then(|it| notes.ok(&it.at, socket_address(&it.value)));
        if let (Some(found), Some(written)) = (address, &it.address) {
            address = free(found, &addresses, &written.at, notes);
            addresses.push(found);
        }
        let tls = certificates::tls_settings(it, files, now, notes);
        let realms = file.realms.as_ref().and_then(|all| realms::chain(&built, all, it, notes));
        let gate = it.gate.clone();
        let destinations = known.destinations(it, notes);
        let listener = || {
            Some(Listener {
                name: named?,
                address: address?,
                tls: tls?,
                gate: gate?,
                realms: realms?,
                destinations: destinations?,
            })
        };
        all.push(listener());
    }
    let all: Option<Vec<Listener>> = all.into_iter().collect();
    realms_known?;
    all.filter(|all| !all.is_empty())
}

fn listener_name(found: &str) -> Result<String, Cause> {
    if destinations::is_name(found) {
        Ok(found.to_owned())
    } else {
        Err(Cause::BadListenerName { found: found.to_owned() })
    }
}

fn socket_address(found: &str) -> Result<SocketAddr, Cause> {
    found.parse().map_err(|_error| Cause::BadSocketAddress { found: found.to_owned() })
}

/// The address, if it can be listened on beside these.
fn free(found: SocketAddr, taken: &[SocketAddr], at: &At, notes: &mut Notes) -> Option<SocketAddr> {
    // Port 0 is another one each time.
    let same_port = taken.iter().filter(|by| by.port() == found.port() && found.port() != 0);
    let family = |address: &SocketAddr| address.ip().to_canonical().is_ipv4();
    let (alike, others): (Vec<SocketAddr>, Vec<SocketAddr>) =
        same_port.copied().partition(|by| family(by) == family(&found));
    let is_any = |address: &SocketAddr| address.ip().to_canonical().is_unspecified();
    let same_ip = |by: &SocketAddr| by.ip().to_canonical() == found.ip().to_canonical();
    if let Some(&by) = alike.iter().find(|by| same_ip(by) || is_any(by) || is_any(&found)) {
        notes.error(at, Cause::DuplicateAddress { found, by });
        return None;
    }
    // Who listens on `::` has all of IPv4, too, but for a setting of the system.
    let is_both = |address: &SocketAddr| address.ip() == Ipv6Addr::UNSPECIFIED;
    if let Some(&by) = others.iter().find(|by| is_both(by) || is_both(&found)) {
        notes.warn(at, Cause::BothFamilies { found, by });
    }
    Some(found)
}

fn admin(written: &Written<String>, file: &File, notes: &mut Notes) -> Option<Admin> {
    let address = notes.ok(&written.at, socket_address(&written.value))?;
    if !address.ip().to_canonical().is_loopback() {
        notes.error(&written.at, Cause::NotLoopback { found: address });
        return None;
    }
    let listeners = file.listeners.iter().filter_map(|it| it.address.as_ref()?.value.parse().ok());
    let address = free(address, &listeners.collect::<Vec<_>>(), &written.at, notes)?;
    Some(Admin { address })
}

/// The file may be made later, its directory may not.
fn audit_file(path: &Path) -> Result<PathBuf, Cause> {
    let unwritable = |why: String| Cause::Unwritable { path: path.to_owned(), why };
    if path.is_dir() {
        return Err(unwritable("it is a directory".to_owned()));
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match std::fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => Ok(path.to_owned()),
        Ok(_) => Err(unwritable("what should be its directory is none".to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(unwritable("its directory does not exist".to_owned()))
        }
        Err(error) => Err(unwritable(material::why(&error))),
    }
}

fn workers(written: Option<&Written<u64>>, cores: usize, notes: &mut Notes) -> Option<usize> {
    match written {
        None | Some(Written { value: 0, .. }) => Some(cores.saturating_sub(1).clamp(1, WORKERS_DEFAULT_MAX)),
        Some(Written { value, at }) => {
            let most = WORKERS_MAX as u64;
            let cause = || Cause::OutOfRange { found: *value, least: 0, most };
            let value = usize::try_from(*value).ok().filter(|&value| value <= WORKERS_MAX);
            notes.ok(at, value.ok_or_else(cause))
        }
    }
}
