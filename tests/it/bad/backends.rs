//! Backends that are down, refuse the gateway, or break the protocol.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::resp::{self, Stop, Value};
use crate::wire::Client;
use crate::world::{LOST, Setup, World};

const NOT_SENT: &str = "-ERR respgate: backend unavailable, command not sent";
const UNKNOWN: &str = "-ERR respgate: connection to the backend was lost, outcome unknown";

/// What a rogue backend does at `GET evil`; all else it answers as Redis would.
#[derive(Clone, Copy)]
enum Rogue {
    RefusesAuth,
    /// Reads no further.
    Hangs,
    /// Writes this, and stays.
    Says(&'static [u8]),
    /// Writes this, and closes.
    SaysAndCloses(&'static [u8]),
}

/// A small server that speaks enough RESP to be greeted.
fn rogue(behaviour: Rogue) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            std::thread::spawn(move || serve(socket, behaviour));
        }
    });
    address
}

fn serve(mut socket: TcpStream, behaviour: Rogue) {
    let mut bytes = Vec::new();
    loop {
        match resp::read(&bytes) {
            Ok((request, took)) => {
                bytes.drain(..took);
                let words = request.items();
                let word =
                    |at: usize| words.get(at).map(|w| String::from_utf8_lossy(w.bytes()).to_uppercase());
                let answer = match (word(0).unwrap_or_default().as_str(), behaviour) {
                    ("AUTH", Rogue::RefusesAuth) => b"-WRONGPASS invalid username-password pair\r\n".to_vec(),
                    ("HELLO", _) => hello(word(1).as_deref() == Some("3")),
                    ("PING", _) => b"+PONG\r\n".to_vec(),
                    ("ECHO", _) => bulk(words[1].bytes()),
                    ("GET", Rogue::Hangs) if words[1].bytes() == b"evil" => loop {
                        std::thread::park();
                    },
                    ("GET", Rogue::Says(text)) if words[1].bytes() == b"evil" => text.to_vec(),
                    ("GET", Rogue::SaysAndCloses(text)) if words[1].bytes() == b"evil" => {
                        let _ = socket.write_all(text);
                        return;
                    }
                    ("GET", _) => bulk(words[1].bytes()),
                    _ => b"+OK\r\n".to_vec(),
                };
                if socket.write_all(&answer).is_err() {
                    return;
                }
            }
            Err(Stop::Short) => {
                let mut piece = [0; 4096];
                match socket.read(&mut piece) {
                    Ok(count) if count > 0 => bytes.extend_from_slice(&piece[..count]),
                    _ => return,
                }
            }
            Err(Stop::Garbage(line)) => panic!("the gateway sent what is not RESP: {line:?}"),
        }
    }
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn hello(is_resp3: bool) -> Vec<u8> {
    let head = if is_resp3 { "%7" } else { "*14" };
    format!(
        "{head}\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:{}\r\n$2\r\nid\r\n:1\r\n\
         $4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n",
        if is_resp3 { 3 } else { 2 }
    )
    .into_bytes()
}

fn behind(behaviour: Rogue, limits: &'static str) -> World {
    let world = World::with_unready(Setup {
        database: Some(rogue(behaviour).to_string()),
        limits,
        ..Setup::default()
    });
    world.announce(LOST);
    world
}

/// After the fault, a client's commands get their own replies again.
fn assert_in_step(world: &World) {
    let mut client = world.client("app");
    let deadline = Instant::now() + Duration::from_secs(10);
    for n in 0..50 {
        loop {
            let got = client.ask(&format!("GET token{n}"));
            if got == format!("$token{n}") {
                break;
            }
            // Until a new link is up; never something else.
            assert!(got == NOT_SENT || got == UNKNOWN, "{got}");
            assert!(Instant::now() < deadline, "still {got}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// One client asks for what makes the backend misbehave, with requests before and
/// behind it. Nobody may get a reply that is not theirs.
fn misbehaves(behaviour: Rogue, limits: &'static str, expected: &[&str]) {
    let world = behind(behaviour, limits);
    let mut neighbour = world.client("app");
    let mut other_user = world.client("ops");
    neighbour.talk(&[("GET mine", "$mine")]);
    other_user.talk(&[("GET mine", "$mine")]);
    let mut client = world.client("app");
    client.write(&["GET first", "GET evil", "GET last"].map(resp::typed).concat());
    // Its reply may have come in the same read as what broke the link.
    let first = client.read().to_string();
    assert!(["$first", UNKNOWN].contains(&first.as_str()), "GET first: {first}");
    let evil = client.read().to_string();
    assert!(expected.contains(&evil.as_str()), "GET evil: {evil}");
    let last = client.read().to_string();
    assert!([UNKNOWN, NOT_SENT, "$last"].contains(&last.as_str()), "GET last: {last}");
    // Another user's link is another connection: it noticed nothing.
    other_user.talk(&[("GET mine", "$mine")]);
    let got = neighbour.ask("GET mine");
    assert!([UNKNOWN, NOT_SENT, "$mine"].contains(&got.as_str()), "the neighbour got {got}");
    assert_in_step(&world);
    drop(client);
}

#[test]
fn a_reply_cut_short_is_an_unknown_outcome() {
    misbehaves(Rogue::SaysAndCloses(b"$10\r\nabc"), "", &[UNKNOWN]);
    misbehaves(Rogue::SaysAndCloses(b""), "", &[UNKNOWN]);
    misbehaves(Rogue::SaysAndCloses(b"*2\r\n$1\r\na\r\n"), "", &[UNKNOWN]);
}

#[test]
fn a_backend_that_answers_more_than_it_was_asked_is_dropped() {
    let world = behind(Rogue::Says(b"$4\r\nevil\r\n$7\r\nsurplus\r\n"), "");
    let mut client = world.client("app");
    let evil = client.ask("GET evil");
    assert!([UNKNOWN, "$evil"].contains(&evil.as_str()), "{evil}");
    world
        .gateway
        .stderr
        .wait_for("of the surplus reply", |line| line.contains("WARN") || line.contains("ERROR"));
    let mut neighbour = world.client("app");
    let got = neighbour.ask("GET mine");
    assert!([UNKNOWN, NOT_SENT, "$mine"].contains(&got.as_str()), "the neighbour got {got}");
    assert_in_step(&world);
}

#[test]
fn what_is_not_a_reply_ends_the_link() {
    misbehaves(Rogue::Says(b"hello\r\n"), "", &[UNKNOWN]);
    misbehaves(Rogue::Says(b"$-5\r\n"), "", &[UNKNOWN]);
    misbehaves(Rogue::Says(b"$999999999999999999999\r\n"), "", &[UNKNOWN]);
    misbehaves(Rogue::Says(&[b'*'; 100]), "", &[UNKNOWN]);
}

#[test]
fn a_reply_nested_too_deep_ends_the_link_and_nothing_else() {
    static DEEP: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let deep = DEEP.get_or_init(|| b"*1\r\n".repeat(100_000));
    misbehaves(Rogue::Says(deep), "", &[UNKNOWN]);
}

#[test]
fn a_backend_that_does_not_answer_is_given_up_after_its_time() {
    let start = Instant::now();
    misbehaves(Rogue::Hangs, "op_timeout_ms = 1000", &[UNKNOWN]);
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_backend_that_refuses_the_password_gets_no_command() {
    let world = behind(Rogue::RefusesAuth, "");
    let mut client = world.client("app");
    client.pipeline(&[("SET k v", NOT_SENT), ("PING", NOT_SENT)]);
    let line = world.gateway.stderr.wait_for("of the refused AUTH", |line| line.contains("AUTH"));
    assert!(line.contains("app") && (line.contains("WARN") || line.contains("ERROR")), "{line}");
}

#[test]
fn a_backend_that_is_down_is_said_to_be_and_comes_back() {
    let mut world = World::start();
    world.announce(LOST);
    let mut client = world.client("app");
    let mut other = world.client("ops");
    client.talk(&[("SET k v", "+OK")]);
    other.talk(&[("SET o v", "+OK")]);
    world.redis.kill();
    let deadline = Instant::now() + Duration::from_secs(10);
    // The first may still find the old link; then all are refused unsent, in time.
    while client.ask("GET k") != NOT_SENT {
        assert!(Instant::now() < deadline);
    }
    let start = Instant::now();
    client.pipeline(&[
        ("GET k", NOT_SENT),
        ("BLPOP q 1", NOT_SENT),
        ("CLIENT GETNAME", "nil"),
        ("GET k", NOT_SENT),
    ]);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let mut late = world.client("app");
    late.talk(&[("GET k", NOT_SENT)]);
    // A script asks what its Redis user may before it asks for a link.
    world.client("root").talk(&[("EVAL \"return 1\" 0", NOT_SENT), ("GET k", NOT_SENT)]);
    world.gateway.wait_status("/readyz", 503);
    assert_eq!(world.gateway.get("/healthz").0, 200);
    world.redis.resume();
    let deadline = Instant::now() + Duration::from_secs(10);
    for client in [&mut client, &mut other, &mut late] {
        while client.ask("ECHO back") != "$back" {
            assert!(Instant::now() < deadline, "no way back");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    client.talk(&[("GET k", "nil"), ("ACL WHOAMI", "$app")]);
    other.talk(&[("ACL WHOAMI", "$ops")]);
    world.gateway.wait_ready();
}

#[test]
fn a_command_whose_reply_was_lost_is_not_sent_again() {
    let mut world = World::start();
    world.announce(LOST);
    let mut client = world.client("app");
    client.talk(&[("SET n 0", "+OK")]);
    // Redis is busy with a script of another connection while INCR waits in its socket.
    let mut busy = world.redis.client("root");
    busy.write(&resp::request(&["EVAL", "while true do end", "0"]));
    std::thread::sleep(Duration::from_millis(100));
    client.send("INCR n");
    client.send("ECHO behind");
    client.expect_silence(Duration::from_millis(300));
    world.redis.kill();
    assert_eq!(client.read().to_string(), UNKNOWN);
    let behind = client.read().to_string();
    assert!([UNKNOWN, NOT_SENT].contains(&behind.as_str()), "{behind}");
    world.redis.resume();
    assert_eq!(world.redis.client("root").ask("GET n"), "nil");
    let deadline = Instant::now() + Duration::from_secs(10);
    while client.ask("ECHO back") != "$back" {
        assert!(Instant::now() < deadline, "no way back");
    }
    client.talk(&[("GET n", "nil")]);
}

#[test]
fn a_session_whose_state_was_lost_is_closed() {
    let mut world = World::start();
    world.announce(LOST);
    let mut subscriber = world.client("app");
    subscriber.talk(&[("SUBSCRIBE news", "[$subscribe, $news, :1]")]);
    let mut inside = world.client("app");
    inside.talk(&[("WATCH k", "+OK"), ("MULTI", "+OK"), ("SET k v", "+QUEUED")]);
    let mut blocked = world.client("app");
    blocked.send("BLPOP q 0");
    blocked.expect_silence(Duration::from_millis(100));
    world.redis.kill();
    subscriber.read_to_end();
    inside.read_to_end();
    // Nothing but the wait was lost here: the session may stay.
    assert_eq!(blocked.read().to_string(), UNKNOWN);
    world.redis.resume();
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut client = world.client("app");
    while client.ask("EXISTS k") != ":0" {
        assert!(Instant::now() < deadline, "no way back");
    }
}

/// A backend that takes no further connection, while the link that there is goes on.
fn full_backend() -> (World, Client, Client) {
    let world = World::start();
    world.announce(LOST);
    let mut client = world.client("app");
    client.talk(&[("SET k before", "+OK")]);
    let mut root = world.redis.client("root");
    root.talk(&[("CONFIG SET maxclients 1", "+OK")]);
    (world, client, root)
}

/// Everything that comes back for these, up to an end; and then the value of `k`.
fn what_became(root: &mut Client, mut client: Client, commands: &[&str]) -> (Vec<String>, String) {
    client.write(&commands.iter().flat_map(|command| resp::typed(command)).collect::<Vec<u8>>());
    let replies: Vec<String> =
        commands.iter().map_while(|_| client.try_read().ok()).map(|value| value.to_string()).collect();
    drop(client);
    (replies, root.ask("GET k"))
}

#[test]
fn a_select_that_fails_takes_what_was_written_behind_it_along() {
    let (_world, client, mut root) = full_backend();
    let commands = ["SELECT 3", "SET k wrong-database", "PING"];
    let (replies, value) = what_became(&mut root, client, &commands);
    assert_eq!(value, "$before", "it was written into database 0: {replies:?}");
}

#[test]
fn a_transaction_that_cannot_begin_takes_its_commands_along() {
    for commands in [
        // One that needs a link of its own, for what is in it.
        ["MULTI", "SET k outside", "BLPOP none 1", "EXEC"],
        ["WATCH k", "MULTI", "SET k outside", "EXEC"],
    ] {
        let (_world, client, mut root) = full_backend();
        let (replies, value) = what_became(&mut root, client, &commands);
        assert_eq!(value, "$before", "it ran without its guard: {replies:?}");
    }
    // Begun in one write, and gone on with in another.
    let (_world, mut client, mut root) = full_backend();
    client.send("MULTI");
    let begun = client.try_read().map(|value| value.to_string());
    let (replies, value) = what_became(&mut root, client, &["SET k outside", "EXEC"]);
    assert_eq!(value, "$before", "MULTI was answered {begun:?}, and then {replies:?}");
}

#[test]
fn a_script_cannot_slip_another_session_a_reply() {
    // CVE-2025-67733: on an unfixed server, as Redis 8.2.3 is, a script's error may contain line ends.
    for version in crate::backend::Version::ALL {
        let world = World::with(Setup { version, ..Setup::default() });
        world.announce(LOST);
        let mut neighbour = world.client("app");
        for round in 0..20 {
            let mut attacker = world.client("app");
            let script = r"error({err='ERR x\r\n$6\r\ninject\r\n+'})";
            attacker.write(&resp::request(&["EVAL", script, "0"]));
            let token = format!("mine{round}");
            let got = neighbour.ask(&format!("ECHO {token}"));
            assert!([UNKNOWN, NOT_SENT, &format!("${token}")].contains(&got.as_str()), "{version:?}: {got}");
            let answer = attacker.try_read().map(|value| matches!(value, Value::Error(_)));
            assert!(!matches!(answer, Ok(false)), "{version:?}: {answer:?}");
        }
    }
}
