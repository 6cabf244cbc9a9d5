//! Where keys are and which slot they hash to, as live servers say.

use respgate::command::Keys;
use respgate::command::slot::slot;

use super::nodes::Cluster;
use crate::backend::{Redis, Version};

/// Requests of every place that a key can be at, with all that makes it hard to tell.
const REQUESTS: &str = "get a|set a 1 ex 3|mget a b c|mset a 1 b 2|del a b|unlink a|bitop and d a b|blpop a b 0|\
    bzpopmin a b 0|blmove a b left right 0|brpoplpush a b 0|rename a b|copy a b replace|smove a b m|lcs a b|\
    geosearchstore d a fromlonlat 1 1 byradius 1 m|zrangestore d a 0 1|object encoding a|memory usage a|\
    xgroup create a g $|xinfo stream a|pfcount a b|pfmerge a b|sinterstore d a b|watch a b|\
    eval x 2 a b c|eval x 1 a|evalsha x 1 a b|fcall f 2 a b c|fcall_ro f 1 a|lmpop 2 a b left|\
    blmpop 0 2 a b left|zmpop 1 a min|bzmpop 0 1 a min|zunion 2 a b|zinter 2 a b withscores|zdiff 1 a|\
    zintercard 2 a b|sintercard 2 a b limit 3|zunionstore d 2 a b weights 1 2|zinterstore d 1 a|zdiffstore d 1 a|\
    xread count 2 streams a b 0 0|xread block 0 count 1 streams a 0|xread streams streams 0|\
    xreadgroup group streams streams block 1 streams a >|xreadgroup group g c noack streams a b > >|\
    sort a by w_* get # store d|sort a limit 0 1 store d store e|sort a|sort_ro a|georadius a 1 2 3 m store d|\
    georadius a 1 2 3 m storedist d|georadius a 1 2 3 m|georadiusbymember a m 3 m storedist d|\
    migrate h 1 a 0 9|migrate h 1 a 0 9 copy keys|zadd a 1 m|xadd a * f v|append a b|restore a 0 x";

#[test]
fn live_servers_find_the_same_keys() {
    for version in Version::ALL {
        let directory = tempfile::tempdir().expect("a directory");
        let redis = Redis::start(version, directory.path(), &[]);
        let mut root = redis.client("root");
        for line in REQUESTS
            .split('|')
            .chain(if version == Version::Valkey9 { &["msetex 2 a 1 b 2"][..] } else { &[] }.iter().copied())
        {
            let words: Vec<&str> = line.split_whitespace().collect();
            let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            let name = [words[0], words[1]].join("|");
            let name =
                if ["object", "memory", "xgroup", "xinfo"].contains(&words[0]) { &name } else { words[0] };
            let ours: Vec<&str> = Keys::of(name).of_args(&args).into_iter().map(|at| words[at]).collect();
            let theirs = root.call(&[&["COMMAND", "GETKEYS"], &words[..]].concat());
            let theirs: Vec<String> =
                theirs.items().iter().map(|key| String::from_utf8_lossy(key.bytes()).into_owned()).collect();
            assert_eq!(ours, theirs, "{version:?}: {line}");
        }
    }
}

#[test]
fn live_servers_hash_keys_to_the_same_slots() {
    let cluster = Cluster::start(Version::System, 1, 0);
    let mut root = cluster.client(0, "root");
    let mut keys: Vec<Vec<u8>> = (0..300).map(|number| format!("key:{number}").into_bytes()).collect();
    keys.extend((0..=255).map(|byte| vec![byte, 0, byte ^ 0x55]));
    for key in ["", "{}", "{a}b", "x{a}{b}", "{{a}}", "a{}{b}", "}{", "{", "a{b", "foo{{bar}}zap"] {
        keys.push(key.into());
    }
    for key in keys {
        let reply = root.call(&[&b"CLUSTER"[..], b"KEYSLOT", &key]).to_string();
        assert_eq!(reply, format!(":{}", slot(&key)), "{}", key.escape_ascii());
    }
}
