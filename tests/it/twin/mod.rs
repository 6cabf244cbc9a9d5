//! The differential test: sessions by the thousand, each a number's, are played through the
//! gateway and to a twin of the server behind it, and every reply is compared.
//!
//! `RESPGATE_TWIN_SESSIONS` says how many in all, `RESPGATE_TWIN_FIRST` from which seed on,
//! `RESPGATE_TWIN_SERVER` on which server alone (`redis-7.0`, `redis-8.2`, `valkey-9.1`),
//! `RESPGATE_TWIN_SEED` replays one session and shows it.

mod commands;
mod compare;
#[path = "../../sim/dice.rs"]
mod dice;
mod exceptions;
mod frames;
mod phrases;
mod play;
mod request;
mod scenes;
mod scenes_of_bytes;
mod scenes_of_two;
mod shrink;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use respgate::command::{Commands, Profile, Verdict};
use respgate::resp::{Found, RequestLimits, RequestScanner};

use self::play::{Difference, Stage};
use self::request::Session;
use self::words::Words;
use crate::backend::{Redis, Version};
use crate::resp;
use crate::wire::Client;
use crate::world::{Setup, World};

/// A machine that is busy with something else for some seconds makes no difference.
const PATIENT: &str = "connect_timeout_ms = 60_000\nprobe_timeout_ms = 60_000\npeer_timeout_ms = 60_000\n\
    large_reply_stall_timeout_ms = 60_000\nop_timeout_ms = 300_000";

/// Side by side, each with a gateway, a server and a twin of its own.
const WORKERS: u64 = 4;

#[test]
fn twin_servers_one_of_them_behind_the_gateway_give_the_same_replies() {
    let sessions = from_env("RESPGATE_TWIN_SESSIONS").unwrap_or(10_000);
    let differences_max = from_env("RESPGATE_TWIN_DIFFERENCES").unwrap_or(3) as usize;
    let servers: Vec<Version> = match std::env::var("RESPGATE_TWIN_SERVER") {
        Ok(name) => Version::ALL.into_iter().filter(|version| version.name() == name).collect(),
        Err(_) => Version::ALL.to_vec(),
    };
    assert!(!servers.is_empty(), "RESPGATE_TWIN_SERVER is none of redis-7.0, redis-8.2 and valkey-9.1");
    if let Some(seed) = from_env("RESPGATE_TWIN_SEED") {
        servers.into_iter().for_each(|version| replay(version, seed));
        return;
    }
    let mut found = Vec::new();
    for version in &servers {
        found.extend(run(*version, sessions / servers.len() as u64, differences_max));
    }
    assert!(found.is_empty(), "{} differences:\n\n{}", found.len(), found.join("\n\n"));
}

/// Plays so many sessions, and returns what differed.
fn run(version: Version, sessions: u64, differences_max: usize) -> Vec<String> {
    let first = from_env("RESPGATE_TWIN_FIRST").unwrap_or(0);
    let start = Instant::now();
    let (played, requests) = (AtomicU64::new(0), AtomicU64::new(0));
    let (found, texts) = (Mutex::new(BTreeSet::new()), Mutex::new(Vec::new()));
    let excused = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (played, requests, found, texts) = (&played, &requests, &found, &texts);
            let excused = &excused;
            scope.spawn(move || {
                with_stage(version, |stage, words| {
                    for seed in (first + worker..first + sessions).step_by(WORKERS as usize) {
                        let _playing = Playing(version, seed);
                        let session = scenes::session(words, seed);
                        if let Some(difference) = stage.play(&session, |_| {}) {
                            let is_new = found.lock().expect("no worker panicked").insert(difference.kind());
                            stage.forget();
                            if is_new {
                                let text = tell(stage, &session, &difference, version, seed);
                                texts.lock().expect("no worker panicked").push(text);
                            }
                        }
                        if texts.lock().expect("no worker panicked").len() >= differences_max {
                            break;
                        }
                        requests.fetch_add(session.requests() as u64, Ordering::Relaxed);
                        let all = played.fetch_add(1, Ordering::Relaxed) + 1;
                        if all % 50_000 == 0 {
                            say(&format!(
                                "twin, {}: {all} sessions, {:.0?}",
                                version.name(),
                                start.elapsed()
                            ));
                        }
                    }
                    let mut all = excused.lock().expect("no worker panicked");
                    stage.excused.iter().for_each(|(id, count)| *all.entry(*id).or_default() += count);
                });
            });
        }
    });
    let (played, requests) = (played.into_inner(), requests.into_inner());
    let texts = texts.into_inner().expect("no worker panicked");
    let excused: BTreeMap<&str, u64> = excused.into_inner().expect("no worker panicked");
    say(&format!(
        "twin, {}: {played} sessions with {requests} requests in {:.1?}, {} differences, exceptions met {excused:?}",
        version.name(),
        start.elapsed(),
        texts.len(),
    ));
    texts
}

