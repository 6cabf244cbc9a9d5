//! What a worker has to say to an operator: facts, which the shell puts into words.

use std::time::Duration;

use super::{Closed, Loss, NeedlessAuth};
use crate::session::SessionId;
use crate::upstream::NodeId;

/// What an operator should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A link could not be opened or was lost.
    LinkLost {
        /// Where it was to, or was to be.
        node: NodeId,
        /// The Redis user that it spoke for.
        redis_user: String,
        /// Why.
        loss: Loss,
        /// Requests that it took with it.
        in_flight: usize,
    },
    /// A client was closed by the gateway.
    ClientClosed {
        /// Its id.
        client_id: u64,
        /// The gateway's user.
        user: String,
        /// Why.
        why: Closed,
    },
    /// A client that is somebody sent AUTH all the same. Told once a session.
    NeedlessAuth(SessionId, NeedlessAuth),
    /// A Redis user may not ECHO: nothing can prove its links in step, and its
    /// scripts run on pinned links.
    NoFences {
        /// The Redis user.
        redis_user: String,
    },
    /// A node of a cluster has named another one that its map does not have.
    RedirectRefused {
        /// Which.
        node: NodeId,
        /// What it has named.
        to: String,
    },
    /// The backend does not take a password that has changed. Told once for each.
    PasswordRefused {
        /// The Redis user.
        redis_user: String,
    },
    /// The backend has taken it, and nothing in this worker needs the one before any more.
    PasswordTaken {
        /// The Redis user.
        redis_user: String,
    },
    /// A node that was failing answers.
    NodeBack {
        /// Which.
        node: NodeId,
        /// For how long it had not.
        after: Duration,
    },
    /// A Redis user that could not be greeted is.
    UserBack {
        /// By which node.
        node: NodeId,
        /// Which.
        redis_user: String,
    },
}
