//! Requests find the node of their key, and replies the order of their requests.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::nodes::Cluster;
use super::world::{Clustered, one_worker};
use crate::backend::Version;
use crate::resp::Value;
use crate::wire::{Client, PATIENCE};
use crate::world::Setup;

const DOWN: &str = "-CLUSTERDOWN respgate: the hash slot is not served, command not run";

#[test]
fn each_key_is_at_its_node_and_replies_are_in_order() {
    for version in Version::ALL {
        let world = Clustered::start(version, 3, 0);
        let mut client = world.client("app");
        client.talk(&[("ACL WHOAMI", "$app"), ("PING", "+PONG"), ("SET a 1", "+OK"), ("GET a", "$1")]);
        // 3 000 keys in three pipelines, each over all nodes.
        for part in 0..3 {
            let keys = part * 1000..(part + 1) * 1000;
            let mut pipeline = Vec::new();
            for key in keys.clone() {
                pipeline.extend(crate::resp::typed(&format!("SET key:{key} {key}")));
                pipeline.extend(crate::resp::typed(&format!("INCR key:{key}")));
                pipeline.extend(crate::resp::typed(&format!("GET key:{key}")));
            }
            client.write(&pipeline);
            for key in keys {
                assert_eq!(client.read(), Value::Simple("OK".into()));
                assert_eq!(client.read(), Value::Int(key + 1));
                assert_eq!(client.read().bytes(), (key + 1).to_string().as_bytes());
            }
        }
        let counts = world.keys_by_node();
        assert!(
            counts.iter().sum::<usize>() == 3001 && counts.iter().all(|&count| count > 800),
            "{counts:?}"
        );
    }
}

#[test]
fn what_names_keys_of_several_slots_is_refused_as_redis_does() {
    let world = Clustered::start(Version::System, 2, 0);
    let crossed = "-CROSSSLOT Keys in request don't hash to the same slot";
    world.client("app").talk(&[
        ("RENAME a b", crossed),
        ("SET {a}1 x", "+OK"),
        ("RENAME {a}1 {a}2", "+OK"),
        ("GET {a}2", "$x"),
        ("EVAL return{} 2 a b", crossed),
        ("SINTER a b", crossed),
        ("BLPOP a b 0", crossed),
        ("SELECT 1", "-ERR SELECT is not allowed in cluster mode"),
        ("SELECT -1", "-ERR SELECT is not allowed in cluster mode"),
        ("SELECT x", "-ERR value is not an integer or out of range"),
        ("SELECT 00", "-ERR value is not an integer or out of range"),
        ("SELECT 2147483648", "-ERR value is out of range, value must between -2147483648 and 2147483647"),
        ("SELECT 0", "+OK"),
        ("READONLY", "+OK"),
        ("PING", "+PONG"),
    ]);
}

#[test]
fn state_in_the_connection_lives_at_the_node_of_its_slot() {
    let world = Clustered::start(Version::System, 3, 0);
    let (mut client, mut other) = (world.client("app"), world.client("app"));
    for key in ["a", "b", "c", "d", "e", "f", "g"] {
        client.talk(&[("MULTI", "+OK"), ("PING", "+QUEUED"), ("EXEC", "[+PONG]")]);
        let turns = [
            (format!("WATCH {key}"), "+OK".to_owned()),
            (format!("GET {key}"), "nil".to_owned()),
            ("MULTI".to_owned(), "+OK".to_owned()),
            (format!("SET {key} 1"), "+QUEUED".to_owned()),
            (format!("GET {key}"), "+QUEUED".to_owned()),
            ("EXEC".to_owned(), "[+OK, $1]".to_owned()),
            ("MULTI".to_owned(), "+OK".to_owned()),
            (format!("INCR {key}"), "+QUEUED".to_owned()),
            ("EXEC".to_owned(), "[:2]".to_owned()),
            (format!("RPUSH list:{key} x"), ":1".to_owned()),
            (format!("BLPOP list:{key} 0"), format!("[$list:{key}, $x]")),
            (format!("EVAL return{{KEYS[1]}} 1 {key}"), format!("[${key}]")),
        ];
        for (command, reply) in &turns {
            assert_eq!(client.ask(command), *reply, "{command}");
        }
        let pipeline: Vec<(&str, &str)> =
            turns.iter().map(|(command, reply)| (command.as_str(), reply.as_str())).collect();
        other.talk(&[(&format!("DEL {key}"), ":1")]);
        other.pipeline(&pipeline);
        client.send(&format!("BLPOP list:{key} 0"));
        assert_eq!(other.ask(&format!("RPUSH list:{key} y")), ":1");
        assert_eq!(client.read().to_string(), format!("[$list:{key}, $y]"));
    }
    client.talk(&[
        ("MULTI", "+OK"),
        ("SET a 1", "+QUEUED"),
        ("SET b 1", "-CROSSSLOT Keys in request don't hash to the same slot"),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
        ("SET b 1", "+OK"),
    ]);
}

