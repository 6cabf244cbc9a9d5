//! Fences: a backend that answers once too often or once too little, at every position of a
//! conversation, and servers that let a client put replies behind its own. Up to the next fence a
//! shifted reply cannot be told from a right one; behind it nobody gets another's.

use std::time::{Duration, Instant};

use crate::backend::Version;
use crate::echo::say;
use crate::proxy::{Mood, Proxy};
use crate::resp::{Value, request, typed};
use crate::rogue::Rogue;
use crate::sessions::control::one_worker;
use crate::wire::{Client, PATIENCE};
use crate::world::{LOST, Setup, World};

const NOT_SENT: &str = "-ERR respgate: backend unavailable, command not sent";
const UNKNOWN: &str = "-ERR respgate: connection to the backend was lost, outcome unknown";

/// As many as the replies of a conversation and its fences, at the least.
const POSITIONS: u64 = 48;
/// A fence comes at the latest behind so many requests, and twice what a pipeline may hold.
const SHIFTED_MAX: usize = 16;

/// Commands and their replies; `#` is a token.
const TURNS: [(&str, &str); 12] = [
    ("ECHO #", "$#"),
    ("SET # #", "+OK"),
    ("GET #", "$#"),
    ("EVAL return{ARGV[1]} 0 #", "[$#]"),
    ("APPEND # #", ":70"),
    ("MULTI", "+OK"),
    ("ECHO #", "+QUEUED"),
    ("DEL #", "+QUEUED"),
    ("EXEC", "[$#, :1]"),
    ("SETRANGE # # #", "-ERR value is not an integer or out of range"),
    (
        "EVALSHA_RO 0000000000000000000000000000000000000000 0",
        "-NOSCRIPT No matching script. Please use EVAL.",
    ),
    ("ECHO #", "$#"),
];

struct Stage {
    world: World,
    proxy: Proxy,
    turns: u64,
}

impl Stage {
    fn new() -> Self {
        let proxy = Proxy::start(31);
        let world = World::with_unready(Setup {
            limits: "fence_commands = 8\nfence_ms = 100\nreconnect_max_ms = 100",
            database: Some(proxy.address.to_string()),
            edits: one_worker(),
            ..Setup::default()
        });
        world.announce(LOST);
        proxy.lead_to(&world.redis.socket());
        world.gateway.wait_ready();
        Self { world, proxy, turns: 0 }
    }

    /// Both clients write their pipelines, then both read. How many replies were another request's, all
    /// of them explained by what came before the fence.
    fn talk(&mut self, clients: &mut [Client; 2], what: &str) -> usize {
        let tokens = [0, 1].map(|client| {
            self.turns += 1;
            format!("TKN{client:08x}{:016x}{:08x}", self.turns, 0)
        });
        for (client, token) in clients.iter_mut().zip(&tokens) {
            let turns = TURNS.iter().map(|(command, _)| typed(&command.replace('#', token)));
            client.write(&turns.collect::<Vec<_>>().concat());
        }
        let mut shifted = 0;
        for (client, token) in clients.iter_mut().zip(&tokens) {
            for (command, wanted) in TURNS {
                let got = client.read();
                let text = got.to_string();
                let is_right = text == wanted.replace('#', token);
                if is_right || text == UNKNOWN || text == NOT_SENT {
                    continue;
                }
                let is_explained = self.proxy.deeds.tainted.lock().expect("not poisoned").explains(&got);
                assert!(is_explained, "{what}: {command} of {token} got {text}, wanted {wanted}");
                shifted += 1;
            }
        }
        shifted
    }

    /// Strikes once and talks until the link has ended; then all is well again.
    fn strike(&mut self, rogue: Rogue, position: u64) -> usize {
        let what = format!("{rogue:?} at {position}");
        let mut clients = [self.world.client("app"), self.world.client("app")];
        self.recover(&mut clients);
        let lost = self.world.gateway.stderr.count();
        self.proxy.deeds.tainted.lock().expect("not poisoned").arm(position);
        self.proxy.set(Mood::Rogue(rogue));
        let mut shifted = 0;
        let deadline = Instant::now() + PATIENCE;
        loop {
            shifted += self.talk(&mut clients, &what);
            let has_struck = !self.proxy.deeds.tainted.lock().expect("not poisoned").is_armed();
            let lines = self.world.gateway.stderr.after(lost);
            if has_struck && lines.iter().any(|line| line.contains("ERROR") && line.contains(LOST)) {
                break;
            }
            assert!(Instant::now() < deadline, "{what}: struck: {has_struck}, and the link goes on");
        }
        self.proxy.set(Mood::Honest);
        assert!(shifted <= SHIFTED_MAX, "{what}: {shifted} replies went astray before a fence");
        self.recover(&mut clients);
        for _ in 0..2 {
            assert_eq!(self.talk(&mut clients, &what), 0, "{what}: behind the fence");
        }
        shifted
    }

