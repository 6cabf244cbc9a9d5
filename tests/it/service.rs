//! What the service manager is told, by a socket in its place, and the unit that it is given.

use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;

use crate::backend::leashed;
use crate::clients::finish;
use crate::gateway::Gateway;
use crate::wire::{Client, PATIENCE};
use crate::world::World;

const UNIT: &str = include_str!("../../config/respgate.service");

/// The service manager's end.
struct Manager {
    socket: UnixDatagram,
    path: String,
}

impl Manager {
    fn of(world: &World) -> Self {
        let path = world.path("notify").to_str().expect("text").to_owned();
        let socket = UnixDatagram::bind(&path).expect("a new file");
        socket.set_read_timeout(Some(PATIENCE)).expect("a positive time");
        Self { socket, path }
    }

    fn starts(&self, world: &World) -> Gateway {
        Gateway::start_in(&world.path("respgate.toml"), &[("NOTIFY_SOCKET", &self.path)])
    }

    /// The next that it is told, a line each.
    fn hears(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let len = self.socket.recv(&mut bytes).expect("it is told something");
        String::from_utf8_lossy(&bytes[..len]).lines().map(str::to_owned).collect()
    }
}

#[test]
fn the_service_manager_hears_of_the_start_of_reloads_and_of_the_end() {
    let world = World::start();
    let manager = Manager::of(&world);
    let mut gateway = manager.starts(&world);
    assert_eq!(manager.hears(), ["READY=1", "STATUS=serving"]);
    let mut client = Client::tls(gateway.address, world.tls("app")).expect("it is served");
    client.talk(&[("PING", "+PONG")]);

    gateway.signal(Signal::HUP);
    let begin = manager.hears();
    assert_eq!((begin[0].as_str(), begin[2].as_str()), ("RELOADING=1", "STATUS=reloading"));
    let now = begin[1].strip_prefix("MONOTONIC_USEC=").and_then(|number| number.parse::<u64>().ok());
    assert!(now > Some(0), "{begin:?}");
    assert_eq!(manager.hears(), ["READY=1", "STATUS=serving"]);

    world.write_again(|setup| setup.more = "[nonsense]\n".to_owned());
    gateway.signal(Signal::HUP);
    assert_eq!(manager.hears()[0], "RELOADING=1");
    let end = manager.hears();
    assert_eq!(end[0], "READY=1");
    assert!(end[1].starts_with("STATUS=serving; the last reload was refused"), "{end:?}");

    gateway.signal(Signal::TERM);
    let end = manager.hears();
    assert_eq!(end[..2], ["STOPPING=1", "EXTEND_TIMEOUT_USEC=35000000"], "drain_timeout_ms and some time");
    assert_eq!(end[2], "STATUS=draining: 1 clients may take 30 s to finish");
    assert!(gateway.wait_end().success());
}

#[test]
fn a_start_that_is_refused_is_not_told_of_as_ready() {
    let world = World::start();
    let manager = Manager::of(&world);
    world.write_again(|setup| setup.more = "[nonsense]\n".to_owned());
    let mut command = leashed(env!("CARGO_BIN_EXE_respgate"));
    command.args(["run", "--config"]).arg(world.path("respgate.toml")).env("NOTIFY_SOCKET", &manager.path);
    assert!(!finish(&mut command).status.success());
    manager.socket.set_nonblocking(true).expect("a socket");
    assert!(manager.socket.recv(&mut [0; 16]).is_err(), "nothing is ready");
}

#[test]
fn a_service_manager_that_is_not_there_keeps_nobody_from_being_served() {
    let world = World::start();
    let nowhere = world.path("nowhere");
    let gateway = Gateway::start_in(
        &world.path("respgate.toml"),
        &[("NOTIFY_SOCKET", nowhere.to_str().expect("text"))],
    );
    gateway.stderr.wait_for("of the failure", |line| line.contains("the service manager at NOTIFY_SOCKET"));
    let mut client = Client::tls(gateway.address, world.tls("app")).expect("it is served");
    client.talk(&[("PING", "+PONG")]);
}

/// How many that are it says where it cannot start.
#[test]
fn by_the_unit_there_are_files_for_all_that_is_allowed_by_default() {
    let number = |text: &str, before: &str| {
        let rest = text.split(before).nth(1).unwrap_or_else(|| panic!("no {before:?} in: {text}"));
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>().expect("a number")
    };
    let world = World::start();
    let mut command = leashed("prlimit");
    command.args(["--nofile=64", "--", env!("CARGO_BIN_EXE_respgate"), "run", "--config"]);
    let output = finish(command.arg(world.path("respgate.toml")));
    let all = number(&String::from_utf8_lossy(&output.stderr), "expected at least 65, and ");
    let files = number(UNIT, "LimitNOFILE=");
    assert!((10_000..=files).contains(&all), "{all} of {files}");
}
