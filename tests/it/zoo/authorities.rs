//! The CAs of the zoo, good and bad, and their revocation lists. Trusted by the
//! gateway are `root` and `rsa` alone.

use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::der::{INTEGER, bits, moment, oid, sequence, tlv};
use super::keys::{Hash, Key, Kind};
use super::names::name;
use super::plan::{
    BASIC_CONSTRAINTS, DAY, EXTENDED_KEY_USAGE, NAME_CONSTRAINTS, Plan, SERVER, SIGNS_CERTIFICATES_AND_LISTS,
    SIGNS_LISTS, now,
};

/// The serial number of whatever has been revoked.
pub(super) const REVOKED: [u8; 2] = [0x29, 0x9a];

/// One CA.
pub(super) struct Ca {
    pub(super) name: Vec<u8>,
    pub(super) key: Arc<Key>,
    pub(super) der: Vec<u8>,
    /// What has to be shown between its leaves and the root.
    pub(super) above: Vec<Vec<u8>>,
}

impl Ca {
    fn root(subject: &str, kind: Kind) -> Self {
        let key = Arc::new(Key::new(kind));
        let mut ca = Self { name: name(subject), key, der: Vec::new(), above: Vec::new() };
        let mut plan =
            Plan::new(&ca, subject).usage(&SIGNS_CERTIFICATES_AND_LISTS).without(EXTENDED_KEY_USAGE);
        plan.key = Arc::clone(&ca.key);
        ca.der = plan.ca(None).valid(-10 * DAY, 1000 * DAY).der();
        ca
    }

    /// What this is becomes a CA, whether it may or not.
    fn of(plan: Plan) -> Self {
        let der = plan.der();
        let above = std::iter::once(der.clone()).chain(plan.issuers().iter().cloned()).collect();
        Self { name: plan.subject, key: plan.key, der, above }
    }

    fn below(&self, subject: &str) -> Plan {
        let plan = Plan::new(self, subject).own_key(Kind::P256).ca(None);
        plan.usage(&SIGNS_CERTIFICATES_AND_LISTS).without(EXTENDED_KEY_USAGE)
    }

    /// A client's certificate.
    pub(super) fn leaf(&self, subject: &str) -> Plan {
        Plan::new(self, subject)
    }

    pub(super) fn pem(&self) -> String {
        pem::encode(&pem::Pem::new("CERTIFICATE", self.der.clone()))
    }

    /// A list of `REVOKED`, from a day ago until then, in seconds from now.
    pub(super) fn list(&self, until: i64) -> String {
        let algorithm = self.key.algorithm(Hash::Sha256);
        let made = moment(now() - DAY);
        let number = sequence(&[&oid("2.5.29.20"), &tlv(0x04, tlv(INTEGER, [1]))]);
        let revoked = sequence(&[&sequence(&[&tlv(INTEGER, REVOKED), &made])]);
        let signed = sequence(&[
            &tlv(INTEGER, [1]),
            &algorithm,
            &self.name,
            &made,
            &moment(now() + until),
            &revoked,
            &tlv(0xa0, sequence(&[&number])),
        ]);
        let signature = self.key.sign(Hash::Sha256, &signed);
        let list = sequence(&[&signed, &algorithm, &bits(&signature)]);
        pem::encode(&pem::Pem::new("X509 CRL", list))
    }
}

/// All of them.
pub(super) struct Zoo {
    pub(super) root: Ca,
    pub(super) rsa: Ca,
    /// Of the root's name, with another key.
    pub(super) twin: Ca,
    pub(super) foreign: Ca,
    pub(super) middle: Ca,
    /// Of the name of `middle`, with another key.
    pub(super) false_middle: Ca,
    pub(super) low: Ca,
    pub(super) old: Ca,
    pub(super) early: Ca,
    /// Below one that allows no CA below it.
    pub(super) beyond: Ca,
    /// May issue for `*.acme.test` alone.
    pub(super) narrow: Ca,
    pub(super) revoked: Ca,
    /// Its key usage has no keyCertSign.
    pub(super) mute: Ca,
    /// A client's certificate that acts as a CA's.
    pub(super) upstart: Ca,
    /// The same, with basic constraints that say CA:FALSE.
    pub(super) denied: Ca,
    /// For servers alone.
    pub(super) servers: Ca,
    pub(super) short_key: Ca,
    pub(super) version_1: Ca,
    pub(super) sha1: Ca,
    /// A client's certificate that a user is recognised by.
    pub(super) known: Vec<u8>,
    /// A key that a user is recognised by.
    pub(super) known_key: Arc<Key>,
}

