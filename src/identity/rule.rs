//! By what somebody was recognised: the key of the configuration and the
//! number under it.

use std::fmt;

use super::SanKind;

/// What let somebody in: which of a user's entries, or its password. The number is
/// counted from 0 among the user's entries of that key. Its `Display` is the key's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// `certificate_subject_line`
    SubjectLine(usize),
    /// `attributes`
    Attributes(usize),
    /// `san_dns`, `san_uri`, `san_email`, `san_ip`
    San(SanKind, usize),
    /// `certificate_sha256`
    CertificateSha256(usize),
    /// `spki_sha256`
    SpkiSha256(usize),
    /// `issuer_serial`
    IssuerSerial(usize),
    /// The realm's `values`.
    Value,
    /// The realm's `user_is_value`: the user is made of what the certificate says.
    Derived,
    /// Its password, and no certificate.
    Password,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SubjectLine(index) => write!(f, "certificate_subject_line[{index}]"),
            Self::Attributes(index) => write!(f, "attributes[{index}]"),
            Self::San(kind, index) => write!(f, "san_{kind}[{index}]"),
            Self::CertificateSha256(index) => write!(f, "certificate_sha256[{index}]"),
            Self::SpkiSha256(index) => write!(f, "spki_sha256[{index}]"),
            Self::IssuerSerial(index) => write!(f, "issuer_serial[{index}]"),
            Self::Value => f.write_str("values"),
            Self::Derived => f.write_str("user_is_value"),
            Self::Password => f.write_str("password"),
        }
    }
}
