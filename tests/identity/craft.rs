//! Certificates, entries and users made to order, beside those of the vectors.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair, SanType};
use respgate::identity::{
    Certificate, Entry, Evidence, Fingerprint, Permit, Reason, Refusal, SanKind, Unreadable, User, UserMap,
};

use crate::make;

/// A self-signed certificate for `CN=svc,O=Acme`, changed by `change`.
pub(crate) fn made(change: impl FnOnce(&mut CertificateParams)) -> Certificate {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Acme");
    params.distinguished_name.push(DnType::CommonName, "svc");
    change(&mut params);
    let key = KeyPair::generate().expect("a key");
    let der = params.self_signed(&key).expect("a certificate").der().to_vec();
    Certificate::from_der(&der).expect("readable")
}

pub(crate) fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("ASCII"))
}

pub(crate) fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().expect("ASCII"))
}

pub(crate) fn email(name: &str) -> SanType {
    SanType::Rfc822Name(name.try_into().expect("ASCII"))
}

pub(crate) fn with_sans(sans: &[SanType]) -> Certificate {
    made(|params| params.subject_alt_names = sans.to_vec())
}

/// A certificate whose alternative names are these bytes.
pub(crate) fn with_raw_sans(names: &[u8]) -> Result<Certificate, Unreadable> {
    let mut params = CertificateParams::default();
    let content = make::tlv(0x30, names);
    params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], content)];
    let key = KeyPair::generate().expect("a key");
    Certificate::from_der(params.self_signed(&key).expect("a certificate").der())
}

pub(crate) fn user(name: &str, entries: Vec<Entry>) -> User {
    User { entries, ..make::user(name, vec![]) }
}

pub(crate) fn san(kind: SanKind, text: &str) -> Entry {
    Entry::alternative(kind, text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

pub(crate) fn map(users: Vec<User>) -> UserMap {
    UserMap::build(users).expect("a sound map")
}

pub(crate) fn under(certificate: &Certificate, issuers: &[Fingerprint]) -> Evidence {
    let certificate = Some(Arc::new(certificate.clone()));
    Evidence::new(certificate, issuers, Ipv4Addr::LOCALHOST.into(), "default")
}

pub(crate) fn permit(map: &UserMap, certificate: &Certificate) -> Result<Permit, Refusal> {
    map.permit(&under(certificate, &[]))
}

pub(crate) fn reason(map: &UserMap, certificate: &Certificate) -> Option<Reason> {
    permit(map, certificate).err().map(|refusal| refusal.reason())
}

pub(crate) fn attributes(written: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    written.iter().map(|(name, list)| ((*name).to_owned(), values(list))).collect()
}

pub(crate) fn ca(number: u8) -> Fingerprint {
    Fingerprint::of(&[number])
}
