//! Sessions about bytes: lines, sizes, what is no request, and how a connection ends.

use super::dice::Dice;
use super::request::{Request, Step, cuts, words};
use super::scenes::pipelines;
use super::words::{Words, argument, binary};

/// Lines typed by a person, with all sorts of quotes.
pub(super) fn inline(_words: &Words, dice: &mut Dice) -> Vec<Step> {
    let lines = [
        "PING\r\n",
        "PING\n",
        "ping\r\n",
        "\r\n",
        "\n",
        "  \r\n",
        "  PING  \r\n",
        "\tPING\t\n",
        "ECHO hello\r\n",
        "ECHO \"a b\"\r\n",
        "ECHO 'a b'\r\n",
        "ECHO \"\\x41\\n\\t\\\"\"\r\n",
        "ECHO 'it\\'s'\r\n",
        "ECHO \"\"\r\n",
        "ECHO ''\r\n",
        "SET s \"two words\"\r\n",
        "GET s\r\n",
        "GET 's'\r\n",
        "MULTI\r\n",
        "EXEC\r\n",
        "SELECT 1\r\n",
        "HELLO 3\r\n",
        "NOSUCH a\r\n",
        "ECHO\r\n",
        "ECHO a\"b\"\r\n",
        "ECHO \\x41\r\n",
        "ECHO \"\\xzz\"\r\n",
        "ECHO \"a\\\r\n",
        "CLIENT SETNAME x\r\n",
        "CLIENT GETNAME\r\n",
        "RESET\r\n",
        "SUBSCRIBE c1\r\n",
        "ECHO a\rb\r\n",
        "ECHO \"\\a\\b\\r\"\r\n",
        "+OK\r\n",
        "$3\r\n",
        "ECHO \u{e9}\r\n",
        "BLPOP none 0.002\r\n",
        "ECHO a\u{b}b\r\n",
    ];
    // These close the connection, or not, and come last.
    let odd = [
        "ECHO 'it''s'\r\n",
        "ECHO \"a\"b\r\n",
        "ECHO 'a'b\r\n",
        "ECHO \"a\r\n",
        "ECHO 'a\r\n",
        "ECHO \"\"\"\"\r\n",
        "ECHO \"a\\\"\r\n",
        "'\r\n",
        "ECHO a'b'c\r\n",
        "ECHO \"a\"'b'\r\n",
        "ECHO 'a\\\\'\r\n",
        "ECHO \"a\"\\\r\n",
        "ECHO a\"\r\n",
        "ECHO \"\\x4\"1\r\n",
        "ECHO a\\\"b\r\n",
    ];
    let request = |line: &str| Request::inline(line.as_bytes(), words(line));
    let mut requests: Vec<Request> = (0..dice.between(2, 15)).map(|_| request(dice.pick(&lines))).collect();
    if dice.one_in(3) {
        let at = dice.below(requests.len() + 1);
        requests.insert(at, Request::new(vec![b"ECHO".to_vec(), binary(dice)]));
    }
    if dice.one_in(2) {
        requests.push(request(dice.pick(&odd)));
    }
    pipelines(0, requests, dice)
}

/// Arguments of no bytes, of many, and of any bytes.
pub(super) fn sizes(words: &Words, dice: &mut Dice) -> Vec<Step> {
    let mut requests = Vec::new();
    for _ in 0..dice.between(2, 8) {
        let size = dice.pick(&[0, 1, 100, 4_000, 16_383, 16_384, 16_385, 40_000, 70_000]);
        let size = if dice.one_in(25) { dice.pick(&[300_000, 1_048_600]) } else { size };
        let value = vec![b'v'; size];
        let two = |name: &str, value: Vec<u8>| Request::new(vec![name.into(), value]);
        let three = |name: &str, value: Vec<u8>| Request::new(vec![name.into(), b"big".to_vec(), value]);
        match dice.below(9) {
            0 => requests.push(two("ECHO", value)),
            1 => requests.push(three("APPEND", value)),
            2 => requests.push(two("GET", if size > 40_000 { b"big".to_vec() } else { value })),
            3 => requests.extend([
                Request::typed("MULTI"),
                three("SET", value),
                Request::typed("GET big"),
                Request::typed("EXEC"),
            ]),
            4 => requests.push(two("PING", value)),
            5 => requests.push(two(
                dice.pick(&["NOSUCH", "CLIENT", "SELECT", "AUTH nobody", "CLIENT SETNAME"]),
                binary(dice),
            )),
            6 => requests.push(Request::new(
                (0..dice.between(1, 200))
                    .map(|at| if at == 0 { b"DEL".to_vec() } else { argument(dice) })
                    .collect(),
            )),
            7 => requests.push(words.about_keys(dice)),
            _ => requests.extend([
                three("SET", value),
                Request::typed("GET big"),
                Request::typed("STRLEN big"),
            ]),
        }
    }
    requests.push(Request::typed("DEL big"));
    pipelines(0, requests, dice)
}

