//! A certificate revocation list: which kinds are understood, whose it is and
//! how long it holds. Whether a certificate is on it is asked by `trust`.

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use webpki::{CertRevocationList, OwnedCertRevocationList, RawPublicKeyEntity};
use x509_parser::num_bigint::BigUint;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Version};

use super::fit;

/// Why a list cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// Not DER of a list, or something in it that must not be skipped.
    #[error("it is not readable as a CRL: {0}")]
    Unreadable(String),
    /// Version 1.
    #[error("it is a version 1 CRL, expected version 2")]
    Version,
    /// Only the changes since another list.
    #[error("it is a delta CRL, expected a full one")]
    Delta,
    /// Entries of other issuers.
    #[error("it is an indirect CRL, expected one that its own CA has issued")]
    Indirect,
    /// Only some of the reasons for which a certificate is revoked.
    #[error("it covers only some reasons of revocation, expected all")]
    SomeReasons,
    /// Only a part of the certificates, and not said which in a form that can be checked.
    #[error("its issuing distribution point has no full name, expected a URI or no such extension")]
    Scope,
    /// It does not say until when it holds.
    #[error("it does not say when the next one comes (nextUpdate)")]
    Endless,
}

/// One list, read and understood; its signature is not yet checked, since only
/// a path to a CA tells by whom.
#[derive(Debug)]
pub struct Crl {
    list: CertRevocationList<'static>,
    der: Vec<u8>,
    issuer: String,
    this_update: i64,
    number: Option<BigUint>,
    next_update: i64,
}

impl Crl {
    /// Reads a list's DER, all of it.
    ///
    /// # Errors
    /// If it is none, or of a kind that is not understood: nothing is skipped.
    pub fn from_der(der: &[u8]) -> Result<Self, CrlError> {
        let unreadable = |why: &str| CrlError::Unreadable(why.to_owned());
        let (rest, parsed) =
            CertificateRevocationList::from_der(der).map_err(|_error| unreadable("it is malformed"))?;
        if !rest.is_empty() {
            return Err(unreadable("it has bytes after its end"));
        }
        if parsed.version() != Some(X509Version::V2) {
            return Err(CrlError::Version);
        }
        let list = OwnedCertRevocationList::from_der(der).map_err(|error| kind(&error))?;
        let next_update = parsed.next_update().ok_or(CrlError::Endless)?.timestamp();
        let issuer = crate::identity::Name::from_der(parsed.issuer().as_raw())
            .map_err(|error| CrlError::Unreadable(error.to_string()))?;
        Ok(Self {
            issuer: issuer.to_string(),
            this_update: parsed.last_update().timestamp(),
            number: parsed.crl_number().cloned(),
            next_update,
            list: list.into(),
            der: der.to_vec(),
        })
    }

    /// The name of the CA that issued it, in RFC 4514.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What the newer of two lists has more of. Two may have been made in one second: their CA counts them.
    pub(super) fn age(&self) -> (i64, Option<&BigUint>, i64) {
        (self.this_update, self.number.as_ref(), self.next_update)
    }

    /// The second at which it no longer holds, in seconds since 1970.
    #[must_use]
    pub fn next_update(&self) -> i64 {
        self.next_update
    }

    /// The issuer's name as its DER has it, without tag and length.
    pub(super) fn issuer_der(&self) -> &[u8] {
        self.list.issuer()
    }

    /// The bytes that it was read from.
    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    /// As WebPKI wants it.
    pub(super) fn list(&self) -> &CertRevocationList<'static> {
        &self.list
    }

    /// Whether this CA has the name of its issuer.
    #[must_use]
    pub fn is_named_as(&self, ca: &CertificateDer<'_>) -> bool {
        webpki::anchor_from_trusted_cert(ca).is_ok_and(|ca| ca.subject.as_ref() == self.issuer_der())
    }

    /// Whether this CA has signed it.
    #[must_use]
    pub fn is_signed_by_ca(&self, ca: &CertificateDer<'_>) -> bool {
        fit::parse(ca).is_ok_and(|ca| self.is_signed_by(ca.public_key().raw))
    }

    /// Whether the key of this DER has signed it.
    pub(super) fn is_signed_by(&self, spki: &[u8]) -> bool {
        let spki = SubjectPublicKeyInfoDer::from(spki);
        let Ok(key) = RawPublicKeyEntity::try_from(&spki) else { return false };
        let Ok((_, parsed)) = CertificateRevocationList::from_der(&self.der) else { return false };
        let (message, signature) = (parsed.tbs_cert_list.as_ref(), &parsed.signature_value.data);
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        algorithms.all.iter().any(|algorithm| key.verify_signature(*algorithm, message, signature).is_ok())
    }
}

fn kind(error: &webpki::Error) -> CrlError {
    use webpki::Error as E;
    match error {
        E::UnsupportedCrlVersion => CrlError::Version,
        E::UnsupportedDeltaCrl => CrlError::Delta,
        E::UnsupportedIndirectCrl => CrlError::Indirect,
        E::UnsupportedRevocationReasonsPartitioning | E::UnsupportedRevocationReason => CrlError::SomeReasons,
        E::UnsupportedCrlIssuingDistributionPoint => CrlError::Scope,
        E::UnsupportedCriticalExtension => {
            CrlError::Unreadable("it has a critical extension that is not understood".to_owned())
        }
        E::InvalidCrlNumber => CrlError::Unreadable("its number is malformed".to_owned()),
        E::InvalidSerialNumber => CrlError::Unreadable("a serial number in it is malformed".to_owned()),
        _ => CrlError::Unreadable("it is malformed, or lacks the extensions of RFC 5280".to_owned()),
    }
}
