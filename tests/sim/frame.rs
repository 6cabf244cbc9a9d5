//! RESP as the model reads and writes it: recursive, whole, and nothing of it
//! taken from the code under test.

/// The first `\r\n` ends the line; its text and what follows.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&bytes[..at], &bytes[at + 2..]))
}

fn number(text: &[u8]) -> i64 {
    let text = std::str::from_utf8(text).expect("a number in text");
    text.parse().unwrap_or_else(|_| panic!("not a length: {text:?}"))
}

/// The length of the frame at the front, when all of it is there.
pub(crate) fn frame_len(bytes: &[u8]) -> Option<usize> {
    let (head, rest) = line(bytes)?;
    let used = |rest: &[u8]| bytes.len() - rest.len();
    let (&kind, text) = head.split_first().unwrap_or_else(|| panic!("an empty line is no reply"));
    let elements = match kind {
        b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => return Some(used(rest)),
        b'$' | b'=' | b'!' => {
            let length = number(text);
            if length < 0 {
                return Some(used(rest));
            }
            let end = length as usize + 2;
            return (rest.len() >= end).then(|| used(rest) + end);
        }
        b'*' | b'>' | b'~' => number(text).max(0),
        b'%' => number(text) * 2,
        other => panic!("no reply begins with {:?}", char::from(other)),
    };
    let mut at = used(rest);
    for _ in 0..elements {
        at += frame_len(&bytes[at..])?;
    }
    Some(at)
}

/// A whole request of the strict form at the front: its arguments and its length.
pub(crate) fn request(bytes: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let (head, mut rest) = line(bytes)?;
    assert_eq!(head.first(), Some(&b'*'), "the backend was sent {:?}", show(bytes));
    let mut args = Vec::new();
    for _ in 0..number(&head[1..]) {
        let (length, body) = line(rest)?;
        assert_eq!(length.first(), Some(&b'$'), "the backend was sent {:?}", show(bytes));
        let length = number(&length[1..]) as usize;
        if body.len() < length + 2 {
            return None;
        }
        assert_eq!(&body[length..length + 2], b"\r\n", "the backend was sent {:?}", show(bytes));
        args.push(body[..length].to_vec());
        rest = &body[length + 2..];
    }
    Some((args, bytes.len() - rest.len()))
}

pub(crate) fn command(words: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(&bulk(word.as_ref()));
    }
    bytes
}

pub(crate) fn bulk(text: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()
}

pub(crate) fn array(elements: &[Vec<u8>]) -> Vec<u8> {
    [format!("*{}\r\n", elements.len()).into_bytes(), elements.concat()].concat()
}

pub(crate) fn null(proto: u8) -> Vec<u8> {
    if proto == 3 { b"_\r\n".to_vec() } else { b"$-1\r\n".to_vec() }
}

pub(crate) fn null_array(proto: u8) -> Vec<u8> {
    if proto == 3 { b"_\r\n".to_vec() } else { b"*-1\r\n".to_vec() }
}

/// An array, or in RESP3 a push.
pub(crate) fn push(proto: u8, elements: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = array(elements);
    if proto == 3 {
        bytes[0] = b'>';
    }
    bytes
}

/// The beginning of some bytes, for a message.
pub(crate) fn show(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(160)];
    let more = if cut.len() < bytes.len() { format!(" .. {} bytes", bytes.len()) } else { String::new() };
    format!("{}{more}", cut.escape_ascii())
}

/// The answer to HELLO, in the protocol version that it asks for.
pub(crate) fn hello(proto: u32, role: &str) -> Vec<u8> {
    let fields = [
        bulk(b"server"),
        bulk(b"redis"),
        bulk(b"version"),
        bulk(b"7.4.0"),
        bulk(b"proto"),
        format!(":{proto}\r\n").into_bytes(),
        bulk(b"id"),
        b":7\r\n".to_vec(),
        bulk(b"mode"),
        bulk(b"standalone"),
        bulk(b"role"),
        bulk(role.as_bytes()),
        bulk(b"modules"),
        b"*0\r\n".to_vec(),
    ];
    let head: &[u8] = if proto == 3 { b"%7\r\n" } else { b"*14\r\n" };
    [head, &fields.concat()].concat()
}
