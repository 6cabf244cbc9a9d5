//! The keystore: named secrets in one encrypted file. Owns what is in it and
//! how it is sealed; where the file is and how it is replaced is `disk`'s.
//!
//! ```text
//! "RGKS" version kind memory_kib passes lanes salt nonce | sealed: count, then name and secret of each | tag
//!   4       1     1       4        4      1    16    12  |
//! ```
//!
//! AES-256-GCM seals the secrets, with everything before them as additional
//! data, so no byte of the file can change unseen. With a password the key is
//! argon2id's. Without one it is made of the salt in the file: that only keeps
//! the secrets from being seen in passing, and the file's mode is what protects
//! them. Each time it is written it gets a new salt, thus a new key.

mod disk;

use std::collections::BTreeMap;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest;
use zeroize::Zeroizing;

use crate::secret::Secret;
pub use disk::{DiskError, FILE_BYTES_MAX, Held, create, read};

/// Secrets in one keystore.
const SECRETS_MAX: usize = 1024;
/// Bytes of a secret's name.
const NAME_BYTES_MAX: usize = 128;
/// Bytes of one secret; a private key has a few thousand.
pub const SECRET_BYTES_MAX: usize = 64 << 10;

const MAGIC: &[u8; 4] = b"RGKS";
const VERSION: u8 = 1;
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const HEADER_BYTES: usize = 4 + 1 + 1 + 4 + 4 + 1 + SALT_BYTES + NONCE_BYTES;

/// What the making of a key costs when a keystore is written: OWASP's second
/// choice of 2023 and half as much again.
const WORK: Work = Work { memory_kib: 32 << 10, passes: 3, lanes: 1 };
/// What it may cost when one is read: a file that asks for more is hostile.
const WORK_MAX: Work = Work { memory_kib: 256 << 10, passes: 10, lanes: 4 };

/// What argon2id is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Work {
    memory_kib: u32,
    passes: u32,
    lanes: u8,
}

/// The secrets of an opened keystore.
#[derive(Debug, Default, Clone)]
pub struct Keystore {
    secrets: BTreeMap<String, Secret>,
}

/// Why a keystore cannot be opened or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeystoreError {
    /// The file is something else.
    #[error("it is not a keystore")]
    NotAKeystore,
    /// A later respgate wrote it.
    #[error("it is a keystore of version {found}, expected {VERSION}")]
    Version {
        /// The version in the file.
        found: u8,
    },
    /// It asks for more than a keystore needs.
    #[error("opening it would take more work or memory than is allowed")]
    Costly,
    /// It has a password, and none was given.
    #[error("it has a password, and none was given")]
    PasswordNeeded,
    /// A password was given for one that has none: it may have been replaced.
    #[error("a password was given, and it has none: it may not be the keystore that is meant")]
    NoPassword,
    /// The seal does not hold.
    #[error("the password is wrong, or the file was changed")]
    Sealed,
    /// The seal of a keystore without a password does not hold.
    #[error("the file was changed or damaged")]
    Damaged,
    /// The name cannot be one.
    #[error("found {found:?}, expected a name of 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 _ . : @ / -")]
    BadName {
        /// The name, cut if it is long.
        found: String,
    },
    /// The secret has no bytes.
    #[error("the secret is empty")]
    EmptySecret,
    /// The secret is too long.
    #[error("the secret is larger than {SECRET_BYTES_MAX} bytes")]
    LargeSecret,
    /// There are too many, or they are too large together.
    #[error("the keystore is full: at most {SECRETS_MAX} secrets, and {FILE_BYTES_MAX} bytes in all")]
    Full,
    /// The system gave no randomness.
    #[error("the system gives no random bytes")]
    NoRandomness,
}

