//! What the gateway answers without a backend: HELLO, AUTH, SELECT, RESET, QUIT
//! and a client's facts about itself.

use std::time::{Duration, Instant};

use crate::backend::Version;
use crate::resp::Value;
use crate::world::{Setup, World, at_both_doors};

#[test]
fn hello_names_seven_facts_in_either_protocol() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        for (command, proto) in [("HELLO", 2), ("HELLO 3", 3), ("HELLO", 3), ("HELLO 2", 2)] {
            client.send(command);
            let hello = client.read();
            let is_map = matches!(&hello, Value::Map(_));
            assert_eq!(is_map, proto == 3, "{command}: {hello}");
            let items = hello.items();
            let keys: Vec<String> = items.chunks(2).map(|pair| pair[0].to_string()).collect();
            assert_eq!(keys, ["$server", "$version", "$proto", "$id", "$mode", "$role", "$modules"]);
            assert_eq!(hello.field("proto"), Some(Value::Int(proto)), "{command}");
            let server = if door.version() == Version::Valkey9 { "valkey" } else { "redis" };
            assert_eq!(hello.field("server"), Some(Value::Bulk(server.into())));
            assert_eq!(hello.field("mode"), Some(Value::Bulk(b"standalone".to_vec())));
            assert_eq!(hello.field("role"), Some(Value::Bulk(b"master".to_vec())));
            assert!(hello.field("version").is_some_and(|v| v.bytes().contains(&b'.')), "{hello}");
        }
    });
}

#[test]
fn hello_refuses_what_redis_refuses_and_changes_nothing_then() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        client.talk(&[
            ("HELLO 4", "-NOPROTO unsupported protocol version"),
            ("HELLO 1", "-NOPROTO unsupported protocol version"),
            ("HELLO abc", "-ERR Protocol version is not an integer or out of range"),
            ("HELLO 3 NOSUCH", "-ERR Syntax error in HELLO option 'NOSUCH'"),
            ("HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'"),
            ("HELLO 3 AUTH app", "-ERR Syntax error in HELLO option 'AUTH'"),
            ("HELLO 3 AUTH ops wrong", "-WRONGPASS invalid username-password pair or user is disabled."),
            ("HGETALL nothing", "[]"),
            ("ACL WHOAMI", "$app"),
        ]);
        let refused = client.call(&["HELLO", "3", "SETNAME", "two words"]).to_string();
        let words = "-ERR Client names cannot contain spaces, newlines or special characters.";
        assert_eq!(refused, words);
        client.talk(&[("HGETALL nothing", "[]"), ("CLIENT GETNAME", "nil")]);
    });
}

#[test]
fn hello_takes_a_name_and_the_password_of_its_own_user() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        let hello = client.call(&["HELLO", "3", "AUTH", "app", "canary-app", "SETNAME", "worker"]);
        assert_eq!(hello.field("proto"), Some(Value::Int(3)));
        client.talk(&[
            ("CLIENT GETNAME", "$worker"),
            ("HSET h f v", ":1"),
            ("HGETALL h", "{$f: $v}"),
            ("ACL WHOAMI", "$app"),
        ]);
    });
}

#[test]
fn the_protocol_of_one_session_is_not_that_of_another() {
    at_both_doors(|door| {
        let (mut two, mut three) = (door.client("app"), door.client("app"));
        three.send("HELLO 3");
        three.read();
        two.talk(&[("HSET h f v", ":1"), ("HGETALL h", "[$f, $v]"), ("GET none", "nil")]);
        three.talk(&[("HGETALL h", "{$f: $v}"), ("ZADD z 1.5 m", ":1"), ("ZSCORE z m", ",1.5")]);
        two.talk(&[("ZSCORE z m", "$1.5"), ("SMEMBERS none", "[]")]);
        three.talk(&[("SMEMBERS none", "~[]")]);
        // Back again, on the same connection.
        three.send("HELLO 2");
        assert!(matches!(three.read(), Value::Array(_)));
        three.talk(&[("HGETALL h", "[$f, $v]")]);
    });
}

#[test]
fn auth_accepts_the_own_user_and_refuses_every_other() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
        client.talk(&[
            ("AUTH app canary-app", "+OK"),
            ("AUTH ops wrong", wrong),
            ("AUTH nobody wrong", wrong),
            ("AUTH", "-ERR wrong number of arguments for 'auth' command"),
            ("ACL WHOAMI", "$app"),
        ]);
        client.pipeline(&[
            ("AUTH ops wrong", wrong),
            ("ECHO between", "$between"),
            ("AUTH app canary-app", "+OK"),
            ("ACL WHOAMI", "$app"),
        ]);
    });
}

