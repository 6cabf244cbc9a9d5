//! Inline requests: a line of words, as typed into a terminal.
//!
//! Follows Redis' `sdssplitargs` (sds.c): words between blanks, double quotes with
//! escapes, single quotes with `\'` only, and a closing quote must end its word. Valkey 9 lets
//! a word go on behind a closing quote.

/// Redis' `PROTO_INLINE_MAX_SIZE`.
pub(super) const BYTES_MAX: usize = 64 * 1024;

/// The line at the front of the input where words go on behind closing quotes: how long it is,
/// and the strict form of it. `None` when it is not all there, or quotes are unbalanced.
#[must_use]
pub fn joined_inline(input: &[u8]) -> Option<(usize, Vec<u8>)> {
    let end = memchr::memchr(b'\n', input)?;
    let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
    let words = split(line, true)?;
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    Some((end + 1, super::write::command(&words)))
}

/// Splits a line without its end. `None` when quotes are unbalanced.
pub(super) fn split(line: &[u8], joins: bool) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let blanks = rest.iter().take_while(|byte| is_space(**byte)).count();
        rest = &rest[blanks..];
        if rest.is_empty() {
            return Some(words);
        }
        let mut word = Vec::new();
        rest = take_word(rest, joins, &mut word)?;
        words.push(word);
    }
}

/// C's `isspace`, which is more than what ends a word.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Reads one word, returning what follows it.
fn take_word<'a>(mut rest: &'a [u8], joins: bool, word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (quoted, tail) = match rest {
            [] | [b' ' | b'\t' | b'\n' | b'\r', ..] => return Some(rest),
            [b'"', tail @ ..] => (true, take_double_quoted(tail, joins, word)?),
            [b'\'', tail @ ..] => (true, take_single_quoted(tail, joins, word)?),
            [byte, tail @ ..] => {
                word.push(*byte);
                (false, tail)
            }
        };
        if quoted && !joins {
            // A closing quote is followed by a blank or by nothing.
            return tail.first().is_none_or(|&byte| is_space(byte)).then_some(tail);
        }
        rest = tail;
    }
}

/// Where words are joined, the line's last quote closes whatever is before it.
fn take_double_quoted<'a>(mut rest: &'a [u8], joins: bool, word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return None,
            [b'\\', b'x', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex(*high) << 4 | hex(*low));
                rest = tail;
            }
            [b'\\', escaped, tail @ ..] if !joins || !tail.is_empty() => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                rest = tail;
            }
            [b'"', tail @ ..] => return Some(tail),
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
        }
    }
}

fn take_single_quoted<'a>(mut rest: &'a [u8], joins: bool, word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return None,
            [b'\\', b'\'', tail @ ..] if !joins || !tail.is_empty() => {
                word.push(b'\'');
                rest = tail;
            }
            [b'\'', tail @ ..] => return Some(tail),
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
        }
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        let words = split(line.as_bytes(), false)?;
        Some(words.into_iter().map(|word| String::from_utf8(word).expect("text")).collect())
    }

    #[test]
    fn words_are_split_as_redis_splits_them() {
        for (line, expected) in [
            ("", Some(vec![])),
            ("  get   k  ", Some(vec!["get", "k"])),
            (r#"set k "a b""#, Some(vec!["set", "k", "a b"])),
            (r#"set k "\x41\n\"""#, Some(vec!["set", "k", "A\n\""])),
            (r"set k 'it\'s \n'", Some(vec!["set", "k", r"it's \n"])),
            (r#"a"b c""#, Some(vec!["ab c"])),
            (r#""a"b"#, None),
            (r#""a"#, None),
            ("'a", None),
            ("a\u{b}b", Some(vec!["a\u{b}b"])),
            ("\u{b}a", Some(vec!["a"])),
        ] {
            let expected = expected.map(|words| words.into_iter().map(str::to_owned).collect());
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn valkeys_words_go_on_behind_a_closing_quote() {
        for (line, strict) in [
            ("e 'it''s'\r\nrest", Some("*2\r\n$1\r\ne\r\n$3\r\nits\r\n")),
            ("e \"a\"b'c'\n", Some("*2\r\n$1\r\ne\r\n$3\r\nabc\r\n")),
            ("e \"\"\"\"\n", Some("*2\r\n$1\r\ne\r\n$0\r\n\r\n")),
            ("e \"a\\\"\n", Some("*2\r\n$1\r\ne\r\n$2\r\na\\\r\n")),
            ("e 'a\\'\n", Some("*2\r\n$1\r\ne\r\n$2\r\na\\\r\n")),
            ("e 'a\\'b'\n", Some("*2\r\n$1\r\ne\r\n$3\r\na'b\r\n")),
            ("e 'a\\'b\n", None),
            ("e 'a\n", None),
            ("e 'a'", None),
        ] {
            let found = joined_inline(line.as_bytes());
            let len = line.find('\n').unwrap_or(0) + 1;
            assert_eq!(found, strict.map(|strict| (len, strict.into())), "{line:?}");
        }
    }
}
