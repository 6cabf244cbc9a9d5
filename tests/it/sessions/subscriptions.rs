//! Publish and subscribe in both protocols.

use std::time::Duration;

use crate::wire::Client;
use crate::world::{Door, at_both_doors};

fn resp3(door: &Door<'_>) -> Client {
    let mut client = door.client("app");
    client.send("HELLO 3");
    client.read();
    client
}

/// Publishes until this many subscribers have got it: a subscription is in force
/// once it has been confirmed, so the first time is enough.
fn publish(door: &Door<'_>, channel: &str, text: &str, receivers: u32) {
    let mut publisher = door.client("app");
    assert_eq!(publisher.call(&["PUBLISH", channel, text]).to_string(), format!(":{receivers}"));
}

#[test]
fn a_resp2_subscriber_is_modal_as_in_redis() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        client.talk(&[("SET k v", "+OK"), ("SUBSCRIBE news", "[$subscribe, $news, :1]")]);
        let words = "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
                     allowed in this context";
        client.talk(&[("GET k", words), ("PING", "[$pong, $]"), ("PING text", "[$pong, $text]")]);
        publish(door, "news", "hello", 1);
        assert_eq!(client.read().to_string(), "[$message, $news, $hello]");
        client.talk(&[("UNSUBSCRIBE news", "[$unsubscribe, $news, :0]"), ("GET k", "$v"), ("PING", "+PONG")]);
        publish(door, "news", "hello", 0);
        client.talk(&[("GET k", "$v")]);
    });
}

#[test]
fn a_resp3_subscriber_goes_on_with_ordinary_commands() {
    at_both_doors(|door| {
        let mut client = resp3(door);
        client.talk(&[("SUBSCRIBE news", ">[$subscribe, $news, :1]"), ("SET k v", "+OK"), ("GET k", "$v")]);
        publish(door, "news", "hello", 1);
        assert_eq!(client.read().to_string(), ">[$message, $news, $hello]");
        client.pipeline(&[
            ("GET k", "$v"),
            ("MULTI", "+OK"),
            ("GET k", "+QUEUED"),
            ("EXEC", "[$v]"),
            ("PING", "+PONG"),
            ("UNSUBSCRIBE", ">[$unsubscribe, $news, :0]"),
            ("GET k", "$v"),
        ]);
        publish(door, "news", "hello", 0);
    });
}

#[test]
fn several_channels_get_several_confirmations_in_their_place() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        client.write(&["PING", "SUBSCRIBE a b c", "PSUBSCRIBE x.*"].map(crate::resp::typed).concat());
        let replies: Vec<String> = (0..5).map(|_| client.read().to_string()).collect();
        let expected = [
            "+PONG",
            "[$subscribe, $a, :1]",
            "[$subscribe, $b, :2]",
            "[$subscribe, $c, :3]",
            "[$psubscribe, $x.*, :4]",
        ];
        assert_eq!(replies, expected);
        publish(door, "x.y", "hello", 1);
        assert_eq!(client.read().to_string(), "[$pmessage, $x.*, $x.y, $hello]");
        client.send("UNSUBSCRIBE");
        let mut gone: Vec<String> = (0..3).map(|_| client.read().to_string()).collect();
        gone.iter_mut().for_each(|reply| reply.truncate("[$unsubscribe, $a".len()));
        gone.sort();
        assert_eq!(gone, ["[$unsubscribe, $a", "[$unsubscribe, $b", "[$unsubscribe, $c"]);
        client.talk(&[("PUNSUBSCRIBE", "[$punsubscribe, $x.*, :0]"), ("ECHO free", "$free")]);
    });
}

#[test]
fn unsubscribing_from_nothing_is_answered_once() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        client.pipeline(&[
            ("UNSUBSCRIBE", "[$unsubscribe, nil, :0]"),
            ("PUNSUBSCRIBE", "[$punsubscribe, nil, :0]"),
            ("UNSUBSCRIBE a", "[$unsubscribe, $a, :0]"),
            ("PING", "+PONG"),
        ]);
    });
}

#[test]
fn sharded_channels_work_too() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        client.talk(&[("SSUBSCRIBE s", "[$ssubscribe, $s, :1]")]);
        assert_eq!(door.client("app").ask("SPUBLISH s hello"), ":1");
        assert_eq!(client.read().to_string(), "[$smessage, $s, $hello]");
        client.talk(&[("SUNSUBSCRIBE s", "[$sunsubscribe, $s, :0]"), ("ECHO free", "$free")]);
    });
}

#[test]
fn messages_keep_their_order_and_all_arrive() {
    at_both_doors(|door| {
        for mut client in [door.client("app"), resp3(door)] {
            client.send("SUBSCRIBE flow");
            client.read();
            let mut publisher = door.client("ops");
            for chunk in (0..2000).collect::<Vec<_>>().chunks(100) {
                let bytes = chunk.iter().flat_map(|n| crate::resp::typed(&format!("PUBLISH flow {n}")));
                publisher.write(&bytes.collect::<Vec<u8>>());
                chunk.iter().for_each(|_| assert_eq!(publisher.read().to_string(), ":1"));
            }
            for n in 0..2000 {
                assert_eq!(client.read().items()[2].bytes(), n.to_string().as_bytes());
            }
        }
    });
}

#[test]
fn a_subscriber_that_leaves_is_no_longer_counted() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        client.talk(&[("SUBSCRIBE news", "[$subscribe, $news, :1]")]);
        client.finish_writing();
        client.read_to_end();
        // The pinned link was closed before the end was answered.
        std::thread::sleep(Duration::from_millis(50));
        publish(door, "news", "hello", 0);
    });
}

#[test]
fn a_client_may_publish_to_itself_in_resp3() {
    at_both_doors(|door| {
        let mut client = resp3(door);
        client.talk(&[("SUBSCRIBE self", ">[$subscribe, $self, :1]")]);
        client.send("PUBLISH self hello");
        let mut got = [client.read().to_string(), client.read().to_string()];
        got.sort();
        assert_eq!(got, [":1", ">[$message, $self, $hello]"]);
    });
}
