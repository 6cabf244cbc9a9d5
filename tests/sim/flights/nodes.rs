//! The model of a cluster: nodes with slots that move, which answer as Redis does, and note what they
//! have run. It holds what no client could see: that nothing runs twice or overtakes.

use std::collections::{BTreeMap, BTreeSet};

use respgate::command::slot::slot;
use respgate::upstream::NodeId;
use respgate::upstream::cluster::{Endpoint, Map, Part, Topology};

use super::super::frame::{self, array, bulk, hello, null_array};

pub(super) const NODES: usize = 3;

const SLOTS: usize = 16_384;

/// How far a slot's keys have moved when all of them have.
const ALL: u64 = 4;

/// A client and the number of its request.
pub(super) type Tag = (usize, u64);

/// One connection from the gateway.
pub(super) struct Conn {
    node: usize,
    pub(super) input: Vec<u8>,
    pub(super) output: Vec<u8>,
    user: String,
    pub(super) is_greeted: bool,
    asking: bool,
    pub(super) dead: bool,
}

/// A slot on its way.
struct Move {
    to: usize,
    /// How many of [`ALL`] parts of its keys have arrived.
    done: u64,
}

#[derive(Default)]
pub(super) struct Nodes {
    pub(super) conns: BTreeMap<usize, Conn>,
    /// Slots that are not where all began.
    owners: BTreeMap<u16, usize>,
    moves: BTreeMap<u16, Move>,
    runs: BTreeSet<(Tag, Vec<u8>)>,
    /// The last request of a client that has run for one of its keys.
    last: BTreeMap<(usize, Vec<u8>), u64>,
    /// The last request of a client that has run for any key of a node.
    most: BTreeMap<(usize, usize), u64>,
    pub(super) redirects: usize,
    /// The one that runs a script without an end.
    pub(super) busy: Option<usize>,
    /// They serve nothing, and say so in these words.
    pub(super) says: Option<&'static str>,
}

impl Nodes {
    pub(super) fn connect(&mut self, at: usize, node: NodeId) {
        let node = node.0 as usize;
        assert!(node < NODES, "a connection to {node}");
        let (input, output, user) = (Vec::new(), Vec::new(), String::new());
        let conn = Conn { node, input, output, user, is_greeted: false, asking: false, dead: false };
        self.conns.insert(at, conn);
    }

    fn owner(&self, slot: u16) -> usize {
        self.owners.get(&slot).copied().unwrap_or_else(|| usize::from(slot) * NODES / SLOTS)
    }

    /// The map as a node would tell it.
    pub(super) fn map(&self) -> Topology {
        let mut parts: Vec<Part> = Vec::new();
        let mut of = NODES;
        for slot in 0..SLOTS as u16 {
            let owner = self.owner(slot);
            match parts.last_mut() {
                Some(part) if of == owner => part.last = slot,
                _ => {
                    let master = Endpoint::new(&format!("n{owner}"), 7000);
                    parts.push(Part { first: slot, last: slot, master, replicas: Vec::new() });
                }
            }
            of = owner;
        }
        let number = |endpoint: &Endpoint| NodeId(endpoint.host[1..].parse().expect("one of ours"));
        Topology::of(&Map { parts, ..Map::default() }, number)
    }

    /// A slot begins to move, moves on, or has moved. A node that gets one must have answered all that
    /// it was sent before: a request that it sends away then could meet one that came later there.
    pub(super) fn shift(&mut self, slot: u16, to: usize, is_quiet: impl Fn(usize) -> bool) {
        let from = self.owner(slot);
        match self.moves.get_mut(&slot) {
            None if from != to && is_quiet(to) => {
                self.moves.insert(slot, Move { to, done: 0 });
            }
            Some(one) if one.done < ALL => one.done += 1,
            Some(one) if is_quiet(one.to) => {
                self.owners.insert(slot, one.to);
                self.moves.remove(&slot);
            }
            _ => {}
        }
    }

    /// Whether a node has something to answer.
    pub(super) fn is_idle(&self, node: usize) -> bool {
        self.conns.values().all(|conn| conn.node != node || conn.dead || conn.input.is_empty())
    }

    pub(super) fn node_of(&self, at: usize) -> usize {
        self.conns[&at].node
    }

    /// Whether a request has run for this key.
    pub(super) fn has_run(&self, tag: Tag, key: &[u8]) -> bool {
        self.runs.contains(&(tag, key.to_vec()))
    }

    /// Runs what has arrived. Of a dead connection nobody sees the replies.
    pub(super) fn process(&mut self, at: usize) {
        while let Some((args, len)) = frame::request(&self.conns[&at].input) {
            let conn = self.conns.get_mut(&at).expect("looked at above");
            conn.input.drain(..len);
            let reply = self.answer(at, &args);
            let conn = self.conns.get_mut(&at).expect("looked at above");
            if !conn.dead {
                conn.output.extend_from_slice(&reply);
            }
        }
    }

