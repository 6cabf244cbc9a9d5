//! The gateway's own small commands and replies, written by `redis-protocol`.

use redis_protocol::resp2::{encode::extend_encode_borrowed, types::BorrowedFrame};

/// A command in the strict form.
#[must_use]
pub fn command(words: &[&[u8]]) -> Vec<u8> {
    let words: Vec<_> = words.iter().map(|word| BorrowedFrame::BulkString(word)).collect();
    encode(&BorrowedFrame::Array(&words))
}

/// A bulk string.
#[must_use]
pub fn bulk(bytes: &[u8]) -> Vec<u8> {
    encode(&BorrowedFrame::BulkString(bytes))
}

/// An integer, written here: redis-protocol 6.0.0 adds a NUL to some.
#[must_use]
pub fn integer(value: i64) -> Vec<u8> {
    format!(":{value}\r\n").into_bytes()
}

/// An error line. CR and LF in the text would end it early and are made blanks,
/// as Redis does.
#[must_use]
pub fn error(text: &str) -> Vec<u8> {
    let text: String = text.chars().map(|c| if c == '\r' || c == '\n' { ' ' } else { c }).collect();
    encode(&BorrowedFrame::Error(&text))
}

/// The same for a text of any bytes.
#[must_use]
pub fn error_of(text: &[u8]) -> Vec<u8> {
    let text = text.iter().map(|&byte| if byte == b'\r' || byte == b'\n' { b' ' } else { byte });
    [b'-'].into_iter().chain(text).chain(*b"\r\n").collect()
}

/// A text with a client's word in it, which to Redis is a C string: a NUL ends it.
#[must_use]
pub fn quoting(before: &str, word: &[u8], after: &str) -> Vec<u8> {
    let word = word.split(|&byte| byte == 0).next().unwrap_or_default();
    [before.as_bytes(), word, after.as_bytes()].concat()
}

fn encode(frame: &BorrowedFrame<'_>) -> Vec<u8> {
    let mut bytes = bytes::BytesMut::new();
    match extend_encode_borrowed(&mut bytes, frame, false) {
        Ok(_) => bytes.to_vec(),
        // The frames above have no part that cannot be written.
        Err(error) => unreachable!("a frame of plain strings is always encodable: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_written_in_the_strict_form() {
        assert_eq!(command(&[b"AUTH", b"a\0b", b""]), b"*3\r\n$4\r\nAUTH\r\n$3\r\na\0b\r\n$0\r\n\r\n");
        assert_eq!(bulk(b"x"), b"$1\r\nx\r\n");
        assert_eq!(error("ERR a\r\nb"), b"-ERR a  b\r\n");
        assert_eq!(error_of(b"ERR \xff\r"), b"-ERR \xff \r\n");
        assert_eq!(quoting("<", b"a\0b", ">"), b"<a>");
        assert_eq!(integer(999_999_999_999_999), b":999999999999999\r\n");
    }
}
