//! Reading DER, strictly: definite lengths in their shortest form, and nothing
//! left over. Names are read with it rather than with a lenient parser, which
//! would drop what follows the first malformed part and so shorten a name.

use thiserror::Error;

/// Why some bytes are not DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DerError {
    /// The bytes end before the value does.
    #[error("the bytes end in the middle of a value")]
    Truncated,
    /// A tag number above 30, which no attribute of a name has.
    #[error("a tag number above 30")]
    HighTag,
    /// BER's open-ended form.
    #[error("a length of the indefinite form")]
    Indefinite,
    /// A length with more bytes than it needs, or too many to be true.
    #[error("a length that is not in its shortest form")]
    Length,
    /// A value of another type than the structure has at this place.
    #[error("tag {got:#04x} where {expected:#04x} belongs")]
    Tag {
        /// The identifier byte that was there.
        got: u8,
        /// The one that belongs there.
        expected: u8,
    },
    /// Bytes after the end.
    #[error("{0} bytes too many")]
    Trailing(usize),
}

/// One value: its identifier byte, its content, and both with the length between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tlv<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    pub(super) raw: &'a [u8],
}

/// Values one after the other.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the next value, whatever its type.
    pub(super) fn next(&mut self) -> Result<Tlv<'a>, DerError> {
        let &[tag, first, ..] = self.0 else { return Err(DerError::Truncated) };
        if tag & 0x1f == 0x1f {
            return Err(DerError::HighTag);
        }
        let (header, length) = match first {
            0x80 => return Err(DerError::Indefinite),
            0..0x80 => (2, usize::from(first)),
            _ => {
                let count = usize::from(first & 0x7f);
                if count > 4 {
                    return Err(DerError::Length);
                }
                let bytes = self.0.get(2..2 + count).ok_or(DerError::Truncated)?;
                let length = bytes.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
                if length < 0x80 || bytes[0] == 0 {
                    return Err(DerError::Length);
                }
                (2 + count, length)
            }
        };
        let raw = self.0.get(..header + length).ok_or(DerError::Truncated)?;
        self.0 = &self.0[header + length..];
        Ok(Tlv { tag, content: &raw[header..], raw })
    }

    /// Reads the next value's content, which must be of the type `expected`.
    pub(super) fn expect(&mut self, expected: u8) -> Result<&'a [u8], DerError> {
        let tlv = self.next()?;
        if tlv.tag == expected { Ok(tlv.content) } else { Err(DerError::Tag { got: tlv.tag, expected }) }
    }

    /// Confirms that nothing is left.
    pub(super) fn end(self) -> Result<(), DerError> {
        if self.0.is_empty() { Ok(()) } else { Err(DerError::Trailing(self.0.len())) }
    }
}

/// Reads the one value that the bytes consist of.
pub(super) fn single(bytes: &[u8]) -> Result<Tlv<'_>, DerError> {
    let mut reader = Reader::new(bytes);
    let tlv = reader.next()?;
    reader.end()?;
    Ok(tlv)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_definite_length_is_read() {
        assert_eq!(single(b"\x0c\x01a").map(|tlv| tlv.content), Ok(&b"a"[..]));
        assert_eq!(single(b"\x0c\x81\x01a"), Err(DerError::Length));
        assert_eq!(single(b"\x30\x80\x00\x00"), Err(DerError::Indefinite));
        assert_eq!(single(b"\x0c\x85\x00\x00\x00\x00\x01a"), Err(DerError::Length));
        let long = [&b"\x0c\x81\x80"[..], &[b'a'; 128]].concat();
        assert_eq!(single(&long).map(|tlv| tlv.content.len()), Ok(128));
        assert_eq!(single(&[&b"\x0c\x82\x00\x80"[..], &[b'a'; 128]].concat()), Err(DerError::Length));
    }

    #[test]
    fn what_is_missing_or_left_over_is_refused() {
        for bytes in [&b""[..], b"\x0c", b"\x0c\x02a", b"\x0c\x82\x01", b"\x0c\x84\xff\xff\xff\xff"] {
            assert_eq!(single(bytes), Err(DerError::Truncated), "{bytes:02x?}");
        }
        assert_eq!(single(b"\x0c\x01ab"), Err(DerError::Trailing(1)));
        assert_eq!(single(b"\x1f\x21\x00"), Err(DerError::HighTag));
        assert_eq!(Reader::new(b"\x0c\x01a").expect(0x30), Err(DerError::Tag { got: 0x0c, expected: 0x30 }));
    }
}
