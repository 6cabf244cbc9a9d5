//! The command line: one command a file.

pub mod cert;
pub mod check;
mod connect;
pub mod demo;
pub mod explain;
mod facts;
mod harden;
pub mod hash;
pub mod keystore;
mod landlock;
pub mod run;
mod service;
pub mod subject;
mod watch;
