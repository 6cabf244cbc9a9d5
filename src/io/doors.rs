//! The listeners: which sockets there are, fixed at the start, and what those who
//! come to each are held against, replaced at a reload.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use thiserror::Error;

use super::settings::{ClientAuth, Destinations, Listener, Settings};
use super::tls::{self, NameField, TlsError, Trust};
use crate::identity::{Chain, Directory, Gate, Permit, Reason, Refusal};

/// A socket that clients come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Door {
    /// Of its listener, for the lifetime of the process.
    pub(super) name: &'static str,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

/// What is in force behind a door.
pub(super) struct Entrance {
    pub(super) tls: Arc<ServerConfig>,
    /// Nothing where no certificate is asked for.
    pub(super) trust: Option<Arc<Trust>>,
    /// Whether nobody comes in without a certificate.
    pub(super) is_mandatory: bool,
    /// What it is called, what its clients pass first, and what recognises them.
    listener: Arc<str>,
    gate: Gate,
    realms: Chain,
    /// Where their commands go.
    destinations: Destinations,
}

impl Entrance {
    /// The listener's name.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.listener
    }

    /// Where a client goes that asks for this server name.
    pub(super) fn destination(&self, server_name: Option<&str>) -> Result<&Arc<str>, Refusal> {
        self.destinations.database(server_name).ok_or_else(|| {
            let detail = match server_name {
                // As long as a name in DNS, and of its characters: rustls has seen to that.
                Some(name) => format!("no database is behind the server name {name:?}"),
                None => "the client asked for no server name, and the listener has no database without one"
                    .to_owned(),
            };
            Refusal::new(Reason::UnknownServerName, detail)
        })
    }

    /// Who its clients are, of those that go to this database.
    pub(super) fn directory<'a>(
        &'a self,
        settings: &'a Settings,
        database: &str,
    ) -> Result<Directory<'a>, Refusal> {
        // Settings name no database that is not there; an older entrance may.
        let database = settings.database(database).ok_or_else(moved)?;
        Ok(Directory::new(&settings.users, settings.rights(database), &self.realms, &self.gate))
    }

    /// Decides again about a client that was let in.
    pub(super) fn again(&self, settings: &Settings, permit: &Permit) -> Result<Permit, Refusal> {
        let evidence = permit.evidence();
        if **self.destination(evidence.server_name())? != *evidence.database() {
            return Err(moved());
        }
        self.directory(settings, evidence.database())?.again(permit)
    }
}

/// The refusal of a client whose listener leads to another database now.
fn moved() -> Refusal {
    Refusal::new(Reason::DatabaseChanged, "its listener leads to another database now")
}

/// The refusal of a client whose listener a reload has taken away.
pub(super) fn removed() -> Refusal {
    let detail = "its listener is no longer in the configuration; its socket closes at a restart";
    Refusal::new(Reason::ListenerRemoved, detail)
}

/// Why settings do not come into force; those that are stay.
#[derive(Debug, Error)]
pub enum ReloadError {
    /// Certificates and keys that do not make a listener.
    #[error("listener {listener}: TLS: {why}")]
    Tls {
        /// The listener's name.
        listener: String,
        /// What is wrong.
        why: TlsError,
    },
    /// A backend's TLS.
    #[error("database {database}: TLS: {why}")]
    Database {
        /// The database's name.
        database: String,
        /// What is wrong.
        why: TlsError,
    },
    /// A server certificate that clients may not recognise.
    #[error(
        "listener {listener}: keep_server_names: the new server certificate has {field} {new}, \
         the present one has {old}: install one that keeps it, or set keep_server_names = false"
    )]
    ServerNames {
        /// The listener's name.
        listener: String,
        /// What differs.
        field: NameField,
        /// As it is.
        old: String,
        /// As it would be.
        new: String,
    },
}

/// What is behind each door by these settings; nothing behind one whose listener is
/// gone. What is known of chains survives where the same is trusted as before.
///
/// # Errors
/// If a listener cannot be made.
pub(super) fn entrances(
    doors: &[Door],
    settings: &Settings,
    before: &[Option<Entrance>],
) -> Result<Vec<Option<Entrance>>, ReloadError> {
    let of = |door: &Door| settings.listeners.iter().find(|listener| listener.name == door.name);
    // Those without a door yet are built as well: a restart must not find out later.
    for listener in &settings.listeners {
        if !doors.iter().any(|door| door.name == listener.name) {
            entrance(listener, None)?;
        }
    }
    let build = |(number, door): (usize, &Door)| {
        let before = before.get(number).and_then(Option::as_ref);
        of(door).map(|listener| entrance(listener, before)).transpose()
    };
    doors.iter().enumerate().map(build).collect()
}

fn entrance(listener: &Listener, before: Option<&Entrance>) -> Result<Entrance, ReloadError> {
    let wrong = |why| ReloadError::Tls { listener: listener.name.clone(), why };
    let trust = tls::trust(&listener.tls).map_err(wrong)?;
    let same = before.and_then(|it| it.trust.as_ref());
    let same = same.filter(|old| trust.as_ref().is_some_and(|new| new.digest() == old.digest()));
    let trust = same.cloned().or(trust);
    let tls = tls::server_config(&listener.tls, trust.as_ref()).map_err(wrong)?;
    let is_mandatory = listener.tls.client_auth == ClientAuth::Required;
    let (gate, realms) = (listener.gate.clone(), listener.realms.clone());
    let destinations = listener.destinations.clone();
    let listener = listener.name.as_str().into();
    Ok(Entrance { tls, trust, is_mandatory, listener, gate, realms, destinations })
}

/// Refuses a server certificate under another name, where that is forbidden.
///
/// # Errors
/// The first difference.
pub(super) fn keep_names(old: &Settings, new: &Settings) -> Result<(), ReloadError> {
    for listener in new.listeners.iter().filter(|listener| listener.tls.keep_server_names) {
        let Some(before) = old.listeners.iter().find(|old| old.name == listener.name) else { continue };
        let (Some(old), Some(new)) = (before.tls.server.cert.first(), listener.tls.server.cert.first())
        else {
            continue;
        };
        if let Some((field, old, new)) = tls::renamed(old, new) {
            return Err(ReloadError::ServerNames { listener: listener.name.clone(), field, old, new });
        }
    }
    Ok(())
}
