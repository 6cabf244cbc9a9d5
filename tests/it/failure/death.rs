//! Redis is killed, and started again after a while; or it stops, and goes on.
//!
//! `RESPGATE_KILLS` and `RESPGATE_STOPS` are how often.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{NOT_SENT, Rounds, Times, UNKNOWN, ask_until_answered, world_over_tcp};
use crate::dice::Dice;
use crate::wire::Client;
use crate::world::{LOST, World};

/// Clients of two Redis users, at each worker.
fn clients(world: &World) -> Vec<Client> {
    ["app", "app", "ops", "ops"].map(|user| world.client(user)).into()
}

/// What is asked while Redis cannot answer: on shared links, and on a link of its own.
const QUESTIONS: [&str; 4] = ["INCR a", "LPUSH l 1", "SET b 1", "BLPOP q 0"];

/// The port takes connections: the moment at which it did first.
fn listens(port: u16) -> Instant {
    let deadline = Instant::now() + crate::wire::PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "redis-server does not listen");
        std::thread::sleep(Duration::from_millis(1));
    }
    Instant::now()
}

#[test]
fn a_killed_backend_is_told_of_at_once_and_is_back_within_a_second() {
    let rounds = Rounds::of("RESPGATE_KILLS", 3);
    let (mut world, port) = world_over_tcp("");
    world.announce(LOST);
    let mut dice = Dice::new(20);
    let (mut told, mut back) = (Times::default(), Times::default());
    for round in 0..rounds.count {
        let mut clients = clients(&world);
        clients.iter_mut().for_each(|client| client.talk(&[("ECHO before", "$before")]));
        // It reads no more, so that what is asked now is in flight when it dies.
        world.redis.signal(Signal::STOP);
        for (client, question) in clients.iter_mut().zip(QUESTIONS) {
            client.send(question);
        }
        std::thread::sleep(Duration::from_millis(50));
        let start = Instant::now();
        world.redis.kill();
        for client in &mut clients {
            let answer = client.read().to_string();
            assert!([UNKNOWN, NOT_SENT].contains(&answer.as_str()), "{answer}");
            told.add(start.elapsed());
        }
        // Up to long enough for the waits between attempts to be as long as they get.
        let most = if rounds.is_long { 8_000 } else { 500 };
        let downtime = Duration::from_millis(dice.magnitude(most));
        std::thread::scope(|scope| {
            let redis = &mut world.redis;
            let asking: Vec<_> = clients
                .iter_mut()
                .map(|client| scope.spawn(move || ask_until_answered(client, round)))
                .collect();
            std::thread::sleep(downtime);
            let listening = scope.spawn(move || listens(port));
            redis.resume();
            let listening = listening.join().expect("it listens");
            for answered in asking {
                let at = answered.join().expect("answered");
                back.add(at.saturating_duration_since(listening));
            }
        });
    }
    told.hold("in flight at a kill, failed after", Duration::from_millis(100), rounds);
    back.hold("after it listens again, first success of each client", Duration::from_secs(1), rounds);
}

#[test]
fn a_stopped_backend_is_told_of_at_the_time_for_an_answer() {
    let rounds = Rounds::of("RESPGATE_STOPS", 2);
    let op_timeout = Duration::from_secs(1);
    let (world, _) = world_over_tcp("op_timeout_ms = 1000");
    world.announce(LOST);
    let (mut told, mut waited, mut back) = (Times::default(), Times::default(), Times::default());
    let slack = Duration::from_millis(500);
    for round in 0..rounds.count {
        let mut clients = clients(&world);
        clients.iter_mut().for_each(|client| client.talk(&[("ECHO before", "$before")]));
        world.redis.signal(Signal::STOP);
        let asked: Vec<Instant> = clients
            .iter_mut()
            .zip(["INCR a", "GET b", "SET b 1", "ECHO c"])
            .map(|(client, question)| {
                client.send(question);
                Instant::now()
            })
            .collect();
        for (client, asked) in clients.iter_mut().zip(asked) {
            let answer = client.read().to_string();
            let took = asked.elapsed();
            assert_eq!(answer, UNKNOWN);
            assert!(took + slack >= op_timeout, "given up after {took:?}");
            told.add(took);
        }
        // From now on nobody waits for it that long.
        for client in &mut clients {
            let start = Instant::now();
            let answer = client.ask("INCR a");
            assert_eq!(answer, NOT_SENT, "of a backend that does not greet");
            waited.add(start.elapsed());
        }
        world.redis.signal(Signal::CONT);
        let start = Instant::now();
        for client in &mut clients {
            back.add(ask_until_answered(client, round).saturating_duration_since(start));
        }
    }
    told.hold("no answer of a stopped backend, told after", op_timeout + slack, rounds);
    waited.hold("and every later command, after", Duration::from_secs(2) + slack, rounds);
    back.hold("after it goes on, first success of each client", Duration::from_secs(1), rounds);
}
