//! Transactions to the last corner: what the gateway answers itself is queued and run at EXEC as
//! Redis does it, whether the transaction arrives whole or in pieces.

use crate::resp::typed;
use crate::wire::Client;
use crate::world::{Door, NARROW, Setup, World, at_both_doors};

const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.";

/// Plays it step by step, all in one write, and cut in two writes.
fn every_way(client: &mut Client, turns: &[(&str, &str)]) {
    client.talk(turns);
    client.pipeline(turns);
    let bytes: Vec<u8> = turns.iter().flat_map(|(command, _)| typed(command)).collect();
    for cut in (1..bytes.len()).step_by(bytes.len() / 7 + 1) {
        client.write(&bytes[..cut]);
        std::thread::sleep(std::time::Duration::from_millis(2));
        client.write(&bytes[cut..]);
        for (command, expected) in turns {
            assert_eq!(client.read().to_string(), *expected, "in answer to {command:?}, cut at {cut}");
        }
    }
}

fn client_of(door: &Door<'_>, proto: u8) -> Client {
    let mut client = door.client("app");
    client.ask(&format!("HELLO {proto}"));
    client
}

#[test]
fn commands_about_the_connection_are_queued_and_run_at_exec() {
    at_both_doors(|door| {
        for proto in [2, 3] {
            let mut client = client_of(door, proto);
            let id = client.ask("CLIENT ID");
            let replies = format!("[+OK, $inside, $between, {id}, +OK, $outer, :-1]");
            every_way(
                &mut client,
                &[
                    ("MULTI", "+OK"),
                    ("CLIENT SETNAME inside", "+QUEUED"),
                    ("CLIENT GETNAME", "+QUEUED"),
                    ("ECHO between", "+QUEUED"),
                    ("CLIENT ID", "+QUEUED"),
                    ("client setname outer", "+QUEUED"),
                    ("CLIENT GETNAME", "+QUEUED"),
                    ("CLIENT GETREDIR", "+QUEUED"),
                    ("EXEC", &replies),
                    ("CLIENT GETNAME", "$outer"),
                ],
            );
            every_way(
                &mut client,
                &[
                    ("MULTI", "+OK"),
                    ("CLIENT SETNAME never", "+QUEUED"),
                    ("DISCARD", "+OK"),
                    ("CLIENT GETNAME", "$outer"),
                ],
            );
        }
    });
}

#[test]
fn mistakes_show_when_they_show_in_redis() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        every_way(
            &mut client,
            &[
                ("MULTI", "+OK"),
                ("CLIENT SETNAME", "-ERR wrong number of arguments for 'client|setname' command"),
                ("SET k v", "+QUEUED"),
                ("EXEC", ABORTED),
                ("GET k", "nil"),
            ],
        );
        every_way(
            &mut client,
            &[
                ("MULTI", "+OK"),
                ("CLIENT NO-EVICT maybe", "+QUEUED"),
                ("HELLO 9", "+QUEUED"),
                ("HELLO 2 WHAT", "+QUEUED"),
                ("PING", "+QUEUED"),
                (
                    "EXEC",
                    "[-ERR syntax error, -NOPROTO unsupported protocol version, -ERR Syntax error in HELLO option 'WHAT', +PONG]",
                ),
            ],
        );
        every_way(
            &mut client,
            &[
                ("MULTI", "+OK"),
                (
                    "CLIENT maint_notifications on",
                    "-ERR unknown subcommand 'maint_notifications'. Try CLIENT HELP.",
                ),
                ("EXEC", ABORTED),
            ],
        );
        client.talk(&[("MULTI", "+OK")]);
        assert_eq!(client.call(&["CLIENT", "SETNAME", "a b"]).to_string(), "+QUEUED");
        client.talk(&[
            ("CLIENT GETNAME", "+QUEUED"),
            ("EXEC", "[-ERR Client names cannot contain spaces, newlines or special characters., nil]"),
        ]);
    });
}

