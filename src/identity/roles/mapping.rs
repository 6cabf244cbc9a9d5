//! A mapping as OpenSearch writes it: lists of which one match is enough, but
//! for `and_backend_roles`, of which all must.

use core::net::IpAddr;
use std::fmt;

use super::subject::{SubjectPattern, SubjectPatternError};
use super::why::{MissWord, Why, shown};
use super::{Network, Principal};
use crate::identity::Name;
use crate::identity::pattern::{self, Pattern};

/// One element of `users`: a user's name or a certificate's subject.
#[derive(Debug, Clone)]
pub enum Who {
    /// Compared with the user's name.
    Name(Pattern),
    /// Compared with the certificate's subject.
    Dn(SubjectPattern),
}

/// One element of `backend_roles`: a group or a certificate's subject.
///
/// What has a `=` is a subject and never a group: an attribute's value that
/// looks like a subject must not stand for one.
#[derive(Debug, Clone)]
pub enum Group {
    /// Compared with each of the groups.
    Name(Pattern),
    /// Compared with the certificate's subject.
    Dn(SubjectPattern),
}

/// Reads an element. User names and `/regex/` have no `=` that would make them a subject.
fn element<T>(
    text: &str,
    name: impl FnOnce(Pattern) -> T,
    dn: impl FnOnce(SubjectPattern) -> T,
) -> Result<T, SubjectPatternError> {
    if text.contains('=') && pattern::regex_of(text).is_none() {
        SubjectPattern::parse(text).map(dn)
    } else {
        Ok(name(Pattern::parse(text)?))
    }
}

impl Who {
    /// Reads an element of `users`.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, SubjectPatternError> {
        element(text, Self::Name, Self::Dn)
    }

    /// Whether everybody matches it.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::Name(pattern) if pattern.is_everything())
    }

    fn matches(&self, principal: &Principal) -> bool {
        match self {
            Self::Name(pattern) => pattern.matches(&principal.username),
            Self::Dn(pattern) => principal.dn.as_ref().is_some_and(|dn| pattern.matches(dn)),
        }
    }
}

impl Group {
    /// Reads an element of `backend_roles` or `and_backend_roles`.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, SubjectPatternError> {
        element(text, Self::Name, Self::Dn)
    }

    fn matches(&self, principal: &Principal) -> bool {
        match self {
            Self::Name(pattern) => principal.groups.iter().any(|group| pattern.matches(group)),
            Self::Dn(pattern) => principal.dn.as_ref().is_some_and(|dn| pattern.matches(dn)),
        }
    }
}

/// Who has a role. Without an element it is nobody.
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    /// Names and subjects; one is enough.
    pub users: Vec<Who>,
    /// Where the client comes from; one is enough, whoever it is.
    pub hosts: Vec<Network>,
    /// Groups and subjects; one is enough.
    pub backend_roles: Vec<Group>,
    /// Groups and subjects; all are needed.
    pub and_backend_roles: Vec<Group>,
}

impl Mapping {
    /// Whether it names nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
            && self.hosts.is_empty()
            && self.backend_roles.is_empty()
            && self.and_backend_roles.is_empty()
    }

    /// The regular expressions in it.
    pub(super) fn regexes(&self) -> usize {
        let users = self.users.iter().filter(|who| match who {
            Who::Name(pattern) => pattern.is_regex(),
            Who::Dn(pattern) => pattern.is_regex(),
        });
        let groups = self.backend_roles.iter().chain(&self.and_backend_roles).filter(|group| match group {
            Group::Name(pattern) => pattern.is_regex(),
            Group::Dn(pattern) => pattern.is_regex(),
        });
        users.count() + groups.count()
    }

    /// Whether it grants its role; if not, every list that is there says why.
    pub(super) fn holds(&self, principal: &Principal, why: &mut Why) -> bool {
        if self.is_empty() {
            why.miss(MissWord::Empty, || "it names nobody".to_owned());
            return false;
        }
        self.users.iter().any(|who| who.matches(principal))
            || self.hosts.iter().any(|host| host.contains(principal.peer))
            || self.backend_roles.iter().any(|group| group.matches(principal))
            || (!self.and_backend_roles.is_empty()
                && self.and_backend_roles.iter().all(|group| group.matches(principal)))
            || {
                self.explain(principal, why);
                false
            }
    }

    fn explain(&self, principal: &Principal, why: &mut Why) {
        let names = self.users.iter().filter(|who| matches!(who, Who::Name(_))).count();
        if names > 0 {
            why.miss(MissWord::Name, || none_of("user name", &shown(&principal.username), names, "users"));
        }
        let dns = self.users.iter().filter_map(|who| match who {
            Who::Dn(pattern) => Some(pattern),
            Who::Name(_) => None,
        });
        dns.for_each(|pattern| dn_miss(pattern, principal.dn.as_ref(), why));
        if !self.hosts.is_empty() {
            why.miss(MissWord::Host, || host_miss(principal.peer, &self.hosts));
        }
        groups_miss(&self.backend_roles, "backend_roles", principal, why);
        let missing: Vec<_> =
            self.and_backend_roles.iter().filter(|group| !group.matches(principal)).cloned().collect();
        groups_miss(&missing, "and_backend_roles", principal, why);
    }
}

fn groups_miss(list: &[Group], key: &str, principal: &Principal, why: &mut Why) {
    let names: Vec<_> = list
        .iter()
        .filter_map(|group| match group {
            Group::Name(pattern) => Some(shown(&pattern.to_string())),
            Group::Dn(_) => None,
        })
        .collect();
    if !names.is_empty() {
        why.miss(MissWord::Group, || {
            format!(
                "groups {} lack {} of {key}",
                some(&principal.groups, |it| shown(it)),
                some(&names, String::clone)
            )
        });
    }
    for group in list {
        if let Group::Dn(pattern) = group {
            dn_miss(pattern, principal.dn.as_ref(), why);
        }
    }
}

pub(super) fn dn_miss(pattern: &SubjectPattern, dn: Option<&Name>, why: &mut Why) {
    why.miss(MissWord::Dn, || match dn {
        None => format!("{}: there is no certificate", shown(&pattern.to_string())),
        Some(dn) => match pattern.mismatch(dn) {
            Some(mismatch) => format!("{}: {mismatch}", shown(&pattern.to_string())),
            None => format!("{}: the subject is {}", shown(&pattern.to_string()), shown(&dn.to_string())),
        },
    });
}

pub(super) fn host_miss(peer: IpAddr, hosts: &[Network]) -> String {
    format!("address {} is not in {}", peer.to_canonical(), some(hosts, Network::to_string))
}

fn none_of(what: &str, found: &str, count: usize, key: &str) -> String {
    format!("{what} {found} is none of the {count} in {key}")
}

/// The first few of a list.
pub(super) fn some<T>(list: &[T], show: impl Fn(&T) -> String) -> String {
    const SHOWN_MAX: usize = 4;
    let first: Vec<_> = list.iter().take(SHOWN_MAX).map(show).collect();
    let more = list.len().saturating_sub(SHOWN_MAX);
    match (first.len(), more) {
        (0, _) => "(none)".to_owned(),
        (_, 0) => first.join(", "),
        _ => format!("{} and {more} more", first.join(", ")),
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(pattern) => pattern.fmt(f),
            Self::Dn(pattern) => pattern.fmt(f),
        }
    }
}
