//! Single claims in the same world: what chance meets too seldom, step by step.

mod alone;

use std::time::Instant;

use respgate::limits::Limits;
use respgate::session::{Fate, Records};
use respgate::upstream::LinkId;
use respgate::worker::Loss;

use super::frame::{bulk, command, push};
use super::single::Single;
use super::world;

pub(super) type World = world::World<Single>;

const GET: &[&str] = &["GET", "k"];

pub(super) fn world(limits: Limits, clients: usize) -> World {
    // What is kept ready ahead of its use would be the newest link.
    let limits = Limits { pinned_links_spare: 0, ..limits };
    let mut world = World::of_one(1, Instant::now(), limits, false);
    for number in 0..clients {
        world.open(0);
        world.sockets[number].out_cap = 1 << 20;
        world.scene.clients[number].excused = true;
    }
    world
}

impl World {
    /// A client's bytes reach the gateway, and all that follows happens.
    pub(super) fn says(&mut self, number: usize, words: &[&str]) {
        self.sockets[number].inbound.extend(command(words));
        self.carry();
    }

    /// What has been written to a client since it was last asked.
    pub(super) fn heard(&mut self, number: usize) -> String {
        let bytes = std::mem::take(&mut self.sockets[number].outbound);
        // The socket has room again.
        self.sockets[number].runnable = true;
        self.carry();
        String::from_utf8(bytes).expect("text")
    }

    /// The backend sends these bytes on a link, at once.
    pub(super) fn backend_says(&mut self, link: LinkId, bytes: &[u8]) {
        self.wires.get_mut(&link).expect("connected").from_backend.extend_from_slice(bytes);
        self.carry();
    }

    /// The backend reads nothing on a link from here on.
    pub(super) fn hang(&mut self, link: LinkId) {
        self.wires.get_mut(&link).expect("connected").hung = true;
    }

    /// The first user of the configuration is this one of Redis' from now on.
    fn becomes(&mut self, redis_user: &str, password: &str) {
        let account = (redis_user.to_owned(), password.to_owned());
        self.scene.redis.accounts.insert(account.clone());
        self.scene.users[0].insert(0, account.0.clone());
        self.people.accounts[0] = Some(account);
        self.recheck();
    }

    pub(super) fn newest_link(&self) -> LinkId {
        let newest = self.wires.iter().max_by_key(|(_, wire)| wire.conn);
        *newest.expect("a link is there").0
    }
}

#[test]
fn a_protocol_error_amid_a_long_message_is_told_after_it() {
    let mut world = world(Limits::default(), 1);
    world.says(0, &["HELLO", "3"]);
    world.says(0, &["SUBSCRIBE", "c"]);
    let link = world.newest_link();
    world.heard(0);
    let message = push(3, &[bulk(b"message"), bulk(b"c"), bulk(&[b'm'; 40_000])]);
    world.backend_says(link, &message[..20_000]);
    world.sockets[0].inbound.extend_from_slice(b"*x\r\n");
    world.carry();
    world.backend_says(link, &message[20_000..]);
    let heard = world.heard(0);
    let error = heard.strip_prefix(std::str::from_utf8(&message).expect("text"));
    assert_eq!(error, Some("-ERR Protocol error: invalid multibulk length\r\n"));
    assert!(world.sockets[0].ended, "it is closed after the error");
}

#[test]
fn an_error_before_a_greeting_command_has_been_written_ends_the_link() {
    let mut world = world(Limits::default(), 1);
    world.sockets[0].inbound.extend(command(GET));
    world.poll_client(0);
    let link = world.newest_link();
    world.scene.alarms_allowed = 1;
    world.connect(link, true);
    // AUTH is still in the gateway: nothing can have been answered.
    let buffer = world.worker.link_buffer(link).expect("connecting");
    buffer.extend_from_slice(b"+OK\r\n");
    world.worker.link_filled(link, world.now);
    assert_eq!(world.worker.link_wants_read(link), None);
    world.pump();
}

