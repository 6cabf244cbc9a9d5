//! The map of a cluster as one of its nodes tells it: the replies of CLUSTER SLOTS and of CLUSTER
//! SHARDS, read and held to bounds. It knows no connection.

use std::fmt;

use thiserror::Error;

use super::reader::{Element, Reader};
use crate::command::slot::SLOTS;

/// Nodes of one cluster; Redis' own recommendation ends at a thousand.
const NODES_MAX: usize = 2_000;

/// Bytes of a host's name.
const HOST_MAX: usize = 255;

/// Where a node says that it, or another one, is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// A name or an address; empty is the host that was asked.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Endpoint {
    /// What a node tells; `?` is its word for a host that it does not know.
    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        let host = if host == "?" { "" } else { host };
        Self { host: host.to_owned(), port }
    }

    /// The same, where no host was told: the one that was asked.
    #[must_use]
    pub fn or_host(mut self, asked: &str) -> Self {
        if self.host.is_empty() {
            asked.clone_into(&mut self.host);
        }
        self
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A range of slots and who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The first slot.
    pub first: u16,
    /// The last one.
    pub last: u16,
    /// Who serves it.
    pub master: Endpoint,
    /// Who may take its place.
    pub replicas: Vec<Endpoint>,
}

/// Who has which slots. No slot is in two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// The parts, in the order of their slots.
    pub parts: Vec<Part>,
}

/// Why a reply is no map.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MapError {
    /// The node answered with an error.
    #[error("it answers {0}")]
    Refused(String),
    /// It is none of the two replies.
    #[error("its answer is no map of slots")]
    Unreadable,
    /// A slot that does not exist, or a range that ends before it begins.
    #[error("it names slots {0} to {1}, and there are 0 to 16383")]
    Range(i64, i64),
    /// Two nodes for one slot.
    #[error("it names two masters for slot {0}")]
    Twice(u16),
    /// More nodes than there may be.
    #[error("it names more than {NODES_MAX} nodes")]
    TooMany,
    /// No slot at all.
    #[error("it has no slots: it is not part of a cluster yet")]
    Empty,
}

impl Map {
    /// Reads the reply of CLUSTER SLOTS:
    /// `[[first, last, [host, port, id, ..] of the master, [..] of a replica ..], ..]`.
    ///
    /// # Errors
    /// If it is another reply, or makes no sense.
    pub fn of_slots(reply: &[u8], asked: &str) -> Result<Self, MapError> {
        refused(reply)?;
        let mut reader = Reader::new(reply);
        let mut parts = Vec::new();
        let mut nodes = 0;
        for _ in 0..reader.array().ok_or(MapError::Unreadable)? {
            let count = reader.array().filter(|&count| count >= 3).ok_or(MapError::Unreadable)?;
            let (first, last) = range(&mut reader)?;
            nodes += count - 2;
            let mut told = Vec::new();
            for _ in 2..count {
                let node = node_of_slots(&mut reader).ok_or(MapError::Unreadable)?;
                // The same nodes come again with each of their ranges.
                if told.len() < NODES_MAX {
                    told.push(node.or_host(asked));
                }
            }
            if nodes > NODES_MAX * 64 {
                return Err(MapError::TooMany);
            }
            let master = told.remove(0);
            parts.push(Part { first, last, master, replicas: told });
        }
        Self::of(parts)
    }

    /// Reads the reply of CLUSTER SHARDS: for each shard its `slots` and its `nodes`, which are
    /// fields by name. A failed node is no replica that could take over.
    ///
    /// # Errors
    /// If it is another reply, or makes no sense.
    pub fn of_shards(reply: &[u8], asked: &str, tls: bool) -> Result<Self, MapError> {
        refused(reply)?;
        let mut reader = Reader::new(reply);
        let mut parts = Vec::new();
        for _ in 0..reader.array().ok_or(MapError::Unreadable)? {
            let (mut ranges, mut nodes) = (Vec::new(), Vec::new());
            for _ in 0..reader.array().ok_or(MapError::Unreadable)? / 2 {
                match reader.next() {
                    Some(Element::Text(b"slots")) => {
                        for _ in 0..reader.array().ok_or(MapError::Unreadable)? / 2 {
                            ranges.push(range(&mut reader)?);
                        }
                    }
                    Some(Element::Text(b"nodes")) => {
                        for _ in 0..reader.array().ok_or(MapError::Unreadable)? {
                            nodes.push(node_of_shards(&mut reader, tls).ok_or(MapError::Unreadable)?);
                        }
                    }
                    Some(Element::Text(_)) => reader.skip().ok_or(MapError::Unreadable)?,
                    _ => return Err(MapError::Unreadable),
                }
            }
            let endpoint = |node: &Shard| node.endpoint.clone().or_host(asked);
            let Some(master) = nodes.iter().find(|node| node.is_master) else {
                if ranges.is_empty() {
                    continue;
                }
                return Err(MapError::Unreadable);
            };
            let replicas: Vec<Endpoint> =
                nodes.iter().filter(|node| !node.is_master && !node.failed).map(endpoint).collect();
            let part =
                |(first, last)| Part { first, last, master: endpoint(master), replicas: replicas.clone() };
            parts.extend(ranges.into_iter().map(part));
        }
        Self::of(parts)
    }

