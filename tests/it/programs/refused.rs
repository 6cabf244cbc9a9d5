//! What an application hears whose certificate is nobody's: every library keeps something to itself.

use super::{all_say_ok, node, python};
use crate::pki::{Leaf, pki};
use crate::world::World;

/// A world with a certificate of a stranger in it.
fn with_stranger() -> World {
    let world = World::start();
    pki().trusted.issue(Leaf::client("CN=stranger,O=Acme")).write(&world.path(""), "stranger");
    world
}

#[test]
fn an_application_with_redis_py_hears_that_it_is_nobody() {
    let world = with_stranger();
    let each = ["6.4.0", "7.4.1", "8.1.0", "hiredis"];
    all_say_ok(each.map(|packages| python(packages, "refused.py", &world, "stranger")).into());
    world.wait_audits(2 * each.len());
}

#[test]
fn an_application_with_node_hears_that_it_is_nobody() {
    let world = with_stranger();
    let mut failed = Vec::new();
    for module in ["ioredis5", "ioredis6", "redis5", "redis6"] {
        let output = crate::clients::finish(&mut node("refused.js", &[module], &world, "stranger"));
        if !output.status.success() {
            failed.push(format!("{module}: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
