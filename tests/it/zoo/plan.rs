//! What one certificate is to say, and the making of it. By default it is a good
//! client's; each method makes it odd in one way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SigningKey};

use super::authorities::Ca;
use super::der::{INTEGER, OCTETS, TRUE, bits, moment, oid, sequence, tlv};
use super::keys::{Hash, Key, Kind};
use super::names::{San, alternative, name};

pub(super) const DAY: i64 = 24 * 60 * 60;

/// Extensions by their number.
pub(super) const KEY_USAGE: &str = "2.5.29.15";
pub(super) const ALTERNATIVE_NAME: &str = "2.5.29.17";
pub(super) const BASIC_CONSTRAINTS: &str = "2.5.29.19";
pub(super) const NAME_CONSTRAINTS: &str = "2.5.29.30";
pub(super) const EXTENDED_KEY_USAGE: &str = "2.5.29.37";

/// Purposes of an extended key usage.
pub(super) const SERVER: &str = "1.3.6.1.5.5.7.3.1";
pub(super) const CLIENT: &str = "1.3.6.1.5.5.7.3.2";
pub(super) const EMAIL: &str = "1.3.6.1.5.5.7.3.4";
pub(super) const ANY: &str = "2.5.29.37.0";

/// Key usages, as the content of their BIT STRING.
const SIGNS_MESSAGES: [u8; 2] = [7, 0x80];
const SIGNS_CERTIFICATES_TOO: [u8; 2] = [2, 0x84];
pub(super) const SIGNS_CERTIFICATES_AND_LISTS: [u8; 2] = [1, 0x06];
pub(super) const SIGNS_LISTS: [u8; 2] = [1, 0x02];

/// What a client shows, and the key that it has.
pub(super) struct Specimen {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: Arc<dyn SigningKey>,
}

impl Specimen {
    pub(super) fn certified(&self) -> CertifiedKey {
        CertifiedKey::new(self.chain.clone(), Arc::clone(&self.key))
    }
}

/// One certificate that is still to be made.
pub(super) struct Plan {
    issuer: Vec<u8>,
    signer: Arc<Key>,
    hash: Hash,
    above: Vec<Vec<u8>>,
    pub(super) subject: Vec<u8>,
    serial: Vec<u8>,
    version: u8,
    validity: (i64, i64),
    pub(super) key: Arc<Key>,
    public: Option<Vec<u8>>,
    extensions: Vec<(&'static str, Vec<u8>)>,
    change: fn(Vec<u8>) -> Vec<u8>,
    holder: Option<Arc<Key>>,
    made: Option<Vec<u8>>,
}

/// One key of each kind, which all specimens share: they take long to make.
pub(super) fn key(kind: Kind) -> Arc<Key> {
    static KEYS: OnceLock<Mutex<HashMap<Kind, Arc<Key>>>> = OnceLock::new();
    let mut keys = KEYS.get_or_init(Mutex::default).lock().expect("not poisoned");
    Arc::clone(keys.entry(kind).or_insert_with(|| Arc::new(Key::new(kind))))
}

pub(super) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64
}

fn extension(dotted: &str, is_critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if is_critical { &TRUE } else { &[] };
    sequence(&[&oid(dotted), critical, &tlv(OCTETS, value)])
}

impl Plan {
    /// A good client's certificate of this CA.
    pub(super) fn new(ca: &Ca, subject: &str) -> Self {
        let plan = Self {
            issuer: ca.name.clone(),
            signer: Arc::clone(&ca.key),
            hash: Hash::Sha256,
            above: ca.above.clone(),
            subject: name(subject),
            serial: vec![0x5a, 1, 2, 3, 4, 5, 6, 7],
            version: 3,
            validity: (now() - DAY, now() + 90 * DAY),
            key: key(Kind::P256),
            public: None,
            extensions: Vec::new(),
            change: |der| der,
            holder: None,
            made: None,
        };
        plan.usage(&SIGNS_MESSAGES).purposes(&[CLIENT])
    }

    /// With a subject that is already DER.
    pub(super) fn subject(mut self, der: Vec<u8>) -> Self {
        self.subject = der;
        self
    }

    /// With the content of its serial number's INTEGER.
    pub(super) fn serial(mut self, content: &[u8]) -> Self {
        self.serial = content.to_vec();
        self
    }

    /// Of another version; before 3 there are no extensions.
    pub(super) fn version(mut self, version: u8) -> Self {
        self.version = version;
        self
    }

    /// Valid between these, in seconds from now.
    pub(super) fn valid(mut self, from: i64, until: i64) -> Self {
        self.validity = (now() + from, now() + until);
        self
    }

    /// Valid until RFC 5280's "no end".
    pub(super) fn for_ever(mut self) -> Self {
        self.validity.1 = 253_402_300_799;
        self
    }

    /// For a key of this kind.
    pub(super) fn key(mut self, kind: Kind) -> Self {
        self.key = key(kind);
        self
    }

