//! TLS: what a listener's certificate, key and client CAs become, and what is refused;
//! and, in `backend`, whom the gateway takes for its Redis. Knows no socket, user or configuration file.
//!
//! By default nothing lets a session skip the certificate check: no tickets, no
//! session storage, no early data, no half-RTT data. Where resumption is switched
//! on, a resumed client's stored chain is given to `trust` again before it is let
//! in. A `ServerConfig` is built afresh at each reload and shares nothing with the
//! one before it, so a reload also forgets every session that could be resumed.

mod asked;
mod backend;
mod crl;
mod fit;
mod names;
mod path_error;
mod reason;
mod trust;
mod verify;

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, NoKeyLog, ServerConfig, SupportedProtocolVersion};

use super::settings::ClientAuth;
use asked::Only;
pub use asked::take_asked;
pub use backend::{BackendTls, VerificationMode, client_config};
pub use crl::{Crl, CrlError};
pub(crate) use fit::rsa_bits;
pub use names::{NameField, renamed};
pub use reason::{detail, reason};
pub use trust::{CrlDepth, CrlPolicy, Trust, TrustSettings, Verified};
use verify::ClientVerifier;
pub use verify::take_shown;

/// The smallest RSA key that is accepted, of the server and of clients.
pub const RSA_BITS_MIN: usize = 2048;

/// Sessions of one listener that can be resumed, where that is switched on.
/// Each takes about two kilobytes: the client's chain is in it.
const RESUMABLE_MAX: usize = 4096;

/// TLS 1.3 tickets for each handshake, where resumption is switched on.
const TICKETS: usize = 2;

/// What a listener needs to speak TLS.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// The server's chain and key, which belong together.
    pub server: Arc<CertifiedKey>,
    /// The oldest protocol version that is spoken.
    pub min_version: TlsVersion,
    /// Whether clients are asked for a certificate.
    pub client_auth: ClientAuth,
    /// What a client's certificate is held against.
    pub trust: TrustSettings,
    /// Whether clients may resume sessions.
    pub resumption: bool,
    /// Whether a reload must keep the server certificate's names.
    pub keep_server_names: bool,
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

/// Whether a client certificate must have a subject alternative name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientSan {
    /// It need not.
    #[default]
    IfPresent,
    /// It must, of whatever kind.
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
    /// One of the pinned client certificates cannot be a client's.
    #[error("client certificate {index} cannot be used: {why}")]
    ClientCertificate {
        /// Its place in `TrustSettings::client_certificates`, from 0.
        index: usize,
        /// What rustls says.
        why: rustls::Error,
    },
    /// What a backend is reached by is no name that a certificate could be for.
    #[error("{host:?} is no host name or IP address that a certificate could be for")]
    ServerName {
        /// The host.
        host: String,
    },
    /// One of a backend's CAs cannot be a trust anchor.
    #[error("CA certificate {index} of the backend cannot be used: {why}")]
    BackendCa {
        /// Its place in `BackendTls::ca`, from 0.
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

/// Builds what the accept loop hands to each handshake. Nobody's certificate is
/// asked for without a `trust`.
///
/// # Errors
/// If rustls refuses the settings.
pub fn server_config(
    settings: &TlsSettings,
    trust: Option<&Arc<Trust>>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier: Arc<dyn ClientCertVerifier> = match (settings.client_auth, trust) {
        (ClientAuth::None, _) => WebPkiClientVerifier::no_client_auth(),
        (_, None) => return Err(TlsError::NoClientCa),
        (auth, Some(trust)) => {
            Arc::new(ClientVerifier { trust: Arc::clone(trust), is_mandatory: auth == ClientAuth::Required })
        }
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions(settings.min_version))
        .map_err(TlsError::Refused)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(Only(Arc::clone(&settings.server))));

    if settings.resumption {
        // Kept here, not in a ticket that the client keeps: it can be forgotten.
        config.session_storage = ServerSessionMemoryCache::new(RESUMABLE_MAX);
        config.send_tls13_tickets = TICKETS;
    } else {
        // Resumption would let a client in by a check made earlier, perhaps against
        // another CA or before a revocation.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.max_tls13_tickets = 0;
    config.max_early_data_size = 0;
    // Nothing is sent before the client's certificate has been verified.
    config.send_half_rtt_data = false;
    config.key_log = Arc::new(NoKeyLog {});
    debug_assert!(!config.ticketer.enabled() && config.alpn_protocols.is_empty());
    Ok(Arc::new(config))
}

/// What clients' certificates are held against; nothing where none is asked for.
///
/// # Errors
/// If a CA is unusable or missing.
pub fn trust(settings: &TlsSettings) -> Result<Option<Arc<Trust>>, TlsError> {
    match settings.client_auth {
        ClientAuth::None => Ok(None),
        ClientAuth::Required | ClientAuth::Optional => Ok(Some(Arc::new(Trust::new(&settings.trust)?))),
    }
}

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    match min {
        TlsVersion::V12 => BOTH,
        TlsVersion::V13 => &BOTH[..1],
    }
}
