//! The backend's side: lanes, the links that belong to them, and how a link
//! comes to speak for its Redis user. State only; the bytes are moved by `io`.

mod backoff;
mod circuit;
pub mod cluster;
mod greet;
mod lane;
mod learned;
mod link;
mod node;
pub mod sentinel;

pub use backoff::Backoff;
pub use circuit::Circuit;
pub use greet::{GreetError, Greeting, Role, Server};
pub(crate) use greet::{Next, REPLY_BYTES_MAX, fence, fence_reply, is_not_now};
pub use lane::{Lane, LaneId, LaneKey};
pub use learned::Learned;
pub use link::{Expect, Link, LinkId, LinkRole, Phase, Stream, Ticket};
pub use node::{Database, DatabaseId, NodeId};