#[test]
fn a_hello_that_stays_with_the_protocol_is_queued() {
    at_both_doors(|door| {
        for proto in [2, 3] {
            let mut client = client_of(door, proto);
            let outside = client.ask("HELLO");
            let replies = format!("[{outside}, $named, {outside}]");
            every_way(
                &mut client,
                &[
                    ("MULTI", "+OK"),
                    (&format!("HELLO {proto} SETNAME named"), "+QUEUED"),
                    ("CLIENT GETNAME", "+QUEUED"),
                    ("HELLO", "+QUEUED"),
                    ("EXEC", &replies),
                ],
            );
        }
    });
}

#[test]
fn databases_that_there_are_not_are_told_of_at_exec() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        every_way(
            &mut client,
            &[
                ("MULTI", "+OK"),
                ("SELECT 99", "+QUEUED"),
                ("SELECT x", "+QUEUED"),
                ("SELECT -1", "+QUEUED"),
                ("SELECT 3", "+QUEUED"),
                ("SET k three", "+QUEUED"),
                (
                    "EXEC",
                    "[-ERR DB index is out of range, -ERR value is not an integer or out of range, \
                     -ERR DB index is out of range, +OK, +OK]",
                ),
                ("GET k", "$three"),
                ("SELECT 0", "+OK"),
                ("GET k", "nil"),
            ],
        );
    });
}

#[test]
fn nothing_is_answered_where_exec_did_not_run() {
    at_both_doors(|door| {
        let (mut client, mut other) = (door.client("app"), door.client("app"));
        for round in 0..3 {
            client.talk(&[("WATCH k", "+OK")]);
            other.talk(&[(&format!("SET k {round}"), "+OK")]);
            client.talk(&[
                ("MULTI", "+OK"),
                ("CLIENT SETNAME never", "+QUEUED"),
                ("CLIENT ID", "+QUEUED"),
                ("EXEC", "nil"),
                ("CLIENT GETNAME", "nil"),
            ]);
        }
        client.talk(&[("MULTI", "+OK"), ("CLIENT SETNAME never", "+QUEUED")]);
        assert!(client.ask("NOSUCH").starts_with("-ERR unknown command"));
        client.talk(&[("EXEC", ABORTED), ("CLIENT GETNAME", "nil")]);
    });
}

#[test]
fn answers_find_their_place_in_a_large_reply() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        let id = client.ask("CLIENT ID");
        for size in [1, 15_000, 16_384, 70_000, 3_000_000] {
            let value = "v".repeat(size);
            client.call(&["SET", "large", &value]);
            let commands = [
                "MULTI",
                "CLIENT ID",
                "GET large",
                "CLIENT ID",
                "GET large",
                "GET large",
                "CLIENT ID",
                "EXEC",
            ];
            for whole in [true, false] {
                if whole {
                    client.write(&commands.map(typed).concat());
                }
                for command in &commands[..7] {
                    if !whole {
                        client.send(command);
                    }
                    client.read();
                }
                if !whole {
                    client.send("EXEC");
                }
                let items = client.read().items();
                let shown: Vec<String> =
                    items
                        .iter()
                        .map(|item| {
                            if item.bytes() == value.as_bytes() {
                                "value".to_owned()
                            } else {
                                item.to_string()
                            }
                        })
                        .collect();
                assert_eq!(shown, [&id, "value", &id, "value", "value", &id], "{size}");
            }
        }
        client.talk(&[("PING", "+PONG")]);
    });
}

#[test]
fn keys_stay_watched_after_an_exec_or_discard_without_multi() {
    at_both_doors(|door| {
        let (mut client, mut other) = (door.client("app"), door.client("app"));
        for command in ["EXEC", "DISCARD", "UNWATCH x"] {
            client.talk(&[("SET k 1", "+OK"), ("WATCH k", "+OK")]);
            assert!(client.ask(command).starts_with("-ERR "));
            other.talk(&[("SET k 2", "+OK")]);
            client.pipeline(&[("MULTI", "+OK"), ("SET k 3", "+QUEUED"), ("EXEC", "nil"), ("GET k", "$2")]);
        }
    });
}

