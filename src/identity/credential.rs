//! Who the gateway is to Redis on a user's behalf, and how its password comes to be known.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::secret::Secret;

/// Who the gateway is to Redis on a user's behalf.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The ACL user's name.
    pub redis_user: String,
    /// Its password.
    pub password: Password,
    /// Whether AUTH is given the password alone, for a Redis that knows no other user than `default`.
    pub is_nameless: bool,
}

/// A password, or where it will be.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// It stands in the configuration.
    Given(Secret),
    /// It is known only while the gateway runs, and may change at any time.
    Kept(Keeping),
}

/// The name of a password that is known only while the gateway runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Keeping(pub Arc<str>);

/// The passwords that are known at present.
pub type Kept = HashMap<Keeping, Secret>;

impl Credential {
    /// An ACL user with a password of the configuration.
    #[must_use]
    pub fn new(redis_user: impl Into<String>, password: Secret) -> Self {
        Self { redis_user: redis_user.into(), password: Password::Given(password), is_nameless: false }
    }

    /// An ACL user whose password is kept under this name.
    #[must_use]
    pub fn kept(redis_user: impl Into<String>, keeping: Keeping) -> Self {
        Self { redis_user: redis_user.into(), password: Password::Kept(keeping), is_nameless: false }
    }

    /// The password, if it is known by now.
    #[must_use]
    pub fn secret<'a>(&'a self, kept: &'a Kept) -> Option<&'a Secret> {
        match &self.password {
            Password::Given(secret) => Some(secret),
            Password::Kept(keeping) => kept.get(keeping),
        }
    }
}

impl Password {
    /// The password, if it stands in the configuration.
    #[must_use]
    pub fn given(&self) -> Option<&Secret> {
        match self {
            Self::Given(secret) => Some(secret),
            Self::Kept(_) => None,
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credential").field(&self.redis_user).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_password_is_what_it_is_at_present() {
        let credential = Credential::kept("app", Keeping("a".into()));
        let mut kept = Kept::new();
        assert_eq!(credential.secret(&kept), None);
        for secret in ["first", "second"] {
            kept.insert(Keeping("a".into()), Secret::new(secret.as_bytes().to_vec()));
            assert_eq!(credential.secret(&kept).map(Secret::expose), Some(secret.as_bytes()));
        }
        assert_eq!(format!("{credential:?}"), "Credential(\"app\")");
    }
}
