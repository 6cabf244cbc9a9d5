//! The hash slot of a key in Redis Cluster: CRC16 of the key or of its hash tag, modulo 16384
//! (cluster.c, `keyHashSlot`). It knows no command and no node.

use crc::{CRC_16_XMODEM, Crc, Table};

/// Slots of every cluster.
pub const SLOTS: usize = 16_384;

/// The hash slot of a key.
#[must_use]
pub fn slot(key: &[u8]) -> u16 {
    CRC16.checksum(tag(key)) & (SLOTS as u16 - 1)
}

/// What is between the first `{` and the next `}`, where that is anything; else the whole key.
fn tag(key: &[u8]) -> &[u8] {
    let tag = memchr::memchr(b'{', key).and_then(|open| {
        let rest = &key[open + 1..];
        memchr::memchr(b'}', rest).map(|close| &rest[..close])
    });
    tag.filter(|tag| !tag.is_empty()).unwrap_or(key)
}

/// By tables for sixteen bytes at once: one table waits for each byte's to read the next.
static CRC16: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_XMODEM);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_xmodem_comes_out() {
        assert_eq!(slot(b"123456789"), 0x31c3);
        assert_eq!(slot(b""), 0);
    }

    #[test]
    fn a_tag_is_what_is_between_the_first_braces_if_anything() {
        for (key, same) in [
            (&b"{user1000}.following"[..], &b"user1000"[..]),
            (b"x{a}{b}", b"a"),
            (b"{a", b"{a"),
            (b"a}b{c}", b"c"),
            (b"foo{{bar}}zap", b"{bar"),
        ] {
            assert_eq!(slot(key), slot(same), "{}", key.escape_ascii());
        }
        for key in [&b"foo{}{bar}"[..], b"{}", b"}{"] {
            assert_eq!(tag(key), key, "{}", key.escape_ascii());
        }
    }
}
