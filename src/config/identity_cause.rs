//! What can be wrong with the keys that say who somebody is.

use crate::identity::{EntryError, ExtractError, GateError, SkipError, StructuredError, TableError};

/// One thing that is wrong with how users are recognised, or with a gate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the error texts say what the variants and their fields are")]
pub enum IdentityCause {
    #[error("expected line, with certificate_subject_order if it is wanted, or subject with order")]
    LineOrSubject,
    #[error("found {found:?}, expected the issuer's subject, ':' and the serial number in hex")]
    IssuerSerial { found: String },
    #[error(transparent)]
    Structured(#[from] StructuredError),
    #[error(transparent)]
    Entry(#[from] EntryError),
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error(
        "mtls_client_cert_subject_validation_type is \"disabled\": these subjects would not be looked at"
    )]
    SubjectsWithoutGate,
    #[error("san_cn compares the CN only, found {found} too")]
    MoreThanCn { found: String },
    #[error(
        "{found:?} leaves something open, and the user has commands beyond the default: it must be exactly recognised"
    )]
    NotExact { found: String },
    #[error(transparent)]
    Extract(#[from] ExtractError),
    #[error(transparent)]
    Skip(#[from] SkipError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("{key} is about the value of username_attribute, which is missing")]
    NoAttribute { key: &'static str },
    #[error("the realm recognises nobody: no value stands for a user")]
    NoValues,
    #[error("there is no [[user]] named {name:?}")]
    UnknownUser { name: String },
    #[error("the user {name:?} comes in by its password alone, not by a certificate")]
    ValueOfPasswordUser { name: String },
    #[error("users that are made of a value have no redis_user, and database.roles is empty")]
    DerivedWithoutRoles,

    // Warnings.
    #[error("a pattern over a whole subject is compared with its text, and is easily wider than it looks")]
    SkipPattern,
}

impl IdentityCause {
    /// The name of the cause, which does not change from version to version.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::LineOrSubject => "line_or_subject",
            Self::IssuerSerial { .. } | Self::Entry(EntryError::Serial { .. }) => "issuer_serial",
            Self::Structured(_) | Self::Entry(EntryError::Structured(_)) => "attributes",
            Self::Entry(EntryError::Alternative(_)) => "alternative_name",
            Self::Entry(EntryError::Fingerprint(_)) => "fingerprint",
            Self::Gate(_) | Self::MoreThanCn { .. } => "authorized_subject",
            Self::SubjectsWithoutGate => "subjects_without_gate",
            Self::NotExact { .. } => "not_exact",
            Self::Extract(_) => "attribute_to_take",
            Self::Skip(_) => "skip_users",
            Self::Table(_) => "realm_values",
            Self::NoAttribute { .. } => "no_username_attribute",
            Self::NoValues => "realm_of_nobody",
            Self::UnknownUser { .. } => "unknown_user",
            Self::ValueOfPasswordUser { .. } => "value_of_password_user",
            Self::DerivedWithoutRoles => "user_is_value_without_roles",
            Self::SkipPattern => "skip_pattern",
        }
    }

    /// What to do about it, if that can be said in a sentence.
    #[must_use]
    pub fn way_out(&self) -> Option<String> {
        Some(match self {
            Self::LineOrSubject => {
                "for example: { line = \"CN=app,O=Acme\" } or { subject = { CN = \"app\", O = \"Acme\" }, order = [\"CN\", \"O\"] }"
            }
            Self::IssuerSerial { .. } => "for example: \"CN=Acme CA:01AB\" or { issuer = \"CN=Acme CA\", serial = \"01AB\" }",
            Self::Gate(GateError::CommonName(_)) => "for example: { CN = \"app\", O = \"Acme\" }",
            Self::SubjectsWithoutGate => "set it to \"san_cn\" or \"full_subject\", or remove them",
            Self::NoAttribute { .. } => "for example: username_attribute = \"CN\", \"2.5.4.65\", \"san:uri\" or \"dn\"",
            Self::NoValues => {
                "add values = { \"a value\" = \"a user\" }, user_is_value = true or fallback = \"dn\""
            }
            Self::UnknownUser { .. } => "add a [[user]] of this name; it needs no certificate_subject_line",
            Self::ValueOfPasswordUser { .. } => {
                "remove it, or set the user's auth_method to \"certificate_and_password\" to ask for both"
            }
            Self::DerivedWithoutRoles => {
                "add roles = [{ role = \"..\", redis_user = \"..\", redis_password_file = \"..\" }] to [database]"
            }
            Self::SkipPattern => "a whole subject, such as \"CN=app,O=Acme\", is compared part by part",
            Self::MoreThanCn { .. } => "remove it, or use \"full_subject\"",
            Self::NotExact { .. } => {
                "write the whole subject, without ignore_case, partial, attributes and *; or give the commands to another user"
            }
            _ => return None,
        }
        .to_owned())
    }
}
