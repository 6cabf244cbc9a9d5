//! Users who read from replicas: what goes there, what does not, and when nobody is asked who is behind, away
//! or the master by now. Replicas take writes here, so that what came to one would be seen.

use rustix::process::Signal;
use tempfile::TempDir;

use super::group::{Group, Guard, NAME, Server, nodes};
use super::{led, wait_until};
use crate::resp::Value;
use crate::wire::Client;
use crate::world::{LOST, Setup, World};

const NO_REPLICA: &str = "-ERR respgate: no replica within its lag, command not sent";

/// Nor does one that is within it.
const NONE_USABLE: &str = "-ERR respgate: no replica within its lag can be used, command not sent";

/// The port of the node that runs it.
const PORT: &str = "return tonumber(string.match(redis.call('INFO'), 'tcp_port:(%d+)'))";

/// Nobody is further behind, however slow the machine is.
const PATIENT: u32 = 60_000;

/// The same with `app` preferring replicas and `ops` reading nowhere else.
fn reading(mut setup: Setup, lag_max_ms: u32) -> Setup {
    let service = "redis_user = \"root\", redis_password_file = \"root.password\"";
    let replicas = format!("replicas = {{ {service}, lag_max_ms = {lag_max_ms} }}");
    setup.edits.push(("[database]\n", format!("[database]\n{replicas}\n")));
    for (user, from) in [("redis_user = \"app\"\n", "prefer-replica"), ("redis_user = \"ops\"\n", "replica")]
    {
        setup.edits.push((user, format!("{user}read_from = \"{from}\"\n")));
    }
    setup
}

/// A master (0) and two replicas, and a gateway that reads from them.
struct Stage {
    world: World,
    nodes: Vec<Server>,
    _directory: TempDir,
}

impl Stage {
    fn begin(lag_max_ms: u32) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let nodes = nodes(directory.path());
        // What is under way at one that hangs is not waited for for a minute.
        let limits = "op_timeout_ms = 2000";
        let database = Some(format!("127.0.0.1:{}", nodes[0].port));
        let world = World::with(reading(Setup { database, limits, ..Setup::default() }, lag_max_ms));
        // Within a second, which is long on a machine that does much else.
        world.announce("the master does not tell how far its replicas are");
        let stage = Self { world, nodes, _directory: directory };
        wait_in_step(&stage.world, 2);
        stage
    }

    /// Each node says of itself who it is.
    fn mark(&self) {
        assert_eq!(self.nodes[0].ask("SET who master"), "+OK");
        for node in 1..3 {
            wait_until("it is replicated", || self.nodes[node].ask("GET who") == "$master");
            assert_eq!(self.nodes[node].ask(&format!("SET who replica{node}")), "+OK");
        }
    }
}

fn wait_in_step(world: &World, count: u8) {
    wait_until("so many are in step", || {
        world.gateway.metric("respgate_replicas_in_step", "") == f64::from(count)
    });
}

fn read(client: &mut Client) -> Value {
    client.call(&["EVAL_RO", PORT, "0"])
}

/// Reads until it is answered by another one than the master.
fn wait_for_a_replica(client: &mut Client) -> String {
    let mut who = String::new();
    wait_until("a replica answers", || {
        who = client.ask("GET who");
        who.starts_with("$replica")
    });
    who
}

#[test]
fn what_is_read_comes_from_a_replica_and_everything_else_from_the_master() {
    let stage = Stage::begin(PATIENT);
    stage.mark();
    let mut client = stage.world.client("app");
    let who = wait_for_a_replica(&mut client);
    client.talk(&[
        ("GET who", &who),
        ("STRLEN who", ":8"),
        ("OBJECT ENCODING who", "$embstr"),
        ("SET k v", "+OK"),
        ("GETEX who", "$master"),
        ("MULTI", "+OK"),
        ("GET who", "+QUEUED"),
        ("EXEC", "[$master]"),
        ("WATCH other", "+OK"),
        ("GET who", "$master"),
        ("UNWATCH", "+OK"),
        ("SELECT 1", "+OK"),
        ("GET who", "nil"),
        ("SELECT 0", "+OK"),
        ("RPUSH list a", ":1"),
        ("BLPOP list 1", "[$list, $a]"),
    ]);
    // In one piece, which needs no connection of its own.
    client.pipeline(&[("MULTI", "+OK"), ("GET who", "+QUEUED"), ("EXEC", "[$master]")]);
    assert_eq!(wait_for_a_replica(&mut client), who, "the same one as before");
    assert_eq!(stage.nodes[0].ask("GET k"), "$v");
    // Those of other users, who have not been told to.
    stage.world.client("root").talk(&[("GET who", "$master")]);
    // Replies keep their order, whoever gives them.
    let turns: Vec<(String, String)> = (1..=60)
        .flat_map(|n| [("INCR n".to_owned(), format!(":{n}")), ("GET who".to_owned(), who.clone())])
        .collect();
    let turns: Vec<(&str, &str)> =
        turns.iter().map(|(ask, answer)| (ask.as_str(), answer.as_str())).collect();
    client.pipeline(&turns);
    // Sessions are spread.
    let mut clients: Vec<Client> = (0..8).map(|_| stage.world.client("app")).collect();
    let mut all: Vec<String> = clients.iter_mut().map(wait_for_a_replica).collect();
    all.sort();
    all.dedup();
    assert_eq!(all, ["$replica1", "$replica2"]);
    let mut only = stage.world.client("ops");
    let master = Value::Int(i64::from(stage.nodes[0].port));
    assert!(matches!(read(&mut only), Value::Int(_)));
    assert_ne!(read(&mut only), master);
    assert_eq!(only.call(&["EVAL", PORT, "0"]), master);
}

