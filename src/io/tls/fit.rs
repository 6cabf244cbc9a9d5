//! Bounds on what a client may show, checked before any signature is: this is
//! what a stranger can make us do. Trusts nobody and knows no CA.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error, ExtendedKeyPurpose, OtherError};
use webpki::VerifiedPath;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};
use x509_parser::public_key::PublicKey;

use super::RSA_BITS_MIN;

/// Certificates that a client may present, its own included.
const CHAIN_CERTIFICATES_MAX: usize = 8;
/// Bytes of all of them.
const CHAIN_BYTES_MAX: usize = 32 * 1024;

/// Why a certificate that WebPKI would accept, or would not get to see, is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    /// More certificates than any client needs.
    #[error("the client presented {0} certificates, expected at most {CHAIN_CERTIFICATES_MAX}")]
    TooManyCertificates(usize),
    /// More bytes than any client needs.
    #[error("the client presented {0} bytes of certificates, expected at most {CHAIN_BYTES_MAX}")]
    TooManyBytes(usize),
    /// Not DER that an X.509 parser reads to its end.
    #[error("the client certificate is not readable as X.509")]
    Unreadable,
    /// Versions 1 and 2 have no extensions: any such leaf could be a CA.
    #[error("the client certificate is X.509 v{0}, expected v3")]
    Version(u32),
    /// An RSA key that can be broken.
    #[error("the client certificate has an RSA key of {0} bits, expected at least {RSA_BITS_MIN}")]
    WeakKey(usize),
    /// A CA's RSA key that can be broken.
    #[error("a CA that the client presented has an RSA key of {0} bits, expected at least {RSA_BITS_MIN}")]
    WeakIssuer(usize),
    /// The client's own certificate holds, one that issued it does not.
    #[error(
        "the certificate of a CA in the chain has expired: have it replaced, and the client present the new one"
    )]
    ExpiredIssuer,
    /// The client shows a CA's certificate.
    #[error("the certificate is a CA's (CA:TRUE), expected a client's")]
    Ca,
    /// Whom it is for is said by its subject alone.
    #[error("the certificate has no subject alternative name, but client_san is \"required\"")]
    NoSan,
    /// A path that breaks a rule of its own CAs, or of RFC 5280.
    #[error("{0}")]
    Path(&'static str),
}

impl From<Unfit> for Error {
    fn from(unfit: Unfit) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(unfit))))
    }
}

/// Refuses chains that no client needs.
pub(super) fn bounded(chain: &[CertificateDer<'_>]) -> Result<(), Unfit> {
    let count = chain.len();
    if count > CHAIN_CERTIFICATES_MAX {
        return Err(Unfit::TooManyCertificates(count));
    }
    let bytes = chain.iter().map(|certificate| certificate.len()).sum::<usize>();
    if bytes > CHAIN_BYTES_MAX {
        return Err(Unfit::TooManyBytes(bytes));
    }
    Ok(())
}

pub(super) fn parse<'a>(leaf: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Unfit> {
    match X509Certificate::from_der(leaf) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(Unfit::Unreadable),
    }
}

/// Refuses old versions and weak keys.
pub(super) fn fit(certificate: &X509Certificate<'_>) -> Result<(), Unfit> {
    if certificate.version() != X509Version::V3 {
        return Err(Unfit::Version(certificate.version().0.saturating_add(1)));
    }
    match rsa_bits(certificate) {
        Some(bits) if bits < RSA_BITS_MIN => Err(Unfit::WeakKey(bits)),
        _ => Ok(()),
    }
}

/// That a certificate says whom it is for other than by its subject.
pub(super) fn names_an_alternative(certificate: &X509Certificate<'_>) -> Result<(), Unfit> {
    match certificate.subject_alternative_name() {
        Ok(Some(names)) if !names.value.general_names.is_empty() => Ok(()),
        Ok(_) => Err(Unfit::NoSan),
        Err(_) => Err(Unfit::Unreadable),
    }
}

/// The first of these that has an RSA key which WebPKI does not verify with, and so
/// takes for a key that has signed nothing.
pub(super) fn weak_issuer(others: &[CertificateDer<'_>]) -> Option<Unfit> {
    let mut bits = others.iter().filter_map(|other| rsa_bits(&parse(other).ok()?));
    bits.find(|&bits| bits < RSA_BITS_MIN).map(Unfit::WeakIssuer)
}

/// That each CA on a path may sign certificates, where it says what its key is for
/// (keyCertSign; RFC 5280, 4.2.1.3). WebPKI does not ask.
pub(super) fn may_sign(path: &VerifiedPath<'_>) -> Result<(), webpki::Error> {
    for ca in path.intermediate_certificates() {
        let der = ca.der();
        let parsed = parse(&der).map_err(|_unfit| webpki::Error::BadDer)?;
        match parsed.key_usage() {
            Ok(None) => {}
            Ok(Some(usage)) if usage.value.key_cert_sign() => {}
            Ok(Some(_)) => return Err(webpki::Error::EndEntityUsedAsCa),
            Err(_) => return Err(webpki::Error::BadDer),
        }
    }
    Ok(())
}

/// What a certificate says that it is for, as far as it concerns clients.
pub(super) enum Purpose {
    /// It says nothing.
    Unsaid,
    /// Clients, perhaps among others.
    Clients,
    /// Something else.
    Others(Vec<ExtendedKeyPurpose>),
}

pub(super) fn purpose(certificate: &X509Certificate<'_>) -> Result<Purpose, Unfit> {
    match certificate.extended_key_usage() {
        Ok(None) => Ok(Purpose::Unsaid),
        Ok(Some(usage)) if usage.value.client_auth => Ok(Purpose::Clients),
        Ok(Some(usage)) => {
            let is_server = usage.value.server_auth;
            let other = if is_server {
                ExtendedKeyPurpose::ServerAuth
            } else {
                ExtendedKeyPurpose::Other(Vec::new())
            };
            Ok(Purpose::Others(vec![other]))
        }
        Err(_) => Err(Unfit::Unreadable),
    }
}

/// The size of a certificate's RSA key, if that is what it has.
pub(crate) fn rsa_bits(certificate: &X509Certificate<'_>) -> Option<usize> {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => Some(modulus_bits(key.modulus)),
        _ => None,
    }
}

/// Counted from the highest bit that is set: the parser's own `key_size` counts
/// whole bytes, so that a padded modulus would look long enough.
fn modulus_bits(modulus: &[u8]) -> usize {
    let zeros = modulus.iter().take_while(|&&byte| byte == 0).count();
    let significant = &modulus[zeros..];
    significant.first().map_or(0, |first| significant.len() * 8 - first.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modulus_is_measured_from_its_highest_set_bit() {
        assert_eq!(modulus_bits(&[]), 0);
        assert_eq!(modulus_bits(&[0, 0, 1, 0]), 9);
        assert_eq!(modulus_bits(&[0, 0x80, 0]), 16);
        assert_eq!(modulus_bits(&[0; 256]), 0);
    }
}
