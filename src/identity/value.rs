//! The value of one attribute: text, or DER that is not text. Which string type
//! a certificate used is forgotten here, since it must not matter.

use std::fmt::{self, Write};

use unicase::UniCase;

use super::der::{self, Tlv};

/// Text by its code points, or else the bytes as they are. A string that does
/// not decode is opaque: it is never guessed at, so no text can match it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Value {
    Text(Box<str>),
    /// A whole DER value, its tag and length included. Invariant: it has been
    /// read by [`der`], and is not a string that decodes.
    Opaque(Box<[u8]>),
}

impl Value {
    pub(super) fn from_der(tlv: Tlv<'_>) -> Self {
        match text(tlv.tag, tlv.content) {
            Some(text) => Self::Text(text.into()),
            None => Self::Opaque(tlv.raw.into()),
        }
    }

    /// Whether a control character is in it (C0, DEL or C1): what cuts a name
    /// short or breaks a log line. In a string that does not decode, whether a
    /// C0 byte is.
    pub(super) fn has_control(&self) -> bool {
        match self {
            Self::Text(text) => text.chars().any(char::is_control),
            Self::Opaque(raw) => match der::single(raw) {
                Ok(tlv) => is_byte_string(tlv.tag) && tlv.content.iter().any(u8::is_ascii_control),
                Err(_) => true,
            },
        }
    }

    /// The value as `ignore_case` compares it: Unicode case folding, spaces at
    /// the ends dropped and runs of spaces made one, the practical core of RFC
    /// 4518. Nothing else is normalised. Spaces alone stay one space, so that
    /// they are not the same as nothing.
    pub(super) fn folded(&self) -> Self {
        let Self::Text(text) = self else { return self.clone() };
        let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
        let spaced = if words.is_empty() && !text.is_empty() { " ".to_owned() } else { words.join(" ") };
        Self::Text(UniCase::new(spaced).to_folded_case().into())
    }

    /// The value for a pattern over a whole subject: whatever could pass for the
    /// syntax around it is written as hex, so that `,CN=` is never within a value.
    pub(super) fn unambiguous(&self) -> String {
        let Self::Text(text) = self else { return self.to_string() };
        let mut out = String::new();
        for c in text.chars() {
            if ",+=\"\\;<>#".contains(c) || c.is_control() || is_deceptive(c) {
                out.extend(c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("\\{byte:02X}")));
            } else {
                out.push(c);
            }
        }
        out
    }

    /// Appends a form that no other value has and that shows its own end.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let (kind, bytes) = match self {
            Self::Text(text) => (0, text.as_bytes()),
            Self::Opaque(raw) => (1, &raw[..]),
        };
        out.push(kind);
        out.extend(bytes.len().to_be_bytes());
        out.extend(bytes);
    }
}

/// Decodes the string types of X.520. ASCII outside a type's repertoire (`@` and
/// `*` in a PrintableString) is tolerated, since CAs write it.
fn text(tag: u8, content: &[u8]) -> Option<String> {
    match tag {
        0x0c => std::str::from_utf8(content).ok().map(str::to_owned),
        _ if is_byte_string(tag) && content.is_ascii() => {
            Some(content.iter().map(|&byte| char::from(byte)).collect())
        }
        0x1e => match content.as_chunks::<2>() {
            (units, []) => {
                units.iter().map(|&unit| char::from_u32(u16::from_be_bytes(unit).into())).collect()
            }
            _ => None,
        },
        0x1c => match content.as_chunks::<4>() {
            (units, []) => units.iter().map(|&unit| char::from_u32(u32::from_be_bytes(unit))).collect(),
            _ => None,
        },
        _ => None,
    }
}

/// Numeric, Printable, Teletex, IA5 and Visible strings are read as ASCII. What
/// a Teletex byte above 0x7f means depends on who wrote it.
fn is_byte_string(tag: u8) -> bool {
    matches!(tag, 0x0c | 0x12 | 0x13 | 0x14 | 0x16 | 0x1a)
}

/// RFC 4514. Control characters and those that are invisible or turn the text
/// around are written as hex too, so that a log shows what is there.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opaque(raw) => {
                f.write_char('#')?;
                raw.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Text(text) => {
                let last = text.chars().count().saturating_sub(1);
                text.chars().enumerate().try_for_each(|(at, c)| match c {
                    ' ' if at == 0 || at == last => f.write_str("\\ "),
                    '#' if at == 0 => f.write_str("\\#"),
                    '"' | '+' | ',' | ';' | '<' | '>' | '\\' => write!(f, "\\{c}"),
                    c if c.is_control() || is_deceptive(c) => {
                        c.encode_utf8(&mut [0; 4]).bytes().try_for_each(|byte| write!(f, "\\{byte:02X}"))
                    }
                    c => f.write_char(c),
                })
            }
        }
    }
}

