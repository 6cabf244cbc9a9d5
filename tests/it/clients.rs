//! Real client libraries, each connecting as its own documentation says: the
//! programs in tests/clients, and redis-rs here.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use redis::{AsyncCommands, ClientTlsConfig, Commands, TlsCertificates};

use crate::backend::{leashed, needed, target};
use crate::programs;
use crate::world::World;

/// Runs a program to its end and returns what it wrote. It must end by itself, well.
pub(crate) fn run(command: &mut Command) -> String {
    let shown = format!("{command:?}");
    let output = finish(command);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// Runs a program to its end, whatever that is; it is killed if it takes too long.
pub(crate) fn finish(command: &mut Command) -> Output {
    let shown = format!("{command:?}");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("installed");
    let pid = rustix::process::Pid::from_child(&child);
    let (done, waiting) = std::sync::mpsc::sync_channel::<()>(1);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if waiting.recv_timeout(Duration::from_secs(120)).is_err() {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        });
        // Both streams are read to their ends while it runs.
        let err = child.stderr.take().expect("piped");
        let err = scope.spawn(move || read_all(err));
        let out = read_all(child.stdout.take().expect("piped"));
        let start = Instant::now();
        let status = child.wait().expect("our child");
        let _ = done.send(());
        eprintln!("{shown}: {status} ({:?} after its output)", start.elapsed());
        Output { status, stdout: out, stderr: err.join().expect("only reads") }
    })
}

fn read_all(mut stream: impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("a pipe");
    bytes
}

