//! Real programs through the gateway, each checked for what it does: what they
//! are built on is in tests/clients, where `install` puts it in place.

mod cli;
mod native;
mod nodejs;
mod python;
mod queues;
mod refused;
mod rust;

use std::process::Command;

use crate::backend::{Version, leashed, needed, target};
use crate::clients::{run, source};
use crate::world::{Setup, World};

/// A world whose Redis has what the newest clients ask for, such as client-side caching.
fn modern() -> World {
    World::with(Setup { version: Version::Redis8, ..Setup::default() })
}

/// A Python program of tests/clients with the packages in this directory of target/py.
pub(crate) fn python(packages: &str, program: &str, world: &World, user: &str) -> Command {
    let mut command = leashed(needed(target("venv/bin/python")));
    command.env("PYTHONPATH", needed(target(&format!("py/{packages}"))));
    command.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(world.path(""));
    addressed(command.arg(source(program)), world, user);
    command
}

/// A Node program of tests/clients, with arguments of its own before the usual ones.
pub(crate) fn node(program: &str, first: &[&str], world: &World, user: &str) -> Command {
    let mut command = leashed("node");
    // From the directory of the modules: node looks for them beside the program otherwise.
    command.arg("-e").arg(format!("process.argv.splice(1, 0, 'node'); require({:?})", source(program)));
    command.env("NODE_PATH", needed(target("node/node_modules"))).arg("--").args(first);
    addressed(&mut command, world, user);
    command
}

/// What every program is told: the port, the directory with the certificates, and whose to show.
pub(crate) fn addressed(command: &mut Command, world: &World, user: &str) {
    command.arg(world.gateway.address.port().to_string()).arg(world.path("")).arg(user);
}

/// Runs programs at the same time; each must end well and say "ok" last.
fn all_say_ok(programs: Vec<Command>) {
    std::thread::scope(|scope| {
        let running: Vec<_> =
            programs.into_iter().map(|mut program| scope.spawn(move || run(&mut program))).collect();
        for program in running {
            let said = program.join().expect("it ended well");
            assert_eq!(said.lines().last(), Some("ok"), "{said}");
        }
    });
}
