//! Makes certificates: an authority, and what it issues. Owns which extensions
//! and dates they carry; knows no file, argument or screen.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};
use zeroize::Zeroizing;

pub use super::key::KeyKind;
use super::names::{self, NameError};
use super::request::Request;
use super::sign::{self, Names, SignError};
use crate::identity::{Name, SubjectLine};

/// A certificate is valid from a little before it is made, for peers whose
/// clocks are behind.
pub(super) const BACKDATED: Duration = Duration::minutes(5);

/// What is common to everything that is made.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How long it lasts.
    pub lasts: Duration,
    /// Its key.
    pub key: KeyKind,
    /// The time now.
    pub now: OffsetDateTime,
}

/// What a leaf certificate is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Purpose {
    /// A server.
    Server,
    /// A client.
    Client,
    /// Both.
    Both,
}

/// A leaf certificate that is to be made.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// Its subject; may be empty if there are alternative names.
    pub subject: Name,
    /// Its alternative names.
    pub names: Vec<SanType>,
    /// What it is good for.
    pub purpose: Purpose,
}

/// Why a certificate could not be made.
#[derive(Debug, Error)]
pub enum IssueError {
    /// One of the alternative names is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The authority's certificate is no PEM.
    #[error("no PEM certificate: {0}")]
    NoCertificate(pem::Error),
    /// The authority's certificate does not parse.
    #[error("the certificate does not parse: {0}")]
    Unreadable(String),
    /// The certificate may not sign others.
    #[error("the certificate may not sign others: it has no basicConstraints CA:TRUE or no keyCertSign")]
    NotAnAuthority,
    /// The certificate may not sign other authorities'.
    #[error("the certificate may not sign other authorities' (pathlen:0), only servers' and clients'")]
    NoAuthorities,
    /// The certificate may not sign revocation lists.
    #[error("the certificate may not sign revocation lists: it has no cRLSign")]
    NoLists,
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
    #[error("{} seconds from now is past the year 9999", .0.whole_seconds())]
    TooLong(Duration),
    /// No key could be made.
    #[error("no key could be made: {0}")]
    KeyGeneration(rcgen::Error),
    /// No serial number could be made.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
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
    /// The certificate, in PEM, and those of the authorities between it and the root.
    pub certificate: String,
    /// The key in PKCS #8, in PEM.
    pub key: Zeroizing<String>,
    /// When it ends.
    pub not_after: OffsetDateTime,
}

/// A certificate authority that can issue.
pub struct Authority {
    pub(super) key: KeyPair,
    /// Its subject as it stands in its certificate: the issuer of what it
    /// issues, byte for byte, since some verifiers compare no other way.
    pub(super) subject: Vec<u8>,
    pub(super) key_id: Vec<u8>,
    not_after: OffsetDateTime,
    may_sign_authorities: bool,
    pub(super) may_sign_lists: bool,
    /// What a peer needs besides the root: its own certificate and those above it,
    /// none of them self-signed.
    chain: Vec<CertificateDer<'static>>,
}

impl Authority {
    /// Makes a self-signed authority.
    pub fn create(subject: &SubjectLine, terms: &Terms) -> Result<(Self, Issued), IssueError> {
        Self::root(subject.name(), None, terms)
    }

    /// Makes a self-signed authority, with at most so many others below it.
    pub fn root(subject: &Name, below_max: Option<u8>, terms: &Terms) -> Result<(Self, Issued), IssueError> {
        let key = terms.key.make().map_err(IssueError::KeyGeneration)?;
        let not_after = end(terms)?;
        let params = authority_params(below_max, terms, not_after)?;
        let name = subject.to_der();
        let names = Names { issuer: &name, subject: &name };
        let certificate = sign::signed(&params, &key, &Issuer::from_params(&params, &key), &names)?;
        let issued = Issued::new(&certificate, &[], &key, not_after);
        let key_id = params.key_identifier(&key);
        let root = Self {
            key,
            subject: name,
            key_id,
            not_after,
            may_sign_authorities: below_max != Some(0),
            may_sign_lists: true,
            chain: Vec::new(),
        };
        Ok((root, issued))
    }

