//! The attribute types that have a name, and what to suggest for a name that
//! none has. A type without a name is written as its dotted OID.

use super::oid::Oid;

/// An attribute type that may be written by name. The first of `names` is the
/// one that is printed.
struct Known {
    oid: &'static [u8],
    names: &'static [&'static str],
}

const KNOWN: &[Known] = &[
    Known { oid: b"\x55\x04\x03", names: &["CN"] },
    Known { oid: b"\x55\x04\x0b", names: &["OU"] },
    Known { oid: b"\x55\x04\x0a", names: &["O"] },
    Known { oid: b"\x55\x04\x07", names: &["L"] },
    Known { oid: b"\x55\x04\x08", names: &["ST", "S", "SP"] },
    Known { oid: b"\x55\x04\x06", names: &["C"] },
    Known { oid: b"\x55\x04\x09", names: &["STREET"] },
    Known { oid: b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", names: &["DC"] },
    Known { oid: b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01", names: &["UID", "USERID"] },
    Known { oid: b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", names: &["EMAILADDRESS", "EMAIL", "E"] },
    Known { oid: b"\x55\x04\x05", names: &["SERIALNUMBER"] },
    // Not printed as SN, which is easily taken for the serial number.
    Known { oid: b"\x55\x04\x04", names: &["SURNAME", "SN"] },
    Known { oid: b"\x55\x04\x2a", names: &["GIVENNAME", "GN", "G"] },
    Known { oid: b"\x55\x04\x0c", names: &["TITLE", "T"] },
    Known { oid: b"\x55\x04\x2b", names: &["INITIALS"] },
    Known { oid: b"\x55\x04\x2c", names: &["GENERATIONQUALIFIER"] },
    Known { oid: b"\x55\x04\x2e", names: &["DNQUALIFIER", "DNQ"] },
    Known { oid: b"\x55\x04\x41", names: &["PSEUDONYM"] },
    Known { oid: b"\x55\x04\x11", names: &["POSTALCODE"] },
    Known { oid: b"\x55\x04\x0f", names: &["BUSINESSCATEGORY"] },
    Known { oid: b"\x55\x04\x61", names: &["ORGANIZATIONIDENTIFIER"] },
];

/// Long names from other tools: not accepted, but what they mean is known.
const LONG: &[(&str, &str)] = &[
    ("COMMONNAME", "CN"),
    ("ORGANIZATIONALUNIT", "OU"),
    ("ORGANIZATIONALUNITNAME", "OU"),
    ("ORGANIZATION", "O"),
    ("ORGANISATION", "O"),
    ("ORGANIZATIONNAME", "O"),
    ("LOCALITY", "L"),
    ("LOCALITYNAME", "L"),
    ("CITY", "L"),
    ("STATE", "ST"),
    ("PROVINCE", "ST"),
    ("STATEORPROVINCENAME", "ST"),
    ("COUNTRY", "C"),
    ("COUNTRYNAME", "C"),
    ("STREETADDRESS", "STREET"),
    ("DOMAINCOMPONENT", "DC"),
    ("SERIAL", "SERIALNUMBER"),
    ("MAIL", "EMAILADDRESS"),
];

/// The name that is printed for a type, if it has one.
pub(super) fn name_of(oid: &Oid) -> Option<&'static str> {
    KNOWN.iter().find(|known| known.oid == oid.as_bytes()).map(|known| known.names[0])
}

/// The type of this name, in any case; or of a dotted OID, bare or after `OID.`.
pub(super) fn type_of(text: &str) -> Option<Oid> {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return Oid::from_dotted(text);
    }
    if let Some((prefix, dotted)) = text.split_once('.') {
        return if prefix.eq_ignore_ascii_case("OID") { Oid::from_dotted(dotted) } else { None };
    }
    let is_it = |known: &&Known| known.names.iter().any(|name| name.eq_ignore_ascii_case(text));
    KNOWN.iter().find(is_it).and_then(|known| Oid::from_der(known.oid))
}

/// Names that somebody who wrote `text` may have meant, the likeliest first.
pub(super) fn near_misses(text: &str) -> Vec<&'static str> {
    let text = text.to_ascii_uppercase();
    if let Some(&(_, meant)) = LONG.iter().find(|(long, _)| *long == text) {
        return vec![meant];
    }
    // A name of one or two letters is near to half of the table.
    let reach = match text.chars().count() {
        0..=2 => 1,
        3..=5 => 2,
        _ => 3,
    };
    let mut near: Vec<(usize, &str)> = KNOWN
        .iter()
        .flat_map(|known| known.names)
        .map(|&name| (strsim::osa_distance(&text, name), name))
        .filter(|&(distance, name)| distance <= reach && distance < name.len())
        .collect();
    near.sort_by_key(|&(distance, _)| distance);
    near.into_iter().map(|(_, name)| name).take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_its_type_and_no_two_types_share_one() {
        let mut seen = std::collections::BTreeSet::new();
        for known in KNOWN {
            for name in known.names {
                assert!(seen.insert(*name), "{name} is there twice");
                let oid = type_of(&name.to_lowercase()).expect(name);
                assert_eq!((oid.as_bytes(), name_of(&oid)), (known.oid, Some(known.names[0])));
            }
        }
    }

    #[test]
    fn types_have_their_registered_identifiers() {
        for (name, dotted) in [
            ("CN", "2.5.4.3"),
            ("OU", "2.5.4.11"),
            ("O", "2.5.4.10"),
            ("L", "2.5.4.7"),
            ("S", "2.5.4.8"),
            ("C", "2.5.4.6"),
            ("STREET", "2.5.4.9"),
            ("DC", "0.9.2342.19200300.100.1.25"),
            ("UID", "0.9.2342.19200300.100.1.1"),
            ("E", "1.2.840.113549.1.9.1"),
            ("SERIALNUMBER", "2.5.4.5"),
            ("SN", "2.5.4.4"),
            ("GN", "2.5.4.42"),
            ("T", "2.5.4.12"),
            ("INITIALS", "2.5.4.43"),
            ("GENERATIONQUALIFIER", "2.5.4.44"),
            ("DNQ", "2.5.4.46"),
            ("PSEUDONYM", "2.5.4.65"),
            ("POSTALCODE", "2.5.4.17"),
            ("BUSINESSCATEGORY", "2.5.4.15"),
            ("ORGANIZATIONIDENTIFIER", "2.5.4.97"),
        ] {
            assert_eq!(type_of(name), Oid::from_dotted(dotted), "{name}");
            assert_eq!(type_of(&format!("oid.{dotted}")), type_of(name));
        }
        for unknown in ["XYZ", "", "OID.", "OID.2", "2.5.4.", "C N", "CN.2.5", "oid2.5.4.3"] {
            assert_eq!(type_of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_mistyped_name_is_recognised() {
        assert_eq!(near_misses("commonName"), ["CN"]);
        assert_eq!(near_misses("emialAddress"), ["EMAILADDRESS"]);
        assert_eq!(near_misses("CM").first(), Some(&"CN"));
        assert!(near_misses("PHOTO-OF-A-CAT").is_empty());
    }
}
