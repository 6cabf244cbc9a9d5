//! A gateway before a real cluster.

use std::ops::Deref;

use super::nodes::Cluster;
use crate::backend::{Version, password};
use crate::wire::Client;
use crate::world::{Setup, World};

/// The world is there without its own Redis: the cluster is the gateway's database.
pub(crate) struct Clustered {
    world: World,
    pub(crate) cluster: Cluster,
}

impl Deref for Clustered {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Clustered {
    /// Before a cluster of so many masters, each with so many replicas.
    pub(crate) fn start(version: Version, masters: usize, replicas: usize) -> Self {
        Self::starting(Setup { version, ..Setup::default() }, masters, replicas)
    }

    /// The same, with a gateway that differs in this.
    pub(crate) fn starting(setup: Setup, masters: usize, replicas: usize) -> Self {
        Self::with(Cluster::start(setup.version, masters, replicas), setup)
    }

    /// Before this cluster.
    pub(crate) fn with(cluster: Cluster, setup: Setup) -> Self {
        let seeds = cluster.seeds();
        Self::seeded(cluster, setup, &seeds, "")
    }

    /// The same, with these seeds and more of its settings.
    pub(crate) fn seeded(cluster: Cluster, setup: Setup, seeds: &str, more: &str) -> Self {
        Self { world: World::with(seeded(setup, seeds, more)), cluster }
    }

    /// Writes a key through the gateway and says which node has it, by asking the nodes.
    pub(crate) fn keys_by_node(&self) -> Vec<usize> {
        let count = |number: usize| {
            let size = self.cluster.client(number, "root").ask("DBSIZE");
            size.trim_start_matches(':').parse().expect("a number")
        };
        (0..self.cluster.masters).map(count).collect()
    }

    /// A client that speaks RESP3.
    pub(crate) fn client3(&self, user: &str) -> Client {
        let mut client = self.client(user);
        assert!(client.call(&["HELLO", "3"]).field("proto").is_some(), "RESP3");
        client
    }
}

/// A gateway with one worker: all clients go by the same map.
pub(crate) fn one_worker(version: Version) -> Setup {
    let edits = vec![("[listener]\n", "workers = 1\n\n[listener]\n".to_owned())];
    Setup { version, edits, ..Setup::default() }
}

/// The setup of a gateway before the cluster with these seeds.
pub(crate) fn seeded(mut setup: Setup, seeds: &str, more: &str) -> Setup {
    let cluster = format!(
        "cluster = {{ seeds = [{seeds}], redis_user = \"ops\", redis_password_file = \"service.password\"{more} }}\n"
    );
    setup.database = Some("THE CLUSTER".to_owned());
    setup.edits.push(("address = \"THE CLUSTER\"\n", cluster));
    setup.files.push(("service.password", format!("{}\n", password("ops"))));
    setup
}