#[test]
fn an_exec_with_an_argument_ends_the_transaction() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        every_way(
            &mut client,
            &[
                ("MULTI", "+OK"),
                ("SET k v", "+QUEUED"),
                (
                    "EXEC now",
                    "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command",
                ),
                ("EXEC", "-ERR EXEC without MULTI"),
                ("GET k", "nil"),
            ],
        );
    });
}

/// What Redis would queue and the gateway cannot: its reply has no place among those of EXEC, or it
/// is about links that are not the session's.
#[test]
fn a_reset_that_is_none_spoils_the_transaction() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        every_way(
            &mut client,
            &[
                ("MULTI", "+OK"),
                ("SET k never", "+QUEUED"),
                ("RESET now", "-ERR wrong number of arguments for 'reset' command"),
                ("EXEC", ABORTED),
                ("EXISTS k", ":0"),
            ],
        );
    });
}

#[test]
fn what_only_a_cluster_needs_is_answered_inside_as_it_is_outside() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        let said = ["READONLY", "READWRITE", "ASKING"].map(|command| client.ask(command));
        let replies = format!("[{}]", said.join(", "));
        let turns = [
            ("MULTI", "+OK"),
            ("READONLY", "+QUEUED"),
            ("READWRITE", "+QUEUED"),
            ("ASKING", "+QUEUED"),
            ("EXEC", &replies),
        ];
        every_way(&mut client, &turns);
    });
}

#[test]
fn a_refusal_that_nobody_would_hear_closes() {
    let world = World::start();
    for unheard in ["CLIENT REPLY ON", "HELLO 3", "SUBSCRIBE c", "WAIT 0 0"] {
        let mut client = world.client("app");
        client.talk(&[("DEL k", ":0")]);
        for command in ["CLIENT REPLY OFF", "MULTI", "SET k never", unheard] {
            client.write(&typed(command));
        }
        // Closed by now, perhaps.
        for command in ["EXEC", "CLIENT REPLY ON"] {
            let _ = client.try_write(&typed(command));
        }
        assert!(client.read_to_end().is_empty(), "{unheard}");
        world.client("app").talk(&[("EXISTS k", ":0")]);
    }
}

#[test]
fn what_cannot_be_queued_is_refused_and_exec_then_fails() {
    let world = World::start();
    let mut client = world.client("root");
    for command in [
        "HELLO 3",
        "CLIENT REPLY ON",
        "SUBSCRIBE news",
        "PUNSUBSCRIBE",
        "MONITOR",
        "WAIT 0 0",
        "CLIENT KILL ID 999999",
        "CLIENT UNBLOCK 999999",
        "CLIENT TRACKING ON REDIRECT 999999",
    ] {
        every_way(
            &mut client,
            &[
                ("MULTI", "+OK"),
                (command, "-ERR respgate: command not supported inside MULTI"),
                ("SET k v", "+QUEUED"),
                ("EXEC", ABORTED),
                ("GET k", "nil"),
            ],
        );
    }
}

#[test]
fn who_may_not_echo_gets_no_answers_inside_a_transaction() {
    let world = World::with(Setup { users: vec![NARROW], ..Setup::default() });
    world.redis.client("root").talk(&[("ACL SETUSER narrow -echo", "+OK")]);
    let mut client = world.client("narrow");
    every_way(
        &mut client,
        &[
            ("MULTI", "+OK"),
            ("CLIENT SETNAME x", "-ERR respgate: command not supported inside MULTI"),
            ("EXEC", ABORTED),
            ("MULTI", "+OK"),
            ("SET narrow:k v", "+QUEUED"),
            ("EXEC", "[+OK]"),
        ],
    );
}
