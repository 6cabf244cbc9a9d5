//! Stands for `pkcs12` in a build without PKCS#12: says so.

use std::path::Path;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::cause::Cause;
use super::secret_cause::SecretCause;
use super::secrets::Keys;
use crate::secret::Secret;

/// A chain, leaf first, and its key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Refuses the file.
pub(super) fn identity(_: &Path, _: &[u8], _: Option<&Secret>, _: Keys) -> Result<Identity, Cause> {
    Err(SecretCause::NoPkcs12.into())
}
