//! Publish and subscribe in both protocols.

use std::time::Duration;

use crate::resp::{Value, typed};
use crate::wire::Client;
use crate::world::{Door, at_both_doors, at_each_door};

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
    at_each_door(|door| {
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
    at_each_door(|door| {
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
    at_each_door(|door| {
        let mut client = door.client("app");
        client.write(&["PING", "SUBSCRIBE a b c", "PSUBSCRIBE x.*"].map(typed).concat());
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
    at_each_door(|door| {
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
    at_each_door(|door| {
        let mut client = door.client("app");
        client.talk(&[("SSUBSCRIBE s", "[$ssubscribe, $s, :1]")]);
        assert_eq!(door.client("app").ask("SPUBLISH s hello"), ":1");
        assert_eq!(client.read().to_string(), "[$smessage, $s, $hello]");
        client.talk(&[("SUNSUBSCRIBE s", "[$sunsubscribe, $s, :0]"), ("ECHO free", "$free")]);
    });
}

#[test]
fn messages_keep_their_order_and_all_arrive() {
    at_each_door(|door| {
        for (flow, mut client) in [("flow2", door.client("app")), ("flow3", resp3(door))] {
            client.send(&format!("SUBSCRIBE {flow}"));
            client.read();
            let mut publisher = door.client("ops");
            for chunk in (0..2000).collect::<Vec<_>>().chunks(100) {
                let bytes = chunk.iter().flat_map(|n| typed(&format!("PUBLISH {flow} {n}")));
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
    at_each_door(|door| {
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
fn who_has_been_told_reset_is_no_longer_counted() {
    at_both_doors(|door| {
        let (mut subscriber, mut publisher) = (door.client("app"), door.client("ops"));
        for round in 0..300 {
            let hello = if round % 2 == 0 { "HELLO 2" } else { "HELLO 3" };
            subscriber.ask(hello);
            for subscribe in ["SUBSCRIBE c", "PSUBSCRIBE c*", "SSUBSCRIBE c"] {
                subscriber.ask(subscribe);
            }
            publisher.talk(&[("PUBLISH c heard", ":2")]);
            subscriber.read();
            subscriber.read();
            subscriber.talk(&[("RESET", "+RESET")]);
            publisher.talk(&[("PUBLISH c x", ":0"), ("SPUBLISH c x", ":0"), ("PUBSUB NUMPAT", ":0")]);
            if !door.is_gateway() {
                subscriber.ask("AUTH app canary-app");
            }
            subscriber.talk(&[("GET none", "nil")]);
        }
    });
}

#[test]
fn a_resp3_subscriber_gets_replies_that_look_like_messages_as_replies() {
    at_each_door(|door| {
        let mut client = resp3(door);
        client.talk(&[("SUBSCRIBE news", ">[$subscribe, $news, :1]"), ("DEL list", ":0")]);
        for kind in ["message", "pmessage", "smessage", "subscribe", "unsubscribe", "psubscribe"] {
            client.talk(&[(&format!("RPUSH list {kind} news x"), ":3")]);
            client.talk(&[("LRANGE list 0 -1", &format!("[${kind}, $news, $x]")), ("ECHO next", "$next")]);
            client
                .talk(&[(&format!("EVAL return{{'{kind}','news',7}} 0"), &format!("[${kind}, $news, :7]"))]);
            client.talk(&[("ECHO next", "$next"), ("DEL list", ":1")]);
        }
        client.talk(&[("UNSUBSCRIBE", ">[$unsubscribe, $news, :0]"), ("DEL list", ":0")]);
    });
}

#[test]
fn what_a_transaction_publishes_to_its_own_client_arrives_with_its_replies() {
    at_both_doors(|door| {
        let mut client = resp3(door);
        client.talk(&[
            ("SUBSCRIBE news", ">[$subscribe, $news, :1]"),
            ("PSUBSCRIBE n*", ">[$psubscribe, $n*, :2]"),
        ]);
        for _ in 0..3 {
            client.talk(&[("MULTI", "+OK"), ("PUBLISH news x", "+QUEUED"), ("CLIENT GETNAME", "+QUEUED")]);
            client.send("EXEC");
            client.send("ECHO next");
            // Redis 7.0 puts messages between the elements.
            let mut bytes = Vec::new();
            while !bytes.ends_with(b"$4\r\nnext\r\n") {
                bytes.extend(client.read_piece(usize::MAX));
            }
            let text = String::from_utf8(bytes).expect("text");
            let replies = [":2\r\n_\r\n", "$7\r\nmessage\r\n", "$8\r\npmessage\r\n"];
            assert!(replies.iter().all(|reply| text.matches(reply).count() == 1), "{text:?}");
            assert_eq!(
                text.starts_with("*2\r\n>3\r\n"),
                door.version() == crate::backend::Version::System,
                "{text:?}"
            );
        }
    });
}

#[test]
fn a_client_may_publish_to_itself_in_resp3() {
    at_each_door(|door| {
        let mut client = resp3(door);
        client.talk(&[("SUBSCRIBE self", ">[$subscribe, $self, :1]")]);
        client.send("PUBLISH self hello");
        let mut got = [client.read().to_string(), client.read().to_string()];
        got.sort();
        assert_eq!(got, [":1", ">[$message, $self, $hello]"]);
    });
}

#[test]
fn a_channel_and_a_pattern_of_it_are_two_messages_and_twice_the_same_is_one() {
    at_each_door(|door| {
        for (x, mut client) in [("x2", door.client("app")), ("x3", resp3(door))] {
            let lines =
                [format!("SUBSCRIBE {x}.y {x}.y"), format!("PSUBSCRIBE {x}.*"), format!("SUBSCRIBE {x}.y")];
            client.write(&lines.map(|line| typed(&line)).concat());
            let counts: Vec<String> = (0..4).map(|_| client.read().items()[2].to_string()).collect();
            assert_eq!(counts, [":1", ":1", ":2", ":2"]);
            publish(door, &format!("{x}.y"), "hello", 2);
            let mut got = [client.read(), client.read()].map(|it| it.items()[0].to_string());
            got.sort();
            assert_eq!(got, ["$message", "$pmessage"]);
            assert_eq!(client.ask("RESET"), "+RESET");
        }
    });
}

#[test]
fn the_protocol_may_change_while_there_are_subscriptions() {
    at_each_door(|door| {
        let mut client = resp3(door);
        client.talk(&[("SUBSCRIBE news", ">[$subscribe, $news, :1]")]);
        assert_eq!(client.ask("HELLO 2").split(',').next(), Some("[$server"));
        publish(door, "news", "hello", 1);
        assert_eq!(client.read().to_string(), "[$message, $news, $hello]");
        assert!(client.ask("HELLO 3").starts_with("-ERR Can't execute 'hello'"));
        client.talk(&[("UNSUBSCRIBE", "[$unsubscribe, $news, :0]"), ("ECHO free", "$free")]);
    });
}

#[test]
fn subscriptions_are_confirmed_and_messages_come_whatever_client_reply_says() {
    at_each_door(|door| {
        let mut client = door.client("app");
        client.send("CLIENT REPLY OFF");
        client.send("SUBSCRIBE a b");
        client.send("PING");
        for expected in ["[$subscribe, $a, :1]", "[$subscribe, $b, :2]"] {
            assert_eq!(client.read().to_string(), expected);
        }
        publish(door, "b", "hello", 1);
        assert_eq!(client.read().to_string(), "[$message, $b, $hello]");
    });
}

#[test]
fn commands_in_subscribed_mode_are_refused_by_their_whole_name() {
    at_each_door(|door| {
        let mut client = door.client("app");
        client.send("SUBSCRIBE news");
        client.read();
        for (command, name) in [
            ("CONFIG GET x", "config|get"),
            ("XGROUP CREATE a b $", "xgroup|create"),
            ("CLIENT ID", "client|id"),
            ("MULTI", "multi"),
            ("EVAL 1 0", "eval"),
            ("BLPOP l 0", "blpop"),
        ] {
            let answer = client.ask(command);
            assert!(
                answer.starts_with(&format!("-ERR Can't execute '{name}': only ")),
                "{command}: {answer}"
            );
        }
        assert_eq!(client.ask("PING a b"), "-ERR wrong number of arguments for 'ping' command");
        assert_eq!(client.ask("SUBSCRIBE"), "-ERR wrong number of arguments for 'subscribe' command");
        client.talk(&[("QUIT", "+OK")]);
        client.expect_end();
    });
}

#[test]
fn what_is_no_command_is_told_so_before_what_may_not_be_said_while_subscribed() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        client.send("SUBSCRIBE news");
        client.read();
        client.talk(&[
            (
                "CLIENT Maint_Notifications ON",
                "-ERR unknown subcommand 'Maint_Notifications'. Try CLIENT HELP.",
            ),
            ("CLIENT SETNAME", "-ERR wrong number of arguments for 'client|setname' command"),
        ]);
    });
}

#[test]
fn thousands_of_channels_are_confirmed_one_by_one_and_left_at_once() {
    at_each_door(|door| {
        let mut client = door.client("app");
        let names: Vec<String> = (0..4_000).map(|n| format!("burst-{n}")).collect();
        let all = [vec!["SUBSCRIBE".to_owned()], names[..3_000].to_vec()].concat();
        let one_by_one = names[3_000..].iter().map(|name| typed(&format!("SUBSCRIBE {name}")));
        client.write(&[crate::resp::request(&all), one_by_one.collect::<Vec<_>>().concat()].concat());
        for (count, name) in (1..).zip(&names) {
            assert_eq!(client.read().to_string(), format!("[$subscribe, ${name}, :{count}]"));
        }
        publish(door, &names[3_500], "hello", 1);
        assert_eq!(client.read().to_string(), format!("[$message, ${}, $hello]", names[3_500]));
        client.send("UNSUBSCRIBE");
        for count in (0..4_000).rev() {
            assert_eq!(client.read().items()[2].to_string(), format!(":{count}"));
        }
        publish(door, &names[3_500], "hello", 0);
    });
}

#[test]
fn a_channel_may_have_a_very_long_name() {
    at_each_door(|door| {
        for (letter, mut client) in [("n", door.client("app")), ("m", resp3(door))] {
            let name = letter.repeat(300_000);
            let confirmed = client.call(&["SUBSCRIBE", "short", &name, "other"]);
            assert_eq!(confirmed.items()[1].to_string(), "$short");
            assert_eq!(client.read().items()[1].bytes(), name.as_bytes());
            assert_eq!(client.read().items()[2].to_string(), ":3");
            publish(door, &name, "hello", 1);
            assert_eq!(client.read().items()[2].to_string(), "$hello");
            assert_eq!(client.call(&["UNSUBSCRIBE", &name]).items()[1].bytes(), name.as_bytes());
        }
    });
}

#[test]
fn a_large_message_arrives_whole_in_either_protocol() {
    at_each_door(|door| {
        let mut clients = [door.client("app"), resp3(door), door.client("app")];
        for client in &mut clients {
            client.send("SUBSCRIBE large");
            client.read();
        }
        let text: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
        let mut publisher = door.client("app");
        let words: [&[u8]; 3] = [b"PUBLISH", b"large", &text];
        publisher.call(&words);
        for client in &mut clients {
            assert!(client.read().items()[2].bytes() == text, "the message differs");
            assert_eq!(client.ask("UNSUBSCRIBE").trim_start_matches('>'), "[$unsubscribe, $large, :0]");
        }
    });
}

#[test]
fn no_message_stands_among_replies_where_the_protocol_changes_behind_them() {
    at_each_door(|door| {
        let mut publisher = door.client("app");
        publisher.talk(&[("SET k v", "+OK")]);
        for _ in 0..10 {
            let mut listener = resp3(door);
            listener.talk(&[("SUBSCRIBE news", ">[$subscribe, $news, :1]")]);
            publisher.write(&typed("PUBLISH news hello").repeat(100));
            listener.write(&[typed("GET k").repeat(100), typed("HELLO 2")].concat());
            let replies =
                std::iter::repeat_with(|| listener.read()).filter(|it| !matches!(it, Value::Push(_)));
            assert!(replies.take(100).all(|reply| reply.to_string() == "$v"));
            (0..100).for_each(|_| drop(publisher.read()));
        }
    });
}
