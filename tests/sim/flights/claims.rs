//! Single claims in the same world: what chance meets too seldom.

use std::time::Instant;

use super::{WAIT, World};

/// Nodes that say all the time that the cluster is down are asked for as long as a request may wait;
/// then it is answered so, at whatever moment between two attempts that is.
#[test]
fn a_cluster_that_stays_down_is_said_to_be_when_the_time_to_wait_is_over() {
    for seed in 0..16 {
        let mut world = World::of_nodes(seed, Instant::now(), false);
        world.scene.nodes.are_down = true;
        for client in &mut world.scene.clients {
            client.plan(&mut world.dice);
        }
        while world.is_awaiting() {
            // A client has asked twelve at most, one after the other if its limit is one.
            let waited = world.now.duration_since(world.began);
            assert!(waited < 12 * 2 * WAIT, "seed {seed}: {}", world.unanswered());
            world.settle();
            let ms = world.dice.pick(&[1, 5, 20, 50]);
            world.pass(ms);
            world.tell_map();
        }
        assert!(world.scene.nodes.redirects > 0 && world.scene.clients.iter().any(|client| client.lost > 0));
    }
}
