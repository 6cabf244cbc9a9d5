//! Configurations that must not start.

use std::process::Command;

use crate::backend::leashed;
use crate::clients::finish;
use crate::pki::{Leaf, pki};
use crate::world::World;

#[test]
fn files_that_are_too_few_for_any_client_are_an_error_with_how_many_are_needed() {
    let world = World::start();
    let mut command: Command = leashed("prlimit");
    command.args(["--nofile=64", "--", env!("CARGO_BIN_EXE_respgate"), "run", "--config"]);
    let output = finish(command.arg(world.path("respgate.toml")));
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("the process may open 64 files, expected at least 65, and "), "{text}");
}

/// Changes the configuration of a world that is up, and tries to start another
/// gateway with it. Exit code and standard error.
fn start_with(world: &World, change: impl FnOnce(String) -> String) -> (Option<i32>, String) {
    let text = std::fs::read_to_string(world.path("respgate.toml")).expect("written at start");
    let path = world.path("changed.toml");
    std::fs::write(&path, change(text)).expect("writable");
    let mut command: Command = leashed(env!("CARGO_BIN_EXE_respgate"));
    let output = finish(command.args(["run", "--config"]).arg(path));
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn assert_refused(world: &World, parts: &[&str], change: impl FnOnce(String) -> String) {
    let (code, text) = start_with(world, change);
    assert_eq!(code, Some(1), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(!text.contains("canary-"), "a password in {text}");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_a_near_one() {
    let world = World::start();
    assert_refused(&world, &["listener.adress", "changed.toml:3", "address"], |text| {
        text.replace("address = \"127.0.0.1:0\"\ncertificate", "adress = \"127.0.0.1:0\"\ncertificate")
    });
    assert_refused(&world, &["limits.no_such_limit"], |text| text + "no_such_limit = 1\n");
}

#[test]
fn a_missing_file_is_named() {
    let world = World::start();
    assert_refused(&world, &["listener.certificate", "nowhere.crt"], |text| {
        text.replace("server.crt", "nowhere.crt")
    });
    assert_refused(&world, &["user[0].redis_password_file", "nowhere.password"], |text| {
        text.replace("app.password", "nowhere.password")
    });
    let (code, text) = {
        let mut command = leashed(env!("CARGO_BIN_EXE_respgate"));
        let output = finish(command.args(["run", "--config"]).arg(world.path("nowhere.toml")));
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(code, Some(1));
    assert!(text.contains("nowhere.toml"), "{text}");
}

#[test]
fn a_key_that_does_not_fit_its_certificate_is_refused() {
    let world = World::start();
    pki().trusted.issue(Leaf::server(&["localhost"])).write(&world.path(""), "other");
    assert_refused(
        &world,
        &["listener.key", "other.key", "does not belong to the first certificate"],
        |text| text.replace("key = \"server.key\"", "key = \"other.key\""),
    );
}

#[test]
fn a_subject_in_one_line_form_is_refused_with_the_form_that_is_meant() {
    let world = World::start();
    let change = |text: String| text.replace("\"CN=app,O=Acme\"", "\"/O=Acme/CN=app\"");
    assert_refused(&world, &["user[0].certificate_subject_line", "CN=app,O=Acme"], change);
}

#[test]
fn two_users_for_one_subject_are_refused() {
    let world = World::start();
    let change = |text: String| text.replace("\"CN=ops,O=Acme\"", "\"cn = app , o=Acme\"");
    assert_refused(&world, &["user[1].certificate_subject_line", "app"], change);
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_command_that_helps() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::start();
    std::fs::copy(world.path("server.key"), world.path("open.key")).expect("copied");
    let mode = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(world.path("open.key"), mode).expect("ours");
    assert_refused(&world, &["listener.key", "chmod"], |text| {
        text.replace("key = \"server.key\"", "key = \"open.key\"")
    });
}

#[test]
fn all_problems_are_reported_at_once() {
    let world = World::start();
    assert_refused(&world, &["listener.certificate", "database.address", "user[1].redis_user"], |text| {
        text.replace("server.crt", "nowhere.crt")
            .replace("unix:", "nonsense ")
            .replace("redis_user = \"ops\"", "redis_user = \"o p s\"")
    });
}

#[test]
fn a_port_that_is_taken_is_an_error_and_not_a_silence() {
    let world = World::start();
    let taken = world.gateway.address.to_string();
    assert_refused(&world, &[&taken], |text| text.replacen("127.0.0.1:0", &taken, 1));
}
