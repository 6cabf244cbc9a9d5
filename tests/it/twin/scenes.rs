//! The kinds of sessions, each drawn by chance from its seed.

use super::dice::Dice;
use super::phrases::SETTING;
use super::request::{Cuts, Request, Session, Step, cuts};
use super::words::Words;
use super::{scenes_of_bytes, scenes_of_two};

/// Makes a session of one kind.
type Make = fn(&Words, &mut Dice) -> Vec<Step>;

/// How often a kind is drawn, of the sum of all.
const KINDS: &[(&str, usize, Make)] = &[
    ("anything", 34, anything),
    ("keys", 10, keys),
    ("transaction", 14, transaction),
    ("hello and reset", 5, greetings),
    ("muted", 3, muted),
    ("subscriber alone", 4, subscriber),
    ("inline", 5, scenes_of_bytes::inline),
    ("sizes", 3, scenes_of_bytes::sizes),
    ("not a request", 5, scenes_of_bytes::broken),
    ("the end", 2, scenes_of_bytes::ends),
    ("watch and conflict", 5, scenes_of_two::watch),
    ("blocked and fed", 4, scenes_of_two::blocked),
    ("published to", 4, scenes_of_two::published),
    ("tracked", 3, scenes_of_two::tracked),
    ("monitored", 1, monitored),
];

/// The session of this seed.
pub(crate) fn session(words: &Words, seed: u64) -> Session {
    let mut dice = Dice::new(seed);
    let mut drawn = dice.below(KINDS.iter().map(|kind| kind.1).sum());
    let (kind, _, make) = *KINDS
        .iter()
        .find(|kind| {
            let here = drawn < kind.1;
            drawn = drawn.wrapping_sub(kind.1);
            here
        })
        .unwrap_or(&KINDS[0]);
    let user = match dice.below(10) {
        0..3 => "root",
        3 if kind != "tracked" => "narrow",
        _ => "app",
    };
    let user = if kind == "monitored" { "root" } else { user };
    let mut steps = Vec::new();
    let mut made = make(words, &mut dice);
    if dice.below(10) < 7 && kind != "hello and reset" {
        steps.push(Step::typed(0, SETTING));
    }
    steps.append(&mut made);
    if user == "narrow" {
        steps.iter_mut().flat_map(|step| &mut step.requests).for_each(|request| within(request, &mut dice));
    }
    Session { kind, user, fresh: dice.one_in(12), loses_auth: words.loses_auth, steps }.sealed()
}

/// Most keys of a user that may reach only keys of one beginning get it.
fn within(request: &mut Request, dice: &mut Dice) {
    if request.args.is_empty() || request.bytes[0] != b'*' || dice.one_in(5) {
        return;
    }
    let args = request.args.iter().enumerate().map(|(at, arg)| {
        let is_key = at > 0 && super::words::KEYS.iter().any(|key| key.as_bytes() == arg);
        if is_key { [b"narrow:", arg.as_slice()].concat() } else { arg.clone() }
    });
    *request = Request::new(args.collect());
}

/// Requests, written in pipelines of any length.
pub(super) fn pipelines(connection: usize, requests: Vec<Request>, dice: &mut Dice) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = requests.into_iter().peekable();
    while rest.peek().is_some() {
        let count = match dice.below(6) {
            0 | 1 => 1,
            2 | 3 => dice.between(1, 5),
            _ => dice.between(3, 50),
        };
        let requests = rest.by_ref().take(count).collect();
        steps.push(Step { cuts: cuts(dice), ..Step::new(connection, requests) });
    }
    steps
}

fn anything(words: &Words, dice: &mut Dice) -> Vec<Step> {
    let count = if dice.one_in(20) { 50 } else { dice.between(3, 25) };
    let requests = (0..count).map(|_| words.any(dice)).collect();
    pipelines(0, requests, dice)
}

/// Nothing but what shares a link, over several databases.
fn keys(words: &Words, dice: &mut Dice) -> Vec<Step> {
    let mut requests: Vec<Request> = Vec::new();
    for _ in 0..dice.between(3, 25) {
        if dice.one_in(6) {
            requests.push(Request::typed(dice.pick(&[
                "SELECT 0",
                "SELECT 1",
                "SELECT 2",
                "SELECT 15",
                "SELECT 16",
            ])));
        }
        requests.push(words.about_keys(dice));
    }
    pipelines(0, requests, dice)
}

