//! What a backend says that nobody has asked for, step by step.

use respgate::limits::Limits;
use respgate::upstream::LinkId;

use super::claims::{World, world};
use super::frame::{bulk, command};

const GET: &[&str] = &["GET", "k"];
const NOT_SENT: &str = "-ERR respgate: backend unavailable, command not sent\r\n";

impl World {
    /// A request has come to the gateway, and is not written yet.
    fn is_about_to_ask(&mut self, number: usize) {
        self.sockets[number].inbound.extend(command(GET));
        self.poll_client(number);
    }

    /// The gateway reads this from a link before it writes there.
    fn is_read_first(&mut self, link: LinkId, bytes: &[u8]) {
        self.worker.link_buffer(link).expect("connected").extend_from_slice(bytes);
        self.worker.link_filled(link, self.now);
        self.pump();
        assert_eq!(self.worker.link_wants_read(link), None, "it goes on after {} bytes", bytes.len());
        self.carry();
    }
}

#[test]
fn a_reply_that_comes_before_its_request_was_written_is_nobodys() {
    let large = bulk(&[b'w'; 40_000]);
    for said in [&b"$5\r\nwrong\r\n"[..], b"-ERR wrong\r\n", b"$5\r\nwro", &large, &large[..30_000]] {
        let mut world = world(Limits::default(), 2);
        world.scene.alarms_allowed = 1;
        world.says(0, GET);
        let link = world.newest_link();
        world.is_about_to_ask(1);
        world.is_read_first(link, said);
        assert_eq!(world.heard(1), NOT_SENT);
    }
}

#[test]
fn a_reply_too_many_behind_that_of_another_is_not_for_whose_request_was_not_written() {
    let mut world = world(Limits::default(), 3);
    world.scene.alarms_allowed = 1;
    world.says(0, &["PING"]);
    world.heard(0);
    let link = world.newest_link();
    world.hang(link);
    world.says(0, GET);
    world.is_about_to_ask(1);
    world.is_about_to_ask(2);
    world.is_read_first(link, b"$5\r\nright\r\n$5\r\nwrong\r\n");
    let heard = [0, 1, 2].map(|number| world.heard(number));
    assert_eq!(heard, ["$5\r\nright\r\n", NOT_SENT, NOT_SENT]);
}