#[test]
fn one_that_is_away_or_behind_is_not_asked() {
    let mut stage = Stage::begin(5_000);
    stage.world.announce(LOST);
    stage.mark();
    let (mut client, mut only) = (stage.world.client("app"), stage.world.client("ops"));
    let last = |who: &str| who.bytes().last().map(|digit| usize::from(digit - b'0')).expect("a digit");
    let first = last(&wait_for_a_replica(&mut client));
    stage.nodes[first].kill();
    let other = 3 - first;
    wait_until("the other one answers", || client.ask("GET who") == format!("$replica{other}"));
    wait_in_step(&stage.world, 1);
    wait_until("and to whom nobody else may", || only.ask("GET who") == format!("$replica{other}"));
    // It hangs, and falls behind what is written meanwhile.
    stage.nodes[other].signal(Signal::STOP);
    wait_until("it is too far behind", || {
        stage.nodes[0].ask("INCR written");
        stage.world.gateway.metric("respgate_replicas_in_step", "") == 0.0
    });
    // A worker may take it over a moment later.
    wait_until("the master answers", || client.ask("GET who") == "$master");
    wait_until("nobody answers", || only.ask("GET who") == NO_REPLICA);
    only.talk(&[("SET k v", "+OK"), ("GET k", NO_REPLICA)]);
    stage.nodes[other].signal(Signal::CONT);
    wait_until("it has caught up", || only.ask("GET k") == "$v");
    // By a command it ceases to be one.
    stage.nodes[other].ask("REPLICAOF NO ONE");
    wait_until("nobody is asked", || only.ask("GET k") == NO_REPLICA);
    wait_until("but for the master", || client.ask("GET who") == "$master");
}

#[test]
fn one_that_refuses_the_user_is_not_asked_until_it_lets_it_in() {
    let stage = Stage::begin(PATIENT);
    stage.world.announce(LOST);
    stage.mark();
    assert_eq!(stage.nodes[2].ask("ACL DELUSER ops"), ":1");
    let mut preferring: Vec<Client> = (0..8).map(|_| stage.world.client("app")).collect();
    // Each worker knows both replicas by then.
    preferring.iter_mut().for_each(|client| drop(wait_for_a_replica(client)));
    let mut only: Vec<Client> = (0..8).map(|_| stage.world.client("ops")).collect();
    for _ in 0..3 {
        only.iter_mut().for_each(|client| client.talk(&[("GET who", "$replica1")]));
    }
    assert_eq!(stage.nodes[2].ask("ACL DELUSER app"), ":1");
    for client in &mut preferring {
        wait_until("the other one answers", || client.ask("GET who") == "$replica1");
    }
    // It is tried now and then.
    assert_eq!(stage.nodes[2].ask("ACL SETUSER ops on >canary-ops ~* &* +@all"), "+OK");
    wait_until("it is asked", || only.iter_mut().any(|client| client.ask("GET who") == "$replica2"));
    // Nobody lets it in, and the master is not asked.
    for node in &stage.nodes[1..] {
        assert_eq!(node.ask("ACL DELUSER ops"), ":1");
    }
    for client in &mut only {
        wait_until("that is said", || client.ask("GET who") == NONE_USABLE);
    }
}

#[test]
fn after_a_failover_reads_come_from_those_who_follow_the_new_master() {
    let group = Group::start(Guard::Open);
    let world = World::with(reading(led(group.section()), PATIENT));
    world.announce(LOST);
    world.announce("the master does not tell how far its replicas are");
    wait_in_step(&world, 2);
    let (mut client, mut only) = (world.client("app"), world.client("ops"));
    let before = Value::Int(i64::from(group.nodes[group.wait_settled()].port));
    wait_until("a replica is read from", || read(&mut client) != before && read(&mut only) != before);
    wait_until("a failover begins", || group.sentinels[0].ask(&format!("SENTINEL FAILOVER {NAME}")) == "+OK");
    wait_until("the sentinels agree on another master", || {
        (0..3).all(|sentinel| i64::from(group.nodes[group.master_by(sentinel)].port) != number(&before))
    });
    let master = i64::from(group.nodes[group.wait_settled()].port);
    wait_in_step(&world, 2);
    for client in [&mut client, &mut only] {
        wait_until("it is written there", || client.call(&["EVAL", PORT, "0"]) == Value::Int(master));
        wait_until("a replica is read from", || matches!(read(client), Value::Int(port) if port != master));
    }
}

fn number(value: &Value) -> i64 {
    let Value::Int(number) = value else { panic!("no number: {value}") };
    *number
}
