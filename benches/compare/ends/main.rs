//! The two ends that the comparison needs and no package has: a TLS end with nothing behind it, and
//! clients that do what redis-benchmark cannot. Built and used by `benches/compare/run`.

mod client;
mod fan_out;
mod floor;
mod latency;
mod load;
mod mix;
mod orders;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// As the gateway's own: the floor is its TLS stack.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The two ends of a comparison: the floor and the clients
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Speak TLS and answer GET from memory
    Floor(floor::Args),
    /// Connect clients, and have them make requests
    Load(load::Args),
    /// Connect subscribers, and publish to them
    FanOut(fan_out::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> io::Result<()> {
    match command {
        Command::Floor(args) => floor::run(&args),
        Command::Load(args) => on_one_thread(load::run(&args)),
        Command::FanOut(args) => on_one_thread(fan_out::run(&args)),
    }
}

fn on_one_thread(work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}
