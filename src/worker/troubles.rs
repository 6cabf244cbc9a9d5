//! What a worker knows to be wrong with the nodes behind it. Told to whoever asks; decides
//! nothing.

use super::{Loss, Worker};
use crate::upstream::{Cause, GreetError, LaneKey, NodeId, Trouble};

impl Loss {
    /// What has failed; nothing where the loss follows from that, or is nobody's failure.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        Some(match self {
            Self::NoMaster => Cause::NoMaster,
            Self::Connect(_) => Cause::Connect,
            Self::Tls(_) => Cause::Tls,
            Self::NoResources(_) => Cause::Resources,
            Self::ConnectTimeout => Cause::Timeout,
            Self::Closed | Self::Io(_) => Cause::Closed,
            Self::OpTimeout => Cause::NoReply,
            Self::Greeting(GreetError::Auth(_)) => Cause::Auth,
            Self::NoPassword => Cause::NoPassword,
            Self::Greeting(GreetError::NotNow(text)) => Cause::of_error(text).unwrap_or(Cause::Greeting),
            Self::Greeting(GreetError::Select(_)) => return None,
            Self::Greeting(GreetError::Role { .. }) => Cause::Role,
            Self::Greeting(_) => Cause::Greeting,
            Self::Unreadable(_)
            | Self::Surplus
            | Self::LongMessage
            | Self::PushOnShared
            | Self::OutOfStep
            | Self::Refused => Cause::OutOfStep,
            Self::FailFast | Self::Aborted | Self::NodeLeft => return None,
        })
    }
}

/// Whom it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Troubled {
    /// The node.
    pub node: NodeId,
    /// Only this Redis user, or everybody.
    pub redis_user: Option<String>,
    /// Whether the user is served all the same: by the password before the one that is refused.
    pub is_served: bool,
    /// What it is.
    pub trouble: Trouble,
}

impl Worker {
    /// What is wrong at present, as far as this worker has had to do with it.
    #[must_use]
    pub fn troubles(&self) -> Vec<Troubled> {
        let mut all: Vec<Troubled> = Vec::new();
        for (node, known) in self.nodes.iter() {
            let trouble = known.trouble.as_ref().filter(|_| known.circuit.is_open());
            if let Some(trouble) = trouble.or(known.not_now.as_ref()) {
                all.push(Troubled { node, redis_user: None, is_served: false, trouble: trouble.clone() });
            }
        }
        for (_, lane) in &self.lanes {
            if let Some(trouble) = lane.trouble.as_ref().filter(|_| lane.backoff.is_failing()) {
                let LaneKey { node, credential, .. } = &lane.key;
                let redis_user = Some(credential.redis_user.clone());
                let is_served = self.in_force(*node, credential) != *credential;
                all.push(Troubled { node: *node, redis_user, is_served, trouble: trouble.clone() });
            }
        }
        all
    }
}
