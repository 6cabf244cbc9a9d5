//! What can be wrong with keys, passwords and the files they are kept in: the
//! part of `cause` that is about secrets.
//!
//! No variant carries a secret, or bytes of a file that holds one.

use std::path::PathBuf;

use super::cause::{Cause, Shell};
use super::keystore::KeystoreError;
use super::secrets::Keys;

/// One thing that is wrong or doubtful.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the error texts say what the variants and their fields are")]
pub enum SecretCause {
    // Where a secret comes from.
    #[error("no password")]
    NoSecret { keys: Keys },
    #[error("a second source of the password, expected only one")]
    SecondSecret { keys: Keys },
    #[error("the password stands in the configuration file")]
    InlineSecret { keys: Keys },
    #[error("a secret of the keystore is asked for, and no keystore is named")]
    NoKeystore,
    // Not the name that was asked for: it may be the secret itself, in the wrong key.
    #[error("the keystore has no secret of this name")]
    UnknownSecret { near: Vec<String> },
    #[error("{}: {why}", path.display())]
    Keystore { path: PathBuf, why: KeystoreError },
    #[error("both {file} and {variable} are set, expected one")]
    TwoKeystorePasswords { file: &'static str, variable: &'static str },

    // Keys that are encrypted.
    #[error("the private key in {} is encrypted, and no password for it is set", path.display())]
    EncryptedKey { path: PathBuf, keys: Keys },
    #[error("the private key in {} is encrypted in the old way (Proc-Type: 4,ENCRYPTED)", path.display())]
    LegacyKey { path: PathBuf },
    #[error("the private key in {} is encrypted in a way that is not supported, or damaged", path.display())]
    UnsupportedCipher { path: PathBuf },
    #[error("{} is not opened by its password: the password is wrong, or the file is damaged", path.display())]
    WrongPassword { path: PathBuf },
    #[error("opening {} would take more work or memory than is allowed", path.display())]
    CostlyKey { path: PathBuf },
    #[error("the private key in {} is not encrypted: its password is not used", path.display())]
    NeedlessPassword { path: PathBuf },

    // PKCS#12.
    #[error("the keystore takes the place of this key")]
    BesideKeystore,
    #[error("there is no keystore beside it that it could open")]
    NoPkcs12File,
    #[error("this build of respgate does not read PKCS#12")]
    NoPkcs12,
    #[error("{} cannot be read as PKCS#12: {why}", path.display())]
    BadPkcs12 { path: PathBuf, why: &'static str },
    #[error("{} is encrypted, and no password for it is set", path.display())]
    EncryptedPkcs12 { path: PathBuf, keys: Keys },

    // Who else can reach a file.
    #[error("the configuration holds a password and can be read by others than its owner (mode {mode:04o})")]
    ReadableConfiguration { path: PathBuf, mode: u32 },
    #[error("{} can be written by others than its owner (mode {mode:04o})", path.display())]
    WritableFile { path: PathBuf, mode: u32 },
    #[error("the directory {} can be written by others than its owner (mode {mode:04o})", path.display())]
    WritableDirectory { path: PathBuf, mode: u32 },
    #[error("{} belongs to the user with the id {owner}, who is neither root nor this one", path.display())]
    ForeignFile { path: PathBuf, owner: u32 },
}

impl SecretCause {
    /// The name of the cause, which does not change from version to version.
    #[must_use]
    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::NoSecret { .. } => "no_password",
            Self::SecondSecret { .. } => "second_password",
            Self::InlineSecret { .. } => "inline_password",
            Self::NoKeystore => "no_keystore",
            Self::UnknownSecret { .. } => "unknown_secret",
            Self::Keystore { why, .. } => why.id(),
            Self::TwoKeystorePasswords { .. } => "two_keystore_passwords",
            Self::EncryptedKey { .. } => "encrypted_key",
            Self::LegacyKey { .. } => "legacy_key",
            Self::UnsupportedCipher { .. } => "unsupported_cipher",
            Self::WrongPassword { .. } => "wrong_key_password",
            Self::CostlyKey { .. } => "costly_key",
            Self::NeedlessPassword { .. } => "needless_password",
            Self::BesideKeystore => "beside_keystore",
            Self::NoPkcs12File => "no_pkcs12_file",
            Self::NoPkcs12 => "no_pkcs12",
            Self::BadPkcs12 { .. } => "pkcs12",
            Self::EncryptedPkcs12 { .. } => "encrypted_pkcs12",
            Self::ReadableConfiguration { .. } => "readable_configuration",
            Self::WritableFile { .. } => "writable_file",
            Self::WritableDirectory { .. } => "writable_directory",
            Self::ForeignFile { .. } => "foreign_file",
        }
    }

    /// What to do about it, if that can be said in a sentence.
    #[must_use]
    pub(super) fn way_out(&self) -> Option<String> {
        Some(match self {
            Self::NoSecret { keys } => format!(
                "for example: {} = \"app.password\", {} = \"APP_PASSWORD\" or {} = \"app\"",
                keys.file, keys.env, keys.keystore
            ),
            Self::SecondSecret { keys } => {
                format!("keep one of {}, {}, {} and {}", keys.file, keys.env, keys.keystore, keys.inline)
            }
            Self::InlineSecret { keys } => format!(
                "whoever reads the file reads it: use {}, {} or {}",
                keys.file, keys.env, keys.keystore
            ),
            Self::NoKeystore => {
                "name it at the top of the file: keystore = \"respgate.keystore\"; respgate keystore create makes one"
                    .to_owned()
            }
            Self::UnknownSecret { near } if near.is_empty() => {
                "respgate keystore list names those that are there, respgate keystore add puts one in".to_owned()
            }
            Self::UnknownSecret { near } => format!("did you mean {}?", near.join(" or ")),
            Self::Keystore { why, .. } => return why.way_out(),
            Self::EncryptedKey { keys, .. } | Self::EncryptedPkcs12 { keys, .. } => format!(
                "set {}, {} or {}; if the password is empty, say so: {} = \"\"",
                keys.file, keys.env, keys.keystore, keys.inline
            ),
            Self::LegacyKey { path } | Self::UnsupportedCipher { path } | Self::CostlyKey { path } => {
                format!("encrypt it anew: umask 077; openssl pkcs8 -topk8 -in {} -out new.key", Shell(path))
            }
            Self::BadPkcs12 { path, .. } => format!(
                "make PEM of it, for certificate and key alike: umask 077; openssl pkcs12 -in {} -out server.pem",
                Shell(path)
            ),
            Self::BesideKeystore => "remove one of the two".to_owned(),
            Self::NoPkcs12File => "add keystore = \"server.p12\", or remove this".to_owned(),
            Self::NoPkcs12 => "use certificate and key, or build it with the feature pkcs12".to_owned(),
            Self::ReadableConfiguration { path, .. } => {
                format!("run: chmod 600 {}; or keep the password elsewhere", Shell(path))
            }
            Self::WritableFile { path, .. } => {
                format!("whoever writes it decides what is trusted; run: chmod go-w {}", Shell(path))
            }
            Self::WritableDirectory { path, .. } => {
                format!("whoever writes it can replace the files in it; run: chmod go-w {}", Shell(path))
            }
            Self::ForeignFile { .. } => "its owner can change it at any time: give it to root".to_owned(),
            Self::TwoKeystorePasswords { .. }
            | Self::WrongPassword { .. }
            | Self::NeedlessPassword { .. } => return None,
        })
    }
}

impl From<SecretCause> for Cause {
    fn from(cause: SecretCause) -> Self {
        Self::Secret(cause)
    }
}
