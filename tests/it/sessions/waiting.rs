//! WAIT and WAITAOF: what they say of the writes of a session, which may have gone over another
//! connection than the one that they are asked on.

use std::time::Instant;

use crate::backend::Version;
use crate::replica::Replica;
use crate::wire::{Client, PATIENCE};
use crate::world::{Door, Setup, World};

fn doors(world: &World) -> [Door<'_>; 2] {
    [Door::Redis(world), Door::Gateway(world)]
}

#[test]
fn a_replica_that_has_stopped_is_never_counted() {
    for version in Version::ALL {
        let world = World::with(Setup { version, ..Setup::default() });
        let replica = Replica::start(&world, version);
        for door in doors(&world) {
            let mut used = door.client("app");
            used.talk(&[("SET k v", "+OK"), ("WAIT 1 5000", ":1")]);
            for round in 0..5 {
                used.talk(&[("SET k more", "+OK"), ("WAIT 1 5000", ":1")]);
                let mut fresh = door.client("app");
                fresh.talk(&[("SET k even", "+OK")]);
                replica.stop();
                // Its own connection has been used before, and all that went over it has arrived there.
                used.talk(&[("SET k last", "+OK"), ("WAIT 1 50", ":0")]);
                used.pipeline(&[("SET k last", "+OK"), ("WAIT 1 50", ":0"), ("WAIT 0 0", ":0")]);
                fresh.talk(&[("SET k last", "+OK"), ("WAIT 1 50", ":0")]);
                replica.go_on();
                used.talk(&[("WAIT 1 10000", ":1")]);
                fresh.talk(&[("WAIT 1 10000", ":1")]);
                eprintln!("{version:?}, round {round}: counted where it was, not where it was not");
            }
        }
    }
}

/// Up to Redis 7.0 any command tells how far a connection's writes have come, later only one that goes
/// to the replicas.
#[test]
fn where_nothing_can_be_said_of_the_writes_wait_says_nothing() {
    for version in Version::ALL {
        let world = World::with(Setup { version, ..Setup::default() });
        let mut narrow = world.client("narrow");
        let replies = match version {
            Version::System => [":0", ":0"],
            _ => {
                ["-NOPERM respgate: WAIT needs the Redis user's right to SPUBLISH on the channel respgate:wait";
                    2]
            }
        };
        narrow.pipeline(&[("SET narrow:k v", "+OK"), ("WAIT 0 0", replies[0]), ("GET narrow:k", "$v")]);
        narrow
            .talk(&[("WAIT 1 50", replies[1]), ("WAIT x 0", "-ERR value is not an integer or out of range")]);
        world.redis.client("root").talk(&[("ACL SETUSER narrow &respgate:wait", "+OK")]);
        narrow.talk(&[("WAIT 0 0", ":0"), ("WAIT 1 50", ":0"), ("GET narrow:k", "$v")]);
    }
}

/// What a Redis user may not is no reason to end its connection: PING is not needed where SPUBLISH is
/// allowed.
#[test]
fn a_user_that_may_not_ping_waits_by_its_right_to_publish() {
    let refused =
        "-NOPERM respgate: WAIT needs the Redis user's right to SPUBLISH on the channel respgate:wait";
    for version in Version::ALL {
        let world = World::with(Setup { version, ..Setup::default() });
        let mut root = world.redis.client("root");
        root.talk(&[("ACL SETUSER narrow -ping", "+OK")]);
        let mut narrow = world.client("narrow");
        narrow.pipeline(&[("SET narrow:k v", "+OK"), ("WAIT 0 0", refused), ("GET narrow:k", "$v")]);
        root.talk(&[("ACL SETUSER narrow &respgate:wait", "+OK")]);
        narrow.pipeline(&[("SET narrow:k w", "+OK"), ("WAIT 0 0", ":0"), ("GET narrow:k", "$w")]);
    }
}

#[test]
fn inside_a_transaction_wait_is_refused() {
    let world = World::start();
    let mut client = world.client("app");
    let turns = [
        ("MULTI", "+OK"),
        ("WAIT 1 0", "-ERR respgate: command not supported inside MULTI"),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
    ];
    client.talk(&turns);
    client.pipeline(&turns);
}

#[test]
fn writes_are_on_disk_when_waitaof_says_so() {
    for version in [Version::Redis8, Version::Valkey9] {
        let world = World::with(Setup { version, ..Setup::default() });
        let mut root = world.redis.client("root");
        root.talk(&[("CONFIG SET appendonly yes", "+OK")]);
        let deadline = Instant::now() + PATIENCE;
        while !root.ask("INFO persistence").contains("aof_rewrite_in_progress:0\r\n") {
            assert!(Instant::now() < deadline, "the file is not written");
        }
        let sync =
            |root: &mut Client, how: &str| root.talk(&[(&format!("CONFIG SET appendfsync {how}"), "+OK")]);
        for door in doors(&world) {
            let (mut client, mut other) = (door.client("app"), door.client("app"));
            sync(&mut root, "everysec");
            client.talk(&[("SET k v", "+OK"), ("WAITAOF 1 0 10000", "[:1, :0]")]);
            client.pipeline(&[("SET k w", "+OK"), ("WAITAOF 1 0 10000", "[:1, :0]"), ("GET k", "$w")]);
            client.talk(&[("WAITAOF 0 1 50", "[:1, :0]")]);
            sync(&mut root, "always");
            client.talk(&[("SET k v", "+OK"), ("WAITAOF 1 0 10000", "[:1, :0]")]);
            other.talk(&[("WAITAOF 1 1 50", "[:1, :0]"), ("PING", "+PONG")]);
        }
    }
}
