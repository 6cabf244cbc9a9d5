//! redis-py in earnest, with each of its parsers, and what is built on it.

use super::{all_say_ok, modern, python};

#[test]
fn redis_py_holds_its_promises_about_pipelines_locks_caches_and_threads() {
    let world = modern();
    let each = [("6.4.0", "2"), ("7.4.1", "3"), ("8.1.0", "3"), ("hiredis", "2")];
    let programs = each.map(|(packages, protocol)| {
        let mut command = python(packages, "redis_py_deep.py", &world, "app");
        command.args([protocol, packages]);
        command
    });
    all_say_ok(programs.into());
}

#[test]
fn redis_py_with_asyncio_holds_the_same_promises() {
    let world = modern();
    let each = [("6.4.0", "2"), ("8.1.0", "3"), ("hiredis", "3")];
    let programs = each.map(|(packages, protocol)| {
        let mut command = python(packages, "redis_py_asyncio.py", &world, "app");
        command.args([protocol, packages]);
        command
    });
    all_say_ok(programs.into());
}
