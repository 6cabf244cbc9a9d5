//! A Redis Cluster behind one endpoint.

mod bound;
mod clients;
mod echo;
mod keys;
mod many;
mod moves;
mod nodes;
mod routes;
mod rust;
mod scripts;
mod tls;
mod tools;
mod users;
mod world;