/// A program of tests/clients.
pub(crate) fn source(name: &str) -> String {
    format!("{}/tests/clients/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn python(program: &str, version: &str, protocols: &[&str]) {
    let world = World::start();
    for protocol in protocols {
        let mut command = leashed(needed(target("venv/bin/python")));
        command
            .env("PYTHONPATH", needed(target(&format!("py/{version}"))))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command.arg(source(program)).arg(world.gateway.address.port().to_string());
        command.arg(world.path("")).args(["app", "app", protocol]);
        assert_eq!(run(&mut command), "ok\n");
    }
}

/// OS-19: with CA, certificate and key as PEM; with a wrong CA it refuses the gateway.
#[test]
fn redis_py_6_works_as_its_documentation_says() {
    python("redis_py.py", "6.4.0", &["default", "3"]);
}

#[test]
fn redis_py_7_works_as_its_documentation_says() {
    python("redis_py.py", "7.4.1", &["default", "3"]);
}

#[test]
fn redis_py_8_works_as_its_documentation_says() {
    python("redis_py.py", "8.1.0", &["default", "2"]);
}

#[test]
fn redis_py_works_with_asyncio_and_survives_cancelled_tasks() {
    python("redis_py_async.py", "6.4.0", &["default"]);
    python("redis_py_async.py", "8.1.0", &["default"]);
}

fn node(program: &str, module: &str, more: &[&str]) {
    let world = World::start();
    let mut command = programs::node(program, &[module], &world, "app");
    assert_eq!(run(command.arg("app").args(more)), "ok\n");
}

#[test]
fn node_redis_5_works_as_its_documentation_says() {
    node("node_redis.js", "redis5", &["default"]);
    node("node_redis.js", "redis5", &["3"]);
}

#[test]
fn node_redis_6_works_as_its_documentation_says() {
    node("node_redis.js", "redis6", &["default"]);
    node("node_redis.js", "redis6", &["2"]);
}

#[test]
fn ioredis_5_works_as_its_documentation_says() {
    node("ioredis.js", "ioredis5", &[]);
}

#[test]
fn ioredis_6_works_as_its_documentation_says() {
    node("ioredis.js", "ioredis6", &[]);
}

/// A client of redis-rs with the certificate of `app`.
pub(crate) fn redis_rs(world: &World, query: &str) -> redis::Client {
    let url = format!("rediss://localhost:{}/{query}", world.gateway.address.port());
    redis::Client::build_with_tls(url, certificates(world)).expect("a good URL")
}

/// What redis-rs shows and trusts.
pub(crate) fn certificates(world: &World) -> TlsCertificates {
    let read = |name: &str| std::fs::read(world.path(name)).expect("written at start");
    TlsCertificates {
        client_tls: Some(ClientTlsConfig { client_cert: read("app.crt"), client_key: read("app.key") }),
        root_cert: Some(read("ca.crt")),
    }
}

#[test]
fn redis_rs_works_as_its_documentation_says() {
    let world = World::start();
    for query in ["", "?protocol=resp3", "3?protocol=resp3"] {
        let client = redis_rs(&world, query);
        let mut c = client.get_connection_with_timeout(Duration::from_secs(20)).expect("connects");
        let key = |name: &str| format!("rs:{query}:{name}");
        let who: String = redis::cmd("ACL").arg("WHOAMI").query(&mut c).expect("an answer");
        assert_eq!(who, "app");
        let () = c.set(key("k"), "v").expect("set");
        assert_eq!(c.get::<_, String>(key("k")).expect("get"), "v");
        assert_eq!(c.get::<_, Option<String>>(key("none")).expect("get"), None);
        let replies: (String, i64, i64) = redis::pipe()
            .cmd("ECHO")
            .arg("token")
            .cmd("INCR")
            .arg(key("n"))
            .cmd("INCR")
            .arg(key("n"))
            .query(&mut c)
            .expect("a pipeline");
        assert_eq!(replies, ("token".to_owned(), 1, 2));
        let (n,): (i64,) = redis::transaction(&mut c, &[key("n")], |c, pipe| {
            let old: i64 = c.get(key("n"))?;
            pipe.set(key("n"), old + 1).ignore().get(key("n")).query(c)
        })
        .expect("a transaction");
        assert_eq!(n, 3);
        let popped: Option<(String, String)> = c.blpop(key("none"), 0.1).expect("a timeout is no error");
        assert_eq!(popped, None);
        let script = redis::Script::new("return ARGV[1] .. KEYS[1]");
        assert_eq!(script.key("k").arg("a").invoke::<String>(&mut c).expect("a script"), "ak");
        let refused = redis::cmd("DEBUG").arg("SLEEP").arg(0).exec(&mut c).expect_err("refused");
        assert_eq!(refused.code(), Some("NOPERM"));
        let mut publisher = client.get_connection().expect("connects");
        let mut pubsub = c.as_pubsub();
        pubsub.subscribe(key("news")).expect("subscribed");
        let receivers: i64 = publisher.publish(key("news"), "hello").expect("published");
        assert_eq!(receivers, 1);
        let message = pubsub.get_message().expect("a message");
        assert_eq!(message.get_payload::<String>().expect("text"), "hello");
    }
}

#[test]
fn redis_rs_works_with_tokio() {
    let world = World::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for query in ["", "?protocol=resp3"] {
            let client = redis_rs(&world, query);
            let c = client.get_multiplexed_async_connection().await.expect("connects");
            let tasks: Vec<_> = (0..50)
                .map(|n| {
                    let mut c = c.clone();
                    tokio::spawn(async move {
                        for i in 0..20 {
                            let token = format!("{n}:{i}");
                            let got: String = redis::cmd("ECHO").arg(&token).query_async(&mut c).await?;
                            assert_eq!(got, token);
                        }
                        redis::RedisResult::Ok(())
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("no panic").expect("no error");
            }
            let mut c = c;
            let () = c.set("rs:async", "v").await.expect("set");
            let both: (String, i64) = redis::pipe()
                .atomic()
                .get("rs:async")
                .strlen("rs:async")
                .query_async(&mut c)
                .await
                .expect("a transaction");
            assert_eq!(both, ("v".to_owned(), 1));
        }
    });
}
