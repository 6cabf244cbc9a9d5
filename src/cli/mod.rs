//! The command line: one command a file.

pub mod cert;
pub mod demo;
