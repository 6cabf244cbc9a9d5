//! What one client makes the gateway keep: all of it is counted, and little more is kept than is counted.

use rustix::process::Signal;

use crate::resp::request;
use crate::sessions::control::{one_worker, wait_blocked};
use crate::wire::Client;
use crate::world::{Setup, World};

const HELD: &str = "respgate_buffers_bytes";

#[test]
fn requests_behind_a_command_that_blocks_count_for_their_client() {
    const COUNT: usize = 5;
    let limits = "op_timeout_ms = 60000\nprobe_interval_ms = 60000\nprobe_timeout_ms = 60000";
    let world = World::with(Setup { limits, ..Setup::default() });
    let value = "v".repeat(900_000);
    let (mut blocked, mut other) = (world.client("app"), world.client("app"));
    blocked.write(&request(&["BLPOP", "list", "0"]));
    wait_blocked(&mut other, 1);
    world.redis.signal(Signal::STOP);
    blocked.write(&request(&["SET", "k", &value]).repeat(COUNT));
    // Its socket has room for some.
    world.gateway.wait_metric(HELD, "", |held| held > 3_000_000.0);
    world.redis.signal(Signal::CONT);
    other.talk(&[("LPUSH list element", ":1")]);
    assert_eq!(blocked.read().to_string(), "[$list, $element]");
    for _ in 0..COUNT {
        assert_eq!(blocked.read().to_string(), "+OK");
    }
    world.gateway.wait_metric(HELD, "", |held| held == 0.0);
}

#[test]
fn a_long_name_counts_and_a_short_one_does_not() {
    let world = World::start();
    let mut client = world.client("app");
    client.call(&["CLIENT", "SETNAME", &"n".repeat(600_000)]);
    world.gateway.wait_metric(HELD, "", |held| held >= 600_000.0);
    client.call(&["CLIENT", "SETNAME", "short"]);
    world.gateway.wait_metric(HELD, "", |held| held == 0.0);
}

#[test]
fn each_of_two_that_hold_too_much_together_is_closed_once() {
    let limits = "buffers_bytes_max = 850000";
    let world = World::with(Setup { limits, edits: one_worker(), ..Setup::default() });
    let mut clients = [900_000, 950_000].map(|len| (world.client("app"), "n".repeat(len)));
    for (client, name) in &mut clients {
        client.write(&request(&["CLIENT", "SETNAME", name]));
    }
    for (mut client, _) in clients {
        client.read_to_end();
    }
    let closed = ("respgate_clients_closed_total", "reason=\"buffers_full\"");
    world.gateway.wait_metric(closed.0, closed.1, |count| count >= 2.0);
    assert_eq!(world.gateway.metric(closed.0, closed.1), 2.0);
    world.client("app").talk(&[("PING", "+PONG")]);
}

#[test]
fn the_beginning_of_a_request_does_not_keep_the_memory_of_the_one_before() {
    const CLIENTS: u64 = 60;
    let world = World::start();
    let (large, next) = ("v".repeat(600_000), request(&["SET", "k", &"w".repeat(20_000)]));
    let begin = |client: &mut Client| {
        client.write(&[&request(&["SET", "k", &large])[..], &next[..18_000]].concat());
        assert_eq!(client.read().to_string(), "+OK");
    };
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| world.client("app")).collect();
    begin(&mut clients[0]);
    let before = world.gateway.resident();
    clients[1..].iter_mut().for_each(begin);
    let each = world.gateway.resident().saturating_sub(before) / CLIENTS;
    // The allocator keeps some for the next.
    assert!(each < 400_000, "{each} bytes a client");
    for client in &mut clients {
        client.write(&next[18_000..]);
        assert_eq!(client.read().to_string(), "+OK");
    }
}
