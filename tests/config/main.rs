//! The configuration and the TLS settings that come of it, from outside: real
//! files, real certificates, real handshakes.

#![allow(clippy::unwrap_used, reason = "what fails in these files fails a test, in helpers too")]

mod client_auth;
mod cluster;
mod credentials;
mod database;
mod defaults;
mod golden;
mod keys;
mod listeners;
mod modes;
mod password_problems;
mod pki;
mod realm_problems;
mod recognised;
mod role_problems;
mod roles;
mod secrets;
mod sentinel;
mod tls;
mod ways;
mod world;
