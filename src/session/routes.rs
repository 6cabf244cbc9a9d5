//! Over which links a session's requests to a cluster go, or its reads to replicas: one for each node.

use crate::upstream::{LaneId, LinkId, NodeId};

/// The way to one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The node.
    pub node: NodeId,
    /// The session's lane there, in which the session counts.
    pub lane: LaneId,
    /// The link that its requests take, as long as they may.
    pub link: Option<LinkId>,
}

/// The ways of one session.
#[derive(Debug, Default)]
pub struct Routes {
    /// The state of the map that they were chosen by; 0 if they are to be chosen anew. While replies are awaited by another one,
    /// nothing may be sent: it could overtake.
    pub epoch: u64,
    /// Each node once.
    pub ways: Vec<Route>,
}
