//! Single claims in the same world: what chance meets too seldom.

use std::time::Instant;

use super::{WAIT_MS, World};

/// Nodes that say all the time that the cluster is down are asked for as long as a request may wait;
/// then it is answered so, at whatever moment between two attempts that is.
#[test]
fn a_cluster_that_stays_down_is_said_to_be_when_the_time_to_wait_is_over() {
    for seed in 0..16 {
        let mut world = World::new(seed, Instant::now(), false);
        world.nodes.are_down = true;
        for client in &mut world.clients {
            client.plan(&mut world.dice);
        }
        while world.clients.iter().any(|client| client.awaits() > 0) {
            // One that was behind another begins to wait after that.
            let waited = world.now.duration_since(world.began).as_millis();
            assert!(waited < u128::from(WAIT_MS) * 10, "seed {seed}: {}", world.unanswered());
            world.carry();
            let ms = world.dice.pick(&[1, 5, 20, 50]);
            world.pass(ms);
            world.tell_map();
        }
        assert!(world.nodes.redirects > 0 && world.clients.iter().any(|client| client.lost > 0));
    }
}