    fn recover(&self, clients: &mut [Client; 2]) {
        let deadline = Instant::now() + PATIENCE;
        for client in clients {
            while client.ask("ECHO TKNback") != "$TKNback" {
                assert!(Instant::now() < deadline, "no way back");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

#[test]
fn one_reply_too_many_or_too_few_at_any_position_goes_no_further_than_the_fence() {
    let mut stage = Stage::new();
    let mut shifted = 0;
    for position in 0..POSITIONS {
        shifted += stage.strike(Rogue::Surplus, position);
        shifted += stage.strike(Rogue::Missing, position);
    }
    say(&format!("fences: {POSITIONS} positions, {shifted} replies shifted before a fence, none behind"));
    assert!(shifted > 0, "no reply was ever shifted: this proves nothing");
}

/// What makes a server put more behind its reply, where it lets that: requests in one pipeline.
fn attacks() -> Vec<(&'static str, Vec<Vec<String>>)> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    // Inside EXEC's reply it can be an array, which takes in the elements behind it, and whatever follows.
    let within = |attack: &[&str]| [&["MULTI"], attack, &["ECHO", "behind"], &["EXEC"]].map(words).to_vec();
    let open = r"error('x\r\n*4\r\n+y')";
    // Whole replies: a bulk, and a simple string that takes in what follows.
    let raise = r"error('x\r\n$6\r\nstolen\r\n+stolen')";
    let call = r"redis['x\r\n$6\r\nstolen\r\n+stolen']()";
    let function = format!("#!lua name=attack\nredis.register_function('attack', function() {raise} end)");
    let load = format!("#!lua name=broken\n{call}");
    vec![
        ("EVAL", vec![words(&["EVAL", raise, "0"])]),
        ("EVAL_RO", vec![words(&["EVAL_RO", raise, "0"])]),
        ("EXEC", vec![words(&["MULTI"]), words(&["EVAL", raise, "0"]), words(&["EXEC"])]),
        ("EXEC of an open array by EVAL", within(&["EVAL", open, "0"])),
        ("EXEC of an open array by FUNCTION LIST", within(&["FUNCTION", "LIST", "x\r\n*3"])),
        ("FCALL", vec![words(&["FUNCTION", "LOAD", "REPLACE", &function]), words(&["FCALL", "attack", "0"])]),
        ("FUNCTION LOAD", vec![words(&["FUNCTION", "LOAD", &load])]),
        ("FUNCTION LIST", vec![words(&["FUNCTION", "LIST", "x\r\n$6\r\nstolen\r\n+stolen"])]),
    ]
}

/// Whether Redis itself, asked directly, answers these requests with more or less than as many replies.
fn is_let_by(mut direct: Client, bytes: &[u8], count: usize) -> bool {
    direct.write(&[bytes, &typed("ECHO behind"), &typed("QUIT")].concat());
    let replies: Vec<Value> = std::iter::from_fn(|| direct.try_read().ok()).collect();
    replies.len() != count + 2 || replies[count].to_string() != "$behind"
}

/// Redis has something else to do for a moment, so that what is written now is answered together.
fn keep_busy(root: &mut Client) {
    // Tens of milliseconds; a script's own clock stands still.
    let script = "local n = 0 for i = 1, 2000000 do n = n + i % 3 end";
    root.write(&request(&["EVAL", script, "0"]));
    std::thread::sleep(Duration::from_millis(5));
}

#[test]
fn what_a_server_lets_a_client_inject_reaches_nobody_else() {
    for version in Version::ALL {
        let world = World::with(Setup { version, edits: one_worker(), ..Setup::default() });
        world.announce(LOST);
        let mut hits = Vec::new();
        for (name, requests) in attacks() {
            let bytes: Vec<u8> = requests.iter().flat_map(|words| request(words)).collect();
            if is_let_by(world.redis.client("root"), &bytes, requests.len()) {
                hits.push(name);
            }
            for _ in 0..3 {
                attack(&world, &mut world.redis.client("root"), &bytes, &format!("{version:?}, {name}"));
            }
        }
        say(&format!("fences: {version:?} lets clients inject by {hits:?}"));
        // If a newer server lets none, look for another that does: this test needs one.
        assert!(!hits.is_empty(), "{version:?} lets nobody inject anything");
    }
}

/// One client attacks, and its neighbours on the same link ask on.
fn attack(world: &World, root: &mut Client, bytes: &[u8], what: &str) {
    let (mut attacker, mut neighbours) = (world.client("app"), [world.client("app"), world.client("app")]);
    // All have their link.
    for client in std::iter::once(&mut attacker).chain(&mut neighbours) {
        let deadline = Instant::now() + PATIENCE;
        while client.ask("ECHO ready") != "$ready" {
            assert!(Instant::now() < deadline, "{what}: no way back");
        }
    }
    keep_busy(root);
    attacker.write(bytes);
    std::thread::sleep(Duration::from_millis(5));
    for (number, client) in neighbours.iter_mut().enumerate() {
        client
            .write(&(0..4).flat_map(|turn| typed(&format!("ECHO mine-{number}-{turn}"))).collect::<Vec<_>>());
    }
    for (number, client) in neighbours.iter_mut().enumerate() {
        for turn in 0..4 {
            let got = client.read().to_string();
            let mine = format!("$mine-{number}-{turn}");
            assert!([UNKNOWN, NOT_SENT, &mine].contains(&got.as_str()), "{what}: {mine} was answered {got}");
        }
    }
    assert_eq!(root.read(), Value::Nil);
}
