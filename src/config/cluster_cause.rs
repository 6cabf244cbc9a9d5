//! What can be wrong with `[database.cluster]`.

/// One thing that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the error texts say what the variants and their fields are")]
pub enum ClusterCause {
    #[error("a cluster is found by its seeds, and not by address or sentinels")]
    AddressAsWell,
    #[error("nodes of a cluster are reached by TCP, expected host:port")]
    UnixSocket,
    #[error("{announced:?} is there twice")]
    Twice { announced: String },
    #[error("with a cluster each subscriber needs a connection of its own")]
    SharedSubscriptions,
    #[error("a cluster's replicas are not read from")]
    Replicas,
}

impl ClusterCause {
    /// See [`super::Cause::id`].
    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::AddressAsWell => "cluster_and_address",
            Self::UnixSocket => "cluster_unix_socket",
            Self::Twice { .. } => "cluster_address_twice",
            Self::SharedSubscriptions => "cluster_shared_subscriptions",
            Self::Replicas => "cluster_replicas",
        }
    }

    /// See [`super::Cause::way_out`].
    pub(super) fn way_out(&self) -> Option<String> {
        let text = match self {
            Self::AddressAsWell => "remove address and [database.sentinel], or [database.cluster]",
            Self::SharedSubscriptions => "remove subscriptions = \"shared\"",
            Self::Replicas => "remove replicas",
            Self::UnixSocket | Self::Twice { .. } => return None,
        };
        Some(text.to_owned())
    }
}
