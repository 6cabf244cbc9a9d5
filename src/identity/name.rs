//! A distinguished name: a sequence of RDNs, each a set of attributes. A
//! certificate's and a line's names are the same type, and equality of that
//! type is the comparison that decides who somebody is.

use std::fmt;

use thiserror::Error;

use super::attribute;
use super::der::{DerError, Reader};
use super::oid::Oid;
use super::value::Value;

/// Why the bytes of a name are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// Not the DER of a sequence of sets of sequences.
    #[error("not strict DER: {0}")]
    Der(#[from] DerError),
    /// A set without attributes.
    #[error("an RDN without attributes")]
    EmptyRdn,
    /// An attribute type that is not an object identifier.
    #[error("an attribute type that is not an object identifier")]
    Type,
}

/// One attribute: a type and a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Attribute {
    pub(super) oid: Oid,
    pub(super) value: Value,
}

impl Attribute {
    pub(super) fn folded(&self) -> Self {
        Self { oid: self.oid.clone(), value: self.value.folded() }
    }

    /// Bytes that are equal exactly where attributes are.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let oid = self.oid.as_bytes();
        out.extend(oid.len().to_be_bytes());
        out.extend(oid);
        self.value.encode(out);
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match attribute::name_of(&self.oid) {
            Some(name) => write!(f, "{name}={}", self.value),
            None => write!(f, "{}={}", self.oid, self.value),
        }
    }
}

/// A relative distinguished name: attributes that belong together, in no order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Rdn {
    /// Invariant: sorted and not empty, so that equal sets are equal vectors. A
    /// certificate may break X.501 and repeat an attribute; it then counts twice.
    attributes: Vec<Attribute>,
}

impl Rdn {
    /// `None` without attributes.
    pub(super) fn new(mut attributes: Vec<Attribute>) -> Option<Self> {
        attributes.sort_unstable();
        if attributes.is_empty() { None } else { Some(Self { attributes }) }
    }

    pub(super) fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    pub(super) fn folded(&self) -> Self {
        let mut attributes: Vec<_> = self.attributes.iter().map(Attribute::folded).collect();
        attributes.sort_unstable();
        Self { attributes }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.attributes.len().to_be_bytes());
        self.attributes.iter().for_each(|attribute| attribute.encode(out));
    }
}

impl fmt::Display for Rdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        joined(f, '+', self.attributes.iter())
    }
}

/// A distinguished name, as a certificate's subject or issuer has it.
///
/// Two names are equal if they have the same RDNs in the same order; the order
/// of attributes within an RDN and the ASN.1 string types do not matter, the
/// case of letters does. Its `Display` is RFC 4514, most specific RDN first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// In the certificate's order: most general first.
    rdns: Vec<Rdn>,
}

impl Name {
    /// Reads the DER of an X.501 `Name`, all of it.
    ///
    /// # Errors
    ///
    /// If any of it is not DER of that structure. Nothing is skipped: a name
    /// that is cut short is another name.
    pub fn from_der(der: &[u8]) -> Result<Self, NameError> {
        let mut outer = Reader::new(der);
        let mut sequence = Reader::new(outer.expect(SEQUENCE)?);
        outer.end()?;
        let mut rdns = Vec::new();
        while !sequence.is_empty() {
            let mut set = Reader::new(sequence.expect(SET)?);
            let mut attributes = Vec::new();
            while !set.is_empty() {
                attributes.push(attribute(set.expect(SEQUENCE)?)?);
            }
            rdns.push(Rdn::new(attributes).ok_or(NameError::EmptyRdn)?);
        }
        Ok(Self { rdns })
    }

    /// From RDNs in the certificate's order.
    pub(super) fn from_rdns(rdns: Vec<Rdn>) -> Self {
        Self { rdns }
    }

    pub(super) fn rdns(&self) -> &[Rdn] {
        &self.rdns
    }

