//! Clients that say that they will send no more, step by step: for how long what is theirs stays.

use respgate::limits::Limits;
use respgate::upstream::LinkId;

use super::claims::{World, world};
use super::frame::{bulk, command, push};

const WAIT: &[&str] = &["BLPOP", "q", "1000"];

impl World {
    /// The client has sent all that it will.
    fn finishes(&mut self, number: usize) {
        self.sockets[number].fin = true;
        self.sockets[number].runnable = true;
        self.carry();
    }

    fn has_link(&self, link: LinkId) -> bool {
        self.worker.link_wants_read(link).is_some()
    }

    fn passes(&mut self, ms: u64) {
        self.pass(ms);
        self.carry();
    }
}

#[test]
fn a_wait_that_has_begun_ends_with_its_client_at_once_and_a_new_one_soon() {
    let mut world = world(Limits::default(), 4);
    world.says(0, WAIT);
    let link = world.newest_link();
    world.passes(200);
    world.finishes(0);
    assert!(world.sockets[0].ended && !world.has_link(link), "it has waited for long");

    world.sockets[1].inbound.extend(command(WAIT));
    world.finishes(1);
    let link = world.newest_link();
    assert!(!world.sockets[1].ended && world.has_link(link), "it may be answered at once");
    world.passes(200);
    assert!(world.sockets[1].ended && !world.has_link(link), "it was not");
    assert_eq!(world.heard(1), "");

    world.sockets[2].inbound.extend(command(WAIT));
    world.finishes(2);
    world.says(3, &["LPUSH", "q", "v"]);
    assert_eq!(world.heard(2), "*2\r\n$1\r\nq\r\n$1\r\nv\r\n");
    assert!(world.sockets[2].ended);
}

#[test]
fn what_was_answered_before_a_wait_is_heard_by_a_slow_reader_that_waits_no_longer() {
    let mut world = world(Limits::default(), 1);
    world.sockets[0].out_cap = 3;
    world.sockets[0].inbound.extend([command(&["LPUSH", "other", "v"]), command(WAIT)].concat());
    world.finishes(0);
    let link = world.newest_link();
    world.passes(200);
    assert!(!world.has_link(link), "nobody waits any more");
    let heard: String = std::iter::repeat_with(|| world.heard(0)).take(4).collect();
    assert_eq!(heard, ":1\r\n");
    assert!(world.sockets[0].ended);
}

#[test]
fn a_subscriber_that_sends_no_more_and_does_not_read_keeps_no_link() {
    let mut world = world(Limits::default(), 2);
    world.scene.clients[1].has_stopped = true;
    for (number, out_cap) in [(0, 1 << 20), (1, 10)] {
        world.sockets[number].out_cap = out_cap;
        world.sockets[number].inbound.extend(command(&["SUBSCRIBE", "c"]));
        world.finishes(number);
    }
    assert_eq!(world.heard(0), "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    let link = world.newest_link();
    assert!(world.sockets[0].ended && !world.sockets[1].ended);
    world.passes(100);
    assert!(!world.has_link(link), "nothing more is pushed to who does not read");
    assert_eq!(world.worker.population().0, 1, "it has yet to read what it was answered");
    world.passes(2 * Limits::default().client_output_stall_timeout_ms);
    assert_eq!(world.worker.population().0, 0);
}

#[test]
fn a_large_request_whose_end_will_not_come_is_given_up_when_what_came_before_is_answered() {
    let mut world = world(Limits::default(), 1);
    world.says(0, &["WATCH", "k"]);
    world.heard(0);
    let link = world.newest_link();
    world.hang(link);
    let large = command(&[b"SET", &b"k"[..], &[b'v'; 2 << 20]]);
    world.sockets[0].inbound.extend([command(&["GET", "k"]), large[..3 << 19].to_vec()].concat());
    world.finishes(0);
    assert!(world.has_link(link), "there is something to be answered");
    world.wires.get_mut(&link).expect("connected").hung = false;
    world.carry();
    assert_eq!(world.heard(0), "$-1\r\n");
    world.passes(100);
    assert!(world.sockets[0].ended && !world.has_link(link));
}

#[test]
fn a_link_that_stops_in_the_middle_of_a_message_is_given_up() {
    let mut world = world(Limits::default(), 1);
    world.says(0, &["SUBSCRIBE", "c"]);
    let link = world.newest_link();
    world.heard(0);
    let message = push(2, &[bulk(b"message"), bulk(b"c"), bulk(&[b'm'; 40_000])]);
    world.backend_says(link, &message[..20_000]);
    world.heard(0);
    world.passes(Limits::default().op_timeout_ms - 1_000);
    assert!(world.has_link(link), "it may go on");
    world.passes(2_000);
    assert!(!world.has_link(link) && world.sockets[0].ended);
}

#[test]
fn a_large_request_that_the_backend_does_not_take_is_given_up_whatever_it_may_be() {
    let mut world = world(Limits { link_queue_bytes_max: 1_000_000, ..Limits::default() }, 1);
    let large = command(&[b"NOSUCH", &[b'v'; 4 << 20][..]]);
    let mut pieces = large.chunks(10_000);
    world.carry();
    let others = world.wires.len();
    while world.wires.len() == others {
        world.sockets[0].inbound.extend(pieces.next().expect("enough for a link"));
        world.poll_client(0);
    }
    let link = world.newest_link();
    world.carry();
    world.hang(link);
    // There is room for some of it; then what the client sends waits.
    let session = world.sockets[0].session;
    while world.worker.client_buffer(session).is_some() {
        world.sockets[0].inbound.extend(pieces.next().expect("more than there is room for"));
        world.carry();
    }
    world.finishes(0);
    world.passes(Limits::default().op_timeout_ms - 1_000);
    assert!(world.has_link(link), "the backend may go on");
    world.passes(2_000);
    assert!(!world.has_link(link) && world.sockets[0].ended);
}
