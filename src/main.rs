//! The `respgate` binary: arguments in, exit code out.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use respgate::cli::{cert, check, demo, explain, hash, keystore, run, subject};

/// Many small buffers come and go on every thread, and stay on it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A gateway that speaks the Redis protocol and lets a client in by its TLS certificate
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, for a moment")]
enum Command {
    /// Run the gateway
    Run(run::Args),
    /// Check a configuration without running it
    Check(check::Args),
    /// Say what would become of a client with this certificate, and why
    Explain(explain::Args),
    /// Print the line and the user to paste for a certificate
    Subject(subject::Args),
    /// Make certificates
    Cert(cert::Args),
    /// Keep the secrets of a configuration in one encrypted file
    Keystore(keystore::Args),
    /// Hash a password for the configuration
    Hash(hash::Args),
    /// Show everything on this machine: certificates, Redis, gateway, clients
    Demo(demo::Args),
}

fn main() -> ExitCode {
    // An error means that it is installed already, which is as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Subject(args) => subject::run(&args),
        Command::Cert(args) => cert::run(args),
        Command::Keystore(args) => keystore::run(args),
        Command::Hash(args) => hash::run(&args),
        Command::Demo(args) => demo::run(&args),
    }
}
