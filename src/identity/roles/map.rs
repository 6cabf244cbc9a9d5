//! All rules together: which roles a principal has and by which rule. Built
//! once, then only read. Rules add up: none takes a role away, and their order
//! decides nothing but which of them is named.

use std::sync::Arc;

use thiserror::Error;

use super::why::{Miss, MissWord, Why, shown};
use super::{Expression, Mapping, Principal};

/// Rules of one map; a connection is compared with each.
const RULES_MAX: usize = 4096;

/// Regular expressions of one map; each may take 256 KiB.
const REGEXES_MAX: usize = 256;

/// Why rules cannot be used together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RoleMapError {
    /// Too many rules.
    #[error("{0} role rules, expected at most {RULES_MAX}")]
    Rules(usize),
    /// Too many regular expressions.
    #[error(
        "{0} regular expressions in role rules, expected at most {REGEXES_MAX}: use * and ? where they do"
    )]
    Regexes(usize),
}

/// Who gets some roles.
#[derive(Debug, Clone)]
pub struct RoleRule {
    /// Where it is written, such as `roles_mapping.admin`.
    pub place: Arc<str>,
    /// What it grants.
    pub roles: Vec<String>,
    /// Whether it is in force.
    pub enabled: bool,
    /// To whom.
    pub condition: Condition,
}

/// To whom a rule grants its roles.
#[derive(Debug, Clone)]
pub enum Condition {
    /// To the user of exactly this name.
    User(String),
    /// As OpenSearch writes it.
    Mapping(Mapping),
    /// As Elasticsearch writes it.
    Expression(Expression),
}

impl Condition {
    fn regexes(&self) -> usize {
        match self {
            Self::User(_) => 0,
            Self::Mapping(mapping) => mapping.regexes(),
            Self::Expression(expression) => expression.regexes(),
        }
    }

    fn holds(&self, principal: &Principal, why: &mut Why) -> bool {
        match self {
            Self::User(name) => {
                let is_it = *name == principal.username;
                if !is_it {
                    why.miss(MissWord::Name, || {
                        format!("user name {} is not {}", shown(&principal.username), shown(name))
                    });
                }
                is_it
            }
            Self::Mapping(mapping) => mapping.holds(principal, why),
            Self::Expression(expression) => expression.holds(principal, why),
        }
    }
}

impl RoleRule {
    fn holds(&self, principal: &Principal, why: &mut Why) -> bool {
        if !self.enabled {
            why.miss(MissWord::Disabled, || "enabled = false".to_owned());
        }
        self.enabled && self.condition.holds(principal, why)
    }
}

/// A role that somebody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The role.
    pub role: String,
    /// The first rule that granted it, as [`RoleRule::place`].
    pub by: Arc<str>,
}

/// The roles that somebody has, each once, in the order of the rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles(Vec<Granted>);

impl Roles {
    /// All of them.
    #[must_use]
    pub fn granted(&self) -> &[Granted] {
        &self.0
    }

    /// The role of this name, if it was granted.
    #[must_use]
    pub fn find(&self, role: &str) -> Option<&Granted> {
        self.0.iter().find(|granted| granted.role == role)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|granted| granted.role.as_str())
    }

    fn add(&mut self, rule: &RoleRule) {
        for role in &rule.roles {
            if self.find(role).is_none() {
                self.0.push(Granted { role: role.clone(), by: Arc::clone(&rule.place) });
            }
        }
    }
}

/// What became of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The rule, as [`RoleRule::place`].
    pub rule: Arc<str>,
    /// What it would grant.
    pub roles: Vec<String>,
    /// Whether it did.
    pub is_granted: bool,
    /// If not, why; the first few reasons.
    pub misses: Vec<Miss>,
}

/// The rules in the order given.
#[derive(Debug, Default)]
pub struct RoleMap {
    rules: Vec<RoleRule>,
}

impl RoleMap {
    /// Builds the map.
    ///
    /// # Errors
    ///
    /// If there is more of something than may be.
    pub fn build(rules: Vec<RoleRule>) -> Result<Self, RoleMapError> {
        if rules.len() > RULES_MAX {
            return Err(RoleMapError::Rules(rules.len()));
        }
        let regexes = rules.iter().map(|rule| rule.condition.regexes()).sum();
        if regexes > REGEXES_MAX {
            return Err(RoleMapError::Regexes(regexes));
        }
        Ok(Self { rules })
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &[RoleRule] {
        &self.rules
    }

    /// The roles that somebody has.
    #[must_use]
    pub fn roles(&self, principal: &Principal) -> Roles {
        let mut roles = Roles::default();
        for rule in &self.rules {
            if rule.holds(principal, &mut Why::silent()) {
                roles.add(rule);
            }
        }
        roles
    }

    /// What became of each rule, for somebody who wants to know why.
    #[must_use]
    pub fn trace(&self, principal: &Principal) -> Vec<Tried> {
        let tried = self.rules.iter().map(|rule| {
            let mut why = Why::told();
            let is_granted = rule.holds(principal, &mut why);
            let (rule, roles) = (Arc::clone(&rule.place), rule.roles.clone());
            Tried { rule, roles, is_granted, misses: why.into_misses() }
        });
        tried.collect()
    }

    /// The first rule for one of some roles that would have granted it to
    /// somebody who came from elsewhere.
    pub(super) fn lost_by_host(
        &self,
        principal: &Principal,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Option<&RoleRule> {
        self.rules.iter().find(|rule| {
            let mut why = Why::silent();
            let is_wanted = rule.roles.iter().any(|role| is_wanted(role));
            is_wanted && !rule.holds(principal, &mut why) && why.is_host_alone()
        })
    }
}
