//! respgate: a gateway that speaks the Redis protocol and lets a client in by
//! its TLS certificate.

pub mod admin;
pub mod cli;
pub mod command;
pub mod config;
pub mod fault;
pub mod identity;
pub mod io;
pub mod limits;
pub mod observe;
pub mod resp;
pub mod secret;
pub mod session;
pub mod upstream;
pub mod worker;
