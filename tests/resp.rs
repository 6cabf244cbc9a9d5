//! The scanners against arbitrary bytes, against every way to cut them, and against
//! another implementation of RESP.
//!
//! Where redis-protocol 6.0.0 reads replies differently, and what is generated here
//! avoids: it reads the specification's streamed types (`$?`, `*?`), which the gateway
//! refuses since no Redis sends them; it wants UTF-8 in simple strings and errors,
//! numbers in `:` and `,` and `t` or `f` in `#`, where the gateway looks for the end of
//! the line only; it refuses RESP2's null `$-1` in RESP3; it hands an attribute out as a frame of its own.

use proptest::collection::vec;
use proptest::prelude::*;
use respgate::resp::{Found, ReplyError, ReplyScanner, RequestError, RequestLimits, RequestScanner};

const LIMITS: RequestLimits = RequestLimits { args_max: 50, bulk_bytes_max: 5_000 };
const DEPTH_MAX: usize = 8;

/// Requests found in bytes that arrive up to each of these ends.
fn requests(input: &[u8], ends: &[usize]) -> (Vec<Found>, Option<RequestError>) {
    let (mut scanner, mut found, mut begin) = (RequestScanner::default(), Vec::new(), 0);
    for &end in ends {
        loop {
            match scanner.scan(&input[begin..end], LIMITS) {
                Ok(Found::More) => break,
                Ok(one) => {
                    begin += match &one {
                        Found::Request(request) => request.len,
                        Found::Inline { len, .. } | Found::Nothing { len } => *len,
                        Found::More => unreachable!("handled above"),
                    };
                    found.push(one);
                }
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

/// The lengths of replies in bytes that arrive up to each of these ends; `taken`:
/// what has been examined is taken away each time.
fn replies(input: &[u8], ends: &[usize], taken: bool) -> (Vec<usize>, Option<ReplyError>) {
    let (mut scanner, mut found, mut begin, mut before) = (ReplyScanner::new(DEPTH_MAX), Vec::new(), 0, 0);
    for &end in ends {
        loop {
            match scanner.scan(&input[begin..end]) {
                Ok(Some(len)) => {
                    begin += len;
                    found.push(before + len);
                    before = 0;
                }
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        if taken {
            let count = scanner.take_examined(end - begin);
            begin += count;
            before += count;
        }
    }
    (found, None)
}

/// Cuts, and the end.
fn ends(input: &[u8], cuts: &[prop::sample::Index]) -> Vec<usize> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    ends.push(input.len());
    ends.sort_unstable();
    ends
}

/// Bytes that look like RESP often enough to get past the first line.
fn nearly_resp() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        4 => (0..6u8).prop_map(|count| format!("*{count}\r\n").into_bytes()),
        6 => vec(any::<u8>(), 0..20).prop_map(|bytes| bulk(&bytes)),
        2 => prop::sample::select(vec![
            "*", "$", ":1\r\n", "+OK\r\n", "-ERR no\r\n", "\r\n", "\r", "\n", "$-1\r\n", "*-1\r\n", "*0\r\n",
            "%1\r\n", "~2\r\n", ">2\r\n", "|1\r\n", "_\r\n", "#t\r\n", ",1.5\r\n", "=5\r\ntxt:a\r\n", "!3\r\nERR\r\n",
            "set k \"a b\"\r\n", "get 'x\r\n", "$4999\r\n", "*51\r\n", "$99999999999999999999\r\n", "*+1\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..10),
    ];
    vec(word, 0..30).prop_map(|words| words.concat())
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// A reply as Redis writes it; with the types of RESP3 or without.
fn reply(resp3: bool) -> impl Strategy<Value = Vec<u8>> {
    let line = |kind: char| "[ -~]{0,12}".prop_map(move |text| format!("{kind}{text}\r\n").into_bytes());
    let old = prop_oneof![
        line('+'),
        line('-'),
        any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
        vec(any::<u8>(), 0..40).prop_map(|bytes| bulk(&bytes)),
        // Redis writes no `$-1` in RESP3 either.
        Just(if resp3 { b"$0\r\n\r\n".to_vec() } else { b"$-1\r\n".to_vec() }),
    ];
    let new = prop_oneof![
        Just(b"_\r\n".to_vec()),
        prop::sample::select(vec!["#t\r\n", "#f\r\n", ",1.5\r\n", ",-3\r\n", ",inf\r\n"])
            .prop_map(|text| text.as_bytes().to_vec()),
        "[0-9]{1,30}".prop_map(|digits| format!("({digits}\r\n").into_bytes()),
        "[ -~]{0,20}".prop_map(|text| format!("={}\r\ntxt:{text}\r\n", text.len() + 4).into_bytes()),
        "[ -~]{0,20}".prop_map(|text| format!("!{}\r\n{text}\r\n", text.len()).into_bytes()),
    ];
    let leaf = if resp3 { prop_oneof![old, new].boxed() } else { old.boxed() };
    leaf.prop_recursive(4, 40, 6, move |inner| {
        let array = vec(inner.clone(), 0..6).prop_map(|elements| {
            [format!("*{}\r\n", elements.len()).into_bytes(), elements.concat()].concat()
        });
        // Keys that differ, since a map that is read back has one of each.
        let map = vec(inner, 0..4).prop_map(|values| {
            let mut bytes = format!("%{}\r\n", values.len()).into_bytes();
            for (number, value) in values.iter().enumerate() {
                bytes.extend_from_slice(format!("+{number}\r\n").as_bytes());
                bytes.extend_from_slice(value);
            }
            bytes
        });
        if resp3 { prop_oneof![array, map].boxed() } else { array.boxed() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_give_the_same_requests_however_they_are_cut(
        input in prop_oneof![nearly_resp(), vec(any::<u8>(), 0..300)],
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let whole = requests(&input, &[input.len()]);
        prop_assert_eq!(&requests(&input, &ends(&input, &cuts)), &whole);
        let bytewise: Vec<usize> = (0..=input.len()).collect();
        prop_assert_eq!(&requests(&input, &bytewise), &whole);
    }

    #[test]
    fn any_bytes_give_the_same_replies_however_they_are_cut_and_taken(
        input in prop_oneof![nearly_resp(), vec(any::<u8>(), 0..300)],
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let whole = replies(&input, &[input.len()], false);
        let bytewise: Vec<usize> = (0..=input.len()).collect();
        for taken in [false, true] {
            prop_assert_eq!(&replies(&input, &ends(&input, &cuts), taken), &whole);
            prop_assert_eq!(&replies(&input, &bytewise, taken), &whole);
        }
    }

    #[test]
    fn a_resp2_reply_ends_where_another_implementation_ends_it(reply in reply(false)) {
        let followed = [&reply[..], b"+next\r\n"].concat();
        let (found, error) = replies(&followed, &[followed.len()], false);
        prop_assert_eq!(error, None);
        prop_assert_eq!(found[0], reply.len());
        let decoded = redis_protocol::resp2::decode::decode_bytes(&followed.into()).expect("readable");
        prop_assert_eq!(decoded.expect("whole").1, reply.len());
    }

    #[test]
    fn a_resp3_reply_ends_where_another_implementation_ends_it(reply in reply(true)) {
        let followed = [&reply[..], b"+next\r\n"].concat();
        let (found, error) = replies(&followed, &[followed.len()], false);
        prop_assert_eq!(error, None);
        prop_assert_eq!(found[0], reply.len());
        let decoded = redis_protocol::resp3::decode::complete::decode_bytes(&followed.into()).expect("readable");
        prop_assert_eq!(decoded.expect("whole").1, reply.len());
    }
}
