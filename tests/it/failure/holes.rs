//! The way to Redis becomes a black hole: what is written arrives nowhere, and nothing says so.
//!
//! In `make test` a proxy stops passing anything on. `RESPGATE_HOLES` is how often the real thing
//! happens: Redis is in a network namespace, and its end of the wire is taken down.

use std::time::{Duration, Instant};

use super::namespace::Namespace;
use super::{NOT_SENT, Rounds, Times, UNKNOWN, ask_until_answered};
use crate::proxy::{Mood, Proxy};
use crate::wire::Client;
use crate::world::{LOST, Setup, World};

const OP_TIMEOUT: Duration = Duration::from_secs(1);

/// What stands between the gateway and Redis.
trait Way {
    fn close(&self);
    fn open(&self);
}

impl Way for Proxy {
    fn close(&self) {
        self.set(Mood::Hole);
    }

    fn open(&self) {
        self.set(Mood::Honest);
    }
}

fn vanishes(world: &World, way: &impl Way, rounds: Rounds) {
    world.announce(LOST);
    let mut clients: Vec<Client> = ["app", "app", "ops", "ops"].map(|user| world.client(user)).into();
    let (mut told, mut waited, mut back) = (Times::default(), Times::default(), Times::default());
    for round in 0..rounds.count {
        for client in &mut clients {
            ask_until_answered(client, round);
        }
        way.close();
        let asked: Vec<Instant> = clients
            .iter_mut()
            .map(|client| {
                client.send("INCR a");
                Instant::now()
            })
            .collect();
        for (client, asked) in clients.iter_mut().zip(asked) {
            let answer = client.read().to_string();
            assert_eq!(answer, UNKNOWN, "of a backend that has vanished");
            told.add(asked.elapsed());
        }
        for client in &mut clients {
            let start = Instant::now();
            assert_eq!(client.ask("INCR a"), NOT_SENT, "of a backend that cannot be reached");
            waited.add(start.elapsed());
        }
        way.open();
        let start = Instant::now();
        for client in &mut clients {
            back.add(ask_until_answered(client, round).saturating_duration_since(start));
        }
    }
    told.hold("no answer out of a black hole, told after", OP_TIMEOUT + Duration::from_secs(1), rounds);
    waited.hold("and every later command, after", Duration::from_secs(3), rounds);
    // The connections under way are lost first, and a SYN is sent again after a second, two, ..
    back.hold("after it has closed, first success of each client", Duration::from_secs(4), rounds);
}

#[test]
fn a_proxy_that_passes_nothing_on_is_told_of_in_time() {
    let proxy = Proxy::start(21);
    let world = World::with_unready(Setup {
        limits: "op_timeout_ms = 1000",
        database: Some(proxy.address.to_string()),
        ..Setup::default()
    });
    proxy.lead_to(&world.redis.socket());
    world.gateway.wait_ready();
    vanishes(&world, &proxy, Rounds { count: 2, is_long: false });
}

#[test]
fn a_wire_that_is_cut_is_told_of_in_time() {
    let rounds = Rounds::of("RESPGATE_HOLES", 1);
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        // The proxy's hole has been shown; where the real one was asked for, it is missing.
        Err(why) if !rounds.is_long => {
            return crate::echo::say(&format!("NOT SHOWN: a cut wire, since {why}"));
        }
        Err(why) => panic!("no wire to cut: {why}"),
    };
    let world = World::with_unready(Setup {
        limits: "op_timeout_ms = 1000",
        database: Some(namespace.address()),
        ..Setup::default()
    });
    let _redis = namespace.redis(&world.path("."));
    world.gateway.wait_ready();
    vanishes(&world, &namespace, rounds);
}

impl Way for Namespace {
    fn close(&self) {
        self.cut();
    }

    fn open(&self) {
        self.join();
    }
}
