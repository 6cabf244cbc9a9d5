//! Subject alternative names (RFC 5280 section 4.2.1.6), each of its own type:
//! a name of one type is never compared with one of another.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::fmt;

use super::der::{DerError, Reader, Tlv};
use super::oid::Oid;

/// The most names that are read; a certificate with more is refused.
pub(super) const SANS_MAX: usize = 1024;

/// The type of an alternative name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SanKind {
    /// A host name.
    Dns,
    /// A URI, SPIFFE IDs among them.
    Uri,
    /// A mailbox.
    Email,
    /// An IP address.
    Ip,
    /// A name whose type an object identifier tells.
    Other,
}

impl SanKind {
    /// The word for it in configuration and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Uri => "uri",
            Self::Email => "email",
            Self::Ip => "ip",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for SanKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One alternative name. Its `Display` shows the type and escapes what would
/// break a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum San {
    /// A host name as written; a `*` in it is a star and nothing more.
    Dns(String),
    /// A URI as written.
    Uri(String),
    /// A mailbox as written.
    Email(String),
    /// An IP address.
    Ip(IpAddr),
    /// An otherName that is a UTF8String, such as a Microsoft UPN.
    Other {
        /// Its type, dotted.
        oid: String,
        /// Its text.
        text: String,
    },
    /// A name that no rule may match: it has a control character, or is not
    /// text where text belongs, or not an address.
    Unfit {
        /// Its type.
        kind: SanKind,
        /// Its bytes, escaped.
        shown: String,
    },
}

impl San {
    /// Its type.
    #[must_use]
    pub fn kind(&self) -> SanKind {
        match self {
            Self::Dns(_) => SanKind::Dns,
            Self::Uri(_) => SanKind::Uri,
            Self::Email(_) => SanKind::Email,
            Self::Ip(_) => SanKind::Ip,
            Self::Other { .. } => SanKind::Other,
            Self::Unfit { kind, .. } => *kind,
        }
    }

    /// Its value as text; `None` if no rule may match it.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Dns(text) | Self::Uri(text) | Self::Email(text) | Self::Other { text, .. } => {
                Some(text.clone())
            }
            Self::Ip(ip) => Some(ip.to_string()),
            Self::Unfit { .. } => None,
        }
    }
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(text) | Self::Uri(text) | Self::Email(text) => {
                write!(f, "{}:{}", self.kind(), text.escape_debug())
            }
            Self::Ip(ip) => write!(f, "ip:{ip}"),
            Self::Other { oid, text } => write!(f, "other:{oid}:{}", text.escape_debug()),
            Self::Unfit { kind, shown } => write!(f, "{kind}:{shown} (unfit)"),
        }
    }
}

/// Why a subjectAltName extension is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SanError {
    Der(DerError),
    TooMany,
}

impl From<DerError> for SanError {
    fn from(error: DerError) -> Self {
        Self::Der(error)
    }
}

/// Reads the extension's content: `GeneralNames ::= SEQUENCE OF GeneralName`.
/// Names of the types that nothing here uses (directory names, registered
/// identifiers and the like) are left out.
pub(super) fn read(der: &[u8]) -> Result<Vec<San>, SanError> {
    let mut outer = Reader::new(der);
    let mut names = Reader::new(outer.expect(0x30)?);
    outer.end()?;
    let mut read = Vec::new();
    let mut count = 0;
    while !names.is_empty() {
        let tlv = names.next()?;
        count += 1;
        if count > SANS_MAX {
            return Err(SanError::TooMany);
        }
        read.extend(general_name(tlv)?);
    }
    Ok(read)
}

fn general_name(tlv: Tlv<'_>) -> Result<Option<San>, DerError> {
    Ok(Some(match tlv.tag {
        0x81 => text(SanKind::Email, tlv.content, San::Email),
        0x82 => text(SanKind::Dns, tlv.content, San::Dns),
        0x86 => text(SanKind::Uri, tlv.content, San::Uri),
        0x87 => ip(tlv.content),
        0xa0 => return other(tlv.content),
        _ => return Ok(None),
    }))
}

fn unfit(kind: SanKind, bytes: &[u8]) -> San {
    San::Unfit { kind, shown: bytes.escape_ascii().to_string() }
}

/// An IA5String: ASCII, here without control characters and not empty.
fn text(kind: SanKind, content: &[u8], of: impl FnOnce(String) -> San) -> San {
    match std::str::from_utf8(content) {
        Ok(text) if text.is_ascii() && !text.is_empty() && !text.chars().any(char::is_control) => {
            of(text.to_owned())
        }
        _ => unfit(kind, content),
    }
}

fn ip(content: &[u8]) -> San {
    if let Ok(four) = <[u8; 4]>::try_from(content) {
        San::Ip(IpAddr::V4(Ipv4Addr::from(four)))
    } else if let Ok(sixteen) = <[u8; 16]>::try_from(content) {
        San::Ip(IpAddr::V6(Ipv6Addr::from(sixteen)))
    } else {
        unfit(SanKind::Ip, content)
    }
}

/// `OtherName ::= SEQUENCE { type-id OBJECT IDENTIFIER, value [0] EXPLICIT ANY }`,
/// of which only values that are UTF8Strings are kept.
fn other(content: &[u8]) -> Result<Option<San>, DerError> {
    let mut fields = Reader::new(content);
    let oid = fields.expect(0x06)?;
    let mut value = Reader::new(fields.expect(0xa0)?);
    fields.end()?;
    let inner = value.next()?;
    value.end()?;
    let Some(oid) = Oid::from_der(oid) else { return Ok(Some(unfit(SanKind::Other, content))) };
    if inner.tag != 0x0c {
        return Ok(None);
    }
    Ok(Some(match std::str::from_utf8(inner.content) {
        Ok(text) if !text.is_empty() && !text.chars().any(char::is_control) => {
            San::Other { oid: oid.to_string(), text: text.to_owned() }
        }
        _ => unfit(SanKind::Other, inner.content),
    }))
}
