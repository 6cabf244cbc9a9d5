//! Where a certificate comes from: a file in PEM, DER or PKCS#12, or a server.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use thiserror::Error;
use zeroize::Zeroizing;

use super::host::{self, HostError};
use crate::identity::{Certificate, Unreadable};

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why there is no certificate.
#[derive(Debug, Error)]
pub(in crate::cli) enum SourceError {
    #[error("{path}: {cause}", path = .path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error("{path}: larger than {FILE_BYTES_MAX} bytes", path = .0.display())]
    TooLarge(PathBuf),
    #[error("{path}: the PEM in it is damaged: {cause}", path = .path.display())]
    Pem { path: PathBuf, cause: pem::Error },
    #[error("{path}: a certificate request, not a certificate: have it signed first", path = .0.display())]
    Request(PathBuf),
    #[error("{path}: there is no certificate in it", path = .0.display())]
    None(PathBuf),
    #[error("{what}: {cause}")]
    Unreadable { what: String, cause: Unreadable },
    #[error("{path}: neither PEM nor a certificate in DER ({cause}); if it is PKCS#12, say --password-file FILE", path = .path.display())]
    Neither { path: PathBuf, cause: Unreadable },
    #[error("{path}: {why}", path = .path.display())]
    P12 { path: PathBuf, why: String },
    #[error("{0}: there is no such file, and it is not HOST:PORT")]
    NoSuch(String),
    #[error("{what}: {cause}")]
    Host { what: String, cause: HostError },
}

/// The certificate of a file, or of a server if there is no file of that name.
pub(super) fn certificate(what: &str, password_file: Option<&Path>) -> Result<Certificate, SourceError> {
    let path = Path::new(what);
    if path.exists() {
        let chain = from_file(path, password_file)?;
        return read(what, chain.first().ok_or_else(|| SourceError::None(path.to_owned()))?);
    }
    let Some((host, port)) = host::split(what) else { return Err(SourceError::NoSuch(what.to_owned())) };
    let der = host::shown(host, port).map_err(|cause| SourceError::Host { what: what.to_owned(), cause })?;
    read(what, &der)
}

fn read(what: &str, der: &[u8]) -> Result<Certificate, SourceError> {
    Certificate::from_der(der).map_err(|cause| SourceError::Unreadable { what: what.to_owned(), cause })
}

/// All certificates of a file, at least one, in its order.
pub(in crate::cli) fn from_file(
    path: &Path,
    password_file: Option<&Path>,
) -> Result<Vec<CertificateDer<'static>>, SourceError> {
    let bytes = bytes(path)?;
    let has = |text: &str| memchr::memmem::find(&bytes, text.as_bytes()).is_some();
    if has("-----BEGIN ") {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let found = found.map_err(|cause| SourceError::Pem { path: path.to_owned(), cause })?;
        return match found.is_empty() {
            false => Ok(found),
            true if has("CERTIFICATE REQUEST-----") => Err(SourceError::Request(path.to_owned())),
            true => Err(SourceError::None(path.to_owned())),
        };
    }
    if let Some(password_file) = password_file {
        return packed(path, &bytes, &self::bytes(password_file)?);
    }
    match Certificate::from_der(&bytes) {
        Ok(_) => Ok(vec![bytes.to_vec().into()]),
        Err(cause) => Err(SourceError::Neither { path: path.to_owned(), cause }),
    }
}

fn bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    let failed = |cause| SourceError::Read { path: path.to_owned(), cause };
    let size = fs::metadata(path).map_err(failed)?.len();
    // With room for everything from the start, no copy is left behind by growing.
    let room = usize::try_from(size.min(FILE_BYTES_MAX)).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(SourceError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}

/// The chain that belongs to a PKCS#12 file's key, or else its certificates.
#[cfg(feature = "pkcs12")]
fn packed(path: &Path, bytes: &[u8], password: &[u8]) -> Result<Vec<CertificateDer<'static>>, SourceError> {
    use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12ImportPolicy};

    let failed = |why: String| SourceError::P12 { path: path.to_owned(), why };
    let password = password.strip_suffix(b"\n").unwrap_or(password);
    let password = password.strip_suffix(b"\r").unwrap_or(password);
    let password =
        std::str::from_utf8(password).map_err(|_| failed("the password is not UTF-8".to_owned()))?;
    let store = KeyStore::from_pkcs12(bytes, password, Pkcs12ImportPolicy::Relaxed)
        .map_err(|cause| failed(format!("not PKCS#12 with this password: {cause}")))?;
    let found: Vec<_> = match store.private_key_chain() {
        Some((_, chain)) => chain.certs().iter().map(|it| it.as_der().to_vec().into()).collect(),
        None => store
            .entries()
            .filter_map(|(_, entry)| match entry {
                KeyStoreEntry::Certificate(it) => Some(it.as_der().to_vec().into()),
                _ => None,
            })
            .collect(),
    };
    if found.is_empty() { Err(SourceError::None(path.to_owned())) } else { Ok(found) }
}

#[cfg(not(feature = "pkcs12"))]
fn packed(path: &Path, _bytes: &[u8], _password: &[u8]) -> Result<Vec<CertificateDer<'static>>, SourceError> {
    let why = "this respgate was built without the feature pkcs12".to_owned();
    Err(SourceError::P12 { path: path.to_owned(), why })
}
