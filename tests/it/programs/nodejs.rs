//! node-redis and ioredis in earnest.

use super::{all_say_ok, modern, node};

#[test]
fn node_clients_hold_their_promises_about_pipelines_subscribers_and_caches() {
    let world = modern();
    let each = ["redis5", "redis6", "ioredis5", "ioredis6"];
    all_say_ok(each.map(|module| node("node_deep.js", &[module], &world, "app")).into());
}
