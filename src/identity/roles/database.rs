//! From roles to the Redis user: a list in the operator's order, of which the
//! first role that somebody has decides.

use std::sync::Arc;

use super::mapping::some;
use super::why::shown;
use super::{Principal, RoleMap, Roles};
use crate::identity::{Credential, Reason, Refusal};

/// A database's roles and the Redis user of each, the first before the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatabaseRoles(Vec<(String, Arc<Credential>)>);

/// Whose password the gateway uses for somebody, and why.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// All roles that they have.
    pub roles: Roles,
    /// The one that decided; none if the user has a Redis user of its own.
    pub role: Option<String>,
    /// Who they are to Redis.
    pub credential: Arc<Credential>,
}

impl DatabaseRoles {
    /// From roles in the order in which they decide. Of a role that is there
    /// twice the first counts.
    #[must_use]
    pub fn new(roles: Vec<(String, Arc<Credential>)>) -> Self {
        Self(roles)
    }

    /// The roles, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(role, _)| role.as_str())
    }

    /// The Redis users that they lead to, in order.
    pub fn credentials(&self) -> impl Iterator<Item = &Arc<Credential>> {
        self.0.iter().map(|(_, credential)| credential)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first role of this list that is among somebody's, and its Redis user.
    #[must_use]
    pub fn credential_for(&self, roles: &Roles) -> Option<(&str, &Arc<Credential>)> {
        let first = self.0.iter().find(|(role, _)| roles.find(role).is_some());
        first.map(|(role, credential)| (role.as_str(), credential))
    }

    /// Who somebody is to Redis: the user's own credential, if it has one, or
    /// that of their first role.
    ///
    /// # Errors
    ///
    /// If there is neither. There is no Redis user for those who have no role.
    pub fn resolve(
        &self,
        own: Option<&Arc<Credential>>,
        map: &RoleMap,
        principal: &Principal,
    ) -> Result<Resolved, Refusal> {
        let roles = map.roles(principal);
        if let Some(own) = own {
            return Ok(Resolved { roles, role: None, credential: Arc::clone(own) });
        }
        match self.credential_for(&roles) {
            Some((role, credential)) => {
                let (role, credential) = (Some(role.to_owned()), Arc::clone(credential));
                Ok(Resolved { roles, role, credential })
            }
            None => Err(self.refusal(&roles, map, principal)),
        }
    }

    fn refusal(&self, roles: &Roles, map: &RoleMap, principal: &Principal) -> Refusal {
        let is_ours = |role: &str| self.names().any(|name| name == role);
        if let Some(rule) = map.lost_by_host(principal, is_ours) {
            let peer = principal.peer.to_canonical();
            let detail = format!("{} would grant a role, but not to the address {peer}", rule.place);
            return Refusal::new(Reason::HostScope, detail);
        }
        let user = shown(&principal.username);
        let names: Vec<_> = roles.names().collect();
        let detail = match (names.is_empty(), self.is_empty()) {
            (_, true) => format!("user {user} has no redis_user, and the database has no roles"),
            (true, false) => {
                format!("user {user} has no role: none of {} rules grants one", map.rules().len())
            }
            (false, false) => format!(
                "user {user} has roles {}: the database has a Redis user for none of them",
                some(&names, |name| (*name).to_owned())
            ),
        };
        Refusal::new(Reason::NoRole, detail)
    }
}
