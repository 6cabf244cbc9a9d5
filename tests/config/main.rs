//! The configuration and the TLS settings that come of it, from outside: real
//! files, real certificates, real handshakes.

#![allow(clippy::unwrap_used, reason = "what fails in these files fails a test, in helpers too")]

mod defaults;
mod golden;
mod pki;
mod recognised;
mod tls;
mod ways;
mod world;
