//! Two databases whose users the gateway makes: what becomes of one keeps nobody from the other.

use rustix::process::Signal;
use tempfile::TempDir;

use crate::backend::{Redis, Version};
use crate::credentials::made::{APP_LOGIN, OPS_LOGIN, users, wait_until};
use crate::world::{APP, LOST, OPS, Setup, World};

/// "orders", which is the world's own Redis and comes first, has the user ops; "stock", where clients come
/// to, has app. A node that hangs is waited for longer than a test waits for anything.
fn two() -> (World, Redis, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let stock = Redis::start(Version::System, directory.path(), &[]);
    let made =
        "provisioning = { redis_user = \"root\", redis_password_file = \"root.password\", instance = \"a\" }";
    let login = |database: &str| format!("database = \"{database}\"\nacl = \"~* &* +@all\"");
    let world = World::with(Setup {
        users: vec![APP, OPS],
        limits: "connect_timeout_ms = 60000",
        listener: "database = \"stock\"\nsni = { \"orders.example\" = \"orders\" }",
        more: format!(
            "[[database]]\nname = \"stock\"\naddress = \"unix:{}\"\n{made}\n",
            stock.socket().display()
        ),
        files: vec![("root.password", crate::backend::password("root"))],
        edits: vec![
            ("[database]\n", format!("[[database]]\nname = \"orders\"\n{made}\n")),
            (APP_LOGIN, login("stock")),
            (OPS_LOGIN, login("orders")),
        ],
        ..Setup::default()
    });
    (world, stock, directory)
}

#[test]
fn a_database_that_hangs_does_not_keep_the_users_of_another_from_being_put_back() {
    let (world, stock, _directory) = two();
    world.announce(LOST);
    let mut root = stock.client("root");
    world.client("app").talk(&[("SET k v", "+OK")]);
    world.redis.signal(Signal::STOP);
    // When the second is gone the other database has been asked for what was wrong with the first, and hangs.
    for _ in 0..3 {
        root.talk(&[("ACL DELUSER respgate:a:user:app", ":1")]);
        wait_until("served again", || world.client("app").ask("SET k v") == "+OK");
    }
}

#[test]
fn a_database_that_hangs_does_not_keep_the_users_of_another_from_being_removed_at_the_end() {
    let (mut world, stock, _directory) = two();
    world.announce(LOST);
    world.announce("could not be removed");
    let mut root = stock.client("root");
    assert_eq!(users(&mut root, "respgate:").len(), 1);
    world.redis.signal(Signal::STOP);
    world.gateway.signal(Signal::TERM);
    world.gateway.wait_end();
    assert_eq!(users(&mut root, "respgate:"), Vec::<String>::new());
    let lines = world.gateway.stderr.all();
    let told: Vec<_> = lines.iter().filter(|line| line.contains("could not be removed")).collect();
    assert!(matches!(&told[..], [line] if line.contains("\"orders\"")), "{told:?}");
}

#[test]
fn a_database_that_hangs_does_not_keep_the_clients_of_another_waiting_at_a_start() {
    let (mut world, _stock, _directory) = two();
    world.announce(LOST);
    world.announce("could not be removed");
    world.redis.signal(Signal::STOP);
    world.restart_unready(Signal::TERM);
    world.client("app").talk(&[("ACL WHOAMI", "$respgate:a:user:app")]);
}
