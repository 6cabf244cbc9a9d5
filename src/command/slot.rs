//! The hash slot of a key in Redis Cluster: CRC16 (XMODEM: polynomial 0x1021, from zero, nothing
//! reflected) of the key or of its hash tag, modulo 16384 (cluster.c, `keyHashSlot`). It knows no
//! command and no node.

/// Slots of every cluster.
pub const SLOTS: usize = 16_384;

/// The hash slot of a key.
#[must_use]
pub fn slot(key: &[u8]) -> u16 {
    let crc =
        tag(key).iter().fold(0u16, |crc, byte| (crc << 8) ^ CRC16[usize::from((crc >> 8) as u8 ^ byte)]);
    crc & (SLOTS as u16 - 1)
}

/// What is between the first `{` and the next `}`, where that is anything; else the whole key.
fn tag(key: &[u8]) -> &[u8] {
    let tag = memchr::memchr(b'{', key).and_then(|open| {
        let rest = &key[open + 1..];
        memchr::memchr(b'}', rest).map(|close| &rest[..close])
    });
    tag.filter(|tag| !tag.is_empty()).unwrap_or(key)
}

/// The CRC of each byte.
const CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

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
