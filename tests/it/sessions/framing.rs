//! Where requests begin and end: every chunking, inline commands, and the exact
//! words for what is not a request.

use std::time::Duration;

use crate::backend::Version;
use crate::resp::typed;
use crate::wire::Client;
use crate::world::{World, at_both_doors};

#[test]
fn a_stream_cut_into_single_bytes_is_the_same_stream() {
    at_both_doors(|door| {
        let commands =
            ["SET k v", "GET k", "MULTI", "GET k", "EXEC", "ECHO \u{e9}", "BLPOP none 0.001", "PING"];
        let bytes = commands.map(typed).concat();
        for size in [1, 2, 3, 7, 16, 61] {
            let mut client = door.client("app");
            bytes.chunks(size).for_each(|piece| client.write(piece));
            let replies: Vec<String> = commands.iter().map(|_| client.read().to_string()).collect();
            assert_eq!(replies, ["+OK", "$v", "+OK", "+QUEUED", "[$v]", "$\u{e9}", "nil", "+PONG"], "{size}");
        }
    });
}

#[test]
fn requests_may_travel_with_the_end_of_the_handshake() {
    let world = World::start();
    for _ in 0..20 {
        let first = [typed("PING"), typed("ECHO early")].concat();
        let mut client = Client::tls_at_once(world.gateway.address, world.tls("app"), &first)
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(client.read().to_string(), "+PONG");
        assert_eq!(client.read().to_string(), "$early");
    }
}

#[test]
fn inline_commands_are_read_as_redis_reads_them() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        for (line, expected) in
            [("PING\r\n", "+PONG"), ("ping\n", "+PONG"), ("\r\n\r\n\nECHO  hello \r\n", "$hello")]
        {
            client.write(line.as_bytes());
            assert_eq!(client.read().to_string(), expected, "{line:?}");
        }
        // In Valkey a word goes on behind its closing quote.
        client.write(b"ECHO 'it''s'\r\n");
        if door.version() == Version::Valkey9 {
            assert_eq!(client.read().to_string(), "$its");
            client.write(b"ECHO 'it\r\n");
        }
        assert_eq!(client.read().to_string(), "-ERR Protocol error: unbalanced quotes in request");
        client.expect_end();
        let mut client = door.client("app");
        for (line, expected) in [
            ("SET \"a key\" 'single \\' quote'\r\n", "+OK"),
            ("GET 'a key'\r\n", "$single ' quote"),
            ("ECHO \"\\x41\\n\\t\\\"\\\\\"\r\n", "$A\n\t\"\\"),
            ("ECHO \"\"\r\n", "$"),
        ] {
            client.write(line.as_bytes());
            assert_eq!(client.read().to_string(), expected, "{line:?}");
        }
        // Mixed with the other form in one write.
        client.write(b"ECHO one\r\n*2\r\n$4\r\nECHO\r\n$3\r\ntwo\r\nECHO three\n");
        let replies: Vec<String> = (0..3).map(|_| client.read().to_string()).collect();
        assert_eq!(replies, ["$one", "$two", "$three"]);
    });
}

#[test]
fn empty_requests_are_ignored() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        client.write(b"*0\r\n*-1\r\n\r\n*0\r\n*1\r\n$4\r\nPING\r\n");
        assert_eq!(client.read().to_string(), "+PONG");
        client.expect_silence(Duration::from_millis(50));
    });
}

