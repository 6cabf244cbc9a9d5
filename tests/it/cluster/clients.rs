//! Real client libraries before a cluster: those that take it for one server, and those that know
//! clusters and find one with a single node.

use super::world::Clustered;
use crate::backend::Version;
use crate::clients::run;
use crate::programs::{node, python};

#[test]
fn redis_py_works_as_a_plain_client_and_as_one_of_clusters() {
    let world = Clustered::start(Version::Redis8, 3, 0);
    for (packages, protocol) in [("6.4.0", "2"), ("8.1.0", "3")] {
        let mut command = python(packages, "redis_py_cluster.py", &world, "app");
        assert_eq!(run(command.arg(protocol)).lines().last(), Some("ok"), "{packages}");
    }
}

#[test]
fn ioredis_works_as_a_plain_client_and_as_one_of_clusters() {
    let world = Clustered::start(Version::System, 3, 0);
    for module in ["ioredis5", "ioredis6"] {
        let mut command = node("ioredis_cluster.js", &[module], &world, "app");
        assert_eq!(run(&mut command).lines().last(), Some("ok"), "{module}");
    }
}
