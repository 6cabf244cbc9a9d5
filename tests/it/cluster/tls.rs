//! A cluster whose nodes speak TLS, with the gateway and with each other: by the names that they
//! announce, by addresses that stand for those, and what one wrong certificate costs.

use std::time::Instant;

use respgate::command::slot::slot;

use super::nodes::{Cluster, Encrypted};
use super::world::Clustered;
use crate::pki::{Leaf, pki};
use crate::resp::Value;
use crate::wire::PATIENCE;
use crate::world::{LOST, Setup};

const NOT_SENT: &str = "-ERR respgate: backend unavailable, command not sent";

/// A node with a certificate for this name, which announces itself by another.
fn node(certified: &str, announced: String) -> Encrypted {
    Encrypted { identity: pki().trusted.issue(Leaf::server(&[certified])), announced }
}

/// Before this cluster, whose certificates have to be for the names that are connected to.
fn world(cluster: Cluster, limits: &'static str, more: &str) -> Clustered {
    let edits = vec![("[database]\n", "[database]\ntls = { ca = \"ca.crt\" }\n".to_owned())];
    let seeds = cluster.seeds().replace("127.0.0.1", "localhost");
    Clustered::seeded(cluster, Setup { limits, edits, ..Setup::default() }, &seeds, more)
}

/// A key that this master had at the start.
fn key_of(world: &Clustered, master: usize) -> String {
    let (first, last) = world.cluster.slots_of(master);
    let is_there = |key: &String| (first..=last).contains(&usize::from(slot(key.as_bytes())));
    (0..).map(|n| format!("key:{n}")).find(is_there).expect("one of many")
}

/// Commands of every kind reach all nodes, and slots move.
fn works(world: &Clustered) {
    let mut client = world.client("app");
    client.talk(&[
        ("ACL WHOAMI", "$app"),
        ("MSET a 1 b 2 c 3 d 4", "+OK"),
        ("MGET d c b a", "[$4, $3, $2, $1]"),
    ]);
    let large = "x".repeat(3 << 20);
    for number in 0..300 {
        assert_eq!(client.ask(&format!("SET many:{number} {number}")), "+OK");
    }
    assert!(world.keys_by_node().iter().all(|&keys| keys > 50), "{:?}", world.keys_by_node());
    for master in 0..3 {
        let key = key_of(world, master);
        let turns = [("WATCH", "+OK"), ("GET", "nil"), ("INCR", ":1"), ("DEL", ":1")];
        for (command, reply) in turns {
            assert_eq!(client.ask(&format!("{command} {key}")), reply);
        }
        client.talk(&[("UNWATCH", "+OK")]);
        assert_eq!(client.call(&["SET", &key, &large]).to_string(), "+OK");
        assert!(client.call(&["GET", &key]) == Value::Bulk(large.clone().into_bytes()), "as it was written");
        let own = usize::from(slot(key.as_bytes()));
        world.cluster.move_slots(std::iter::once(own), master, (master + 1) % 3);
        assert!(client.call(&["GET", &key]) == Value::Bulk(large.clone().into_bytes()), "and still is");
    }
}

#[test]
fn nodes_are_held_to_the_names_that_they_announce() {
    let cluster = Cluster::encrypted(3, |_| node("localhost", "localhost".to_owned()));
    works(&world(cluster, "", ""));
}

#[test]
fn nodes_are_reached_at_the_addresses_that_stand_for_those_they_announce() {
    let announced = |number: usize| format!("node-{number}.cluster.example");
    let cluster = Cluster::encrypted(3, |number| node("localhost", announced(number)));
    let addresses: Vec<String> = (0..3)
        .map(|number| {
            let (name, port) = (announced(number), cluster.nodes[number].port);
            format!("{{ announced = \"{name}:{port}\", reachable = \"localhost:{port}\" }}")
        })
        .collect();
    works(&world(cluster, "", &format!(", addresses = [{}]", addresses.join(", "))));
}

#[test]
fn a_wrong_certificate_at_one_node_is_said_and_costs_no_slot_of_another() {
    let certified = |number: usize| if number == 2 { "elsewhere.example" } else { "localhost" };
    let cluster = Cluster::encrypted(3, |number| node(certified(number), "localhost".to_owned()));
    let world = world(cluster, "cluster_wait_ms = 2000\nreconnect_max_ms = 200\n", "");
    world.announce(LOST);
    let keys: Vec<String> = (0..3).map(|master| key_of(&world, master)).collect();
    let (mut client, mut other) = (world.client("app"), world.client("app"));
    for key in [&keys[0], &keys[1]] {
        assert_eq!(client.ask(&format!("SET {key} here")), "+OK");
    }
    for key in [&keys[0], &keys[2], &keys[1]] {
        client.send(&format!("GET {key}"));
    }
    // While one waits for the node that cannot be reached, others are answered.
    for _ in 0..20 {
        other.talk(&[(&format!("GET {}", keys[0]), "$here"), (&format!("GET {}", keys[1]), "$here")]);
    }
    for reply in ["$here", NOT_SENT, "$here"] {
        assert_eq!(client.read().to_string(), reply);
    }
    let place = format!("localhost:{}", world.cluster.nodes[2].port);
    let said = |line: &str| line.contains(&place) && line.contains("not valid for name");
    world.gateway.stderr.wait_for("which node it is, and why", said);
    let (status, ready) = world.gateway.get("/readyz");
    assert_eq!(status, 200, "{ready}");
    assert!(ready.contains(&format!("at {place}: tls since")), "{ready}");
    assert!(!ready.contains(&world.cluster.nodes[0].port.to_string()), "{ready}");

    // With the right one it is a node like the others.
    let right = pki().trusted.issue(Leaf::server(&["localhost"]));
    right.write(&world.path("."), "right");
    let file = |end: &str| world.path(&format!("right.{end}")).display().to_string();
    let set = ["CONFIG", "SET", "tls-cert-file", &file("crt"), "tls-key-file", &file("key")];
    assert_eq!(world.cluster.client(2, "root").call(&set).to_string(), "+OK");
    let deadline = Instant::now() + PATIENCE;
    while client.ask(&format!("SET {} here", keys[2])) != "+OK" {
        assert!(Instant::now() < deadline, "it is not tried again");
    }
    world.gateway.wait_status("/readyz", 200);
}
