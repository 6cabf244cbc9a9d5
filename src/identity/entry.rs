//! One way in which a user is recognised, and how a certificate falls short of
//! it. The decision and what is told about it are this one comparison.

use std::fmt;

use thiserror::Error;

use super::alternative::{Alternative, AlternativeError};
use super::fingerprint::hex;
use super::mismatch::cut;
use super::multiset::Multiset;
use super::name::Attribute;
use super::{
    BadFingerprint, Certificate, Fingerprint, Mismatch, Name, Rule, SanKind, Scope, StructuredError,
    SubjectLine,
};

/// The longest serial number, in bytes (RFC 5280 section 4.1.2.2).
const SERIAL_BYTES_MAX: usize = 20;

/// Why a way to be recognised is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EntryError {
    /// An alternative name that is none.
    #[error(transparent)]
    Alternative(#[from] AlternativeError),
    /// A fingerprint that is none.
    #[error(transparent)]
    Fingerprint(#[from] BadFingerprint),
    /// Attributes that are none.
    #[error(transparent)]
    Structured(#[from] StructuredError),
    /// A serial number that is none.
    #[error(
        "found the serial number {found:?}, expected hex of at most {SERIAL_BYTES_MAX} bytes, as openssl x509 -serial prints it"
    )]
    Serial {
        /// The text, cut.
        found: String,
    },
}

/// How a certificate falls short of one way to be recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The subject is another one.
    Subject(Mismatch),
    /// It has no subject at all.
    EmptySubject,
    /// It has not this alternative name, but these of the same type.
    Alternative {
        /// The type.
        kind: SanKind,
        /// The certificate's, a few of them.
        certificate: Vec<String>,
    },
    /// It has another fingerprint.
    Fingerprint(Fingerprint),
    /// It is from an issuer of another name.
    Issuer(String),
    /// It has another serial number.
    Serial(String),
    /// All the rest is right, but no CA on its path is one of these.
    Scope(Scope),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject(mismatch) => mismatch.fmt(f),
            Self::EmptySubject => f.write_str("the certificate's subject is empty"),
            Self::Alternative { kind, certificate } if certificate.is_empty() => {
                write!(f, "the certificate has no alternative name of type {kind}")
            }
            Self::Alternative { kind, certificate } => {
                write!(f, "the certificate's alternative names of type {kind} are {}", certificate.join(", "))
            }
            Self::Fingerprint(found) => write!(f, "the certificate's is {found}"),
            Self::Issuer(found) => write!(f, "the certificate's issuer is {found}"),
            Self::Serial(found) => write!(f, "the certificate's serial number is {found}"),
            Self::Scope(scope) => {
                write!(f, "it would match if it were issued under the CA with the SHA-256 {scope}")
            }
        }
    }
}

/// What a certificate is recognised by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    Subject(SubjectLine),
    /// A line that is always partial, under another key.
    Attributes(SubjectLine),
    Alternative(Alternative),
    Certificate(Fingerprint),
    Key(Fingerprint),
    IssuerSerial {
        issuer: Name,
        serial: String,
    },
}

/// What entries are found by. Entries whose certificates may be the same have
/// the same key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Subject(Vec<u8>),
    FoldedSubject(Vec<u8>),
    Attribute(Vec<u8>),
    FoldedAttribute(Vec<u8>),
    Alternative(Alternative),
    Certificate(Fingerprint),
    Spki(Fingerprint),
    IssuerSerial(Vec<u8>, String),
}

/// One way in which a user is recognised, and under which CAs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub(super) way: Way,
    pub(super) scope: Option<Scope>,
    text: String,
}

impl From<SubjectLine> for Entry {
    fn from(line: SubjectLine) -> Self {
        Self { text: line.to_string(), way: Way::Subject(line), scope: None }
    }
}

impl Entry {
    fn new(way: Way, text: &str) -> Self {
        Self { way, scope: None, text: text.to_owned() }
    }