#[test]
fn what_is_not_a_request_gets_redis_words_and_the_end() {
    at_both_doors(|door| {
        let long_inline = vec![b'a'; 70_000];
        for (bytes, words) in [
            (&b"*1\r\n$+4\r\nPING\r\n"[..], "invalid bulk length"),
            (b"*1\r\n$004\r\nPING\r\n", "invalid bulk length"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$4x\r\nPING\r\n", "invalid bulk length"),
            (b"*1\r\n$\r\n", "invalid bulk length"),
            (b"*1\r\n$536870913\r\n", "invalid bulk length"),
            (b"*1\r\n$9223372036854775808\r\n", "invalid bulk length"),
            (b"*1\r\n$18446744073709551617\r\n", "invalid bulk length"),
            (b"*+1\r\n$4\r\nPING\r\n", "invalid multibulk length"),
            (b"*2147483648\r\n", "invalid multibulk length"),
            (b"*abc\r\n", "invalid multibulk length"),
            (b"*1 \r\n", "invalid multibulk length"),
            (b"*1\r\n:4\r\n", "expected '$', got ':'"),
            (b"*1\r\n*1\r\n$4\r\nPING\r\n", "expected '$', got '*'"),
            (b"*2\r\n$4\r\nECHO\r\nhello\r\n", "expected '$', got 'h'"),
            (&long_inline, "too big inline request"),
        ] {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
            eprintln!("{shown:?}");
            let mut client = door.client("app");
            // A request before it is still answered.
            client.write(&[typed("SET k v"), bytes.to_vec()].concat());
            let answer = String::from_utf8_lossy(&client.read_to_end()).into_owned();
            assert_eq!(answer, format!("+OK\r\n-ERR Protocol error: {words}\r\n"), "{shown:?}");
        }
    });
}

#[test]
fn a_bulk_that_does_not_end_in_its_line_end_is_an_error() {
    // Redis itself does not look at these two bytes.
    let world = World::start();
    let mut client = world.client("app");
    client.write(b"*2\r\n$3\r\nDEL\r\n$1\r\nkxx*1\r\n$4\r\nPING\r\n");
    let answer = String::from_utf8_lossy(&client.read_to_end()).into_owned();
    assert!(answer.starts_with("-ERR Protocol error: "), "{answer:?}");
    assert_eq!(answer.matches("\r\n").count(), 1, "{answer:?}");
}

#[test]
fn another_protocol_is_shown_the_door_without_a_word() {
    at_both_doors(|door| {
        for bytes in [
            &b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
            b"Host: localhost\r\n",
            b"*1\r\n$4\r\npost\r\n",
            b"*2\r\n$5\r\nhost:\r\n$1\r\nx\r\n",
        ] {
            let mut client = door.client("app");
            client.write(bytes);
            client.expect_end();
        }
    });
}

#[test]
fn half_a_request_and_then_the_end_is_not_executed() {
    at_both_doors(|door| {
        let whole = typed("SET half done");
        for cut in [1, 5, 14, 20, whole.len() - 2, whole.len() - 1] {
            let mut client = door.client("app");
            client.write(&[typed("SET before done"), whole[..cut].to_vec()].concat());
            assert_eq!(client.read().to_string(), "+OK");
            client.finish_writing();
            client.expect_end();
            let mut other = door.client("app");
            other.talk(&[("GET half", "nil"), ("GETDEL before", "$done")]);
        }
        let mut client = door.client("app");
        client.write(b"SET half inline");
        client.finish_writing();
        client.expect_end();
        door.client("app").talk(&[("GET half", "nil")]);
    });
}

#[test]
fn requests_before_the_end_of_the_stream_are_answered() {
    let world = World::start();
    for _ in 0..10 {
        let mut client = world.client("app");
        client.write(&(0..200).flat_map(|n| typed(&format!("ECHO {n}"))).collect::<Vec<u8>>());
        client.finish_writing();
        for n in 0..200 {
            assert_eq!(client.read().to_string(), format!("${n}"));
        }
        client.expect_end();
    }
}

#[test]
fn unknown_commands_get_redis_answer() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        client.talk(&[
            ("NOSUCH a b", "-ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' "),
            ("GET", "-ERR wrong number of arguments for 'get' command"),
            ("CLIENT NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP."),
            ("SET k v", "+OK"),
        ]);
    });
}

#[test]
fn an_endless_request_is_stopped_at_its_limits() {
    let world = World::start();
    let before = world.gateway.resident();
    // Announced sizes are not allocated.
    let mut announcers: Vec<_> = (0..20).map(|_| world.client("app")).collect();
    for client in &mut announcers {
        client.write(b"*1000000\r\n$536870912\r\nabc");
    }
    let mut other = world.client("ops");
    other.talk(&[("SET k v", "+OK"), ("GET k", "$v")]);
    let grown = world.gateway.resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for nothing but announcements");
    // More arguments than the gateway allows, and a length that does not end: Redis
    // waits for 64 KiB of it.
    for bytes in [&b"*1048577\r\n"[..], &[b'*', b'1'].repeat(40)] {
        let mut client = world.client("app");
        client.write(bytes);
        let answer = String::from_utf8_lossy(&client.read_to_end()).into_owned();
        assert_eq!(answer, "-ERR Protocol error: invalid multibulk length\r\n");
    }
}
