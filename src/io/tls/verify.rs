//! Which client certificates are good enough to be looked up, on top of what
//! WebPKI verification says. Who the client is, is not decided here.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ExtendedKeyPurpose, OtherError,
    SignatureScheme,
};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};
use x509_parser::public_key::PublicKey;

use super::{ClientEku, RSA_BITS_MIN};

/// Certificates that a client may present, its own included.
const CHAIN_CERTIFICATES_MAX: usize = 8;
/// Bytes of all of them.
const CHAIN_BYTES_MAX: usize = 32 * 1024;

thread_local! {
    /// Invariant: holds a certificate only between a refusal on this thread and
    /// the call of `take_shown` by the handshake that was refused.
    static SHOWN: RefCell<Option<CertificateDer<'static>>> = const { RefCell::new(None) };
}

/// The certificate of the client that has just been refused on this thread, if
/// it showed one. Nothing about it is to be believed: it goes to the audit.
///
/// To be called when a handshake fails, before anything else is awaited: rustls
/// refuses and reports within one poll, so another handshake of the same thread
/// cannot come between.
#[must_use]
pub fn take_shown() -> Option<CertificateDer<'static>> {
    SHOWN.with_borrow_mut(Option::take)
}

fn remember(certificate: &CertificateDer<'_>) {
    SHOWN.set(Some(certificate.clone().into_owned()));
}

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
}

impl From<Unfit> for Error {
    fn from(unfit: Unfit) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(unfit))))
    }
}

/// WebPKI's verifier within our own bounds.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    pub(super) webpki: Arc<dyn ClientCertVerifier>,
    pub(super) eku: ClientEku,
    /// Whether a client without a certificate is refused in the handshake.
    pub(super) is_mandatory: bool,
}

impl ClientVerifier {
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // Before any signature is checked: this is what a stranger can make us do.
        bounded(leaf, intermediates)?;
        fit(leaf)?;
        let verified = self.webpki.verify_client_cert(leaf, intermediates, now).map_err(issuer)?;
        if self.eku == ClientEku::Required {
            names_a_purpose(leaf)?;
        }
        Ok(verified)
    }
}

fn bounded(leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Result<(), Unfit> {
    let count = 1 + intermediates.len();
    if count > CHAIN_CERTIFICATES_MAX {
        return Err(Unfit::TooManyCertificates(count));
    }
    let bytes = leaf.len() + intermediates.iter().map(|certificate| certificate.len()).sum::<usize>();
    if bytes > CHAIN_BYTES_MAX {
        return Err(Unfit::TooManyBytes(bytes));
    }
    Ok(())
}

fn parse<'a>(leaf: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Unfit> {
    match X509Certificate::from_der(leaf) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(Unfit::Unreadable),
    }
}

fn fit(leaf: &CertificateDer<'_>) -> Result<(), Unfit> {
    let certificate = parse(leaf)?;
    if certificate.version() != X509Version::V3 {
        return Err(Unfit::Version(certificate.version().0.saturating_add(1)));
    }
    match rsa_bits(&certificate) {
        Some(bits) if bits < RSA_BITS_MIN => Err(Unfit::WeakKey(bits)),
        _ => Ok(()),
    }
}

/// A certificate that names one of our CAs as its issuer but is signed by
/// another key has an issuer that we do not trust. WebPKI calls that a bad
/// signature, which is also what it calls a client without the private key.
fn issuer(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            Error::InvalidCertificate(CertificateError::UnknownIssuer)
        }
        other => other,
    }
}

/// WebPKI has refused a wrong purpose already; this refuses that there is none.
fn names_a_purpose(leaf: &CertificateDer<'_>) -> Result<(), Error> {
    let certificate = parse(leaf)?;
    match certificate.extended_key_usage() {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Error::InvalidCertificate(CertificateError::InvalidPurposeContext {
            required: ExtendedKeyPurpose::ClientAuth,
            presented: Vec::new(),
        })),
        Err(_) => Err(Unfit::Unreadable.into()),
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

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.webpki.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity, intermediates, now).inspect_err(|_| remember(end_entity))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, dss).inspect_err(|_| remember(cert))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss).inspect_err(|_| remember(cert))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
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
