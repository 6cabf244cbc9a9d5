//! Slots move and masters die under load, and clients do not notice; and a node that leads
//! elsewhere is not followed there.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use respgate::command::slot::slot;

use super::nodes::Cluster;
use super::world::{Clustered, seeded};
use crate::backend::Version;
use crate::resp::{Value, typed};
use crate::wire::{Client, PATIENCE};
use crate::world::{LOST, Setup, World};

/// What a master's end may cost: the gateway's word for a request that may have run.
const UNKNOWN: &str = "-ERR respgate: connection to the backend was lost, outcome unknown";

/// What a client has counted.
#[derive(Default)]
struct Count {
    acknowledged: u64,
    unknown: u64,
}

/// Counts up keys of many slots in pipelines until it is told to stop; each key is its own alone.
/// Every reply has to be the next number, but for what may be lost with a master.
fn count_up(mut client: Client, name: usize, stop: &AtomicBool, done: &AtomicU64) -> Vec<(String, Count)> {
    let keys: Vec<String> = (0..40).map(|key| format!("count:{name}:{key}")).collect();
    let mut counts: Vec<(String, Count)> = keys.into_iter().map(|key| (key, Count::default())).collect();
    for (key, _) in &counts {
        let deleted = client.call(&["DEL", key]);
        assert!(matches!(deleted, Value::Int(_)), "{key}: {deleted}");
    }
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut pipeline = Vec::new();
        for (key, _) in &counts {
            pipeline.extend(typed(&format!("INCR {key}")));
            pipeline.extend(typed(&format!("MSET {{{key}}}a {round} {{{key}}}b {round}")));
            pipeline.extend(typed(&format!("MGET {{{key}}}a {{{key}}}b")));
        }
        client.write(&pipeline);
        for (key, count) in &mut counts {
            match client.read() {
                Value::Int(number) => {
                    let number = u64::try_from(number).expect("positive");
                    count.acknowledged += 1;
                    let (least, most) = (count.acknowledged, count.acknowledged + count.unknown);
                    assert!((least..=most).contains(&number), "{key}: {number} is not in {least}..={most}");
                }
                error if error.to_string() == UNKNOWN => count.unknown += 1,
                other => panic!("{key}: {other}"),
            }
            let (written, read) = (client.read().to_string(), client.read().to_string());
            if written == "+OK" && read != UNKNOWN {
                assert_eq!(read, format!("[${round}, ${round}]"), "{key}");
            } else {
                assert!(written == "+OK" || written == UNKNOWN, "{key}: {written}");
            }
        }
        round += 1;
        done.fetch_add(1, Ordering::Relaxed);
    }
    counts
}