/// Requests, and then bytes that are none.
pub(super) fn broken(words: &Words, dice: &mut Dice) -> Vec<Step> {
    let bytes = [
        &b"*1\r\n$+4\r\nPING\r\n"[..],
        b"*1\r\n$004\r\nPING\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$4x\r\nPING\r\n",
        b"*1\r\n$\r\n",
        b"*1\r\n$536870913\r\n",
        b"*1\r\n$9223372036854775808\r\n",
        b"*+1\r\n$4\r\nPING\r\n",
        b"*2147483648\r\n",
        b"*abc\r\n",
        b"*1 \r\n",
        b"* 1\r\n",
        b"*\r\n",
        b"*1\r\n:4\r\n",
        b"*1\r\n*1\r\n$4\r\nPING\r\n",
        b"*2\r\n$4\r\nECHO\r\nhello\r\n",
        b"*1\r\n$?\r\n;4\r\nPING\r\n;0\r\n",
        b"*?\r\n$4\r\nPING\r\n.\r\n",
        b"*1\r\n\r\n",
        b"*1\r\n$-0\r\n\r\n",
        b"*-0\r\n",
        b"*00\r\n",
        b"*-2\r\n*1\r\n$4\r\nPING\r\n",
        b"*0\r\n",
        b"*-1\r\n*1\r\n$4\r\nPING\r\n",
        b"*1\r\n$0\r\n\r\n",
        b"*2\r\n$0\r\n\r\n$1\r\na\r\n",
        b"*1\r\n$4\r\nPING",
        b"*1\r\n$4\r\n",
        b"*1",
        b"*1\r\n$",
        b"*3\r\n$3\r\nSET\r\n$1\r\ns\r\n",
        b"*1\r\n$1e1\r\n",
        b"*1\r\n$ 4\r\nPING\r\n",
        b"*1\r\n-ERR\r\n",
        b"*1\r\n_\r\n",
        b"*1\r\n$99999999999\r\n",
        b"*1\r\n\0\r\n",
        b"\"\r\n",
        b"'a\r\n",
        b"%1\r\n$1\r\na\r\n$1\r\nb\r\n",
        b">1\r\n$4\r\nPING\r\n",
        b"~1\r\n",
    ];
    let mut requests: Vec<Request> = (0..dice.below(6)).map(|_| words.about_keys(dice)).collect();
    if dice.one_in(3) {
        let at = dice.below(requests.len() + 1);
        requests.insert(
            at,
            Request::typed(dice.pick(&["MULTI", "WATCH s", "SUBSCRIBE c1", "HELLO 3", "SELECT 2"])),
        );
    }
    let bytes: &[u8] = dice.pick(&bytes);
    // Half a request stays half: RESET would be read as its end.
    let is_half = [&b"PING"[..], b"$4\r\n", b"*1", b"$", b"s\r\n"].iter().any(|end| bytes.ends_with(end))
        && bytes[0] == b'*';
    requests.push(Request::raw(bytes));
    if is_half {
        requests.push(Request::raw(if bytes.ends_with(b"PING") { b"\r\n" } else { b"\r\n:x\r\n" }));
    }
    // An end as far as its kind is not known: bytes that close.
    if dice.one_in(2) {
        requests.push(Request::raw(b"*x\r\n"));
    }
    vec![Step { cuts: cuts(dice), ..Step::new(0, requests) }]
}

/// Ends that are asked for: QUIT, and what is shown the door without a word.
pub(super) fn ends(words: &Words, dice: &mut Dice) -> Vec<Step> {
    let mut steps = Vec::new();
    let before: Vec<Request> = (0..dice.below(6)).map(|_| words.about_keys(dice)).collect();
    if dice.one_in(3) {
        steps.push(Step::typed(
            0,
            &[dice.pick(&["MULTI", "SUBSCRIBE c1", "WATCH s", "HELLO 3", "CLIENT REPLY SKIP"])],
        ));
    }
    if dice.below(4) < 3 {
        // What comes behind QUIT is not answered.
        let mut requests = before;
        requests.push(Request::typed(dice.pick(&["QUIT", "quit", "QUIT now"])));
        requests.extend((0..dice.below(3)).map(|_| words.about_keys(dice)));
        steps.push(Step { cuts: cuts(dice), ..Step::new(0, requests) });
    } else {
        steps.push(Step::new(0, before));
        let bytes: &[u8] = dice.pick(&[
            &b"POST / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"Host: a\r\n",
            b"*1\r\n$4\r\npost\r\n",
            b"*2\r\n$5\r\nhost:\r\n$1\r\nx\r\n",
            b"POST\r\nPING\r\n",
        ]);
        steps.push(Step::new(0, vec![Request::raw(bytes)]));
    }
    steps
}
