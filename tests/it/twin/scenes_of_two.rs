//! Sessions in which one connection does what another sees. Each step waits for the replies of
//! the one before, so what happens first is the same for both servers.

use super::dice::Dice;
use super::request::{Request, Step, cuts};
use super::scenes::pipelines;
use super::words::Words;

/// A watches, B writes or not, A tries to commit.
pub(super) fn watch(words: &Words, dice: &mut Dice) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..dice.between(1, 3) {
        steps.push(Step::typed(
            0,
            &[dice.pick(&["WATCH s", "WATCH s n", "WATCH none", "WATCH x l"]), "GET s"],
        ));
        if dice.one_in(3) {
            steps.push(Step::typed(
                0,
                &[dice.pick(&["UNWATCH", "SELECT 1", "WATCH t", "HELLO 3", "SET n 5", "RESET"])],
            ));
        }
        if dice.one_in(3) {
            steps.push(Step::typed(0, &["MULTI", "GET s"]));
        }
        for _ in 0..dice.below(3) {
            let conflict = [
                "SET s 1",
                "DEL n",
                "SET none x",
                "LPUSH l q",
                "FLUSHALL",
                "EXPIRE s 1000",
                "SWAPDB 0 1",
                "GET s",
                "RENAME s n",
            ];
            let request =
                if dice.one_in(3) { words.about_keys(dice) } else { Request::typed(dice.pick(&conflict)) };
            steps.push(Step::new(1, vec![request]));
        }
        let last = [
            "MULTI",
            "SET s mine",
            dice.pick(&["INCR n", "GET s", "LLEN s"]),
            dice.pick(&["EXEC", "EXEC", "DISCARD"]),
            "GET s",
        ];
        let requests = last.iter().map(|text| Request::typed(text)).collect();
        steps.extend(pipelines(0, requests, dice));
    }
    steps
}

/// A waits for data, B brings it, or A's time ends.
pub(super) fn blocked(words: &Words, dice: &mut Dice) -> Vec<Step> {
    let mut steps = Vec::new();
    if dice.one_in(4) {
        steps.push(Step::typed(0, &["HELLO 3"]));
    }
    for _ in 0..dice.between(1, 3) {
        let (wait, bring) = dice.pick(&[
            ("BLPOP q1 0", "RPUSH q1 a"),
            ("BLPOP q0 q1 0", "RPUSH q1 a b c"),
            ("BRPOP q1 30", "LPUSH q1 a b"),
            ("BLMOVE q1 q2 LEFT RIGHT 0", "RPUSH q1 a"),
            ("BRPOPLPUSH q1 q2 0", "RPUSH q1 a"),
            ("BLMPOP 0 2 q0 q1 LEFT COUNT 2", "RPUSH q1 a b c"),
            ("BZPOPMIN q3 0", "ZADD q3 1 a 2 b"),
            ("BZPOPMAX q4 q3 0", "ZADD q3 1 a 2 b"),
            ("BZMPOP 0 1 q3 MAX", "ZADD q3 1 a 2 b"),
            ("XREAD BLOCK 0 STREAMS q5 0", "XADD q5 1-1 f v"),
            ("XREAD BLOCK 0 STREAMS q5 $", "XADD q5 99-1 f v"),
        ]);
        if dice.one_in(4) {
            let key = bring.split(' ').nth(1).unwrap_or_default();
            steps.push(Step::typed(1, &[&format!("DEL {key}")]));
        }
        // What is behind it waits too.
        let mut requests = vec![Request::typed(wait)];
        requests.extend((0..dice.below(3)).map(|_| words.plain(dice)));
        // A stream or list left over from the turn before may answer at once.
        let mut two = false;
        steps.push(Step { cuts: cuts(dice), ..Step::new(0, requests).blocking(1) });
        if dice.one_in(3) {
            two = true;
            steps.push(Step::typed(2, &[wait]).blocking(2));
        }
        if dice.one_in(3) {
            steps.push(Step::typed(1, &[dice.pick(&["PING", "SET s other", "DBSIZE"])]).blocking(2));
        }
        for _ in 0..if two { 2 } else { 1 } {
            let commands = if dice.one_in(6) { vec!["MULTI", bring, "EXEC"] } else { vec![bring] };
            steps.push(Step::typed(1, &commands).blocking(2));
        }
        // Whoever still waits gets more than it needs.
        steps.push(Step::typed(1, &["RPUSH q1 z z z", "ZADD q3 5 z 6 zz", "XADD q5 999-* f v"]).blocking(2));
        steps.push(Step::typed(1, &["RPUSH q1 z z z", "ZADD q3 5 z 6 zz", "XADD q5 999-* f v"]));
    }
    steps
}

