//! What is read from a certificate, and which certificates nobody can use.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SerialNumber,
};
use respgate::identity::{Certificate, NameError, Reason, Unreadable};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::make;

/// A self-signed certificate for `CN=svc`, changed by `change`.
fn made(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "svc");
    change(&mut params);
    let key = KeyPair::generate().expect("a key");
    params.self_signed(&key).expect("a certificate").der().to_vec()
}

fn reason(der: &[u8]) -> Option<Reason> {
    let evidence = make::evidence(Certificate::from_der(der).expect("readable"));
    make::map(&[("svc", "CN=svc"), ("acme", "CN=svc,O=Acme")])
        .permit(&evidence)
        .err()
        .map(|refusal| refusal.reason())
}

/// The expected values are what `openssl x509` prints for the file.
#[test]
fn a_certificate_is_read_as_openssl_reads_it() {
    let certificate = make::certificate("v03_comma_in_o.pem");
    assert_eq!(certificate.subject().to_string(), "CN=svc,O=Acme\\, Inc.,C=US");
    assert_eq!(certificate.issuer().to_string(), "CN=Test CA");
    assert_eq!(certificate.serial(), "07");
    assert_eq!(
        certificate.fingerprint().to_string(),
        "cdadb57e2d2c80654811c3d4f11c98aa06b7af5fb9cf227ea078c2f68fa83bfd"
    );
    assert_eq!((certificate.not_before(), certificate.not_after()), (1_767_225_600, 2_082_585_600));
}

#[test]
fn a_serial_number_has_no_sign_byte() {
    let serial = |bytes: &[u8]| {
        let der = made(|params| params.serial_number = Some(SerialNumber::from_slice(bytes)));
        Certificate::from_der(&der).expect("readable").serial().to_owned()
    };
    assert_eq!(serial(&[0xfe, 0x01]), "FE01");
    assert_eq!(serial(&[0x01, 0x00]), "0100");
}

/// T-62
#[test]
fn a_certificate_that_signs_others_is_nobodys() {
    assert_eq!(reason(&made(|_| ())), None);
    assert_eq!(reason(&made(|params| params.is_ca = IsCa::ExplicitNoCa)), None);
    assert_eq!(reason(&made(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature])), None);
    let ca = made(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(reason(&ca), Some(Reason::LeafIsCa));
    let signs = made(|params| {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign]
    });
    assert_eq!(reason(&signs), Some(Reason::LeafIsCa));
}

#[test]
fn a_version_before_3_is_refused() {
    let v3 = make::fixture("v14_utf8.pem");
    assert_eq!(reason(&v3), None);
    for (version, tagged) in [(1, &b""[..]), (2, b"\xa0\x03\x02\x01\x01"), (4, b"\xa0\x03\x02\x01\x03")] {
        let der = make::patched(&v3, b"\xa0\x03\x02\x01\x02", tagged);
        assert_eq!(Certificate::from_der(&der).expect("readable").version(), version);
        assert_eq!(reason(&der), Some(Reason::BadCertificate));
    }
}

#[test]
fn bytes_after_the_certificate_are_refused() {
    let mut der = make::fixture("v01_plain.pem");
    der.push(0);
    assert_eq!(Certificate::from_der(&der), Err(Unreadable::Trailing(1)));
}

#[test]
fn a_certificate_that_is_cut_short_is_refused() {
    let der = make::fixture("v01_plain.pem");
    for end in 0..der.len() {
        assert!(matches!(Certificate::from_der(&der[..end]), Err(Unreadable::Certificate(_))), "{end}");
    }
}

/// x509-parser stops without a word at the first RDN that it cannot read, which
/// would make `CN=admin` of a subject that goes on after it.
#[test]
fn a_subject_is_never_read_in_part() {
    let admin = make::plain_name(&[("2.5.4.3", "admin")]);
    let rdns = |surplus: &[u8]| make::tlv(0x30, &[&admin[2..], surplus].concat());
    let attribute = make::attribute("2.5.4.3", make::UTF8, b"mallory");
    for surplus in [
        make::tlv(0x30, &attribute),
        make::tlv(0x31, &attribute[..attribute.len() - 1]),
        make::tlv(0x31, &[]),
        make::tlv(0x31, &make::tlv(0x30, b"\x06\x00\x0c\x01x")),
        make::tlv(0x31, &make::tlv(0x30, b"\x06\x03\x55\x04\x03\x1f\x21\x00")),
        make::tlv(0x31, &[&attribute[..], &[0]].concat()),
    ] {
        let der = make::with_subject(&rdns(&surplus));
        let subject = X509Certificate::from_der(&der).map(|(_, x509)| x509.subject().iter_rdn().count());
        match Certificate::from_der(&der) {
            Err(
                Unreadable::Subject(NameError::Der(_) | NameError::EmptyRdn | NameError::Type)
                | Unreadable::Certificate(_),
            ) => {}
            other => panic!("{surplus:02x?}, of which x509-parser reads {subject:?} RDNs: {other:?}"),
        }
    }
}

#[test]
fn a_statement_about_being_a_ca_must_be_readable_and_there_once() {
    let with = |contents: &[&[u8]], arc: u64| {
        made(|params| {
            let extension =
                |content: &&[u8]| CustomExtension::from_oid_content(&[2, 5, 29, arc], content.to_vec());
            params.custom_extensions = contents.iter().map(extension).collect();
        })
    };
    let basic = Err(Unreadable::Extension("basicConstraints"));
    let usage = Err(Unreadable::Extension("keyUsage"));
    let (no_ca, is_ca) = (&b"\x30\x00"[..], &b"\x30\x03\x01\x01\xff"[..]);
    assert!(Certificate::from_der(&with(&[is_ca], 19)).expect("readable").signs_certificates());
    assert_eq!(Certificate::from_der(&with(&[no_ca, is_ca], 19)), basic);
    assert_eq!(Certificate::from_der(&with(&[b"\x30\x03\x01\x01"], 19)), basic);
    assert_eq!(Certificate::from_der(&with(&[b""], 19)), basic);
    assert_eq!(Certificate::from_der(&with(&[b"\x30\x00\x00"], 19)), basic);
    assert!(Certificate::from_der(&with(&[b"\x03\x02\x02\x04"], 15)).expect("readable").signs_certificates());
    assert_eq!(Certificate::from_der(&with(&[b"\x30\x00"], 15)), usage);
    assert_eq!(Certificate::from_der(&with(&[b"\x03\x02\x07\x80", b"\x03\x02\x02\x04"], 15)), usage);
}
