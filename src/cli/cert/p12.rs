//! A certificate and its key as one PKCS#12 file, for programs that take nothing
//! else. Encrypted by PBES2 with AES-256, as OpenSSL 3 and Java write it.

use thiserror::Error;
use zeroize::Zeroizing;

use super::issue::Issued;

/// Why there is no PKCS#12 file.
#[derive(Debug, Error)]
pub(super) enum P12Error {
    /// The password has bytes that are no text.
    #[cfg(feature = "pkcs12")]
    #[error("the password is not UTF-8 text")]
    Password,
    /// What was just made cannot be packed.
    #[cfg(feature = "pkcs12")]
    #[error("it cannot be written: {0}")]
    Pack(String),
    /// A request has no certificate.
    #[error("a request is written as PEM only")]
    Request,
    /// This program was built without it.
    #[cfg(not(feature = "pkcs12"))]
    #[error(
        "this respgate was built without the feature pkcs12; write PEM, or build it with --features pkcs12"
    )]
    NotBuilt,
}

/// The file. One line end after the password is not part of it.
#[cfg(feature = "pkcs12")]
pub(super) fn bytes(issued: &Issued, password: &[u8]) -> Result<Zeroizing<Vec<u8>>, P12Error> {
    use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

    let password = password.strip_suffix(b"\n").unwrap_or(password);
    let password = password.strip_suffix(b"\r").unwrap_or(password);
    let password = std::str::from_utf8(password).map_err(|_| P12Error::Password)?;
    let pack = |cause: &dyn std::fmt::Display| P12Error::Pack(cause.to_string());
    let key = PrivatePkcs8KeyDer::from_pem_slice(issued.key.as_bytes()).map_err(|cause| pack(&cause))?;
    let key = PrivateKey::from_der(key.secret_pkcs8_der()).map_err(|cause| pack(&cause))?;
    let mut chain = Vec::new();
    for der in CertificateDer::pem_slice_iter(issued.certificate.as_bytes()) {
        let der = der.map_err(|cause| pack(&cause))?;
        chain.push(Certificate::from_der(&der).map_err(|cause| pack(&cause))?);
    }
    let mut store = KeyStore::new();
    let entry = PrivateKeyChain::new(b"respgate".as_slice(), key, chain);
    store.add_entry("respgate", KeyStoreEntry::PrivateKeyChain(entry));
    store.writer(password).write().map(Zeroizing::new).map_err(|cause| pack(&cause))
}

/// The file, in a program that cannot write it.
#[cfg(not(feature = "pkcs12"))]
pub(super) fn bytes(_issued: &Issued, _password: &[u8]) -> Result<Zeroizing<Vec<u8>>, P12Error> {
    Err(P12Error::NotBuilt)
}
