//! Which roles somebody has, and which Redis user they lead to.
//!
//! ```text
//! [roles_mapping.NAME] -> Mapping ----+
//! [[role_rule]] -------> Expression --+-> RoleMap::roles(Principal) -> Roles -> DatabaseRoles -> Credential
//! [[user]] roles ------> User --------+
//! ```
//!
//! Everything is said about a [`Principal`], which is made of plain values: this
//! module knows neither certificates nor users, resolves no host name and opens
//! no file. A rule that is empty grants nothing, and no text means "everybody"
//! but `*`.

mod database;
mod expression;
mod field;
mod map;
mod mapping;
mod network;
mod principal;
mod subject;
mod why;

pub use database::{DatabaseRoles, Resolved};
pub use expression::{Clause, Expression, ExpressionError};
pub use field::{Field, FieldError, Scalar, Test};
pub use map::{Condition, Granted, RoleMap, RoleMapError, RoleRule, Roles, Tried};
pub use mapping::{Group, Mapping, Who};
pub use network::{Network, NetworkError};
pub use principal::{Metadata, Principal};
pub use subject::{SubjectPattern, SubjectPatternError};
pub use why::{Miss, MissWord};
