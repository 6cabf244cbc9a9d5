//! Requests for several nodes at once, what is refused for being about one server, and CLUSTER.

use std::collections::BTreeSet;

use super::world::Clustered;
use crate::backend::Version;
use crate::resp::Value;
use crate::wire::Client;

fn text(value: &Value) -> String {
    String::from_utf8_lossy(value.bytes()).into_owned()
}

#[test]
fn commands_with_keys_of_several_slots_are_split_and_joined() {
    for version in Version::ALL {
        let world = Clustered::start(version, 3, 0);
        for mut client in [world.client("app"), world.client3("app")] {
            client.talk(&[
                ("MSET a 1 b 2 c 3 d 4 {a}x 5", "+OK"),
                ("MGET d {a}x nothing c b a", "[$4, $5, nil, $3, $2, $1]"),
                ("EXISTS a b c a nothing", ":4"),
                ("TOUCH a b nothing", ":2"),
                ("UNLINK a nothing b", ":2"),
                ("DEL a c d {a}x", ":3"),
                ("MGET a b c d", "[nil, nil, nil, nil]"),
                ("LPUSH list x", ":1"),
                ("MGET a list b", "[nil, nil, nil]"),
                ("MSETNX a 1 b 2", "-CROSSSLOT Keys in request don't hash to the same slot"),
                ("DEL list", ":1"),
            ]);
            let wrong = client.ask("MSET a 1 b");
            assert!(wrong.starts_with("-ERR wrong number of arguments"), "{wrong}");
            // Between others, in order.
            client.pipeline(&[
                ("SET a 1", "+OK"),
                ("MGET a b", "[$1, nil]"),
                ("SET b 2", "+OK"),
                ("MGET a b", "[$1, $2]"),
                ("DEL a b", ":2"),
                ("MGET a b", "[nil, nil]"),
                ("PING", "+PONG"),
            ]);
        }
    }
}

#[test]
fn what_is_about_all_keys_is_about_those_of_all_nodes() {
    for version in Version::ALL {
        let world = Clustered::start(version, 3, 0);
        let mut client = world.client("app");
        let names: BTreeSet<String> = (0..2000).map(|number| format!("key:{number}")).collect();
        for part in names.iter().collect::<Vec<_>>().chunks(500) {
            let words: Vec<&str> =
                std::iter::once("MSET").chain(part.iter().flat_map(|name| [name.as_str(), "x"])).collect();
            assert_eq!(client.call(&words).to_string(), "+OK");
        }
        client.talk(&[("DBSIZE", ":2000")]);
        let keys: BTreeSet<String> = client.call(&["KEYS", "key:*"]).items().iter().map(text).collect();
        assert_eq!(keys, names);
        assert!(names.contains(&text(&client.call(&["RANDOMKEY"]))));
        assert_eq!(scan(&mut client, &["COUNT", "50"]), names);
        assert_eq!(scan(&mut client, &["MATCH", "key:1?", "COUNT", "1000"]).len(), 10);
        client.talk(&[
            ("SCAN x", "-ERR invalid cursor"),
            ("FLUSHALL", "+OK"),
            ("DBSIZE", ":0"),
            ("RANDOMKEY", "nil"),
        ]);
        assert_eq!(scan(&mut client, &[]), BTreeSet::new());
    }
}

fn scan(client: &mut Client, options: &[&str]) -> BTreeSet<String> {
    let (mut cursor, mut found) = ("0".to_owned(), BTreeSet::new());
    for _ in 0..10_000 {
        let reply = client.call(&[&["SCAN", &cursor], options].concat()).items();
        found.extend(reply[1].items().iter().map(text));
        cursor = text(&reply[0]);
        if cursor == "0" {
            return found;
        }
    }
    panic!("the scan does not end");
}

#[test]
fn random_keys_are_of_all_nodes() {
    let world = Clustered::start(Version::System, 3, 0);
    let mut client = world.client("app");
    for number in 0..300 {
        client.talk(&[(&format!("SET key:{number} x"), "+OK")]);
    }
    let mut nodes: Vec<Client> = (0..3).map(|number| world.cluster.client(number, "root")).collect();
    let mut heard = BTreeSet::new();
    for _ in 0..30 {
        let key = text(&client.call(&["RANDOMKEY"]));
        let has_it = |node: &mut Client| !node.ask(&format!("EXISTS {key}")).starts_with('-');
        heard.insert(nodes.iter_mut().position(has_it).unwrap_or_else(|| panic!("{key} is nobody's")));
    }
    assert_eq!(heard, BTreeSet::from([0, 1, 2]));
}

