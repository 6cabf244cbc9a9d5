//! A Redis Cluster behind one endpoint.

mod keys;
mod nodes;