/// A listens, B publishes.
pub(super) fn published(words: &Words, dice: &mut Dice) -> Vec<Step> {
    let mut steps = Vec::new();
    for connection in [0, 2] {
        if dice.one_in(2) {
            steps.push(Step::typed(connection, &["HELLO 3"]));
        }
    }
    let listens = [
        "SUBSCRIBE c1",
        "SUBSCRIBE c1 c2",
        "PSUBSCRIBE c*",
        "SSUBSCRIBE sh1",
        "UNSUBSCRIBE c1",
        "UNSUBSCRIBE",
        "PUNSUBSCRIBE",
        "SUNSUBSCRIBE",
        "PING",
        "RESET",
    ];
    let says = [
        "PUBLISH c1 hello",
        "PUBLISH c2 \"\"",
        "PUBLISH nobody x",
        "SPUBLISH sh1 hello",
        "PUBLISH sh1 x",
        "PUBSUB NUMSUB c1 c2",
        "PUBSUB NUMPAT",
        "PUBSUB CHANNELS",
        "PUBSUB SHARDCHANNELS",
    ];
    steps.push(Step::typed(0, &[listens[dice.below(4)]]));
    for _ in 0..dice.between(2, 8) {
        let step = match dice.below(5) {
            0 => Step::typed(0, &[dice.pick(&listens)]),
            1 => Step::typed(2, &[dice.pick(&listens)]),
            2 => Step::typed(1, &["MULTI", dice.pick(&says), dice.pick(&says), "EXEC"]),
            3 => Step::new(1, (0..dice.between(1, 20)).map(|_| Request::typed(dice.pick(&says))).collect()),
            _ if dice.one_in(3) => Step::new(
                1,
                vec![Request::new(vec![
                    b"PUBLISH".to_vec(),
                    b"c1".to_vec(),
                    vec![b'p'; dice.pick(&[0, 20_000, 70_000])],
                ])],
            ),
            _ => Step::new(0, vec![words.about_keys(dice)]),
        };
        steps.push(Step { cuts: cuts(dice), ..step });
    }
    steps
}

/// A has its keys tracked, B writes them.
pub(super) fn tracked(words: &Words, dice: &mut Dice) -> Vec<Step> {
    let mut steps = Vec::new();
    if dice.below(5) < 4 {
        steps.push(Step::typed(0, &["HELLO 3"]));
    }
    let on = [
        "CLIENT TRACKING ON",
        "CLIENT TRACKING ON NOLOOP",
        "CLIENT TRACKING ON BCAST",
        "CLIENT TRACKING ON BCAST PREFIX s PREFIX n",
        "CLIENT TRACKING ON OPTIN",
        "CLIENT TRACKING ON OPTOUT",
        "CLIENT TRACKING ON BCAST NOLOOP",
        "CLIENT TRACKING ON BCAST PREFIX s PREFIX ss",
    ];
    let own = [
        "GET s",
        "MGET s n",
        "GET s",
        "LRANGE l 0 -1",
        "CLIENT CACHING YES",
        "CLIENT CACHING NO",
        "CLIENT TRACKINGINFO",
        "CLIENT GETREDIR",
        "SET s own",
        "CLIENT TRACKING OFF",
        "MULTI",
        "EXEC",
        "RESET",
        "HELLO 2",
        "HELLO 3",
        "CLIENT TRACKING ON",
        "SELECT 1",
        "INCR n",
        "PING",
    ];
    let other = [
        "SET s 2",
        "INCR n",
        "DEL l",
        "FLUSHALL",
        "SET other x",
        "RPUSH l e",
        "EXPIRE s 1000",
        "MSET s 1 n 2",
    ];
    steps.push(Step::typed(0, &[dice.pick(&on), "GET s", "GET n"]));
    for _ in 0..dice.between(2, 10) {
        let step = match dice.below(6) {
            0..3 => Step::new(0, (0..dice.between(1, 4)).map(|_| Request::typed(dice.pick(&own))).collect()),
            3 => Step::new(0, vec![words.about_keys(dice)]),
            _ => Step::typed(1, &[dice.pick(&other)]),
        };
        steps.push(Step { cuts: cuts(dice), ..step });
    }
    steps
}
