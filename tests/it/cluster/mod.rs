//! A Redis Cluster behind one endpoint.

mod keys;
mod many;
mod moves;
mod nodes;
mod routes;
mod world;
