//! The real gateway between real clients and a real redis-server.
//!
//! `world` is what a test stands in, `wire` its client, `resp` its own reader of
//! replies. Each other file is a theme. Run with `make test`, or, once that has
//! installed what is needed, `cargo test --test it`.

#![allow(clippy::disallowed_methods, reason = "tests of real programs measure and bound real time")]

mod backend;
mod bad;
mod clients;
mod cluster;
mod commands;
mod dice;
mod echo;
mod failure;
mod fences;
mod gateway;
mod ledger;
mod locks;
mod log;
mod pki;
mod proxy;
mod replica;
mod resp;
mod rogue;
mod states;
mod wire;
mod world;

mod credentials;
mod databases;
mod domain;
mod nodes;
mod operate;
mod passwords;
mod programs;
mod rights;
mod secrets;
mod sentinel;
mod service;
mod sessions;
mod storm;
mod tools;
mod trust;
mod twin;
mod zoo;
