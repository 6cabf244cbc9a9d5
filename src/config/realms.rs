//! `[[realm]]` and a listener's `realms`: which sources of identity there are, and
//! in which order they are asked.

use std::sync::Arc;

use super::cause::Cause;
use super::file::ListenerFile;
use super::problem::{At, Notes};
use super::source::{Section, Written};
use crate::identity::{Chain, Realm, RealmKind, UserMap, Verify};
use crate::io::ClientAuth;

/// `[[realm]]`
pub(super) struct RealmFile {
    pub(super) at: At,
    pub(super) name: Option<Written<String>>,
    pub(super) kind: Option<RealmKind>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Certificate,
    Password,
}

/// Reads one section.
pub(super) fn read(mut section: Section<'_>, notes: &mut Notes) -> RealmFile {
    let at = section.at().clone();
    let name = section.need("name", "name = \"people\"", notes).and_then(|entry| entry.text(notes));
    let kinds = [("certificate", Kind::Certificate), ("password", Kind::Password)];
    let kind = section.need("kind", "kind = \"password\"", notes).and_then(|it| it.word(&kinds, notes));
    let ways = [("argon2id", Verify::Argon2id), ("backend", Verify::Backend)];
    let kind = match kind {
        Some(Kind::Password) => section
            .need("verify", "verify = \"argon2id\"", notes)
            .and_then(|entry| entry.word(&ways, notes))
            .map(RealmKind::Password),
        Some(Kind::Certificate) => Some(RealmKind::Certificate),
        None => None,
    };
    section.finish(notes);
    RealmFile { at, name, kind }
}

/// The realms of a listener, in its order.
pub(super) fn chain(written: &[RealmFile], listener: &ListenerFile, notes: &mut Notes) -> Option<Chain> {
    let known = known(written, notes);
    let Some(listed) = &listener.realms else {
        let chain = Chain::default();
        inactive(written, &[], notes);
        agrees(listener, &chain, notes);
        return known.map(|_| chain);
    };
    let mut realms: Vec<Realm> = Vec::new();
    let mut is_whole = true;
    for name in listed {
        let found = written.iter().find(|realm| realm.name.as_ref().is_some_and(|it| it.value == name.value));
        let kind = found.and_then(|realm| realm.kind);
        if realms.iter().any(|realm| *realm.name == *name.value) {
            notes.error(&name.at, Cause::RealmTwice { name: name.value.clone() });
            is_whole = false;
        } else if let Some(kind) = kind {
            realms.push(Realm { name: Arc::from(name.value.as_str()), kind });
        } else {
            is_whole = false;
            if found.is_none() {
                notes.error(&name.at, Cause::UnknownRealm { name: name.value.clone() });
            }
        }
    }
    inactive(written, listed, notes);
    let chain = Chain::new(realms);
    if is_whole {
        agrees(listener, &chain, notes);
    }
    (is_whole && known.is_some()).then_some(chain)
}

/// Whether every section is sound by itself.
fn known(written: &[RealmFile], notes: &mut Notes) -> Option<()> {
    let mut is_whole = true;
    for (index, realm) in written.iter().enumerate() {
        let Some(name) = &realm.name else {
            is_whole = false;
            continue;
        };
        let earlier = written[..index].iter().filter_map(|realm| realm.name.as_ref());
        if earlier.into_iter().any(|earlier| earlier.value == name.value) {
            notes.error(&name.at, Cause::RealmTwice { name: name.value.clone() });
            is_whole = false;
        } else if !super::users::is_name(&name.value) {
            notes.error(&name.at, Cause::BadName { found: name.value.clone() });
            is_whole = false;
        }
        is_whole &= realm.kind.is_some();
    }
    is_whole.then_some(())
}

/// A realm that nobody asks is most likely one that was forgotten.
fn inactive(written: &[RealmFile], listed: &[Written<String>], notes: &mut Notes) {
    for realm in written {
        let Some(name) = &realm.name else { continue };
        if listed.iter().all(|listed| listed.value != name.value) {
            notes.warn(&realm.at, Cause::InactiveRealm { name: name.value.clone() });
        }
    }
}

/// Whether what the listener asks for in TLS is what its realms look at.
fn agrees(listener: &ListenerFile, chain: &Chain, notes: &mut Notes) {
    match listener.client_auth {
        ClientAuth::None if chain.takes_certificates() => {
            notes.error(&listener.client_auth_at, Cause::UnaskedCertificates);
        }
        ClientAuth::Optional if !chain.takes_passwords() => {
            notes.warn(&listener.client_auth_at, Cause::NothingElse);
        }
        _ => {}
    }
}

/// Users whose passwords no realm of the listener looks at.
pub(super) fn unheard(users: &UserMap, at: &[At], chain: &Chain, notes: &mut Notes) {
    for (user, at) in users.users().iter().zip(at) {
        let wanted = if user.password.is_some() { Verify::Argon2id } else { Verify::Backend };
        let is_heard = chain.realms().iter().any(|realm| realm.kind == RealmKind::Password(wanted));
        if user.needs.password() && !is_heard {
            let verify = if wanted == Verify::Argon2id { "argon2id" } else { "backend" };
            notes.warn(at, Cause::UnheardPassword { name: user.name.clone(), verify });
        }
    }
}
