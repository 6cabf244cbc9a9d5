//! Programs in C.

use super::addressed;
use crate::backend::{leashed, needed, target};
use crate::clients::run;
use crate::world::World;

#[test]
fn hiredis_works_with_its_own_tls_at_once_and_later() {
    let world = World::start();
    let mut command = leashed(needed(target("hiredis/program")));
    addressed(&mut command, &world, "app");
    assert_eq!(run(command.arg("app")), "ok\n");
}
