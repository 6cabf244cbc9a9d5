//! RESP as bytes: where requests and replies begin and end, and how the
//! gateway's own are written. Nothing here builds a value, knows a command or
//! does I/O.

mod args;
mod elements;
mod inline;
mod outbox;
mod reply;
mod request;
mod small_bytes;
pub mod write;

pub use args::{Args, args};
pub(crate) use elements::elements;
pub use inline::joined_inline;
pub use outbox::{LEAD, Outbox, SHARE_MIN};
pub use reply::{ReplyError, ReplyScanner};
pub use request::{Found, Request, RequestError, RequestLimits, RequestScanner};
pub use small_bytes::SmallBytes;

/// The protocol version that a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Proto {
    /// RESP2, with which every connection begins.
    #[default]
    Resp2,
    /// RESP3, chosen by `HELLO 3`.
    Resp3,
}

impl Proto {
    /// The number that HELLO knows it by.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// An argument that is a number, as Redis' `string2ll` reads it: one spelling each.
#[must_use]
pub fn long(text: &[u8]) -> Option<i64> {
    let number = std::str::from_utf8(text).ok()?.parse::<i64>().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}

/// A length line's digits and sign, as Redis' `string2ll` reads them: no plus, no
/// leading zero, no minus zero, nothing around them.
fn integer(digits: &[u8]) -> Option<i64> {
    let (negative, magnitude) = match digits {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, digits),
    };
    match magnitude {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if magnitude.len() <= 18 => {}
        _ => return None,
    }
    let mut value = 0i64;
    for &byte in magnitude {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(byte - b'0');
    }
    Some(if negative { -value } else { value })
}

/// Reads the usual kind of length line, one to eight digits from `start`, whole with its CR LF:
/// the length and the position after the LF. `None` says nothing of the line: it may be longer,
/// wrong, or not all there.
#[inline]
fn short_length(input: &[u8], start: usize) -> Option<(usize, usize)> {
    // Nearly all lengths have one digit or two.
    let digit = |byte: u8| usize::from(byte - b'0');
    match *input.get(start..)? {
        [one @ b'0'..=b'9', b'\r', b'\n', ..] => return Some((digit(one), start + 3)),
        [ten @ b'1'..=b'9', one @ b'0'..=b'9', b'\r', b'\n', ..] => {
            return Some((10 * digit(ten) + digit(one), start + 4));
        }
        _ => {}
    }
    longer_length(input, start)
}

#[cold]
fn longer_length(input: &[u8], start: usize) -> Option<(usize, usize)> {
    const DIGITS_MAX: usize = 8;
    let mut value = 0;
    for at in start..=start + DIGITS_MAX {
        match *input.get(at)? {
            // No length but zero begins with a zero.
            byte @ b'0'..=b'9' if value > 0 || at == start => value = value * 10 + usize::from(byte - b'0'),
            b'\r' if at > start && *input.get(at + 1)? == b'\n' => return Some((value, at + 2)),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_length_is_what_the_integer_says_or_nothing() {
        for text in ["0", "7", "10", "12345678", "123456789", "00", "01", "-1", "", "x", "1x", "+1", " 1"] {
            let line = format!("${text}\r\nrest");
            let integer = integer(text.as_bytes()).and_then(|value| usize::try_from(value).ok());
            let expected = integer.filter(|_| text.len() <= 8).map(|value| (value, text.len() + 3));
            assert_eq!(short_length(line.as_bytes(), 1), expected, "{text}");
            for end in 0..text.len() + 3 {
                assert_eq!(short_length(&line.as_bytes()[..end], 1), None, "{text} {end}");
            }
        }
        assert_eq!(short_length(b"$1\rx", 1), None);
        assert_eq!(short_length(b"$1\n", 1), None);
    }

    #[test]
    fn integers_have_one_spelling() {
        for (text, value) in [("0", 0), ("7", 7), ("-1", -1), ("536870912", 536_870_912)] {
            assert_eq!(integer(text.as_bytes()), Some(value), "{text}");
        }
        for text in ["", "-", "+4", "004", "-0", "4 ", " 4", "4x", "9999999999999999999"] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }
}
