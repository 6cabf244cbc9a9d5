//! Reloads: by watching files, and with a guard on the server's names.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use super::hierarchy::{Ca, as_is};
use super::{app_and_ops, assert_is};
use crate::pki::{Leaf, pki};
use crate::world::World;

const APP: &str = "CN=app,O=Acme";
const WATCH: (&str, &str) = ("[listener]", "watch = true\n[listener]");

/// OS-24, ODA-02: links are swapped as Kubernetes does, and nobody sends a signal.
#[test]
fn a_swapped_link_brings_a_new_ca_into_force_within_five_seconds() {
    let (old, new) = (Ca::root("CN=Old,O=Acme"), Ca::root("CN=New,O=Acme"));
    let mut plan = app_and_ops("", "");
    plan.edits.push((WATCH.0, WATCH.1.to_owned()));
    plan.edits.push(("\"ca.crt\"", "\"mounted/ca.crt\"".to_owned()));
    let mounted = tempfile::tempdir().expect("a directory");
    let at = |name: &str| mounted.path().join(name);
    for (generation, ca) in [("..1", &old), ("..2", &new)] {
        fs::create_dir(at(generation)).expect("new");
        fs::write(at(generation).join("ca.crt"), ca.pem()).expect("writable");
    }
    symlink("..1", at("..data")).expect("new");
    symlink("..data/ca.crt", at("ca.crt")).expect("new");
    plan.edits.push(("mounted", mounted.path().display().to_string()));
    let world = World::with(plan);
    let (mut before, later) =
        (world.client_as(&old.leaf(APP, as_is).identity).expect("let in"), new.leaf(APP, as_is).identity);
    before.talk(&[("PING", "+PONG")]);
    symlink("..2", at("..data_tmp")).expect("new");
    fs::rename(at("..data_tmp"), at("..data")).expect("the same directory");
    let swapped = Instant::now();
    world.gateway.stderr.wait_for("of the reload", |line| line.contains("\"reloaded\""));
    assert!(swapped.elapsed() < Duration::from_secs(5), "only after {:?}", swapped.elapsed());
    assert_is(&world, &later, "app");
    before.expect_end();
    assert!(swapped.elapsed() < Duration::from_secs(10), "cut only after {:?}", swapped.elapsed());
}

/// OS-24, ES-16: a file that is no good changes nothing, and the next one counts.
#[test]
fn a_watched_file_that_is_broken_is_said_once_and_replaced_later() {
    let mut plan = app_and_ops(&pki().trusted.certificate, "");
    plan.edits.push((WATCH.0, WATCH.1.to_owned()));
    let world = World::with(plan);
    let mut app = world.client("app");
    world.announce("reload refused");
    world.announce("nothing was reloaded");
    fs::write(world.path("ca.crt"), "no certificate").expect("writable");
    world.gateway.stderr.wait_for("of the refusal", |line| line.contains("nothing was reloaded"));
    app.talk(&[("PING", "+PONG")]);
    world.client("ops").talk(&[("PING", "+PONG")]);
    std::thread::sleep(Duration::from_secs(3));
    let said = world.gateway.stderr.all().iter().filter(|line| line.contains("nothing was reloaded")).count();
    assert_eq!(said, 1, "the same file is refused once");
    fs::write(world.path("ca.crt"), &pki().trusted.certificate).expect("writable");
    world.gateway.stderr.wait_for("of the reload", |line| line.contains("\"reloaded\""));
    app.talk(&[("PING", "+PONG")]);
}

/// Rewrites the server's certificate and says how the reload went.
fn serve(world: &World, leaf: Leaf) -> String {
    let before = world.gateway.stderr.all().len();
    pki().trusted.issue(leaf).write(&world.path(""), "server");
    world.gateway.signal(rustix::process::Signal::HUP);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let lines = world.gateway.stderr.all();
        let told = |line: &&String| line.contains("\"reloaded\"") || line.contains("nothing was reloaded");
        if let Some(line) = lines[before..].iter().find(told) {
            return line.clone();
        }
        assert!(Instant::now() < deadline, "nothing was said of the reload");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// OS-24: the guard names what differs; orders do not matter.
#[test]
fn a_server_certificate_of_another_name_is_refused_where_names_are_kept() {
    let world = World::with(app_and_ops(&pki().trusted.certificate, "keep_server_names = true"));
    let shown = || world.client("app").server_certificate().expect("TLS");
    let first = shown();
    world.announce("nothing was reloaded");
    let other_names = serve(&world, Leaf::server(&["localhost"]));
    assert!(other_names.contains("the alternative names"), "{other_names}");
    assert_eq!(shown(), first);
    let shorter = serve(&world, Leaf::server(&["localhost", "127.0.0.1"]).valid(2020, 2100));
    assert!(shorter.contains("the earlier end"), "{shorter}");
    let reordered = serve(&world, Leaf::server(&["127.0.0.1", "localhost"]));
    assert!(reordered.contains("\"reloaded\""), "{reordered}");
    assert_ne!(shown(), first);
    let subject = Leaf::server(&["127.0.0.1", "localhost"]).named("CN=other");
    let renamed = serve(&world, subject);
    assert!(renamed.contains("the subject"), "{renamed}");
}