    /// Attributes of the subject by type: it has exactly these values of them.
    ///
    /// # Errors
    ///
    /// If a type or a value is none.
    pub fn attributes(written: &[(String, Vec<String>)]) -> Result<Self, EntryError> {
        let line = SubjectLine::unordered(written)?;
        Ok(Self::new(Way::Attributes(line.clone()), &line.to_string()))
    }

    /// An alternative name of this type.
    ///
    /// # Errors
    ///
    /// If the text is not of the type, or no rule can ask for the type.
    pub fn alternative(kind: SanKind, text: &str) -> Result<Self, EntryError> {
        let alternative = match kind {
            SanKind::Dns => Alternative::dns(text)?,
            SanKind::Uri => Alternative::uri(text)?,
            SanKind::Email => Alternative::email(text)?,
            SanKind::Ip => Alternative::ip(text)?,
            SanKind::Other => {
                let expected = "an alternative name of type dns, uri, email or ip";
                return Err(AlternativeError::Malformed { found: cut(text.to_owned()), expected }.into());
            }
        };
        Ok(Self::new(Way::Alternative(alternative), text))
    }

    /// The SHA-256 of the whole certificate.
    ///
    /// # Errors
    ///
    /// If the text is no fingerprint.
    pub fn certificate(text: &str) -> Result<Self, EntryError> {
        Ok(Self::new(Way::Certificate(text.parse()?), text))
    }

    /// The SHA-256 of its public key.
    ///
    /// # Errors
    ///
    /// If the text is no fingerprint.
    pub fn key(text: &str) -> Result<Self, EntryError> {
        Ok(Self::new(Way::Key(text.parse()?), text))
    }

    /// The name of its issuer and its serial number in hex.
    ///
    /// # Errors
    ///
    /// If the number is none.
    pub fn issuer_serial(issuer: &Name, serial: &str) -> Result<Self, EntryError> {
        let bytes = hex(serial).unwrap_or_default();
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count().min(bytes.len().saturating_sub(1));
        let significant = &bytes[zeros..];
        if !(1..=SERIAL_BYTES_MAX).contains(&significant.len()) {
            return Err(EntryError::Serial { found: serial.chars().take(100).collect() });
        }
        let serial: String = significant.iter().map(|byte| format!("{byte:02X}")).collect();
        let text = format!("{issuer}:{serial}");
        Ok(Self::new(Way::IssuerSerial { issuer: issuer.clone(), serial }, &text))
    }

    /// The same, but only under these CAs.
    #[must_use]
    pub fn within(self, scope: Scope) -> Self {
        Self { scope: Some(scope), ..self }
    }

    /// The CAs to which the entry is bound.
    #[must_use]
    pub fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    /// The line, if that is what it is.
    #[must_use]
    pub fn line(&self) -> Option<&SubjectLine> {
        match &self.way {
            Way::Subject(line) => Some(line),
            _ => None,
        }
    }

    /// What a partial line compares, as it compares it; nothing for other entries.
    pub(super) fn partial(&self) -> Option<Multiset> {
        match &self.way {
            Way::Subject(line) | Way::Attributes(line) if line.ignores_case() => {
                line.partial().map(Multiset::folded)
            }
            Way::Subject(line) | Way::Attributes(line) => line.partial().cloned(),
            _ => None,
        }
    }

    /// Its name as the entry of this number, counted from 0, under its key.
    #[must_use]
    pub fn rule(&self, index: usize) -> Rule {
        match &self.way {
            Way::Subject(_) => Rule::SubjectLine(index),
            Way::Attributes(_) => Rule::Attributes(index),
            Way::Alternative(name) => Rule::San(name.kind(), index),
            Way::Certificate(_) => Rule::CertificateSha256(index),
            Way::Key(_) => Rule::SpkiSha256(index),
            Way::IssuerSerial { .. } => Rule::IssuerSerial(index),
        }
    }

