//! Job queues that keep their work in Redis: each with its own workers, and with
//! what an application asks of it.

use super::{addressed, all_say_ok, modern, node, python};
use crate::backend::leashed;
use crate::clients::source;
use crate::world::World;

#[test]
fn celery_works_with_broker_and_results_behind_the_gateway() {
    let world = modern();
    all_say_ok(vec![python("celery", "celery_run.py", &world, "app")]);
}

#[test]
fn bullmq_works_with_its_queue_and_workers_behind_the_gateway() {
    let world = modern();
    all_say_ok(vec![node("bullmq.js", &[], &world, "app")]);
}

/// Debian's Sidekiq, with redis-rb 4.
#[test]
fn sidekiq_works_with_its_queues_behind_the_gateway() {
    let world = World::start();
    let mut command = leashed("ruby");
    command.arg(source("sidekiq_run.rb")).current_dir(world.path(""));
    addressed(&mut command, &world, "app");
    all_say_ok(vec![command]);
}
