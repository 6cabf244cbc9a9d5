//! The command line: one command a file.

pub mod cert;
pub mod check;
pub mod demo;
pub mod run;
mod watch;