impl KeystoreError {
    /// The name of the cause, which does not change from version to version.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::NotAKeystore => "not_a_keystore",
            Self::Version { .. } => "keystore_version",
            Self::Costly => "costly_keystore",
            Self::PasswordNeeded => "keystore_password_needed",
            Self::NoPassword => "keystore_without_password",
            Self::Sealed => "wrong_keystore_password",
            Self::Damaged => "damaged_keystore",
            Self::BadName { .. } => "secret_name",
            Self::EmptySecret => "empty_secret",
            Self::LargeSecret => "large_secret",
            Self::Full => "full_keystore",
            Self::NoRandomness => "no_randomness",
        }
    }

    /// What to do about it, if that can be said in a sentence.
    #[must_use]
    pub fn way_out(&self) -> Option<String> {
        match self {
            Self::PasswordNeeded => Some(format!(
                "set {} to the path of a file with the password in it",
                super::KEYSTORE_PASSWORD_FILE_VARIABLE
            )),
            Self::NoPassword => {
                Some("give it one with respgate keystore passwd, or give none at start".to_owned())
            }
            _ => None,
        }
    }
}

impl Keystore {
    /// The secret of that name.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(name)
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.secrets.keys().map(String::as_str)
    }

    /// Puts a secret in; one of the same name is replaced.
    ///
    /// # Errors
    /// If the name or the secret cannot be one.
    pub fn put(&mut self, name: &str, secret: Secret) -> Result<(), KeystoreError> {
        if !is_name(name) {
            return Err(KeystoreError::BadName { found: name.chars().take(NAME_BYTES_MAX).collect() });
        }
        match secret.expose().len() {
            0 => return Err(KeystoreError::EmptySecret),
            1..=SECRET_BYTES_MAX => {}
            _ => return Err(KeystoreError::LargeSecret),
        }
        self.secrets.insert(name.to_owned(), secret);
        if self.secrets.len() > SECRETS_MAX { Err(KeystoreError::Full) } else { Ok(()) }
    }

    /// Takes a secret out; whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        self.secrets.remove(name).is_some()
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// If it would be too large, or the system gives no random bytes.
    pub fn seal(&self, password: Option<&Secret>) -> Result<Vec<u8>, KeystoreError> {
        let mut salt_and_nonce = [0; SALT_BYTES + NONCE_BYTES];
        getrandom::fill(&mut salt_and_nonce).map_err(|_| KeystoreError::NoRandomness)?;
        let mut file = Vec::with_capacity(HEADER_BYTES);
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&[VERSION, u8::from(password.is_some())]);
        file.extend_from_slice(&WORK.memory_kib.to_be_bytes());
        file.extend_from_slice(&WORK.passes.to_be_bytes());
        file.push(WORK.lanes);
        file.extend_from_slice(&salt_and_nonce);

        let header = Header::read(&file).ok_or(KeystoreError::NotAKeystore)?;
        let key = header.key(password)?;
        let mut sealed = self.encode();
        key.seal_in_place_append_tag(header.nonce(), Aad::from(&file), &mut *sealed)
            .map_err(|_| KeystoreError::Full)?;
        file.extend_from_slice(&sealed);
        if file.len() > FILE_BYTES_MAX { Err(KeystoreError::Full) } else { Ok(file) }
    }

    /// Reads the bytes of the file.
    ///
    /// # Errors
    /// If they are not a keystore that the password opens.
    pub fn open(file: &[u8], password: Option<&Secret>) -> Result<Self, KeystoreError> {
        let header = Header::read(file).ok_or(KeystoreError::NotAKeystore)?;
        if header.version != VERSION {
            return Err(KeystoreError::Version { found: header.version });
        }
        match (header.has_password, password) {
            (true, None) => return Err(KeystoreError::PasswordNeeded),
            (false, Some(_)) => return Err(KeystoreError::NoPassword),
            _ => {}
        }
        let key = header.key(password)?;
        let (additional, sealed) = file.split_at(HEADER_BYTES);
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let unopened = if header.has_password { KeystoreError::Sealed } else { KeystoreError::Damaged };
        let open = key.open_in_place(header.nonce(), Aad::from(additional), &mut sealed);
        let open = open.map_err(|_| unopened)?;
        Self::decode(open).ok_or(KeystoreError::Damaged)
    }

    /// Whether the bytes are a keystore with a password.
    ///
    /// # Errors
    /// If they are not a keystore.
    pub fn has_password(file: &[u8]) -> Result<bool, KeystoreError> {
        Header::read(file).map(|header| header.has_password).ok_or(KeystoreError::NotAKeystore)
    }

    /// ```text
    /// count:2, then of each: length of the name:1, name, length of the secret:4, secret
    /// ```
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let bytes: usize = self.secrets.iter().map(|(name, it)| 5 + name.len() + it.expose().len()).sum();
        // With room for everything, no copy is left behind by growing.
        let mut out = Zeroizing::new(Vec::with_capacity(2 + bytes + AES_256_GCM.tag_len()));
        // `put` holds the bounds, so the lengths fit.
        out.extend_from_slice(&(self.secrets.len() as u16).to_be_bytes());
        for (name, secret) in &self.secrets {
            out.push(name.len() as u8);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(&(secret.expose().len() as u32).to_be_bytes());
            out.extend_from_slice(secret.expose());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let count = u16::from_be_bytes(*take_array(&mut rest)?);
        let mut keystore = Self::default();
        for _ in 0..count {
            let [length] = *take_array(&mut rest)?;
            let name = std::str::from_utf8(take(&mut rest, length.into())?).ok()?;
            let length = u32::from_be_bytes(*take_array(&mut rest)?);
            let secret = take(&mut rest, usize::try_from(length).ok()?)?;
            keystore.put(name, Secret::new(secret.to_vec())).ok()?;
        }
        rest.is_empty().then_some(keystore)
    }
}

