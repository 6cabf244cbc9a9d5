//! Users that the gateway makes have to be at every node.

use std::time::{Duration, Instant};

use super::nodes::Cluster;
use super::world::Clustered;
use crate::backend::Version;
use crate::wire::PATIENCE;
use crate::world::{APP, LOST, OPS, ROOT, Setup};

#[test]
fn users_are_made_at_every_node_and_put_back_at_one() {
    let version = Version::System;
    let setup = Setup {
        version,
        users: vec![APP, OPS, ROOT],
        edits: vec![
            (
                "[database]\n",
                "[database]\nprovisioning = { redis_user = \"root\", redis_password_file = \"root.password\", \
                 instance = \"a\" }\n"
                    .to_owned(),
            ),
            (
                "redis_user = \"app\"\nredis_password_file = \"app.password\"",
                "acl = \"~* &* +@all\"".to_owned(),
            ),
        ],
        ..Setup::default()
    };
    let world = Clustered::with(Cluster::start(version, 3, 0), setup);
    let mut client = world.client("app");
    for key in ["a", "b", "c", "d", "e"] {
        assert_eq!(client.ask(&format!("SET {key} 1")), "+OK", "{key}");
    }
    client.talk(&[("ACL WHOAMI", "$respgate:a:user:app")]);
    assert!(world.keys_by_node().iter().all(|&keys| keys > 0), "{:?}", world.keys_by_node());
    // Redis closes the connections of a user that is deleted.
    world.announce(LOST);
    let mut root = world.cluster.client(1, "root");
    let deadline = Instant::now() + PATIENCE;
    for _ in 0..2 {
        assert_eq!(root.ask("ACL DELUSER respgate:a:user:app"), ":1");
        while !root.ask("ACL USERS").contains("respgate:a:user:app") {
            assert!(Instant::now() < deadline, "it is not put back");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
