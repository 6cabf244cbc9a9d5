//! The realms of a listener, in the order in which they are asked. A realm that
//! is not in the chain does not exist for the listener's clients.

use std::sync::Arc;

use super::Recognition;

/// The name of the realm that there is where none is configured.
const CERTIFICATES: &str = "certificates";

/// One source of identity.
#[derive(Debug, Clone)]
pub struct Realm {
    /// Its name in the configuration, the log and the audit.
    pub name: Arc<str>,
    /// What it looks at.
    pub kind: RealmKind,
}

/// What a realm looks at.
#[derive(Debug, Clone)]
pub enum RealmKind {
    /// The client's certificate, in this way.
    Certificate(Recognition),
    /// A password, held against this.
    Password(Verify),
}

/// What a password is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// The user's own hash.
    Argon2id,
    /// Redis' answer to AUTH on a connection of its own.
    Backend,
}

/// The realms of one listener. The default is one that looks at certificates.
#[derive(Debug, Clone)]
pub struct Chain(Vec<Realm>);

impl Default for Chain {
    fn default() -> Self {
        let kind = RealmKind::Certificate(Recognition::by_entries());
        Self(vec![Realm { name: CERTIFICATES.into(), kind }])
    }
}

impl Chain {
    /// These realms in this order; an empty chain recognises nobody.
    #[must_use]
    pub fn new(realms: Vec<Realm>) -> Self {
        Self(realms)
    }

    /// The realms in their order.
    #[must_use]
    pub fn realms(&self) -> &[Realm] {
        &self.0
    }

    /// Whether some realm looks at certificates.
    #[must_use]
    pub fn takes_certificates(&self) -> bool {
        self.certificates().next().is_some()
    }

    /// Whether some realm looks at passwords.
    #[must_use]
    pub fn takes_passwords(&self) -> bool {
        self.passwords().next().is_some()
    }

    /// The realms that look at certificates.
    pub(super) fn certificates(&self) -> impl Iterator<Item = (&Realm, &Recognition)> {
        self.0.iter().filter_map(|realm| match &realm.kind {
            RealmKind::Certificate(recognition) => Some((realm, recognition)),
            RealmKind::Password(_) => None,
        })
    }

    /// The realms that look at passwords.
    pub(super) fn passwords(&self) -> impl Iterator<Item = (&Realm, Verify)> {
        self.0.iter().filter_map(|realm| match realm.kind {
            RealmKind::Password(verify) => Some((realm, verify)),
            RealmKind::Certificate(_) => None,
        })
    }
}