    /// For a public key that is already DER and that nobody has.
    pub(super) fn public(mut self, der: Vec<u8>) -> Self {
        self.public = Some(der);
        self
    }

    /// For a new key of its own.
    pub(super) fn own_key(mut self, kind: Kind) -> Self {
        self.key = Arc::new(Key::new(kind));
        self
    }

    /// For this key.
    pub(super) fn for_key(mut self, key: &Arc<Key>) -> Self {
        self.key = Arc::clone(key);
        self
    }

    /// No new certificate but this one, byte by byte.
    pub(super) fn exactly(mut self, der: &[u8]) -> Self {
        self.made = Some(der.to_vec());
        self
    }

    /// Signed over this hash.
    pub(super) fn hash(mut self, hash: Hash) -> Self {
        self.hash = hash;
        self
    }

    /// Whoever shows it has another key.
    pub(super) fn stolen(mut self) -> Self {
        self.holder = Some(Arc::new(Key::new(Kind::P256)));
        self
    }

    /// Changed after it was signed.
    pub(super) fn changed(mut self, change: fn(Vec<u8>) -> Vec<u8>) -> Self {
        self.change = change;
        self
    }

    /// Shown with these after it, instead of its CAs.
    pub(super) fn above(mut self, certificates: Vec<Vec<u8>>) -> Self {
        self.above = certificates;
        self
    }

    /// Shown with these after it and its CAs.
    pub(super) fn beside(mut self, certificates: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.above.extend(certificates);
        self
    }

    /// With one more extension, also where there is one of this number.
    pub(super) fn with(mut self, dotted: &'static str, is_critical: bool, value: &[u8]) -> Self {
        self.extensions.push((dotted, extension(dotted, is_critical, value)));
        self
    }

    /// Without the extensions of this number.
    pub(super) fn without(mut self, dotted: &str) -> Self {
        self.extensions.retain(|(number, _)| *number != dotted);
        self
    }

    pub(super) fn usage(self, usage: &[u8]) -> Self {
        self.without(KEY_USAGE).with(KEY_USAGE, true, &tlv(0x03, usage))
    }

    /// A client's that also says it signs certificates.
    pub(super) fn signs_certificates(self) -> Self {
        self.usage(&SIGNS_CERTIFICATES_TOO)
    }

    pub(super) fn purposes(self, purposes: &[&str]) -> Self {
        let all: Vec<u8> = purposes.iter().flat_map(|dotted| oid(dotted)).collect();
        self.without(EXTENDED_KEY_USAGE).with(EXTENDED_KEY_USAGE, false, &sequence(&[&all]))
    }

    pub(super) fn names(self, names: &[San<'_>]) -> Self {
        self.with(ALTERNATIVE_NAME, false, &alternative(names))
    }

    /// Without a subject, so that its alternative names are critical (RFC 5280, 4.2.1.6).
    pub(super) fn only_names(self, names: &[San<'_>]) -> Self {
        self.subject(sequence(&[])).with(ALTERNATIVE_NAME, true, &alternative(names))
    }

    /// With basic constraints that say CA:TRUE, and how many CAs there may be below.
    pub(super) fn ca(self, below: Option<u8>) -> Self {
        let below = below.map(|count| tlv(INTEGER, [count])).unwrap_or_default();
        self.without(BASIC_CONSTRAINTS).with(BASIC_CONSTRAINTS, true, &sequence(&[&TRUE, &below]))
    }

    /// Its DER.
    pub(super) fn der(&self) -> Vec<u8> {
        if let Some(made) = &self.made {
            return made.clone();
        }
        let algorithm = self.signer.algorithm(self.hash);
        let version = match self.version {
            1 => Vec::new(),
            version => tlv(0xa0, tlv(INTEGER, [version - 1])),
        };
        let extensions = match self.version {
            3 if !self.extensions.is_empty() => {
                let all: Vec<u8> = self.extensions.iter().flat_map(|(_, der)| der.clone()).collect();
                tlv(0xa3, sequence(&[&all]))
            }
            _ => Vec::new(),
        };
        let signed = sequence(&[
            &version,
            &tlv(INTEGER, &self.serial),
            &algorithm,
            &self.issuer,
            &sequence(&[&moment(self.validity.0), &moment(self.validity.1)]),
            &self.subject,
            self.public.as_ref().unwrap_or(&self.key.public),
            &extensions,
        ]);
        let signature = self.signer.sign(self.hash, &signed);
        (self.change)(sequence(&[&signed, &algorithm, &bits(&signature)]))
    }

    /// The certificates between it and the root.
    pub(super) fn issuers(&self) -> &[Vec<u8>] {
        &self.above
    }

    /// What a client shows, and the key that it has.
    pub(super) fn specimen(&self) -> Specimen {
        let chain = std::iter::once(self.der()).chain(self.above.iter().cloned());
        let key = self.holder.as_ref().unwrap_or(&self.key).for_tls();
        Specimen { chain: chain.map(CertificateDer::from).collect(), key }
    }
}
