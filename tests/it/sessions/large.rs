//! Values of many sizes, and readers that are slow or do not read at all.

use std::time::Duration;

use crate::resp::{Value, request, typed};
use crate::world::{World, at_both_doors};

/// Bytes that differ along their length, so that a shifted copy is not equal.
fn value(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..size)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .collect()
}

#[test]
fn values_of_every_size_come_back_as_they_went() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        let sizes = [0, 1, 100, 4096, 16_383, 16_384, 16_385, 65_536, 1 << 20, (1 << 20) + 1, 5 << 20];
        for size in sizes {
            let value = value(size, size as u64);
            assert_eq!(client.call(&[b"SET".as_slice(), b"k", &value]).to_string(), "+OK", "{size}");
            assert!(client.call(&["GET", "k"]) == Value::Bulk(value), "{size}");
            assert_eq!(client.ask("PING"), "+PONG", "{size}");
        }
    });
}

#[test]
fn large_and_small_requests_in_one_pipeline_keep_their_order() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        let big = value(3 << 20, 7);
        let bytes = [
            typed("SET small 1"),
            request(&[b"SET".as_slice(), b"big", &big]),
            typed("STRLEN big"),
            typed("GET small"),
            typed("GET big"),
            typed("INCR small"),
            typed("MULTI"),
            request(&[b"SET".as_slice(), b"other", &big]),
            typed("STRLEN other"),
            typed("EXEC"),
            typed("ECHO end"),
        ];
        client.write(&bytes.concat());
        let before: Vec<String> = (0..4).map(|_| client.read().to_string()).collect();
        assert_eq!(before, ["+OK", "+OK", ":3145728", "$1"]);
        assert!(client.read() == Value::Bulk(big));
        let after: Vec<String> = (0..6).map(|_| client.read().to_string()).collect();
        assert_eq!(after, [":2", "+OK", "+QUEUED", "+QUEUED", "[+OK, :3145728]", "$end"]);
    });
}

#[test]
fn a_long_array_arrives_whole() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        let items: Vec<String> = (0..50_000).map(|n| format!("item-{n}")).collect();
        for chunk in items.chunks(10_000) {
            let args = [&["RPUSH".to_owned(), "list".to_owned()], chunk].concat();
            assert!(client.call(&args).to_string().starts_with(':'));
        }
        let got = client.call(&["LRANGE", "list", "0", "-1"]).items();
        assert!(got.iter().map(Value::bytes).eq(items.iter().map(String::as_bytes)));
    });
}

#[test]
fn others_are_served_while_a_client_fetches_large_values() {
    let world = World::start();
    let mut fetcher = world.client("app");
    let big = value(8 << 20, 3);
    assert_eq!(fetcher.call(&[b"SET".as_slice(), b"big", &big]).to_string(), "+OK");
    // Asked for and not read.
    fetcher.write(&typed("GET big").repeat(6));
    std::thread::sleep(Duration::from_millis(300));
    let mut other = world.client("app");
    for n in 0..200 {
        assert_eq!(other.ask("INCR n"), format!(":{}", n + 1));
    }
    for _ in 0..6 {
        assert!(fetcher.read() == Value::Bulk(big.clone()));
    }
    fetcher.talk(&[("PING", "+PONG")]);
}

#[test]
fn a_megabyte_of_requests_never_read_harms_nobody() {
    let world = World::start();
    let mut stuffer = world.client("app");
    let payload = "x".repeat(1000);
    assert_eq!(stuffer.call(&["SET", "k", &payload]).to_string(), "+OK");
    let before = world.gateway.resident();
    // 1 MB of requests that ask for 45 MB of replies, from several clients that do not read.
    let megabyte = typed("GET k").repeat(45_000);
    let mut stuffers: Vec<_> = (0..4).map(|_| world.client("app")).collect();
    std::thread::scope(|scope| {
        for client in &mut stuffers {
            scope.spawn(|| {
                client.limit_write(Duration::from_secs(2));
                let _ = client.try_write(&megabyte);
            });
        }
        let mut other = world.client("app");
        for n in 0..300 {
            assert_eq!(other.ask("INCR n"), format!(":{}", n + 1));
        }
    });
    let grown = world.gateway.resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for four clients that do not read");
}

#[test]
fn a_megabyte_of_requests_is_answered_once_it_is_read() {
    at_both_doors(|door| {
        let mut client = door.client("app");
        let count = 50_000;
        let bytes: Vec<u8> = (0..count).flat_map(|n| typed(&format!("ECHO {n}"))).collect();
        assert!(bytes.len() > 1 << 20);
        client.write(&bytes);
        for n in 0..count {
            assert_eq!(client.read().to_string(), format!("${n}"));
        }
    });
}