impl Zoo {
    fn new() -> Self {
        let root = Ca::root("CN=Zoo CA,O=Acme", Kind::P256);
        let middle = Ca::of(root.below("CN=Middle,O=Acme"));
        let low = Ca::of(middle.below("CN=Low,O=Acme"));
        let no_more = Ca::of(root.below("CN=No more,O=Acme").ca(Some(0)));
        let of_acme = sequence(&[&tlv(0xa0, sequence(&[&tlv(0x82, "acme.test")]))]);
        Self {
            rsa: Ca::root("CN=Zoo RSA CA,O=Acme", Kind::Rsa2048),
            twin: Ca::root("CN=Zoo CA,O=Acme", Kind::P256),
            foreign: Ca::root("CN=Elsewhere", Kind::P256),
            false_middle: Ca::root("CN=Middle,O=Acme", Kind::P256),
            old: Ca::of(root.below("CN=Old,O=Acme").valid(-20 * DAY, -10 * DAY)),
            early: Ca::of(root.below("CN=Early,O=Acme").valid(10 * DAY, 20 * DAY)),
            beyond: Ca::of(no_more.below("CN=Beyond,O=Acme")),
            narrow: Ca::of(root.below("CN=Narrow,O=Acme").with(NAME_CONSTRAINTS, true, &of_acme)),
            revoked: Ca::of(root.below("CN=Revoked,O=Acme").serial(&REVOKED)),
            mute: Ca::of(root.below("CN=Mute,O=Acme").usage(&SIGNS_LISTS)),
            upstart: Ca::of(root.leaf("CN=app,O=Acme").own_key(Kind::P256)),
            denied: Ca::of(root.below("CN=Denied,O=Acme").without(BASIC_CONSTRAINTS).with(
                BASIC_CONSTRAINTS,
                true,
                &sequence(&[]),
            )),
            servers: Ca::of(root.below("CN=Servers,O=Acme").purposes(&[SERVER])),
            short_key: Ca::of(root.below("CN=Short,O=Acme").own_key(Kind::Rsa1024)),
            version_1: Ca::of(root.below("CN=Version 1,O=Acme").version(1)),
            sha1: Ca::of(root.below("CN=Sha1,O=Acme").hash(Hash::Sha1)),
            known: root.leaf("CN=known").der(),
            known_key: Arc::new(Key::new(Kind::P256)),
            root,
            middle,
            low,
        }
    }

    /// Made once for all tests of this program.
    pub(super) fn get() -> &'static Self {
        static ZOO: OnceLock<Zoo> = OnceLock::new();
        ZOO.get_or_init(Self::new)
    }

    /// The subject and extensions of a file among the vectors, issued by the root.
    pub(super) fn vector(&self, file: &str) -> Plan {
        let path = format!("{}/tests/vectors/{file}.pem", env!("CARGO_MANIFEST_DIR"));
        let der = CertificateDer::from_pem_file(path).expect("a PEM file");
        let (_, x509) = X509Certificate::from_der(&der).expect("a certificate");
        let plan = self.root.leaf("CN=replaced").subject(x509.subject().as_raw().to_vec());
        let names =
            x509.extensions().iter().find(|it| it.oid.to_id_string() == super::plan::ALTERNATIVE_NAME);
        match names {
            Some(names) => plan.with(super::plan::ALTERNATIVE_NAME, true, names.value),
            None => plan,
        }
    }
}
