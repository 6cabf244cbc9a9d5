//! Certificates, names and users for the tests. DER is written here by hand, so
//! that names can be tested that no library would make.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use respgate::identity::{Certificate, Credential, Entry, Evidence, SubjectLine, User, UserMap};
use respgate::secret::Secret;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::asn1_rs::Oid;
use x509_parser::prelude::{FromDer, X509Certificate};

pub(crate) const UTF8: u8 = 0x0c;
pub(crate) const TELETEX: u8 = 0x14;

/// Where the vectors are.
pub(crate) fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// The DER of a certificate among the vectors.
pub(crate) fn fixture(file: &str) -> Vec<u8> {
    CertificateDer::from_pem_file(vectors().join(file)).expect("a PEM file").to_vec()
}

pub(crate) fn certificate(file: &str) -> Certificate {
    Certificate::from_der(&fixture(file)).expect("a readable certificate")
}

/// A DER value.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut der = vec![tag];
    match length {
        0..0x80 => der.push(u8::try_from(length).expect("short")),
        _ => {
            let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|&byte| byte == 0).collect();
            der.push(0x80 | u8::try_from(bytes.len()).expect("short"));
            der.extend(bytes);
        }
    }
    [der, content.to_vec()].concat()
}

/// One attribute: its type, the tag of its value and the value's bytes.
pub(crate) fn attribute(dotted: &str, tag: u8, value: &[u8]) -> Vec<u8> {
    let arcs: Vec<u64> = dotted.split('.').map(|arc| arc.parse().expect("a number")).collect();
    let oid = Oid::from(&arcs).expect("an object identifier");
    tlv(0x30, &[tlv(0x06, oid.as_bytes()), tlv(tag, value)].concat())
}

/// A name of RDNs in the certificate's order.
pub(crate) fn name(rdns: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let sets: Vec<u8> = rdns.iter().flat_map(|attributes| tlv(0x31, &attributes.concat())).collect();
    tlv(0x30, &sets)
}

/// A name whose every RDN has one UTF-8 attribute.
pub(crate) fn plain_name(rdns: &[(&str, &str)]) -> Vec<u8> {
    let rdns: Vec<_> = rdns.iter().map(|(oid, value)| vec![attribute(oid, UTF8, value.as_bytes())]).collect();
    name(&rdns)
}

/// The first `old` in the signed part of a certificate replaced by `new`, with
/// the lengths around it corrected. The signature no longer fits.
pub(crate) fn patched(der: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let (_, x509) = X509Certificate::from_der(der).expect("a certificate");
    let signed = x509.tbs_certificate.as_ref();
    let outer = content(der);
    let signed_content = content(signed);
    let at = signed_content.windows(old.len()).position(|window| window == old).expect("the old bytes");
    let patched = [&signed_content[..at], new, &signed_content[at + old.len()..]].concat();
    tlv(0x30, &[tlv(0x30, &patched), outer[signed.len()..].to_vec()].concat())
}

/// A certificate with this subject.
pub(crate) fn with_subject(subject: &[u8]) -> Vec<u8> {
    let der = fixture("v14_utf8.pem");
    let (_, x509) = X509Certificate::from_der(&der).expect("a certificate");
    patched(&der, x509.subject().as_raw(), subject)
}

/// A DER value's content.
fn content(der: &[u8]) -> &[u8] {
    match der[1] {
        length if length < 0x80 => &der[2..],
        length => &der[2 + usize::from(length & 0x7f)..],
    }
}

/// What a client with this certificate shows, no CA being known.
pub(crate) fn evidence(certificate: Certificate) -> Evidence {
    Evidence::new(Some(Arc::new(certificate)), [], Ipv4Addr::LOCALHOST.into(), "default")
}

pub(crate) fn line(text: &str) -> SubjectLine {
    text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

pub(crate) fn user(name: &str, lines: Vec<SubjectLine>) -> User {
    let credential = Credential::new(format!("redis-{name}"), Secret::new(b"x".to_vec()));
    let entries = lines.into_iter().map(Entry::from).collect();
    User { entries, ..User::new(name, credential) }
}

/// A map of users with one line each.
pub(crate) fn map(users: &[(&str, &str)]) -> UserMap {
    let users = users.iter().map(|(name, text)| user(name, vec![line(text)])).collect();
    UserMap::build(users).expect("a sound map")
}