    fn of(mut parts: Vec<Part>) -> Result<Self, MapError> {
        if parts.is_empty() {
            return Err(MapError::Empty);
        }
        parts.sort_by_key(|part| part.first);
        if let Some(pair) = parts.windows(2).find(|pair| pair[1].first <= pair[0].last) {
            return Err(MapError::Twice(pair[1].first));
        }
        let map = Self { parts };
        if map.endpoints().len() > NODES_MAX { Err(MapError::TooMany) } else { Ok(map) }
    }

    /// Every node of it, masters first, each once.
    #[must_use]
    pub fn endpoints(&self) -> Vec<(&Endpoint, bool)> {
        let mut seen = std::collections::HashSet::new();
        let masters = self.parts.iter().map(|part| (&part.master, true));
        let replicas = self.parts.iter().flat_map(|part| part.replicas.iter().map(|it| (it, false)));
        masters.chain(replicas).filter(|(endpoint, _)| seen.insert(*endpoint)).collect()
    }

    /// How many slots nobody has.
    #[must_use]
    pub fn hole(&self) -> usize {
        SLOTS - self.parts.iter().map(|part| usize::from(part.last - part.first) + 1).sum::<usize>()
    }
}

fn refused(reply: &[u8]) -> Result<(), MapError> {
    let text = reply.strip_prefix(b"-").map(|text| &text[..text.len().min(200)]);
    text.map_or(Ok(()), |text| Err(MapError::Refused(String::from_utf8_lossy(text).trim_end().to_owned())))
}

fn range(reader: &mut Reader<'_>) -> Result<(u16, u16), MapError> {
    let (Some(Element::Number(first)), Some(Element::Number(last))) = (reader.next(), reader.next()) else {
        return Err(MapError::Unreadable);
    };
    match (u16::try_from(first), u16::try_from(last)) {
        (Ok(low), Ok(high)) if low <= high && usize::from(high) < SLOTS => Ok((low, high)),
        _ => Err(MapError::Range(first, last)),
    }
}

/// `[host or nothing, port, id, metadata]`
fn node_of_slots(reader: &mut Reader<'_>) -> Option<Endpoint> {
    let fields = reader.array().filter(|&fields| fields >= 2)?;
    let host = match reader.next()? {
        Element::Text(host) => text(host)?,
        Element::Null => "",
        _ => return None,
    };
    let port = port(reader.next()?)?;
    (2..fields).try_for_each(|_| reader.skip())?;
    Some(Endpoint::new(host, port))
}

/// A node of CLUSTER SHARDS.
struct Shard {
    endpoint: Endpoint,
    is_master: bool,
    failed: bool,
}

fn node_of_shards(reader: &mut Reader<'_>, tls: bool) -> Option<Shard> {
    let (mut host, mut plain, mut encrypted) = ("", None, None);
    let (mut is_master, mut failed) = (false, false);
    for _ in 0..reader.array()? / 2 {
        let Element::Text(name) = reader.next()? else { return None };
        let before = *reader;
        match (name, reader.next()?) {
            (b"endpoint", Element::Text(value)) => host = text(value)?,
            (b"port", value) => plain = Some(port(value)?),
            (b"tls-port", value) => encrypted = Some(port(value)?),
            (b"role", Element::Text(role)) => is_master = role == b"master" || role == b"primary",
            (b"health", Element::Text(health)) => failed = health == b"failed" || health == b"fail",
            _ => {
                *reader = before;
                reader.skip()?;
            }
        }
    }
    let port = if tls { encrypted.or(plain) } else { plain };
    Some(Shard { endpoint: Endpoint::new(host, port?), is_master, failed })
}

fn text(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:?%".contains(&byte);
    (text.len() <= HOST_MAX && text.bytes().all(is_plain)).then_some(text)
}