#[test]
fn auth_cannot_become_another_user_even_with_its_password() {
    let world = World::start();
    let mut client = world.client("app");
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    client.talk(&[
        ("AUTH ops canary-ops", wrong),
        ("HELLO 3 AUTH ops canary-ops", wrong),
        ("ACL WHOAMI", "$app"),
        ("AUTH any-old-password", "+OK"),
        ("AUTH app not-its-password", "+OK"),
        ("ACL WHOAMI", "$app"),
    ]);
}

#[test]
fn select_holds_for_its_session_alone() {
    at_both_doors(|door| {
        let (mut first, mut second) = (door.client("app"), door.client("app"));
        first.talk(&[("SET k zero", "+OK"), ("SELECT 3", "+OK"), ("SET k three", "+OK")]);
        second.talk(&[("GET k", "$zero"), ("SELECT 3", "+OK"), ("GET k", "$three"), ("SELECT 0", "+OK")]);
        first.talk(&[
            ("GET k", "$three"),
            ("SELECT 16", "-ERR DB index is out of range"),
            ("SELECT -1", "-ERR DB index is out of range"),
            ("GET k", "$three"),
        ]);
        assert!(first.ask("SELECT abc").starts_with("-ERR "));
        first.pipeline(&[
            ("SELECT 1", "+OK"),
            ("SET k one", "+OK"),
            ("SELECT 0", "+OK"),
            ("GET k", "$zero"),
            ("SELECT 1", "+OK"),
            ("GET k", "$one"),
            ("SELECT 3", "+OK"),
            ("GET k", "$three"),
        ]);
        second.talk(&[("GET k", "$zero")]);
    });
}

#[test]
fn reset_returns_to_the_handshake_but_keeps_the_certificates_user() {
    let world = World::start();
    let mut client = world.client("app");
    client.send("HELLO 3 SETNAME worker");
    client.read();
    client.talk(&[
        ("SELECT 2", "+OK"),
        ("SET k two", "+OK"),
        ("WATCH k", "+OK"),
        ("MULTI", "+OK"),
        ("GET k", "+QUEUED"),
        ("RESET", "+RESET"),
        ("EXEC", "-ERR EXEC without MULTI"),
        ("GET k", "nil"),
        ("HGETALL none", "[]"),
        ("ACL WHOAMI", "$app"),
        ("CLIENT GETNAME", "nil"),
        ("SELECT 2", "+OK"),
        ("GET k", "$two"),
    ]);
    client.talk(&[("SUBSCRIBE news", "[$subscribe, $news, :1]"), ("RESET", "+RESET"), ("PING", "+PONG")]);
    world.redis.client("root").talk(&[("PUBLISH news x", ":0")]);
    client.expect_silence(Duration::from_millis(200));
}

#[test]
fn quit_is_answered_and_ends_the_session_before_what_follows() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        client.write(
            b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*1\r\n$4\r\nquit\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n",
        );
        assert_eq!(String::from_utf8_lossy(&client.read_to_end()), "+OK\r\n+OK\r\n");
        assert_eq!(door.client("app").ask("GET a"), "$1");
    });
}

#[test]
fn a_clients_name_and_facts_are_its_own() {
    at_both_doors(|door| {
        let (mut first, mut second) = (door.client("app"), door.client("app"));
        first.talk(&[
            ("CLIENT GETNAME", "nil"),
            ("CLIENT SETNAME first", "+OK"),
            ("client getname", "$first"),
            ("CLIENT NO-EVICT ON", "+OK"),
            ("CLIENT NO-EVICT maybe", "-ERR syntax error"),
            ("CLIENT SETNAME", "-ERR wrong number of arguments for 'client|setname' command"),
        ]);
        second.talk(&[("CLIENT GETNAME", "nil"), ("CLIENT SETNAME second", "+OK")]);
        let refused = second.call(&["CLIENT", "SETNAME", "a b"]).to_string();
        assert_eq!(refused, "-ERR Client names cannot contain spaces, newlines or special characters.");
        second.talk(&[("CLIENT GETNAME", "$second")]);
        first.talk(&[("CLIENT GETNAME", "$first")]);
        assert_eq!(first.call(&["CLIENT", "SETNAME", ""]).to_string(), "+OK");
        first.talk(&[("CLIENT GETNAME", "nil")]);
    });
}

#[test]
fn client_ids_differ_and_stay() {
    at_both_doors(|door| {
        let (mut first, mut second) = (door.client("app"), door.client("app"));
        let id = first.ask("CLIENT ID");
        assert!(id.starts_with(':'), "{id}");
        assert_ne!(id, second.ask("CLIENT ID"));
        first.talk(&[("SELECT 5", "+OK"), ("WATCH k", "+OK"), ("UNWATCH", "+OK"), ("CLIENT ID", &id)]);
        first.send("HELLO 3");
        assert_eq!(first.read().field("id").map(|id| id.to_string()), Some(id.clone()));
        assert_eq!(first.ask("CLIENT ID"), id);
    });
}

