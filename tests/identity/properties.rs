//! What holds for every name, and what no bytes can do.

use std::collections::HashSet;

use proptest::prelude::*;
use respgate::identity::{Certificate, Name, SubjectLine, UserMap};

use crate::make;

/// Types with a name and without.
const TYPES: &[&str] = &[
    "2.5.4.3",
    "2.5.4.10",
    "2.5.4.11",
    "2.5.4.6",
    "2.5.4.4",
    "1.2.840.113549.1.9.1",
    "1.3.6.1.4.1.42069.1",
    "2.25.7",
];

/// One attribute as its DER: text of any kind without control characters in one
/// of several string types, or something that is not text.
fn attribute(oid: &'static str) -> impl Strategy<Value = Vec<u8>> {
    // What must be escaped, what looks like syntax, what is invisible, and the rest.
    let character = prop_oneof![
        prop::sample::select(" ,+\"\\<>;=#/OIDCN.0aA".chars().collect::<Vec<_>>()),
        prop::sample::select("Łß\u{202e}\u{200b}\u{feff}\u{1f600}\u{a0}".chars().collect::<Vec<_>>()),
        any::<char>(),
    ];
    let text = prop::collection::vec(character, 1..12)
        .prop_map(|chars| chars.into_iter().filter(|c| !c.is_control()).collect::<String>())
        .prop_filter("an empty value cannot be written", |text| !text.is_empty());
    prop_oneof![
        4 => text.clone().prop_map(|text| (0x0c, text.into_bytes())),
        1 => text.clone().prop_filter("beyond UTF-16's first plane", |text| text.chars().all(|c| u32::from(c) < 0x10000))
            .prop_map(|text| (0x1e, text.encode_utf16().flat_map(u16::to_be_bytes).collect())),
        1 => text.prop_map(|text| (0x1c, text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect())),
        1 => "[ -~]{1,8}".prop_map(|text| (0x13, text.into_bytes())),
        1 => prop::collection::vec(any::<u8>(), 0..6).prop_map(|bytes| (0x04, bytes)),
        1 => prop::collection::vec(0x80_u8.., 1..6).prop_map(|bytes| (0x14, bytes)),
    ]
    .prop_map(move |(tag, value)| make::attribute(oid, tag, &value))
}

/// The DER of a name that a line can mean.
fn name_der() -> impl Strategy<Value = Vec<u8>> {
    let rdn = prop::sample::subsequence(TYPES, 1..4)
        .prop_flat_map(|types| types.into_iter().map(attribute).collect::<Vec<_>>());
    prop::collection::vec(rdn, 1..5).prop_map(|rdns| make::name(&rdns))
}

/// Every name of at most two RDNs made of these attributes, one or two to an RDN:
/// each of them looks like a part of another.
fn similar_names() -> Vec<Name> {
    let values = [
        (0x0c, &b"a"[..]),
        (0x0c, b"A"),
        (0x0c, b" a"),
        (0x0c, b"a,O=a"),
        (0x0c, b"a+O=a"),
        (0x0c, b"#0401"),
        (0x04, b"a"),
        (0x14, b"\xe1"),
    ];
    let of_type = |oid| values.map(|(tag, value)| make::attribute(oid, tag, value));
    let (cns, os) = (of_type("2.5.4.3"), of_type("2.5.4.10"));
    let single = cns.iter().chain(&os).map(|attribute| vec![attribute.clone()]);
    let double = cns.iter().flat_map(|cn| os.iter().map(|o| vec![cn.clone(), o.clone()]));
    let rdns: Vec<Vec<Vec<u8>>> = single.chain(double).collect();
    let one = rdns.iter().map(|rdn| vec![rdn.clone()]);
    let two = rdns.iter().flat_map(|first| rdns.iter().map(|second| vec![first.clone(), second.clone()]));
    one.chain(two).map(|rdns| Name::from_der(&make::name(&rdns)).expect("DER")).collect()
}

/// T-64: 6 480 names that differ, none of them by its string types alone.
#[test]
fn no_two_names_share_a_text_or_a_canonical_form() {
    let names = similar_names();
    let texts: HashSet<String> = names.iter().map(Name::to_string).collect();
    let lines = texts.iter().map(|text| make::line(text)).collect();
    let distinct: HashSet<Name> = names.iter().cloned().collect();
    assert_eq!((names.len(), distinct.len(), texts.len()), (6480, 6480, 6480));
    // A map refuses two lines of one canonical form.
    let map = UserMap::build(vec![make::user("everybody", lines)]);
    assert_eq!(map.err(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// T-64
    #[test]
    fn a_name_is_read_back_from_its_own_text(der in name_der()) {
        let name = Name::from_der(&der).expect("DER");
        let text = name.to_string();
        let line: SubjectLine = text.parse().map_err(|error| TestCaseError::fail(format!("{text:?}: {error}")))?;
        prop_assert_eq!(line.name(), &name, "{}", text);
        prop_assert_eq!(line.name().to_string(), text);
        prop_assert!(line.matches(&name));
    }

    /// A map finds by canonical bytes what a line finds by comparison.
    #[test]
    fn a_map_and_its_lines_agree(
        one in prop::sample::select(similar_names()),
        other in prop::sample::select(similar_names()),
        ignore_case: bool,
    ) {
        let line = make::line(&one.to_string()).with_ignore_case(ignore_case);
        let same_line = make::line(&other.to_string()).with_ignore_case(ignore_case);
        let collide = UserMap::build(vec![
            make::user("a", vec![line.clone()]),
            make::user("b", vec![same_line]),
        ]).is_err();
        prop_assert_eq!(collide, line.matches(&other));
    }

    #[test]
    fn no_bytes_can_harm_the_certificate_reader(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(Certificate::from_der(&bytes).is_err());
        let _ = Name::from_der(&bytes);
    }

    /// Nearly a certificate: bytes changed, cut out or repeated.
    #[test]
    fn no_damaged_certificate_can_harm_anything(
        file in prop::sample::select(vec!["v01_plain.pem", "v05_multivalued.pem", "v11_bmp.pem", "v24_empty_subject.pem"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6),
    ) {
        let mut der = make::fixture(file);
        for (at, byte, kind) in changes {
            let at = at.index(der.len());
            match kind {
                0 => der[at] = byte,
                1 => drop(der.remove(at)),
                _ => der.insert(at, byte),
            }
        }
        if let Ok(certificate) = Certificate::from_der(&der) {
            let _ = certificate.subject().to_string().parse::<SubjectLine>();
            let map = make::map(&[("a", "CN=CLIENT1,OU=UNIT,O=ORG,L=ONTARIO,ST=TORONTO,C=CA")]);
            let _ = map.permit(&make::evidence(certificate));
        }
    }

    #[test]
    fn no_text_can_harm_the_line_reader(text in any::<String>()) {
        let _ = text.parse::<SubjectLine>();
    }

    /// Text made of the grammar's own parts gets further into it.
    #[test]
    fn what_is_read_from_a_line_can_be_written_and_read_again(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "CN", "O", "2.5.4.3", "OID.", "=", "=", ",", "+", " ", "\\", "\"", "#", "0c", "01", "61", "\\C5\\81",
                "\\0A", "\\,", "a", "Ł", ";", "/", "<", "\\ ", "9999999999999999999999999999999999999999",
            ]),
            0..24,
        ),
    ) {
        let text = parts.concat();
        if let Ok(line) = text.parse::<SubjectLine>() {
            let again = make::line(&line.name().to_string());
            prop_assert_eq!(again.name(), line.name());
            prop_assert_eq!(line.to_string(), text);
        }
    }
}
