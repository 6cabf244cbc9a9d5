//! The verdict of a handshake on a chain, without a handshake: for telling an
//! operator beforehand what would happen.

use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier as _;

use super::{TlsError, TlsSettings, client_verifier, detail, reason};
use crate::identity::{Fingerprint, Reason, Refusal};

/// Whether a listener of these settings would believe a client that shows this
/// chain, its own certificate first; by the verifier that its handshakes use.
/// What is returned are the CAs that vouch for it, as far as they are known.
///
/// # Errors
/// If the settings cannot be used; within, why the chain is not believed.
pub fn would_trust(
    settings: &TlsSettings,
    chain: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<Result<Vec<Fingerprint>, Refusal>, TlsError> {
    let verifier = client_verifier(settings, &Arc::new(aws_lc_rs::default_provider()))?;
    let Some((leaf, others)) = chain.split_first() else {
        return Ok(Err(Refusal::new(Reason::NoClientCertificate, "the client shows no certificate")));
    };
    Ok(match verifier.verify_client_cert(leaf, others, now) {
        Ok(_) => Ok(Vec::new()),
        Err(error) => {
            let error = io::Error::new(io::ErrorKind::InvalidData, error);
            // It is for the handshake's own report.
            let _ = super::take_shown();
            Err(Refusal::new(reason(&error), detail(&error)))
        }
    })
}
