//! What one verified leaf certificate says. Verifying it (chain, signature,
//! dates, purposes) is the TLS layer's part; this only reads.

use thiserror::Error;
use x509_parser::asn1_rs::FromDer;
use x509_parser::certificate::{X509Certificate, X509CertificateParser};
use x509_parser::extensions::{BasicConstraints, KeyUsage};
use x509_parser::nom::Parser;
use x509_parser::oid_registry::{
    OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE,
    OID_X509_EXT_SUBJECT_ALT_NAME, Oid,
};

use super::der::{DerError, Reader};
use super::san::{self, SANS_MAX, San, SanError, SanKind};
use super::{Fingerprint, Name, NameError, oid};

/// The purposes (extended key usages) that decide about a client.
const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";

/// Why a certificate's bytes cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// The structure of a certificate is not there.
    #[error("not an X.509 certificate in DER: {0}")]
    Certificate(String),
    /// Bytes after the certificate's end.
    #[error("{0} bytes after the end of the certificate")]
    Trailing(usize),
    /// The subject is not a name.
    #[error("the certificate's subject is unreadable: {0}")]
    Subject(#[source] NameError),
    /// The issuer is not a name.
    #[error("the certificate's issuer is unreadable: {0}")]
    Issuer(#[source] NameError),
    /// An extension that decides about the certificate is malformed or there twice.
    #[error("the certificate's extension {0} is malformed or there twice")]
    Extension(&'static str),
    /// More alternative names than anybody has.
    #[error("the certificate has more than {SANS_MAX} alternative names")]
    TooManySans,
}

/// What a leaf certificate says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    subject: Name,
    issuer: Name,
    serial: String,
    sans: Vec<San>,
    purposes: Option<Vec<String>>,
    fingerprint: Fingerprint,
    key: Fingerprint,
    not_before: i64,
    not_after: i64,
    version: u32,
    signs_certificates: bool,
}

impl Certificate {
    /// Reads a certificate's DER, all of it.
    ///
    /// # Errors
    ///
    /// If it is not exactly one certificate whose names and whose statements
    /// about being a CA can be read.
    pub fn from_der(der: &[u8]) -> Result<Self, Unreadable> {
        // Extensions are not parsed in depth: those that decide are read below, and
        // the rest of what a stranger may send is left alone.
        let (rest, x509) = X509CertificateParser::new()
            .with_deep_parse_extensions(false)
            .parse(der)
            .map_err(|error| Unreadable::Certificate(cause(error)))?;
        if !rest.is_empty() {
            return Err(Unreadable::Trailing(rest.len()));
        }
        Ok(Self {
            subject: Name::from_der(x509.subject().as_raw()).map_err(Unreadable::Subject)?,
            issuer: Name::from_der(x509.issuer().as_raw()).map_err(Unreadable::Issuer)?,
            serial: serial(x509.raw_serial()),
            sans: sans(&x509)?,
            purposes: purposes(&x509)?,
            fingerprint: Fingerprint::of(der),
            key: Fingerprint::of(x509.public_key().raw),
            not_before: x509.validity().not_before.timestamp(),
            not_after: x509.validity().not_after.timestamp(),
            version: x509.version().0.saturating_add(1),
            signs_certificates: signs_certificates(&x509)?,
        })
    }

    /// Who the certificate is for.
    #[must_use]
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// The name of the CA that signed it. A name proves nothing: two CAs may share one.
    #[must_use]
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// The serial number as OpenSSL prints it: upper-case hex.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// Its subject alternative names, of the types that a rule can use.
    #[must_use]
    pub fn sans(&self) -> &[San] {
        &self.sans
    }

    /// Whether an alternative name of this type is one that no rule may match.
    #[must_use]
    pub fn has_unfit_san(&self, kind: SanKind) -> bool {
        self.sans.iter().any(|san| matches!(san, San::Unfit { kind: unfit, .. } if *unfit == kind))
    }

    /// Its extended key usages as dotted OIDs, if it limits them at all.
    #[must_use]
    pub fn purposes(&self) -> Option<&[String]> {
        self.purposes.as_deref()
    }

    /// Whether it may be a client's: it names no purpose, or this one. That it is
    /// for any purpose (anyExtendedKeyUsage) is not enough, as in WebPKI.
    #[must_use]
    pub fn is_for_clients(&self) -> bool {
        self.purposes.as_ref().is_none_or(|purposes| purposes.iter().any(|purpose| purpose == CLIENT_AUTH))
    }

    /// The SHA-256 of its public key, as SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn key(&self) -> Fingerprint {
        self.key
    }

    /// The SHA-256 of the certificate.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// When it begins to hold, in seconds since 1970.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// The last second at which it holds, in seconds since 1970.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// The X.509 version: 3, unless it is too old to be let in.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Whether it may sign other certificates, by its basic constraints or by
    /// its key usage, so that it is a CA's and not a client's.
    #[must_use]
    pub fn signs_certificates(&self) -> bool {
        self.signs_certificates
    }
}

