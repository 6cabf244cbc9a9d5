//! Requests that are for several nodes at once: those whose keys may be in any slot are split by
//! slot, those about all keys go to all masters; and how the replies become one.

use bytes::Bytes;

use crate::command::Class;
use crate::command::slot::slot;
use crate::resp::write;
use crate::session::{Flight, Joined, To};
use crate::upstream::NodeId;

/// How a command with keys of several slots is split: arguments a key, and what its replies make.
pub(super) fn splits(name: &str) -> Option<(usize, Joined)> {
    match name {
        "mget" => Some((1, Joined::Placed(Vec::new()))),
        "mset" => Some((2, Joined::Same)),
        "del" | "unlink" | "exists" | "touch" => Some((1, Joined::Sum)),
        _ => None,
    }
}

/// A part of a request.
struct Part<'a> {
    slot: u16,
    words: Vec<&'a [u8]>,
    /// Which of the request's keys are its.
    keys: Vec<usize>,
}

/// Who is to answer such a request: for each of its keys, in their order.
pub(super) fn targets(args: &[&[u8]], step: usize) -> impl Iterator<Item = To> {
    args[1..].chunks(step).map(|key| To::Slot(slot(key[0])))
}

/// The parts of such a request, one a slot, in the order of their first keys.
pub(super) fn split(args: &[&[u8]], step: usize, joined: Joined) -> (Vec<Flight>, Joined) {
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (number, key) in args[1..].chunks(step).enumerate() {
        let slot = slot(key[0]);
        let place = *places.entry(slot).or_insert_with(|| {
            parts.push(Part { slot, words: vec![args[0]], keys: Vec::new() });
            parts.len() - 1
        });
        parts[place].words.extend_from_slice(key);
        parts[place].keys.push(number);
    }
    let flight = |part: &Part<'_>| Flight::new(Bytes::from(write::command(&part.words)), To::Slot(part.slot));
    let flights = parts.iter().map(flight).collect();
    let joined = match joined {
        Joined::Placed(_) => Joined::Placed(parts.into_iter().map(|part| part.keys).collect()),
        joined => joined,
    };
    (flights, joined)
}

/// What the replies of all masters make, for a command that goes to all of them.
pub(super) fn spreads(name: &str) -> Option<Joined> {
    match name {
        "dbsize" => Some(Joined::Sum),
        "keys" => Some(Joined::Appended),
        "randomkey" => Some(Joined::First),
        "script|exists" => Some(Joined::Least),
        "flushdb" | "flushall" | "script|load" | "script|flush" | "function|load" | "function|delete"
        | "function|flush" | "function|restore" => Some(Joined::Same),
        "script|kill" | "function|kill" => Some(Joined::Stopped),
        _ => None,
    }
}

/// A request of this class to each of these nodes.
pub(super) fn spread(bytes: &Bytes, nodes: &[NodeId], class: Class) -> Vec<Flight> {
    let (is_script, is_control) = (class == Class::Script, class == Class::Control);
    let flight = |node| Flight { is_script, is_control, ..Flight::new(bytes.clone(), To::Node(node)) };
    nodes.iter().copied().map(flight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::SmallBytes;

    #[test]
    fn keys_are_gathered_by_slot_and_their_values_put_back() {
        let args: [&[u8]; 5] = [b"MGET", b"a", b"b", b"{a}2", b"c"];
        let (flights, joined) = split(&args, 1, Joined::Placed(Vec::new()));
        let shown: Vec<_> = flights.iter().map(|flight| (flight.to, flight.bytes.clone())).collect();
        let part = |words: &[&[u8]]| (To::Slot(slot(words[1])), SmallBytes::from(write::command(words)));
        assert_eq!(shown, [part(&[b"MGET", b"a", b"{a}2"]), part(&[b"MGET", b"b"]), part(&[b"MGET", b"c"])]);
        assert_eq!(joined, Joined::Placed(vec![vec![0, 2], vec![1], vec![3]]));
        let (flights, _) = split(&[b"mset", b"a", b"1", b"b", b"2", b"{a}", b"3"], 2, Joined::Same);
        assert_eq!(flights.len(), 2);
        assert_eq!(*flights[0].bytes, write::command(&[b"mset", b"a", b"1", b"{a}", b"3"]));
    }
}
