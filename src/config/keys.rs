//! A private key from a PEM file, encrypted or not, whatever text stands around
//! it. Knows forms and bounds; not what the key is for.

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::cause::Cause;
use super::material::{Content, Files};
use super::problem::{At, Notes};
use super::secret_cause::SecretCause;
use super::secrets::{Keys, SecretFile};
use crate::secret::Secret;

/// PBKDF2's rounds; OWASP's advice of 2023 is 600 000 to 1 300 000.
const ROUNDS_MAX: u32 = 3_000_000;
/// Memory of scrypt; what OpenSSL and OWASP ask for is 16 to 128 MiB.
const SCRYPT_BYTES_MAX: u64 = 256 << 20;
/// Memory of scrypt times the number of times that it is filled.
const SCRYPT_WORK_MAX: u64 = 1 << 30;

const BEGIN_ENCRYPTED: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END_ENCRYPTED: &[u8] = b"-----END ENCRYPTED PRIVATE KEY-----";
/// OpenSSL's form before PKCS#8: one round of MD5 is between the password and the key.
const LEGACY: &[u8] = b"Proc-Type: 4,ENCRYPTED";

/// Reads the key of a file, with the password that is written for it.
pub(super) fn private_key(
    path: &str,
    at: &At,
    password: &SecretFile,
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Option<(PrivateKeyDer<'static>, std::path::PathBuf)> {
    let content = files.secret(path, at, notes);
    let secret = password.optional(files, notes);
    let (content, secret) = (content?, secret.ok()?);
    let found = notes.ok(at, find(&content))?;
    let key = match (found, secret) {
        (Found::Plain(key), None) => key,
        (Found::Plain(key), Some(_)) => {
            let cause = SecretCause::NeedlessPassword { path: content.path.clone() };
            notes.warn(password.at().unwrap_or(at), cause.into());
            key
        }
        (Found::Encrypted(der), secret) => {
            notes.ok(at, decrypt(&der, secret.as_ref(), &content, password.keys()))?
        }
    };
    Some((key, content.path.clone()))
}

/// The one key of a file.
enum Found {
    Plain(PrivateKeyDer<'static>),
    /// PKCS#8's `EncryptedPrivateKeyInfo`.
    Encrypted(Vec<u8>),
}

fn find(content: &Content) -> Result<Found, Cause> {
    let path = || content.path.clone();
    if memchr::memmem::find(&content.bytes, LEGACY).is_some() {
        return Err(SecretCause::LegacyKey { path: path() }.into());
    }
    let mut encrypted = encrypted_sections(content)?;
    let plain: Result<Vec<_>, _> = PrivateKeyDer::pem_slice_iter(content.pem()).collect();
    let mut plain = plain.map_err(|error| bad_pem(content, &error))?;
    match (plain.len(), encrypted.len()) {
        (0, 0) => Err(Cause::NoKey { path: path() }),
        (1, 0) => plain.pop().map(Found::Plain).ok_or_else(|| Cause::NoKey { path: path() }),
        (0, 1) => encrypted.pop().map(Found::Encrypted).ok_or_else(|| Cause::NoKey { path: path() }),
        (plain, encrypted) => Err(Cause::SeveralKeys { path: path(), count: plain + encrypted }),
    }
}

/// The sections that rustls' reader passes over.
fn encrypted_sections(content: &Content) -> Result<Vec<Vec<u8>>, Cause> {
    let bad = |why| Cause::BadPem { path: content.path.clone(), why };
    let starts = memchr::memmem::find_iter(&content.bytes, BEGIN_ENCRYPTED);
    let sections = starts.map(|start| {
        let rest = &content.bytes[start..];
        let end =
            memchr::memmem::find(rest, END_ENCRYPTED).ok_or_else(|| bad("a section has no END line"))?;
        let section = ::pem::parse(&rest[..end + END_ENCRYPTED.len()]);
        section.map(::pem::Pem::into_contents).map_err(|_| bad("a section is not base64"))
    });
    sections.collect()
}

fn decrypt(
    der: &[u8],
    password: Option<&Secret>,
    content: &Content,
    keys: Keys,
) -> Result<PrivateKeyDer<'static>, Cause> {
    let path = || content.path.clone();
    // PBES1 and unknown ciphers are not read at all.
    let Ok(info) = EncryptedPrivateKeyInfoRef::try_from(der) else {
        return Err(SecretCause::UnsupportedCipher { path: path() }.into());
    };
    let EncryptionScheme::Pbes2(scheme) = &info.encryption_algorithm else {
        return Err(SecretCause::UnsupportedCipher { path: path() }.into());
    };
    if !is_meaningful(&scheme.kdf) {
        return Err(SecretCause::UnsupportedCipher { path: path() }.into());
    }
    if !is_affordable(&scheme.kdf) {
        return Err(SecretCause::CostlyKey { path: path() }.into());
    }
    let Some(password) = password else {
        return Err(SecretCause::EncryptedKey { path: path(), keys }.into());
    };
    let opened = info.decrypt(password.expose());
    let opened = opened.map_err(|_| SecretCause::WrongPassword { path: path() })?;
    Ok(PrivatePkcs8KeyDer::from(opened.as_bytes().to_vec()).into())
}

/// Whether the numbers are such as the derivation is defined for: the library counts on it.
fn is_meaningful(kdf: &Kdf) -> bool {
    match kdf {
        Kdf::Pbkdf2(it) => it.iteration_count > 0,
        Kdf::Scrypt(it) => {
            it.cost_parameter > 1
                && it.cost_parameter.is_power_of_two()
                && it.block_size > 0
                && it.parallelization > 0
        }
        _ => false,
    }
}

/// Whether the work that the file asks for is that of a key and not of an attack.
fn is_affordable(kdf: &Kdf) -> bool {
    match kdf {
        Kdf::Pbkdf2(it) => it.iteration_count <= ROUNDS_MAX,
        Kdf::Scrypt(it) => {
            let memory = it.cost_parameter.saturating_mul(u64::from(it.block_size)).saturating_mul(128);
            memory <= SCRYPT_BYTES_MAX
                && memory.saturating_mul(u64::from(it.parallelization)) <= SCRYPT_WORK_MAX
        }
        _ => false,
    }
}

/// Says what is wrong without quoting the file, as the error's own text would.
pub(super) fn bad_pem(content: &Content, error: &pem::Error) -> Cause {
    let why = match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is not well-formed",
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "it is damaged",
    };
    Cause::BadPem { path: content.path.clone(), why }
}
