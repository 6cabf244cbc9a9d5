//! Little room left: clients that hold nearly all that may be held, and networks that would take all places.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::sessions::control::one_worker;
use crate::wire::{Client, PATIENCE};
use crate::world::{Setup, World};

/// What all clients together may make the gateway hold, and what one reply is of it.
const MOST: usize = 16_000_000;
const REPLY: usize = 100_000;

/// Has replies sent to a client that reads none, until the gateway holds between 95 and 97 % of what it
/// may. What the kernel takes is not known, so it is looked at again after each step.
fn fill(world: &World, hog: &mut Client, other: &mut Client) {
    let of = |name| world.gateway.metric(name, "") as usize;
    let deadline = Instant::now() + 3 * PATIENCE;
    let mut before = 0;
    loop {
        let requests = of("respgate_requests_total");
        let room = (MOST / 100 * 97).saturating_sub(before) / REPLY;
        hog.write(&crate::resp::request(&["GET", "v"]).repeat(room));
        while of("respgate_requests_total") < requests + room {
            assert!(Instant::now() < deadline, "{room} requests have not been taken");
            std::thread::sleep(Duration::from_millis(20));
        }
        // Behind them on the same connection to Redis: then they have been answered.
        other.talk(&[("EXISTS v", ":1")]);
        while of("respgate_requests_total") <= requests + room {
            assert!(Instant::now() < deadline, "the totals have not been handed on");
            std::thread::sleep(Duration::from_millis(20));
        }
        let held = of("respgate_buffers_bytes");
        assert!(held < MOST && Instant::now() < deadline, "{held} bytes are held, {before} before");
        // It stays so: the kernel takes no more of it.
        if held > MOST / 1000 * 955 && held == before {
            return;
        }
        before = held;
    }
}

fn try_in(world: &World, user: &str) -> bool {
    Client::tls(world.gateway.address, world.tls(user)).is_ok_and(|mut client| {
        client.try_write(b"*1\r\n$4\r\nPING\r\n").is_ok()
            && client.try_read().is_ok_and(|value| value.to_string() == "+PONG")
    })
}

#[test]
fn nobody_new_comes_in_while_nearly_all_is_held_and_those_who_are_in_go_on() {
    let world = World::with(Setup {
        limits: "buffers_bytes_max = 16000000\nclient_output_soft_bytes = 16000000",
        edits: one_worker(),
        ..Setup::default()
    });
    world.announce("no new clients");
    let mut modest = world.client("app");
    modest.call(&["SET", "v", &"v".repeat(REPLY)]);
    let mut hog = world.client("app");
    fill(&world, &mut hog, &mut modest);
    assert!(!try_in(&world, "ops"), "nearly all is held");
    for _ in 0..50 {
        let mut socket = TcpStream::connect(world.gateway.address).expect("it listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a positive time");
        assert!(matches!(socket.read(&mut [0]), Ok(0) | Err(_)), "closed, and nothing said");
        modest.talk(&[("SET k v", "+OK"), ("GET k", "$v")]);
    }
    let shed = || world.gateway.metric("respgate_clients_shed_total", "reason=\"buffers_full\"");
    assert_eq!(shed(), 51.0);
    let said = world.gateway.stderr.all().iter().filter(|line| line.contains("no new clients")).count();
    // Once in ten seconds.
    assert!((1..=4).contains(&said), "{said} lines for 51 clients");
    drop(hog);
    let deadline = Instant::now() + PATIENCE;
    while !try_in(&world, "ops") {
        assert!(Instant::now() < deadline, "nobody comes in any more");
        std::thread::sleep(Duration::from_millis(50));
    }
    modest.talk(&[("GET k", "$v")]);
    let closed = world.gateway.metric("respgate_clients_closed_total", "reason=\"buffers_full\"");
    assert_eq!(closed, 0.0, "nobody held too much");
}

#[test]
fn what_may_be_held_is_bounded_by_the_memory_there_is_unless_it_is_written() {
    let world = World::start();
    let most = |world: &World| world.gateway.metric("respgate_buffers_max_bytes", "");
    let found = most(&world);
    assert!(found > 0.0 && found <= 1_073_741_824.0, "{found}");
    let lines = world.gateway.stderr.all();
    let line = lines.iter().find(|line| line.contains("buffers are bounded by the memory there is"));
    let line = line.unwrap_or_else(|| panic!("it is not said: {lines:#?}"));
    assert!(
        line.contains(&format!("\"buffers_bytes_max\":{found}")) && line.contains("memory_bytes"),
        "{line}"
    );
    world.write_again(|setup| setup.limits = "buffers_bytes_max = 5000000000");
    world.reload();
    assert_eq!(most(&world), 5_000_000_000.0, "taken as it is written");
    world.write_again(|setup| setup.limits = "");
    world.reload();
    assert_eq!(most(&world), found);
}

/// A connection from this address.
fn from(address: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
    socket.bind(&SocketAddr::from((address, 0)).into()).expect("an address of this machine");
    socket.connect(&to.into()).expect("it listens");
    socket.into()
}

/// Forty connections from the usual address that say nothing.
fn silent(world: &World) -> Vec<TcpStream> {
    (0..40).map(|_| TcpStream::connect(world.gateway.address).expect("it listens")).collect()
}

fn is_open(mut socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).expect("a socket");
    matches!(socket.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn a_network_that_floods_with_silent_connections_takes_no_place_of_another() {
    let limits = "clients_max = 12\nhandshake_timeout_ms = 5000";
    let bounded = "clients_max = 12\nhandshake_timeout_ms = 5000\nhandshakes_per_network_max = 8";
    let world = World::with(Setup { limits: bounded, ..Setup::default() });
    let elsewhere = || {
        let socket = from(Ipv4Addr::new(127, 0, 0, 2), world.gateway.address);
        Client::tls_over(socket, world.tls("app"))
    };
    let shed = || world.gateway.metric("respgate_clients_shed_total", "reason=\"network_full\"");
    let deadline = Instant::now() + 3 * PATIENCE;
    let wait = |claim: &str, is_so: &dyn Fn() -> bool| {
        while !is_so() {
            assert!(Instant::now() < deadline, "{claim}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let flood = silent(&world);
    wait("all but eight are closed", &|| shed() == 32.0);
    let mut other = elsewhere().expect("another network");
    other.talk(&[("PING", "+PONG")]);
    wait("eight wait for their handshake", &|| flood.iter().filter(|it| is_open(it)).count() == 8);
    assert!(!try_in(&world, "app"), "one more of theirs");
    wait("their time is over", &|| !flood.iter().any(is_open));
    wait("they come in again", &|| try_in(&world, "app"));
    // Who is in counts no more.
    let mut inside: Vec<Client> = (0..9).map(|_| world.client("app")).collect();
    inside.iter_mut().for_each(|client| client.talk(&[("PING", "+PONG")]));
    drop(inside);

    world.write_again(|setup| setup.limits = limits);
    world.reload();
    let before = shed();
    let flood = silent(&world);
    let told = elsewhere().expect("there is room to be told").read_to_end();
    assert_eq!(String::from_utf8_lossy(&told), "-ERR max number of clients reached\r\n", "without the bound");
    assert_eq!(shed(), before);
    other.talk(&[("PING", "+PONG")]);
    drop(flood);
}
