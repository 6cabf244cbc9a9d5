//! DER written by hand, so that certificates can be made that no library would
//! make. Knows the forms of values, not what a certificate consists of.

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BITS: u8 = 0x03;
pub(super) const OCTETS: u8 = 0x04;

/// The string types of names.
pub(super) const UTF8: u8 = 0x0c;
pub(super) const PRINTABLE: u8 = 0x13;
pub(super) const T61: u8 = 0x14;
pub(super) const UNIVERSAL: u8 = 0x1c;
pub(super) const BMP: u8 = 0x1e;

pub(super) const TRUE: [u8; 3] = [0x01, 0x01, 0xff];

/// One value.
pub(super) fn tlv(tag: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let mut der = vec![tag];
    match content.len() {
        length @ 0..0x80 => der.push(length as u8),
        length => {
            let bytes = length.to_be_bytes();
            let bytes = &bytes[length.leading_zeros() as usize / 8..];
            der.push(0x80 | bytes.len() as u8);
            der.extend(bytes);
        }
    }
    der.extend(content);
    der
}

/// A SEQUENCE of these.
pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(SEQUENCE, parts.concat())
}

/// An object identifier in its dotted form.
pub(super) fn oid(dotted: &str) -> Vec<u8> {
    let arcs: Vec<u64> = dotted.split('.').map(|arc| arc.parse().expect("a number")).collect();
    let mut content = vec![(arcs[0] * 40 + arcs[1]) as u8];
    for &arc in &arcs[2..] {
        let groups = (64 - arc.leading_zeros()).div_ceil(7).max(1);
        let group = |n: u32| (arc >> (7 * n)) as u8 & 0x7f | if n == 0 { 0 } else { 0x80 };
        content.extend((0..groups).rev().map(group));
    }
    tlv(0x06, content)
}

/// A BIT STRING without unused bits.
pub(super) fn bits(content: &[u8]) -> Vec<u8> {
    tlv(BITS, [&[0], content].concat())
}

/// A time: of the short form until 2049, as RFC 5280 (4.1.2.5) wants it.
pub(super) fn moment(unix: i64) -> Vec<u8> {
    let at = time::OffsetDateTime::from_unix_timestamp(unix).expect("within the years");
    let (month, day) = (u8::from(at.month()), at.day());
    let rest = format!("{month:02}{day:02}{:02}{:02}{:02}Z", at.hour(), at.minute(), at.second());
    match at.year() {
        year @ 1950..2050 => tlv(0x17, format!("{:02}{rest}", year % 100)),
        year => tlv(0x18, format!("{year:04}{rest}")),
    }
}

#[test]
fn what_is_written_by_hand_is_what_others_write() {
    assert_eq!(oid("1.2.840.113549.1.1.11"), b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b");
    assert_eq!(oid("2.5.4.3"), b"\x06\x03\x55\x04\x03");
    assert_eq!(tlv(OCTETS, [7; 200])[..3], [0x04, 0x81, 200]);
    assert_eq!(tlv(OCTETS, [7; 0x1234])[..4], [0x04, 0x82, 0x12, 0x34]);
    assert_eq!(moment(0), b"\x17\x0d700101000000Z");
    assert_eq!(moment(253_402_300_799), b"\x18\x0f99991231235959Z");
}