/// Invisible, looks like a space, or moves its neighbours: two texts that differ
/// in it look the same.
fn is_deceptive(c: char) -> bool {
    (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e01ef}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(der: &[u8]) -> Value {
        Value::from_der(der::single(der).expect("DER"))
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn the_string_type_is_forgotten() {
        for der in [
            &b"\x0c\x02hi"[..],
            b"\x12\x02hi",
            b"\x13\x02hi",
            b"\x14\x02hi",
            b"\x16\x02hi",
            b"\x1a\x02hi",
            b"\x1e\x04\0h\0i",
            b"\x1c\x08\0\0\0h\0\0\0i",
        ] {
            assert_eq!(read(der), text("hi"), "{der:02x?}");
        }
        assert_eq!(read(b"\x0c\x02\xc5\x81"), text("Ł"));
        assert_eq!(read(b"\x1e\x02\x01\x41"), text("Ł"));
        assert_eq!(read(b"\x13\x04a@*_"), text("a@*_"));
    }

    #[test]
    fn a_string_that_does_not_decode_is_opaque() {
        for der in [
            &b"\x14\x01\xe9"[..],
            b"\x13\x02\xc5\x81",
            b"\x0c\x01\xe9",
            b"\x0c\x03\xed\xa0\x80",
            b"\x1e\x02\xd8\x00",
            b"\x1e\x03\x00h\x00",
            b"\x1c\x04\x00\x11\x00\x00",
            b"\x1c\x03\x00\x00\x00",
            b"\x04\x02hi",
            b"\x2c\x04\x0c\x02hi",
        ] {
            assert_eq!(read(der), Value::Opaque(der.into()), "{der:02x?}");
        }
        assert_eq!(read(b"\x14\x01\xe9").to_string(), "#1401e9");
    }

    #[test]
    fn control_characters_are_found_in_every_kind_of_string() {
        for der in [
            &b"\x0c\x03a\0b"[..],
            b"\x16\x01\x7f",
            b"\x1e\x02\0\n",
            b"\x1c\x04\0\0\0\x1b",
            b"\x0c\x02\xc2\x9b",
            b"\x14\x02\xe9\0",
            b"\x0c\x02\0\xff",
        ] {
            assert!(read(der).has_control(), "{der:02x?}");
        }
        // Zero bytes that are not characters: a unique identifier, half a BMP unit.
        assert!(!read(b"\x03\x02\0\0").has_control());
        assert!(!read(b"\x1e\x03\0h\0").has_control());
    }

    #[test]
    fn printing_escapes_what_would_be_read_otherwise() {
        for (value, printed) in [
            ("a/b=c#d", "a/b=c#d"),
            ("Acme, Inc.", "Acme\\, Inc."),
            ("#x", "\\#x"),
            (" x ", "\\ x\\ "),
            (" ", "\\ "),
            ("a\"+,;<>\\b", "a\\\"\\+\\,\\;\\<\\>\\\\b"),
            ("svc\nCN=admin", "svc\\0ACN=admin"),
            ("a\0b", "a\\00b"),
            ("x\u{202e}y\u{9b}", "x\\E2\\80\\AEy\\C2\\9B"),
            ("svc\u{a0}", "svc\\C2\\A0"),
            ("Łukasz", "Łukasz"),
        ] {
            assert_eq!(text(value).to_string(), printed);
        }
    }

    #[test]
    fn folding_ignores_case_and_surplus_spaces_only() {
        for (left, right) in [("Acme  Corp", " acme corp "), ("STRASSE", "straße"), ("ΟΔΟΣ", "οδος")]
        {
            assert_eq!(text(left).folded(), text(right).folded());
        }
        for (left, right) in [("AcmeCorp", "Acme Corp"), ("é", "e\u{301}"), (" ", ""), ("a\u{a0}", "a")] {
            assert_ne!(text(left).folded(), text(right).folded());
        }
    }

    /// `24 20` is the header of 32 bytes of a constructed OCTET STRING, and `$ ` in ASCII.
    #[test]
    fn text_and_der_of_the_same_bytes_are_encoded_differently() {
        let bytes = format!("$ {}", "a".repeat(32));
        let encoded = [read(bytes.as_bytes()), text(&bytes)].map(|value| {
            let mut out = Vec::new();
            value.encode(&mut out);
            out
        });
        assert_ne!(encoded[0], encoded[1]);
    }
}
