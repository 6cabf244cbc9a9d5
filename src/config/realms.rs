//! `[[realm]]` and a listener's `realms`: which sources of identity there are, and
//! in which order they are asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::cause::Cause;
use super::file::{ListenerFile, UserFile};
use super::material::Files;
use super::problem::{At, Notes};
use super::recognition::{self, RecognitionFile};
use super::source::{Section, Written};
use crate::identity::{Chain, Realm, RealmKind, UserMap, Verify};
use crate::io::ClientAuth;

/// `[[realm]]`
pub(super) struct RealmFile {
    pub(super) at: At,
    pub(super) name: Option<Written<String>>,
    kind: Option<KindFile>,
}

enum KindFile {
    Certificate(Box<RecognitionFile>),
    Password(Verify),
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
            .map(KindFile::Password),
        Some(Kind::Certificate) => {
            Some(KindFile::Certificate(Box::new(recognition::read(&mut section, notes))))
        }
        None => None,
    };
    section.finish(notes);
    RealmFile { at, name, kind }
}

/// The realms as they are written, each built once: nothing where it has a problem.
pub(super) fn build(
    written: &[RealmFile],
    has_roles: bool,
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Vec<Option<Realm>> {
    let mut one = |realm: &RealmFile| {
        let kind = match realm.kind.as_ref()? {
            KindFile::Certificate(recognition) => {
                RealmKind::Certificate(recognition.build(has_roles, files, notes)?)
            }
            KindFile::Password(verify) => RealmKind::Password(*verify),
        };
        Some(Realm { name: Arc::from(realm.name.as_ref()?.value.as_str()), kind })
    };
    written.iter().map(&mut one).collect()
}

/// The users that are recognised by the value that a realm lists for them.
pub(super) fn users_by_value(written: &[RealmFile]) -> BTreeSet<&str> {
    recognitions(written).flat_map(RecognitionFile::users).map(|user| user.value.as_str()).collect()
}

/// Whether the users that realms name are there.
pub(super) fn check_users(written: &[RealmFile], users: &[UserFile], notes: &mut Notes) -> Option<()> {
    let sound: Vec<bool> = recognitions(written).map(|it| it.check_users(users, notes)).collect();
    sound.iter().all(|&is_sound| is_sound).then_some(())
}

fn recognitions(written: &[RealmFile]) -> impl Iterator<Item = &RecognitionFile> {
    written.iter().filter_map(|realm| match &realm.kind {
        Some(KindFile::Certificate(recognition)) => Some(&**recognition),
        _ => None,
    })
}

/// The realms of a listener, in its order.
pub(super) fn chain(
    built: &[Option<Realm>],
    written: &[RealmFile],
    listener: &ListenerFile,
    notes: &mut Notes,
) -> Option<Chain> {
    let Some(listed) = &listener.realms else {
        let chain = Chain::default();
        agrees(listener, &chain, notes);
        return Some(chain);
    };
    let mut realms: Vec<Realm> = Vec::new();
    let mut is_whole = true;
    for name in listed {
        let of_name = |realm: &RealmFile| realm.name.as_ref().is_some_and(|it| it.value == name.value);
        let found = written.iter().position(of_name);
        let realm = found.and_then(|at| built.get(at)).and_then(Option::as_ref);
        if realms.iter().any(|realm| *realm.name == *name.value) {
            notes.error(&name.at, Cause::RealmTwice { name: name.value.clone() });
            is_whole = false;
        } else if let Some(realm) = realm {
            realms.push(realm.clone());
        } else {
            is_whole = false;
            if found.is_none() {
                notes.error(&name.at, Cause::UnknownRealm { name: name.value.clone() });
            }
        }
    }
    let chain = Chain::new(realms);
    if is_whole {
        agrees(listener, &chain, notes);
    }
    is_whole.then_some(chain)
}

/// Whether every section is sound by itself, and no two have one name.
pub(super) fn known(written: &[RealmFile], notes: &mut Notes) -> Option<()> {
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

/// A realm that no listener asks is most likely one that was forgotten.
pub(super) fn inactive(written: &[RealmFile], listeners: &[ListenerFile], notes: &mut Notes) {
    let listed = || listeners.iter().flat_map(|listener| &listener.realms).flatten();
    for realm in written {
        let Some(name) = &realm.name else { continue };
        if listed().all(|listed| listed.value != name.value) {
            notes.warn(&realm.at, Cause::InactiveRealm { name: name.value.clone() });
        }
    }
}

/// Whether what the listener asks for in TLS is what its realms look at.
fn agrees(listener: &ListenerFile, chain: &Chain, notes: &mut Notes) {
    match listener.trust.client_auth {
        ClientAuth::None if chain.takes_certificates() => {
            notes.error(&listener.trust.client_auth_at, Cause::UnaskedCertificates);
        }
        ClientAuth::Optional if !chain.takes_passwords() => {
            notes.warn(&listener.trust.client_auth_at, Cause::NothingElse);
        }
        _ => {}
    }
}

/// Users whose passwords no realm of any listener looks at.
pub(super) fn unheard(users: &UserMap, at: &[At], chains: &[&Chain], notes: &mut Notes) {
    for (user, at) in users.users().iter().zip(at) {
        let wanted = if user.password.is_some() { Verify::Argon2id } else { Verify::Backend };
        let is_heard = chains
            .iter()
            .flat_map(|chain| chain.realms())
            .any(|realm| matches!(realm.kind, RealmKind::Password(verify) if verify == wanted));
        if user.needs.password() && !is_heard {
            let verify = if wanted == Verify::Argon2id { "argon2id" } else { "backend" };
            notes.warn(at, Cause::UnheardPassword { name: user.name.clone(), verify });
        }
    }
}
