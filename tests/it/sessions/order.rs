//! Replies leave in the order of the requests, and effects happen in it too,
//! whatever lane each request takes.

use crate::backend::Version;
use crate::resp::{request, typed};
use crate::world::at_both_doors;

#[test]
fn a_pipeline_over_every_lane_is_answered_in_order() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        for round in 0..20 {
            let set = format!("SET k {round}");
            let value = format!("${round}");
            client.pipeline(&[
                (&set, "+OK"),
                ("CLIENT SETNAME x", "+OK"),
                ("GET k", &value),
                ("BLPOP none 0.001", "nil"),
                ("CLIENT GETNAME", "$x"),
                ("MULTI", "+OK"),
                ("GET k", "+QUEUED"),
                ("EXEC", &format!("[{value}]")),
                ("SELECT 1", "+OK"),
                ("GET k", "nil"),
                ("WATCH k", "+OK"),
                ("UNWATCH", "+OK"),
                ("SELECT 0", "+OK"),
                ("SUBSCRIBE c", "[$subscribe, $c, :1]"),
                ("UNSUBSCRIBE c", "[$unsubscribe, $c, :0]"),
                ("EVAL return{KEYS[1],ARGV[1]} 1 k a", "[$k, $a]"),
                ("NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: "),
                ("PING", "+PONG"),
                ("ACL WHOAMI", "$app"),
            ]);
        }
    });
}

#[test]
fn a_write_happens_before_what_follows_on_another_lane() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        for round in 0..50 {
            let push = format!("RPUSH q {round}");
            let popped = format!("[$q, ${round}]");
            client.pipeline(&[
                (&push, ":1"),
                ("BLPOP q 5", &popped),
                ("SET w 1", "+OK"),
                ("WATCH w", "+OK"),
                ("MULTI", "+OK"),
                ("SET w 2", "+QUEUED"),
                ("EXEC", "[+OK]"),
                ("GET w", "$2"),
            ]);
        }
    });
}

#[test]
fn a_deep_pipeline_keeps_its_order() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        let bytes: Vec<u8> = (0..5000)
            .flat_map(|n| match n % 50 {
                7 => request(&["MULTI"]),
                8 => request(&["ECHO", &n.to_string()]),
                9 => request(&["EXEC"]),
                20 => request(&["EVAL", "return ARGV[1]", "0", &n.to_string()]),
                33 => request(&["BLPOP", "none", "0.001"]),
                _ => request(&["ECHO", &n.to_string()]),
            })
            .collect();
        std::thread::scope(|scope| {
            // Written in pieces that no request ends at; replies are read meanwhile
            // by nobody, as they fit into the sockets.
            scope.spawn(|| bytes.chunks(997).for_each(|piece| client.write(piece))).join().expect("written");
        });
        for n in 0..5000 {
            let expected = match n % 50 {
                7 => "+OK".to_owned(),
                8 => "+QUEUED".to_owned(),
                9 => format!("[${}]", n - 1),
                33 => "nil".to_owned(),
                _ => format!("${n}"),
            };
            assert_eq!(client.read().to_string(), expected, "at {n}");
        }
    });
}

#[test]
fn many_sessions_at_once_get_each_their_own() {
    at_both_doors(|door| {
        let users = ["app", "ops", "root"];
        let clients: Vec<_> = (0..12).map(|n| (n, users[n % 3], door.client(users[n % 3]))).collect();
        std::thread::scope(|scope| {
            for (n, user, mut client) in clients {
                scope.spawn(move || {
                    for round in 0..40 {
                        let tokens: Vec<String> = (0..20).map(|i| format!("{n}-{round}-{i}")).collect();
                        let bytes = tokens.iter().flat_map(|token| typed(&format!("ECHO {token}")));
                        client.write(&bytes.collect::<Vec<u8>>());
                        for token in &tokens {
                            assert_eq!(client.read().to_string(), format!("${token}"));
                        }
                        assert_eq!(client.ask("ACL WHOAMI"), format!("${user}"));
                    }
                });
            }
        });
    });
}

#[test]
fn scripts_run_by_source_and_by_digest() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        let digest = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
        let words = match door.version() {
            Version::Valkey9 => "-NOSCRIPT No matching script.",
            _ => "-NOSCRIPT No matching script. Please use EVAL.",
        };
        client.talk(&[(&format!("EVALSHA {digest} 0"), words)]);
        assert_eq!(client.call(&["SCRIPT", "LOAD", "return 1"]).to_string(), "$".to_owned() + digest);
        client.pipeline(&[
            (&format!("EVALSHA {digest} 0"), ":1"),
            (&format!("SCRIPT EXISTS {digest}"), "[:1]"),
            ("EVAL return{1,2,ARGV[1]} 0 a", "[:1, :2, $a]"),
            ("PING", "+PONG"),
        ]);
    });
}
