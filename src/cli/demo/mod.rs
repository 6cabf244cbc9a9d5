//! `respgate demo`: the whole of it on one machine, with real certificates, a
//! real Redis and the real gateway, then redis-cli and redis-benchmark as a
//! user would run them. Owns the order of things and what is printed.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args as ClapArgs;
use thiserror::Error;

mod child;
mod program;
mod show;
mod stage;
mod stop;

use child::{Child, ChildError};
use show::{Gateway, ShowError};
use stage::{Stage, StageError};
use stop::{Interrupted, Stop};

/// How long Redis, and then the gateway, may take to be ready.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How long each may take to end when asked to.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Show everything on this machine: certificates, Redis, gateway, clients
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Where to keep certificates, configuration and logs [default: demo, with --check a directory that is removed]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The port to listen on; 0 is any free one [default: 6380, with --check 0]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Do it once, check every answer, and exit with 1 if one is wrong
    #[arg(long)]
    check: bool,
}

/// Why the demo did not work.
#[derive(Debug, Error)]
enum DemoError {
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error(transparent)]
    Show(#[from] ShowError),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    #[error("signals cannot be waited for: {0}")]
    Signals(io::Error),
}

/// Runs the command; the exit code is 1 if anything was not as it should be.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match show(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("respgate demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn show(args: &Args) -> Result<(), DemoError> {
    child::find_tools()?;
    let stop = Stop::on_signals().map_err(DemoError::Signals)?;
    let port = args.port.unwrap_or(if args.check { 0 } else { 6380 });
    let stage = match (&args.dir, args.check) {
        (Some(dir), _) => Stage::at(dir, port)?,
        (None, false) => Stage::at("demo".as_ref(), port)?,
        (None, true) => Stage::temporary(port)?,
    };
    println!(
        "made    {}: an authority, a server, and the clients app, ops and stranger",
        stage.dir().display()
    );

    // Dropped in reverse order: the gateway ends before its Redis.
    let mut redis = child::redis(&stage)?;
    redis.wait_for("Redis to answer", START_TIMEOUT, &stop, || stage.redis_is_up().then_some(()))?;
    println!("started redis-server on {} with the ACL users app and ops", stage.socket().display());
    let mut gateway = child::gateway(&stage)?;
    let front = Gateway::wait_for(&mut gateway, START_TIMEOUT, &stop)?;
    println!("started the gateway on {}, metrics on http://{}/metrics", front.address, front.admin);
    println!();

    show::everything(&stage, &front, &stop)?;
    if !args.check {
        show::commands_to_try(&stage, &front);
        wait(&stop, &mut gateway, &mut redis)?;
        println!("\nstopping");
    }
    gateway.end(STOP_TIMEOUT)?;
    redis.end(STOP_TIMEOUT)?;
    if args.check {
        println!("ok      the gateway and Redis ended when asked to");
    }
    Ok(())
}

/// Stays until somebody asks for the end, or one of the two ends by itself.
fn wait(stop: &Stop, gateway: &mut Child, redis: &mut Child) -> Result<(), ChildError> {
    while !stop.is_asked_for() {
        gateway.still_runs()?;
        redis.still_runs()?;
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
