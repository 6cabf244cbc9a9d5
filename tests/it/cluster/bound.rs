//! What binds a connection is at one node, and what is for another one is refused in words that nobody takes
//! for a reason to try again.

use std::time::{Duration, Instant};

use super::world::Clustered;
use crate::backend::Version;
use crate::wire::{Client, PATIENCE};

const MOVING: &str = "-TRYAGAIN respgate: the hash slot is on its way between nodes, command not run";
const ELSEWHERE: &str = "-ERR respgate: with a cluster a connection's subscriptions, watched keys, transactions \
    and blocking commands are at one node, and this is for another: use another connection";

/// Asks until it is answered so; until then what it is for is said to be moving.
fn ask_until(client: &mut Client, command: &str, reply: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = client.ask(command);
        if told == reply {
            return;
        }
        assert_eq!(told, MOVING, "{command}");
        assert!(Instant::now() < deadline, "{command}: {told} to the end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_is_for_another_node_than_a_subscription_is_refused_for_good() {
    let world = Clustered::start(Version::System, 3, 0);
    let keys = world.cluster.keys();
    let mut client = world.client("app");
    client.talk(&[("SUBSCRIBE news", "[$subscribe, $news, :1]")]);
    let told: Vec<String> = keys.iter().map(|key| client.ask(&format!("SSUBSCRIBE {key}"))).collect();
    assert_eq!(told.iter().filter(|told| *told == ELSEWHERE).count(), 2, "{told:?}");
    assert_eq!(told.iter().filter(|told| told.starts_with("[$ssubscribe")).count(), 1, "{told:?}");

    let mut client = world.client3("app");
    client.talk(&[("SUBSCRIBE news", ">[$subscribe, $news, :1]")]);
    let mut refused = 0;
    for key in &keys {
        let told = client.ask(&format!("BLPOP {key} 0.01"));
        if told == ELSEWHERE {
            refused += 1;
            client.talk(&[
                (&format!("WATCH {key}"), ELSEWHERE),
                ("MULTI", "+OK"),
                (&format!("SET {key} 1"), ELSEWHERE),
                ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
                (&format!("EXISTS {key}"), ":0"),
            ]);
        } else {
            assert_eq!(told, "nil", "{key}");
            client.talk(&[(&format!("WATCH {key}"), "+OK"), ("UNWATCH", "+OK")]);
        }
    }
    assert_eq!(refused, 2);
    // Nothing binds it any more.
    client.talk(&[("UNSUBSCRIBE news", ">[$unsubscribe, $news, :0]")]);
    for key in &keys {
        client.talk(&[(&format!("BLPOP {key} 0.01"), "nil")]);
    }
}

#[test]
fn what_is_for_a_slot_that_has_left_the_node_of_a_subscription_is_refused_for_good() {
    let world = Clustered::start(Version::System, 2, 0);
    let keys = world.cluster.keys();
    let mut client = world.client3("app");
    client.talk(&[("SUBSCRIBE news", ">[$subscribe, $news, :1]")]);
    let is_here = |key: &&String| client.ask(&format!("BLPOP {key} 0.01")) == "nil";
    let key = keys.iter().find(is_here).expect("it is at one of them");
    let (slot, from) = (world.cluster.slot_of(key), world.cluster.owner(world.cluster.slot_of(key)));
    world.cluster.move_slots(slot..slot + 1, from, 1 - from);
    ask_until(&mut client, &format!("BLPOP {key} 0.01"), ELSEWHERE);
    client.talk(&[(&format!("BLPOP {key} 0.01"), ELSEWHERE)]);
}

#[test]
fn a_watch_of_a_slot_that_has_moved_is_taken_when_it_is_tried_again() {
    let world = Clustered::start(Version::System, 2, 0);
    let key = &world.cluster.keys()[0];
    let slot = world.cluster.slot_of(key);
    let mut client = world.client("app");
    client.talk(&[(&format!("WATCH {key}"), "+OK"), ("UNWATCH", "+OK")]);
    world.cluster.move_slots(slot..slot + 1, 0, 1);
    ask_until(&mut client, &format!("WATCH {key}"), "+OK");
    client.talk(&[("MULTI", "+OK"), (&format!("SET {key} 1"), "+QUEUED"), ("EXEC", "[+OK]")]);
}

#[test]
fn no_client_comes_to_another_database_of_a_cluster() {
    let world = Clustered::start(Version::System, 2, 0);
    let mut client = world.client("app");
    let refused = "-ERR SELECT is not allowed in cluster mode";
    client.talk(&[
        ("MULTI", "+OK"),
        ("SET a 1", "+QUEUED"),
        ("SELECT 0", "+QUEUED"),
        ("EXEC", "[+OK, +OK]"),
        ("MULTI", "+OK"),
        ("SET a 2", "+QUEUED"),
        ("SELECT 1", refused),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
        ("GET a", "$1"),
    ]);
}
