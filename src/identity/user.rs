//! A user: what the operator wrote about somebody who may come in.

use std::sync::Arc;

use super::{Credential, Entry, PasswordHash, Scope};
use crate::command::Profile;

/// What a client has to have to be a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Needs {
    /// One of its certificates.
    #[default]
    Certificate,
    /// Its password.
    Password,
    /// One of its certificates and its password.
    Both,
}

impl Needs {
    /// Whether a certificate is needed.
    #[must_use]
    pub fn certificate(self) -> bool {
        self != Self::Password
    }

    /// Whether a password is needed.
    #[must_use]
    pub fn password(self) -> bool {
        self != Self::Certificate
    }
}

/// Which nodes answer what a user reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadFrom {
    /// The master, as everything else.
    #[default]
    Master,
    /// A replica that is not too far behind; the master, where there is none.
    PreferReplica,
    /// A replica that is not too far behind, and nobody else.
    Replica,
}

/// A user of the gateway.
#[derive(Debug, Clone)]
pub struct User {
    /// The name in logs, audit records and metrics, and the one that AUTH gives.
    pub name: String,
    /// What it takes to be this user.
    pub needs: Needs,
    /// Whether it may come in. One that may not is still told from the others.
    pub enabled: bool,
    /// What a certificate of this user has: any of these.
    pub entries: Vec<Entry>,
    /// The CAs under which all of its entries hold; without it, every CA that is trusted.
    pub scope: Option<Scope>,
    /// What its password is held against; without one, Redis is asked.
    pub password: Option<Arc<PasswordHash>>,
    /// The Redis ACL user that its commands run as; without one, the one of its role,
    /// or, if Redis compares its password, the one of its name.
    pub credential: Option<Arc<Credential>>,
    /// The database that the credential is for; without one, every database.
    pub database: Option<String>,
    /// Which guarded commands it may send.
    pub commands: Profile,
    /// Which nodes answer what it reads.
    pub read_from: ReadFrom,
}

impl User {
    /// A user with this Redis user, and nothing yet to be recognised by.
    #[must_use]
    pub fn new(name: impl Into<String>, credential: Credential) -> Self {
        Self {
            name: name.into(),
            needs: Needs::default(),
            enabled: true,
            entries: Vec::new(),
            scope: None,
            password: None,
            credential: Some(Arc::new(credential)),
            database: None,
            commands: Profile::Default,
            read_from: ReadFrom::default(),
        }
    }

    /// A user that only a certificate says that there is. Its Redis user is that of a role.
    pub(super) fn derived(name: String) -> Self {
        Self {
            name,
            needs: Needs::Certificate,
            enabled: true,
            entries: Vec::new(),
            scope: None,
            password: None,
            credential: None,
            database: None,
            commands: Profile::Default,
            read_from: ReadFrom::default(),
        }
    }
}
