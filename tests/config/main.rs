//! The configuration and the TLS settings that come of it, from outside: real
//! files, real certificates, real handshakes.

#![allow(clippy::unwrap_used, reason = "what fails in these files fails a test, in helpers too")]

mod client_auth;
mod defaults;
mod golden;
mod listeners;
mod pki;
mod tls;
mod world;
