//! Makes certificates: an authority, and what it issues. Owns which extensions
//! and dates they carry; knows no file, argument or screen.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, SanType,
};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};
use zeroize::Zeroizing;

use super::sign::{self, Names, SignError};
use crate::identity::SubjectLine;

/// A certificate is valid from a little before it is made, for peers whose
/// clocks are behind.
const BACKDATED: Duration = Duration::minutes(5);

/// The kind of key to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyKind {
    /// ECDSA on P-256: small, fast, understood everywhere.
    #[default]
    EcdsaP256,
    /// RSA of 2048 bits, for clients that know nothing else.
    Rsa2048,
    /// RSA of 3072 bits.
    Rsa3072,
}

/// What is common to everything that is made.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Days until it ends.
    pub days: u32,
    /// Its key.
    pub key: KeyKind,
    /// The time now.
    pub now: OffsetDateTime,
}

/// Why a certificate could not be made.
#[derive(Debug, Error)]
pub enum IssueError {
    /// Not a DNS name, nor an IP address.
    #[error("name {0:?} is neither a DNS name nor an IP address")]
    Name(String),
    /// The authority's certificate is no PEM.
    #[error("no PEM certificate: {0}")]
    NoCertificate(pem::Error),
    /// The authority's certificate does not parse.
    #[error("the certificate does not parse: {0}")]
    Unreadable(String),
    /// The certificate may not sign others.
    #[error("the certificate may not sign others: it has no basicConstraints CA:TRUE or no keyCertSign")]
    NotAnAuthority,
    /// The authority has ended.
    #[error("the certificate ended at {0}")]
    Ended(OffsetDateTime),
    /// The authority's key is no PEM.
    #[error("no unencrypted private key in PEM: {0}")]
    NoKey(pem::Error),
    /// The authority's key does not parse.
    #[error("not an ECDSA, Ed25519 or RSA private key: {0}")]
    KeyKind(rcgen::Error),
    /// The key is another certificate's.
    #[error("the key does not belong to the certificate: their public keys differ")]
    Mismatch,
    /// The last day is past the year 9999.
    #[error("{0} days from now is past the year 9999")]
    TooLong(u32),
    /// No key could be made.
    #[error("no key could be made: {0}")]
    KeyGeneration(rcgen::Error),
    /// No certificate could be made.
    #[error("no certificate could be made: {0}")]
    Sign(#[from] SignError),
}

impl IssueError {
    /// Whether the authority's key file is to be looked at, not its certificate.
    #[must_use]
    pub fn is_about_the_key(&self) -> bool {
        matches!(self, Self::NoKey(_) | Self::KeyKind(_) | Self::Mismatch)
    }
}

/// A certificate and its key, as they are written to files.
pub struct Issued {
    /// The certificate, in PEM.
    pub certificate: String,
    /// The key in PKCS #8, in PEM.
    pub key: Zeroizing<String>,
    /// When it ends.
    pub not_after: OffsetDateTime,
}

/// A certificate authority that can issue.
pub struct Authority {
    key: KeyPair,
    /// Its subject as it stands in its certificate: the issuer of what it
    /// issues, byte for byte, since some verifiers compare no other way.
    subject: Vec<u8>,
    key_id: Vec<u8>,
    not_after: OffsetDateTime,
}

impl Authority {
    /// Makes a self-signed authority.
    pub fn create(subject: &SubjectLine, terms: &Terms) -> Result<(Self, Issued), IssueError> {
        let key = make_key(terms.key)?;
        let not_after = end(terms)?;
        let mut params = params(terms, not_after);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let name = subject.name().to_der();
        let names = Names { issuer: &name, subject: &name };
        let certificate = sign::signed(&params, &key, &Issuer::from_params(&params, &key), &names)?;
        let issued = Issued::new(&certificate, &key, not_after);
        let key_id = params.key_identifier(&key);
        Ok((Self { key, subject: name, key_id, not_after }, issued))
    }

