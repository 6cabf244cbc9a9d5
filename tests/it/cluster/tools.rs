//! Redis' own tools before a cluster, as one uses them with a single server: redis-benchmark loads
//! every node, and redis-cli finds the keys of all of them.

use super::world::Clustered;
use crate::backend::Version;
use crate::clients::run;
use crate::tools::{cli, tool, typed_into};

/// How often each master has run this command since it was last asked to forget.
fn calls_by_node(world: &Clustered, command: &str) -> Vec<u64> {
    let line = format!("cmdstat_{command}:calls=");
    let count = |number: usize| {
        let info = world.cluster.client(number, "root").ask("INFO commandstats");
        let found = info.lines().find_map(|it| it.strip_prefix(&line)?.split(',').next()?.parse().ok());
        found.unwrap_or(0)
    };
    (0..world.cluster.masters).map(count).collect()
}

fn forget_calls(world: &Clustered) {
    for number in 0..world.cluster.masters {
        world.cluster.client(number, "root").talk(&[("CONFIG RESETSTAT", "+OK")]);
    }
}

fn benchmark(world: &Clustered, arguments: &str) -> String {
    let text = run(tool(world, "redis-benchmark", "app").args(arguments.split(' ')));
    assert!(!text.to_lowercase().contains("error"), "{text}");
    text
}

/// Each test of redis-benchmark whose keys `-r` spreads.
const SPREAD: [(&str, &str); 4] = [("set", "SET"), ("get", "GET"), ("incr", "INCR"), ("mset", "MSET")];

#[test]
fn redis_benchmark_in_plain_mode_reaches_every_node() {
    let world = Clustered::start(Version::System, 3, 0);
    for ways in ["-c 20 -P 16", "-c 20 -P 1", "-c 50 -P 16 --threads 2", "-3 -c 5 -P 64"] {
        forget_calls(&world);
        let (count, most) = (3_000, "-n 3000 -r 100000 -q");
        let text = benchmark(&world, &format!("{ways} {most} -t set,get,incr,mset"));
        for (command, name) in SPREAD {
            assert!(
                text.contains(&format!("{name}: ")) || text.contains(&format!("{name} (")),
                "{name}: {text}"
            );
            let calls = calls_by_node(&world, command);
            // Each of MSET's ten keys is a part of its own, but for the few that share a slot.
            let (least, fair) = if command == "mset" { (count * 9, count) } else { (count, count / 10) };
            assert!(calls.iter().sum::<u64>() >= least, "{ways} {command}: {calls:?}");
            assert!(calls.iter().all(|&calls| calls > fair), "{ways} {command}: {calls:?}");
        }
    }
}

#[test]
fn redis_benchmark_runs_all_its_tests_and_any_command() {
    let world = Clustered::start(Version::System, 3, 0);
    let tests = "ping,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange_100,mset";
    let text = benchmark(&world, &format!("-c 20 -n 1000 -P 16 -r 1000 -q -t {tests}"));
    for name in ["PING_INLINE", "PING_MBULK", "LPUSH", "HSET", "ZPOPMIN", "LRANGE_100", "MSET"] {
        assert!(text.contains(&format!("{name}: ")) || text.contains(&format!("{name} (")), "{name}: {text}");
    }
    for (command, counted) in [
        ("rpush list:__rand_int__ x", "rpush"),
        ("hset hash:__rand_int__ f x", "hset"),
        ("xadd stream:__rand_int__ * f x", "xadd"),
        ("eval return(redis.call('incr',KEYS[1])) 1 count:__rand_int__", "eval"),
    ] {
        forget_calls(&world);
        benchmark(&world, &format!("-c 20 -n 2000 -P 16 -r 10000 -q {command}"));
        let calls = calls_by_node(&world, counted);
        assert!(
            calls.iter().sum::<u64>() >= 2000 && calls.iter().all(|&calls| calls > 200),
            "{command}: {calls:?}"
        );
    }
}

#[test]
fn redis_cli_works_before_a_cluster_plain_and_with_c() {
    let world = Clustered::start(Version::System, 3, 0);
    for options in [&[][..], &["-c"], &["-3"], &["-c", "-3"]] {
        let with = |args: &[&str]| cli(&world, "app", &[options, args].concat());
        for key in ["a", "b", "c", "d", "e", "f"] {
            assert_eq!(with(&["SET", key, "1"]), "OK\n", "{options:?}");
            assert_eq!(with(&["INCR", key]), "2\n", "{options:?}");
        }
        assert_eq!(with(&["MGET", "a", "f", "b", "nothing"]), "2\n2\n2\n\n", "{options:?}");
        assert_eq!(with(&["DBSIZE"]), "6\n", "{options:?}");
        let lines =
            "MULTI\nINCR a\nEXEC\nWATCH b\nMULTI\nGET b\nEXEC\nEVAL 'return KEYS[1]' 1 c\nDEL a b c d e f\n";
        let text = typed_into(tool(&world, "redis-cli", "app").args(options), lines);
        assert_eq!(text, "OK\nQUEUED\n3\nOK\nOK\nQUEUED\n2\nc\n6\n", "{options:?}");
    }
}

#[test]
fn redis_cli_scans_loads_and_measures_the_keys_of_all_nodes() {
    let world = Clustered::start(Version::System, 3, 0);
    let count = 3_000;
    let lines: String = (0..count).map(|n| format!("SET mass:{n} {n}\r\n")).collect();
    let text = typed_into(tool(&world, "redis-cli", "app").arg("--pipe"), &lines);
    assert!(text.contains(&format!("errors: 0, replies: {count}")), "{text}");
    assert!(world.keys_by_node().iter().all(|&keys| keys > 800), "{:?}", world.keys_by_node());
    for options in [&[][..], &["-c"]] {
        let with = |args: &[&str]| cli(&world, "app", &[options, args].concat());
        let mut keys: Vec<String> =
            with(&["--scan", "--pattern", "mass:*"]).lines().map(str::to_owned).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count, "{options:?}");
        for report in ["--bigkeys", "--memkeys"] {
            let text = with(&[report, "-i", "0"]);
            assert!(text.contains(&format!("Sampled {count} keys")), "{options:?} {report}: {text}");
        }
    }
}
