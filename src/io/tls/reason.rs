//! From what rustls and the socket say about a failed handshake to one word of
//! the closed vocabulary that log, metric and audit share.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use super::verify::Unfit;
use crate::identity::Reason;

/// Why a handshake failed, given the error that tokio-rustls returned for it.
#[must_use]
pub fn reason(error: &io::Error) -> Reason {
    of_rustls(error).map_or(Reason::HandshakeFailed, of_tls)
}

/// The same as a sentence for the log and the audit; never for the client.
#[must_use]
pub fn detail(error: &io::Error) -> String {
    match of_rustls(error) {
        Some(Error::InvalidCertificate(CertificateError::Other(other))) => {
            // rustls prints what others report in Rust's debug form.
            other.0.downcast_ref::<Unfit>().map_or_else(|| error.to_string(), Unfit::to_string)
        }
        Some(Error::InvalidCertificate(CertificateError::InvalidPurposeContext { presented, .. }))
            if presented.is_empty() =>
        {
            "the certificate names no extended key usage, but client_eku is \"required\"".to_owned()
        }
        Some(Error::InvalidCertificate(why)) => match hint(of_certificate(why)) {
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
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Reason::Eku,
        // Our own bounds, bad encodings, bad or weak signatures, and whatever
        // WebPKI has no word of its own for.
        _ => Reason::BadCertificate,
    }
}
