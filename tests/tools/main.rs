//! The command line tools, as the real program: what they write is read by
//! OpenSSL and Redis, which know nothing of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::disallowed_methods, reason = "a real program is waited for in real time")]

mod bench;
mod cert;
mod check;
#[allow(dead_code, reason = "a program of its own: here its parts are tested")]
#[path = "../../benches/compare/ends/main.rs"]
mod ends;
mod explain;
mod lists;
mod report;
mod subject;
