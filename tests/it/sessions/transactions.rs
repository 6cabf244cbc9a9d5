//! MULTI, EXEC, DISCARD and WATCH, whether they arrive whole or in pieces.

use std::time::{Duration, Instant};

use crate::backend::Version;
use crate::resp::{request, typed};
use crate::wire::{Client, PATIENCE};
use crate::world::{Door, Setup, World, at_both_doors};

#[test]
fn a_transaction_runs_whole_in_one_write_and_step_by_step() {
    at_both_doors(|door| {
        let turns = [
            ("MULTI", "+OK"),
            ("SET k v", "+QUEUED"),
            ("GET k", "+QUEUED"),
            ("INCR n", "+QUEUED"),
            ("EXEC", "[+OK, $v, :1]"),
        ];
        let mut client = door.client("app");
        client.pipeline(&turns);
        client.talk(&[("DEL n", ":1")]);
        client.talk(&turns);
        client.talk(&[("GET n", "$1")]);
    });
}

#[test]
fn an_empty_transaction_and_one_among_other_commands_keep_their_place() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        client.talk(&[("MULTI", "+OK"), ("EXEC", "[]")]);
        client.pipeline(&[
            ("SET k before", "+OK"),
            ("MULTI", "+OK"),
            ("GET k", "+QUEUED"),
            ("SET k inside", "+QUEUED"),
            ("EXEC", "[$before, +OK]"),
            ("GET k", "$inside"),
            ("MULTI", "+OK"),
            ("EXEC", "[]"),
            ("PING", "+PONG"),
        ]);
    });
}

#[test]
fn a_transaction_cut_anywhere_between_two_writes_is_the_same() {
    at_both_doors(|door| {
        let turns = [("MULTI", "+OK"), ("INCR n", "+QUEUED"), ("INCR n", "+QUEUED"), ("EXEC", "")];
        let bytes: Vec<u8> = turns.iter().flat_map(|(command, _)| typed(command)).collect();
        for cut in (1..bytes.len()).step_by(5) {
            let mut client = door.client("app");
            client.talk(&[("SET n 0", "+OK")]);
            client.write(&bytes[..cut]);
            std::thread::sleep(Duration::from_millis(3));
            client.write(&bytes[cut..]);
            let replies: Vec<String> = (0..4).map(|_| client.read().to_string()).collect();
            assert_eq!(replies, ["+OK", "+QUEUED", "+QUEUED", "[:1, :2]"], "cut at {cut}");
        }
    });
}

#[test]
fn errors_inside_a_transaction_are_those_of_redis() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        let aborted = "-EXECABORT Transaction discarded because of previous errors.";
        let arity = "-ERR wrong number of arguments for 'get' command";
        let wrong_type = "-WRONGTYPE Operation against a key holding the wrong kind of value";
        let both_ways = |client: &mut Client, turns: &[(&str, &str)]| {
            client.talk(turns);
            client.pipeline(turns);
        };
        both_ways(
            &mut client,
            &[("MULTI", "+OK"), ("GET", arity), ("SET k v", "+QUEUED"), ("EXEC", aborted)],
        );
        both_ways(&mut client, &[("GET k", "nil"), ("EXEC", "-ERR EXEC without MULTI")]);
        both_ways(&mut client, &[("DISCARD", "-ERR DISCARD without MULTI")]);
        let (nested, watched) = match door.version() {
            Version::Valkey9 => (
                "-ERR Command 'multi' not allowed inside a transaction",
                "-ERR Command 'watch' not allowed inside a transaction",
            ),
            _ => ("-ERR MULTI calls can not be nested", "-ERR WATCH inside MULTI is not allowed"),
        };
        both_ways(
            &mut client,
            &[
                ("MULTI", "+OK"),
                ("MULTI", nested),
                ("SET k v", "+QUEUED"),
                ("DISCARD", "+OK"),
                ("GET k", "nil"),
            ],
        );
        both_ways(
            &mut client,
            &[("MULTI", "+OK"), ("WATCH k", watched), ("PING", "+QUEUED"), ("DISCARD", "+OK")],
        );
        client.talk(&[("RPUSH list a", ":1")]);
        let replies = format!("[{wrong_type}, +PONG]");
        both_ways(
            &mut client,
            &[("MULTI", "+OK"), ("GET list", "+QUEUED"), ("PING", "+QUEUED"), ("EXEC", &replies)],
        );
        client.talk(&[("MULTI", "+OK")]);
        assert!(client.ask("NOSUCHCOMMAND a b").starts_with("-ERR unknown command 'NOSUCHCOMMAND'"));
        client.talk(&[("EXEC", aborted), ("PING", "+PONG")]);
    });
}

