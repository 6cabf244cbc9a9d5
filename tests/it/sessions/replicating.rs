//! SYNC, for a user whose profile allows it: when Redis begins, and what a replica may not say.

use crate::resp::typed;
use crate::world::{Door, at_both_doors};

#[test]
fn sync_behind_what_has_not_been_answered_is_refused() {
    at_both_doors(|door| {
        let refused = "-ERR SYNC and PSYNC are invalid with pending output";
        let mut client = door.client("root");
        client.pipeline(&[("PING", "+PONG"), ("SYNC", refused), ("GET none", "nil")]);
        client.pipeline(&[("CLIENT GETNAME", "nil"), ("PSYNC ? -1", refused), ("GET none", "nil")]);
        client.talk(&[("SELECT 1", "+OK"), ("WATCH k", "+OK")]);
        client.pipeline(&[("GET none", "nil"), ("SYNC", refused), ("GET none", "nil")]);
    });
}

#[test]
fn a_replica_that_asks_something_is_closed_and_no_answer_stands_in_the_stream() {
    let asked = [
        "CLIENT GETNAME",
        "HELLO 3",
        "CLIENT MAINT_NOTIFICATIONS ON",
        "SELECT 99",
        "RESET",
        "QUIT",
        "ECHO x",
    ];
    at_both_doors(|door| {
        if let Door::Gateway(world) = door {
            // Redis itself closes, and the gateway says so.
            world.announce("the backend closed the connection");
        }
        door.client("root").talk(&[("CONFIG SET repl-diskless-sync-delay 0", "+OK")]);
        for command in asked {
            let mut replica = door.client("root");
            replica.talk(&[("SET large x", "+OK")]);
            replica.send("SYNC");
            let mut stream = replica.read_piece(1);
            replica.write(&typed(command));
            stream.extend(replica.read_to_end());
            let said = ["-ERR", "+RESET", "+OK", "$1\r\nx", "$-1", "%7\r\n"];
            let found =
                said.iter().find(|said| stream.windows(said.len()).any(|part| part == said.as_bytes()));
            assert_eq!(found, None, "{command}: {}", stream.escape_ascii());
        }
    });
}
