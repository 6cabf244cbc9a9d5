//! What of two replies has to be the same: all of it, except for a short list of commands whose
//! replies differ between any two servers. Errors are always compared whole.

use super::frames::{kinds, unordered};

/// How two replies are compared. The later ones ask for less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Compare {
    /// Byte for byte.
    Exact,
    /// The elements of aggregates in any order.
    Unordered,
    /// Types, counts and nulls; not the values.
    Kinds,
    /// The type of the reply.
    Type,
}

/// The commands that are not compared byte for byte, how they are, and why.
const LOOSE: &[(&str, Compare, &str)] = &[
    ("acl|cat", Compare::Unordered, "the order of a hash table, seeded at start"),
    ("acl|genpass", Compare::Kinds, "random"),
    ("acl|getuser", Compare::Type, "the twin's users are denied what the gateway guards"),
    ("acl|list", Compare::Type, "the twin's users are denied what the gateway guards"),
    ("acl|log", Compare::Type, "ids, ages and addresses"),
    ("client|id", Compare::Kinds, "exception `client-ids`"),
    ("client|info", Compare::Type, "ids, ages, addresses and sizes; exception `client-info`"),
    ("client|list", Compare::Type, "exception `client-list`"),
    ("client|trackinginfo", Compare::Unordered, "prefixes in the order of a tree"),
    ("client|getredir", Compare::Kinds, "exception `client-ids`"),
    ("command", Compare::Unordered, "the order of a hash table, seeded at start"),
    ("command|docs", Compare::Unordered, "the order of a hash table, seeded at start"),
    ("command|info", Compare::Unordered, "the order of a hash table, seeded at start"),
    ("command|list", Compare::Unordered, "the order of a hash table, seeded at start"),
    ("commandlog|get", Compare::Type, "ids and times; links say HELLO, AUTH and ECHO too"),
    ("commandlog|len", Compare::Kinds, "what was slow"),
    ("config|get", Compare::Unordered, "the order of a hash table, seeded at start"),
    ("debug", Compare::Type, "addresses and times"),
    ("dbsize", Compare::Kinds, "keys that have expired and are still counted"),
    ("dump", Compare::Kinds, "of a set: the order of a hash table, seeded at start"),
    ("expiretime", Compare::Kinds, "time"),
    ("function|list", Compare::Unordered, "the order of a hash table, seeded at start"),
    ("function|stats", Compare::Unordered, "the order of a hash table, seeded at start"),
    ("hexpiretime", Compare::Kinds, "time"),
    ("hgetall", Compare::Unordered, "the order of a hash table, seeded at start"),
    ("hkeys", Compare::Unordered, "the order of a hash table, seeded at start"),
    ("hpexpiretime", Compare::Kinds, "time"),
    ("hpttl", Compare::Kinds, "time"),
    ("hrandfield", Compare::Type, "random"),
    ("hscan", Compare::Type, "cursors, and the order of a hash table, seeded at start"),
    ("httl", Compare::Kinds, "time"),
    ("hvals", Compare::Unordered, "the order of a hash table, seeded at start"),
    ("info", Compare::Type, "times, counts and sizes"),
    ("keys", Compare::Unordered, "the order of a hash table, seeded at start"),
    ("lastsave", Compare::Kinds, "time"),
    ("latency", Compare::Type, "times and counts"),
    ("lolwut", Compare::Type, "random"),
    ("memory|doctor", Compare::Type, "sizes"),
    ("memory|malloc-stats", Compare::Type, "sizes"),
    ("memory|stats", Compare::Type, "sizes"),
    ("memory|usage", Compare::Kinds, "sizes"),
    ("object|freq", Compare::Kinds, "time"),
    ("object|idletime", Compare::Kinds, "time"),
    ("pexpiretime", Compare::Kinds, "time"),
    ("pttl", Compare::Kinds, "time"),
    ("pubsub|channels", Compare::Unordered, "the order of a hash table, seeded at start"),
    ("pubsub|shardchannels", Compare::Unordered, "the order of a hash table, seeded at start"),
    ("randomkey", Compare::Kinds, "random"),
    ("role", Compare::Kinds, "offsets"),
    ("scan", Compare::Type, "cursors, and the order of a hash table, seeded at start"),
    ("sdiff", Compare::Unordered, "the order of a hash table, seeded at start"),
    ("sinter", Compare::Unordered, "the order of a hash table, seeded at start"),
    ("slowlog", Compare::Type, "ids and times; links say HELLO, AUTH and ECHO too"),
    ("smembers", Compare::Unordered, "the order of a hash table, seeded at start"),
    ("sort", Compare::Unordered, "unsorted sets: the order of a hash table, seeded at start"),
    ("sort_ro", Compare::Unordered, "unsorted sets: the order of a hash table, seeded at start"),
    ("spop", Compare::Unordered, "the order of a hash table, seeded at start"),
    ("srandmember", Compare::Type, "random"),
    ("sscan", Compare::Type, "cursors, and the order of a hash table, seeded at start"),
    ("sunion", Compare::Unordered, "the order of a hash table, seeded at start"),
    ("time", Compare::Kinds, "time"),
    ("ttl", Compare::Kinds, "time"),
    ("vinfo", Compare::Type, "random levels"),
    ("vlinks", Compare::Type, "random levels"),
    ("vrandmember", Compare::Type, "random"),
    ("xautoclaim", Compare::Kinds, "time"),
    ("xclaim", Compare::Kinds, "time"),
    ("xinfo", Compare::Type, "time"),
    ("xpending", Compare::Kinds, "time"),
    ("zrandmember", Compare::Type, "random"),
    ("zscan", Compare::Type, "cursors, and the order of a hash table, seeded at start"),
];