#[test]
fn a_session_that_waits_for_a_database_is_told_when_the_backend_is_gone() {
    let limits = Limits { fail_fast_ms: 250, reconnect_max_ms: 5_000, ..Limits::default() };
    let mut world = world(limits, 2);
    // The first attempt fails, and from then on there is one at a time; it does not end.
    world.sockets[0].inbound.extend(command(GET));
    world.poll_client(0);
    world.lose(world.newest_link(), Loss::Connect("refused".into()));
    while world.wires.is_empty() {
        world.pass(50);
    }
    world.sockets[1].inbound.extend(command(&["SELECT", "1"]));
    world.sockets[1].runnable = true;
    while world.poll_one() {}
    world.pass(400);
    while world.poll_one() {}
    let heard = world.sockets[1].outbound.clone();
    assert_eq!(heard, b"-ERR respgate: backend unavailable, command not sent\r\n");
}

#[test]
fn a_session_that_waits_for_a_database_as_a_user_that_it_is_no_longer_is_told() {
    let mut world = world(Limits::default(), 2);
    world.says(1, GET);
    world.sockets[0].inbound.extend(command(&["SELECT", "1"]));
    world.poll_client(0);
    world.hang(world.newest_link());
    // The password that it waits by is given up for another when it is another Redis user already.
    world.becomes("redis0", "second");
    world.pass(50);
    world.becomes("other", "third");
    world.carry();
    world.pass(1_000);
    world.carry();
    assert_eq!(world.heard(0), "+OK\r\n");
}

#[test]
fn a_backend_that_answers_others_is_waited_for_after_a_connection_that_failed() {
    let mut world = world(Limits { fail_fast_ms: 250, ..Limits::default() }, 2);
    world.says(0, GET);
    world.sockets[1].inbound.extend(command(&["BLPOP", "k", "1"]));
    world.poll_client(1);
    world.lose(world.newest_link(), Loss::Connect("refused".into()));
    world.carry();
    assert_eq!(world.heard(1), "-ERR respgate: backend unavailable, command not sent\r\n");
    // Nobody asks for anything: the connection that is there is asked how the node is.
    world.pass(100);
    world.carry();
    world.pass(100);
    world.sockets[1].inbound.extend(command(&["SELECT", "1"]));
    world.poll_client(1);
    world.pass(400);
    world.carry();
    assert_eq!(world.heard(1), "+OK\r\n");
}

#[test]
fn a_client_long_idle_is_not_taken_for_one_that_does_not_read() {
    let mut world = world(Limits { client_output_stall_timeout_ms: 3_000, ..Limits::default() }, 1);
    world.says(0, &["CLIENT", "ID"]);
    assert_eq!(world.heard(0), ":1\r\n");
    world.pass(10_000);
    // Its answer is in the gateway when the sessions are looked at.
    world.worker.client_input(world.sockets[0].session, &command(&["CLIENT", "ID"]), world.now);
    world.pass(1_000);
    assert_eq!(world.worker.client_fate(world.sockets[0].session), Fate::Open);
    assert_eq!(world.heard(0), "");
    assert_eq!(world.heard(0), ":1\r\n");
}

#[test]
fn who_does_not_read_what_is_encrypted_already_is_closed_as_for_any_output() {
    let limits = Limits { client_output_stall_timeout_ms: 3_000, ..Limits::default() };
    let mut world = world(limits, 2);
    (0..2).for_each(|number: usize| world.scene.clients[number].has_stopped = true);
    let sessions = [0, 1].map(|number: usize| world.sockets[number].session);
    let holds = |world: &mut World, number: usize, sent: usize| {
        let records = Records { unsent: 1_000, sent, ..Records::default() };
        world.worker.client_holds(sessions[number], records, world.now);
    };
    let fates = |world: &World| sessions.map(|session| world.worker.client_fate(session));
    world.pass(10_000);
    [0, 1].into_iter().for_each(|number| holds(&mut world, number, 0));
    world.pass(2_000);
    assert_eq!(fates(&world), [Fate::Open; 2]);
    // The second reads, though slowly.
    holds(&mut world, 1, 1);
    world.pass(2_000);
    assert_eq!(fates(&world), [Fate::Dead, Fate::Open]);
    world.worker.client_holds(sessions[1], Records::default(), world.now);
    world.pass(10_000);
    assert_eq!(fates(&world), [Fate::Dead, Fate::Open]);
}

