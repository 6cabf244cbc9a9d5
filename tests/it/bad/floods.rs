//! Clients that connect and say nothing, too many of them, and too few files.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::wire::Client;
use crate::world::{Setup, World};

#[test]
fn a_silent_connection_is_closed_after_the_handshake_timeout() {
    let world = World::with(Setup { limits: "handshake_timeout_ms = 700", ..Setup::default() });
    let start = Instant::now();
    let mut silent = TcpStream::connect(world.gateway.address).expect("it listens");
    silent.set_read_timeout(Some(crate::wire::PATIENCE)).expect("a positive time");
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest);
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(650) && took < Duration::from_secs(5), "{took:?}");
    world.wait_audit("of the timeout", |record| record["reason"] == "handshake_timeout");
}

#[test]
fn silent_connections_do_not_keep_others_out() {
    let limits = "handshake_timeout_ms = 2000\nhandshakes_max = 16";
    let world = World::with(Setup { limits, ..Setup::default() });
    let before = world.gateway.open_files();
    let silent: Vec<TcpStream> =
        (0..16).map(|_| TcpStream::connect(world.gateway.address).expect("it listens")).collect();
    std::thread::sleep(Duration::from_millis(100));
    // All places are taken: this one waits its turn, and gets it.
    let start = Instant::now();
    world.client("app").talk(&[("PING", "+PONG")]);
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    drop(silent);
    let deadline = Instant::now() + Duration::from_secs(10);
    while world.gateway.open_files() > before + 8 {
        assert!(Instant::now() < deadline, "{} files, {before} before", world.gateway.open_files());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn clients_that_stop_within_their_handshake_keep_nobody_waiting() {
    // Their time is longer than anybody would wait for a turn.
    let limits = "handshake_timeout_ms = 60000\nhandshakes_max = 16";
    let world = World::with(Setup { limits, ..Setup::default() });
    let mut begun: Vec<TcpStream> = Vec::new();
    for round in 0..10 {
        for _ in 0..30 {
            for first in [vec![22], client_hello(&world)] {
                let mut socket = TcpStream::connect(world.gateway.address).expect("it listens");
                socket.write_all(&first).expect("open");
                begun.push(socket);
            }
        }
        let start = Instant::now();
        world.client("app").talk(&[("PING", "+PONG")]);
        assert!(start.elapsed() < Duration::from_secs(10), "round {round}: {:?}", start.elapsed());
    }
    for socket in &mut begun {
        socket.set_nonblocking(true).expect("a socket");
        let ended = matches!(socket.read(&mut [0; 16 * 1024]), Ok(0));
        assert!(!ended, "it has its time, too");
    }
}

/// The first that a client says, whole.
fn client_hello(world: &World) -> Vec<u8> {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut tls = ClientConnection::new(world.tls("app"), name).expect("a client");
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).expect("room for it");
    hello
}

#[test]
fn one_client_too_many_is_told_so_in_redis_words() {
    let limits = "clients_max = 6\nclients_per_user_max = 4";
    let world = World::with(Setup { limits, ..Setup::default() });
    let mut apps: Vec<Client> = (0..4).map(|_| world.client("app")).collect();
    let refused = |user: &str| match Client::tls(world.gateway.address, world.tls(user)) {
        Ok(mut client) => String::from_utf8_lossy(&client.read_to_end()).into_owned(),
        Err(_) => String::new(),
    };
    assert_eq!(refused("app"), "-ERR max number of clients reached\r\n", "per user");
    let mut ops: Vec<Client> = (0..2).map(|_| world.client("ops")).collect();
    // In total: before the handshake there is nobody to tell.
    let answer = refused("ops");
    assert!(["", "-ERR max number of clients reached\r\n"].contains(&answer.as_str()), "{answer:?}");
    world.wait_audit("of too many", |record| record["reason"] == "too_many_clients");
    apps.iter_mut().chain(&mut ops).for_each(|client| client.talk(&[("PING", "+PONG")]));
    drop(apps);
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        if let Ok(mut client) = Client::tls(world.gateway.address, world.tls("app"))
            && client.try_write(b"*1\r\n$4\r\nPING\r\n").is_ok()
            && client.try_read().is_ok_and(|value| value.to_string() == "+PONG")
        {
            break;
        }
        assert!(Instant::now() < deadline, "the places of those who left are not free");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn who_is_refused_and_does_not_leave_takes_no_place_of_another() {
    let limits = "clients_max = 6\nclients_per_user_max = 4\nlinger_timeout_ms = 60000";
    let world = World::with(Setup { limits, ..Setup::default() });
    let mut inside: Vec<Client> = (0..4).map(|_| world.client("app")).collect();
    let mut refused = Client::tls(world.gateway.address, world.tls("app")).expect("it is told why not");
    assert_eq!(refused.read_to_end(), b"-ERR max number of clients reached\r\n");
    inside.extend((0..2).map(|_| world.client("ops")));
    inside.iter_mut().for_each(|client| client.talk(&[("PING", "+PONG")]));
}

#[test]
fn too_few_files_lose_no_one_who_is_in_and_it_recovers() {
    let world = World::start();
    // Fewer than it has found at its start, and has bounded its clients by.
    world.gateway.limit_files(128);
    world.announce("cannot accept clients");
    let mut inside = world.client("app");
    inside.talk(&[("SET k v", "+OK")]);
    for _ in 0..2 {
        let crowd: Vec<_> = (0..300)
            .filter_map(|_| {
                TcpStream::connect_timeout(&world.gateway.address, Duration::from_millis(500)).ok()
            })
            .collect();
        world.gateway.stderr.wait_for("of too few files", |line| line.contains("cannot accept clients"));
        std::thread::sleep(Duration::from_millis(500));
        let busy = world.gateway.ticks();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            inside.talk(&[("GET k", "$v"), ("ECHO on", "$on")]);
            std::thread::sleep(Duration::from_millis(10));
        }
        let used = world.gateway.ticks() - busy;
        assert!(used < 150, "{used} hundredths of a second of processor time in two seconds");
        let files = world.gateway.open_files();
        // One more than the limit is a file that moved while they were counted.
        assert!(files <= 130, "{files} files");
        drop(crowd);
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            if let Ok(mut client) = Client::tls(world.gateway.address, world.tls("ops"))
                && client.try_write(b"*1\r\n$4\r\nPING\r\n").is_ok()
                && client.try_read().is_ok_and(|value| value.to_string() == "+PONG")
            {
                break;
            }
            assert!(Instant::now() < deadline, "nobody gets in any more");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    inside.talk(&[("GET k", "$v")]);
}

#[test]
fn clients_with_links_of_their_own_leave_files_for_others() {
    let world = World::with(Setup { files_max: Some(256), ..Setup::default() });
    world.announce("fewer clients than configured");
    let mut waiting: Vec<Client> = (0..110).map(|_| world.client("app")).collect();
    waiting.iter_mut().for_each(|client| client.send("BLPOP nothing 0"));
    let deadline = Instant::now() + Duration::from_secs(20);
    // Those for whom there is no link are told so.
    while !waiting.iter_mut().any(Client::has_more) {
        assert!(Instant::now() < deadline, "all have a link of their own");
        std::thread::sleep(Duration::from_millis(50));
    }
    world.client("ops").talk(&[("SET k v", "+OK"), ("GET k", "$v")]);
    assert_eq!(world.gateway.get("/healthz").0, 200);
    assert!(world.gateway.open_files() < 256 - 16, "{} files", world.gateway.open_files());
}

#[test]
fn who_holds_most_of_the_memory_is_closed_before_there_is_too_much() {
    // All clients may be on one worker: its share is half of it or all of it.
    let limits = "buffers_bytes_max = 8388608";
    let world = World::with(Setup { limits, ..Setup::default() });
    let mut modest = world.client("app");
    let value = "v".repeat(1_000_000);
    modest.call(&["SET", "big", &value]);
    let request = crate::resp::request(&["GET", "big"]);
    let mut greedy: Vec<Client> = (0..4).map(|_| world.client("app")).collect();
    for client in &mut greedy {
        // Thirty megabytes of replies that are never read.
        client.write(&request.repeat(30));
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.gateway.metric("respgate_clients_closed_total", "reason=\"buffers_full\"") < 1.0 {
        assert!(Instant::now() < deadline, "nobody was closed");
        modest.talk(&[("PING", "+PONG")]);
        std::thread::sleep(Duration::from_millis(50));
    }
    modest.talk(&[("PING", "+PONG")]);
}