fn port(value: Element<'_>) -> Option<u16> {
    match value {
        Element::Number(port) => u16::try_from(port).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> Endpoint {
        Endpoint::new(host, port)
    }

    const SLOTS_REPLY: &[u8] = b"*2\r\n\
        *4\r\n:8192\r\n:16383\r\n*4\r\n$-1\r\n:7001\r\n$1\r\nb\r\n*0\r\n*4\r\n$3\r\n::1\r\n:7003\r\n$1\r\nd\r\n%1\r\n+ip\r\n+x\r\n\
        *3\r\n:0\r\n:8191\r\n*3\r\n$9\r\n127.0.0.1\r\n:7000\r\n$1\r\na\r\n";

    #[test]
    fn slots_are_read_with_replicas_and_hosts_that_are_not_told() {
        let map = Map::of_slots(SLOTS_REPLY, "seed.example").expect("a map");
        let first = Part { first: 0, last: 8191, master: at("127.0.0.1", 7000), replicas: vec![] };
        let second = Part {
            first: 8192,
            last: 16_383,
            master: at("seed.example", 7001),
            replicas: vec![at("::1", 7003)],
        };
        assert_eq!(map.parts, [first, second]);
        assert_eq!(map.hole(), 0);
        assert_eq!(map.parts[1].replicas[0].to_string(), "[::1]:7003");
        let masters: Vec<bool> = map.endpoints().into_iter().map(|(_, master)| master).collect();
        assert_eq!(masters, [true, true, false]);
    }

    #[test]
    fn shards_are_read_by_the_names_of_their_fields() {
        let node = |port: u16, role: &str, health: &str| {
            format!(
                "*16\r\n$2\r\nid\r\n$1\r\nx\r\n$4\r\nport\r\n:{port}\r\n$8\r\ntls-port\r\n:{}\r\n$2\r\nip\r\n$3\r\n9.9\r\n\
                 $8\r\nendpoint\r\n$1\r\nh\r\n$4\r\nrole\r\n${}\r\n{role}\r\n$3\r\nnew\r\n*2\r\n:1\r\n*1\r\n:2\r\n\
                 $6\r\nhealth\r\n${}\r\n{health}\r\n",
                port + 1,
                role.len(),
                health.len()
            )
        };
        let shard = format!(
            "*2\r\n*4\r\n$5\r\nslots\r\n*4\r\n:0\r\n:5\r\n:7\r\n:9\r\n$5\r\nnodes\r\n*3\r\n{}{}{}\
             *4\r\n$5\r\nslots\r\n*0\r\n$5\r\nnodes\r\n*0\r\n",
            node(10, "replica", "online"),
            node(20, "master", "online"),
            node(30, "replica", "failed"),
        );
        let map = Map::of_shards(shard.as_bytes(), "asked", false).expect("a map");
        let part = |first, last| Part { first, last, master: at("h", 20), replicas: vec![at("h", 10)] };
        assert_eq!(map.parts, [part(0, 5), part(7, 9)]);
        assert_eq!(map.hole(), SLOTS - 9);
        let map = Map::of_shards(shard.as_bytes(), "asked", true).expect("a map");
        assert_eq!(map.parts[0].master, at("h", 21));
    }

    #[test]
    fn what_makes_no_sense_is_said_to_make_none() {
        let slots = |text: &str| Map::of_slots(text.as_bytes(), "h").map(|map| map.parts.len());
        let node = "*2\r\n$1\r\nh\r\n:1\r\n";
        for (reply, error) in [
            ("*0\r\n".to_owned(), MapError::Empty),
            (
                "-ERR This instance has cluster support disabled\r\n".to_owned(),
                MapError::Refused("ERR This instance has cluster support disabled".to_owned()),
            ),
            ("+OK\r\n".to_owned(), MapError::Unreadable),
            ("*1\r\n*2\r\n:0\r\n:1\r\n".to_owned(), MapError::Unreadable),
            (format!("*1\r\n*3\r\n:0\r\n:16384\r\n{node}"), MapError::Range(0, 16_384)),
            (format!("*1\r\n*3\r\n:2\r\n:1\r\n{node}"), MapError::Range(2, 1)),
            (format!("*1\r\n*3\r\n:-1\r\n:1\r\n{node}"), MapError::Range(-1, 1)),
            (format!("*2\r\n*3\r\n:0\r\n:5\r\n{node}*3\r\n:5\r\n:6\r\n{node}"), MapError::Twice(5)),
            ("*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n$3\r\na b\r\n:1\r\n".to_owned(), MapError::Unreadable),
            ("*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\na\r\n:70000\r\n".to_owned(), MapError::Unreadable),
        ] {
            assert_eq!(slots(&reply), Err(error), "{reply:?}");
        }
        for end in 0..SLOTS_REPLY.len() {
            assert!(Map::of_slots(&SLOTS_REPLY[..end], "h").is_err(), "{end}");
        }
    }
}
