//! Commands that wait, and what happens around them meanwhile.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::resp::{request, typed};
use crate::wire::{Client, PATIENCE};
use crate::world::{LOST, Setup, World, at_both_doors};

#[test]
fn a_blocked_client_is_woken_by_another() {
    at_both_doors(|door| {
        let (mut waiter, mut other) = (door.client("app"), door.client("app"));
        for round in 0..5 {
            waiter.send("BLPOP queue 10");
            waiter.expect_silence(Duration::from_millis(30));
            other.talk(&[(&format!("RPUSH queue item{round}"), ":1")]);
            assert_eq!(waiter.read().to_string(), format!("[$queue, $item{round}]"));
        }
    });
}

#[test]
fn waiting_ends_at_its_timeout() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        let start = Instant::now();
        client.pipeline(&[
            ("BLPOP none 0.1", "nil"),
            ("BRPOP none 0.1", "nil"),
            ("BLMOVE none other LEFT RIGHT 0.1", "nil"),
            ("BZPOPMIN none 0.1", "nil"),
            ("XREAD BLOCK 100 STREAMS none $", "nil"),
            ("PING", "+PONG"),
        ]);
        assert!(start.elapsed() >= Duration::from_millis(500), "{:?}", start.elapsed());
    });
}

/// The request is passed on as it arrives, and its reply has as long as any.
#[test]
fn a_wait_for_a_megabyte_of_keys_is_as_long_as_any() {
    let world = World::with(Setup { limits: "op_timeout_ms = 1000", ..Setup::default() });
    let (mut waiter, mut other) = (world.client("app"), world.client("app"));
    waiter.write(&request(&["BLPOP", "queue", &"x".repeat(3 << 20), "0"]));
    waiter.expect_silence(Duration::from_millis(2500));
    other.talk(&[("RPUSH queue item", ":1")]);
    assert_eq!(waiter.read().to_string(), "[$queue, $item]");
    waiter.talk(&[("PING", "+PONG")]);
}

/// Whoever waits is read on, to be heard when it leaves; not before all that it waits for has been taken.
#[test]
fn a_wait_that_redis_does_not_take_is_not_read_further() {
    let world = World::start();
    world.announce(LOST);
    let mut waiter = world.client("app");
    waiter.talk(&[("PING", "+PONG")]);
    let before = world.gateway.resident();
    world.redis.signal(Signal::STOP);
    waiter.limit_write(Duration::from_secs(1));
    let _ = waiter.try_write(&request(&["BLPOP", "queue", &"x".repeat(128 << 20), "0"]));
    let grown = world.gateway.resident().saturating_sub(before);
    world.redis.signal(Signal::CONT);
    assert!(grown < 48 << 20, "{grown} bytes for one request");
}

#[test]
fn commands_behind_a_blocked_one_wait_for_it() {
    at_both_doors(|door| {
        let (mut client, mut other) = (door.client("app"), door.client("app"));
        let commands = ["SET k before", "BLPOP queue 10", "SET k after", "GET k", "SELECT 1", "GET k"];
        client.write(&commands.map(typed).concat());
        assert_eq!(client.read().to_string(), "+OK");
        client.expect_silence(Duration::from_millis(100));
        other.talk(&[("GET k", "$before"), ("RPUSH queue item", ":1")]);
        let replies: Vec<String> = (0..5).map(|_| client.read().to_string()).collect();
        assert_eq!(replies, ["[$queue, $item]", "+OK", "$after", "+OK", "nil"]);
    });
}

#[test]
fn others_of_the_same_user_go_on_while_one_waits() {
    at_both_doors(|door| {
        let mut waiters: Vec<_> = (0..8).map(|_| door.client("app")).collect();
        waiters.iter_mut().for_each(|waiter| waiter.send("BLPOP queue 10"));
        let mut other = door.client("app");
        for n in 0..100 {
            assert_eq!(other.ask("INCR n"), format!(":{}", n + 1));
        }
        std::thread::sleep(Duration::from_millis(50));
        for n in 0..8 {
            assert!(other.ask(&format!("RPUSH queue {n}")).starts_with(':'));
        }
        let mut got: Vec<String> = waiters.iter_mut().map(|waiter| waiter.read().to_string()).collect();
        got.sort();
        assert_eq!(got, (0..8).map(|n| format!("[$queue, ${n}]")).collect::<Vec<_>>());
    });
}

