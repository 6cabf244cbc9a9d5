//! Commands whose keys are not at the usual place: the first argument of a command, none of a
//! subcommand. `tests/commands` holds them against what live servers say.

use super::keys::{FIRST, Keys};

const fn range(first: u8, last: i8, step: u8) -> Keys {
    Keys::Range { first, last, step }
}

const fn counted(count: u8, other: u8) -> Keys {
    Keys::Counted { count, step: 1, other }
}

/// Places, and the commands that have their keys there.
const PLACES: [(Keys, &str); 15] = [
    (
        Keys::None,
        "acl asking auth backup bgrewriteaof bgsave client cluster command commandlog config dbsize debug discard \
         echo exec failover flushall flushdb ft.aggregate ft.hybrid ft.profile ft.search function hello himport host: \
         hotkeys info keys lastsave latency lolwut memory module monitor multi object pfselftest ping post psubscribe \
         psync publish pubsub punsubscribe quit randomkey readonly readwrite replconf replicaof reset respgate role \
         save scan script select sentinel shutdown slaveof slowlog subscribe swapdb sync time \
         trimslots unsubscribe unwatch wait waitaof xgroup xinfo",
    ),
    (
        range(1, -1, 1),
        "del exists mget pfcount pfmerge sdiff sdiffstore sinter sinterstore ssubscribe sunion sunionstore sunsubscribe \
         touch unlink watch",
    ),
    (
        range(1, 2, 1),
        "blmove blmovem brpoplpush copy geosearchstore lcs lmove lmovem rename renamenx rpoplpush smove zrangestore",
    ),
    (range(1, -2, 1), "blpop brpop bzpopmax bzpopmin"),
    (range(1, -1, 2), "mset msetnx"),
    (range(2, -1, 1), "bitop"),
    (
        range(2, 2, 1),
        "himport|set memory|usage object|encoding object|freq object|idletime object|refcount pfdebug xgroup|create \
         xgroup|createconsumer xgroup|delconsumer xgroup|destroy xgroup|setid xinfo|consumers xinfo|groups \
         xinfo|stream",
    ),
    (counted(2, 0), "blmpop bzmpop eval eval_ro evalsha evalsha_ro fcall fcall_ro tfcall tfcallasync"),
    (counted(1, 0), "lmpop sdiffcard sintercard sunioncard zdiff zinter zintercard zmpop zunion"),
    (counted(2, 1), "zdiffstore zinterstore zunionstore"),
    (Keys::Counted { count: 1, step: 2, other: 0 }, "msetex"),
    (Keys::Streams, "xread xreadgroup"),
    (Keys::Named { from: 2, words: &["store"] }, "sort"),
    (Keys::Named { from: 5, words: &["store", "storedist"] }, "georadius georadiusbymember"),
    (Keys::Migrate, "migrate"),
];

/// The place of a command's keys.
pub(super) fn find(name: &str) -> Keys {
    let listed = PLACES.iter().find(|(_, names)| names.split_whitespace().any(|own| own == name));
    match listed {
        Some(&(keys, _)) => keys,
        None if name.contains('|') => Keys::None,
        None => FIRST,
    }
}
