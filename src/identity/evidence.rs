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
    server_name: Option<Arc<str>>,
    database: Arc<str>,
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
        let (issuers, listener, database) = (issuers.into(), listener.into(), "".into());
        Self { certificate, issuers, peer, listener, server_name: None, database }
    }

    /// The same client, by the server name that it asked for, and the database that this leads to.
    #[must_use]
    pub fn towards(self, server_name: Option<Arc<str>>, database: Arc<str>) -> Self {
        Self { server_name, database, ..self }
    }

    /// The same client, as if it had shown no certificate: where it comes from and
    /// where to.
    #[must_use]
    pub fn without_certificate(&self) -> Self {
        Self { certificate: None, issuers: [].into(), ..self.clone() }
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

    /// The server name that it asked for, if it did.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The name of the database that its commands go to.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }
}
