//! The command table held against what live servers say of their commands: each is in it,
//! and has a class that fits its flags.

mod facts;
mod keys;

use std::collections::{BTreeMap, BTreeSet};

use facts::{Fact, all};
use respgate::command::{Class, Commands, Row, Why, rows};
use respgate::resp::{Found, RequestLimits, RequestScanner};

/// What Redis calls administrative, dangerous, not for scripts or the connection's own, and
/// shares a link all the same. Redis' ACL decides about each; this is why the gateway need not.
const SHARED_ON_PURPOSE: [(&str, &str); 8] = [
    (
        "tells of users and changes none",
        "acl|cat acl|dryrun acl|genpass acl|getuser acl|list acl|log acl|users acl|whoami",
    ),
    (
        "tells of the server, as INFO does, or forgets counts",
        "client|help client|list cluster|count-failure-reports cluster|getslotmigrations cluster|replicas \
         cluster|slaves config|get config|resetstat info lastsave role",
    ),
    (
        "tells what was slow or often asked for, or forgets that",
        "commandlog|get commandlog|len commandlog|reset hotkeys|get hotkeys|reset hotkeys|start hotkeys|stop \
         latency|doctor latency|graph latency|histogram latency|history latency|latest latency|reset \
         slowlog|get slowlog|len slowlog|reset",
    ),
    (
        "tells of commands",
        "command|count command|docs command|getkeys command|getkeysandflags command|help \
         command|info command|list",
    ),
    ("the same over any connection", "echo ping"),
    ("everybody's data, as DEL is", "flushall flushdb keys restore restore-asking sort sort_ro swapdb"),
    (
        "a fence follows",
        "eval eval_ro evalsha evalsha_ro fcall fcall_ro function|load function|restore script|load",
    ),
    (
        "scripts and functions are the server's, not the connection's",
        "function|delete function|dump function|flush function|list script|exists script|flush script|show",
    ),
];

/// What leaves something behind in its connection, or is answered with more or less than one reply.
const NOT_FOR_SHARED_LINKS: &str = "asking auth client|caching client|capa client|import-source client|no-evict \
    client|no-touch client|reply client|setinfo client|setname client|tracking cluster|syncslots debug discard exec \
    hello himport|discard himport|discardall himport|prepare himport|set monitor multi psubscribe psync \
    punsubscribe quit readonly readwrite replconf reset script|debug select shutdown ssubscribe subscribe \
    sunsubscribe sync unsubscribe unwatch watch";

/// Commands that no COMMAND lists: the gateway's own, those of programs that take Redis for
/// something else, of Redis Enterprise, of Sentinel and of modules; and COMMAND by itself.
const LISTED_NOWHERE: &str = "client|maint_notifications command| ft.aggregate ft.hybrid ft.profile ft.search host: \
    post respgate sentinel tfcall tfcallasync";

fn table() -> BTreeMap<&'static str, &'static Row> {
    rows().map(|row| (row.name, row)).collect()
}

/// Whether requests of this class travel beside those of others.
fn shares(class: Class) -> bool {
    matches!(class, Class::Share | Class::Script | Class::BlockOption)
}

fn unknown<'a>(facts: impl Iterator<Item = Fact<'a>>) -> BTreeSet<&'a str> {
    let commands = Commands::new();
    facts.map(|fact| fact.name).filter(|name| !commands.knows(name)).collect()
}

#[test]
fn every_command_of_every_server_is_in_the_table() {
    assert_eq!(unknown(all()), BTreeSet::new(), "give each a line in src/command");
}

#[test]
fn a_command_that_the_table_lacks_is_found() {
    let newer = ["brandnew 2 fast,write 1,1,1 @write", "client|brandnew 3 - 0,0,0 -", "get 2 - 1,1,1 -"];
    assert_eq!(unknown(newer.into_iter().map(Fact::read)), BTreeSet::from(["brandnew", "client|brandnew"]));
}

#[test]
fn every_line_of_the_table_is_some_servers_command() {
    let told: BTreeSet<&str> = all().map(|fact| fact.name).collect();
    let nowhere: Vec<&str> = rows().map(|row| row.name).filter(|name| !told.contains(name)).collect();
    let mut listed: Vec<&str> = LISTED_NOWHERE.split_whitespace().collect();
    listed.sort_by_key(|name| (name.contains('|'), *name));
    assert_eq!(nowhere, listed);
}