/// Tells a difference with the smallest session that shows it.
fn tell(stage: &mut Stage<'_>, session: &Session, first: &Difference, version: Version, seed: u64) -> String {
    let (small, difference) = shrink::shrink(stage, session);
    stage.forget();
    let shown: Vec<String> = small.steps.iter().map(|step| format!("  {step}")).collect();
    let again = match &difference {
        Some(difference) => format!("smallest: step {}, {}", difference.step, difference.text),
        None => "not seen again when replayed".to_owned(),
    };
    let text = format!(
        "RESPGATE_TWIN_SERVER={} RESPGATE_TWIN_SEED={seed} ({}, as {})\nstep {}, {}\n{again}\n{}",
        version.name(),
        session.kind,
        session.user,
        first.step,
        first.text,
        shown.join("\n")
    );
    say(&text);
    text
}

/// Plays one session and shows all of it.
fn replay(version: Version, seed: u64) {
    with_stage(version, |stage, words| {
        let session = scenes::session(words, seed);
        say(&format!("{}, seed {seed}: {}, as {}", version.name(), session.kind, session.user));
        let difference = stage.play(&session, say);
        assert!(difference.is_none(), "{difference:?}");
    });
}

/// A gateway, its server, and the server's twin. The twin's users are denied what the gateway
/// guards, so that Redis itself says what the gateway has to say then.
fn with_stage(version: Version, play: impl FnOnce(&mut Stage<'_>, &Words)) {
    let world = World::with(Setup { version, limits: PATIENT, ..Setup::default() });
    let directory = tempfile::tempdir().expect("a directory");
    let twin = Redis::start(version, directory.path(), &[]);
    let _last_words = LastWords(directory.path());
    for server in [&world.redis, &twin] {
        // Timeouts are noticed within a hundredth of a second, in the place of a tenth.
        server.client("root").talk(&[("CONFIG SET hz 100", "+OK")]);
    }
    let known = commands::known(&mut twin.client("root"));
    deny_guarded(&mut twin.client("root"), &known);
    // Each of the gateway's workers has met its server before what it says is compared.
    let mut first: Vec<Client> = (0..16).map(|_| world.client("app")).collect();
    first.iter_mut().for_each(|client| client.talk(&[("PING", "+PONG")]));
    drop(first);
    play(&mut Stage::new(version, &world, &twin), &Words::new(version, known));
}

/// Tells which session was under way when a worker panicked.
struct Playing(Version, u64);

impl Drop for Playing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(version, seed) = self;
            say(&format!("it was RESPGATE_TWIN_SERVER={} RESPGATE_TWIN_SEED={seed}", version.name()));
        }
    }
}

/// Tells what the twin in this directory wrote into its log last, when a worker panicked.
struct LastWords<'a>(&'a Path);

impl Drop for LastWords<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read(self.0.join("redis.log")).unwrap_or_default();
            let log = String::from_utf8_lossy(&log[log.len().saturating_sub(8_000)..]).into_owned();
            say(&format!("the twin's last words:\n{log}"));
        }
    }
}

fn deny_guarded(client: &mut Client, known: &[commands::Known]) {
    // Who is nobody after RESET: where nobody is on, Redis closes what has much to say to nobody.
    client.talk(&[("ACL SETUSER default on nopass -@all", "+OK")]);
    let table = Commands::new();
    let limits = RequestLimits { args_max: 10, bulk_bytes_max: 100 };
    for command in known {
        let bytes = resp::request(&command.words());
        let Ok(Found::Request(request)) = RequestScanner::default().scan(&bytes, limits) else {
            panic!("{} is a request", command.name);
        };
        if matches!(table.classify(&bytes, &request, &Profile::Default), Verdict::Refuse(_)) {
            for user in ["app", "narrow"] {
                let answer =
                    client.call(&["ACL", "SETUSER", user, &format!("-{}", command.name)]).to_string();
                assert_eq!(answer, "+OK", "{}", command.name);
            }
        }
    }
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Past the test harness, which keeps back what a passing test prints.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
