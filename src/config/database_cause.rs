//! What can be wrong with how Redis is reached.

use crate::identity::BadFingerprint;

/// One thing that is wrong or doubtful in `[database]`, or in what leads there.
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
    #[error("found {found:?}, expected up to 64 letters, digits and any of . _ -")]
    BadName { found: String },
    #[error("the database name {found:?} is taken by an earlier database")]
    Duplicate { found: String },
    #[error("there is no database {found:?}, expected one of {}", .known.join(", "))]
    Unknown { found: String, known: Vec<String> },
    #[error("there are several databases, expected database or sni with one of {}", .known.join(", "))]
    Which { known: Vec<String> },
    #[error("there are several databases, expected beside it database with one of {}", .known.join(", "))]
    WhichOfUser { known: Vec<String> },
    #[error("says which database redis_user is for, and there is no redis_user")]
    WithoutRedisUser,
    #[error("is to read from replicas, and nothing says how those of its database are looked at")]
    NoReplicas,
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
            Self::BadName { .. } => "database_name",
            Self::Duplicate { .. } => "duplicate_database",
            Self::Unknown { .. } => "unknown_database",
            Self::Which { .. } => "listener_without_database",
            Self::WhichOfUser { .. } => "user_without_database",
            Self::WithoutRedisUser => "database_without_redis_user",
            Self::NoReplicas => "read_from_without_replicas",
        }
    }

    /// See [`super::Cause::way_out`].
    pub(super) fn way_out(&self) -> Option<String> {
        let text = match self {
            Self::NoCa => "for example: ca = \"redis-ca.crt\"",
            Self::NotVerified => "set ca, and verification_mode = \"certificate\" if only the name is wrong",
            Self::Duplicate { .. } => {
                "give each [[database]] a name of its own, for example: name = \"orders\""
            }
            Self::WithoutRedisUser => "remove it: [database] roles are for every user that has the role",
            Self::NoReplicas => {
                "give its [database] for example: replicas = { redis_user = \"replication\", \
                 redis_password_file = \"replication.password\" }"
            }
            Self::TlsOnUnixSocket => "remove [database.tls], or connect by TCP",
            _ => return None,
        };
        Some(text.to_owned())
    }
}
