//! What can be wrong with the keys that say who somebody is.

use crate::identity::{EntryError, GateError, StructuredError};

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
            Self::MoreThanCn { .. } => "remove it, or use \"full_subject\"",
            Self::NotExact { .. } => {
                "write the whole subject, without ignore_case, partial, attributes and *; or give the commands to another user"
            }
            _ => return None,
        }
        .to_owned())
    }
}
