//! A Redis Cluster behind one endpoint.

mod keys;
mod nodes;
mod routes;
mod world;
