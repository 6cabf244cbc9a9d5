//! `[database.cluster]`: where the nodes of a cluster are asked for its map, as whom, and how those
//! are reached that announce themselves under an address of their own.

use std::sync::Arc;

use super::cluster_cause::ClusterCause;
use super::database::{DatabaseFile, address};
use super::material::Files;
use super::problem::{At, Notes};
use super::secrets::{SecretFile, keys, secret};
use super::source::{Section, Written};
use super::users;
use crate::identity::Credential;
use crate::io::{Address, Cluster};

/// The section as written.
pub(super) struct ClusterFile {
    at: At,
    seeds: Vec<Written<String>>,
    pub(super) redis_user: Option<Written<String>>,
    password: SecretFile,
    addresses: Vec<AddressFile>,
}

/// One of `addresses`.
struct AddressFile {
    announced: Option<Written<String>>,
    reachable: Option<Written<String>>,
}

/// Takes the section apart.
pub(super) fn read(mut section: Section<'_>, notes: &mut Notes) -> ClusterFile {
    let at = section.at().clone();
    let seeds = section.need("seeds", "seeds = [\"10.0.0.1:6379\", \"10.0.0.2:6379\"]", notes);
    let seeds = seeds.and_then(|entry| entry.filled_texts(notes)).unwrap_or_default();
    let redis_user = section.need("redis_user", "redis_user = \"topology\"", notes);
    let redis_user = redis_user.and_then(|entry| entry.text(notes));
    let password = secret(&mut section, keys!("redis_password"), notes);
    let addresses = section.take("addresses").and_then(|entry| entry.sections(notes)).unwrap_or_default();
    section.finish(notes);
    let addresses = addresses.into_iter().map(|it| read_address(it, notes)).collect();
    ClusterFile { at, seeds, redis_user, password, addresses }
}

fn read_address(mut section: Section<'_>, notes: &mut Notes) -> AddressFile {
    let announced = section.need("announced", "announced = \"10.0.0.1:6379\"", notes);
    let announced = announced.and_then(|entry| entry.text(notes));
    let reachable = section.need("reachable", "reachable = \"redis-1.example:6379\"", notes);
    let reachable = reachable.and_then(|entry| entry.text(notes));
    section.finish(notes);
    AddressFile { announced, reachable }
}

impl ClusterFile {
    /// What it says, or nothing where something is wrong, which has been noted.
    pub(super) fn settings(&self, files: &mut Files<'_>, notes: &mut Notes) -> Option<Cluster> {
        let at_tcp = |written: &Written<String>, files: &Files<'_>, notes: &mut Notes| {
            let found = notes.ok(&written.at, address(&written.value, files))?;
            if matches!(found, Address::Unix(_)) {
                notes.error(&written.at, ClusterCause::UnixSocket.into());
                return None;
            }
            Some(found)
        };
        let seeds: Vec<_> = self.seeds.iter().map(|seed| at_tcp(seed, files, notes)).collect();
        let redis_user = self.redis_user.as_ref().and_then(|user| users::redis_user(user, notes));
        let password = self.password.need(files, notes);
        let mut addresses = std::collections::BTreeMap::new();
        for one in &self.addresses {
            let announced = one.announced.as_ref().and_then(|it| Some((it, at_tcp(it, files, notes)?)));
            let reachable = one.reachable.as_ref().and_then(|it| at_tcp(it, files, notes));
            let ((written, announced), reachable) = announced.zip(reachable)?;
            if addresses.insert(announced.to_string(), reachable).is_some() {
                notes.error(&written.at, ClusterCause::Twice { announced: written.value.clone() }.into());
            }
        }
        let seeds: Vec<Address> = seeds.into_iter().collect::<Option<_>>()?;
        if seeds.is_empty() {
            // Why has been noted where the list is.
            return None;
        }
        let service = Arc::new(Credential::new(redis_user?, password?));
        Some(Cluster { seeds, service, addresses })
    }

    /// Notes what cannot stand beside it.
    pub(super) fn alone(&self, database: &DatabaseFile, notes: &mut Notes) {
        if database.is_led() {
            notes.error(&self.at, ClusterCause::AddressAsWell.into());
        }
        if let Some(replicas) = &database.replicas {
            notes.error(&replicas.at, ClusterCause::Replicas.into());
        }
        if database.subscriptions == crate::io::Subscriptions::Shared {
            notes.error(&self.at, ClusterCause::SharedSubscriptions.into());
        }
    }
}