#[test]
fn a_transaction_whose_slot_has_moved_is_not_held_against_the_slot_of_the_one_before() {
    let world = Clustered::start(Version::System, 2, 0);
    let is_here = |key: &String| world.cluster.owner(world.cluster.slot_of(key)) == 0;
    let mut here = (0..).map(|n| format!("key:{n}")).filter(is_here);
    let (one, another) = (here.next().expect("half of all"), here.next().expect("half of all"));
    let slot = world.cluster.slot_of(&another);
    let mut client = world.client("app");
    let set = |key: &str| format!("SET {key} 1");
    client.talk(&[("MULTI", "+OK"), (&set(&one), "+QUEUED"), ("EXEC", "[+OK]"), ("MULTI", "+OK")]);
    world.cluster.move_slots(slot..slot + 1, 0, 1);
    client.talk(&[
        (&set(&another), "-TRYAGAIN respgate: the hash slot is on its way between nodes, command not run"),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
    ]);
}

#[test]
fn a_transaction_is_where_its_first_key_is_whatever_comes_before_that() {
    let world = Clustered::start(Version::System, 3, 0);
    let mut client = world.client("app");
    let keys = world.cluster.keys();
    for (number, key) in keys.iter().enumerate() {
        let (set, get) = (format!("SET {key} 12"), format!("GET {key}"));
        let turns = [
            ("MULTI", "+OK"),
            ("PING", "+QUEUED"),
            ("EVAL return{ARGV[1]} 0 x", "+QUEUED"),
            (&set, "+QUEUED"),
            (&get, "+QUEUED"),
            ("EXEC", "[+PONG, [$x], +OK, $12]"),
        ];
        client.talk(&turns);
        client.pipeline(&turns);
        // What the gateway answers in a transaction stays where it is: then the key has to come first, or at once.
        let answered = [("MULTI", "+OK"), ("CLIENT GETNAME", "+QUEUED")];
        let be_elsewhere = |client: &mut Client| {
            let elsewhere = format!("SET {} 12", keys[(number + 1) % 3]);
            client.talk(&[("MULTI", "+OK"), (&elsewhere, "+QUEUED"), ("EXEC", "[+OK]")]);
        };
        be_elsewhere(&mut client);
        client.pipeline(&[&answered[..], &[(&get, "+QUEUED"), ("EXEC", "[nil, $12]")]].concat());
        client.talk(&answered);
        client.talk(&[(&get, "+QUEUED"), ("EXEC", "[nil, $12]")]);
        be_elsewhere(&mut client);
        client.talk(&answered);
        let told = client.ask(&get);
        assert!(told.starts_with("-ERR respgate: with a cluster a transaction is at"), "{told}");
        client.talk(&[("EXEC", "-EXECABORT Transaction discarded because of previous errors.")]);
        client.talk(&[
            ("MULTI", "+OK"),
            ("PING", "+QUEUED"),
            ("ECHO", "-ERR wrong number of arguments for 'echo' command"),
        ]);
        client.talk(&[
            (&set, "+QUEUED"),
            ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
        ]);
    }
}

#[test]
fn a_transaction_that_may_not_begin_is_not_aborted() {
    let world = Clustered::start(Version::System, 3, 0);
    for number in 0..3 {
        world.cluster.client(number, "root").talk(&[("ACL SETUSER app -multi", "+OK")]);
    }
    let mut client = world.client("app");
    client.write(&["MULTI", "DBSIZE", "EXEC"].map(crate::resp::typed).concat());
    assert!(client.read().to_string().starts_with("-NOPERM"));
    assert_eq!(client.read().to_string(), "-ERR respgate: command not supported inside MULTI");
    assert_eq!(client.read().to_string(), "-ERR EXEC without MULTI");
}