/// Has six clients count while this happens, for at least a few rounds after it.
fn under_load(world: &Clustered, happens: impl FnOnce()) -> (u64, u64) {
    let stop = Arc::new(AtomicBool::new(false));
    let dones: Vec<Arc<AtomicU64>> = (0..6).map(|_| Arc::default()).collect();
    let threads: Vec<_> = dones
        .iter()
        .enumerate()
        .map(|(name, done)| {
            let (client, stop, done) = (world.client("app"), Arc::clone(&stop), Arc::clone(done));
            std::thread::spawn(move || count_up(client, name, &stop, &done))
        })
        .collect();
    let more_rounds = |rounds: u64| {
        let before: Vec<u64> = dones.iter().map(|done| done.load(Ordering::Relaxed)).collect();
        let deadline = Instant::now() + PATIENCE;
        while dones.iter().zip(&before).any(|(done, before)| done.load(Ordering::Relaxed) < before + rounds) {
            if Instant::now() > deadline || threads.iter().any(std::thread::JoinHandle::is_finished) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    more_rounds(3);
    happens();
    more_rounds(3);
    stop.store(true, Ordering::Relaxed);
    let mut reader = world.client("app");
    let (mut acknowledged, mut unknown) = (0, 0);
    for thread in threads {
        for (key, count) in thread.join().expect("it says what is wrong") {
            let value: u64 =
                String::from_utf8_lossy(reader.call(&["GET", &key]).bytes()).parse().expect("a number");
            let most = count.acknowledged + count.unknown;
            assert!(
                (count.acknowledged..=most).contains(&value),
                "{key} is {value}, {} to {most} counted",
                count.acknowledged
            );
            acknowledged += count.acknowledged;
            unknown += count.unknown;
        }
    }
    (acknowledged, unknown)
}

/// `RESPGATE_RESHARD=10` moves 200 slots ten times, as `make reshard` does.
#[test]
fn two_hundred_slots_move_under_load_and_no_client_sees_a_redirect() {
    let rounds = std::env::var("RESPGATE_RESHARD").map_or(2, |text| text.parse().expect("a number"));
    let world = Clustered::start(Version::System, 3, 0);
    let (acknowledged, unknown) = under_load(&world, || {
        for round in 0..rounds {
            let (from, to) = if round % 2 == 0 { (0, 1) } else { (1, 0) };
            let first = 200 * (round / 2 % 20);
            world.cluster.move_slots(first..first + 200, from, to);
        }
    });
    assert_eq!(unknown, 0);
    eprintln!("{rounds} times 200 slots, {acknowledged} counted");
    assert!(acknowledged > 1000, "{acknowledged}");
}

/// As `redis-cli --cluster reshard` and `rebalance` do after a node has been added.
#[test]
fn the_first_slots_of_a_new_master_move_under_load_and_no_client_sees_a_redirect() {
    for version in Version::ALL {
        let mut world = Clustered::start(version, 3, 0);
        let new = world.cluster.join_empty_master();
        // The first that is sent there makes the gateway look who it is.
        world.announce("does not have");
        let (_, unknown) = under_load(&world, || {
            let first = usize::from(slot(b"{first}"));
            let mut client = world.client("app");
            client.talk(&[("MSET {first}a 1 {first}b 2", "+OK")]);
            let mut reshard = world.cluster.reshard(world.cluster.owner(first), new);
            reshard.begin(first);
            assert_eq!(reshard.move_keys(first, 1), 1);
            // One key here, one there, and what is new goes there as well.
            client.talk(&[
                ("INCR {first}a", ":2"),
                ("INCR {first}b", ":3"),
                ("LPUSH {first}c 1", ":1"),
                ("BLPOP {first}c 0", "[${first}c, $1]"),
            ]);
            while reshard.move_keys(first, 100) > 0 {}
            reshard.end(first);
            client.talk(&[("MGET {first}a {first}b", "[$2, $3]")]);
            let counted = (0..40).map(|key| usize::from(slot(format!("count:0:{key}").as_bytes())));
            for slot in counted.collect::<BTreeSet<_>>() {
                world.cluster.move_slots(std::iter::once(slot), world.cluster.owner(slot), new);
            }
        });
        assert_eq!(unknown, 0, "{version:?}");
    }
}

#[test]
fn a_master_without_slots_is_not_asked_and_does_not_serve() {
    let mut cluster = Cluster::start(Version::System, 1, 0);
    let new = cluster.join_empty_master();
    let mut world = Clustered::with(cluster, Setup::default());
    world.announce(LOST);
    world.announce("the map of the cluster is not whole");
    let mut client = world.client("app");
    world.cluster.nodes[new].kill();
    client.talk(&[
        ("SET a 1", "+OK"),
        ("DBSIZE", ":1"),
        ("KEYS *", "[$a]"),
        ("SCAN 0", "[$0, [$a]]"),
        ("FLUSHALL", "+OK"),
        ("DBSIZE", ":0"),
    ]);
    assert_eq!(world.gateway.get("/readyz"), (200, "ready\n".to_owned()));
    world.cluster.nodes[new].resume();
    world.cluster.nodes[0].kill();
    world.gateway.wait_status("/readyz", 503);
}

/// The number behind a word.
fn offset(text: &str, word: &str) -> u64 {
    let (_, number) = text.split_once(word).expect("it is told");
    number
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .and_then(|digits| digits.parse().ok())
        .expect("a number")
}

/// How much of its data a master knows its replica to have.
fn replicated(root: &mut Client) -> String {
    let replication = root.ask("INFO replication");
    let line = replication.lines().find(|line| line.starts_with("slave0:")).expect("it has a replica");
    line.split(',').find(|field| field.starts_with("offset=")).expect("its offset").to_owned()
}

/// `RESPGATE_CLUSTER_FAILOVERS=20` is the long form.
#[test]
fn a_master_dies_under_load_and_its_replica_takes_over_unnoticed() {
    let rounds: usize =
        std::env::var("RESPGATE_CLUSTER_FAILOVERS").map_or(1, |text| text.parse().expect("a number"));
    let mut world = Clustered::start(Version::System, 3, 1);
    world.announce(LOST);
    world.announce("the map of the cluster is not whole");
    for _ in 0..rounds {
        let victim = (0..6).find(|&node| world.cluster.is_master(node)).expect("a master");
        let mut root = world.cluster.client(victim, "root");
        let mut node = world.cluster.take(victim);
        let (acknowledged, unknown) = under_load(&world, || {
            let deadline = Instant::now() + PATIENCE;
            // One that has just loaded everything is sent what comes later when it has said so, once a second.
            let loaded = replicated(&mut root);
            while replicated(&mut root) == loaded {
                assert!(Instant::now() < deadline, "the replica is sent nothing");
                std::thread::sleep(Duration::from_millis(50));
            }
            // What it has acknowledged has to be with its replica: Redis loses the rest. Writes that wait
            // now are lost with it.
            assert_eq!(root.ask("CLIENT PAUSE 60000 WRITE"), "+OK");
            let written = offset(&root.ask("INFO replication"), "master_repl_offset:");
            while offset(&replicated(&mut root), "offset=") < written {
                assert!(Instant::now() < deadline, "the replica does not get all of it");
                std::thread::sleep(Duration::from_millis(50));
            }
            node.kill();
            while (0..6).filter(|&other| other != victim && world.cluster.is_master(other)).count() < 3 {
                assert!(Instant::now() < deadline, "no replica takes over");
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        eprintln!("{acknowledged} counted, {unknown} with an unknown outcome");
        assert!(acknowledged > 1000, "{acknowledged}");
        node.resume();
        world.cluster.put_back(victim, node);
        world.cluster.wait_until_replica(victim);
        world.cluster.wait_whole();
    }
}

#[test]
fn keys_that_are_on_both_sides_are_waited_for_three_hundredths_of_a_second() {
    for version in Version::ALL {
        let world = Clustered::start(version, 2, 0);
        let mut client = world.client("app");
        let (mut source, mut target) = (world.cluster.client(0, "root"), world.cluster.client(1, "root"));
        let key = (0..).map(|n| format!("{{{n}}}")).find(|key| source.ask(&format!("EXISTS {key}")) == ":0");
        let key = key.expect("the source has half of the slots");
        let slot = source.ask(&format!("CLUSTER KEYSLOT {key}")).trim_start_matches(':').to_owned();
        client.talk(&[(&format!("MSET {key}a 1 {key}b 2"), "+OK")]);
        target.talk(&[(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", world.cluster.id(0)), "+OK")]);
        source.talk(&[(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", world.cluster.id(1)), "+OK")]);
        source.talk(&[(&format!("DEL {key}a"), ":1")]);
        target.talk(&[("ASKING", "+OK"), (&format!("SET {key}a 1"), "+OK"), ("CONFIG RESETSTAT", "+OK")]);
        source.talk(&[("CONFIG RESETSTAT", "+OK")]);
        let moving = "-TRYAGAIN respgate: the hash slot is on its way between nodes, command not run";
        // Waiting for ticks, of which there are twenty a second, it would take longer each time.
        let (deadline, mut fastest, mut asked) = (Instant::now() + PATIENCE, Duration::MAX, 0);
        while fastest > Duration::from_millis(100) {
            assert!(Instant::now() < deadline, "{version:?}: {fastest:?} at best");
            let start = Instant::now();
            client.talk(&[(&format!("MGET {key}a {key}b"), moving)]);
            fastest = fastest.min(start.elapsed());
            asked += 1;
        }
        assert!(fastest >= Duration::from_millis(30), "{version:?}: {fastest:?} is no wait");
        let said = |client: &mut Client| {
            let info = client.ask("INFO errorstats");
            let count = info.lines().find_map(|line| line.strip_prefix("errorstat_TRYAGAIN:count="));
            count.map_or(0, |count| count.trim().parse().expect("a number"))
        };
        assert_eq!(said(&mut source) + said(&mut target), 4 * asked, "{version:?}");
        // One key alone is found on whichever side it is.
        client.talk(&[(&format!("GET {key}a"), "$1"), (&format!("GET {key}b"), "$2")]);
        source.talk(&[(&format!("CLUSTER SETSLOT {slot} STABLE"), "+OK")]);
        client.talk(&[(&format!("MGET {key}a {key}b"), "[nil, $2]")]);
    }
}

/// A node that says that it has every slot, and then sends each request elsewhere.
fn rogue(elsewhere: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let moved = format!("-MOVED 1 {elsewhere}\r\n");
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let moved = moved.clone();
            std::thread::spawn(move || serve(socket, port, &moved));
        }
    });
    port
}

fn serve(mut socket: TcpStream, port: u16, moved: &str) -> Option<()> {
    let (mut input, mut part) = (Vec::new(), [0; 4096]);
    loop {
        while let Ok((request, len)) = crate::resp::read(&input) {
            input.drain(..len);
            let words: Vec<String> = request
                .items()
                .iter()
                .map(|word| String::from_utf8_lossy(word.bytes()).into_owned())
                .collect();
            let answer = match words[0].as_str() {
                "AUTH" | "CLIENT" => "+OK\r\n".to_owned(),
                "HELLO" => "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:2\r\n\
                            $2\r\nid\r\n:1\r\n$4\r\nmode\r\n$7\r\ncluster\r\n$4\r\nrole\r\n$6\r\nmaster\r\n\
                            $7\r\nmodules\r\n*0\r\n"
                    .to_owned(),
                "ECHO" => format!("${}\r\n{}\r\n", words[1].len(), words[1]),
                "CLUSTER" => format!("*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$1\r\nx\r\n"),
                _ => moved.to_owned(),
            };
            socket.write_all(answer.as_bytes()).ok()?;
        }
        match socket.read(&mut part).ok()? {
            0 => return None,
            count => input.extend_from_slice(&part[..count]),
        }
    }
}

#[test]
fn a_redirect_to_a_node_that_the_map_does_not_have_is_not_followed() {
    let trap = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = trap.local_addr().expect("bound").to_string();
    let (caught, catches) = mpsc::channel();
    std::thread::spawn(move || {
        for socket in trap.incoming() {
            let _ = caught.send(socket.is_ok());
        }
    });
    let port = rogue(&address);
    let limits = Setup { limits: "cluster_wait_ms = 2000\n", ..Setup::default() };
    let world = World::with(seeded(limits, &format!("\"127.0.0.1:{port}\""), ""));
    world.announce("does not have");
    let mut client = world.client("app");
    let down = "-CLUSTERDOWN respgate: the hash slot is not served, command not run";
    client.talk(&[("GET a", down), ("PING", down)]);
    client.write(&typed("GET a").repeat(100));
    assert!((0..100).all(|_| client.read().to_string() == down));
    let reply = client.ask("BLPOP a 0");
    assert!(!reply.contains(&address) && reply.starts_with('-'), "{reply}");
    client
        .talk(&[("MULTI", "-TRYAGAIN respgate: the hash slot is on its way between nodes, command not run")]);
    assert!(catches.try_recv().is_err(), "the gateway has come to {address}");
    let told = world.gateway.stderr.all().iter().filter(|line| line.contains(&address)).count();
    assert!((1..50).contains(&told), "the log tells of it {told} times");
}
