//! What is counted: some of what clients do, each for as many of them as make a usual batch.

use respgate::resp::write;

use super::stage::{Exchange, Stage};

/// One of them, ready to run.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Requests, or whatever else is counted, of one round.
    pub(crate) each: usize,
    pub(crate) round: Box<dyn FnMut()>,
}

const CLIENTS: usize = 50;
const LISTENERS: usize = 100;

/// All of them.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let key = b"key:000000000042";
    let get = write::command(&[b"GET", key]);
    let bulk = write::bulk(b"value:000000000042");
    let large = write::bulk(&[b'x'; 16 * 1024]);
    let set = write::command(&[b"SET", key, &[b'x'; 64]]);
    let transaction: Vec<u8> = [&[&b"MULTI"[..]][..], &[b"SET", key, b"1"], &[b"INCR", key], &[b"EXEC"]]
        .map(write::command)
        .concat();
    let transacted = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:2\r\n";
    vec![
        plain("GET, depth 1", 1, &get, &bulk),
        plain("GET, depth 16", 16, &get, &bulk),
        plain("SET of 64 B, depth 1", 1, &set, b"+OK\r\n"),
        plain("GET of 16 KiB, depth 1", 1, &get, &large),
        plain("MULTI, SET, INCR and EXEC, depth 1", 1, &transaction, transacted),
        cluster("GET of a cluster of 3, depth 16", 16, &bulk),
        cluster_down("GET of a cluster that is down at first, depth 40", 40, &bulk),
        cluster_roused("rousing while 2 000 requests wait", 40, &bulk),
        fan_out("message to 100 subscribers"),
    ]
}

/// Requests over one shared link.
fn plain(name: &'static str, depth: usize, unit: &[u8], answer: &[u8]) -> Scenario {
    let exchange = Exchange::of(unit, answer, depth, CLIENTS);
    between(name, Stage::new(CLIENTS), exchange, CLIENTS * depth)
}

/// GETs whose keys are of all nodes.
fn cluster(name: &'static str, depth: usize, answer: &[u8]) -> Scenario {
    let (stage, exchange) = staged(depth, answer);
    between(name, stage, exchange, CLIENTS * depth)
}

/// The same, and all of it has to wait, so many that looking through them for each would show.
fn cluster_down(name: &'static str, depth: usize, answer: &[u8]) -> Scenario {
    let (mut stage, exchange) = staged(depth, answer);
    let down = b"-CLUSTERDOWN The cluster is down\r\n";
    let round = move || assert_eq!(stage.round_refused(&exchange, down), exchange.given(), "{name}");
    Scenario { name, each: CLIENTS * depth, round: Box::new(round) }
}

/// Requests that wait for a node cost nothing when the worker is roused for others.
fn cluster_roused(name: &'static str, depth: usize, answer: &[u8]) -> Scenario {
    let (mut stage, exchange) = staged(depth, answer);
    stage.refuse(&exchange, b"-CLUSTERDOWN The cluster is down\r\n");
    Scenario { name, each: 1, round: Box::new(move || stage.rouse()) }
}

fn staged(depth: usize, answer: &[u8]) -> (Stage, Exchange) {
    let keys = (0..depth).map(|number| format!("key:{number:012}"));
    let units: Vec<Vec<u8>> = keys.map(|key| write::command(&[b"GET", key.as_bytes()])).collect();
    let exchange = Exchange::mixed(&units, answer, CLIENTS);
    let mut stage = Stage::of_cluster(CLIENTS, 3);
    // Its links, one to each node, are opened by requests.
    stage.prepare(&units.concat());
    (stage, exchange)
}

fn between(name: &'static str, mut stage: Stage, exchange: Exchange, each: usize) -> Scenario {
    stage.prepare(&write::command(&[b"PING"]));
    let round = move || assert_eq!(stage.round(&exchange), exchange.given(), "{name}");
    Scenario { name, each, round: Box::new(round) }
}

/// Messages of 64 B, counted by who gets them.
fn fan_out(name: &'static str) -> Scenario {
    let mut stage = Stage::new(LISTENERS);
    assert!(
        stage.prepare(&write::command(&[b"SUBSCRIBE", b"news"])) > 0,
        "each hears that it has subscribed"
    );
    let parts = [&b"message"[..], b"news", &[b'x'; 64]].map(write::bulk).concat();
    let message = [b">3\r\n", &parts[..]].concat();
    let round = move || assert_eq!(stage.message(&message), message.len() * LISTENERS, "{name}");
    Scenario { name, each: LISTENERS, round: Box::new(round) }
}
