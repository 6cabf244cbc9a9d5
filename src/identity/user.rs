//! A user: what the operator wrote about somebody who may come in.

use std::fmt;
use std::sync::Arc;

use super::SubjectLine;
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

/// A user of the gateway, recognised by a certificate's subject.
#[derive(Debug, Clone)]
pub struct User {
    /// The name in logs, audit records and metrics.
    pub name: String,
    /// The subjects that are this user.
    pub lines: Vec<SubjectLine>,
    /// The Redis ACL user that its commands run as.
    pub credential: Arc<Credential>,
    /// Which guarded commands it may send.
    pub commands: Profile,
}
