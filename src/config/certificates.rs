//! A listener's certificate and key, and what is asked of any certificate: from
//! PEM files to what TLS runs with, with everything that would go wrong later
//! said now. Whom the listener trusts is in `trust`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;
use time::macros::format_description;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use super::cause::Cause;
use super::file::ListenerFile;
use super::material::{Content, Files};
use super::problem::{At, Listed, Notes};
use super::secret_cause::SecretCause;
use super::source::Written;
use super::{keys, pkcs12, trust};
use crate::io::tls::{self, RSA_BITS_MIN, TlsError, TlsSettings};

/// How long before a certificate's end a warning begins.
const EXPIRES_SOON_SECONDS: i64 = 30 * 24 * 60 * 60;

/// Builds what the listener needs for TLS, or notes why it cannot be built.
pub(super) fn tls_settings(
    written: &ListenerFile,
    files: &mut Files<'_>,
    now: i64,
    notes: &mut Notes,
) -> Option<TlsSettings> {
    let server = server(written, files, now, notes);
    let trust = trust::settings(&written.trust, files, now, notes);
    Some(TlsSettings {
        server: server?,
        min_version: written.min_version,
        client_auth: written.trust.client_auth,
        trust: trust?,
        resumption: written.trust.resumption,
        keep_server_names: written.trust.keep_server_names,
    })
}

/// The server's own, from two PEM files or one of PKCS#12.
fn server(
    written: &ListenerFile,
    files: &mut Files<'_>,
    now: i64,
    notes: &mut Notes,
) -> Option<Arc<CertifiedKey>> {
    let stray = match &written.keystore {
        Some(_) => written.key_password.at().map(|at| (at, SecretCause::BesideKeystore)),
        None => written.keystore_password.at().map(|at| (at, SecretCause::NoPkcs12File)),
    };
    if let Some((at, cause)) = stray {
        notes.error(at, cause.into());
    }
    let (chain, certificate, key, path, at) = match &written.keystore {
        Some(keystore) => {
            let (chain, key, path) = from_pkcs12(written, keystore, files, now, notes)?;
            (chain, path.clone(), key, path, &keystore.at)
        }
        None => {
            let chain = written.certificate.as_ref().and_then(|path| chain(path, files, now, notes));
            let key = written.key.as_ref().and_then(|it| {
                let (key, path) = keys::private_key(&it.value, &it.at, &written.key_password, files, notes)?;
                Some((key, path, &it.at))
            });
            let ((chain, certificate), (key, path, at)) = (chain?, key?);
            (chain, certificate, key, path, at)
        }
    };
    certified(chain, certificate, key, path, at, notes)
}

/// A chain of one of the gateway's own certificates, and the file that it is in.
pub(super) fn chain(
    written: &Written<String>,
    files: &mut Files<'_>,
    now: i64,
    notes: &mut Notes,
) -> Option<(Vec<CertificateDer<'static>>, PathBuf)> {
    let content = files.public(&written.value, &written.at, notes)?;
    let chain = notes.ok(&written.at, certificates(&content))?;
    Some((checked(chain, &content.path, now, &written.at, notes)?, content.path.clone()))
}

/// A chain and its key, of these files, that belong together.
pub(super) fn certified(
    chain: Vec<CertificateDer<'static>>,
    certificate: PathBuf,
    key: PrivateKeyDer<'static>,
    path: PathBuf,
    at: &At,
    notes: &mut Notes,
) -> Option<Arc<CertifiedKey>> {
    let certified = tls::certified_key(chain, key).map_err(|error| match error {
        TlsError::KeyMismatch => Cause::KeyMismatch { path, certificate },
        TlsError::KeyUnusable => Cause::UnusableKey { path },
        TlsError::Certificate(why) => {
            Cause::BadCertificate { path: certificate, number: 1, why: why.to_string() }
        }
        other => Cause::UnusableTls { why: other.to_string() },
    });
    notes.ok(at, certified)
}

fn from_pkcs12(
    written: &ListenerFile,
    keystore: &Written<String>,
    files: &mut Files<'_>,
    now: i64,
    notes: &mut Notes,
) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, PathBuf)> {
    let content = files.secret(&keystore.value, &keystore.at, notes);
    let password = written.keystore_password.optional(files, notes);
    let (content, password) = (content?, password.ok()?);
    let keys = written.keystore_password.keys();
    let identity = pkcs12::identity(&content.path, &content.bytes, password.as_ref(), keys);
    let (chain, key) = notes.ok(&keystore.at, identity)?;
    Some((checked(chain, &content.path, now, &keystore.at, notes)?, key, content.path.clone()))
}

