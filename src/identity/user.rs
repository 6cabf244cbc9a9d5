//! A user: what the operator wrote about somebody who may come in.

use std::fmt;
use std::sync::Arc;

use super::{Entry, Scope};
use crate::command::Profile;
use crate::secret::Secret;

/// Who the gateway is to Redis on a user's behalf.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The ACL user's name.
    pub redis_user: String,
    /// Its password.
    pub password: Secret,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credential").field(&self.redis_user).finish()
    }
}

/// A user of the gateway, and what it is recognised by.
#[derive(Debug, Clone)]
pub struct User {
    /// The name in logs, audit records and metrics.
    pub name: String,
    /// Whether it may come in. One that may not is still told from the others.
    pub enabled: bool,
    /// What is this user: any of these.
    pub entries: Vec<Entry>,
    /// The CAs under which all of its entries hold; without it, every CA that is trusted.
    pub scope: Option<Scope>,
    /// The Redis ACL user that its commands run as.
    pub credential: Arc<Credential>,
    /// Which guarded commands it may send.
    pub commands: Profile,
}