    /// The comparison: whether the certificate is the one that is asked for. Under
    /// which CA it was issued is asked by whoever calls this.
    pub(super) fn compare(&self, certificate: &Certificate) -> Result<(), Difference> {
        match &self.way {
            Way::Subject(_) | Way::Attributes(_) if certificate.subject().is_empty() => {
                Err(Difference::EmptySubject)
            }
            Way::Subject(line) | Way::Attributes(line) => {
                line.compare(certificate.subject()).map_err(Difference::Subject)
            }
            Way::Alternative(name) => has_alternative(certificate, name),
            Way::Certificate(wanted) => same(wanted, certificate.fingerprint()),
            Way::Key(wanted) => same(wanted, certificate.key()),
            Way::IssuerSerial { issuer, .. } if issuer != certificate.issuer() => {
                Err(Difference::Issuer(cut(certificate.issuer().to_string())))
            }
            Way::IssuerSerial { serial, .. } if *serial != certificate.serial() => {
                Err(Difference::Serial(cut(certificate.serial().to_owned())))
            }
            Way::IssuerSerial { .. } => Ok(()),
        }
    }

    /// What it is found by: one of the keys of every certificate that it matches.
    pub(super) fn index_key(&self) -> Key {
        match &self.way {
            Way::Subject(line) | Way::Attributes(line) => subject_key(line),
            Way::Alternative(name) => Key::Alternative(name.clone()),
            Way::Certificate(print) => Key::Certificate(*print),
            Way::Key(print) => Key::Spki(*print),
            Way::IssuerSerial { issuer, serial } => Key::IssuerSerial(issuer.canonical(), serial.clone()),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn same(wanted: &Fingerprint, found: Fingerprint) -> Result<(), Difference> {
    if *wanted == found { Ok(()) } else { Err(Difference::Fingerprint(found)) }
}

fn has_alternative(certificate: &Certificate, name: &Alternative) -> Result<(), Difference> {
    const SHOWN_MAX: usize = 8;
    if certificate.sans().iter().any(|san| Alternative::of(san).as_ref() == Some(name)) {
        return Ok(());
    }
    let of_kind = certificate.sans().iter().filter(|san| san.kind() == name.kind());
    let certificate = of_kind.take(SHOWN_MAX).map(|san| cut(san.to_string())).collect();
    Err(Difference::Alternative { kind: name.kind(), certificate })
}

/// A whole name, or of a partial line the attribute that is likely to be rarest.
fn subject_key(line: &SubjectLine) -> Key {
    let name = if line.ignores_case() { line.name().folded() } else { line.name().clone() };
    let rarest = name.rdns().last().and_then(|rdn| rdn.attributes().first());
    match (line.is_partial(), rarest, line.ignores_case()) {
        (true, Some(attribute), false) => Key::Attribute(bytes(attribute)),
        (true, Some(attribute), true) => Key::FoldedAttribute(bytes(attribute)),
        (_, _, false) => Key::Subject(name.canonical()),
        (_, _, true) => Key::FoldedSubject(name.canonical()),
    }
}

fn bytes(attribute: &Attribute) -> Vec<u8> {
    let mut out = Vec::new();
    attribute.encode(&mut out);
    out
}

/// Every key under which an entry that matches the certificate can be.
pub(super) fn keys_of(certificate: &Certificate) -> Vec<Key> {
    let subject = certificate.subject();
    let mut keys = vec![
        Key::Certificate(certificate.fingerprint()),
        Key::Spki(certificate.key()),
        Key::IssuerSerial(certificate.issuer().canonical(), certificate.serial().to_owned()),
    ];
    if !subject.is_empty() {
        let folded = subject.folded();
        let attributes = |name: &Name| -> Vec<Vec<u8>> {
            name.rdns().iter().flat_map(|rdn| rdn.attributes()).map(bytes).collect()
        };
        keys.extend(attributes(subject).into_iter().map(Key::Attribute));
        keys.extend(attributes(&folded).into_iter().map(Key::FoldedAttribute));
        keys.push(Key::Subject(subject.canonical()));
        keys.push(Key::FoldedSubject(folded.canonical()));
    }
    keys.extend(certificate.sans().iter().filter_map(Alternative::of).map(Key::Alternative));
    keys
}
