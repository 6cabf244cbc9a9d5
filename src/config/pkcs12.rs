//! A certificate chain and its key from a PKCS#12 file. Knows what a file may
//! cost to open, and which of its certificates belong to the key.
//!
//! The bags are decoded by `p12_keystore`. A hostile file is stopped before its
//! bags are opened, each of which may ask for a million rounds: by its MAC,
//! which needs the password, or, without a MAC, by nothing in it being encrypted.

use std::path::Path;

use p12_keystore::{CertificateBag, Pkcs12Archive};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::cause::Cause;
use super::secret_cause::SecretCause;
use super::secrets::Keys;
use crate::secret::Secret;

/// A key with a chain of RSA-4096 certificates has 10 KB.
const FILE_BYTES_MAX: usize = 256 << 10;
/// Certificates of a chain.
const CHAIN_MAX: usize = 16;

/// DER of the identifiers without which nothing in a file is encrypted.
const ENCRYPTED_DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x06];
const SHROUDED_KEY: &[u8] = &[0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x02];
/// A secret bag's contents may be encrypted too, and nothing here needs one.
const SECRET: &[u8] = &[0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x05];

/// A chain, leaf first, and its key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Reads the file's one key and the certificates that lead from it upwards.
pub(super) fn identity(
    path: &Path,
    bytes: &[u8],
    password: Option<&Secret>,
    keys: Keys,
) -> Result<Identity, Cause> {
    let bad = |why| Cause::from(SecretCause::BadPkcs12 { path: path.to_owned(), why });
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Cause::TooLarge { path: path.to_owned(), most: FILE_BYTES_MAX });
    }
    let has_mac = has_mac(bytes).ok_or_else(|| bad("it is not a PKCS#12 file in DER"))?;
    let has = |identifier| memchr::memmem::find(bytes, identifier).is_some();
    let is_encrypted = has(ENCRYPTED_DATA) || has(SHROUDED_KEY) || has(SECRET);
    match (has_mac, is_encrypted, password) {
        (false, true, _) => return Err(bad("it is encrypted and has no MAC")),
        (true, _, None) => return Err(SecretCause::EncryptedPkcs12 { path: path.to_owned(), keys }.into()),
        _ => {}
    }
    let wrong = || Cause::from(SecretCause::WrongPassword { path: path.to_owned() });
    // The standard knows passwords as text.
    let text = password.map_or(Ok(""), |password| std::str::from_utf8(password.expose()));
    let text = text.map_err(|_| wrong())?;
    // Whoever knows the password can write parameters on which the decoder panics (scrypt with a
    // cost of 0): a reload must survive that.
    let archive = std::panic::catch_unwind(|| Pkcs12Archive::from_pkcs12(bytes, text));
    let archive = archive.map_err(|_| bad("it is damaged"))?;
    let archive = archive.map_err(|error| match error {
        p12_keystore::error::Error::MacError(_) => wrong(),
        p12_keystore::error::Error::UnsupportedEncryptionScheme => {
            bad("its encryption or its MAC is not supported")
        }
        p12_keystore::error::Error::InvalidParameters => {
            bad("opening it would take more work than is allowed")
        }
        _ => bad("it is damaged"),
    })?;
    let key = match archive.keys.as_slice() {
        [] => return Err(bad("it has no private key")),
        [key] => key,
        several => return Err(Cause::SeveralKeys { path: path.to_owned(), count: several.len() }),
    };
    let id = key.local_key_id.as_ref().map(AsRef::as_ref);
    let chain = chain(id, &archive.certs).ok_or_else(|| Cause::NoCertificate { path: path.to_owned() })?;
    Ok((chain, PrivatePkcs8KeyDer::from(key.key.as_der().to_vec()).into()))
}

/// Whether a MAC follows the contents; nothing if the file is something else.
///
/// ```text
/// PFX ::= SEQUENCE { version INTEGER, authSafe ContentInfo, macData MacData OPTIONAL }
/// ```
fn has_mac(bytes: &[u8]) -> Option<bool> {
    use x509_parser::der_parser::asn1_rs::{Any, FromDer, Integer, Sequence};
    let (rest, pfx) = Sequence::from_der(bytes).ok()?;
    let (body, _version) = Integer::from_der(&pfx.content).ok()?;
    let (mac, _contents) = Any::from_der(body).ok()?;
    rest.is_empty().then_some(!mac.is_empty())
}

/// The key's own certificate, and those that lead upwards from it by name. Whether they
/// belong together is seen when they are used: a key that does not fit is refused.
fn chain(id: Option<&[u8]>, bags: &[CertificateBag]) -> Option<Vec<CertificateDer<'static>>> {
    let is_own = |bag: &&CertificateBag| id.is_some() && bag.local_key_id.as_deref() == id;
    let mut last = bags.iter().find(is_own).or_else(|| bags.first())?.cert.as_der();
    let mut chain = vec![CertificateDer::from(last.to_vec())];
    while chain.len() < CHAIN_MAX {
        let Some(issuer) = bags.iter().map(|bag| bag.cert.as_der()).find(|above| issued(above, last)) else {
            break;
        };
        if chain.iter().any(|certificate| certificate.as_ref() == issuer) {
            break;
        }
        chain.push(CertificateDer::from(issuer.to_vec()));
        last = issuer;
    }
    Some(chain)
}

/// Whether one certificate's subject is the other's issuer, byte for byte.
fn issued(above: &[u8], below: &[u8]) -> bool {
    match (X509Certificate::from_der(above), X509Certificate::from_der(below)) {
        (Ok((_, above)), Ok((_, below))) => above.subject().as_raw() == below.issuer().as_raw(),
        _ => false,
    }
}
