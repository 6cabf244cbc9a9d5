//! What the running gateway has given up by Landlock, seen from outside: what it still does, and what
//! not even a reload makes it do.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::log::lacks_landlock;
use crate::wire::PATIENCE;
use crate::world::{Setup, World};

const APP_LOGIN: &str = "redis_password_file = \"app.password\"";
const APP_COMMAND: &str = "redis_password_command = [\"cat\", \"app.password\"]";
const IN_FORCE: &str = "Landlock is in force";

/// What the gateway says of Landlock; without it there is nothing to see.
fn said(world: &World) -> Option<String> {
    let line = world.gateway.stderr.wait_for("about Landlock", |line| line.contains("Landlock is "));
    let is_absent = lacks_landlock(&line);
    if is_absent {
        eprintln!("skipped: no Landlock: {line}");
    }
    (!is_absent).then_some(line)
}

/// The setup whose first user has a password command, for a program that runs where the test does.
fn with_command(world: &World, setup: &mut Setup) {
    let command = APP_COMMAND.replace("app.password", &world.path("app.password").display().to_string());
    setup.edits.push((APP_LOGIN, command));
}

/// Reloads, and waits for this to be said.
fn reload_until(world: &World, what: &str) -> String {
    let before = world.gateway.stderr.count();
    world.gateway.signal(Signal::HUP);
    world.gateway.stderr.wait_after(before, what, |line| line.contains(what))
}

#[test]
fn an_audit_file_is_rotated_and_no_file_made_outside_its_directory() {
    let place = tempfile::tempdir().expect("a directory");
    let audits = place.path().join("audits");
    fs::create_dir(&audits).expect("ours");
    let audit = format!("[audit]\nfile = \"{}/audit.jsonl\"", audits.display());
    let world = World::with(Setup { audit: audit.leak(), ..Setup::default() });
    let Some(line) = said(&world) else { return };
    assert!(line.contains(IN_FORCE) && line.contains("programs, files"), "{line}");
    let (now, before) = (audits.join("audit.jsonl"), audits.join("audit.jsonl.1"));
    fs::rename(&now, &before).expect("ours");
    world.reload();
    world.client("app").talk(&[("PING", "+PONG")]);
    let deadline = Instant::now() + PATIENCE;
    while !fs::read_to_string(&now).is_ok_and(|text| text.contains("CN=app,O=Acme")) {
        assert!(Instant::now() < deadline, "no record in the new file");
        sleep(Duration::from_millis(20));
    }
    // Another directory in its place, of the same name, is another one.
    fs::rename(&audits, place.path().join("old")).expect("ours");
    fs::create_dir(&audits).expect("ours");
    world.announce("the audit file could not be reopened");
    let line = reload_until(&world, "the audit file could not be reopened");
    assert!(line.contains("Permission denied") && !now.exists(), "{line}");
    world.client("ops").talk(&[("PING", "+PONG")]);
}

#[test]
fn the_first_password_command_takes_a_restart() {
    let mut world = World::start();
    if said(&world).is_none() {
        return;
    }
    world.announce("reload refused");
    world.announce("nothing was reloaded");
    world.write_again(|setup| with_command(&world, setup));
    let line = reload_until(&world, "reload refused");
    assert!(line.contains("this change needs a restart") && line.contains("password_command"), "{line}");
    world.client("app").talk(&[("ACL WHOAMI", "$app")]);
    world.restart(Signal::TERM);
    let line = said(&world).expect("it was there before");
    assert!(line.contains(IN_FORCE) && !line.contains("programs"), "{line}");
    world.client("app").talk(&[("ACL WHOAMI", "$app")]);
    // From then on they come and go.
    world.write_again(|_| ());
    world.reload();
    world.write_again(|setup| with_command(&world, setup));
    world.reload();
    world.client("app").talk(&[("ACL WHOAMI", "$app")]);
}

#[test]
fn where_landlock_is_switched_off_a_reload_may_add_a_password_command() {
    let switched_off = "[process]\nlandlock = false\n";
    let world = World::with(Setup { more: switched_off.to_owned(), ..Setup::default() });
    assert!(said(&world).is_some_and(|line| line.contains("Landlock is switched off")));
    world.write_again(|setup| with_command(&world, setup));
    world.reload();
    world.client("app").talk(&[("ACL WHOAMI", "$app")]);
    // On again is for the next start.
    world.announce("this change needs a restart");
    world.write_again(|setup| {
        setup.more.clear();
        with_command(&world, setup);
    });
    let line = reload_until(&world, "this change needs a restart");
    assert!(line.contains("process.landlock"), "{line}");
}