/// Transactions of all lengths: right, wrong, nested, left open, with what does not belong inside.
fn transaction(words: &Words, dice: &mut Dice) -> Vec<Step> {
    let mut requests: Vec<Request> = Vec::new();
    for _ in 0..dice.between(1, 3) {
        if dice.one_in(3) {
            requests.push(Request::typed(dice.pick(&["WATCH s", "WATCH none s", "UNWATCH", "WATCH"])));
            if dice.one_in(3) {
                requests.push(Request::typed("SET s changed"));
            }
        }
        requests.push(Request::typed("MULTI"));
        for _ in 0..dice.below(7) {
            requests.push(match dice.below(24) {
                0 => Request::typed("MULTI"),
                1 => Request::typed(dice.pick(&["WATCH s", "UNWATCH"])),
                2 => Request::typed(dice.pick(&["GET", "NOSUCH a", "SET s", "EVAL return(1)", "EXEC x"])),
                3 => {
                    Request::typed(dice.pick(&["SELECT 2", "SELECT 99", "SELECT abc", "SELECT 0", "SELECT"]))
                }
                4 => words.any(dice),
                5 => Request::typed(dice.pick(&[
                    "CLIENT SETNAME in",
                    "CLIENT GETNAME",
                    "CLIENT ID",
                    "CLIENT NO-EVICT ON",
                ])),
                6 => Request::typed(dice.pick(&[
                    "SUBSCRIBE c1",
                    "UNSUBSCRIBE",
                    "PSUBSCRIBE c*",
                    "SSUBSCRIBE sh1",
                ])),
                7 => Request::typed(dice.pick(&[
                    "HELLO",
                    "HELLO 3",
                    "HELLO 2",
                    "AUTH nobody wrong",
                    "HELLO 9",
                ])),
                8 => Request::typed(dice.pick(&[
                    "BLPOP none 0.001",
                    "BLPOP l 0.02",
                    "XREAD BLOCK 1 STREAMS none 0",
                    "WAIT 1 1",
                ])),
                9 => Request::typed(dice.pick(&[
                    "DEBUG SLEEP 0",
                    "CONFIG SET maxmemory-samples 5",
                    "SAVE x",
                    "SYNC x",
                ])),
                _ => words.about_keys(dice),
            });
        }
        requests.push(Request::typed(
            dice.pick(&["EXEC", "EXEC", "EXEC", "EXEC", "EXEC", "DISCARD", "RESET", "PING"]),
        ));
        if dice.one_in(2) {
            requests.push(Request::typed(dice.pick(&[
                "GET s",
                "CLIENT GETNAME",
                "PING",
                "EXEC",
                "DISCARD",
                "HGETALL h",
            ])));
        }
    }
    match dice.below(3) {
        // In one piece.
        0 => vec![Step { cuts: cuts(dice), ..Step::new(0, requests) }],
        // Each by itself.
        1 => requests.into_iter().map(|request| Step::new(0, vec![request])).collect(),
        _ => pipelines(0, requests, dice),
    }
}

/// The protocol version up and down, names, databases, and RESET in between.
fn greetings(words: &Words, dice: &mut Dice) -> Vec<Step> {
    let state = [
        "HELLO 3",
        "HELLO 2",
        "HELLO",
        "HELLO 3 SETNAME me",
        "HELLO 5",
        "RESET",
        "RESET",
        "SELECT 3",
        "CLIENT SETNAME me",
        "CLIENT GETNAME",
        "WATCH s",
        "MULTI",
        "EXEC",
        "DISCARD",
        "SUBSCRIBE c1",
        "PSUBSCRIBE c*",
        "SSUBSCRIBE sh1",
        "UNSUBSCRIBE",
        "PUNSUBSCRIBE",
        "SUNSUBSCRIBE",
        "ACL WHOAMI",
        "HGETALL h",
        "GET none",
        "ZSCORE z a",
        "SMISMEMBER t m1",
        "PING",
        "CLIENT TRACKING ON BCAST",
        "CLIENT TRACKING OFF",
        "CLIENT NO-EVICT ON",
        "BLPOP none 0.002",
        "CLIENT TRACKINGINFO",
        "CLIENT SETINFO LIB-NAME x",
        "CLIENT REPLY ON",
        "CLIENT GETREDIR",
        "ECHO here",
        "PUBLISH c1 self",
        "SPUBLISH sh1 self",
        "EVAL redis.setresp(3);return({double=1.5}) 0",
        "DEBUG PROTOCOL attrib",
        "DEBUG PROTOCOL bignum",
        "DEBUG PROTOCOL push",
    ];
    let mut requests: Vec<Request> = Vec::new();
    for _ in 0..dice.between(4, 25) {
        requests.push(if dice.one_in(6) { words.any(dice) } else { Request::typed(dice.pick(&state)) });
    }
    pipelines(0, requests, dice)
}