/// A server's chain, of which each certificate has been looked at.
fn checked(
    chain: Vec<CertificateDer<'static>>,
    path: &Path,
    now: i64,
    at: &At,
    notes: &mut Notes,
) -> Option<Vec<CertificateDer<'static>>> {
    let mut is_whole = true;
    for (index, der) in chain.iter().enumerate() {
        let numbered = Numbered { path, number: index + 1, der };
        is_whole &= check_certificate(&numbered, Role::Server, now, at, notes).is_some();
    }
    is_whole.then_some(chain)
}

/// What a certificate is for.
#[derive(Clone, Copy)]
pub(super) enum Role {
    Server,
    /// Trusted for what it says: WebPKI does not ask how long.
    ClientCa,
    /// A client's own, trusted as it is.
    Client,
    /// As a client's CA, of the backend.
    BackendCa,
}

/// A certificate and where it came from.
pub(super) struct Numbered<'a> {
    pub(super) path: &'a Path,
    pub(super) number: usize,
    pub(super) der: &'a CertificateDer<'static>,
}

impl Numbered<'_> {
    pub(super) fn parse(&self) -> Result<X509Certificate<'_>, Cause> {
        match X509Certificate::from_der(self.der) {
            Ok(([], certificate)) => Ok(certificate),
            Ok(_) => Err(self.unusable("it has bytes after its end")),
            Err(_) => Err(self.unusable("it is not readable as X.509")),
        }
    }

    fn listed(&self, role: Role) -> Listed {
        let role = match role {
            Role::Server => "certificate",
            Role::ClientCa => "client_ca",
            Role::Client => "client_certificates",
            Role::BackendCa => "ca",
        };
        Listed { path: self.path.to_owned(), number: self.number, role, der: self.der.to_vec() }
    }

    pub(super) fn unusable(&self, why: &str) -> Cause {
        Cause::BadCertificate { path: self.path.to_owned(), number: self.number, why: why.to_owned() }
    }
}

/// What holds for every certificate: it can be read, its key is strong, and it
/// is of today, which is only a warning since it may be replaced in time.
pub(super) fn check_certificate(
    it: &Numbered<'_>,
    role: Role,
    now: i64,
    at: &At,
    notes: &mut Notes,
) -> Option<()> {
    let certificate = notes.ok(at, it.parse())?;
    notes.list(it.listed(role));
    if certificate.version() != X509Version::V3 {
        notes.error(at, it.unusable("it is older than X.509 v3"));
        return None;
    }
    let (path, number) = (it.path.to_owned(), it.number);
    let (starts, ends) = (&certificate.validity().not_before, &certificate.validity().not_after);
    if ends.timestamp() < now {
        let on = date(ends.timestamp());
        notes.warn(
            at,
            match role {
                Role::Server => Cause::CertificateExpired { path, number, on },
                Role::Client => Cause::PinnedExpired { path, number, on },
                Role::ClientCa | Role::BackendCa => Cause::CaExpired { path, number, on },
            },
        );
    } else if starts.timestamp() > now {
        notes.warn(at, Cause::CertificateNotYetValid { path, number, on: date(starts.timestamp()) });
    } else if ends.timestamp().saturating_sub(now) < EXPIRES_SOON_SECONDS {
        notes.warn(at, Cause::CertificateExpires { path, number, on: date(ends.timestamp()) });
    }
    match tls::rsa_bits(&certificate) {
        Some(bits) if bits < RSA_BITS_MIN => {
            let path = it.path.to_owned();
            notes.error(at, Cause::WeakKey { path, number, bits, least: RSA_BITS_MIN });
            None
        }
        _ => Some(()),
    }
}

pub(super) fn certificates(content: &Content) -> Result<Vec<CertificateDer<'static>>, Cause> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content.pem()).collect();
    let found = found.map_err(|error| keys::bad_pem(content, &error))?;
    if found.is_empty() { Err(Cause::NoCertificate { path: content.path.clone() }) } else { Ok(found) }
}

/// A time, in seconds since 1970, to the minute.
pub(super) fn date(timestamp: i64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    OffsetDateTime::from_unix_timestamp(timestamp)
        .ok()
        .and_then(|time| time.format(format).ok())
        .unwrap_or_else(|| "an unreadable date".to_owned())
}
