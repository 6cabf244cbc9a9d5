//! The command line: one command a file.

pub mod cert;
pub mod check;
pub mod demo;
mod harden;
pub mod hash;
pub mod keystore;
pub mod run;
mod watch;
