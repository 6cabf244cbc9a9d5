//! No state crosses clients: random sessions that leave all the state they can, a third of them ended
//! by a reset, and after each a probe that must find a connection as it was made, and nothing that
//! was meant for anybody else.
//!
//! `RESPGATE_STATES` is how many sessions there are, `RESPGATE_STATES_SEED` gives others.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::backend::Version;
use crate::dice::Dice;
use crate::echo::{from_env, say};
use crate::resp::{Value, request, typed};
use crate::wire::{Client, PATIENCE};
use crate::world::{Setup, World};

/// Sessions at a time.
const THREADS: u64 = 16;
/// Whose sessions these are. Only root's may MONITOR.
const USERS: [&str; 3] = ["app", "ops", "root"];
/// How long a probe is listened to, while its thread does other things.
const LATER: Duration = Duration::from_millis(100);

/// Each leaves something behind, or tries to. `{n}` is a number, `{id}` the session's own mark.
const COMMANDS: [&str; 62] = [
    "SELECT {n}",
    "SELECT {n}",
    "SELECT 99",
    "MULTI",
    "MULTI",
    "EXEC",
    "DISCARD",
    "WATCH k:{n}",
    "UNWATCH",
    "SET k:{n} {id}",
    "GET k:{n}",
    "INCR n:{n}",
    "DEL k:{n}",
    "SUBSCRIBE news",
    "SUBSCRIBE news own:{id}",
    "PSUBSCRIBE n*",
    "SSUBSCRIBE news",
    "UNSUBSCRIBE",
    "UNSUBSCRIBE news",
    "PUNSUBSCRIBE",
    "SUNSUBSCRIBE",
    "PUBLISH news {id}",
    "SPUBLISH news {id}",
    "CLIENT SETNAME {id}",
    "CLIENT GETNAME",
    "CLIENT SETINFO LIB-NAME {id}",
    "CLIENT SETINFO LIB-VER {n}",
    "CLIENT TRACKING ON",
    "CLIENT TRACKING ON BCAST",
    "CLIENT TRACKING ON BCAST PREFIX k: NOLOOP",
    "CLIENT TRACKING ON OPTIN",
    "CLIENT TRACKING ON OPTOUT",
    "CLIENT TRACKING OFF",
    "CLIENT CACHING YES",
    "CLIENT CACHING NO",
    "CLIENT REPLY OFF",
    "CLIENT REPLY SKIP",
    "CLIENT REPLY ON",
    "CLIENT NO-EVICT ON",
    "CLIENT NO-TOUCH ON",
    "CLIENT INFO",
    "CLIENT ID",
    "HELLO 3",
    "HELLO 3",
    "HELLO 2",
    "HELLO 3 SETNAME {id}",
    "HELLO 3 AUTH nobody wrong",
    "AUTH nobody wrong",
    "BLPOP none:{id} 0.01",
    "BLPOP none:{id} 0",
    "BLMOVE none:{id} none LEFT LEFT 0.01",
    "XREAD BLOCK 10 STREAMS none:{id} $",
    "WAIT 0 10",
    "READONLY",
    "READWRITE",
    "ASKING",
    "MONITOR",
    "RESET",
    "ECHO {id}",
    "EVAL return{ARGV[1]} 0 {id}",
    "NOSUCHCOMMAND {id}",
    "SCRIPT DEBUG NO",
];

/// With a Redis that knows all of the state.
fn world() -> World {
    World::with(Setup { version: Version::Redis8, ..Setup::default() })
}

#[test]
fn what_random_sessions_leave_behind_reaches_nobody() {
    let sessions = from_env("RESPGATE_STATES", 1_000);
    let seed = from_env("RESPGATE_STATES_SEED", 1);
    let world = world();
    let mut root = world.redis.client("root");
    for number in 0..16 {
        root.talk(&[(&format!("SELECT {number}"), "+OK"), (&format!("SET database {number}"), "+OK")]);
    }
    let next = AtomicU64::new(0);
    let resets = AtomicU64::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let hosts: Vec<_> =
            (0..THREADS).map(|_| scope.spawn(|| host(&world, &next, sessions, seed, &resets))).collect();
        // Somebody has always news, and changes what may be tracked.
        let mut number = 0;
        root.talk(&[("SELECT 0", "+OK")]);
        while hosts.iter().any(|host| !host.is_finished()) {
            number += 1;
            root.ask(&format!("PUBLISH news foreign-{number}"));
            root.ask(&format!("SPUBLISH news foreign-{number}"));
            root.ask(&format!("SET k:{} foreign-{number}", number % 10));
            std::thread::sleep(Duration::from_millis(3));
        }
        hosts.into_iter().for_each(|host| host.join().expect("no probe found anything"));
    });
    assert_links_are_clean(&mut root, sessions, seed);
    say(&format!(
        "states: {sessions} sessions in {:.0?}, {} ended by a reset; no probe found anything",
        start.elapsed(),
        resets.load(Relaxed)
    ));
    assert!(resets.load(Relaxed) > sessions / 4);
}

