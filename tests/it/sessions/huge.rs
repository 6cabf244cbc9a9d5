//! Values of hundreds of megabytes: they go through in bounded memory, and others
//! do not wait for who reads them slowly.
//!
//! `RESPGATE_LARGE_MIB=100 cargo test --release --test it slow_readers -- --nocapture`
//! prints what the waiting was, beside Redis itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::echo::{from_env, say};
use crate::gateway::Gateway;
use crate::wire::{Client, PATIENCE};
use crate::world::{Door, World};

const MIB: usize = 1 << 20;

/// More than the gateway may hold for one client: what it reads ahead on both sides, and what its
/// allocator keeps.
const SLACK: u64 = 48 << 20;

/// Bytes that repeat only after a length that no buffer has, so that a piece that is lost,
/// doubled or out of place is seen.
struct Pattern(Vec<u8>);

impl Pattern {
    fn new() -> Self {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        };
        Self(std::iter::repeat_with(next).take(MIB + 4093).collect())
    }

    /// The bytes from this position of a value, as many as lie together.
    fn from(&self, position: usize) -> &[u8] {
        &self.0[position % self.0.len()..]
    }

    fn set(&self, client: &mut Client, key: &str, size: usize) {
        client.write(format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${size}\r\n", key.len()).as_bytes());
        let mut sent = 0;
        while sent < size {
            let piece = self.from(sent);
            let piece = &piece[..piece.len().min(size - sent)];
            client.write(piece);
            sent += piece.len();
        }
        client.write(b"\r\n");
        assert_eq!(client.read().to_string(), "+OK");
    }

    /// Reads a value that has been asked for, and has `pause` say how long to wait after each piece.
    fn read(&self, client: &mut Client, size: usize, mut pause: impl FnMut(usize)) {
        assert_eq!(client.read_line(), format!("${size}"));
        let mut got = 0;
        while got < size {
            let piece = client.read_piece(size - got);
            let mut rest = piece.as_slice();
            while !rest.is_empty() {
                let expected = self.from(got);
                let count = rest.len().min(expected.len());
                assert!(rest[..count] == expected[..count], "within {count} bytes from {got}");
                got += count;
                rest = &rest[count..];
            }
            pause(piece.len());
        }
        assert_eq!(client.read_line(), "");
    }
}

/// The most memory that the gateway has ever had, in bytes.
fn peak(gateway: &Gateway) -> u64 {
    let status = gateway.proc("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[test]
fn a_value_of_half_a_gigabyte_comes_back_in_bounded_memory() {
    let size = usize::try_from(from_env("RESPGATE_LARGE_MIB", 512)).expect("it fits") * MIB;
    let world = World::start();
    let pattern = Pattern::new();
    let mut client = world.client("app");
    // What the first connections cost is not what a value costs.
    pattern.set(&mut client, "big", MIB);
    let before = peak(&world.gateway);
    let start = Instant::now();
    pattern.set(&mut client, "big", size);
    let set = peak(&world.gateway) - before;
    let set_time = start.elapsed();
    assert_eq!(client.ask("STRLEN big"), format!(":{size}"));
    let start = Instant::now();
    client.send("GET big");
    pattern.read(&mut client, size, |_| {});
    let get = peak(&world.gateway) - before;
    say(&format!(
        "{} MiB: SET {set_time:.1?}, {} KiB more; GET {:.1?}, {} KiB more",
        size / MIB,
        set >> 10,
        start.elapsed(),
        get >> 10
    ));
    assert!(set < SLACK, "{set} bytes for a value on its way in");
    assert!(get < SLACK, "{get} bytes for a value on its way out");
    client.talk(&[("PING", "+PONG"), ("DEL big", ":1")]);
}

#[test]
fn eight_large_values_at_once_hold_little_more_than_one() {
    let size = usize::try_from(from_env("RESPGATE_LARGE_MIB", 32)).expect("it fits") * MIB;
    let world = World::start();
    let pattern = Pattern::new();
    pattern.set(&mut world.client("app"), "big", MIB);
    let before = peak(&world.gateway);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (world, pattern) = (&world, &pattern);
            scope.spawn(move || pattern.set(&mut world.client("app"), &format!("big{number}"), size));
        }
    });
    let more = peak(&world.gateway) - before;
    say(&format!("eight SETs of {} MiB at once: {} KiB more", size / MIB, more >> 10));
    assert!(more < 4 * SLACK, "{more} bytes for eight values on their way in");
}

