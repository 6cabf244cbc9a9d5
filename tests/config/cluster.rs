//! Databases that are clusters: what is read, and what can be wrong, for the golden file.

use respgate::io::{Address, Location};

use crate::golden::{CASE, Case, assert_said};
use crate::world::World;

const EXAMPLE: &str = include_str!("../../config/cluster.toml");
const ADDRESS: &str = "address = \"127.0.0.1:6379\"";

const CASES: &[Case] = &[
    Case {
        claim: "a section of a cluster misses its keys",
        edits: &[(ADDRESS, "[database.cluster]\nnodes = 1")],
        ..CASE
    },
    Case {
        claim: "a cluster and an address, sentinels or shared subscriptions exclude each other",
        edits: &[(
            ADDRESS,
            "address = \"127.0.0.1:6379\"\nsubscriptions = \"shared\"\n[database.cluster]\nseeds = \"a:1\"\n\
             redis_user = \"topology\"\nredis_password = \"secret\"",
        )],
        ..CASE
    },
    Case {
        claim: "what nodes cannot be is said at each key",
        edits: &[(
            ADDRESS,
            "[database.cluster]\nseeds = [\"a\", \"unix:/s\", \"c:0\"]\nredis_user = \"topology\"\n\
             redis_password = \"secret\"\naddresses = [\n  { announced = \"a:1\", reachable = \"unix:/s\" },\n  \
             { announced = \"a:1\" },\n]",
        )],
        ..CASE
    },
    Case {
        claim: "an announced address leads to one place",
        edits: &[(
            ADDRESS,
            "[database.cluster]\nseeds = \"a:1\"\nredis_user = \"topology\"\nredis_password = \"secret\"\n\
             addresses = [\n  { announced = \"a:1\", reachable = \"b:1\" },\n  { announced = \"a:1\", reachable = \"b:2\" },\n]",
        )],
        ..CASE
    },
];

#[test]
fn everything_wrong_with_a_cluster_is_said_as_in_the_golden_file() {
    assert_said("cluster.txt", CASES);
}

#[test]
fn the_example_asks_three_seeds_as_a_user_of_its_own() {
    let world = World::new();
    world.write("topology.password", "for the map\n");
    let text = EXAMPLE.replace(
        "topology.password\"",
        "topology.password\"\naddresses = [{ announced = \"10.0.0.1:6379\", reachable = \"r1:7001\" }]",
    );
    let loaded = world.load(&text).unwrap();
    assert_eq!(loaded.warnings.list, []);
    let Location::Cluster(cluster) = &loaded.settings.databases[0].location else { panic!("a cluster") };
    assert_eq!(cluster.seeds.len(), 3);
    assert_eq!(cluster.service.redis_user, "topology");
    assert_eq!(cluster.service.password.expose(), b"for the map");
    let at = Address::Tcp { host: "r1".to_owned(), port: 7001 };
    assert_eq!(cluster.addresses.get("10.0.0.1:6379"), Some(&at));
}
