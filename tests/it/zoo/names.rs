//! Subjects and alternative names as DER, the impossible ones too.

use super::der::{SET, UTF8, oid, sequence, tlv};

/// What may stand in an RDN: a type, the form of its value, and the value.
pub(super) type Attribute<'a> = (&'a str, u8, &'a [u8]);

/// A name of RDNs in the certificate's own order.
pub(super) fn rdns(rdns: &[&[Attribute<'_>]]) -> Vec<u8> {
    let attribute = |(kind, tag, value): &Attribute<'_>| {
        let kind = match *kind {
            "CN" => "2.5.4.3",
            "O" => "2.5.4.10",
            "OU" => "2.5.4.11",
            "UID" => "0.9.2342.19200300.100.1.1",
            dotted => dotted,
        };
        sequence(&[&oid(kind), &tlv(*tag, value)])
    };
    let set = |rdn: &&[Attribute<'_>]| {
        // A SET OF is in the order of its bytes in DER.
        let mut members: Vec<_> = rdn.iter().map(attribute).collect();
        members.sort();
        tlv(SET, members.concat())
    };
    sequence(&[&rdns.iter().flat_map(set).collect::<Vec<u8>>()])
}

/// A name as it is written, most specific first and without escapes, in UTF-8.
pub(super) fn name(text: &str) -> Vec<u8> {
    let parts = text.split(',').rev().map(|part| part.split_once('=').expect("TYPE=value"));
    let parts: Vec<_> = parts.map(|(kind, value)| [(kind, UTF8, value.as_bytes())]).collect();
    rdns(&parts.iter().map(|rdn| &rdn[..]).collect::<Vec<_>>())
}

/// `O=Acme` and above it one CN of this form.
pub(super) fn acme(tag: u8, cn: &[u8]) -> Vec<u8> {
    rdns(&[&[("O", UTF8, b"Acme")], &[("CN", tag, cn)]])
}

/// A text in two bytes a character.
pub(super) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// A text in four bytes a character.
pub(super) fn utf32(text: &str) -> Vec<u8> {
    text.chars().flat_map(|it| u32::from(it).to_be_bytes()).collect()
}

/// An alternative name, of one of its types.
pub(super) enum San<'a> {
    Dns(&'a str),
    Uri(&'a str),
    Email(&'a str),
    Ip([u8; 4]),
    /// Of the type with this tag, whatever its bytes.
    Raw(u8, &'a [u8]),
}

/// The value of the extension subjectAltName.
pub(super) fn alternative(names: &[San<'_>]) -> Vec<u8> {
    let one = |name: &San<'_>| match name {
        San::Email(text) => tlv(0x81, text),
        San::Dns(text) => tlv(0x82, text),
        San::Uri(text) => tlv(0x86, text),
        San::Ip(bytes) => tlv(0x87, bytes),
        San::Raw(tag, bytes) => tlv(*tag, bytes),
    };
    sequence(&[&names.iter().flat_map(one).collect::<Vec<u8>>()])
}