#[test]
fn scripts_and_functions_are_on_every_node() {
    let world = Clustered::start(Version::System, 3, 0);
    let mut client = world.client("app");
    let hash = text(&client.call(&["SCRIPT", "LOAD", "return redis.call('incr', KEYS[1])"]));
    let code = "#!lua name=lib\nredis.register_function('up', function(keys) return redis.call('incr', keys[1]) end)";
    assert_eq!(text(&client.call(&["FUNCTION", "LOAD", code])), "lib");
    for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        assert_eq!(client.ask(&format!("EVALSHA {hash} 1 {key}")), ":1");
        assert_eq!(client.ask(&format!("FCALL up 1 {key}")), ":2");
    }
    let absent = "0".repeat(40);
    assert_eq!(client.ask(&format!("SCRIPT EXISTS {hash} {absent}")), "[:1, :0]");
    client.talk(&[("SCRIPT FLUSH", "+OK"), ("FUNCTION DELETE lib", "+OK")]);
    assert_eq!(client.ask(&format!("SCRIPT EXISTS {hash} {absent}")), "[:0, :0]");
}

#[test]
fn what_is_about_one_server_is_refused_and_not_answered_for_one_of_them() {
    let world = Clustered::start(Version::System, 2, 0);
    let mut client = world.client("root");
    for command in [
        "CONFIG SET maxmemory 0",
        "WAIT 1 10",
        "CLIENT KILL ID 1",
        "CLIENT TRACKING ON",
        "MONITOR",
        "FUNCTION STATS",
        "DEBUG SLEEP 0",
        "SAVE",
        "CLUSTER FORGET x",
        "CLUSTER LINKS",
        "SWAPDB 0 1",
        "PUBSUB NUMSUB a",
        "ACL SETUSER x",
    ] {
        let reply = client.ask(command);
        assert!(
            reply.ends_with("is for one server, and behind this endpoint is a cluster"),
            "{command}: {reply}"
        );
    }
    for command in
        ["DBSIZE", "KEYS *", "FLUSHALL", "CLUSTER SLOTS", "SCAN 0", "WAIT 1 1", "CLIENT TRACKING ON"]
    {
        client.talk(&[("MULTI", "+OK"), (command, "-ERR respgate: command not supported inside MULTI")]);
        client.talk(&[("EXEC", "-EXECABORT Transaction discarded because of previous errors.")]);
    }
}

#[test]
fn cluster_tells_of_the_gateway_and_of_no_node() {
    let world = Clustered::start(Version::System, 3, 0);
    let own = world.gateway.address;
    for mut client in [world.client("app"), world.client3("app")] {
        let id = text(&client.call(&["CLUSTER", "MYID"]));
        assert_eq!(
            client.ask("CLUSTER SLOTS"),
            format!("[[:0, :16383, [$127.0.0.1, :{}, ${id}, []]]]", own.port())
        );
        client.talk(&[
            ("CLUSTER KEYSLOT 123456789", ":12739"),
            ("SET 123456789 x", "+OK"),
            ("CLUSTER COUNTKEYSINSLOT 12739", ":1"),
        ]);
        client.talk(&[("CLUSTER GETKEYSINSLOT 12739 10", "[$123456789]"), ("DEL 123456789", ":1")]);
        for command in ["CLUSTER NODES", "CLUSTER SHARDS", "CLUSTER SLOTS", "CLUSTER INFO"] {
            let reply = format!("{:?}", client.call(&command.split(' ').collect::<Vec<_>>()));
            for node in &world.cluster.nodes {
                assert!(!reply.contains(&node.port.to_string()), "{command}: {reply}");
            }
        }
        assert!(client.ask("CLUSTER INFO").contains("cluster_state:ok"));
    }
}

#[test]
fn large_values_go_to_their_nodes_and_come_back_in_order() {
    let world = Clustered::start(Version::System, 3, 0);
    let mut client = world.client("app");
    let large = "x".repeat(3 << 20);
    for key in ["a", "b", "c", "d"] {
        assert_eq!(client.call(&["SET", key, &large]).to_string(), "+OK");
        assert_eq!(client.call(&["SET", &format!("small:{key}"), key]).to_string(), "+OK");
    }
    for _ in 0..3 {
        for key in ["a", "b", "c", "d"] {
            client.send(&format!("GET small:{key}"));
            client.send(&format!("GET {key}"));
        }
        for key in ["a", "b", "c", "d"] {
            assert_eq!(text(&client.read()), key);
            assert!(client.read() == Value::Bulk(large.clone().into_bytes()), "as it was written");
        }
    }
    assert!(client.call(&["MGET", "a", "small:b", "c"]).items()[2].bytes().len() == large.len());
    assert_eq!(world.keys_by_node().iter().sum::<usize>(), 8);
}
