//! Scripts and functions that do not end, and those who end them.

use std::time::{Duration, Instant};

use super::control::two_workers;
use crate::backend::Version;
use crate::resp::request;
use crate::wire::{Client, PATIENCE};
use crate::world::{Setup, World};

/// A library with a function that does not end.
pub(crate) const SPIN: &str =
    "#!lua name=busy\nredis.register_function('spin', function() while true do end end)";

/// Clients of both workers, by the parity of their ids.
fn of_each_worker(world: &World) -> [Client; 2] {
    let mut found = [None, None];
    for _ in 0..10 {
        let mut client = world.client("app");
        let id: usize = client.ask("CLIENT ID")[1..].parse().expect("a number");
        found[id % 2] = Some(client);
        if let [Some(_), Some(_)] = found {
            return found.map(|client| client.expect("looked at"));
        }
    }
    panic!("all clients are one worker's");
}

/// Sends the command until it is believed; how long that took.
pub(crate) fn kill(killer: &mut Client, command: &str) -> Duration {
    let start = Instant::now();
    loop {
        match killer.ask(command).as_str() {
            "+OK" => return start.elapsed(),
            refused => {
                assert!(refused.starts_with("-NOTBUSY"), "{refused}");
                assert!(start.elapsed() < PATIENCE, "{refused}");
            }
        }
    }
}

#[test]
fn what_blocks_the_shared_link_is_killed_from_either_worker() {
    for version in Version::ALL {
        let world = World::with(Setup { version, edits: two_workers(), ..Setup::default() });
        let mut root = world.redis.client("root");
        root.talk(&[("CONFIG SET busy-reply-threshold 50", "+OK")]);
        root.call(&["FUNCTION", "LOAD", SPIN]);
        let [mut busy, mut afar] = of_each_worker(&world);
        let mut near = std::iter::repeat_with(|| world.client("app"))
            .find_map(|mut client| {
                let parity = |id: String| id.trim_start_matches(':').parse::<u64>().expect("a number") % 2;
                (parity(client.ask("CLIENT ID")) == parity(busy.ask("CLIENT ID"))).then_some(client)
            })
            .expect("endless");
        for (busy_loop, command) in
            [(&["EVAL", "while true do end", "0"], "SCRIPT KILL"), (&["FCALL", "spin", "0"], "FUNCTION KILL")]
        {
            for (whose, killer) in [("the same", &mut near), ("the other", &mut afar)] {
                // What is written behind it on the same link waits for its end.
                busy.write(&[request(busy_loop), crate::resp::typed("INCR after")].concat());
                busy.expect_silence(Duration::from_millis(300));
                let took = kill(killer, command);
                eprintln!("{version:?}: {command} from {whose} worker: {} ms", took.as_millis());
                let told = busy.read().to_string();
                assert!(told.starts_with('-') && told.contains("killed by user"), "{told}");
                assert!(busy.read().to_string().starts_with(':'));
            }
        }
        busy.talk(&[("INCR after", ":5"), ("EVAL return(1) 0", ":1")]);
    }
}

#[test]
fn a_link_greeted_while_redis_is_busy_still_has_fences() {
    let world = World::with(Setup { edits: two_workers(), ..Setup::default() });
    world.redis.client("root").talk(&[("CONFIG SET busy-reply-threshold 50", "+OK")]);
    let [mut busy, mut afar] = of_each_worker(&world);
    busy.write(&request(&["EVAL", "while true do end", "0"]));
    busy.expect_silence(Duration::from_millis(300));
    kill(&mut afar, "SCRIPT KILL");
    busy.read();
    let log = world.gateway.stderr.all().join("\n");
    assert!(!log.contains("may not ECHO"), "{log}");
}
