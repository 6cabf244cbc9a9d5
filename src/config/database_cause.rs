//! What can be wrong with how Redis is reached.

use crate::identity::BadFingerprint;

/// One thing that is wrong or doubtful in `[database.tls]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the error texts say what the variants and their fields are")]
pub enum DatabaseCause {
    #[error("nothing says whom to trust, expected ca or ca_fingerprint")]
    NoCa,
    #[error(
        "with verification_mode = \"none\" nothing is held against ca and ca_fingerprint: remove them, or the mode"
    )]
    CaWithoutVerification,
    #[error(
        "the backend's certificate is not verified: whoever is between can read and change every command"
    )]
    NotVerified,
    #[error("{0}")]
    Fingerprint(BadFingerprint),
    #[error("a Unix socket is not encrypted, expected address = \"host:port\"")]
    TlsOnUnixSocket,
    #[error("found {found:?}, expected a host name or an IP address")]
    ServerName { found: String },
    #[error("certificate and key belong together: expected both or neither")]
    HalfAPair,
}

impl DatabaseCause {
    /// See [`super::Cause::id`].
    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::NoCa => "backend_without_ca",
            Self::CaWithoutVerification => "backend_ca_not_used",
            Self::NotVerified => "backend_not_verified",
            Self::Fingerprint(_) => "backend_fingerprint",
            Self::TlsOnUnixSocket => "tls_on_unix_socket",
            Self::ServerName { .. } => "backend_server_name",
            Self::HalfAPair => "certificate_without_key",
        }
    }

    /// See [`super::Cause::way_out`].
    pub(super) fn way_out(&self) -> Option<String> {
        let text = match self {
            Self::NoCa => "for example: ca = \"redis-ca.crt\"",
            Self::NotVerified => "set ca, and verification_mode = \"certificate\" if only the name is wrong",
            Self::TlsOnUnixSocket => "remove [database.tls], or connect by TCP",
            _ => return None,
        };
        Some(text.to_owned())
    }
}