    /// Whether there are no RDNs at all, as in a certificate that only has
    /// alternative names.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rdns.is_empty()
    }

    /// Whether a control character is in one of its values.
    #[must_use]
    pub fn has_control(&self) -> bool {
        self.rdns.iter().flat_map(Rdn::attributes).any(|attribute| attribute.value.has_control())
    }

    /// Each RDN in RFC 4514, in the certificate's order. Escaped, so that two RDNs
    /// have the same text only if they are equal.
    #[must_use]
    pub fn rdn_texts(&self) -> Vec<String> {
        self.rdns.iter().map(Rdn::to_string).collect()
    }

    /// The name as a pattern may look at it: RFC 4514, but with what is special in
    /// a value written as hex (`\2C` for a comma, `\3D` for an equals sign). Each
    /// `,` `+` and `=` in it is one of the syntax.
    pub(super) fn unambiguous(&self) -> String {
        let attribute = |attribute: &Attribute| {
            let name =
                attribute::name_of(&attribute.oid).map_or_else(|| attribute.oid.to_string(), str::to_owned);
            format!("{name}={}", attribute.value.unambiguous())
        };
        let rdn = |rdn: &Rdn| rdn.attributes.iter().map(attribute).collect::<Vec<_>>().join("+");
        self.rdns.iter().rev().map(rdn).collect::<Vec<_>>().join(",")
    }

    /// The name as `ignore_case` compares it.
    pub(super) fn folded(&self) -> Self {
        Self { rdns: self.rdns.iter().map(Rdn::folded).collect() }
    }

    pub(super) fn reversed(&self) -> Self {
        Self { rdns: self.rdns.iter().rev().cloned().collect() }
    }

    /// Bytes that are equal exactly where names are: what a map is keyed by.
    pub(super) fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.rdns.iter().for_each(|rdn| rdn.encode(&mut out));
        out
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        joined(f, ',', self.rdns.iter().rev())
    }
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// Reads `SEQUENCE { type OBJECT IDENTIFIER, value ANY }` from its content.
fn attribute(content: &[u8]) -> Result<Attribute, NameError> {
    let mut reader = Reader::new(content);
    let oid = Oid::from_der(reader.expect(OBJECT_IDENTIFIER)?).ok_or(NameError::Type)?;
    let value = Value::from_der(reader.next()?);
    reader.end()?;
    Ok(Attribute { oid, value })
}

fn joined(
    f: &mut fmt::Formatter<'_>,
    separator: char,
    mut parts: impl Iterator<Item = impl fmt::Display>,
) -> fmt::Result {
    if let Some(first) = parts.next() {
        write!(f, "{first}")?;
    }
    parts.try_for_each(|part| write!(f, "{separator}{part}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_is_skipped() {
        let rdn = b"\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x0c\x02me";
        let name = |rdns: &[u8]| {
            let der = [&[0x30, u8::try_from(rdns.len()).expect("short")], rdns].concat();
            Name::from_der(&der).map(|name| name.to_string())
        };
        assert_eq!(name(rdn), Ok("CN=me".to_owned()));
        assert_eq!(name(b""), Ok(String::new()));
        assert_eq!(
            name(&[&rdn[..], b"\x30\x00"].concat()),
            Err(DerError::Tag { got: 0x30, expected: 0x31 }.into())
        );
        assert_eq!(name(&[&rdn[..], b"\x31\x00"].concat()), Err(NameError::EmptyRdn));
        assert_eq!(name(&[&rdn[..], b"\x31\x05\x30"].concat()), Err(DerError::Truncated.into()));
        assert_eq!(name(b"\x31\x07\x30\x05\x06\x03\x55\x04\x03"), Err(DerError::Truncated.into()));
        let surplus = b"\x31\x0d\x30\x0b\x06\x03\x55\x04\x03\x0c\x02me\x05\x00";
        assert_eq!(name(surplus), Err(DerError::Trailing(2).into()));
        assert_eq!(name(b"\x31\x09\x30\x07\x06\x01\x80\x0c\x02me"), Err(NameError::Type));
        assert_eq!(Name::from_der(b"\x30\x00\x00"), Err(DerError::Trailing(1).into()));
        assert_eq!(Name::from_der(b"\x31\x00"), Err(DerError::Tag { got: 0x31, expected: 0x30 }.into()));
    }
}
