//! The command line: one command a file.

pub mod cert;
pub mod check;
pub mod demo;
mod facts;
pub mod run;
pub mod subject;
