//! `[database.sentinel]`: the sentinels that say which node is the master. How the
//! master itself is reached stays with `[database]`.

use std::collections::BTreeSet;

use super::database::{self, TlsFile};
use super::material::Files;
use super::problem::Notes;
use super::secrets::{SecretFile, keys, secret};
use super::sentinel_cause::SentinelCause;
use super::source::{Section, Written};
use crate::io::{Address, Sentinels};

/// The most sentinels of one master. Redis' own advice is three to five.
const SENTINELS_MAX: usize = 16;

/// Bytes of a master's name.
const NAME_BYTES_MAX: usize = 128;

/// The section as written.
pub(super) struct SentinelFile {
    master: Option<Written<String>>,
    addresses: Option<Vec<Written<String>>>,
    quorum: Option<Written<u64>>,
    redis_user: Option<Written<String>>,
    password: SecretFile,
    tls: Option<TlsFile>,
}

/// Takes the section apart.
pub(super) fn read(mut section: Section<'_>, notes: &mut Notes) -> SentinelFile {
    let master = section.need("master", "master = \"mymaster\"", notes);
    let addresses = section.need("addresses", "addresses = [\"10.0.0.1:26379\"]", notes);
    let file = SentinelFile {
        master: master.and_then(|entry| entry.text(notes)),
        addresses: addresses.and_then(|entry| entry.filled_texts(notes)),
        quorum: section.take("quorum").and_then(|entry| entry.number(notes)),
        redis_user: section.take("redis_user").and_then(|entry| entry.text(notes)),
        password: secret(&mut section, keys!("redis_password"), notes),
        tls: section.take("tls").and_then(|it| it.section(notes)).map(|it| database::read_tls(it, notes)),
    };
    section.finish(notes);
    file
}

impl SentinelFile {
    /// Whom to ask and when to believe them, or what is wrong with that, noted.
    pub(super) fn settings(&self, files: &mut Files<'_>, now: i64, notes: &mut Notes) -> Option<Sentinels> {
        let master = self.master.as_ref().and_then(|it| notes.ok(&it.at, name(&it.value)));
        let addresses = self.addresses.as_ref().and_then(|all| addresses(all, files, notes));
        let has_password = self.password.at().is_some();
        let password = has_password.then(|| self.password.need(files, notes));
        if let (Some(user), false) = (&self.redis_user, has_password) {
            notes.error(&user.at, SentinelCause::UserWithoutPassword.into());
        }
        let tls = self.tls.as_ref().map(|tls| tls.settings(addresses.as_deref(), files, now, notes));
        let addresses = addresses?;
        let quorum = self.quorum(addresses.len(), notes);
        if addresses.len() < 3
            && let Some(Written { at, .. }) = self.addresses.iter().flatten().next()
        {
            notes.warn(at, SentinelCause::Few.into());
        }
        Some(Sentinels {
            master: master?,
            addresses,
            quorum: quorum?,
            redis_user: self.redis_user.as_ref().map(|user| user.value.clone()),
            password: password.map_or(Some(None), |it| it.map(Some))?,
            tls: tls.map_or(Some(None), |tls| tls.map(Some))?,
        })
    }

    /// More than half, so that no two addresses can both have enough.
    fn quorum(&self, count: usize, notes: &mut Notes) -> Option<usize> {
        let least = count / 2 + 1;
        let Some(Written { at, value }) = &self.quorum else { return Some(least) };
        let quorum = usize::try_from(*value).ok().filter(|quorum| (least..=count).contains(quorum));
        notes.ok(at, quorum.ok_or_else(|| SentinelCause::Quorum { found: *value, least, most: count }.into()))
    }
}

fn addresses(written: &[Written<String>], files: &Files<'_>, notes: &mut Notes) -> Option<Vec<Address>> {
    let mut seen = BTreeSet::new();
    let all: Option<Vec<Address>> = written
        .iter()
        .map(|it| {
            let address = notes.ok(&it.at, database::address(&it.value, files))?;
            if matches!(address, Address::Unix(_)) {
                notes.error(&it.at, SentinelCause::UnixSocket.into());
                return None;
            }
            if !seen.insert(it.value.to_ascii_lowercase()) {
                notes.error(&it.at, SentinelCause::Twice { found: it.value.clone() }.into());
                return None;
            }
            Some(address)
        })
        // Each is looked at, whatever is wrong with the others.
        .collect::<Vec<_>>()
        .into_iter()
        .collect();
    let all = all?;
    if all.len() > SENTINELS_MAX {
        let at = &written[SENTINELS_MAX].at;
        notes.error(at, SentinelCause::Many { found: all.len(), most: SENTINELS_MAX }.into());
        return None;
    }
    Some(all)
}

/// What `SENTINEL MONITOR` calls the master: one word, since a switch is told as words.
fn name(found: &str) -> Result<String, super::cause::Cause> {
    let fits = |byte: u8| byte.is_ascii_graphic();
    if (1..=NAME_BYTES_MAX).contains(&found.len()) && found.bytes().all(fits) {
        Ok(found.to_owned())
    } else {
        Err(SentinelCause::MasterName { found: found.to_owned(), most: NAME_BYTES_MAX }.into())
    }
}
