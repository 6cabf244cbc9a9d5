//! What a client has shown, as the TLS layer has verified it: the certificate,
//! the CAs on its path, where the client comes from and where to.

use core::net::IpAddr;
use std::sync::Arc;

use super::{Certificate, Fingerprint};

/// What is known of a client before it is decided who it is. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    certificate: Option<Arc<Certificate>>,
    /// Fingerprints of the keys (SubjectPublicKeyInfo) and of the certificates of
    /// every CA on the verified path, the anchor's included. Empty where no CA was
    /// involved: a pinned certificate.
    issuers: Arc<[Fingerprint]>,
    peer: IpAddr,
    listener: Arc<str>,
}

impl Evidence {
    /// What a verified handshake has shown. `issuers` are the fingerprints of the
    /// keys and of the certificates of every CA on the verified path.
    #[must_use]
    pub fn new(
        certificate: Option<Arc<Certificate>>,
        issuers: impl Into<Arc<[Fingerprint]>>,
        peer: IpAddr,
        listener: impl Into<Arc<str>>,
    ) -> Self {
        Self { certificate, issuers: issuers.into(), peer, listener: listener.into() }
    }

    /// The same client, as if it had shown no certificate: where it comes from and
    /// where to.
    #[must_use]
    pub fn without_certificate(&self) -> Self {
        Self::new(None, [], self.peer, Arc::clone(&self.listener))
    }

    /// The client's own certificate, if it showed one.
    #[must_use]
    pub fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.certificate.as_ref()
    }

    /// The fingerprints of the CAs that vouch for the certificate, by key and by certificate.
    #[must_use]
    pub fn issuers(&self) -> &[Fingerprint] {
        &self.issuers
    }

    /// The address that the client comes from.
    #[must_use]
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// The name of the listener that it came to.
    #[must_use]
    pub fn listener(&self) -> &str {
        &self.listener
    }
}
