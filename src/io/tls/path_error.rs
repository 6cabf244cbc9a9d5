//! From what WebPKI says about a path to rustls' words, of which it makes the alert,
//! and ours, of which log and audit make a reason.

use rustls::{CertificateError, Error, ExtendedKeyPurpose};

use super::fit::Unfit;

/// What WebPKI says about a path, with what is said of its leaf told from the rest.
pub(super) fn of_path(error: webpki::Error, leaf_ends: u64) -> Error {
    match error {
        webpki::Error::CertExpired { not_after, .. } if not_after.as_secs() != leaf_ends => {
            Unfit::ExpiredIssuer.into()
        }
        other => of_webpki(other),
    }
}

/// Whether it may be about another CA of the same name than the certificate's own.
pub(super) fn is_vague(error: &webpki::Error) -> bool {
    use webpki::Error as E;
    matches!(
        error,
        E::UnknownIssuer
            | E::InvalidSignatureForPublicKey
            | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
            | E::InvalidCrlSignatureForPublicKey
            | E::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_)
    )
}

pub(super) fn of_webpki(error: webpki::Error) -> Error {
    use webpki::Error as E;
    let context = match error {
        E::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        E::CertNotValidYet { time, not_before } => CertificateError::NotValidYetContext { time, not_before },
        E::CertRevoked => CertificateError::Revoked,
        E::CrlExpired { time, next_update } => {
            CertificateError::ExpiredRevocationListContext { time, next_update }
        }
        E::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus,
        // A certificate that names one of our CAs as its issuer but is signed by
        // another key has an issuer that we do not trust.
        E::UnknownIssuer | E::InvalidSignatureForPublicKey => CertificateError::UnknownIssuer,
        E::RequiredEkuNotFoundContext(context) => CertificateError::InvalidPurposeContext {
            required: ExtendedKeyPurpose::ClientAuth,
            presented: context.present.into_iter().map(purpose).collect(),
        },
        E::CaUsedAsEndEntity => return Unfit::Ca.into(),
        other => return Unfit::Path(words(&other)).into(),
    };
    Error::InvalidCertificate(context)
}

fn purpose(oid: Vec<usize>) -> ExtendedKeyPurpose {
    match oid.as_slice() {
        [1, 3, 6, 1, 5, 5, 7, 3, 1] => ExtendedKeyPurpose::ServerAuth,
        [1, 3, 6, 1, 5, 5, 7, 3, 2] => ExtendedKeyPurpose::ClientAuth,
        _ => ExtendedKeyPurpose::Other(oid),
    }
}

fn words(error: &webpki::Error) -> &'static str {
    use webpki::Error as E;
    match error {
        E::InvalidCrlSignatureForPublicKey
        | E::UnsupportedCrlSignatureAlgorithmContext(_)
        | E::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => CRL_OF_ANOTHER,
        E::IssuerNotCrlSigner => CRL_NOT_ALLOWED,
        E::NameConstraintViolation => "a name in the certificate is not one that its CA may issue for",
        E::PathLenConstraintViolated => "there are more CAs in the chain than one of them allows",
        E::EndEntityUsedAsCa => "a certificate in the chain is used as a CA's and is none",
        E::UnsupportedSignatureAlgorithmContext(_) => {
            "a certificate in the chain is signed with an algorithm that is not accepted, such as SHA-1"
        }
        E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            "a certificate in the chain is signed with a key that is not accepted, such as RSA of less than 2048 bits"
        }
        E::UnsupportedCriticalExtension => {
            "a certificate in the chain has a critical extension that is not understood"
        }
        E::MaximumSignatureChecksExceeded
        | E::MaximumPathBuildCallsExceeded
        | E::MaximumPathDepthExceeded
        | E::MaximumNameConstraintComparisonsExceeded => "the chain takes too much work to check",
        E::InvalidCertValidity => "a certificate in the chain ends before it begins",
        E::UnsupportedCertVersion => "a certificate in the chain is older than X.509 v3",
        _ => "a certificate in the chain is malformed",
    }
}

/// Revocation cannot be told, since the list is not the issuer's.
pub(super) const CRL_OF_ANOTHER: &str =
    "the CRL under the name of the certificate's issuer was not signed by that issuer's key";
pub(super) const CRL_NOT_ALLOWED: &str = "the key usage of the certificate's issuer does not let it sign CRLs (cRLSign), so its CRL cannot be believed";