#[test]
fn slow_readers_of_large_replies_hold_nobody_up() {
    let size = usize::try_from(from_env("RESPGATE_LARGE_MIB", 16)).expect("it fits") * MIB;
    let world = World::start();
    let pattern = Pattern::new();
    pattern.set(&mut world.redis.client("app"), "big", size);
    for door in [Door::Redis(&world), Door::Gateway(&world)] {
        let before = peak(&world.gateway);
        let (alone, during) = beside_slow_readers(&door, &pattern, size);
        let name = if door.is_gateway() { "gateway" } else { "redis itself" };
        say(&format!("{name}, alone: {alone}; beside ten slow readers of {} MiB: {during}", size / MIB));
        let more = peak(&world.gateway) - before;
        say(&format!("{name}: {} KiB more", more >> 10));
        assert!(more < 2 * SLACK, "{more} bytes for ten readers");
    }
}

fn until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "nothing happens");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How long a client waited for its replies.
struct Waits(Vec<Duration>);

impl std::fmt::Display for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |part: f64| self.0[((self.0.len() - 1) as f64 * part) as usize];
        let (p50, p99, worst) = (at(0.5), at(0.99), at(1.0));
        write!(f, "{} replies, p50 {p50:.0?}, p99 {p99:.0?}, at most {worst:.0?}", self.0.len())
    }
}

/// A client's waits without and with ten others that read large replies slowly.
fn beside_slow_readers(door: &Door<'_>, pattern: &Pattern, size: usize) -> (Waits, Waits) {
    let mut other = door.client("app");
    other.talk(&[("SET small value", "+OK")]);
    let alone = waits(&mut other, 2_000, || true);
    let began = AtomicU64::new(0);
    let is_slow = AtomicBool::new(true);
    let ended = AtomicU64::new(0);
    let during = std::thread::scope(|scope| {
        for number in 1..=10 {
            scope.spawn(|| {
                let mut client = door.client("app");
                client.send("GET big");
                let (mut is_first, mut left) = (true, size);
                pattern.read(&mut client, size, |count| {
                    if std::mem::take(&mut is_first) {
                        began.fetch_add(1, Relaxed);
                    }
                    left -= count;
                    if is_slow.load(Relaxed) {
                        // Five megabytes a second, and a fourth of one from half of it on: they are not
                        // to end before the other has had its replies, however busy the machine is.
                        let each = if left > size / 2 { 1 } else { 20 };
                        std::thread::sleep(Duration::from_micros(each * count as u64 / 5));
                    }
                });
                ended.fetch_add(1, Relaxed);
            });
            // A request that is behind a large reply already waits for it; these are not.
            until(|| began.load(Relaxed) == number);
        }
        let during = waits(&mut other, 5_000, || ended.load(Relaxed) == 0);
        is_slow.store(false, Relaxed);
        during
    });
    (alone, during)
}

/// Waits for so many replies, one after the other, with a little time between them.
fn waits(client: &mut Client, count: usize, goes_on: impl Fn() -> bool) -> Waits {
    let mut waits = Vec::with_capacity(count);
    while waits.len() < count && goes_on() {
        let start = Instant::now();
        client.talk(&[("GET small", "$value")]);
        waits.push(start.elapsed());
        std::thread::sleep(Duration::from_micros(200));
    }
    assert!(waits.len() >= count.min(200), "only {} replies while the readers read", waits.len());
    waits.sort();
    Waits(waits)
}