#[test]
fn what_a_transaction_keeps_in_the_gateway_counts() {
    let world = Clustered::start(Version::System, 3, 0);
    let mut client = world.client("app");
    let held = || world.gateway.metric("respgate_buffers_bytes", "");
    let deadline = Instant::now() + PATIENCE;
    let until = |is_so: &dyn Fn(f64) -> bool| {
        while !is_so(held()) {
            assert!(Instant::now() < deadline, "{} bytes are counted", held());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    // Its first key may be of another node.
    client.talk(&[("MULTI", "+OK"), (&format!("PING {}", "x".repeat(10_000)), "+QUEUED")]);
    until(&|bytes| bytes >= 10_000.0);
    client.talk(&[("SET a 1", "+QUEUED")]);
    until(&|bytes| bytes == 0.0);
    // The gateway answers this with EXEC.
    client.talk(&[(&format!("CLIENT SETNAME {}", "n".repeat(10_000)), "+QUEUED")]);
    until(&|bytes| bytes >= 10_000.0);
    client.talk(&[("DISCARD", "+OK")]);
    until(&|bytes| bytes == 0.0);
}

#[test]
fn a_transaction_at_a_slot_that_nobody_serves_takes_its_commands_along() {
    let world = Clustered::starting(Setup { limits: "cluster_wait_ms = 2000\n", ..Setup::default() }, 2, 0);
    world.announce("the map of the cluster is not whole");
    for number in 0..2 {
        world.cluster.client(number, "root").talk(&[("CONFIG SET cluster-require-full-coverage no", "+OK")]);
    }
    world.cluster.drop_slot(world.cluster.slot_of("a"));
    let mut client = world.client("app");
    client.talk(&[("SET b 1", "+OK"), ("GET a", DOWN)]);
    // Its map is the one with the hole now.
    for first in ["WATCH a", "MULTI"] {
        let mut client = world.client("app");
        client.write(&[first, "SET a 1", "SET b 2", "EXEC"].map(crate::resp::typed).concat());
        assert_eq!(client.read().to_string(), DOWN, "{first}");
        client.expect_end();
    }
    client.talk(&[("GET b", "$1")]);
}

#[test]
fn a_node_that_says_that_the_cluster_is_down_is_asked_until_the_time_to_wait_is_over() {
    let world = Clustered::starting(Setup { limits: "cluster_wait_ms = 2000\n", ..Setup::default() }, 2, 0);
    world.announce("the map of the cluster is not whole");
    let mut client = world.client("app");
    client.talk(&[("SET b 1", "+OK")]);
    let slot = world.cluster.slot_of("a");
    world.cluster.drop_slot(slot);
    // The node of b is there and has it, and answers all the time that the cluster is down.
    client.talk(&[("GET b", DOWN), ("MGET a b", DOWN), ("PING", "+PONG")]);
    let (mut waiting, mut owner) =
        (world.client("app"), world.cluster.client(world.cluster.owner(slot), "root"));
    waiting.send("GET b");
    client.talk(&[("PING", "+PONG")]);
    owner.talk(&[(&format!("CLUSTER ADDSLOTS {slot}"), "+OK")]);
    world.cluster.wait_whole();
    // By now it may have waited for too long, but then it says so, and the next one is answered.
    let found = waiting.read().to_string();
    assert!(found == "$1" || found == DOWN, "{found}");
    waiting.talk(&[("GET b", "$1")]);
    client.talk(&[("GET b", "$1")]);
}

#[test]
fn messages_reach_subscribers_wherever_they_are() {
    let world = Clustered::start(Version::System, 3, 0);
    let (mut subscriber, mut publisher) = (world.client("app"), world.client("app"));
    subscriber.talk(&[("SUBSCRIBE news", "[$subscribe, $news, :1]"), ("PING", "[$pong, $]")]);
    for number in 0..10 {
        // Only subscribers of the node itself are counted.
        publisher.ask(&format!("PUBLISH news {number}"));
        assert_eq!(subscriber.read().to_string(), format!("[$message, $news, ${number}]"));
    }
    for channel in ["a", "b", "c", "d"] {
        let mut subscriber = world.client("app");
        subscriber.talk(&[(&format!("SSUBSCRIBE {channel}"), &format!("[$ssubscribe, ${channel}, :1]"))]);
        publisher.talk(&[(&format!("SPUBLISH {channel} hello"), ":1")]);
        assert_eq!(subscriber.read().to_string(), format!("[$smessage, ${channel}, $hello]"));
    }
}

#[test]
fn a_node_that_does_not_answer_holds_nothing_up_of_what_others_do() {
    let world = Clustered::with(Cluster::start(Version::System, 2, 0), one_worker(Version::System));
    world.client("app").talk(&[("SET a 1", "+OK"), ("SET b 1", "+OK")]);
    let (stop, leaves_a, answered) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
    let deadline = Instant::now() + Duration::from_secs(60);
    let more = |count: u64| {
        let before = answered.load(Ordering::Relaxed);
        while answered.load(Ordering::Relaxed) < before + count {
            assert!(Instant::now() < deadline, "{before} and not {count} more");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = world.client("app");
                while !stop.load(Ordering::Relaxed) && Instant::now() < deadline {
                    if !leaves_a.load(Ordering::Relaxed) {
                        assert_eq!(client.ask("GET a"), "$1");
                    }
                    assert_eq!(client.ask("GET b"), "$1");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // So many that they go in batches by now, to both nodes.
        more(2000);
        leaves_a.store(true, Ordering::Relaxed);
        more(100);
        let mut client = world.client("app");
        client.talk(&[("GET a", "$1"), ("GET b", "$1")]);
        let owner = world.cluster.owner(world.cluster.slot_of("a"));
        let mut owner = world.cluster.client(owner, "root");
        owner.talk(&[("CLIENT PAUSE 100000 WRITE", "+OK")]);
        client.write(&[crate::resp::typed("GET b"), crate::resp::typed("SET a 2")].concat());
        assert_eq!(client.read().bytes(), b"1");
        more(2000);
        stop.store(true, Ordering::Relaxed);
        owner.talk(&[("CLIENT UNPAUSE", "+OK")]);
        assert_eq!(client.read(), Value::Simple("OK".into()));
    });
}
