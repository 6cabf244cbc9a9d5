//! Clients that leave while they wait, and clients that wait for long.

use std::collections::BTreeSet;
use std::time::Duration;

use super::control::wait_blocked;
use crate::resp::typed;
use crate::wire::Client;
use crate::world::{Setup, World, at_each_door};

#[test]
fn every_element_goes_to_a_client_that_is_there_exactly_once() {
    let world = World::start();
    let mut redis = world.redis.client("root");
    let mut pusher = world.client("ops");
    for (command, form) in [
        ("BLPOP queue 0", "[$queue, $"),
        ("BLMOVE queue moved LEFT RIGHT 0", "$"),
        ("BZPOPMIN zset 0", "[$zset, $"),
    ] {
        let adds = |element: &str| match command.starts_with("BZ") {
            true => format!("ZADD zset 1 {element}"),
            false => format!("RPUSH queue {element}"),
        };
        for round in 0..6 {
            let mut leavers: Vec<Client> = (0..6).map(|_| world.client("app")).collect();
            leavers.iter_mut().for_each(|client| client.send(command));
            wait_blocked(&mut redis, leavers.len());
            let mut stayers: Vec<Client> = (0..6).map(|_| world.client("app")).collect();
            stayers.iter_mut().for_each(|client| client.send(command));
            wait_blocked(&mut redis, leavers.len() + stayers.len());
            if round % 2 == 0 {
                // Once a client has seen its end answered, its wait is over, without any delay.
                leavers.iter_mut().for_each(Client::finish_writing);
                leavers.iter_mut().for_each(Client::expect_end);
            } else {
                leavers.into_iter().for_each(Client::reset);
                wait_blocked(&mut redis, stayers.len());
            }
            let elements: BTreeSet<String> =
                (0..stayers.len()).map(|number| format!("{round}-{number}")).collect();
            for element in &elements {
                assert!(pusher.ask(&adds(element)).starts_with(':'));
            }
            let got = stayers.iter_mut().map(|client| {
                let reply = client.read().to_string();
                let element = reply.strip_prefix(form).unwrap_or_else(|| panic!("{command} got {reply}"));
                element.split([']', ',']).next().unwrap_or_default().to_owned()
            });
            assert_eq!(got.collect::<BTreeSet<String>>(), elements, "{command} in round {round}");
            pusher.talk(&[("LLEN queue", ":0"), ("ZCARD zset", ":0")]);
            wait_blocked(&mut redis, 0);
        }
    }
    pusher.talk(&[("LLEN moved", ":36")]);
}

#[test]
fn a_stream_reader_that_leaves_takes_nothing_along() {
    let world = World::start();
    let (mut redis, mut other) = (world.redis.client("root"), world.client("ops"));
    other.talk(&[("XGROUP CREATE s g $ MKSTREAM", "+OK")]);
    for round in 0..4 {
        let mut gone = world.client("app");
        gone.send("XREADGROUP GROUP g gone BLOCK 0 STREAMS s >");
        wait_blocked(&mut redis, 1);
        if round % 2 == 0 {
            gone.finish_writing();
            gone.expect_end();
        } else {
            gone.reset();
            wait_blocked(&mut redis, 0);
        }
        let id = format!("{}-1", round + 1);
        other.talk(&[
            (&format!("XADD s {id} f v"), &format!("${id}")),
            ("XREADGROUP GROUP g here STREAMS s >", &format!("[[$s, [[${id}, [$f, $v]]]]]")),
        ]);
    }
    assert!(other.ask("XPENDING s g").starts_with("[:4, $1-1, $4-1, [[$here, $4]]"));
}