/// Two clients of one user, who share their subscriptions.
fn sharing() -> World {
    let mut world = world(Limits::default(), 2);
    world.share_subscriptions();
    world
}

#[test]
fn who_starts_over_and_subscribes_in_one_write_is_subscribed() {
    let mut world = sharing();
    world.says(0, &["SUBSCRIBE", "c"]);
    world.heard(0);
    world.sockets[0].inbound.extend(command(&["RESET"]));
    world.says(0, &["SUBSCRIBE", "c"]);
    assert_eq!(world.heard(0), "+RESET\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    world.says(1, &["PUBLISH", "c", "m"]);
    assert_eq!(world.heard(1), ":1\r\n");
    assert_eq!(world.heard(0), "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n");
}

#[test]
fn the_last_who_leaves_takes_nothing_from_whoever_is_about_to_come() {
    let mut world = sharing();
    world.says(0, &["SUBSCRIBE", "c"]);
    world.heard(0);
    let link = world.newest_link();
    world.hang(link);
    world.says(1, &["SUBSCRIBE", "c"]);
    world.says(0, &["UNSUBSCRIBE", "c"]);
    assert_eq!((world.heard(0), world.heard(1)), (String::new(), String::new()));
    world.wires.get_mut(&link).expect("connected").hung = false;
    world.carry();
    assert_eq!(world.heard(0), "*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n");
    assert_eq!(world.heard(1), "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    world.says(0, &["PUBLISH", "c", "m"]);
    assert_eq!(world.heard(0), ":1\r\n");
    assert_eq!(world.heard(1), "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n");
}

#[test]
fn a_message_amid_a_long_reply_comes_after_it() {
    let mut world = sharing();
    world.says(0, &["HELLO", "3"]);
    world.says(0, &["SUBSCRIBE", "c"]);
    let subscriber = world.newest_link();
    world.says(0, &["SELECT", "1"]);
    world.says(0, &["PING"]);
    world.heard(0);
    let own = world.newest_link();
    world.hang(own);
    world.says(0, GET);
    let long = bulk(&[b'v'; 40_000]);
    world.backend_says(own, &long[..20_000]);
    let message = push(3, &[bulk(b"message"), bulk(b"c"), bulk(b"m")]);
    world.backend_says(subscriber, &message);
    world.backend_says(own, &long[20_000..]);
    assert_eq!(world.heard(0).into_bytes(), [long, message].concat());
}

#[test]
fn a_shard_channel_that_moves_away_is_told_to_its_subscribers() {
    let mut world = sharing();
    world.says(0, &["SUBSCRIBE", "c"]);
    world.heard(0);
    let link = world.newest_link();
    world.hang(link);
    let about = |word: &[u8]| push(3, &[bulk(word), bulk(b"s"), b":1\r\n".to_vec()]);
    world.says(0, &["SSUBSCRIBE", "s"]);
    world.backend_says(link, &about(b"ssubscribe"));
    assert_eq!(world.heard(0), "*3\r\n$10\r\nssubscribe\r\n$1\r\ns\r\n:1\r\n");
    world.backend_says(link, &push(3, &[bulk(b"smessage"), bulk(b"s"), bulk(b"m")]));
    assert_eq!(world.heard(0), "*3\r\n$8\r\nsmessage\r\n$1\r\ns\r\n$1\r\nm\r\n");
    world.backend_says(link, &about(b"sunsubscribe"));
    assert_eq!(world.heard(0), "*3\r\n$12\r\nsunsubscribe\r\n$1\r\ns\r\n:0\r\n");
    // Nothing of it is left, and another confirmation was not asked for either.
    world.backend_says(link, &about(b"sunsubscribe"));
    assert_eq!(world.heard(0), "");
    world.scene.alarms_allowed = 1;
    world.backend_says(link, &push(3, &[bulk(b"subscribe"), bulk(b"x"), b":2\r\n".to_vec()]));
    assert!(world.sockets[0].ended, "what nobody asked for ends the link, and that its subscribers");
}

#[test]
fn others_have_their_turn_before_more_of_a_flood_is_given_out() {
    let mut world = sharing();
    world.says(0, &["SUBSCRIBE", "c"]);
    world.heard(0);
    let link = world.newest_link();
    world.sockets[0].out_cap = 1 << 30;
    let message = push(3, &[bulk(b"message"), bulk(b"c"), bulk(b"m")]);
    let buffer = world.worker.link_buffer(link).expect("connected");
    buffer.extend_from_slice(&message.repeat(50_000));
    world.worker.link_filled(link, world.now);
    world.pump();
    assert!(world.worker.link_rests(link), "32 768 messages are enough for a turn");
    let given = world.worker.client_output(world.sockets[0].session).expect("open").len();
    assert!(given <= 32_768 * message.len(), "{given} bytes in one turn");
    world.wires.get_mut(&link).expect("connected").runnable = true;
    world.carry();
    assert_eq!(world.heard(0).len(), 50_000 * message.len());
}

#[test]
fn others_do_not_wait_for_whom_a_second_large_reply_delays() {
    let limits = Limits { large_reply_bytes: 17_000, client_output_soft_bytes: 1_000, ..Limits::default() };
    let mut world = world(limits, 2);
    world.says(0, &["PING"]);
    world.says(1, &["PING"]);
    world.heard(0);
    world.heard(1);
    let first = world.newest_link();
    world.hang(first);
    let large = bulk(&[b'v'; 40_000]);
    world.says(0, GET);
    world.says(1, GET);
    // The first makes the link its own, with the other one's request behind.
    world.backend_says(first, &large[..30_000]);
    world.heard(0);
    world.backend_says(first, &large[30_000..]);
    world.heard(0);
    world.heard(0);
    world.says(0, &["SELECT", "1"]);
    world.says(0, &["PING"]);
    let second = world.newest_link();
    assert_ne!(first, second);
    world.heard(0);
    world.hang(second);
    world.sockets[0].out_cap = 1_000;
    world.says(0, GET);
    world.backend_says(second, &large[..30_000]);
    world.heard(1);
    // The reply of the other one comes in two parts; whoever has not read is not its concern.
    world.backend_says(first, b"$5\r\nhe");
    world.backend_says(first, b"llo\r\n");
    assert_eq!(world.heard(1), "$5\r\nhello\r\n");
}

#[test]
fn a_link_that_a_large_reply_has_made_private_takes_no_more_from_others() {
    let limits = Limits { large_reply_bytes: 17_000, ..Limits::default() };
    let mut world = world(limits, 2);
    world.says(0, &["PING"]);
    let first = world.newest_link();
    world.hang(first);
    world.says(0, GET);
    world.says(1, GET);
    world.backend_says(first, &bulk(&[b'v'; 40_000])[..30_000]);
    let written = world.wires[&first].to_backend.len();
    world.says(1, GET);
    assert_eq!(world.wires[&first].to_backend.len(), written);
}

#[test]
fn a_large_reply_behind_another_waits_for_its_own_reader() {
    let limits = Limits { large_reply_bytes: 17_000, client_output_soft_bytes: 1_000, ..Limits::default() };
    let mut world = world(limits, 2);
    world.sockets[1].out_cap = 1_000;
    world.says(0, &["PING"]);
    let link = world.newest_link();
    world.hang(link);
    let large = bulk(&[b'v'; 40_000]);
    world.says(0, GET);
    world.says(1, GET);
    world.backend_says(link, &large[..30_000]);
    world.backend_says(link, &large[30_000..]);
    world.heard(0);
    // Its reader has read the first; that of the second reads nothing.
    world.backend_says(link, &large[..30_000]);
    assert_eq!(world.worker.link_wants_read(link), Some(false));
    world.sockets[1].out_cap = 1 << 20;
    let mut heard = world.heard(1).len();
    assert_eq!(world.worker.link_wants_read(link), Some(true));
    world.backend_says(link, &large[30_000..]);
    heard += world.heard(1).len();
    assert_eq!(heard + world.heard(1).len(), large.len());
}

#[test]
fn others_behind_a_large_reply_do_not_wait_for_the_end_of_its_reading() {
    let limits = Limits { large_reply_bytes: 17_000, client_output_soft_bytes: 1_000, ..Limits::default() };
    let mut world = world(limits, 2);
    world.says(0, &["PING"]);
    let link = world.newest_link();
    world.hang(link);
    let large = bulk(&[b'v'; 40_000]);
    world.says(0, GET);
    world.says(1, GET);
    world.backend_says(link, &large[..30_000]);
    world.heard(0);
    world.sockets[0].out_cap = 1_000;
    // All of it is with the gateway now, whoever has not read it.
    world.backend_says(link, &large[30_000..]);
    world.backend_says(link, b"$5\r\nhello\r\n");
    assert_eq!(world.heard(1), "$5\r\nhello\r\n");
}

#[test]
fn a_transaction_may_stay_open_for_its_time_without_a_word_and_no_longer() {
    let mut world = world(Limits { transaction_idle_timeout_ms: 3_000, ..Limits::default() }, 4);
    world.says(0, &["WATCH", "k"]);
    world.says(1, &["MULTI"]);
    world.says(2, &["MULTI"]);
    world.says(3, GET);
    let fates = |world: &World| {
        [0, 1, 2, 3].map(|number: usize| world.worker.client_fate(world.sockets[number].session))
    };
    (0..4).for_each(|number| drop(world.heard(number)));
    world.pass(2_000);
    assert_eq!(fates(&world), [Fate::Open; 4]);
    world.says(2, GET);
    world.heard(2);
    world.pass(2_000);
    assert_eq!(fates(&world), [Fate::Dead, Fate::Dead, Fate::Open, Fate::Open]);
    world.pass(2_000);
    assert_eq!(fates(&world)[2..], [Fate::Dead, Fate::Open]);
}

#[test]
fn those_who_wait_for_the_batch_before_theirs_are_answered_behind_it() {
    let mut world = world(Limits::default(), 16);
    for round in 0..8 {
        for number in 0..16 {
            world.sockets[number].inbound.extend(command(GET));
            // Some ask while the first are under way.
            world.poll_client(number);
            if round % 2 == 1 && number == 5 {
                world.poll_link(world.newest_link());
            }
        }
        world.carry();
        for number in 0..16 {
            assert_eq!(world.heard(number), "$-1\r\n", "client {number}, round {round}");
        }
    }
}

#[test]
fn whose_keys_are_nearly_used_up_ends_together_with_a_reply_or_when_it_is_quiet() {
    let mut world = world(Limits::default(), 4);
    world.says(1, &["MULTI"]);
    assert_eq!(world.heard(1), "+OK\r\n");
    // The second is amid a transaction, the third is quiet, and the fourth has keys for long.
    (0..3).for_each(|number: usize| world.worker.end_soon(world.sockets[number].session));
    for number in [0, 1, 3] {
        world.sockets[number].out_cap = 0;
        world.says(number, GET);
        let (session, ends) = (world.sockets[number].session, number == 0);
        assert_eq!(world.worker.client_ends_with_reply(session), ends, "{number}");
        world.worker.end_with_reply(session);
        world.sockets[number].out_cap = 1 << 20;
        world.heard(number);
        assert_eq!(world.heard(number), if number == 1 { "+QUEUED\r\n" } else { "$-1\r\n" });
        assert_eq!(world.sockets[number].ended, ends, "{number}");
    }
    world.pass(3_000);
    world.carry();
    let ended = [0, 1, 2, 3].map(|number: usize| world.sockets[number].ended);
    assert_eq!(ended, [true, true, true, false]);
}