/// Has Redis allow its user `app` this from now on, or no longer.
fn allow(door: &Door<'_>, rule: &str) {
    let (Door::Redis(world) | Door::Gateway(world)) = door;
    world.redis.client("root").talk(&[(&format!("ACL SETUSER app {rule}"), "+OK")]);
}

#[test]
fn a_user_that_may_not_open_a_transaction_is_in_none() {
    at_both_doors(|door| {
        allow(door, "-multi");
        let mut client = door.client("app");
        // With a key watched it has a link of its own.
        for bound in [false, true] {
            client.talk(&[("SELECT 0", "+OK"), ("SET two zero", "+OK")]);
            if bound {
                client.talk(&[("WATCH k", "+OK")]);
            }
            assert!(client.ask("MULTI").starts_with("-NOPERM"));
            client.talk(&[("CLIENT SETNAME q", "+OK"), ("CLIENT GETNAME", "$q"), ("SELECT 2", "+OK")]);
            client.talk(&[("SET two 2", "+OK"), ("BLPOP none 0.01", "nil"), ("UNWATCH", "+OK")]);
            client.talk(&[("EXEC", "-ERR EXEC without MULTI"), ("SELECT 0", "+OK"), ("GET two", "$zero")]);
        }
        // What the gateway answers is answered as outside of one, although it came at once.
        client.talk(&[("WATCH k", "+OK")]);
        client.write(&["MULTI", "CLIENT SETNAME r", "CLIENT GETNAME"].map(typed).concat());
        assert!(client.read().to_string().starts_with("-NOPERM"));
        assert_eq!([client.read(), client.read()].map(|it| it.to_string()), ["+OK", "$r"]);
        client.talk(&[("UNWATCH", "+OK")]);
        // What had followed it ran, as Redis runs it.
        client.talk(&[("WATCH k", "+OK")]);
        client.write(&["MULTI", "SET k v", "EXEC"].map(typed).concat());
        assert!(client.read().to_string().starts_with("-NOPERM"));
        assert_eq!(
            [client.read(), client.read()].map(|it| it.to_string()),
            ["+OK", "-ERR EXEC without MULTI"]
        );
        if door.is_gateway() {
            // Whether keys are watched on its link is not known then.
            client.expect_end();
        }
        allow(door, "+multi");
    });
}

#[test]
fn a_user_that_may_not_discard_a_transaction_stays_in_it() {
    at_both_doors(|door| {
        allow(door, "-discard");
        let mut client = door.client("app");
        client.talk(&[("MULTI", "+OK"), ("SET k v", "+QUEUED")]);
        assert!(client.ask("DISCARD").starts_with("-NOPERM"));
        let aborted = "-EXECABORT Transaction discarded because of previous errors.";
        client.talk(&[("SET k w", "+QUEUED"), ("BLPOP none 0", "+QUEUED"), ("EXEC", aborted)]);
        client.talk(&[("GET k", "nil"), ("BLPOP none 0.01", "nil")]);
        // What comes at once with it is in the transaction, or behind it, as Redis says.
        client.write(&["MULTI", "DISCARD", "CLIENT SETNAME in", "EXEC"].map(typed).concat());
        assert_eq!(client.read().to_string(), "+OK");
        assert!(client.read().to_string().starts_with("-NOPERM"));
        assert_eq!([client.read(), client.read()].map(|it| it.to_string()), ["+QUEUED", aborted]);
        allow(door, "+discard");
        let behind =
            [("MULTI", "+OK"), ("DISCARD", "+OK"), ("CLIENT SETNAME out", "+OK"), ("CLIENT GETNAME", "$out")];
        client.pipeline(&behind);
        allow(door, "-discard");
        // Refused by the gateway, and so ended by it.
        if door.is_gateway() {
            client.talk(&[("MULTI", "+OK"), ("SET k v", "+QUEUED")]);
            assert!(client.ask("SUBSCRIBE c").starts_with("-ERR respgate"));
            client.talk(&[("EXEC", aborted), ("GET k", "nil"), ("BLPOP none 0.01", "nil")]);
        }
        allow(door, "+discard");
    });
}