/// The innermost error, without the bytes that nom keeps beside it.
fn cause(error: x509_parser::nom::Err<x509_parser::error::X509Error>) -> String {
    match error {
        x509_parser::nom::Err::Incomplete(_) => "the bytes end too early".to_owned(),
        x509_parser::nom::Err::Error(error) | x509_parser::nom::Err::Failure(error) => error.to_string(),
    }
}

/// Hex without the zero byte that DER puts before a number with its top bit set.
fn serial(raw: &[u8]) -> String {
    let significant = match raw {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    significant.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn signs_certificates(x509: &X509Certificate<'_>) -> Result<bool, Unreadable> {
    let constraints: Option<BasicConstraints> =
        extension(x509, &OID_X509_EXT_BASIC_CONSTRAINTS, "basicConstraints")?;
    let usage: Option<KeyUsage> = extension(x509, &OID_X509_EXT_KEY_USAGE, "keyUsage")?;
    Ok(constraints.is_some_and(|constraints| constraints.ca)
        || usage.is_some_and(|usage| usage.key_cert_sign()))
}

fn sans(x509: &X509Certificate<'_>) -> Result<Vec<San>, Unreadable> {
    const NAME: &str = "subjectAltName";
    let Some(content) = content(x509, &OID_X509_EXT_SUBJECT_ALT_NAME, NAME)? else { return Ok(Vec::new()) };
    san::read(content).map_err(|error| match error {
        SanError::Der(_) => Unreadable::Extension(NAME),
        SanError::TooMany => Unreadable::TooManySans,
    })
}

/// `ExtKeyUsageSyntax ::= SEQUENCE SIZE (1..MAX) OF KeyPurposeId`
fn purposes(x509: &X509Certificate<'_>) -> Result<Option<Vec<String>>, Unreadable> {
    const NAME: &str = "extendedKeyUsage";
    let Some(content) = content(x509, &OID_X509_EXT_EXTENDED_KEY_USAGE, NAME)? else { return Ok(None) };
    let read = || -> Result<Option<Vec<String>>, DerError> {
        let mut outer = Reader::new(content);
        let mut list = Reader::new(outer.expect(0x30)?);
        outer.end()?;
        let mut purposes = Vec::new();
        while !list.is_empty() {
            match oid::Oid::from_der(list.expect(0x06)?) {
                Some(purpose) => purposes.push(purpose.to_string()),
                None => return Ok(None),
            }
        }
        Ok((!purposes.is_empty()).then_some(purposes))
    };
    match read() {
        Ok(Some(purposes)) => Ok(Some(purposes)),
        Ok(None) | Err(_) => Err(Unreadable::Extension(NAME)),
    }
}

/// The content of the extension `oid`, which must be there once at most.
fn content<'a>(
    x509: &'a X509Certificate<'_>,
    oid: &Oid<'_>,
    name: &'static str,
) -> Result<Option<&'a [u8]>, Unreadable> {
    let found = x509.tbs_certificate.get_extension_unique(oid).map_err(|_| Unreadable::Extension(name))?;
    Ok(found.map(|extension| extension.value))
}

/// Reads the extension `oid`, which must be there once at most and be whole.
fn extension<'a, T: FromDer<'a, x509_parser::error::X509Error>>(
    x509: &'a X509Certificate<'_>,
    oid: &Oid<'_>,
    name: &'static str,
) -> Result<Option<T>, Unreadable> {
    match content(x509, oid, name)?.map(T::from_der) {
        None => Ok(None),
        Some(Ok(([], read))) => Ok(Some(read)),
        Some(_) => Err(Unreadable::Extension(name)),
    }
}
