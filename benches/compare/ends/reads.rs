//! Which commands a replica may answer: those that change nothing, whose answer is the same at every
//! node that has the same data, and that leave nothing behind. Only what is listed here ever goes there.

/// In order. Not here, though Redis marks them as reading: SCAN, HSCAN, SSCAN and ZSCAN, whose cursors
/// mean something at one node alone; EVALSHA_RO, whose script was loaded at the master; OBJECT,
/// MEMORY and TOUCH, which are about the node that answers.
const READS: &[&str] = &[
    "bitcount", "bitfield_ro", "bitpos", "dbsize", "dump", "eval_ro", "exists", "expiretime", "fcall_ro",
    "geodist", "geohash", "geopos", "georadius_ro", "georadiusbymember_ro", "geosearch", "get", "getbit",
    "getrange", "hexists", "hexpiretime", "hget", "hgetall", "hkeys", "hlen", "hmget", "hpexpiretime", "hpttl",
    "hrandfield", "hstrlen", "httl", "hvals", "keys", "lcs", "lindex", "llen", "lpos", "lrange", "mget",
    "pexpiretime", "pfcount", "pttl", "randomkey", "scard", "sdiff", "sinter", "sintercard", "sismember",
    "smembers", "smismember", "sort_ro", "srandmember", "strlen", "substr", "sunion", "ttl", "type",
    "xinfo|consumers", "xinfo|groups", "xinfo|stream", "xlen", "xpending", "xrange", "xread", "xrevrange", "zcard",
    "zcount", "zdiff", "zinter", "zintercard", "zlexcount", "zmscore", "zrandmember", "zrange", "zrangebylex",
    "zrangebyscore", "zrank", "zrevrange", "zrevrangebylex", "zrevrangebyscore", "zrevrank", "zscore", "zunion",
];

/// Whether this command, as the table calls it, is one of them.
pub(super) fn is_read(name: &str) -> bool {
    READS.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Class, rows};

    #[test]
    fn what_reads_is_in_order_and_travels_beside_others() {
        assert!(READS.is_sorted());
        for name in READS {
            let row = rows().find(|row| row.name == *name).expect(name);
            assert!(matches!(row.class, Class::Share | Class::Script | Class::BlockOption), "{name}");
            assert!(!row.guarded, "{name}");
        }
    }
}
