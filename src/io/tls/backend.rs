//! The TLS side of a backend's connections: whom the gateway takes for its Redis.
//! Nothing is resumed: a connection to a backend is made rarely and verified each time.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use thiserror::Error as ThisError;

use super::TlsError;
use crate::identity::Fingerprint;

/// What is asked of a backend's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VerificationMode {
    /// A CA that is trusted, and the name that the backend is reached by.
    #[default]
    Full,
    /// A CA that is trusted.
    Certificate,
    /// Nothing: who is between can read and change everything.
    None,
}

/// What a connection to a backend needs to speak TLS.
#[derive(Debug, Clone)]
pub struct BackendTls {
    /// Trusted to issue the backend's certificate.
    pub ca: Vec<CertificateDer<'static>>,
    /// A CA that is trusted where the backend sends it along.
    pub ca_fingerprint: Option<Fingerprint>,
    /// What is asked of the backend's certificate.
    pub mode: VerificationMode,
    /// The name that it has to be for, and that it is asked for; without one, the host
    /// that is connected to.
    pub server_name: Option<ServerName<'static>>,
    /// The gateway's own, for a backend that asks each client for one.
    pub client: Option<Arc<CertifiedKey>>,
}

/// Equal where connections made by either are as good as those made by the other.
impl PartialEq for BackendTls {
    fn eq(&self, other: &Self) -> bool {
        let chain = |it: &Self| it.client.as_ref().map(|client| client.cert.clone());
        (&self.ca, &self.ca_fingerprint, self.mode, &self.server_name)
            == (&other.ca, &other.ca_fingerprint, other.mode, &other.server_name)
            && chain(self) == chain(other)
    }
}

impl Eq for BackendTls {}

/// No certificate that the backend sent has the fingerprint that is trusted.
#[derive(ThisError)]
#[error("none of its certificates has the fingerprint {0}")]
struct NotPinned(Fingerprint);

/// rustls prints it so in its own error.
impl fmt::Debug for NotPinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Builds what connections are made with.
///
/// # Errors
/// If a CA is unusable, or rustls refuses the settings.
pub fn client_config(settings: &BackendTls) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for (index, ca) in settings.ca.iter().enumerate() {
        roots.add(ca.clone()).map_err(|why| TlsError::BackendCa { index, why })?;
    }
    let verifier = BackendVerifier {
        roots: Arc::new(roots),
        fingerprint: settings.ca_fingerprint,
        mode: settings.mode,
        provider: Arc::clone(&provider),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Refused)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &settings.client {
        None => config.with_no_client_auth(),
        Some(client) => {
            config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(client))))
        }
    };
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Holds a backend's certificate against CAs, or a fingerprint, as the mode has it.
#[derive(Debug)]
struct BackendVerifier {
    roots: Arc<RootCertStore>,
    fingerprint: Option<Fingerprint>,
    mode: VerificationMode,
    provider: Arc<CryptoProvider>,
}

impl BackendVerifier {
    /// The CAs, and the one that the backend sent along if its fingerprint is trusted.
    fn roots(&self, sent: &[CertificateDer<'_>]) -> Result<Arc<RootCertStore>, Error> {
        let Some(fingerprint) = self.fingerprint else { return Ok(Arc::clone(&self.roots)) };
        match sent.iter().find(|it| Fingerprint::of(it) == fingerprint) {
            Some(ca) => {
                let mut roots = RootCertStore::clone(&self.roots);
                roots.add(ca.clone().into_owned())?;
                Ok(Arc::new(roots))
            }
            None if self.roots.is_empty() => {
                let cause = OtherError(Arc::new(NotPinned(fingerprint)));
                Err(Error::InvalidCertificate(CertificateError::Other(cause)))
            }
            None => Ok(Arc::clone(&self.roots)),
        }
    }
}

impl ServerCertVerifier for BackendVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.mode == VerificationMode::None {
            return Ok(ServerCertVerified::assertion());
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(
            self.roots(intermediates)?,
            Arc::clone(&self.provider),
        )
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
        let verified =
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is looked at last, when the chain has been found in order.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.mode == VerificationMode::Certificate => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