    /// Takes an authority that was made earlier, from its PEM texts. Those above it
    /// may follow it in the first.
    pub fn load(certificate: &[u8], key: &[u8], now: OffsetDateTime) -> Result<Self, IssueError> {
        let file: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
        let mut chain = file.map_err(IssueError::NoCertificate)?;
        let Some(der) = chain.first().cloned() else {
            return Err(IssueError::NoCertificate(pem::Error::NoItemsFound));
        };
        let parsed = parse(&der)?;
        let usage = parsed.key_usage().ok().flatten().map(|usage| usage.value);
        if !parsed.is_ca() || usage.is_some_and(|usage| !usage.key_cert_sign()) {
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
        let below_max = parsed.basic_constraints().ok().flatten().and_then(|it| it.value.path_len_constraint);
        chain.retain(|der| parse(der).is_ok_and(|it| it.subject().as_raw() != it.issuer().as_raw()));
        Ok(Self {
            subject: parsed.subject().as_raw().to_vec(),
            key_id,
            not_after,
            key,
            may_sign_authorities: below_max != Some(0),
            may_sign_lists: usage.is_none_or(|usage| usage.crl_sign()),
            chain,
        })
    }

    /// Issues a server's certificate for these DNS names and IP addresses.
    pub fn server(
        &self,
        subject: &SubjectLine,
        names: &[String],
        terms: &Terms,
    ) -> Result<Issued, IssueError> {
        let names = names.iter().map(|name| names::dns_or_ip(name)).collect::<Result<_, _>>()?;
        self.leaf(&Leaf { subject: subject.name().clone(), names, purpose: Purpose::Server }, terms)
    }

    /// Issues a client's certificate.
    pub fn client(&self, subject: &SubjectLine, terms: &Terms) -> Result<Issued, IssueError> {
        let subject = subject.name().clone();
        self.leaf(&Leaf { subject, names: Vec::new(), purpose: Purpose::Client }, terms)
    }

    /// Issues a leaf certificate and makes its key.
    pub fn leaf(&self, leaf: &Leaf, terms: &Terms) -> Result<Issued, IssueError> {
        let key = terms.key.make().map_err(IssueError::KeyGeneration)?;
        let not_after = self.last_moment(terms)?;
        let certificate = self.sign(&leaf_params(leaf, terms, not_after)?, &key, &leaf.subject)?;
        Ok(Issued::new(&certificate, &self.chain, &key, not_after))
    }

    /// Issues a leaf certificate for the key of a request; in PEM, and when it ends.
    pub fn signed(
        &self,
        request: &Request,
        leaf: &Leaf,
        terms: &Terms,
    ) -> Result<(String, OffsetDateTime), IssueError> {
        let not_after = self.last_moment(terms)?;
        let params = leaf_params(leaf, terms, not_after)?;
        let certificate = self.sign(&params, &request.key, &leaf.subject)?;
        Ok((pem_of(&certificate, &self.chain), not_after))
    }

    /// Issues the certificate of an authority below this one, and makes its key.
    pub fn authority(
        &self,
        subject: &Name,
        below_max: Option<u8>,
        terms: &Terms,
    ) -> Result<Issued, IssueError> {
        if !self.may_sign_authorities {
            return Err(IssueError::NoAuthorities);
        }
        let key = terms.key.make().map_err(IssueError::KeyGeneration)?;
        let not_after = self.last_moment(terms)?;
        let certificate = self.sign(&authority_params(below_max, terms, not_after)?, &key, subject)?;
        Ok(Issued::new(&certificate, &self.chain, &key, not_after))
    }

    /// What rcgen takes for this authority.
    pub(super) fn issuer_params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.key_identifier_method = KeyIdMethod::PreSpecified(self.key_id.clone());
        params
    }