#[test]
fn what_a_replica_may_answer_is_what_every_server_calls_reading() {
    let commands = Commands::new();
    let is_read = |name: &str| {
        let (container, sub) = name.split_once('|').unwrap_or((name, "key"));
        let text = format!("*2\r\n${}\r\n{container}\r\n${}\r\n{sub}\r\n", container.len(), sub.len());
        let limits = RequestLimits { args_max: 8, bulk_bytes_max: 64 };
        let found = RequestScanner::default().scan(text.as_bytes(), limits);
        let Ok(Found::Request(request)) = found else { panic!("{name}: {found:?}") };
        commands.reads(text.as_bytes(), &request)
    };
    let reads: BTreeSet<&str> = all().filter(|fact| is_read(fact.name)).map(|fact| fact.name).collect();
    assert!(reads.len() > 60, "{reads:?}");
    for fact in all().filter(|fact| reads.contains(fact.name)) {
        assert!(fact.is("readonly") && !fact.is("write") && !fact.is("admin"), "{fact:?}");
    }
    for name in
        ["set", "getex", "getdel", "eval", "fcall", "scan", "hscan", "sort", "georadius", "object|freq"]
    {
        assert!(!is_read(name), "{name}");
    }
}

#[test]
fn what_waits_does_not_wait_on_a_shared_link() {
    let table = table();
    let mut waits = BTreeSet::new();
    for fact in all().filter(|fact| fact.is("blocking")) {
        let class = table[fact.name].class;
        assert!(matches!(class, Class::Pin(Why::Block) | Class::BlockOption | Class::Wait), "{fact:?}");
        waits.insert(fact.name);
    }
    assert!(waits.len() > 10, "{waits:?}");
    let pinned = |name: &&str| matches!(table[*name].class, Class::Pin(Why::Block));
    let told: BTreeSet<&str> = all().map(|fact| fact.name).filter(pinned).collect();
    let waits: BTreeSet<&str> = waits.into_iter().filter(pinned).chain(["shutdown"]).collect();
    assert_eq!(told, waits, "SHUTDOWN waits for replicas, and says it nowhere");
}

#[test]
fn subscriptions_are_what_redis_says_they_are() {
    let table = table();
    let subscribes = |name: &str| matches!(table[name].class, Class::Subscribe(_) | Class::Unsubscribe(_));
    for fact in all() {
        assert_eq!(fact.is("pubsub") && fact.is("noscript"), subscribes(fact.name), "{fact:?}");
    }
}

#[test]
fn every_command_that_redis_marks_is_decided_on() {
    let table = table();
    let marks = ["admin", "noscript", "no_multi", "no_auth", "@admin", "@dangerous", "@connection"];
    let marked = all().filter(|fact| marks.iter().any(|mark| fact.is(mark)));
    let shared: BTreeSet<&str> = marked
        .map(|fact| fact.name)
        .filter(|name| shares(table[name].class) && !table[name].guarded)
        .collect();
    let on_purpose: Vec<&str> =
        SHARED_ON_PURPOSE.iter().flat_map(|(_, names)| names.split_whitespace()).collect();
    assert_eq!(shared, on_purpose.iter().copied().collect());
    assert_eq!(shared.len(), on_purpose.len(), "one has two reasons");
}

#[test]
fn what_changes_the_connection_or_is_not_answered_once_does_not_share() {
    let table = table();
    for name in NOT_FOR_SHARED_LINKS.split_whitespace() {
        assert!(!shares(table[name].class) && table[name].class != Class::Control, "{name}");
    }
}

#[test]
fn what_reaches_other_tenants_or_the_host_is_guarded() {
    // Everything that Redis calls administrative and that changes something.
    let table = table();
    let open: BTreeSet<&str> = all()
        .filter(|fact| fact.is("admin"))
        .map(|fact| fact.name)
        .filter(|name| !table[name].guarded)
        .collect();
    let on_purpose = SHARED_ON_PURPOSE[..3].iter().flat_map(|(_, names)| names.split_whitespace());
    let mut expected: BTreeSet<&str> =
        on_purpose.filter(|name| all().any(|fact| fact.name == *name && fact.is("admin"))).collect();
    // The gateway keeps it for its client, and Redis is not told.
    expected.insert("client|no-evict");
    assert_eq!(open, expected);
}
