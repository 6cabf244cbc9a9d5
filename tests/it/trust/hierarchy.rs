//! CAs above and below each other, their leaves with any change, and their lists.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, RevokedCertParams,
};
use time::OffsetDateTime;

use crate::pki::{Identity, Leaf};

/// Seconds of a day.
pub(crate) const DAY: i64 = 24 * 60 * 60;

/// What a test may say about a certificate.
pub(crate) fn as_is(_: &mut CertificateParams) {}

/// Now, in seconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64
}

pub(crate) fn time(unix: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix).expect("within the years")
}

/// A CA, and what has to be shown between its leaves and the root.
pub(crate) struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    above: String,
    pub(crate) serial: u64,
}

/// A leaf, and the number by which it is revoked.
pub(crate) struct Issued {
    /// With the CAs between it and the root.
    pub(crate) identity: Identity,
    pub(crate) serial: u64,
}

fn next_serial() -> u64 {
    static SERIAL: AtomicU64 = AtomicU64::new(1000);
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

fn ca_params(name: &str, change: impl FnOnce(&mut CertificateParams)) -> (CertificateParams, u64) {
    let serial = next_serial();
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name = Leaf::client(name).subject;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(serial.into());
    change(&mut params);
    (params, serial)
}

impl Ca {
    pub(crate) fn root(name: &str) -> Self {
        let (params, serial) = ca_params(name, as_is);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        Self { issuer, above: String::new(), serial }
    }

    /// A CA below this one.
    pub(crate) fn below(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (params, serial) = ca_params(name, change);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::signed_by(params, key, &self.issuer).expect("a certificate");
        let above = format!("{}{}", issuer.pem(), self.above);
        Self { issuer, above, serial }
    }

    /// Its own certificate, as PEM.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A client's certificate.
    pub(crate) fn leaf(&self, subject: &str, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let (key, params, serial) = leaf_params(subject, change);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        let certificate = format!("{certificate}{}", self.above);
        Issued { identity: Identity { certificate, key: key.serialize_pem() }, serial }
    }

    /// A list of these numbers, which holds from a day ago until then.
    pub(crate) fn crl(&self, serials: &[u64], until: i64) -> String {
        let made = now() - DAY;
        let revoked = serials.iter().map(|&serial| RevokedCertParams {
            serial_number: serial.into(),
            revocation_time: time(made),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: time(made),
            next_update: time(until),
            crl_number: next_serial().into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("a list").pem().expect("PEM")
    }
}

/// A certificate that nobody but its owner has signed.
pub(crate) fn self_signed(subject: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let (key, params, _) = leaf_params(subject, change);
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    Identity { certificate, key: key.serialize_pem() }
}

fn leaf_params(
    subject: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> (KeyPair, CertificateParams, u64) {
    let serial = next_serial();
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name = Leaf::client(subject).subject;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(serial.into());
    change(&mut params);
    (KeyPair::generate().expect("a key"), params, serial)
}