/// One thread's sessions, one after the other, with the probes that are still listened to.
fn host(world: &World, next: &AtomicU64, sessions: u64, seed: u64, resets: &AtomicU64) {
    let mut probes: VecDeque<(Instant, u64, Client)> = VecDeque::new();
    loop {
        let number = next.fetch_add(1, Relaxed);
        if number >= sessions {
            break;
        }
        let mut dice = Dice::new(seed << 32 | number);
        let script = Script::new(number, &mut dice);
        script.play(world);
        resets.fetch_add(u64::from(script.end == End::Reset), Relaxed);
        let prober = if dice.is_one_in(4) { USERS[dice.below(3) as usize] } else { script.user };
        probes.push_back((Instant::now(), number, probe(world, prober, number)));
        while probes.front().is_some_and(|(since, ..)| since.elapsed() >= LATER) {
            listen(probes.pop_front().expect("looked at"));
        }
    }
    for probe in probes {
        std::thread::sleep(LATER.saturating_sub(probe.0.elapsed()));
        listen(probe);
    }
}

/// How a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Reset,
    Fin,
    Quit,
    Dropped,
}

/// What one session does: its writes, how long it reads after each, and how it ends.
struct Script {
    user: &'static str,
    writes: Vec<(Vec<u8>, Duration)>,
    end: End,
}

impl Script {
    /// One to forty commands in a few writes.
    fn new(number: u64, dice: &mut Dice) -> Self {
        let user = USERS[dice.below(3) as usize];
        let mut writes = Vec::new();
        let mut left = 1 + dice.below(40);
        while left > 0 {
            let now = dice.magnitude(left);
            left -= now;
            let mut bytes = Vec::new();
            for _ in 0..now {
                let command = COMMANDS[dice.below(COMMANDS.len() as u64) as usize];
                let command = command.replace("{n}", &dice.below(10).to_string());
                bytes.extend(typed(&command.replace("{id}", &format!("leak-{number}"))));
            }
            if dice.is_one_in(200) {
                // One that travels on a link of its own.
                bytes.extend(request(&["SET", "k:1", &"x".repeat(2 << 20)]));
            }
            if dice.is_one_in(20) {
                // The end of a request that never comes.
                bytes.truncate(bytes.len() - dice.below(bytes.len() as u64) as usize);
                left = 0;
            }
            // Some wait for what comes, some write on, and some are gone before it is done.
            let pause = if dice.is_one_in(3) { 0 } else { dice.magnitude(12) };
            writes.push((bytes, Duration::from_millis(pause)));
        }
        let end = [End::Reset, End::Reset, End::Fin, End::Quit, End::Dropped, End::Dropped];
        Self { user, writes, end: end[dice.below(6) as usize] }
    }

    fn play(&self, world: &World) {
        let mut client = world.client(self.user);
        for (bytes, pause) in &self.writes {
            if client.try_write(bytes).is_err() {
                break;
            }
            client.read_for(*pause);
        }
        match self.end {
            End::Reset => client.reset(),
            End::Fin => client.finish_writing(),
            End::Quit => {
                let _ = client.try_write(&typed("QUIT"));
                client.read_for(Duration::from_millis(5));
            }
            End::Dropped => {}
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "as {}:", self.user)?;
        for (bytes, pause) in &self.writes {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).replace("\r\n", " ");
            writeln!(f, "  {text}, reads for {pause:?}")?;
        }
        write!(f, "  {:?}", self.end)
    }
}

/// A fresh client finds what a fresh client finds.
fn probe(world: &World, user: &str, number: u64) -> Client {
    let mut client = world.client(user);
    if let Err(found) = inspect(&mut client, user) {
        panic!("after session {number}: {found}");
    }
    client
}