#[test]
fn an_element_is_not_lost_to_a_client_that_left() {
    at_both_doors(|door| {
        let mut gone = door.client("app");
        gone.send("BLPOP queue 30");
        gone.expect_silence(Duration::from_millis(100));
        drop(gone);
        std::thread::sleep(Duration::from_millis(200));
        door.client("app").talk(&[("RPUSH queue item", ":1"), ("LPOP queue", "$item")]);
    });
}

/// Waits until so many clients are blocked in Redis.
fn wait_blocked(root: &mut Client, count: usize, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !root.ask("INFO clients").contains(&format!("blocked_clients:{count}\r")) {
        assert!(Instant::now() < deadline, "{what}: never were {count} blocked");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn who_leaves_with_more_behind_a_wait_waits_no_longer() {
    at_both_doors(|door| {
        let mut root = door.client("root");
        for behind in
            ["QUIT\r\n", "GET k\r\nQUIT\r\n", "*1\r\n:garbage\r\n", "SELECT 1\r\nGET k\r\n", "MULTI\r\n"]
        {
            for is_at_once in [false, true] {
                let what = format!("{behind:?}, at once: {is_at_once}");
                let mut gone = door.client("app");
                gone.write(format!("BLPOP queue 0\r\n{behind}").as_bytes());
                if is_at_once {
                    // Its end is there before its link is made.
                    gone.finish_writing();
                    gone.read_for(Duration::from_millis(100));
                } else {
                    wait_blocked(&mut root, 1, &what);
                }
                drop(gone);
                wait_blocked(&mut root, 0, &what);
                if !is_at_once {
                    root.talk(&[("RPUSH queue item", ":1"), ("LPOP queue", "$item")]);
                }
            }
        }
    });
}

#[test]
fn who_leaves_with_more_behind_a_wait_than_is_read_waits_no_longer() {
    at_both_doors(|door| {
        let mut root = door.client("root");
        let wait = "BLPOP queue 0\r\n";
        for written in
            [wait.repeat(4_000), format!("{wait}SELECT 1\r\n{}", "SET k 0123456789\r\n".repeat(3_000))]
        {
            for is_reset in [false, true] {
                let mut gone = door.client("app");
                gone.write(written.as_bytes());
                wait_blocked(&mut root, 1, "much behind");
                if is_reset {
                    gone.reset()
                } else {
                    drop(gone)
                }
                wait_blocked(&mut root, 0, "much behind");
                root.talk(&[("RPUSH queue item", ":1"), ("LPOP queue", "$item")]);
            }
        }
    });
}

#[test]
fn a_stream_reader_gets_what_is_added_while_it_waits() {
    at_both_doors(|door| {
        let (mut reader, mut other) = (door.client("app"), door.client("app"));
        reader.send("XREAD BLOCK 10000 STREAMS s $");
        reader.expect_silence(Duration::from_millis(50));
        other.talk(&[("XADD s 1-1 f v", "$1-1")]);
        assert_eq!(reader.read().to_string(), "[[$s, [[$1-1, [$f, $v]]]]]");
        other.talk(&[
            ("XGROUP CREATE s g 0", "+OK"),
            ("XREADGROUP GROUP g c BLOCK 10 STREAMS s >", "[[$s, [[$1-1, [$f, $v]]]]]"),
        ]);
    });
}

#[test]
fn wait_answers_how_many_replicas_have_the_writes() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        client.pipeline(&[("SET k v", "+OK"), ("WAIT 0 100", ":0"), ("WAIT 1 50", ":0"), ("GET k", "$v")]);
    });
}
