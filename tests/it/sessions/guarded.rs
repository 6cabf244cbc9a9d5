//! Commands that reach other tenants or the host: refused, unless a user's
//! profile allows them.

use std::time::{Duration, Instant};

use crate::backend::Version;
use crate::resp::Value;
use crate::world::{Door, ROOT, Setup, User, World, at_both_doors};

#[test]
fn guarded_commands_are_refused_in_redis_words() {
    // Redis 7.0 names no user.
    let words = "-NOPERM this user has no permissions to run the 'debug' command";
    World::start().client("app").talk(&[("DEBUG SLEEP 0", words)]);
    let world = World::with(Setup { version: Version::Redis8, ..Setup::default() });
    let mut client = world.client("app");
    for (command, name) in [
        ("DEBUG SLEEP 0", "debug"),
        ("SHUTDOWN NOSAVE", "shutdown"),
        ("REPLICAOF no one", "replicaof"),
        ("SLAVEOF no one", "slaveof"),
        ("SYNC", "sync"),
        ("PSYNC ? -1", "psync"),
        ("REPLCONF ACK 0", "replconf"),
        ("FAILOVER", "failover"),
        ("MONITOR", "monitor"),
        ("SAVE", "save"),
        ("BGSAVE", "bgsave"),
        ("BGREWRITEAOF", "bgrewriteaof"),
        ("MIGRATE host 1 k 0 1", "migrate"),
        ("PFDEBUG GETREG k", "pfdebug"),
    ] {
        let words = format!("-NOPERM User app has no permissions to run the '{name}' command");
        client.talk(&[(command, &words), (&command.to_lowercase(), &words)]);
    }
    for command in [
        "CONFIG SET maxmemory 0",
        "CONFIG REWRITE",
        "ACL SETUSER app nopass",
        "ACL DELUSER ops",
        "SCRIPT DEBUG SYNC",
    ] {
        assert!(
            client.ask(command).starts_with("-NOPERM User app has no permissions to run the '"),
            "{command}"
        );
    }
    assert!(client.ask("MODULE LOAD /tmp/x.so").starts_with("-NOPERM "));
    assert!(client.ask("CLUSTER RESET").starts_with("-NOPERM "));
    client.talk(&[("ACL WHOAMI", "$app"), ("SET k v", "+OK")]);
}

#[test]
fn a_refused_command_keeps_its_place_and_spoils_a_transaction() {
    let world = World::with(Setup { version: Version::Redis8, ..Setup::default() });
    let mut client = world.client("app");
    let words = "-NOPERM User app has no permissions to run the 'debug' command";
    let turns = [
        ("SET k 1", "+OK"),
        ("DEBUG SLEEP 0", words),
        ("GET k", "$1"),
        ("MULTI", "+OK"),
        ("SET k 2", "+QUEUED"),
        ("DEBUG SLEEP 0", words),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
        ("GET k", "$1"),
    ];
    client.pipeline(&turns);
    client.talk(&turns);
}

#[test]
fn a_profile_lets_named_commands_through() {
    let listed = User { commands: "[\"debug\", \"config|set\"]", ..crate::world::APP };
    let world =
        World::with(Setup { version: Version::Redis8, users: vec![listed, ROOT], ..Setup::default() });
    let mut app = world.client("app");
    app.talk(&[
        ("DEBUG SLEEP 0", "+OK"),
        ("CONFIG SET maxmemory-samples 6", "+OK"),
        ("SAVE", "-NOPERM User app has no permissions to run the 'save' command"),
    ]);
    assert!(app.ask("CONFIG REWRITE").starts_with("-NOPERM "));
    let mut root = world.client("root");
    root.talk(&[("SAVE", "+OK"), ("ACL SETUSER extra off", "+OK"), ("ACL DELUSER extra", ":1")]);
}

/// Where the script ends, its result comes behind the debugger's answer to the last step, without having
/// been asked for.
#[test]
fn a_script_may_be_debugged_by_whoever_is_given_that() {
    at_both_doors(|door| {
        if let Door::Gateway(world) = door {
            // Redis closes it then.
            world.announce("the backend closed the connection");
        }
        for (mode, size) in [("YES", 1), ("YES", 1 << 20), ("SYNC", 1), ("SYNC", 1 << 20)] {
            let mut client = door.client("root");
            client.talk(&[(&format!("SCRIPT DEBUG {mode}"), "+OK")]);
            let script = "local size = ARGV[1]; return {string.rep('x', size)}";
            let stopped = client.call(&["EVAL", script, "0", &size.to_string()]).to_string();
            assert!(stopped.contains("+* Stopped at 1"), "{stopped}");
            client.talk(&[("continue", "[+<endsession>]")]);
            assert!(client.read().items() == [Value::Bulk(vec![b'x'; size])], "{mode} {size}");
            client.expect_end();
        }
    });
}

#[test]
fn reading_the_servers_facts_is_allowed() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        assert!(client.ask("INFO server").contains("redis_version:"));
        let all = client.call(&["INFO"]);
        assert!(String::from_utf8_lossy(all.bytes()).contains("loading:0"));
        client.talk(&[("CONFIG GET databases", "[$databases, $16]"), ("TYPE none", "+none")]);
        for command in ["COMMAND COUNT", "DBSIZE"] {
            assert!(client.ask(command).starts_with(':'));
        }
        assert!(client.ask("CLIENT LIST").contains("user=app"));
        assert!(client.ask("ROLE").starts_with("[$master, :"));
        assert!(client.ask("COMMAND INFO get").starts_with("[[$get, :2"));
        assert!(client.ask("TIME").starts_with('['));
    });
}

#[test]
fn redis_own_rules_still_decide() {
    at_both_doors(|door| {
        let mut client = door.client("narrow");
        client.talk(&[("SET narrow:k v", "+OK"), ("GET narrow:k", "$v")]);
        assert!(client.ask("SET other v").starts_with("-NOPERM "));
        assert!(client.ask("SUBSCRIBE news").starts_with("-NOPERM "));
        client.pipeline(&[("GET narrow:k", "$v"), ("ACL WHOAMI", "$narrow")]);
    });
}

#[test]
fn a_busy_script_can_be_killed_by_another_session() {
    at_both_doors(|door| {
        let (mut busy, mut other) = (door.client("app"), door.client("app"));
        let mut root = door.client("root");
        root.talk(&[("CONFIG SET busy-reply-threshold 50", "+OK"), ("PING", "+PONG")]);
        busy.write(&crate::resp::request(&["EVAL", "while true do end", "0"]));
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            std::thread::sleep(Duration::from_millis(100));
            match other.ask("SCRIPT KILL").as_str() {
                "+OK" => break,
                refused => assert!(refused.starts_with("-NOTBUSY") && Instant::now() < deadline, "{refused}"),
            }
        }
        assert!(busy.read().to_string().contains("Script killed by user"));
        busy.talk(&[("PING", "+PONG")]);
    });
}
