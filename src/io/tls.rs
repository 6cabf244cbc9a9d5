//! The TLS side of the listener: what a configured certificate, key and client
//! CAs become, and what is refused. Knows no socket, user or configuration file.
//!
//! Nothing here lets a session skip the certificate check: no tickets, no
//! session storage, no early data, no half-RTT data. A `ServerConfig` is built
//! afresh at each reload and shares nothing with the one before it.

mod offline;
mod reason;
mod verify;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, NoKeyLog, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::settings::ClientAuth;
pub use offline::would_trust;
pub use reason::{detail, reason};
use verify::ClientVerifier;
pub(crate) use verify::rsa_bits;
pub use verify::take_shown;

/// The smallest RSA key that is accepted, of the server and of clients.
pub const RSA_BITS_MIN: usize = 2048;

/// What a listener needs to speak TLS.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// The server's chain and key, which belong together.
    pub server: Arc<CertifiedKey>,
    /// The CAs that may issue client certificates; never empty.
    pub client_ca: Vec<CertificateDer<'static>>,
    /// The oldest protocol version that is spoken.
    pub min_version: TlsVersion,
    /// Whether a client certificate must say that it is for clients.
    pub client_eku: ClientEku,
    /// Whether clients are asked for a certificate.
    pub client_auth: ClientAuth,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    V12,
    /// TLS 1.3.
    V13,
}

/// What a client certificate's extended key usage must say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientEku {
    /// Client authentication, if it says anything.
    #[default]
    IfPresent,
    /// Client authentication.
    Required,
}

/// Why certificates and keys do not make a listener.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TlsError {
    /// The key is of a kind or size that the crypto library does not sign with.
    #[error(
        "the key cannot be used: expected RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519"
    )]
    KeyUnusable,
    /// The key is another certificate's.
    #[error("the key does not belong to the first certificate of the chain")]
    KeyMismatch,
    /// The first certificate is not an X.509 v3 certificate.
    #[error("the first certificate of the chain cannot be used: {0}")]
    Certificate(rustls::Error),
    /// One of the client CAs cannot be a trust anchor.
    #[error("client CA certificate {index} cannot be used: {why}")]
    ClientCa {
        /// Its place in `TlsSettings::client_ca`, from 0.
        index: usize,
        /// What rustls says.
        why: rustls::Error,
    },
    /// There is no client CA, so no client could be let in.
    #[error("no client CA certificate, expected at least one")]
    NoClientCa,
    /// rustls refuses the settings.
    #[error("rustls refuses the settings: {0}")]
    Refused(rustls::Error),
}

/// Joins a chain, leaf first, and its private key.
///
/// # Errors
/// If the key cannot be used or is not the leaf's.
pub fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let key = aws_lc_rs::default_provider()
        .key_provider
        .load_private_key(key)
        .map_err(|_error| TlsError::KeyUnusable)?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok(Arc::new(certified)),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(TlsError::KeyMismatch),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::KeyUnusable),
        Err(error) => Err(TlsError::Certificate(error)),
    }
}

/// Builds what the accept loop hands to each handshake.
///
/// # Errors
/// If a CA is unusable or missing.
pub fn server_config(settings: &TlsSettings) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ClientCertVerifier> = match settings.client_auth {
        ClientAuth::None => WebPkiClientVerifier::no_client_auth(),
        ClientAuth::Required | ClientAuth::Optional => client_verifier(settings, &provider)?,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(settings.min_version))
        .map_err(TlsError::Refused)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&settings.server))));

    // Resumption would let a client in by a check made earlier, perhaps against
    // another CA or before a revocation.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_tls13_tickets = 0;
    config.max_early_data_size = 0;
    // Nothing is sent before the client's certificate has been verified.
    config.send_half_rtt_data = false;
    config.key_log = Arc::new(NoKeyLog {});
    debug_assert!(!config.ticketer.enabled() && config.alpn_protocols.is_empty());
    Ok(Arc::new(config))
}

/// Checks each CA by itself, so that an error can name the one that is unusable.
pub(crate) fn client_roots(settings: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (index, ca) in settings.iter().enumerate() {
        roots.add(ca.clone()).map_err(|why| TlsError::ClientCa { index, why })?;
    }
    Ok(roots)
}

fn client_verifier(
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<ClientVerifier>, TlsError> {
    let roots = Arc::new(client_roots(&settings.client_ca)?);
    let webpki = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider)).build().map_err(
        |error| match error {
            VerifierBuilderError::NoRootAnchors => TlsError::NoClientCa,
            other => TlsError::Refused(rustls::Error::General(other.to_string())),
        },
    )?;
    Ok(Arc::new(ClientVerifier {
        webpki,
        eku: settings.client_eku,
        is_mandatory: settings.client_auth == ClientAuth::Required,
    }))
}

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    match min {
        TlsVersion::V12 => BOTH,
        TlsVersion::V13 => &BOTH[..1],
    }
}
