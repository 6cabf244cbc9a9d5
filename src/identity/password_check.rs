//! A password that is to be checked, and what is known once it has been. Says
//! what to hold the password against; does not wait for the answer.

use std::fmt;
use std::sync::Arc;

use super::{Credential, PasswordHash, Reason, Refusal, User};
use crate::secret::Secret;

/// What a password is held against.
#[derive(Clone, PartialEq, Eq)]
pub enum Method {
    /// This hash.
    Hash(Arc<PasswordHash>),
    /// Redis' answer to AUTH with this name.
    Backend(String),
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash(_) => f.write_str("Hash"),
            Self::Backend(name) => f.debug_tuple("Backend").field(name).finish(),
        }
    }
}

/// One attempt to be a user by a password. Where it cannot succeed, it is carried
/// out all the same, so that the time it takes does not tell why.
#[derive(Debug)]
pub struct Check {
    pub(super) user: Option<Arc<User>>,
    pub(super) method: Method,
    /// Why it cannot succeed.
    pub(super) doom: Option<Refusal>,
}

impl Check {
    /// What the password is to be held against.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The user that it is about, if there is one of that name.
    #[must_use]
    pub fn user(&self) -> Option<&Arc<User>> {
        self.user.as_ref()
    }

    /// Whether no password is the right one.
    #[must_use]
    pub fn is_doomed(&self) -> bool {
        self.doom.is_some()
    }

    /// The password did not fit.
    #[must_use]
    pub fn failed(self) -> Refusal {
        self.doom.unwrap_or_else(|| Refusal::new(Reason::WrongPassword, "the password is not the user's"))
    }

    /// The password did fit, whatever that means here.
    ///
    /// # Errors
    /// If it could not have succeeded.
    pub fn succeeded(self, password: Secret) -> Result<Proof, Refusal> {
        match (self.doom, self.user) {
            (None, Some(user)) => {
                // Kept only where it is what Redis is told.
                let is_told = user.credential.is_none() && matches!(self.method, Method::Backend(_));
                let password = is_told.then_some(password);
                Ok(Proof { user: user.name.clone(), method: self.method, password })
            }
            (Some(doom), _) => Err(doom),
            (None, None) => Err(Refusal::new(Reason::UnknownUser, "there is no user of this name")),
        }
    }
}

/// That somebody knew a user's password. It holds as long as the user's password
/// is still held against the same.
#[derive(Debug)]
pub struct Proof {
    pub(super) user: String,
    pub(super) method: Method,
    password: Option<Secret>,
}

impl Proof {
    /// Who the client is to Redis if the user has no Redis user of its own: the one
    /// that has just let it in.
    pub(super) fn credential(&self) -> Option<Arc<Credential>> {
        let (Method::Backend(name), Some(password)) = (&self.method, &self.password) else { return None };
        Some(Arc::new(Credential::new(name.as_str(), password.clone())))
    }
}