/// What is as it is only in a connection that has been used, by anybody.
fn inspect(client: &mut Client, user: &str) -> Result<(), String> {
    let mine = format!("${user}");
    let turns = [
        ("GET database", "$0"),
        ("ACL WHOAMI", &mine),
        ("CLIENT GETNAME", "nil"),
        ("CLIENT TRACKINGINFO", "[$flags, [$off], $redirect, :-1, $prefixes, []]"),
        ("CLIENT GETREDIR", ":-1"),
        // A map, if this were RESP3.
        ("HGETALL none", "[]"),
        ("PING", "+PONG"),
        ("EXEC", "-ERR EXEC without MULTI"),
    ];
    let last = ["CLIENT INFO", "ECHO last"];
    let commands = turns.iter().map(|(command, _)| *command).chain(last);
    client.write(&commands.flat_map(typed).collect::<Vec<u8>>());
    let mut read = |what: &str| client.try_read().map_err(|error| format!("{what}: {error}"));
    for (command, wanted) in turns {
        let got = read(command)?.to_string();
        if got != wanted {
            return Err(format!("in answer to {command}: {got}"));
        }
    }
    let about = read("CLIENT INFO")?.to_string();
    let clean = " name= db=0 sub=0 psub=0 multi=-1 flags=N redir=-1 resp=2 lib-name= lib-ver=";
    for part in clean.split(' ').filter(|part| !part.is_empty()).chain([format!("user={user}").as_str()]) {
        let name = part.split_inclusive('=').next().unwrap_or(part);
        let field = about.split(' ').find(|field| field.trim_start_matches('$').starts_with(name));
        if field.map(str::trim_end) != Some(part) {
            return Err(format!("{field:?}, not {part}, in {about}"));
        }
    }
    match read("ECHO last")?.to_string().as_str() {
        "$last" => Ok(()),
        other => Err(format!("in answer to ECHO last: {other}")),
    }
}

/// Since then nothing has come, and the next answer is its own.
fn listen((_, number, mut client): (Instant, u64, Client)) {
    client.talk(&[("ECHO later", "$later"), ("GET database", "$0")]);
    assert_eq!(client.read_for(Duration::from_millis(1)), b"", "after session {number}");
}

/// Of the gateway's connections to Redis only shared ones are left, and none has anything of a client's.
fn assert_links_are_clean(root: &mut Client, sessions: u64, seed: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let Value::Bulk(list) = root.call(&["CLIENT", "LIST"]) else { panic!("no list") };
        let list = String::from_utf8_lossy(&list).into_owned();
        let has = |line: &str, part: &str| line.contains(part);
        let dirty: Vec<&str> = list
            .lines()
            .filter(|line| has(line, " name=respgate "))
            .filter(|line| {
                let is_clean =
                    [" sub=0 ", " psub=0 ", " multi=-1 ", " redir=-1 "].iter().all(|part| has(line, part));
                !is_clean || has(line, "leak-") || !(has(line, " flags=N ") || has(line, " flags=U "))
            })
            .collect();
        if dirty.is_empty() {
            assert!(!list.contains("leak-"), "{list}");
            return;
        }
        if Instant::now() > deadline {
            let scripts = waiting(root, sessions).into_iter().map(|number| {
                format!("{number} {}", Script::new(number, &mut Dice::new(seed << 32 | number)))
            });
            let scripts: Vec<String> = scripts.take(5).collect();
            panic!("state is left in {dirty:#?}\nsessions that wait on:\n{}", scripts.join("\n"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sessions that are gone and still take an element.
fn waiting(root: &mut Client, sessions: u64) -> Vec<u64> {
    (0..sessions)
        .filter(|number| {
            (0..10).any(|database| {
                root.talk(&[(&format!("SELECT {database}"), "+OK")]);
                root.ask(&format!("RPUSH none:leak-{number} item"));
                root.ask(&format!("DEL none:leak-{number}")) == ":0"
            })
        })
        .collect()
}

#[test]
fn a_probe_finds_what_a_session_has_left_in_its_own_connection() {
    let world = world();
    world.redis.client("root").talk(&[("SET database 0", "+OK")]);
    probe(&world, "app", 0);
    for left in [
        "SELECT 3",
        "MULTI",
        "HELLO 3",
        "CLIENT SETNAME leak-1",
        "CLIENT SETINFO LIB-NAME leak-1",
        "CLIENT SETINFO LIB-VER 1",
        "CLIENT NO-EVICT ON",
        "CLIENT NO-TOUCH ON",
        "CLIENT REPLY SKIP",
        "SUBSCRIBE news",
        "BLPOP none 0.5",
    ] {
        let mut client = world.client("app");
        client.write(&typed(left));
        if !left.contains("SKIP") && !left.contains("BLPOP") {
            client.read();
        }
        assert!(inspect(&mut client, "app").is_err(), "{left} was not found");
    }
    let mut tracking = world.client("app");
    tracking.send("HELLO 3");
    tracking.read();
    tracking.talk(&[("CLIENT TRACKING ON BCAST", "+OK"), ("CLIENT SETNAME x", "+OK")]);
    assert!(inspect(&mut tracking, "app").is_err(), "tracking was not found");
    assert!(inspect(&mut world.client("app"), "ops").is_err(), "another user was not found");
}