#[test]
fn client_info_describes_this_session() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        client.talk(&[("CLIENT SETNAME worker", "+OK"), ("SELECT 4", "+OK")]);
        let id = client.ask("CLIENT ID").replace(':', "id=");
        client.send("HELLO 3");
        client.read();
        client.send("CLIENT INFO");
        let info = client.read();
        let info = String::from_utf8_lossy(info.bytes()).into_owned();
        for part in [id.as_str(), "name=worker", "db=4", "user=app", "resp=3", "multi=-1", "sub=0"] {
            let is_there = info.split_whitespace().any(|word| word.trim_start_matches("=txt:") == part);
            assert!(is_there, "{part} is not in {info}");
        }
    });
}

#[test]
fn library_facts_are_taken_by_servers_that_know_of_them() {
    let world = World::start();
    let words = "-ERR unknown subcommand 'SETINFO'. Try CLIENT HELP.";
    world.client("app").talk(&[("CLIENT SETINFO LIB-NAME redis-py", words)]);
    let world = World::with(Setup { version: Version::Redis8, ..Setup::default() });
    let mut client = world.client("app");
    client.talk(&[
        ("CLIENT SETINFO LIB-NAME redis-py", "+OK"),
        ("client setinfo lib-ver 8.1.0", "+OK"),
        ("CLIENT SETINFO LIB-NOSUCH x", "-ERR Unrecognized option 'LIB-NOSUCH'"),
        ("CLIENT NO-TOUCH ON", "+OK"),
        ("CLIENT NO-TOUCH OFF", "+OK"),
        ("CLIENT TRACKINGINFO", "[$flags, [$off], $redirect, :-1, $prefixes, []]"),
        (
            "CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type internal-fqdn",
            "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.",
        ),
    ]);
    let refused = client.call(&["CLIENT", "SETINFO", "LIB-NAME", "a b"]).to_string();
    assert_eq!(refused, "-ERR LIB-NAME cannot contain spaces, newlines or special characters.");
    client.send("CLIENT INFO");
    let info = client.read();
    assert!(String::from_utf8_lossy(info.bytes()).contains("lib-name=redis-py lib-ver=8.1.0"), "{info}");
}

#[test]
fn client_reply_off_skip_and_on_are_as_in_redis() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        client.send("CLIENT REPLY SKIP");
        client.send("SET k silent");
        assert_eq!(client.ask("GET k"), "$silent");
        client.send("CLIENT REPLY OFF");
        client.send("SET k more");
        client.send("PING");
        client.expect_silence(Duration::from_millis(200));
        assert_eq!(client.ask("CLIENT REPLY ON"), "+OK");
        assert_eq!(client.ask("GET k"), "$more");
        assert_eq!(door.client("app").ask("GET k"), "$more");
    });
}

#[test]
fn what_a_client_leaves_behind_does_not_reach_the_next() {
    at_both_doors(|door| {
        for _ in 0..5 {
            let mut client = door.client("app");
            client.talk(&[
                ("CLIENT GETNAME", "nil"),
                ("DBSIZE", ":0"),
                ("EXEC", "-ERR EXEC without MULTI"),
                ("HGETALL none", "[]"),
                ("ACL WHOAMI", "$app"),
                ("SELECT 7", "+OK"),
                ("CLIENT SETNAME left", "+OK"),
                ("WATCH a", "+OK"),
                ("MULTI", "+OK"),
                ("SET a 1", "+QUEUED"),
            ]);
            // Dropped in the middle of its transaction.
        }
    });
}

#[test]
fn databases_that_are_not_there_cost_few_connections() {
    let world = World::start();
    let mut redis = world.redis.client("root");
    let mut opened = || {
        let stats = redis.ask("INFO stats");
        let line = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        line.expect("told").trim().parse::<u32>().expect("a number")
    };
    let mut other = world.client("app");
    other.talk(&[("SELECT 3", "+OK"), ("SET k three", "+OK"), ("SELECT 0", "+OK")]);
    let (before, began) = (opened(), Instant::now());
    let mut client = world.client("app");
    client.pipeline(&[("SELECT 999", "-ERR DB index is out of range"); 500]);
    client.talk(&[("PING", "+PONG")]);
    // Each is lower than those that are known not to be there.
    for _ in 0..3 {
        let mut client = world.client("app");
        for db in (100..400).rev() {
            client.send(&format!("SELECT {db}"));
            let Ok(reply) = client.try_read() else { break };
            if reply.to_string() != "-ERR DB index is out of range" {
                assert_eq!(reply.to_string(), "-ERR respgate: backend unavailable, command not sent");
            }
        }
    }
    // Where others of the same user are, they stay and go.
    other.talk(&[("SELECT 3", "+OK"), ("GET k", "$three")]);
    let seconds = u32::try_from(began.elapsed().as_secs()).expect("few") + 1;
    let more = opened() - before;
    assert!(more <= 40 * (seconds + 1), "{more} connections in {seconds} s");
}
