//! redis-cli in its other modes, at a terminal too, and redis-benchmark with all that
//! it can do. What every day asks of them is in `tools`.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};

use super::addressed;
use crate::backend::leashed;
use crate::clients::{run, source};
use crate::log::Lines;
use crate::tools::{cli, tool, typed_into};
use crate::world::World;

#[test]
fn redis_cli_at_a_terminal_shows_what_it_shows_before_redis() {
    let world = World::start();
    for user in ["app", "root"] {
        let mut command = leashed("python3");
        command.arg(source("redis_cli_terminal.py"));
        addressed(&mut command, &world, user);
        assert_eq!(run(command.arg(user)), "ok\n");
    }
}

#[test]
fn redis_cli_runs_a_script_from_a_file_and_takes_an_argument_from_its_input() {
    let world = World::start();
    fs::write(world.path("both.lua"), "return {KEYS[1], ARGV[1], redis.call('STRLEN', KEYS[1])}")
        .expect("writable");
    assert_eq!(cli(&world, "app", &["--eval", "both.lua", "k", ",", "a"]), "k\na\n0\n");
    let text = "two\nlines\0and a zero";
    assert_eq!(typed_into(tool(&world, "redis-cli", "app").args(["-x", "SET", "k"]), text), "OK\n");
    assert_eq!(cli(&world, "app", &["GET", "k"]), format!("{text}\n"));
    let quoted = typed_into(tool(&world, "redis-cli", "app").args(["-X", "@@", "ECHO", "@@"]), "other");
    assert_eq!(quoted, "other\n");
}

#[test]
fn redis_cli_prints_in_every_form() {
    let world = World::start();
    assert_eq!(cli(&world, "app", &["RPUSH", "l", "1", "a\"b", ""]), "3\n");
    assert_eq!(cli(&world, "app", &["--csv", "LRANGE", "l", "0", "-1"]), "\"1\",\"a\\\"b\",\"\"\n");
    assert_eq!(cli(&world, "app", &["--json", "LRANGE", "l", "0", "-1"]), "[\"1\",\"a\\\"b\",\"\"]\n");
    assert_eq!(cli(&world, "app", &["-3", "--json", "HGETALL", "none"]), "{}\n");
    assert_eq!(cli(&world, "app", &["-3", "--no-raw", "ZADD", "z", "1.5", "m"]), "(integer) 1\n");
    assert_eq!(cli(&world, "app", &["-3", "--no-raw", "ZSCORE", "z", "m"]), "(double) 1.5\n");
    assert_eq!(cli(&world, "app", &["--no-raw", "LRANGE", "none", "0", "-1"]), "(empty array)\n");
    assert_eq!(cli(&world, "app", &["-r", "3", "-i", "0.01", "INCR", "n"]), "1\n2\n3\n");
}

#[test]
fn redis_cli_pipe_inserts_ten_thousand_of_every_kind() {
    let world = World::start();
    let mut requests = String::new();
    for n in 0..10_000 {
        let value = format!("value\r\n{n}");
        let key = format!("pipe:{}:{}", n % 3, n / 3);
        let words = match n % 3 {
            0 => vec!["SET", &key, &value],
            1 => vec!["RPUSH", &key, &value, "b", ""],
            _ => vec!["HSET", &key, "field", &value],
        };
        let _ = write!(requests, "*{}\r\n", words.len());
        for word in words {
            let _ = write!(requests, "${}\r\n{word}\r\n", word.len());
        }
    }
    let text = typed_into(tool(&world, "redis-cli", "app").arg("--pipe"), &requests);
    assert!(text.contains("errors: 0, replies: 10000"), "{text}");
    assert_eq!(cli(&world, "app", &["DBSIZE"]), "10000\n");
    assert_eq!(cli(&world, "app", &["--csv", "GET", "pipe:0:3333"]), "\"value\\r\\n9999\"\n");
    assert_eq!(cli(&world, "app", &["--scan", "--pattern", "pipe:1:*"]).lines().count(), 3333);
    let found = cli(&world, "app", &["--bigkeys"]);
    for kind in ["3334 strings with", "3333 lists with 9999 items", "3333 hashs with 3333 fields"] {
        assert!(found.contains(kind), "no {kind:?} in {found}");
    }
}

/// Modes without an end, each until it has shown enough. `--stat` and `--latency` want a terminal.
#[test]
fn redis_cli_shows_what_others_do_and_say() {
    let world = World::start();
    let until = |user: &str, arguments: &[&str], enough: &dyn Fn(&Lines)| {
        let mut command = tool(&world, "redis-cli", user);
        let mut child =
            command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("installed");
        let lines = Lines::of(child.stdout.take().expect("piped"));
        enough(&lines);
        child.kill().expect("our child");
        child.wait().expect("our child");
    };
    until("root", &["MONITOR"], &|lines| {
        lines.wait_for("of the beginning", |line| line == "OK");
        for n in 0..20 {
            let seen = format!("\"SET\" \"monitored\" \"{n}\"");
            cli(&world, "ops", &["SET", "monitored", &n.to_string()]);
            lines.wait_for("of what another does", |line| line.ends_with(&seen));
        }
    });
    until("app", &["-3", "PSUBSCRIBE", "n*"], &|lines| {
        lines.wait_for("of the subscription", |line| line.contains("psubscribe"));
        cli(&world, "ops", &["PUBLISH", "news", "hello"]);
        lines.wait_for("of the message", |line| line.contains("hello"));
    });
}

#[test]
fn redis_benchmark_runs_all_its_tests_one_at_a_time_and_pipelined() {
    let world = World::start();
    for depth in ["1", "16"] {
        let mut command: Command = tool(&world, "redis-benchmark", "app");
        let text = run(command.args(["-n", "1000", "-c", "20", "-P", depth, "--csv"]));
        let names: Vec<&str> = text.lines().filter_map(|line| line.split('"').nth(1)).collect();
        assert_eq!(names.len(), 21, "{text}");
        assert_eq!((names[0], names[1], names[20]), ("test", "PING_INLINE", "MSET (10 keys)"));
        for line in text.lines().skip(1) {
            let rate: f64 =
                line.split('"').nth(3).and_then(|text| text.parse().ok()).expect("requests a second");
            assert!(rate > 0.0, "{line}");
        }
    }
    let mut command = tool(&world, "redis-benchmark", "app");
    let tracked =
        run(command.args(["-3", "--enable-tracking", "-n", "1000", "-r", "50", "-t", "get,set", "-q"]));
    assert!(tracked.contains("GET: ") && !tracked.to_lowercase().contains("error"), "{tracked}");
}