    fn answer(&mut self, at: usize, args: &[Vec<u8>]) -> Vec<u8> {
        let conn = self.conns.get_mut(&at).expect("it has sent this");
        let name = args[0].to_ascii_uppercase();
        let ok = || b"+OK\r\n".to_vec();
        if !conn.is_greeted {
            return match name.as_slice() {
                b"AUTH" => {
                    conn.user = String::from_utf8(args[1].clone()).expect("text");
                    ok()
                }
                b"HELLO" => hello(2, "master"),
                b"CLIENT" => ok(),
                b"ECHO" => {
                    conn.is_greeted = true;
                    bulk(&args[1])
                }
                name => panic!("{:?} in a greeting", frame::show(name)),
            };
        }
        let asking = std::mem::take(&mut conn.asking);
        let keys: Vec<Vec<u8>> = match name.as_slice() {
            b"ASKING" => {
                conn.asking = true;
                return ok();
            }
            b"PING" if args.len() == 1 => return b"+PONG\r\n".to_vec(),
            b"PING" | b"ECHO" => return bulk(&args[1]),
            b"DBSIZE" => return b":1\r\n".to_vec(),
            b"SCRIPT" => {
                let node = conn.node;
                let stopped = self.busy.take_if(|busy| *busy == node);
                return stopped.map_or_else(|| b"-NOTBUSY nothing runs\r\n".to_vec(), |_| ok());
            }
            b"FLUSHALL" => {
                let all = everything(conn.node);
                self.note(at, tag(args, &all), &all);
                return ok();
            }
            b"MGET" | b"DEL" => args[1..].to_vec(),
            b"MSET" => vec![args[1].clone(), args[3].clone()],
            b"EVAL" => vec![args[3].clone()],
            _ => vec![args[1].clone()],
        };
        if let Some(elsewhere) = self.redirect(at, &keys, asking) {
            self.redirects += 1;
            return elsewhere;
        }
        for key in &keys {
            let tag = tag(args, key);
            self.note(at, tag, key);
        }
        match name.as_slice() {
            b"SET" | b"MSET" => ok(),
            b"GETRANGE" => {
                let more = std::str::from_utf8(&args[2]).expect("text").parse().expect("a number");
                bulk(&padded(&args[3], more))
            }
            b"EVAL" => bulk(&args[args.len() - 1]),
            b"MGET" => array(&keys.iter().map(|key| bulk(key)).collect::<Vec<_>>()),
            b"DEL" => format!(":{}\r\n", keys.len()).into_bytes(),
            b"BLPOP" => null_array(2),
            name => panic!("{:?} was not asked for", frame::show(name)),
        }
    }

    /// Where a request for these keys is to go instead, in Redis' words.
    fn redirect(&self, at: usize, keys: &[Vec<u8>], asking: bool) -> Option<Vec<u8>> {
        let (node, slot) = (self.node_of(at), slot(&keys[0]));
        assert!(keys.iter().all(|key| super::nodes::slot(key) == slot), "keys of several slots at one node");
        if let Some(says) = self.says {
            return Some(says.into());
        }
        let say = |kind: &str, to: usize| Some(format!("-{kind} {slot} n{to}:7000\r\n").into_bytes());
        let again = || Some(b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n".to_vec());
        let owner = self.owner(slot);
        let arrived = |one: &Move| keys.iter().filter(|key| is_among(key, one.done)).count();
        match self.moves.get(&slot) {
            Some(one) if owner == node && arrived(one) == keys.len() => say("ASK", one.to),
            Some(one) if owner == node && arrived(one) > 0 => again(),
            Some(one) if one.to == node && asking && keys.len() > 1 && arrived(one) < keys.len() => again(),
            Some(one) if one.to == node && asking => None,
            _ if owner == node => None,
            _ => say("MOVED", owner),
        }
    }

    fn note(&mut self, at: usize, tag: Tag, key: &[u8]) {
        let (client, seq) = tag;
        assert_eq!(self.conns[&at].user, super::user(client), "{tag:?} runs as another");
        assert!(self.runs.insert((tag, key.to_vec())), "{tag:?} runs twice for {:?}", frame::show(key));
        // What is for all keys of a node concerns each of them.
        let (node, all) = (self.node_of(at), everything(self.node_of(at)));
        let last = self.last.entry((client, key.to_vec())).or_default();
        let most = self.most.entry((client, node)).or_default();
        let before = if key == all { *most } else { *last };
        assert!(before <= seq, "{tag:?} runs behind {before} for {:?}", frame::show(key));
        (*last, *most) = (seq, seq.max(*most));
        let emptied = self.last.get(&(client, all)).copied().unwrap_or(0);
        assert!(emptied <= seq, "{tag:?} runs behind {emptied}, which is for all keys");
    }
}

/// Whether a key is among so many of [`ALL`] parts of them.
fn is_among(key: &[u8], parts: u64) -> bool {
    key.iter().fold(0_u64, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % ALL < parts
}

/// What stands for all keys of a node.
pub(super) fn everything(node: usize) -> Vec<u8> {
    format!("all of {node}").into_bytes()
}

/// These bytes, and so many more.
pub(super) fn padded(bytes: &[u8], more: usize) -> Vec<u8> {
    [bytes, &vec![b'.'; more]].concat()
}

/// Whose request it is: its last word says so, or else the key.
fn tag(args: &[Vec<u8>], key: &[u8]) -> Tag {
    let parse = |text: &[u8]| -> Option<Tag> {
        let (client, seq) = std::str::from_utf8(text).ok()?.split_once(':')?;
        Some((client.parse().ok()?, seq.split(':').next()?.parse().ok()?))
    };
    let last = parse(args.last().expect("a request has words"));
    let behind = key.iter().position(|&byte| byte == b'}').map_or(key, |at| &key[at + 1..]);
    last.or_else(|| parse(behind)).unwrap_or_else(|| panic!("whose is {:?}", frame::show(key)))
}
