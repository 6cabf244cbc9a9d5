//! What a script says is its own: a MOVED that it makes up leads nobody else anywhere, and tells no
//! address to those who are not to know any.

use std::time::Duration;

use respgate::command::slot::slot;

use super::world::{Clustered, one_worker};
use crate::backend::Version;
use crate::resp::request;
use crate::sessions::busy::{SPIN, kill};
use crate::wire::Client;
use crate::world::Setup;

/// Counts that it ran, and fails with these words.
const SAYS: &str = "redis.call('INCR', KEYS[1]) return redis.error_reply(ARGV[1])";

const CROSSED: &str = "-CROSSSLOT Keys in request don't hash to the same slot";
const MOVING: &str = "-TRYAGAIN respgate: the hash slot is on its way between nodes, command not run";

/// Errors of this kind that the nodes have answered with since they were last asked to forget.
fn answered(world: &Clustered, kind: &str) -> u64 {
    let line = format!("errorstat_{kind}:count=");
    let of = |info: String| -> u64 {
        let found = info.lines().find_map(|it| it.strip_prefix(&line).map(str::to_owned));
        found.map_or(0, |count| count.trim().parse().expect("a number"))
    };
    (0..world.cluster.nodes.len()).map(|n| of(world.cluster.client(n, "root").ask("INFO errorstats"))).sum()
}

/// Asks for a key of each master, and says how many of the nodes sent it elsewhere.
fn sent_elsewhere(world: &Clustered, clients: &mut [&mut Client], keys: &[String]) -> u64 {
    for number in 0..world.cluster.nodes.len() {
        world.cluster.client(number, "root").talk(&[("CONFIG RESETSTAT", "+OK")]);
    }
    for client in clients {
        for key in keys {
            assert!(client.ask(&format!("EXISTS {key}")).starts_with(':'));
        }
    }
    answered(world, "MOVED")
}

#[test]
fn a_script_that_says_moved_leads_nobody_else_there() {
    let world = Clustered::starting(one_worker(Version::System), 3, 0);
    let keys = world.cluster.keys();
    let (mut client, mut other) = (world.client("app"), world.client("ops"));
    let elsewhere = |slot: u16| format!("MOVED {slot} 127.0.0.1:{}", world.cluster.nodes[2].port);
    let (own, of_another) = (elsewhere(slot(keys[0].as_bytes())), elsewhere(slot(keys[1].as_bytes())));
    assert_eq!(sent_elsewhere(&world, &mut [&mut client, &mut other], &keys), 0);

    // No node would name the slot of another key: these are the script's words, and it has run once.
    let reply = client.call(&["EVAL", SAYS, "1", &keys[0], &of_another]).to_string();
    assert_eq!(reply, format!("-{of_another}"));
    client.talk(&[(&format!("GET {}", keys[0]), "$1")]);
    let reply = client.call(&["EVAL", "return redis.error_reply(ARGV[1])", "0", &own]).to_string();
    assert_eq!(reply, format!("-{own}"));
    assert_eq!(sent_elsewhere(&world, &mut [&mut client, &mut other], &keys), 0);

    // These could be a node's. Whoever says them is led about, and nobody else.
    assert_eq!(client.call(&["EVAL", SAYS, "1", &keys[0], &own]).to_string(), MOVING);
    assert_eq!(sent_elsewhere(&world, &mut [&mut client, &mut other], &keys), 0);
    // One that is too large for a shared link.
    let large = "x".repeat(2 << 20);
    assert_eq!(client.call(&["EVAL", SAYS, "1", &keys[0], &own, &large]).to_string(), MOVING);
    assert_eq!(sent_elsewhere(&world, &mut [&mut client, &mut other], &keys), 0);
}

#[test]
fn a_script_that_names_a_node_of_nobody_says_nothing_to_the_log() {
    let limits = Setup { limits: "cluster_wait_ms = 1000\n", ..Setup::default() };
    let world = Clustered::starting(limits, 2, 0);
    let key = &world.cluster.keys()[0];
    let made_up = format!("MOVED {} 127.0.0.1:1", slot(key.as_bytes()));
    let down = "-CLUSTERDOWN respgate: the hash slot is not served, command not run";
    assert_eq!(world.client("app").call(&["EVAL", SAYS, "1", key, &made_up]).to_string(), down);
    let told = world.gateway.stderr.all().into_iter().find(|line| line.contains("does not have"));
    assert_eq!(told, None);
}

#[test]
fn a_script_on_a_link_of_its_own_that_says_moved_leads_nobody_and_tells_no_address() {
    let world = Clustered::starting(one_worker(Version::System), 3, 0);
    let keys = world.cluster.keys();
    for number in 0..3 {
        // Who may not ECHO has its scripts on a link of its own.
        world.cluster.client(number, "root").talk(&[("ACL SETUSER narrow -echo", "+OK")]);
    }
    let (mut client, mut other) = (world.client("narrow"), world.client("ops"));
    let elsewhere = |slot: u16| format!("MOVED {slot} 127.0.0.1:{}", world.cluster.nodes[2].port);
    for (key, words) in [(&keys[0], CROSSED), (&keys[1], CROSSED), (&keys[0], MOVING)] {
        let told = if words == MOVING { &keys[0] } else { &keys[2] };
        let made_up = elsewhere(slot(told.as_bytes()));
        assert_eq!(client.call(&["EVAL", SAYS, "1", key, &made_up]).to_string(), words, "{made_up} at {key}");
        assert_eq!(sent_elsewhere(&world, &mut [&mut client, &mut other], &keys), 0, "{made_up} at {key}");
    }
    client.talk(&[(&format!("GET {}", keys[0]), "$2"), (&format!("GET {}", keys[1]), "$1")]);
}

#[test]
fn a_script_that_does_not_end_is_killed_at_whichever_node_it_runs() {
    const LOOP: &str = "while true do end";
    for version in Version::ALL {
        let world = Clustered::start(version, 3, 0);
        let keys = world.cluster.keys();
        for number in 0..3 {
            world.cluster.client(number, "root").talk(&[("CONFIG SET busy-reply-threshold 50", "+OK")]);
        }
        let (mut busy, mut killer) = (world.client("app"), world.client("app"));
        busy.call(&["FUNCTION", "LOAD", SPIN]);
        for (command, words) in [("SCRIPT KILL", ["EVAL", LOOP]), ("FUNCTION KILL", ["FCALL", "spin"])] {
            killer.talk(&[(command, "-NOTBUSY No scripts in execution right now.")]);
            for key in &keys {
                // What is written behind it waits for its end, and is answered then.
                let spin = request(&[words[0], words[1], "1", key]);
                busy.write(&[spin, request(&["INCR", key])].concat());
                busy.expect_silence(Duration::from_millis(300));
                let others: Vec<&String> = keys.iter().filter(|other| *other != key).collect();
                kill(&mut killer, command);
                let told = busy.read().to_string();
                assert!(told.starts_with('-') && told.contains("killed by user"), "{told}");
                assert_eq!(busy.read().to_string(), if command == "SCRIPT KILL" { ":1" } else { ":2" });
                for other in others {
                    assert!(killer.ask(&format!("EXISTS {other}")).starts_with(':'));
                }
            }
        }
        // Who has written is not killed, and says so whatever the others say.
        let wrote = "redis.call('SET', KEYS[1], 'x') while true do end";
        busy.write(&request(&["EVAL", wrote, "1", &keys[1]]));
        busy.expect_silence(Duration::from_millis(300));
        let told = killer.ask("SCRIPT KILL");
        assert!(told.starts_with("-UNKILLABLE"), "{told}");
    }
}
