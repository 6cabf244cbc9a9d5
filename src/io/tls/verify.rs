//! rustls' side of the verification of clients: asks `trust`, and remembers who
//! was refused for the audit. Decides nothing.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::fit::bounded;
use super::trust::Trust;

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

/// One that is too large for a chain by itself is not read at all.
fn remember(certificate: &CertificateDer<'_>) {
    if bounded(std::slice::from_ref(certificate)).is_ok() {
        SHOWN.set(Some(certificate.clone().into_owned()));
    }
}

/// Asks for a client's certificate and holds it against a [`Trust`].
#[derive(Debug)]
pub(super) struct ClientVerifier {
    pub(super) trust: Arc<Trust>,
    pub(super) is_mandatory: bool,
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.trust.hints()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain: Vec<CertificateDer<'_>> = std::iter::once(end_entity)
            .chain(intermediates)
            .map(|it| CertificateDer::from(it.as_ref()))
            .collect();
        let verified = self.trust.check(&chain, now).inspect_err(|_| remember(end_entity));
        verified.map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, self.trust.algorithms()).inspect_err(|_| remember(cert))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, self.trust.algorithms()).inspect_err(|_| remember(cert))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms().supported_schemes()
    }
}
