//! CLUSTER, answered for the gateway itself: one node that has every slot, at the address that the
//! client has connected to. So clients that know clusters work as well, and no address of a node
//! gets out.

use std::fmt::Write;

use crate::command::slot::{SLOTS, slot};
use crate::resp::{Proto, long, write};

/// What a CLUSTER command comes to.
pub(super) enum About {
    /// This is its answer.
    Answer(Vec<u8>),
    /// The node that has this slot is to answer.
    Slot(u16),
    /// Any node is.
    Any,
    /// It is about servers, and not for here.
    Refuse,
}

/// What the client is told of a CLUSTER command; `at` is the address that it has connected to.
pub(super) fn about(args: &[&[u8]], at: &str, proto: Proto) -> About {
    let (host, port) = at.rsplit_once(':').unwrap_or((at, "0"));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port: u16 = port.parse().unwrap_or(0);
    let id = id(at);
    let sub = args.get(1).map(|sub| sub.to_ascii_lowercase()).unwrap_or_default();
    About::Answer(match (&sub[..], &args[2.min(args.len())..]) {
        (b"slots", []) => slots(host, port, &id),
        (b"shards", []) => shards(host, port, &id, proto),
        (b"nodes", []) => {
            text(&format!("{id} {host}:{port}@{port} myself,master - 0 0 1 connected 0-16383\n"), proto)
        }
        (b"info", []) => text(&info(), proto),
        (b"myid" | b"myshardid", []) => write::bulk(id.as_bytes()),
        (b"keyslot", [key]) => format!(":{}\r\n", slot(key)).into_bytes(),
        (b"replicas" | b"slaves", [of]) if *of == id.as_bytes() => b"*0\r\n".to_vec(),
        (b"replicas" | b"slaves", [of]) => {
            write::error(&format!("ERR Unknown node {}", String::from_utf8_lossy(&of[..of.len().min(100)])))
        }
        (b"countkeysinslot", [slot]) | (b"getkeysinslot", [slot, _]) => {
            let slot = long(slot).and_then(|slot| u16::try_from(slot).ok());
            return slot.filter(|slot| usize::from(*slot) < SLOTS).map_or(About::Any, About::Slot);
        }
        // Any node says how many arguments it takes.
        (b"slots" | b"shards" | b"nodes" | b"info" | b"myid" | b"myshardid" | b"keyslot" | b"help", _)
        | (b"countkeysinslot" | b"getkeysinslot" | b"replicas" | b"slaves", _) => return About::Any,
        _ => return About::Refuse,
    })
}

/// Forty hexadecimal digits, the same for the same address.
fn id(at: &str) -> String {
    let mut id = String::new();
    for part in 0u8..5 {
        let add = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        let hash = [part].iter().chain(at.as_bytes()).fold(0x811c_9dc5, add);
        // Writing to a string cannot fail.
        let _ = write!(id, "{hash:08x}");
    }
    id
}

fn slots(host: &str, port: u16, id: &str) -> Vec<u8> {
    let mut out = b"*1\r\n*3\r\n:0\r\n:16383\r\n*4\r\n".to_vec();
    out.extend(write::bulk(host.as_bytes()));
    out.extend(format!(":{port}\r\n").bytes());
    out.extend(write::bulk(id.as_bytes()));
    out.extend_from_slice(b"*0\r\n");
    out
}

fn shards(host: &str, port: u16, id: &str, proto: Proto) -> Vec<u8> {
    let map = |fields: usize| match proto {
        Proto::Resp2 => format!("*{}\r\n", 2 * fields),
        Proto::Resp3 => format!("%{fields}\r\n"),
    };
    let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    let field = |name: &str, value: &str| bulk(name) + value;
    let node = [
        field("id", &bulk(id)),
        field("port", &format!(":{port}\r\n")),
        field("tls-port", &format!(":{port}\r\n")),
        field("ip", &bulk(host)),
        field("endpoint", &bulk(host)),
        field("role", &bulk("master")),
        field("replication-offset", ":0\r\n"),
        field("health", &bulk("online")),
    ];
    let nodes = format!("*1\r\n{}{}", map(node.len()), node.concat());
    let shard = [field("slots", "*2\r\n:0\r\n:16383\r\n"), field("nodes", &nodes)];
    format!("*1\r\n{}{}", map(shard.len()), shard.concat()).into_bytes()
}

fn info() -> String {
    "cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\ncluster_slots_pfail:0\r\n\
     cluster_slots_fail:0\r\ncluster_known_nodes:1\r\ncluster_size:1\r\ncluster_current_epoch:1\r\ncluster_my_epoch:1\r\n\
     cluster_stats_messages_sent:0\r\ncluster_stats_messages_received:0\r\ntotal_cluster_links_buffer_limit_exceeded:0\r\n"
        .to_owned()
}

/// Text as Redis sends it: verbatim in RESP3.
fn text(text: &str, proto: Proto) -> Vec<u8> {
    match proto {
        Proto::Resp2 => write::bulk(text.as_bytes()),
        Proto::Resp3 => format!("={}\r\ntxt:{text}\r\n", text.len() + 4).into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::cluster::{Endpoint, Map};

    fn answer(words: &[&[u8]], at: &str, proto: Proto) -> Vec<u8> {
        match about(words, at, proto) {
            About::Answer(answer) => answer,
            About::Slot(_) | About::Any | About::Refuse => panic!("{words:?} has no answer"),
        }
    }

    #[test]
    fn the_gateway_is_one_node_with_every_slot() {
        for (at, host) in [("10.1.2.3:6390", "10.1.2.3"), ("[::1]:6390", "::1")] {
            for proto in [Proto::Resp2, Proto::Resp3] {
                let slots = Map::of_slots(&answer(&[b"CLUSTER", b"Slots"], at, proto), "").expect("a map");
                let shards = answer(&[b"CLUSTER", b"SHARDS"], at, proto);
                for tls in [false, true] {
                    assert_eq!(Map::of_shards(&shards, "", tls).expect("a map"), slots);
                }
                assert_eq!(slots.hole(), 0);
                assert_eq!(slots.endpoints(), [(&Endpoint::new(host, 6390), true)]);
            }
        }
        let id = id("a:1");
        assert_eq!((id.len(), id == super::id("a:2")), (40, false));
    }

    #[test]
    fn what_is_about_a_slot_goes_to_its_node_and_what_is_about_servers_nowhere() {
        let to = |words: &[&[u8]]| about(words, "h:1", Proto::Resp2);
        assert!(matches!(to(&[b"cluster", b"countkeysinslot", b"7"]), About::Slot(7)));
        assert!(matches!(to(&[b"cluster", b"getkeysinslot", b"16384", b"1"]), About::Any));
        assert!(matches!(to(&[b"cluster", b"slots", b"x"]), About::Any));
        for sub in [&b"meet"[..], b"addslots", b"links", b"failover", b"reset", b"slot-stats"] {
            assert!(matches!(to(&[b"cluster", sub]), About::Refuse));
        }
        assert_eq!(answer(&[b"cluster", b"keyslot", b"123456789"], "h:1", Proto::Resp2), b":12739\r\n");
    }
}
