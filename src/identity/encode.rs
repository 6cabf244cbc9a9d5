//! Writes a name as DER: the inverse of reading one, for making certificates.

use super::Name;
use super::name::{Attribute, Rdn};
use super::value::Value;

const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// countryName, serialNumber, dnQualifier: PrintableString only (RFC 5280, appendix A).
const PRINTABLE: [&[u8]; 3] = [b"\x55\x04\x06", b"\x55\x04\x05", b"\x55\x04\x2e"];

/// domainComponent and emailAddress: IA5String only (as above).
const IA5: [&[u8]; 2] =
    [b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"];

impl Name {
    /// The name in DER, its texts in the string types that RFC 5280 gives their
    /// attributes. Reading it gives the same name.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        tlv(SEQUENCE, &self.rdns().iter().flat_map(rdn).collect::<Vec<u8>>())
    }

    /// The most specific value, if it is text and alone in its RDN: something to
    /// call a file by. Not an identity: that is the whole name.
    #[must_use]
    pub fn leading_text(&self) -> Option<&str> {
        match self.rdns().last()?.attributes() {
            [Attribute { value: Value::Text(text), .. }] => Some(text),
            _ => None,
        }
    }
}

fn rdn(rdn: &Rdn) -> Vec<u8> {
    let mut attributes: Vec<Vec<u8>> = rdn.attributes().iter().map(attribute).collect();
    // DER orders the elements of a SET OF by their encodings (X.690 section 11.6).
    attributes.sort_unstable();
    tlv(SET, &attributes.concat())
}

fn attribute(attribute: &Attribute) -> Vec<u8> {
    let oid = attribute.oid.as_bytes();
    let value = match &attribute.value {
        Value::Text(text) => tlv(string_type(oid, text), text.as_bytes()),
        Value::Opaque(raw) => raw.to_vec(),
    };
    tlv(SEQUENCE, &[tlv(OBJECT_IDENTIFIER, oid), value].concat())
}

fn string_type(oid: &[u8], text: &str) -> u8 {
    let printable = |byte: u8| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte);
    if PRINTABLE.contains(&oid) && text.bytes().all(printable) {
        PRINTABLE_STRING
    } else if IA5.contains(&oid) && text.is_ascii() {
        IA5_STRING
    } else {
        UTF8_STRING
    }
}

/// `tag length content`, the length in its shortest form.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|&&byte| byte == 0).count()..];
    let mut out = vec![tag];
    match (length, length.len() as u8) {
        ([], _) => out.push(0),
        (&[short @ ..=0x7f], _) => out.push(short),
        (long, bytes) => {
            out.push(0x80 | bytes);
            out.extend(long);
        }
    }
    out.extend(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SubjectLine;

    fn name(line: &str) -> Name {
        line.parse::<SubjectLine>().unwrap().name().clone()
    }

    #[test]
    fn what_is_written_is_read_as_the_same_name() {
        let long = format!("CN={},O={}", "x".repeat(200), "y".repeat(1000));
        for line in [
            "CN=app,O=Acme",
            "CN=alice+UID=1001,O=Acme,C=US",
            "CN=svc,OU=Testing,OU=Engineering,DC=acme,DC=com",
            "CN=Łukasz,O=Zażółć",
            "EMAILADDRESS=svc@acme.test,SERIALNUMBER=4_2,C=CA",
            "CN=svc,1.3.6.1.4.1.42069.1=#04020102",
            "CN=\\ a\\,b\\+c\\\\,O=\\#x",
            &long,
        ] {
            assert_eq!(Name::from_der(&name(line).to_der()), Ok(name(line)), "{line}");
        }
    }

    #[test]
    fn string_types_are_those_of_rfc_5280() {
        let der = name("CN=US,DC=US,C=US").to_der();
        assert_eq!(
            der,
            [
                &b"\x30\x2e\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02US"[..],
                b"\x31\x12\x30\x10\x06\x0a\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19\x16\x02US",
                b"\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x0c\x02US",
            ]
            .concat()
        );
    }

    #[test]
    fn a_multi_valued_rdn_is_in_der_order_whatever_the_line_said() {
        assert_eq!(name("CN=a+UID=1,O=b").to_der(), name("UID=1+CN=a,O=b").to_der());
    }

    #[test]
    fn a_leading_text_is_the_most_specific_value_alone() {
        assert_eq!(name("CN=app,O=Acme").leading_text(), Some("app"));
        assert_eq!(name("CN=a+UID=1,O=b").leading_text(), None);
    }
}
