//! Where the table has each command's keys, held against what live servers say. What their three
//! numbers cannot say is compared with COMMAND GETKEYS, in `tests/it/cluster/keys.rs`.

use std::collections::BTreeSet;

use respgate::command::Keys;

use crate::facts::{FILES, Fact};

/// Commands whose keys three numbers cannot tell.
const MOVABLE: &str = "blmpop bzmpop eval eval_ro evalsha evalsha_ro fcall fcall_ro georadius georadiusbymember \
    lmpop migrate msetex sdiffcard sintercard sort sunioncard xread xreadgroup zdiff zdiffstore zinter zintercard \
    zinterstore zmpop zunion zunionstore";

#[test]
fn keys_are_where_the_servers_numbers_say() {
    let mut movable = BTreeSet::new();
    for line in FILES.iter().flat_map(|(_, file)| file.lines()) {
        let fact = Fact::read(line);
        let keys = Keys::of(fact.name);
        match keys {
            Keys::None | Keys::Range { .. } => {
                // `name arity flags first,last,step categories`
                let numbers = line.split(' ').nth(3).expect("five fields").split(',');
                let numbers: Vec<i64> = numbers.filter_map(|it| it.parse().ok()).collect();
                let [first, last, step] = numbers[..] else { panic!("{line}") };
                assert_eq!(keys, Keys::told(first, last, step), "{fact:?}");
                // BY and GET of SORT name patterns, no keys.
                assert!(!fact.is("movablekeys") || fact.name == "sort_ro", "{fact:?}");
            }
            Keys::Counted { .. } | Keys::Streams | Keys::Named { .. } | Keys::Migrate => {
                assert!(fact.is("movablekeys"), "{fact:?}");
                movable.insert(fact.name);
            }
        }
    }
    assert_eq!(movable, MOVABLE.split_whitespace().collect());
}
