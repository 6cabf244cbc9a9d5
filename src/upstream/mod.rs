//! The backend's side: lanes, the links that belong to them, and how a link
//! comes to speak for its Redis user. State only; the bytes are moved by `io`.

mod acl;
mod backoff;
mod batch;
mod circuit;
pub mod cluster;
mod greet;
mod lane;
mod learned;
mod link;
mod node;
mod provision;
mod rehearsal;
pub mod replicas;
mod rotation;
pub mod sentinel;
mod shown;
mod trouble;

pub use acl::{AclError, AclRules, is_refusal};
pub use backoff::Backoff;
pub use circuit::Circuit;
pub use greet::{GreetError, Greeting, Role, Server};
pub(crate) use greet::{Next, REPLY_BYTES_MAX, fence, fence_reply, is_not_now, role_of, role_question};
pub use lane::{Lane, LaneId, LaneKey};
pub use learned::Learned;
pub use link::{Expect, Link, LinkId, LinkRole, Phase, Stream, Ticket};
pub use node::{Credentials, Database, DatabaseId, NodeId, Replica};
pub use provision::{Account, Change, NodeUsers, Order, Provisioning};
pub use rehearsal::{beginning, objection, rehearsal};
pub use rotation::{Fresh, Passwords};
pub use shown::Shown;
pub use trouble::{Cause, Trouble};
