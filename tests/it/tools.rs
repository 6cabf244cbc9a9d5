//! Redis' own tools: redis-cli and redis-benchmark, unmodified.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::backend::leashed;
use crate::clients::{finish, run};
use crate::pki::{Leaf, pki};
use crate::world::World;

/// redis-cli or redis-benchmark with a user's certificate, as one types it.
pub(crate) fn tool(world: &World, program: &str, user: &str) -> Command {
    let mut command = leashed(program);
    command.args(["-h", "localhost", "-p", &world.gateway.address.port().to_string(), "--tls"]);
    command.arg("--cert").arg(world.path(&format!("{user}.crt")));
    command.arg("--key").arg(world.path(&format!("{user}.key")));
    command.arg("--cacert").arg(world.path("ca.crt"));
    command.env_remove("REDISCLI_AUTH").current_dir(world.path(""));
    command
}

/// One command through redis-cli.
pub(crate) fn cli(world: &World, user: &str, args: &[&str]) -> String {
    run(tool(world, "redis-cli", user).args(args))
}

/// redis-cli with lines on its standard input.
pub(crate) fn typed_into(command: &mut Command, lines: &str) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("installed");
    let mut input = child.stdin.take().expect("piped");
    let lines = lines.to_owned();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads its input");
    assert!(output.status.success(), "{}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// RE-13
#[test]
fn each_certificate_answers_with_its_own_redis_user() {
    let world = World::start();
    for user in ["app", "ops", "narrow"] {
        assert_eq!(cli(&world, user, &["ACL", "WHOAMI"]), format!("{user}\n"));
        let record = world.wait_audit("of an accepted client", |record| {
            record["outcome"] == "accepted" && record["user"] == *user
        });
        assert_eq!(record["redis_user"], *user);
        assert_eq!(record["subject"], format!("CN={user},O=Acme"));
        for field in ["time", "peer", "serial", "fingerprint"] {
            assert!(record[field].as_str().is_some_and(|text| !text.is_empty()), "no {field} in {record:#}");
        }
    }
}

#[test]
fn an_unmapped_certificate_is_refused_with_a_reference() {
    let world = World::start();
    pki().trusted.issue(Leaf::client("CN=stranger,O=Acme")).write(&world.path(""), "stranger");
    let output = finish(tool(&world, "redis-cli", "stranger").args(["ACL", "WHOAMI"]));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = "NOPERM no user is mapped to this certificate (reference ";
    let reference = text.split_once(words).and_then(|(_, rest)| rest.get(..4)).unwrap_or_default().to_owned();
    assert_eq!(text.trim(), format!("{words}{reference})"));
    let record = world.wait_audit("with that reference", |record| record["reference"] == *reference);
    assert_eq!(record["outcome"], "refused");
    assert_eq!(record["reason"], "no_mapping");
    assert_eq!(record["subject"], "CN=stranger,O=Acme");
    world.gateway.stderr.wait_for("with that reference", |line| line.contains(&reference));
    assert_eq!(cli(&world, "app", &["PING"]), "PONG\n");
}

#[test]
fn redis_benchmark_runs_pipelined() {
    let world = World::start();
    let tests = "ping,set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset";
    let arguments = ["-c", "20", "-n", "4000", "-P", "16", "-r", "1000", "-q", "-t", tests];
    let text = run(tool(&world, "redis-benchmark", "app").args(arguments));
    assert!(!text.to_lowercase().contains("error"), "{text}");
    for name in ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "LRANGE_100", "MSET"] {
        assert!(text.contains(&format!("{name}: ")) || text.contains(&format!("{name} (")), "{name}: {text}");
    }
    let three = ["-3", "-c", "5", "-n", "1000", "-P", "4", "-q", "-t", "get,set", "--dbnum", "2"];
    assert!(run(tool(&world, "redis-benchmark", "app").args(three)).contains("GET: "));
}

#[test]
fn redis_cli_pipe_loads_a_mass_of_commands() {
    let world = World::start();
    let count = 20_000;
    let lines: String = (0..count).map(|n| format!("SET mass:{n} {n}\r\n")).collect();
    let text = typed_into(tool(&world, "redis-cli", "app").arg("--pipe"), &lines);
    assert!(text.contains(&format!("errors: 0, replies: {count}")), "{text}");
    assert_eq!(cli(&world, "app", &["DBSIZE"]), format!("{count}\n"));
    let keys = cli(&world, "app", &["--scan", "--pattern", "mass:*"]);
    assert_eq!(keys.lines().count(), count);
    let keys = cli(&world, "app", &["--bigkeys", "-i", "0"]);
    assert!(keys.contains(&format!("Sampled {count} keys")), "{keys}");
    assert!(cli(&world, "app", &["--memkeys"]).contains(&format!("Sampled {count} keys")));
}

#[test]
fn redis_cli_sessions_keep_their_state_from_line_to_line() {
    let world = World::start();
    let lines = "SET k v\nMULTI\nGET k\nINCR n\nEXEC\nSELECT 2\nGET k\nCLIENT SETNAME me\nCLIENT GETNAME\nACL WHOAMI\n";
    let text = typed_into(&mut tool(&world, "redis-cli", "app"), lines);
    assert_eq!(text, "OK\nOK\nQUEUED\nQUEUED\nv\n1\nOK\n\nOK\nme\napp\n");
    let text =
        typed_into(tool(&world, "redis-cli", "app").arg("-3"), "HSET h f v\nHGETALL h\nEVAL 'return 1' 0\n");
    assert_eq!(text, "1\nf v\n1\n");
    assert_eq!(cli(&world, "app", &["-n", "2", "DBSIZE"]), "0\n");
    assert_eq!(cli(&world, "app", &["BLPOP", "none", "0.1"]), "\n");
    assert_eq!(cli(&world, "app", &["--eval", "/dev/null"]).trim(), "");
    assert_eq!(cli(&world, "app", &["--user", "app", "--pass", "x", "--no-auth-warning", "PING"]), "PONG\n");
}

#[test]
fn redis_cli_subscribes_in_both_protocols() {
    let world = World::start();
    for protocol in ["-2", "-3"] {
        let mut command = tool(&world, "redis-cli", "app");
        command.args([protocol, "SUBSCRIBE", "news"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("installed");
        let lines = crate::log::Lines::of(child.stdout.take().expect("piped"));
        lines.wait_for("of the subscription", |line| line.contains("subscribe"));
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(cli(&world, "ops", &["PUBLISH", "news", "hello"]), "1\n");
        lines.wait_for("of the message", |line| line.contains("hello"));
        child.kill().expect("our child");
        child.wait().expect("our child");
    }
}

#[test]
fn both_versions_of_tls_are_spoken_and_no_session_is_resumed() {
    let world = World::start();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let read = |end: &str| std::fs::read_to_string(world.path(&format!("app.{end}"))).expect("written");
        let identity = crate::pki::Identity { certificate: read("crt"), key: read("key") };
        let config = crate::pki::client_config_for(Some(&identity), &[version]);
        for _ in 0..3 {
            let mut client =
                crate::wire::Client::tls(world.gateway.address, config.clone()).expect("lets it in");
            client.talk(&[("ACL WHOAMI", "$app")]);
            assert_eq!(client.tls_facts(), Some((version.version, 0, false)), "version, tickets, resumed");
        }
    }
}
