//! SCAN over all masters, one after the other in the order of their addresses: the cursor says
//! which it is at, and that one's own cursor.
//!
//! ```text
//! bits 62..56        55..44         43..0
//!      the masters   which of them  its own cursor
//! ```
//!
//! Where others are masters by now, the scan begins anew: keys are told twice, as SCAN may, rather
//! than never. Slots that move between masters do not change who they are: a key that moves meanwhile
//! may be told twice or never.

use bytes::Bytes;

use crate::resp::write;
use crate::upstream::NodeId;
use crate::upstream::cluster::Topology;

const CURSOR_BITS: u32 = 44;
const NODE_BITS: u32 = 12;
const MARK_BITS: u32 = 7;

/// Where a scan goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scan {
    /// The node that is asked.
    pub(crate) node: NodeId,
    /// Its own cursor.
    pub(crate) cursor: u64,
    /// How the answer's cursor is put together.
    pub(crate) onward: Onward,
}

/// How the cursor that a node answers with becomes the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Onward {
    /// The upper bits as long as the node goes on.
    here: u64,
    /// The whole cursor when it has told all; 0 behind the last node.
    then: u64,
}

/// Where this cursor leads; `None` if nobody has slots.
pub(crate) fn resume(map: &Topology, cursor: u64) -> Option<Scan> {
    let nodes = map.serving();
    let mark = mark(nodes.iter().map(|node| node.endpoint.to_string()));
    let upper = |node: usize| (mark << NODE_BITS | node as u64) << CURSOR_BITS;
    let at = usize::try_from(cursor >> CURSOR_BITS & ((1 << NODE_BITS) - 1)).ok()?;
    let (at, cursor) = match nodes.get(at) {
        Some(_) if cursor >> (CURSOR_BITS + NODE_BITS) == mark => (at, cursor & ((1 << CURSOR_BITS) - 1)),
        _ => (0, 0),
    };
    let then = if at + 1 < nodes.len() { upper(at + 1) } else { 0 };
    Some(Scan { node: nodes.get(at)?.id, cursor, onward: Onward { here: upper(at), then } })
}

/// A few bits to tell these nodes from others.
fn mark(nodes: impl Iterator<Item = String>) -> u64 {
    let add = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = nodes.fold(0x811c_9dc5, |hash, node| add(node.bytes().fold(hash, add), 0));
    u64::from((hash ^ hash >> 16) & ((1 << MARK_BITS) - 1))
}

impl Onward {
    /// The node's reply with the client's cursor in the place of its own.
    pub(super) fn reply(self, reply: &[u8]) -> Option<Vec<u8>> {
        let rest = reply.strip_prefix(b"*2\r\n$")?;
        let end = memchr::memchr(b'\n', rest)?;
        let cursor = rest.get(end + 1..)?;
        let end = memchr::memchr(b'\r', cursor)?;
        let own: u64 = std::str::from_utf8(&cursor[..end]).ok()?.parse().ok()?;
        let elements = cursor.get(end + 2..)?;
        let next = match own {
            0 => self.then,
            own if own >> CURSOR_BITS == 0 => self.here | own,
            _ => return None,
        };
        let mut out = b"*2\r\n".to_vec();
        out.extend(write::bulk(next.to_string().as_bytes()));
        out.extend_from_slice(elements);
        Some(out)
    }
}

/// The request to the node.
pub(crate) fn request(args: &[&[u8]], cursor: u64) -> Bytes {
    let cursor = cursor.to_string();
    let mut words = args.to_vec();
    words[1] = cursor.as_bytes();
    write::command(&words).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::cluster::{Endpoint, Map, Part};

    fn map(ports: &[u16]) -> Topology {
        let size = 16_384 / ports.len() as u16;
        let parts = (0..).zip(ports).map(|(number, &port)| Part {
            first: number * size,
            last: (number + 1) * size - 1,
            master: Endpoint::new("h", port),
            replicas: vec![],
        });
        Topology::of(&Map { parts: parts.collect(), ..Map::default() }, |endpoint| {
            NodeId(endpoint.port.into())
        })
    }

    fn next(scan: &Scan, own: u64) -> u64 {
        let reply = format!("*2\r\n${}\r\n{own}\r\n*1\r\n$1\r\nk\r\n", own.to_string().len());
        let reply = scan.onward.reply(reply.as_bytes()).expect("a cursor");
        let text = String::from_utf8(reply).expect("text");
        assert!(text.ends_with("\r\n*1\r\n$1\r\nk\r\n"), "{text}");
        text.split("\r\n").nth(2).expect("a cursor").parse().expect("a number")
    }

    /// The nodes and cursors of a whole scan whose map is another one from the `change`th step on.
    fn visits(before: &Topology, after: &Topology, change: usize) -> Vec<(u32, u64)> {
        let (mut cursor, mut visited) = (0, Vec::new());
        loop {
            let map = if visited.len() < change { before } else { after };
            let scan = resume(map, cursor).expect("a node");
            visited.push((scan.node.0, scan.cursor));
            cursor = next(&scan, if scan.cursor == 0 { 77 } else { 0 });
            assert!(cursor < 1 << 63, "some clients take it for a signed number");
            if cursor == 0 {
                return visited;
            }
        }
    }

    #[test]
    fn a_scan_visits_every_node_and_ends() {
        let map = map(&[3, 1, 2]);
        assert_eq!(visits(&map, &map, 0), [(1, 0), (1, 77), (2, 0), (2, 77), (3, 0), (3, 77)]);
    }

    #[test]
    fn whoever_becomes_a_master_meanwhile_is_visited_too() {
        for change in 0..7 {
            let visited = visits(&map(&[1, 2, 3]), &map(&[1, 9, 3]), change);
            for node in if change < 6 { [1, 9, 3] } else { [1, 2, 3] } {
                assert!(
                    visited.contains(&(node, 0)) && visited.contains(&(node, 77)),
                    "{change}: {visited:?}"
                );
            }
        }
        assert_eq!(resume(&Topology::default(), 0), None);
        assert_eq!(resume(&map(&[1]), u64::MAX).map(|scan| scan.cursor), Some(0));
    }

    #[test]
    fn slots_that_move_do_not_disturb_a_scan() {
        let mut moved = map(&[1, 2, 3]);
        moved.moved(0, NodeId(3));
        for change in 0..7 {
            assert_eq!(visits(&map(&[1, 2, 3]), &moved, change).len(), 6);
        }
    }

    #[test]
    fn a_cursor_that_does_not_fit_is_an_error() {
        let scan = resume(&map(&[1]), 0).expect("a node");
        for reply in [&b"*2\r\n$14\r\n17592186044416\r\n*0\r\n"[..], b"*2\r\n:1\r\n*0\r\n", b"+OK\r\n", b""] {
            assert_eq!(scan.onward.reply(reply), None, "{}", reply.escape_ascii());
        }
    }
}