#[test]
fn who_says_the_end_behind_a_pipeline_is_answered_to_the_last_request() {
    at_each_door(|door| {
        let mut other = door.client("root");
        let large = format!("APPEND large {}", "x".repeat(2 << 20));
        for _ in 0..5 {
            other.talk(&[("FLUSHALL", "+OK")]);
            let scenes: [(&[&str], &[&str]); 9] = [
                (
                    &["WATCH k", "GET k", "MULTI", "SET k v", "EXEC", "GET k"],
                    &["+OK", "nil", "+OK", "+QUEUED", "[+OK]", "$v"],
                ),
                (&["RPUSH q 1 2", "BLPOP q 0", "BLPOP q 0", "LLEN q"], &[":2", "[$q, $1]", "[$q, $2]", ":0"]),
                (&["SUBSCRIBE c", "PING"], &["[$subscribe, $c, :1]", "[$pong, $]"]),
                (&["HELLO 3", "CLIENT TRACKING ON", "SELECT 1", "GET k"], &["", "+OK", "+OK", "nil"]),
                // What a request is depends on the answers before it.
                (&["WATCH k", "HELLO 3", "GET k", "MULTI", "EXEC"], &["+OK", "", "$v", "+OK", "[]"]),
                (&[&large, "STRLEN large"], &[":2097152", ":2097152"]),
                (&["WAIT 0 0", "INCR n"], &[":0", ":1"]),
                // It is given up, and nothing of it is run.
                (&["WATCH k", "MULTI", "SET open 1"], &["+OK", "+OK", "+QUEUED"]),
                (&["WATCH k"], &["+OK"]),
            ];
            for (requests, replies) in scenes {
                let what = requests.iter().map(|request| request.get(..60).unwrap_or(request));
                let what = what.collect::<Vec<_>>().join("; ");
                let mut client = door.client("app");
                client.write(&requests.iter().flat_map(|line| typed(line)).collect::<Vec<u8>>());
                client.finish_writing();
                for expected in replies {
                    let got = client.try_read().unwrap_or_else(|end| panic!("{what}: {end}")).to_string();
                    assert!(expected.is_empty() || got == *expected, "{what}: {got}");
                }
                client.expect_end();
            }
            other.talk(&[("GET k", "$v"), ("EXISTS open", ":0")]);
        }
    });
}

#[test]
fn a_client_that_keeps_waiting_keeps_its_connection() {
    let world = World::start();
    let mut redis = world.redis.client("root");
    let (mut waiter, mut pusher) = (world.client("app"), world.client("app"));
    let opened = |redis: &mut Client| {
        let stats = redis.ask("INFO stats");
        stats.lines().find(|line| line.starts_with("total_connections_received")).map(str::to_owned)
    };
    let mut before = None;
    for round in 0..60 {
        waiter.send("BLPOP queue 20");
        pusher.talk(&[(&format!("RPUSH queue {round}"), ":1")]);
        assert_eq!(waiter.read().to_string(), format!("[$queue, ${round}]"));
        waiter.talk(&[("BLPOP queue 0.001", "nil")]);
        if round % 3 == 0 {
            // Between them it does something else, as a worker does.
            waiter.talk(&[("INCR done", &format!(":{}", round / 3 + 1))]);
        }
        before = before.or_else(|| opened(&mut redis));
    }
    assert_eq!(opened(&mut redis), before);
}

#[test]
fn waiting_longer_than_every_timeout_is_not_cut() {
    let world = World::with(Setup {
        limits: "op_timeout_ms = 300\nclient_idle_timeout_ms = 300\nrequest_stall_timeout_ms = 300\n\
                 client_output_stall_timeout_ms = 300\nlink_idle_timeout_ms = 300\nprobe_interval_ms = 100\n\
                 probe_timeout_ms = 200\nfence_ms = 100\nlink_age_max_ms = 1000\npeer_timeout_ms = 100",
        ..Setup::default()
    });
    let (mut reader, mut popper) = (world.client("app"), world.client("app"));
    reader.send("XREAD BLOCK 0 STREAMS s $");
    popper.send("BLPOP queue 0");
    reader.expect_silence(Duration::from_millis(3_500));
    popper.expect_silence(Duration::from_millis(1));
    let mut other = world.client("app");
    other.talk(&[("XADD s 1-1 f v", "$1-1"), ("RPUSH queue item", ":1")]);
    assert_eq!(reader.read().to_string(), "[[$s, [[$1-1, [$f, $v]]]]]");
    assert_eq!(popper.read().to_string(), "[$queue, $item]");
}
