//! From what rustls and the socket say about a failed handshake to one word of
//! the closed vocabulary that log, metric and audit share.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use super::fit::Unfit;
use super::path_error::{CRL_NOT_ALLOWED, CRL_OF_ANOTHER};
use crate::identity::{Reason, Refusal};

/// Why a handshake failed, given the error that `ClientStream::accept` returned for it.
#[must_use]
pub fn reason(error: &io::Error) -> Reason {
    match of_rustls(error) {
        Some(error) => of_tls(error),
        None if error.kind() == io::ErrorKind::TimedOut => Reason::HandshakeTimeout,
        None => Reason::HandshakeFailed,
    }
}

/// The same as a sentence for the log and the audit; never for the client.
#[must_use]
pub fn detail(error: &io::Error) -> String {
    of_rustls(error).map_or_else(|| error.to_string(), detail_of)
}

/// Both, for what `trust` says.
pub(super) fn refusal(error: &Error) -> Refusal {
    Refusal::new(of_tls(error), detail_of(error))
}

fn detail_of(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            // rustls prints what others report in Rust's debug form.
            other.0.downcast_ref::<Unfit>().map_or_else(|| error.to_string(), Unfit::to_string)
        }
        Error::InvalidCertificate(CertificateError::InvalidPurposeContext { presented, .. })
            if presented.is_empty() =>
        {
            "the certificate names no extended key usage, but client_eku is \"required\"".to_owned()
        }
        Error::InvalidCertificate(why) => match hint(of_certificate(why)) {
            Some(hint) => format!("{why}: {hint}"),
            None => why.to_string(),
        },
        _ => error.to_string(),
    }
}

/// What an operator who does not know TLS by heart would ask next.
fn hint(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::UntrustedIssuer => Some("none of the listener's client_ca has signed it"),
        Reason::Revoked => Some("a CRL of the listener lists it, or a CA of its chain"),
        Reason::CrlStale => Some("get the CA's present CRL and reload"),
        Reason::RevocationUnknown => Some("add the CRL of each CA in the chain to the listener's crl"),
        Reason::Eku => Some(
            "a client's certificate needs the extended key usage clientAuth, \
             which public CAs no longer put into server certificates",
        ),
        _ => None,
    }
}

fn of_rustls(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<Error>())
}

fn of_tls(error: &Error) -> Reason {
    match error {
        Error::NoCertificatesPresented => Reason::NoClientCertificate,
        Error::InvalidCertificate(error) => of_certificate(error),
        // A first record that is none: plain RESP, HTTP, a port scan.
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::InvalidEmptyPayload
            | InvalidMessage::MessageTooLarge,
        ) => Reason::NotTls,
        // The client's library refuses to send what was asked for.
        Error::AlertReceived(AlertDescription::NoCertificate) => Reason::NoClientCertificate,
        _ => Reason::HandshakeFailed,
    }
}

fn of_certificate(error: &CertificateError) -> Reason {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Reason::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Reason::NotYetValid,
        CertificateError::UnknownIssuer => Reason::UntrustedIssuer,
        CertificateError::Revoked => Reason::Revoked,
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            Reason::CrlStale
        }
        CertificateError::UnknownRevocationStatus => Reason::RevocationUnknown,
        CertificateError::Other(other) => other.0.downcast_ref().map_or(Reason::BadCertificate, of_unfit),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Reason::Eku,
        // Our own bounds, bad encodings, bad or weak signatures, and whatever
        // WebPKI has no word of its own for.
        _ => Reason::BadCertificate,
    }
}

fn of_unfit(unfit: &Unfit) -> Reason {
    match unfit {
        Unfit::ExpiredIssuer => Reason::Expired,
        Unfit::Ca => Reason::LeafIsCa,
        Unfit::NoSan => Reason::SanMissing,
        Unfit::Path(words) if *words == CRL_OF_ANOTHER || *words == CRL_NOT_ALLOWED => {
            Reason::RevocationUnknown
        }
        _ => Reason::BadCertificate,
    }
}