/// How the replies to this command are compared.
pub(crate) fn of(args: &[Vec<u8>]) -> Compare {
    let lower = |at: usize| args.get(at).map(|word| String::from_utf8_lossy(word).to_lowercase());
    let Some(name) = lower(0) else { return Compare::Exact };
    let both = lower(1).map(|sub| format!("{name}|{sub}"));
    let found = LOOSE.iter().find(|(loose, ..)| *loose == name || Some(*loose) == both.as_deref());
    match found {
        // With subcommands of its own, COMMAND alone is the loose one.
        Some(("xadd", ..)) | None if is_timed_entry(&name, args) || is_race(&name, args) => Compare::Kinds,
        Some((_, compare, _)) => *compare,
        None => Compare::Exact,
    }
}

/// XADD with an id of the server's clock.
fn is_timed_entry(name: &str, args: &[Vec<u8>]) -> bool {
    name == "xadd" && args.iter().any(|arg| arg.ends_with(b"*"))
}

/// A time from now held against another: which is the later depends on the millisecond.
fn is_race(name: &str, args: &[Vec<u8>]) -> bool {
    let is = |arg: &Vec<u8>, word: &[u8]| arg.eq_ignore_ascii_case(word);
    name.contains("expire") && args.iter().any(|arg| is(arg, b"GT") || is(arg, b"LT"))
}

/// Whether the replies are the same, as far as they have to be.
pub(crate) fn alike(compare: Compare, gateway: &[u8], twin: &[u8]) -> bool {
    if gateway == twin {
        return true;
    }
    let (gateway, twin) = (without_id(gateway), without_id(twin));
    gateway == twin
        || is_sort_by_chance(&gateway)
        || is_sort_by_chance(&twin)
        || match compare {
            Compare::Exact => false,
            _ if gateway[0] == b'-' || twin[0] == b'-' => false,
            Compare::Unordered => unordered(&gateway) == unordered(&twin),
            Compare::Kinds => kinds(&unordered(&gateway)) == kinds(&unordered(&twin)),
            Compare::Type => gateway[0] == twin[0],
        }
}

/// SORT asks `errno` whether a score was out of range without clearing it first (sort.c): after
/// `ZADD z 1e400 a`, from whomever, it fails on any scores, until a system call fails.
fn is_sort_by_chance(frame: &[u8]) -> bool {
    frame == b"-ERR One or more scores can't be converted into double\r\n"
}

/// HELLO tells the client's id, which is the gateway's.
fn without_id(frame: &[u8]) -> Vec<u8> {
    const FIELD: &[u8] = b"$2\r\nid\r\n:";
    let Some(at) = frame.windows(FIELD.len()).position(|window| window == FIELD) else {
        return frame.to_vec();
    };
    let start = at + FIELD.len();
    let digits = frame[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = without_id(&frame[start + digits..]);
    [&frame[..start], b"ID", &rest].concat()
}

#[test]
fn only_the_listed_commands_are_compared_loosely() {
    let words = |text: &str| text.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    assert_eq!(of(&words("GET k")), Compare::Exact);
    assert_eq!(of(&words("client ID")), Compare::Kinds);
    assert_eq!(of(&words("XADD s 1-1 f v")), Compare::Exact);
    assert_eq!(of(&words("XADD s * f v")), Compare::Kinds);
    assert!(LOOSE.windows(2).all(|pair| pair[0].0 != pair[1].0));
}

#[test]
fn errors_are_compared_whole_and_values_as_asked() {
    assert!(!alike(Compare::Type, b"-ERR a\r\n", b"-ERR b\r\n"));
    assert!(!alike(Compare::Kinds, b"-ERR a\r\n", b":1\r\n"));
    assert!(alike(Compare::Kinds, b":5\r\n", b":6\r\n"));
    assert!(!alike(Compare::Exact, b":5\r\n", b":6\r\n"));
    assert!(alike(Compare::Unordered, b"*2\r\n:1\r\n:2\r\n", b"*2\r\n:2\r\n:1\r\n"));
    let hello = |id: &str| format!("*4\r\n$2\r\nid\r\n:{id}\r\n$4\r\nmode\r\n$1\r\nx\r\n").into_bytes();
    assert!(alike(Compare::Exact, &hello("7"), &hello("1234")));
}
