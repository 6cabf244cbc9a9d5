//! The keys that say what somebody is recognised by, and which certificates a
//! listener takes, with certificates held against what becomes of them.

use std::net::Ipv4Addr;
use std::sync::Arc;

use respgate::identity::{Admission, Certificate, Evidence, Fingerprint, Gate, Reason};
use respgate::io::Settings;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::pki::{self, Ca};
use crate::world::{FINE, World};

const LINE: &str = "certificate_subject_line = \"CN=app,O=Acme\"";

/// The settings of a configuration whose user is recognised by this, and nothing to remark.
fn settings(world: &World, ways: &str) -> Settings {
    let loaded =
        world.load(&FINE.replace(LINE, ways)).unwrap_or_else(|problems| panic!("{ways}: {problems}"));
    assert_eq!(loaded.warnings.list, [], "{ways}");
    loaded.settings
}

fn vector(file: &str) -> Certificate {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    Certificate::from_der(&CertificateDer::from_pem_file(path).unwrap()).unwrap()
}

fn read(pem: &str) -> Certificate {
    Certificate::from_der(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap()
}

fn refusal(settings: &Settings, certificate: &Certificate, issuers: &[Fingerprint]) -> Option<Reason> {
    let certificate = Some(Arc::new(certificate.clone()));
    let evidence = Evidence::new(certificate, issuers, Ipv4Addr::LOCALHOST.into(), "default");
    match settings.listeners[0].directory(settings, &settings.databases[0]).arrive(&evidence) {
        Admission::Permit(_) => None,
        Admission::Refused(refusal) => Some(refusal.reason()),
        Admission::Unproven(claim) => Some(claim.missing().reason()),
    }
}

/// RE-07, RE-09: one line, several, with spaces, in another order, or in parts.
#[test]
fn a_subject_can_be_written_in_many_ways() {
    let world = World::new();
    let certificate = vector("v01_plain.pem");
    for way in [
        r#""CN=CLIENT1, OU=UNIT, O=ORG, L=ONTARIO, ST=TORONTO, C=CA""#,
        r#"["CN=other", "CN=CLIENT1,OU=UNIT,O=ORG,L=ONTARIO,ST=TORONTO,C=CA"]"#,
        r#"{ line = "CN=client1,OU=UNIT,O=ORG,L=ONTARIO,ST=TORONTO,C=CA", ignore_case = true }"#,
        r#"{ line = "C = CA, ST = TORONTO, L = ONTARIO, O = ORG, OU = UNIT, CN = CLIENT1", certificate_subject_order = "certificate" }"#,
        r#"{ line = "O=ORG,CN=CLIENT1", partial = true }"#,
        r#"[{ subject = { CN = "CLIENT1", OU = ["UNIT"], O = "ORG", L = "ONTARIO", ST = "TORONTO", C = "CA" }, order = ["CN", "OU", "O", "L", "ST", "C"] }]"#,
        r#"{ subject = { CN = "CLIENT1", O = "ORG" }, partial = true }"#,
    ] {
        let settings = settings(&world, &format!("certificate_subject_line = {way}"));
        assert_eq!(refusal(&settings, &certificate, &[]), None, "{way}");
        assert!(refusal(&settings, &vector("v14_utf8.pem"), &[]).is_some(), "{way}");
    }
    let settings = settings(&world, r#"certificate_subject_line = "CN=CLIENT1""#);
    assert_eq!(refusal(&settings, &certificate, &[]), Some(Reason::NoMapping));
}

#[test]
fn an_entry_may_ignore_case_or_not_whatever_the_user_does() {
    let world = World::new();
    let lines = r#"ignore_case = true
certificate_subject_line = [{ line = "CN=SVC,O=ACME", ignore_case = false }, "CN=other"]"#;
    assert_eq!(refusal(&settings(&world, lines), &vector("v14_utf8.pem"), &[]), Some(Reason::CaseOnly));
}

#[test]
fn each_other_way_needs_no_subject_line() {
    let world = World::new();
    let certificate = vector("v03_comma_in_o.pem");
    for (way, matches) in [
        (format!("certificate_sha256 = \"{}\"", certificate.fingerprint()), true),
        (format!("spki_sha256 = [\"{}\"]", certificate.key()), true),
        (format!("spki_sha256 = \"{}\"", certificate.fingerprint()), false),
        ("issuer_serial = \"CN=Test CA:07\"".to_owned(), true),
        ("issuer_serial = [{ issuer = \"CN=Test CA\", serial = \"00:07\" }]".to_owned(), true),
        ("issuer_serial = \"CN=Test CA:08\"".to_owned(), false),
        ("attributes = { CN = \"svc\", O = \"Acme, Inc.\" }".to_owned(), true),
        ("attributes = [{ CN = \"x\" }, { \"2.5.4.3\" = [\"svc\"] }]".to_owned(), true),
        ("san_dns = \"svc\"\nsan_uri = \"urn:svc\"\nsan_email = \"a@b\"\nsan_ip = \"::1\"".to_owned(), false),
    ] {
        let reason = refusal(&settings(&world, &way), &certificate, &[]);
        assert_eq!(reason, (!matches).then_some(Reason::NoMapping), "{way}");
    }
}

#[test]
fn a_user_that_is_not_enabled_is_refused_as_such() {
    let settings = settings(&World::new(), "enabled = false\ncertificate_subject_line = \"CN=svc,O=Acme\"");
    assert_eq!(refusal(&settings, &vector("v14_utf8.pem"), &[]), Some(Reason::UserDisabled));
}

/// T-55: by the CA's file, its key's fingerprint or its certificate's.
#[test]
fn a_user_is_bound_to_a_ca_by_file_or_fingerprint() {
    let world = World::new();
    let (ca, other) = (read(&world.ca.pem()), read(&Ca::new("Test CA").pem()));
    assert_eq!(ca.subject(), other.subject(), "a CA of the same name");
    world.write("other.crt", &Ca::new("Test CA").pem());
    let line = "CN=svc,O=Acme";
    for way in [
        format!("certificate_subject_line = {line:?}\nissuer = \"ca.crt\""),
        format!("certificate_subject_line = {line:?}\nissuer = \"{}\"", ca.key()),
        format!("certificate_subject_line = {line:?}\nissuer = [\"other.crt\", \"{}\"]", ca.fingerprint()),
        format!("certificate_subject_line = {{ line = {line:?}, issuer_sha256 = \"{}\" }}", ca.key()),
    ] {
        let settings = settings(&world, &way);
        let certificate = vector("v14_utf8.pem");
        assert_eq!(refusal(&settings, &certificate, &[ca.key()]), None, "{way}");
        assert_eq!(refusal(&settings, &certificate, &[other.key()]), Some(Reason::IssuerScope), "{way}");
        assert_eq!(refusal(&settings, &certificate, &[]), Some(Reason::IssuerScope), "{way}");
    }
}

/// RE-03 to RE-06: a gate is asked before who somebody is, and does not answer that.
#[test]
fn a_gate_is_asked_first_and_names_nobody() {
    let world = World::new();
    let gated = |keys: &str| {
        let text = FINE.replace("client_ca = \"ca.crt\"", &format!("client_ca = \"ca.crt\"\n{keys}"));
        world.load(&text.replace("CN=app,O=Acme", "CN=svc,O=Acme")).unwrap().settings
    };
    let kind = "mtls_client_cert_subject_validation_type";
    let (svc, other) = (vector("v14_utf8.pem"), vector("v01_plain.pem"));
    for (keys, of_svc, of_other) in [
        (format!("{kind} = \"disabled\""), None, Some(Reason::NoMapping)),
        (
            format!("{kind} = \"san_cn\"\nmtls_authorized_subjects = [{{ CN = \"svc\" }}]"),
            None,
            Some(Reason::GateCn),
        ),
        (
            format!("{kind} = \"san_cn\"\nmtls_authorized_subjects = [{{ CN = \"CLIENT1\" }}]"),
            Some(Reason::GateCn),
            Some(Reason::NoMapping),
        ),
        (
            format!(
                "{kind} = \"full_subject\"\nmtls_authorized_subjects = [{{ CN = \"svc\", O = \"Acme\" }}]"
            ),
            None,
            Some(Reason::GateSubject),
        ),
        (
            format!("{kind} = \"full_subject\"\nmtls_authorized_subjects = [{{ CN = \"svc\" }}]"),
            Some(Reason::GateSubject),
            Some(Reason::GateSubject),
        ),
        (
            format!(
                "{kind} = \"full_subject\"\nmtls_authorized_subjects = [{{ CN = \"svc\", partial = true }}]"
            ),
            None,
            Some(Reason::GateSubject),
        ),
    ] {
        let settings = gated(&keys);
        let reasons = (refusal(&settings, &svc, &[]), refusal(&settings, &other, &[]));
        assert_eq!(reasons, (of_svc, of_other), "{keys}");
    }
    assert_eq!(world.load(FINE).unwrap().settings.listeners[0].gate, Gate::Disabled);
}

#[test]
fn a_certificate_of_no_ca_cannot_be_an_issuer() {
    let world = World::new();
    world.write("leaf.crt", &world.ca.issue("app", pki::for_clients).certificate);
    let problems = world.load(&FINE.replace(LINE, &format!("{LINE}\nissuer = \"leaf.crt\""))).unwrap_err();
    let ids: Vec<_> = problems.list.iter().map(|problem| problem.cause.id()).collect();
    assert_eq!(ids, ["not_ca"]);
}
