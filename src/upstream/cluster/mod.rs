//! A Redis Cluster: which node has which hash slot, as its nodes say. Values only: who asks them,
//! and what is sent where, is for others.

mod endpoint;
mod map;
mod reader;
mod redirect;
mod topology;

pub use endpoint::Endpoint;
pub use map::{Map, MapError, Part};
pub use redirect::Redirect;
pub use topology::{Member, Topology};
