//! Kinds of keys, and making one.

use aws_lc_rs::signature::Ed25519KeyPair;
use clap::ValueEnum;
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize,
};
use rustls::pki_types::PrivatePkcs8KeyDer;

/// The kind of key to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum KeyKind {
    /// ECDSA on P-256: small, fast, understood everywhere.
    #[default]
    #[value(name = "ec", alias = "p256")]
    EcdsaP256,
    /// ECDSA on P-384.
    #[value(name = "p384")]
    EcdsaP384,
    /// Ed25519, which old clients do not know.
    #[value(name = "ed25519")]
    Ed25519,
    /// RSA of 2048 bits, for clients that know nothing else.
    #[value(name = "rsa", alias = "rsa2048")]
    Rsa2048,
    /// RSA of 3072 bits.
    #[value(name = "rsa3072")]
    Rsa3072,
    /// RSA of 4096 bits.
    #[value(name = "rsa4096")]
    Rsa4096,
}

impl KeyKind {
    pub(super) fn make(self) -> Result<KeyPair, rcgen::Error> {
        let rsa = |size| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size);
        match self {
            Self::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Self::EcdsaP384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            Self::Ed25519 => ed25519(),
            Self::Rsa2048 => rsa(RsaKeySize::_2048),
            Self::Rsa3072 => rsa(RsaKeySize::_3072),
            Self::Rsa4096 => rsa(RsaKeySize::_4096),
        }
    }
}

/// In the first version of PKCS #8, without the public key: OpenSSL 3.0 reads no
/// other, and rcgen writes the second.
fn ed25519() -> Result<KeyPair, rcgen::Error> {
    let der = Ed25519KeyPair::generate().and_then(|key| key.to_pkcs8v1());
    let der = der.map_err(|_| rcgen::Error::RingUnspecified)?;
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der.as_ref()), &PKCS_ED25519)
}