/// CLIENT REPLY. A step that ends without a reply would say nothing of when it has run, so each
/// ends with one.
fn muted(words: &Words, dice: &mut Dice) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..dice.between(1, 4) {
        let mut requests = Vec::new();
        for _ in 0..dice.between(1, 6) {
            requests.push(match dice.below(4) {
                0 => Request::typed("CLIENT REPLY SKIP"),
                1 => Request::typed("CLIENT REPLY OFF"),
                2 => Request::typed(dice.pick(&[
                    "GET s",
                    "SET s silent",
                    "INCR n",
                    "MULTI",
                    "EXEC",
                    "SELECT 2",
                    "NOSUCH",
                    "HELLO 3",
                    "CLIENT ID",
                ])),
                _ => words.about_keys(dice),
            });
        }
        requests.push(Request::typed("CLIENT REPLY ON"));
        requests.push(Request::typed("ECHO heard"));
        steps.push(Step { cuts: cuts(dice), ..Step::new(0, requests) });
    }
    steps
}

/// What a subscribed connection may say, and what not, in both protocol versions.
fn subscriber(words: &Words, dice: &mut Dice) -> Vec<Step> {
    let turns = [
        "SUBSCRIBE c1",
        "SUBSCRIBE c1 c2 c3",
        "SUBSCRIBE c1 c1",
        "UNSUBSCRIBE",
        "UNSUBSCRIBE c1",
        "UNSUBSCRIBE nope",
        "PSUBSCRIBE c*",
        "PSUBSCRIBE * c?",
        "PUNSUBSCRIBE",
        "PUNSUBSCRIBE c*",
        "SSUBSCRIBE sh1",
        "SSUBSCRIBE sh1 sh2",
        "SUNSUBSCRIBE",
        "SUNSUBSCRIBE sh1",
        "PING",
        "PING hello",
        "GET s",
        "PUBLISH c1 self",
        "SPUBLISH sh1 self",
        "PUBSUB NUMSUB c1",
        "PUBSUB CHANNELS",
        "MULTI",
        "EXEC",
        "CLIENT GETNAME",
        "SUBSCRIBE",
        "HELLO 3",
        "HELLO 2",
        "RESET",
        "SELECT 1",
        "ECHO x",
        "CLIENT INFO",
        "NOSUCH",
        "BLPOP none 0.002",
        "GET",
    ];
    let mut requests: Vec<Request> = Vec::new();
    if dice.one_in(2) {
        requests.push(Request::typed("HELLO 3"));
    }
    for _ in 0..dice.between(3, 20) {
        requests.push(if dice.one_in(8) { words.any(dice) } else { Request::typed(dice.pick(&turns)) });
    }
    pipelines(0, requests, dice)
}

/// MONITOR and the way out of it.
fn monitored(_words: &Words, dice: &mut Dice) -> Vec<Step> {
    let mut steps = vec![Step::typed(0, &["PING", "MONITOR"])];
    steps.push(Step::typed(1, &["SET s seen", "GET s"]));
    if dice.one_in(2) {
        steps.push(Step::typed(0, &["RESET"]));
        steps.push(Step { cuts: Cuts::Bytes, ..Step::typed(0, &["GET s", "CLIENT GETNAME"]) });
    }
    steps
}
