//! The map of a cluster as one of its nodes tells it: the replies of CLUSTER SLOTS and of CLUSTER
//! SHARDS, read and held to bounds. It knows no connection.

use std::collections::{BTreeSet, HashSet};

use thiserror::Error;

use super::endpoint::{Endpoint, Shard, node_of_shards, node_of_slots};
use super::reader::{Element, Reader};
use crate::command::slot::SLOTS;

/// Nodes of one cluster; Redis' own recommendation ends at a thousand.
const NODES_MAX: usize = 2_000;

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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Map {
    /// The parts, in the order of their slots.
    pub parts: Vec<Part>,
    /// Masters that have no slot, sorted. One that is about to get its first has keys of that already.
    pub empty_masters: Vec<Endpoint>,
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
    /// Reads both replies. Who has which slot is for CLUSTER SLOTS to say, and where that is refused for CLUSTER
    /// SHARDS, which alone shows masters without slots. It is to be asked first: a master that is given its first
    /// slot in between is in both, and would be in neither.
    ///
    /// # Errors
    /// If neither says who has which slot.
    pub fn of_both(shards: &[u8], slots: &[u8], asked: &str, tls: bool) -> Result<Self, MapError> {
        let shards = Self::of_shards(shards, asked, tls);
        match (Self::of_slots(slots, asked), shards) {
            (Ok(slots), Ok(shards)) => Self::of(slots.parts, shards.empty_masters),
            (Err(MapError::Refused(why)), Err(MapError::Refused(_))) => Err(MapError::Refused(why)),
            (Err(MapError::Refused(_)), shards) => shards,
            (slots, _) => slots,
        }
    }

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
        Self::of(parts, Vec::new())
    }

    /// Reads the reply of CLUSTER SHARDS: for each shard its `slots` and its `nodes`, which are
    /// fields by name. A failed node is no replica that could take over.
    ///
    /// # Errors
    /// If it is another reply, or makes no sense.
    pub fn of_shards(reply: &[u8], asked: &str, tls: bool) -> Result<Self, MapError> {
        refused(reply)?;
        let mut reader = Reader::new(reply);
        let (mut parts, mut masters) = (Vec::new(), Vec::new());
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
            // One that has failed is listed as a master beside the one that has taken over.
            let all = || nodes.iter().filter(|node| node.is_master);
            masters.extend(all().filter(|node| !node.failed).map(endpoint));
            let Some(master) = all().min_by_key(|node| node.failed) else {
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
        Self::of(parts, masters)
    }

    /// Of these masters those are empty that have none of the parts.
    fn of(mut parts: Vec<Part>, masters: Vec<Endpoint>) -> Result<Self, MapError> {
        if parts.is_empty() {
            return Err(MapError::Empty);
        }
        parts.sort_by_key(|part| part.first);
        if let Some(pair) = parts.windows(2).find(|pair| pair[1].first <= pair[0].last) {
            return Err(MapError::Twice(pair[1].first));
        }
        // What nobody can be sent for is left out: slots of such a master are a hole.
        parts.retain(|part| part.master.is_known());
        for part in &mut parts {
            part.replicas.retain(Endpoint::is_known);
        }
        let serving: HashSet<&Endpoint> = parts.iter().map(|part| &part.master).collect();
        // Each node tells them in an order of its own, which is no other map.
        let empty: BTreeSet<Endpoint> =
            masters.into_iter().filter(|it| it.is_known() && !serving.contains(it)).collect();
        let map = Self { empty_masters: empty.into_iter().collect(), parts };
        if map.endpoints().len() > NODES_MAX { Err(MapError::TooMany) } else { Ok(map) }
    }

    /// Every node of it, each once, and whether it has slots; those that have come first.
    #[must_use]
    pub fn endpoints(&self) -> Vec<(&Endpoint, bool)> {
        let mut seen = HashSet::new();
        let masters = self.parts.iter().map(|part| (&part.master, true));
        let replicas = self.parts.iter().flat_map(|part| part.replicas.iter().map(|it| (it, false)));
        let empty = self.empty_masters.iter().map(|it| (it, false));
        masters.chain(replicas).chain(empty).filter(|(endpoint, _)| seen.insert(*endpoint)).collect()
    }

    /// How many slots nobody has, or nobody knows where.
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

    /// A node of CLUSTER SHARDS.
    fn shard(port: u16, role: &str, health: &str) -> String {
        format!(
            "*16\r\n$2\r\nid\r\n$1\r\nx\r\n$4\r\nport\r\n:{port}\r\n$8\r\ntls-port\r\n:{}\r\n$2\r\nip\r\n$3\r\n9.9\r\n\
             $8\r\nendpoint\r\n$1\r\nh\r\n$4\r\nrole\r\n${}\r\n{role}\r\n$3\r\nnew\r\n*2\r\n:1\r\n*1\r\n:2\r\n\
             $6\r\nhealth\r\n${}\r\n{health}\r\n",
            port + 1,
            role.len(),
            health.len()
        )
    }

    #[test]
    fn nodes_whose_host_or_port_is_not_known_are_left_out() {
        let ip =
            |ip: &str| format!("*4\r\n$8\r\nhostname\r\n$0\r\n\r\n$2\r\nip\r\n${}\r\n{ip}\r\n", ip.len());
        let node =
            |host: &str, port: u16, rest: &str| format!("*4\r\n{host}\r\n:{port}\r\n$1\r\nx\r\n{rest}");
        let unknown = "$1\r\n?";
        let masters = [
            (node(unknown, 1, &ip("10.0.0.1")), Some(at("10.0.0.1", 1))),
            // A node that no other has met yet does not know its own.
            (node(unknown, 2, &ip("")), Some(at("asked", 2))),
            (node("$-1", 3, &ip("10.0.0.3")), Some(at("asked", 3))),
            (node("$0\r\n", 4, "*0\r\n"), Some(at("asked", 4))),
            (node(unknown, 5, "*0\r\n"), None),
            (node("$1\r\nh", 0, "*0\r\n"), None),
            (format!("*3\r\n{unknown}\r\n:6\r\n$1\r\nx\r\n"), None),
        ];
        let lost = node(unknown, 9, "*0\r\n");
        let of = |(slot, (master, _)): (usize, &(String, _))| {
            format!("*4\r\n:{slot}\r\n:{slot}\r\n{master}{lost}")
        };
        let parts: String = masters.iter().enumerate().map(of).collect();
        let map = Map::of_slots(format!("*{}\r\n{parts}", masters.len()).as_bytes(), "asked").expect("a map");
        let part = |(slot, (_, master)): (u16, (_, Option<Endpoint>))| {
            Some(Part { first: slot, last: slot, master: master?, replicas: vec![] })
        };
        assert_eq!(map.parts, (0..).zip(masters).filter_map(part).collect::<Vec<_>>());
        assert_eq!(map.hole(), SLOTS - 4);

        let of_shards = |endpoint: &str, ip: &str, port: &str| {
            let field = |name: &str, value: &str| format!("${}\r\n{name}\r\n{value}\r\n", name.len());
            let text = |text: &str| format!("${}\r\n{text}", text.len());
            let fields =
                [field("ip", &text(ip)), field("endpoint", &text(endpoint)), field("role", "$6\r\nmaster")];
            let (port, count) = if port.is_empty() { (String::new(), 6) } else { (field("port", port), 8) };
            let node = format!("*{count}\r\n{}{port}", fields.concat());
            let reply = format!("*1\r\n*4\r\n$5\r\nslots\r\n*2\r\n:0\r\n:5\r\n$5\r\nnodes\r\n*1\r\n{node}");
            let map = Map::of_shards(reply.as_bytes(), "asked", false).expect("a map");
            map.parts.into_iter().next().map(|part| part.master)
        };
        assert_eq!(of_shards("?", "10.0.0.1", ":1"), Some(at("10.0.0.1", 1)));
        assert_eq!(of_shards("?", "", ":1"), Some(at("asked", 1)));
        assert_eq!(of_shards("", "10.0.0.1", ":1"), Some(at("asked", 1)));
        assert_eq!(of_shards("h", "10.0.0.1", ":0"), None);
        assert_eq!(of_shards("h", "10.0.0.1", ""), None);
    }

    #[test]
    fn shards_are_read_by_the_names_of_their_fields() {
        let reply = format!(
            "*2\r\n*4\r\n$5\r\nslots\r\n*4\r\n:0\r\n:5\r\n:7\r\n:9\r\n$5\r\nnodes\r\n*3\r\n{}{}{}\
             *4\r\n$5\r\nslots\r\n*0\r\n$5\r\nnodes\r\n*0\r\n",
            shard(10, "replica", "online"),
            shard(20, "master", "online"),
            shard(30, "replica", "failed"),
        );
        let map = Map::of_shards(reply.as_bytes(), "asked", false).expect("a map");
        let part = |first, last| Part { first, last, master: at("h", 20), replicas: vec![at("h", 10)] };
        assert_eq!(map.parts, [part(0, 5), part(7, 9)]);
        assert_eq!(map.hole(), SLOTS - 9);
        let map = Map::of_shards(reply.as_bytes(), "asked", true).expect("a map");
        assert_eq!(map.parts[0].master, at("h", 21));
    }

    #[test]
    fn a_master_that_has_failed_gives_way_to_the_one_that_has_taken_over() {
        let masters = |first: &str, second: &str| {
            let nodes = [shard(10, "master", first), shard(20, "master", second)].concat();
            let reply = format!("*1\r\n*4\r\n$5\r\nslots\r\n*2\r\n:0\r\n:5\r\n$5\r\nnodes\r\n*2\r\n{nodes}");
            Map::of_shards(reply.as_bytes(), "asked", false).expect("a map").parts
        };
        let part = |port| vec![Part { first: 0, last: 5, master: at("h", port), replicas: vec![] }];
        assert_eq!(masters("fail", "online"), part(20));
        assert_eq!(masters("online", "fail"), part(10));
        // Nobody has taken over yet.
        assert_eq!(masters("fail", "fail"), part(10));
    }

    #[test]
    fn masters_without_slots_are_nodes_of_the_map_as_long_as_they_have_not_failed() {
        let shards = |empty: &[(u16, &str)]| {
            let of = |slots: &str, node: &str| {
                format!("*4\r\n$5\r\nslots\r\n{slots}\r\n$5\r\nnodes\r\n*1\r\n{node}")
            };
            let shards: String =
                empty.iter().map(|&(port, health)| of("*0", &shard(port, "master", health))).collect();
            let serving = of("*2\r\n:0\r\n:16383", &shard(10, "master", "online"));
            format!("*{}\r\n{serving}{shards}", empty.len() + 1)
        };
        let both =
            |slots: &str, shards: &str| Map::of_both(shards.as_bytes(), slots.as_bytes(), "asked", false);
        let slots = |port: u16| format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$1\r\nh\r\n:{port}\r\n");
        let of = |master: u16, empty: &[u16]| {
            let part = Part { first: 0, last: 16_383, master: at("h", master), replicas: vec![] };
            Ok(Map { parts: vec![part], empty_masters: empty.iter().map(|&port| at("h", port)).collect() })
        };
        let refused = "-NOPERM\r\n";
        let three = shards(&[(30, "online"), (20, "online"), (40, "fail")]);
        assert_eq!(both(&slots(10), &three), of(10, &[20, 30]));
        assert_eq!(both(refused, &three), of(10, &[20, 30]));
        // It has got its first slot in between.
        assert_eq!(both(&slots(20), &three), of(20, &[30]));
        assert_eq!(both(&slots(10), refused), of(10, &[]));
        assert_eq!(both(&slots(10), "+OK\r\n"), of(10, &[]));
        assert_eq!(both(refused, "-ERR unknown\r\n"), Err(MapError::Refused("NOPERM".to_owned())));
        assert_eq!(both(refused, "*0\r\n"), Err(MapError::Empty));
        let map = both(&slots(10), &three).expect("a map");
        assert_eq!(map.endpoints(), [(&at("h", 10), true), (&at("h", 20), false), (&at("h", 30), false)]);
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
