//! What can be wrong with who says which node is the master.

/// One thing that is wrong or doubtful in `[database.sentinel]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the error texts say what the variants and their fields are")]
pub enum SentinelCause {
    #[error("found {found:?}, expected one word of at most {most} characters")]
    MasterName { found: String, most: usize },
    #[error("{found:?} is there twice: each sentinel has one voice")]
    Twice { found: String },
    #[error("found {found} sentinels, expected at most {most}")]
    Many { found: usize, most: usize },
    #[error("a sentinel has no Unix socket, expected \"host:port\"")]
    UnixSocket,
    #[error("found {found}, expected {least} to {most}: more than half, and no more than there are")]
    Quorum { found: u64, least: usize, most: usize },
    #[error(
        "with fewer than three sentinels one that is wrong is not outvoted, or one that is away hides \
         every failover"
    )]
    Few,
    #[error("a user without a password proves nothing")]
    UserWithoutPassword,
    #[error("the sentinels say where the master is, expected either address or sentinel")]
    AddressAsWell,
    #[error("the sentinels lead to a master, which must say that it is one: expected true, or nothing")]
    MasterNotRequired,
}

impl SentinelCause {
    /// See [`super::Cause::id`].
    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::MasterName { .. } => "sentinel_master_name",
            Self::Twice { .. } => "sentinel_twice",
            Self::Many { .. } => "too_many_sentinels",
            Self::UnixSocket => "sentinel_on_unix_socket",
            Self::Quorum { .. } => "sentinel_quorum",
            Self::Few => "few_sentinels",
            Self::UserWithoutPassword => "sentinel_user_without_password",
            Self::AddressAsWell => "address_and_sentinel",
            Self::MasterNotRequired => "sentinel_without_master",
        }
    }

    /// See [`super::Cause::way_out`].
    pub(super) fn way_out(&self) -> Option<String> {
        let text = match self {
            Self::MasterName { .. } => "it is the first word after `sentinel monitor` in sentinel.conf",
            Self::Few => "name three or more, each on a machine of its own",
            Self::UserWithoutPassword => "for example: redis_password_file = \"sentinel.password\"",
            Self::AddressAsWell => "remove address, or [database.sentinel]",
            _ => return None,
        };
        Some(text.to_owned())
    }
}