#[test]
fn a_large_request_behind_a_refused_multi_is_in_no_transaction() {
    at_both_doors(|door| {
        allow(door, "-multi");
        let mut client = door.client("app");
        client.talk(&[("WATCH k", "+OK")]);
        let large = request(&["SET", "k", &"v".repeat(1_200_000)]);
        let (most, rest) = large.split_at(1_150_000);
        // Most of it is there before Redis answers the MULTI.
        let (Door::Redis(world) | Door::Gateway(world)) = door;
        let mut busy = world.redis.client("root");
        busy.write(&request(&["EVAL", "for i = 1, 2e7 do end return 1", "0"]));
        client.write(&[&typed("MULTI"), most].concat());
        assert!(client.read().to_string().starts_with("-NOPERM"));
        client.write(rest);
        assert_eq!(client.read().to_string(), "+OK");
        busy.read();
        client.talk(&[("STRLEN k", ":1200000")]);
        allow(door, "+multi");
    });
}

#[test]
fn watch_sees_what_another_session_writes() {
    at_both_doors(|door| {
        let (mut watcher, mut other) = (door.client("app"), door.client("app"));
        watcher.talk(&[("SET k 1", "+OK"), ("WATCH k", "+OK"), ("GET k", "$1")]);
        other.talk(&[("SET k 2", "+OK")]);
        watcher.talk(&[("MULTI", "+OK"), ("SET k 3", "+QUEUED"), ("EXEC", "nil"), ("GET k", "$2")]);

        // In one write, conflict and no conflict.
        watcher.talk(&[("WATCH k", "+OK")]);
        other.talk(&[("SET k 4", "+OK")]);
        watcher.pipeline(&[("MULTI", "+OK"), ("SET k 5", "+QUEUED"), ("EXEC", "nil"), ("GET k", "$4")]);
        watcher.pipeline(&[
            ("WATCH k", "+OK"),
            ("MULTI", "+OK"),
            ("SET k 6", "+QUEUED"),
            ("EXEC", "[+OK]"),
            ("GET k", "$6"),
        ]);

        // Unwatched, discarded, and executed transactions forget what was watched.
        for forget in ["UNWATCH", "DISCARD", "EXEC"] {
            watcher.talk(&[("WATCH k", "+OK")]);
            if forget != "UNWATCH" {
                watcher.talk(&[("MULTI", "+OK")]);
            }
            watcher.ask(forget);
            other.talk(&[("SET k x", "+OK")]);
            watcher.talk(&[("MULTI", "+OK"), ("SET k y", "+QUEUED"), ("EXEC", "[+OK]")]);
        }
    });
}

#[test]
fn watch_sees_the_sessions_own_writes_as_redis_does() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        client.pipeline(&[
            ("SET k 1", "+OK"),
            ("WATCH k", "+OK"),
            ("SET k 2", "+OK"),
            ("MULTI", "+OK"),
            ("GET k", "+QUEUED"),
            ("EXEC", "nil"),
        ]);
    });
}

#[test]
fn counters_under_optimistic_locking_lose_nothing() {
    at_both_doors(|door| {
        let workers: Vec<Client> = (0..4).map(|_| door.client("app")).collect();
        let committed: u32 = std::thread::scope(|scope| {
            let run = |mut client: Client| {
                let mut committed = 0;
                while committed < 25 {
                    client.talk(&[("WATCH n", "+OK")]);
                    let n: u64 = client.ask("GET n").trim_start_matches('$').parse().unwrap_or(0);
                    client.talk(&[("MULTI", "+OK"), (&format!("SET n {}", n + 1), "+QUEUED")]);
                    if client.ask("EXEC") == "[+OK]" {
                        committed += 1;
                    }
                }
                committed
            };
            let running: Vec<_> =
                workers.into_iter().map(|client| scope.spawn(move || run(client))).collect();
            running.into_iter().map(|one| one.join().expect("no worker failed")).sum()
        });
        assert_eq!(door.client("app").ask("GET n"), format!("${committed}"));
    });
}

#[test]
fn nothing_comes_between_the_commands_of_a_transaction() {
    at_both_doors(|door| {
        let stop = std::sync::atomic::AtomicBool::new(false);
        let mut noise = door.client("app");
        let mut client = door.client("app");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    noise.ask("INCR n");
                }
            });
            for _ in 0..200 {
                let turns = ["MULTI", "GET n", "PING", "GET n", "EXEC"];
                client.write(&turns.iter().flat_map(|turn| typed(turn)).collect::<Vec<u8>>());
                let replies: Vec<_> = (0..5).map(|_| client.read()).collect();
                let items = replies[4].items();
                assert_eq!(items[0], items[2], "{replies:?}");
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    });
}

