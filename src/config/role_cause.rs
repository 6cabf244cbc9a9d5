//! What can be wrong with roles and the rules that grant them.

use std::fmt;

use crate::identity::roles::{ExpressionError, FieldError, NetworkError, RoleMapError, SubjectPatternError};

/// One thing that is wrong or doubtful with a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the error texts say what the variants and their fields are")]
pub enum RoleCause {
    #[error("found {found:?}, expected a role's name: 1 to 128 of A-Z a-z 0-9 _ . : @ / -")]
    BadName { found: String },
    #[error(transparent)]
    Pattern(SubjectPatternError),
    #[error(transparent)]
    Host(NetworkError),
    #[error(transparent)]
    Field(FieldError),
    #[error(transparent)]
    Bounds(ExpressionError),
    #[error(transparent)]
    Map(RoleMapError),
    #[error("found {found} of any, all and field, expected exactly one")]
    NotOneRule { found: usize },
    #[error("found {found} fields, expected exactly one")]
    NotOneField { found: usize },
    #[error("except stands outside of all: there would be nothing to make an exception from")]
    StrayExcept,
    #[error("absent is false: a field is compared with its absence, or with values")]
    NotAbsent,
    #[error("the role {role:?} is in the list a second time: remove one of them")]
    Twice { role: String },

    // Warnings.
    #[error("the mapping names nobody: nobody has the role by it")]
    NamesNobody,
    #[error("{pattern} is everybody who is let in")]
    NamesEverybody { pattern: String },
    #[error(
        "a regular expression over a whole subject is compared with its text, in which a comma within a value is \\,"
    )]
    SubjectRegex,
    #[error("the role {role:?} has no Redis user in database.roles")]
    NoRedisUser { role: String },
    #[error("nothing grants the role {role:?}")]
    NeverGranted { role: String },
}

impl RoleCause {
    /// See [`super::Cause::id`].
    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::BadName { .. } => "role_name",
            Self::Pattern(_) => "role_pattern",
            Self::Host(_) => "role_host",
            Self::Field(_) => "role_field",
            Self::Bounds(_) => "role_rule_bounds",
            Self::Map(_) => "role_rules_bounds",
            Self::NotOneRule { .. } => "role_rule",
            Self::NotOneField { .. } => "role_rule_field",
            Self::StrayExcept => "stray_except",
            Self::NotAbsent => "not_absent",
            Self::Twice { .. } => "duplicate_role",
            Self::NamesNobody => "mapping_of_nobody",
            Self::NamesEverybody { .. } => "mapping_of_everybody",
            Self::SubjectRegex => "subject_regex",
            Self::NoRedisUser { .. } => "role_without_redis_user",
            Self::NeverGranted { .. } => "role_never_granted",
        }
    }

    /// See [`super::Cause::way_out`].
    pub(super) fn way_out(&self) -> Option<String> {
        let text = match self {
            Self::NotOneRule { .. } => "for example: rules = { all = [{ field = { username = \"app\" } }] }",
            Self::NotOneField { .. } => "put several fields into all or any, one { field = { .. } } for each",
            Self::StrayExcept => {
                "for example: { all = [{ field = { groups = \"ops\" } }, { except = { field = .. } }] }"
            }
            Self::NotAbsent => "write { absent = true } for null",
            Self::NamesNobody => {
                "name somebody in users, hosts, backend_roles or and_backend_roles, or remove it"
            }
            Self::SubjectRegex => {
                "anchored on both ends; a pattern such as *,OU=ops,O=Acme is compared part by part"
            }
            Self::NoRedisUser { .. } => {
                "add { role = \"..\", redis_user = \"..\", redis_password_file = \"..\" } there"
            }
            Self::NeverGranted { .. } => "give it to a [[user]], or by [roles_mapping.NAME] or [[role_rule]]",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// A cause in another file than the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The file.
    pub path: std::path::PathBuf,
    /// The line in it.
    pub line: Option<super::Line>,
    /// The path of the key in it.
    pub key: String,
    /// What is wrong there.
    pub cause: super::Cause,
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.cause)
    }
}