    /// Takes an authority that was made earlier, from its PEM texts.
    pub fn load(certificate: &[u8], key: &[u8], now: OffsetDateTime) -> Result<Self, IssueError> {
        let der = CertificateDer::from_pem_slice(certificate).map_err(IssueError::NoCertificate)?;
        let (_, parsed) =
            X509Certificate::from_der(&der).map_err(|cause| IssueError::Unreadable(cause.to_string()))?;
        let may_sign = parsed.key_usage().ok().flatten().is_none_or(|usage| usage.value.key_cert_sign());
        if !parsed.is_ca() || !may_sign {
            return Err(IssueError::NotAnAuthority);
        }
        let not_after = parsed.validity().not_after.to_datetime();
        if not_after <= now {
            return Err(IssueError::Ended(not_after));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(IssueError::NoKey)?;
        let key = KeyPair::try_from(&key).map_err(IssueError::KeyKind)?;
        if parsed.public_key().subject_public_key.data != key.public_key_raw() {
            return Err(IssueError::Mismatch);
        }
        let key_id = key_id(&parsed).unwrap_or_else(|| CertificateParams::default().key_identifier(&key));
        Ok(Self { subject: parsed.subject().as_raw().to_vec(), key_id, not_after, key })
    }

    /// Issues a server's certificate for these DNS names and IP addresses.
    pub fn server(
        &self,
        subject: &SubjectLine,
        names: &[String],
        terms: &Terms,
    ) -> Result<Issued, IssueError> {
        let names = names.iter().map(|name| alternative_name(name)).collect::<Result<_, _>>()?;
        self.issue(subject, ExtendedKeyUsagePurpose::ServerAuth, names, terms)
    }

    /// Issues a client's certificate.
    pub fn client(&self, subject: &SubjectLine, terms: &Terms) -> Result<Issued, IssueError> {
        self.issue(subject, ExtendedKeyUsagePurpose::ClientAuth, Vec::new(), terms)
    }

    fn issue(
        &self,
        subject: &SubjectLine,
        purpose: ExtendedKeyUsagePurpose,
        names: Vec<SanType>,
        terms: &Terms,
    ) -> Result<Issued, IssueError> {
        let key = make_key(terms.key)?;
        // A certificate that outlives its issuer is refused from then on, with
        // an error that blames something else.
        let not_after = end(terms)?.min(self.not_after);
        let mut params = params(terms, not_after);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.subject_alt_names = names;
        let mut issuer = CertificateParams::default();
        issuer.key_identifier_method = KeyIdMethod::PreSpecified(self.key_id.clone());
        let names = Names { issuer: &self.subject, subject: &subject.name().to_der() };
        let issuer = Issuer::from_params(&issuer, &self.key);
        let certificate = sign::signed(&params, &key, &issuer, &names)?;
        Ok(Issued::new(&certificate, &key, not_after))
    }
}

impl Issued {
    fn new(certificate: &CertificateDer<'_>, key: &KeyPair, not_after: OffsetDateTime) -> Self {
        let certificate = ::pem::Pem::new("CERTIFICATE", certificate.to_vec());
        let lines = ::pem::EncodeConfig::new().set_line_ending(::pem::LineEnding::LF);
        Self {
            certificate: ::pem::encode_config(&certificate, lines),
            key: Zeroizing::new(key.serialize_pem()),
            not_after,
        }
    }
}

fn make_key(kind: KeyKind) -> Result<KeyPair, IssueError> {
    match kind {
        KeyKind::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        KeyKind::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        KeyKind::Rsa3072 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
    }
    .map_err(IssueError::KeyGeneration)
}

fn end(terms: &Terms) -> Result<OffsetDateTime, IssueError> {
    terms.now.checked_add(Duration::days(terms.days.into())).ok_or(IssueError::TooLong(terms.days))
}

/// What all certificates have: their dates and, by way of the key identifiers,
/// the thread that strict verifiers follow from a certificate to its issuer.
fn params(terms: &Terms, not_after: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = terms.now - BACKDATED;
    params.not_after = not_after;
    params.use_authority_key_identifier_extension = true;
    // Replaced when it is signed. It is not empty, since rcgen would then mark
    // the alternative names as critical.
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "replaced");
    params
}

fn key_id(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    })
}

fn alternative_name(name: &str) -> Result<SanType, IssueError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let refused = || IssueError::Name(name.to_owned());
    DnsName::try_from(name.strip_prefix("*.").unwrap_or(name)).map_err(|_| refused())?;
    Ok(SanType::DnsName(name.try_into().map_err(|_| refused())?))
}
