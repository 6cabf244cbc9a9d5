//! Subscriptions that clients share: what it costs Redis, and how it ends.

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use crate::backend::{leashed, needed, target};
use crate::clients::run;
use crate::wire::{Client, PATIENCE};
use crate::world::{LOST, Setup, World};

const WORKERS: usize = 2;

fn sharing(limits: &'static str) -> World {
    let mut setup = Setup { limits, ..Setup::sharing() };
    setup.edits.push(("[listener]\n", format!("workers = {WORKERS}\n[listener]\n")));
    World::with(setup)
}

fn subscriber(world: &World, channel: &str) -> Client {
    let mut client = world.client("app");
    client.talk(&[(&format!("SUBSCRIBE {channel}"), &format!("[$subscribe, ${channel}, :1]"))]);
    client
}

/// Waits until Redis itself answers this command so.
fn wait_answer(world: &World, command: &str, fits: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut client = world.redis.client("root");
    loop {
        let answer = client.ask(command);
        if fits(&answer) {
            return;
        }
        assert!(Instant::now() < deadline, "{command} still answers {answer}");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn two_thousand_subscribers_cost_redis_one_subscription_for_each_worker() {
    let world = sharing("");
    let arrive = || (0..500).map(|_| subscriber(&world, "news")).collect::<Vec<_>>();
    let mut clients: Vec<Client> = scope(|scope| {
        let groups: Vec<_> = (0..4).map(|_| scope.spawn(arrive)).collect();
        groups.into_iter().flat_map(|group| group.join().expect("let in")).collect()
    });
    let mut redis = world.redis.client("root");
    assert_eq!(redis.ask("PUBSUB NUMSUB news"), format!("[$news, :{WORKERS}]"));
    let connections = redis.ask("CLIENT LIST TYPE pubsub");
    assert_eq!(connections.matches("user=app").count(), WORKERS, "{connections}");
    for n in 0..3 {
        assert_eq!(redis.ask(&format!("PUBLISH news {n}")), format!(":{WORKERS}"));
    }
    for client in &mut clients {
        for n in 0..3 {
            assert_eq!(client.read().to_string(), format!("[$message, $news, ${n}]"));
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while world.gateway.metric("respgate_messages_total", "") < 6_000.0 {
        assert!(Instant::now() < deadline, "the messages are not counted");
        sleep(Duration::from_millis(50));
    }
    drop(clients.split_off(1));
    wait_answer(&world, "PUBSUB NUMSUB news", |answer| answer == "[$news, :1]");
    drop(clients);
    wait_answer(&world, "PUBSUB NUMSUB news", |answer| answer == "[$news, :0]");
}

#[test]
fn all_subscribers_hear_two_publishers_in_the_same_order() {
    const EACH: usize = 1_000;
    let world = sharing("");
    let mut clients: Vec<Client> = (0..6).map(|_| subscriber(&world, "flow")).collect();
    scope(|scope| {
        for name in ["a", "b"] {
            let mut publisher = world.client("ops");
            scope.spawn(move || {
                for n in 0..EACH {
                    publisher.send(&format!("PUBLISH flow {name}{n}"));
                    publisher.read();
                }
            });
        }
    });
    let mut heard = clients
        .iter_mut()
        .map(|client| (0..2 * EACH).map(|_| client.read().items()[2].to_string()).collect::<Vec<_>>());
    let first = heard.next().expect("six clients");
    for name in ["$a", "$b"] {
        let own: Vec<&String> = first.iter().filter(|text| text.starts_with(name)).collect();
        assert!(own.iter().zip(0..EACH).all(|(text, n)| **text == format!("{name}{n}")), "{name}: {own:?}");
    }
    for other in heard {
        assert_eq!(other, first);
    }
}

#[test]
fn a_subscriber_that_does_not_read_is_closed_and_no_other() {
    let world = sharing("client_output_soft_bytes = 65536\nclient_output_hard_bytes = 1048576");
    let mut slow = subscriber(&world, "flow");
    let mut quick: Vec<Client> = (0..4).map(|_| subscriber(&world, "flow")).collect();
    let closed = || world.gateway.metric("respgate_clients_closed_total", "output_limit");
    let deadline = Instant::now() + PATIENCE;
    let mut published = 0;
    let mut redis = world.redis.client("root");
    while closed() < 1.0 {
        assert!(Instant::now() < deadline, "it holds its output, after {published} messages");
        for _ in 0..100 {
            redis.call(&["PUBLISH", "flow", &format!("{published}-{}", "x".repeat(9_000))]);
            for client in &mut quick {
                let message = client.read().items()[2].to_bytes();
                assert!(message.starts_with(format!("{published}-").as_bytes()), "message {published}");
            }
            published += 1;
        }
    }
    assert!(slow.read_to_end().len() < published * 9_000);
    assert_eq!(closed(), 1.0);
    for mut client in quick {
        client.talk(&[("PING", "[$pong, $]")]);
    }
}

#[test]
fn if_redis_closes_the_link_its_subscribers_are_closed_and_new_ones_are_served() {
    let world = sharing("");
    world.announce(LOST);
    let mut clients: Vec<Client> = (0..10).map(|_| subscriber(&world, "news")).collect();
    let mut other = world.client("app");
    other.talk(&[("SET k v", "+OK")]);
    world.redis.client("root").talk(&[("CLIENT KILL TYPE pubsub", &format!(":{WORKERS}"))]);
    for client in &mut clients {
        client.expect_end();
    }
    other.talk(&[("GET k", "$v")]);
    let mut again = subscriber(&world, "news");
    world.redis.client("root").talk(&[("PUBLISH news hello", ":1")]);
    assert_eq!(again.read().to_string(), "[$message, $news, $hello]");
}

#[test]
fn who_loses_the_right_to_a_channel_is_closed_as_redis_closes_it() {
    let world = sharing("");
    world.announce(LOST);
    let mut client = subscriber(&world, "news");
    let mut ops = world.client("ops");
    ops.talk(&[("SUBSCRIBE news", "[$subscribe, $news, :1]")]);
    world.redis.client("root").talk(&[("ACL SETUSER app resetchannels &other", "+OK")]);
    client.expect_end();
    let refusal = world.redis.client("app").ask("SUBSCRIBE other news");
    assert!(refusal.starts_with("-NOPERM"), "{refusal}");
    let mut client = world.client("app");
    client.talk(&[("SUBSCRIBE other news", &refusal), ("SUBSCRIBE other", "[$subscribe, $other, :1]")]);
    client.talk(&[("SUBSCRIBE news", &refusal), ("PING", "[$pong, $]")]);
    world.redis.client("root").talk(&[("PUBLISH news hello", ":1"), ("PUBLISH other hello", ":1")]);
    assert_eq!(client.read().to_string(), "[$message, $other, $hello]");
    assert_eq!(ops.read().to_string(), "[$message, $news, $hello]");
}

#[test]
fn a_channel_that_others_hear_is_refused_to_whom_redis_refuses_it() {
    let world = sharing("");
    let _heard = subscriber(&world, "news");
    let refusal = world.redis.client("narrow").ask("SUBSCRIBE news");
    assert!(refusal.starts_with("-NOPERM"), "{refusal}");
    let mut narrow = world.client("narrow");
    narrow.talk(&[("SUBSCRIBE news", &refusal), ("PSUBSCRIBE news", &refusal), ("PING", "+PONG")]);
}

#[test]
fn invalidations_come_to_the_connection_that_asked_for_them() {
    let world = sharing("");
    let invalidate = "__redis__:invalidate";
    let _other = subscriber(&world, "news");
    let mut client = world.client("app");
    client.talk(&[(&format!("SUBSCRIBE {invalidate}"), &format!("[$subscribe, ${invalidate}, :1]"))]);
    client.talk(&[("SUBSCRIBE news", "[$subscribe, $news, :2]")]);
    let connections = world.redis.client("root").ask("CLIENT LIST TYPE pubsub");
    assert_eq!(connections.matches("user=app").count(), 2, "{connections}");
    let mut mixed = subscriber(&world, "news");
    let answer = mixed.ask(&format!("SUBSCRIBE {invalidate}"));
    assert_eq!(answer, "-ERR respgate: __redis__:invalidate needs a connection without other subscriptions");
}

#[test]
fn a_reload_applies_to_whoever_subscribes_next() {
    let world = sharing("");
    let mut before = subscriber(&world, "news");
    world.write_again(|setup| setup.edits.retain(|(from, _)| *from != "[database]\n"));
    world.reload();
    sleep(Duration::from_millis(200));
    let mut after = subscriber(&world, "news");
    let mut redis = world.redis.client("root");
    let mut own: Vec<Client> = (0..2).map(|_| subscriber(&world, "news")).collect();
    assert_eq!(redis.ask("PUBSUB NUMSUB news"), "[$news, :4]");
    before.talk(&[
        ("SUBSCRIBE more", "[$subscribe, $more, :2]"),
        ("UNSUBSCRIBE more", "[$unsubscribe, $more, :1]"),
    ]);
    redis.ask("PUBLISH news hello");
    for client in [&mut before, &mut after].into_iter().chain(&mut own) {
        assert_eq!(client.read().to_string(), "[$message, $news, $hello]");
    }
}

#[test]
fn too_many_subscriptions_of_one_client_are_refused() {
    let world = sharing("subscriptions_bytes_max = 1000");
    let mut client = world.client("app");
    let text = "-ERR respgate: too many subscriptions, command not sent";
    client.talk(&[("SUBSCRIBE a b c d e", text), ("SUBSCRIBE a", "[$subscribe, $a, :1]")]);
    client.send("SUBSCRIBE b c d");
    (0..3).for_each(|_| drop(client.read()));
    client.talk(&[("SUBSCRIBE e", text), ("UNSUBSCRIBE a", "[$unsubscribe, $a, :3]")]);
    client.talk(&[("SUBSCRIBE e", "[$subscribe, $e, :4]")]);
}

#[test]
fn redis_py_does_not_notice() {
    let world = World::with(Setup::sharing());
    for protocol in ["2", "3"] {
        let mut command = leashed(needed(target("venv/bin/python")));
        command.env("PYTHONPATH", needed(target("py/8.1.0"))).env("PYTHONDONTWRITEBYTECODE", "1");
        command.arg(format!("{}/tests/clients/redis_py.py", env!("CARGO_MANIFEST_DIR")));
        command.arg(world.gateway.address.port().to_string()).arg(world.path(""));
        assert_eq!(run(command.args(["app", "app", protocol])), "ok\n");
    }
}