    /// The public key, as certificates have it.
    pub(super) fn key_info(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    /// A certificate that outlives its issuer is refused from then on, with an
    /// error that blames something else.
    fn last_moment(&self, terms: &Terms) -> Result<OffsetDateTime, IssueError> {
        Ok(end(terms)?.min(self.not_after))
    }

    fn sign(
        &self,
        params: &CertificateParams,
        key: &impl PublicKeyData,
        subject: &Name,
    ) -> Result<CertificateDer<'static>, SignError> {
        let issuer = self.issuer_params();
        let names = Names { issuer: &self.subject, subject: &subject.to_der() };
        sign::signed(params, key, &Issuer::from_params(&issuer, &self.key), &names)
    }
}

impl Issued {
    fn new(
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        key: &KeyPair,
        not_after: OffsetDateTime,
    ) -> Self {
        let key = Zeroizing::new(key.serialize_pem());
        Self { certificate: pem_of(certificate, chain), key, not_after }
    }
}

/// Something in PEM, with the line ends of this system.
pub(super) fn pem_text(label: &str, der: &[u8]) -> String {
    let lines = ::pem::EncodeConfig::new().set_line_ending(::pem::LineEnding::LF);
    ::pem::encode_config(&::pem::Pem::new(label, der), lines)
}

fn pem_of(certificate: &CertificateDer<'_>, chain: &[CertificateDer<'_>]) -> String {
    std::iter::once(certificate).chain(chain).map(|der| pem_text("CERTIFICATE", der)).collect()
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, IssueError> {
    let parsed = X509Certificate::from_der(der);
    parsed.map(|(_, parsed)| parsed).map_err(|cause| IssueError::Unreadable(cause.to_string()))
}

fn end(terms: &Terms) -> Result<OffsetDateTime, IssueError> {
    terms.now.checked_add(terms.lasts).ok_or(IssueError::TooLong(terms.lasts))
}

fn authority_params(
    below_max: Option<u8>,
    terms: &Terms,
    not_after: OffsetDateTime,
) -> Result<CertificateParams, IssueError> {
    let mut params = params(terms, not_after)?;
    let below = below_max.map_or(BasicConstraints::Unconstrained, BasicConstraints::Constrained);
    params.is_ca = IsCa::Ca(below);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn leaf_params(
    leaf: &Leaf,
    terms: &Terms,
    not_after: OffsetDateTime,
) -> Result<CertificateParams, IssueError> {
    let mut params = params(terms, not_after)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = leaf.purpose.usages();
    params.subject_alt_names = leaf.names.clone();
    if leaf.subject.is_empty() {
        // rcgen then marks the alternative names as critical, as RFC 5280 has it.
        params.distinguished_name = DistinguishedName::new();
    }
    Ok(params)
}

impl Purpose {
    pub(super) fn usages(self) -> Vec<ExtendedKeyUsagePurpose> {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        match self {
            Self::Server => vec![ServerAuth],
            Self::Client => vec![ClientAuth],
            Self::Both => vec![ServerAuth, ClientAuth],
        }
    }
}

/// What all certificates have: their dates, a serial number that nobody guesses,
/// and, by way of the key identifiers, the thread that strict verifiers follow
/// from a certificate to its issuer.
fn params(terms: &Terms, not_after: OffsetDateTime) -> Result<CertificateParams, IssueError> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(IssueError::Random)?;
    // Positive, and never shorter than the others.
    serial[0] = serial[0] & 0x7f | 0x40;
    let mut params = CertificateParams::default();
    params.serial_number = Some(serial.to_vec().into());
    params.not_before = terms.now - BACKDATED;
    params.not_after = not_after;
    params.use_authority_key_identifier_extension = true;
    // Replaced when it is signed. It is not empty, since rcgen would then mark
    // the alternative names as critical.
    params.distinguished_name = placeholder();
    Ok(params)
}

/// A name that is replaced when it is signed.
pub(super) fn placeholder() -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "replaced");
    name
}

fn key_id(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    })
}
