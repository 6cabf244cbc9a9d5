//! The certificate authority of the tests: good certificates, and each kind of
//! bad one. Knows nothing of the gateway.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Identity {
    /// Writes `name.crt` and `name.key`, the key for its owner only.
    pub(crate) fn write(&self, directory: &Path, name: &str) {
        fs::write(directory.join(format!("{name}.crt")), &self.certificate).expect("writable");
        write_secret(&directory.join(format!("{name}.key")), &self.key);
    }
}

/// Writes a file that only its owner can read.
pub(crate) fn write_secret(path: &Path, text: &str) {
    let _ = fs::remove_file(path);
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).expect("writable");
    file.write_all(text.as_bytes()).expect("writable");
}

/// What a leaf certificate is to say; the default is a good client certificate without a subject.
#[derive(Default)]
pub(crate) struct Leaf {
    pub(crate) subject: DistinguishedName,
    names: Vec<String>,
    is_server: bool,
    validity: Option<(i32, i32)>,
}

impl Leaf {
    /// A client certificate with this subject, written most specific first
    /// (`CN=app,O=Acme`) and encoded the other way round, as usual.
    pub(crate) fn client(subject: &str) -> Self {
        let mut name = DistinguishedName::new();
        for part in subject.split(',').rev() {
            let (kind, value) = part.split_once('=').expect("TYPE=value");
            // A second value of a type needs a second key in rcgen's map: the OID written out.
            let kind = match kind {
                "OU" if name.get(&DnType::OrganizationalUnitName).is_some() => {
                    DnType::CustomDnType(vec![2, 5, 4, 11])
                }
                "CN" if name.get(&DnType::CommonName).is_some() => DnType::CustomDnType(vec![2, 5, 4, 3]),
                "CN" => DnType::CommonName,
                "O" => DnType::OrganizationName,
                "OU" => DnType::OrganizationalUnitName,
                other => panic!("the tests do not use {other}"),
            };
            name.push(kind, value);
        }
        Self { subject: name, ..Self::default() }
    }

    /// A client certificate whose subject is empty: it has only an alternative name.
    pub(crate) fn nameless() -> Self {
        Self { names: vec!["app.example.com".to_owned()], ..Self::default() }
    }

    /// A server certificate for these names and addresses.
    pub(crate) fn server(names: &[&str]) -> Self {
        let names = names.iter().map(ToString::to_string).collect();
        Self { names, is_server: true, ..Self::client("CN=gateway") }
    }

    /// For somebody else.
    pub(crate) fn named(self, subject: &str) -> Self {
        Self { subject: Self::client(subject).subject, ..self }
    }

    /// Valid from the first day of one year to the first day of another.
    pub(crate) fn valid(mut self, from: i32, to: i32) -> Self {
        self.validity = Some((from, to));
        self
    }
}

/// One certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, as PEM.
    pub(crate) certificate: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name = Leaf::client(name).subject;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// Signs a leaf certificate for a new key.
    pub(crate) fn issue(&self, leaf: Leaf) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(leaf.names).expect("plain names");
        params.distinguished_name = leaf.subject;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![if leaf.is_server {
            ExtendedKeyUsagePurpose::ServerAuth
        } else {
            ExtendedKeyUsagePurpose::ClientAuth
        }];
        if let Some((from, to)) = leaf.validity {
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(to, 1, 1);
        }
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

/// The authority that the gateway trusts, and one that it does not.
pub(crate) struct Pki {
    pub(crate) trusted: Authority,
    pub(crate) foreign: Authority,
    pub(crate) server: Identity,
}

/// Made once for all tests of this program.
pub(crate) fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| {
        let trusted = Authority::new("CN=Test CA,O=Acme");
        let server = trusted.issue(Leaf::server(&["localhost", "127.0.0.1"]));
        // The same name on purpose: authorities are told apart by key.
        Pki { trusted, foreign: Authority::new("CN=Test CA,O=Acme"), server }
    })
}

/// A TLS client that shows this certificate, or none.
pub(crate) fn client_config(identity: Option<&Identity>) -> Arc<ClientConfig> {
    client_config_for(identity, rustls::DEFAULT_VERSIONS)
}

/// The same, speaking only these versions of TLS.
pub(crate) fn client_config_for(
    identity: Option<&Identity>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(pki().trusted.certificate.as_bytes()).expect("PEM");
    roots.add(ca).expect("a certificate");
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("known versions")
        .with_root_certificates(roots);
    let Some(identity) = identity else { return Arc::new(builder.with_no_client_auth()) };
    Arc::new(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified(identity)))))
}

/// The certificates, the leaf first, and the leaf's key, which are not checked against each other: a thief has no
/// key that fits.
fn certified(identity: &Identity) -> CertifiedKey {
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
    let chain = chain.collect::<Result<_, _>>().expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("PEM");
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).expect("a usable key");
    CertifiedKey::new(chain, key)
}