#[test]
fn a_select_inside_a_transaction_is_real() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        let turns = [
            ("MULTI", "+OK"),
            ("SELECT 2", "+QUEUED"),
            ("SET k two", "+QUEUED"),
            ("EXEC", "[+OK, +OK]"),
            ("GET k", "$two"),
            ("SELECT 0", "+OK"),
            ("GET k", "nil"),
        ];
        client.talk(&turns);
        client.pipeline(&turns);
        client.talk(&[
            ("MULTI", "+OK"),
            ("SELECT 2", "+QUEUED"),
            ("DISCARD", "+OK"),
            ("GET k", "nil"),
            ("SELECT 2", "+OK"),
            ("MULTI", "+OK"),
            ("GET k", "+QUEUED"),
            ("EXEC", "[$two]"),
        ]);
    });
}

#[test]
fn blocking_commands_do_not_block_inside_a_transaction() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        let turns =
            [("MULTI", "+OK"), ("BLPOP none 0", "+QUEUED"), ("PING", "+QUEUED"), ("EXEC", "[nil, +PONG]")];
        client.pipeline(&turns);
        client.talk(&turns);
    });
}

#[test]
fn a_transaction_for_which_there_is_no_connection_takes_its_commands_along() {
    let world =
        World::with(Setup { limits: "pinned_links_max = 8\npinned_links_wait_ms = 50", ..Setup::default() });
    // However many workers share the eight, these leave none.
    let mut holders: Vec<Client> = (0..16).map(|_| world.client("app")).collect();
    let held = holders.iter_mut().filter_map(|holder| (holder.ask("WATCH k") == "+OK").then_some(())).count();
    assert!((1..=8).contains(&held), "{held}");
    for first in ["MULTI", "WATCH k"] {
        let mut client = world.client("app");
        // Not whole: its EXEC has not been written.
        client.write(&[typed(first), typed("SET left behind")].concat());
        let refused = client.read().to_string();
        assert_eq!(refused, "-ERR respgate: too many pinned connections, command not sent");
        client.expect_end();
    }
    world.client("ops").talk(&[("GET left", "nil")]);
}

#[test]
fn who_leaves_keys_watched_or_a_transaction_open_is_closed_and_who_goes_on_is_not() {
    let world = World::with(Setup { limits: "transaction_idle_timeout_ms = 1500", ..Setup::default() });
    let closed = || world.gateway.metric("respgate_clients_closed_total", "reason=\"transaction_idle\"");
    let [mut watches, mut queues, mut has_ended, mut goes_on, mut blocks, mut is_quiet] =
        std::array::from_fn(|_| world.client("app"));
    watches.talk(&[("WATCH k", "+OK")]);
    // What is left of a request that never comes whole is no word either.
    queues.talk(&[("MULTI", "+OK"), ("SET k v", "+QUEUED")]);
    queues.write(b"*1\r\n$4\r\nEX");
    has_ended.talk(&[
        ("WATCH k", "+OK"),
        ("MULTI", "+OK"),
        ("EXEC", "[]"),
        ("WATCH k", "+OK"),
        ("UNWATCH", "+OK"),
    ]);
    goes_on.talk(&[("WATCH k", "+OK"), ("MULTI", "+OK")]);
    blocks.talk(&[("WATCH other", "+OK")]);
    blocks.send("BLPOP list 30");
    is_quiet.talk(&[("PING", "+PONG")]);
    let deadline = Instant::now() + PATIENCE;
    let mut queued = 0;
    while closed() < 2.0 {
        assert!(Instant::now() < deadline, "{} were closed", closed());
        goes_on.talk(&[("INCR n", "+QUEUED")]);
        queued += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    watches.expect_end();
    queues.expect_end();
    let last = (1..=queued).map(|number| format!(":{number}")).collect::<Vec<_>>().join(", ");
    goes_on.talk(&[("EXEC", &format!("[{last}]"))]);
    has_ended.talk(&[("PING", "+PONG")]);
    // Neither SET has run, and who waits for a reply is waited for.
    is_quiet.talk(&[("GET k", "nil"), ("RPUSH list a", ":1")]);
    assert_eq!(blocks.read().to_string(), "[$list, $a]");
    assert_eq!(closed(), 2.0);
}
