//! An object identifier: the type of an attribute, as its DER content bytes.

use std::fmt;

/// An object identifier whose bytes are in their one valid form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Oid(Box<[u8]>);

impl Oid {
    /// Takes the content bytes of a DER OBJECT IDENTIFIER. `None` if an arc is
    /// cut off, padded or above `u128`, of which no registered one comes near
    /// except the UUIDs below 2.25, which fit.
    pub(super) fn from_der(content: &[u8]) -> Option<Self> {
        arcs(content).map(|_| Self(content.into()))
    }

    /// Reads the dotted form.
    pub(super) fn from_dotted(text: &str) -> Option<Self> {
        let mut arcs = text.split('.').map(arc);
        let (root, second) = (arcs.next()??, arcs.next()??);
        if root > 2 || (root < 2 && second > 39) {
            return None;
        }
        let mut content = Vec::new();
        push(&mut content, second.checked_add(root * 40)?);
        for arc in arcs {
            push(&mut content, arc?);
        }
        Some(Self(content.into()))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Reads one decimal arc: no sign, no leading zero.
fn arc(text: &str) -> Option<u128> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

/// Appends an arc, seven bits a byte, all but the last with the top bit set.
fn push(content: &mut Vec<u8>, arc: u128) {
    let groups = (128 - arc.leading_zeros()).div_ceil(7).max(1);
    content.extend((0..groups).rev().map(|group| {
        let more = if group > 0 { 0x80 } else { 0 };
        (arc >> (7 * group)) as u8 & 0x7f | more
    }));
}

/// The inverse of [`push`], the first two arcs still joined.
fn arcs(content: &[u8]) -> Option<Vec<u128>> {
    let mut arcs = Vec::new();
    let mut current: Option<u128> = None;
    for &byte in content {
        if current.is_none() && byte == 0x80 {
            return None;
        }
        let so_far = current.unwrap_or(0);
        if so_far > u128::MAX >> 7 {
            return None;
        }
        let value = so_far << 7 | u128::from(byte & 0x7f);
        current = if byte & 0x80 == 0 {
            arcs.push(value);
            None
        } else {
            Some(value)
        };
    }
    if current.is_none() && !arcs.is_empty() { Some(arcs) } else { None }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arcs = arcs(&self.0).unwrap_or_default();
        for (index, &arc) in arcs.iter().enumerate() {
            match index {
                0 => write!(f, "{}.{}", (arc / 40).min(2), arc - (arc / 40).min(2) * 40)?,
                _ => write!(f, ".{arc}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dotted_form_and_the_bytes_say_the_same() {
        for (dotted, bytes) in [
            ("2.5.4.3", &b"\x55\x04\x03"[..]),
            ("0.9.2342.19200300.100.1.25", b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19"),
            ("1.2.840.113549.1.9.1", b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"),
            ("2.999", b"\x88\x37"),
            ("0.0", b"\x00"),
        ] {
            let oid = Oid::from_dotted(dotted).expect(dotted);
            assert_eq!(oid.as_bytes(), bytes, "{dotted}");
            assert_eq!(oid.to_string(), dotted);
            assert_eq!(Oid::from_der(bytes), Some(oid));
        }
        let uuid = "2.25.340282366920938463463374607431768211455";
        assert_eq!(Oid::from_dotted(uuid).map(|oid| oid.to_string()), Some(uuid.to_owned()));
    }

    #[test]
    fn malformed_identifiers_are_refused() {
        for dotted in ["", "2", "3.1", "1.40", "1.2.", ".1.2", "1..2", "1.02", "1.+2", "1.2 .3", "2.5.4.x"] {
            assert_eq!(Oid::from_dotted(dotted), None, "{dotted}");
        }
        assert_eq!(Oid::from_dotted("2.25.340282366920938463463374607431768211456"), None);
        assert_eq!(Oid::from_dotted("2.340282366920938463463374607431768211455"), None);
        for bytes in [&b""[..], b"\x80\x01", b"\x55\x04\x80\x03", b"\x55\x84", &[0xff; 20]] {
            assert_eq!(Oid::from_der(bytes), None, "{bytes:02x?}");
        }
    }
}