/// What stands before the secrets.
struct Header<'a> {
    version: u8,
    has_password: bool,
    work: Work,
    salt: &'a [u8; SALT_BYTES],
    nonce: &'a [u8; NONCE_BYTES],
}

impl<'a> Header<'a> {
    fn read(file: &'a [u8]) -> Option<Self> {
        let mut rest = file.strip_prefix(MAGIC)?;
        let [version, kind] = *take_array(&mut rest)?;
        let work = Work {
            memory_kib: u32::from_be_bytes(*take_array(&mut rest)?),
            passes: u32::from_be_bytes(*take_array(&mut rest)?),
            lanes: take_array::<1>(&mut rest)?[0],
        };
        let has_password = match kind {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Self {
            version,
            has_password,
            work,
            salt: take_array(&mut rest)?,
            nonce: take_array(&mut rest)?,
        })
    }

    fn nonce(&self) -> Nonce {
        Nonce::assume_unique_for_key(*self.nonce)
    }

    fn key(&self, password: Option<&Secret>) -> Result<LessSafeKey, KeystoreError> {
        let mut key = Zeroizing::new([0; 32]);
        match password {
            Some(password) => self.work.derive(password, self.salt, &mut key)?,
            None => {
                let text = [b"respgate keystore without a password".as_slice(), self.salt].concat();
                key.copy_from_slice(digest::digest(&digest::SHA256, &text).as_ref());
            }
        }
        // The key has the length that AES-256 wants.
        let key = UnboundKey::new(&AES_256_GCM, &*key).map_err(|_| KeystoreError::Costly)?;
        Ok(LessSafeKey::new(key))
    }
}

impl Work {
    fn derive(
        self,
        password: &Secret,
        salt: &[u8; SALT_BYTES],
        key: &mut [u8; 32],
    ) -> Result<(), KeystoreError> {
        let most = WORK_MAX;
        if self.memory_kib > most.memory_kib || self.passes > most.passes || self.lanes > most.lanes {
            return Err(KeystoreError::Costly);
        }
        let params = Params::new(self.memory_kib, self.passes, self.lanes.into(), Some(key.len()));
        let argon2 =
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(|_| KeystoreError::Costly)?);
        argon2.hash_password_into(password.expose(), salt, key).map_err(|_| KeystoreError::Costly)
    }
}

/// Plain enough for a configuration, a shell and a log.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:@/-".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn take_array<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests;
