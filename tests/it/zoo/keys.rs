//! Keys of each kind, and signatures of each hash: with aws-lc what is sound, with
//! openssl what aws-lc will not do (short RSA keys, SHA-1, MD5).

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rcgen::{KeyPair, PublicKeyData, RsaKeySize, SigningKey as _};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use x509_parser::pem::parse_x509_pem;

use super::der::{oid, sequence};

/// A kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    P256,
    P384,
    P521,
    Ed25519,
    Rsa1024,
    Rsa2048,
    Rsa4096,
}

/// What a signature is made over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha1,
    Md5,
}

/// A private key with its public half.
pub(super) struct Key {
    kind: Kind,
    /// PKCS#8 as PEM.
    pem: String,
    pair: Option<KeyPair>,
    /// SubjectPublicKeyInfo.
    pub(super) public: Vec<u8>,
}

impl Key {
    pub(super) fn new(kind: Kind) -> Self {
        let pair = match kind {
            Kind::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Kind::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Kind::P521 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512),
            Kind::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519),
            Kind::Rsa2048 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
            Kind::Rsa4096 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_4096),
            Kind::Rsa1024 => return Self::short(),
        };
        let pair = pair.expect("a key");
        let public = pair.subject_public_key_info();
        Self { kind, pem: pair.serialize_pem(), pair: Some(pair), public }
    }

    fn short() -> Self {
        let pem = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], &[]);
        let pem = String::from_utf8(pem).expect("PEM");
        let public = openssl(&["pkey", "-pubout"], pem.as_bytes());
        let (_, public) = parse_x509_pem(&public).expect("PEM");
        Self { kind: Kind::Rsa1024, pem, pair: None, public: public.contents }
    }

    fn is_rsa(&self) -> bool {
        matches!(self.kind, Kind::Rsa1024 | Kind::Rsa2048 | Kind::Rsa4096)
    }

    /// The AlgorithmIdentifier of a signature with this key.
    pub(super) fn algorithm(&self, hash: Hash) -> Vec<u8> {
        let dotted = match (self.kind, hash) {
            (Kind::P256, Hash::Sha256) => "1.2.840.10045.4.3.2",
            (Kind::P256, Hash::Sha1) => "1.2.840.10045.4.1",
            (_, Hash::Sha256) if self.is_rsa() => "1.2.840.113549.1.1.11",
            (_, Hash::Sha1) if self.is_rsa() => "1.2.840.113549.1.1.5",
            (_, Hash::Md5) if self.is_rsa() => "1.2.840.113549.1.1.4",
            other => panic!("no CA of the tests signs with {other:?}"),
        };
        let null: &[u8] = if self.is_rsa() { b"\x05\x00" } else { b"" };
        sequence(&[&oid(dotted), null])
    }

    /// A CA's signature.
    pub(super) fn sign(&self, hash: Hash, message: &[u8]) -> Vec<u8> {
        match (&self.pair, hash) {
            (Some(pair), Hash::Sha256) => pair.sign(message).expect("a signature"),
            (_, Hash::Sha256) => self.digest_sign("-sha256", &[], message),
            (_, Hash::Sha1) => self.digest_sign("-sha1", &[], message),
            (_, Hash::Md5) => self.digest_sign("-md5", &[], message),
        }
    }

    fn digest_sign(&self, hash: &str, options: &[&str], message: &[u8]) -> Vec<u8> {
        let mut file = tempfile::NamedTempFile::new().expect("a file for its owner only");
        file.write_all(self.pem.as_bytes()).expect("writable");
        let path = file.path().to_str().expect("a plain path");
        openssl(&[&["dgst", hash, "-sign", path], options].concat(), message)
    }

    /// The same key in the hands of a TLS client.
    pub(super) fn for_tls(self: &Arc<Self>) -> Arc<dyn SigningKey> {
        match &self.pair {
            Some(pair) => {
                let der = PrivatePkcs8KeyDer::from(pair.serialize_der()).into();
                rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).expect("a usable key")
            }
            None => Arc::new(ShortRsa(Arc::clone(self))),
        }
    }
}

/// An RSA key that aws-lc calls too short: openssl signs with it.
#[derive(Clone)]
struct ShortRsa(Arc<Key>);

impl std::fmt::Debug for ShortRsa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShortRsa")
    }
}

impl SigningKey for ShortRsa {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::RSA_PSS_SHA256).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }
}

impl Signer for ShortRsa {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"];
        Ok(self.0.digest_sign("-sha256", &pss, message))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::RSA_PSS_SHA256
    }
}

/// Runs openssl with this on its standard input, and returns what it printed.
fn openssl(args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("openssl is installed (make test installs it)");
    child.stdin.take().expect("piped").write_all(input).expect("it reads");
    let output = child.wait_with_output().expect("our child");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
