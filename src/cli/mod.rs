//! The command line: one command a file.

pub mod cert;
pub mod check;
pub mod demo;
pub mod explain;
mod facts;
pub mod run;
pub mod subject;
