//! Whether clients are asked for a certificate, and what trust says of a chain: whose
//! word it is, and for how long.

use respgate::identity::{Fingerprint, Reason};
use respgate::io::ClientAuth;
use respgate::io::tls::{ClientSan, Crl, Trust, TrustSettings, reason};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::pki::{self, Ca};
use crate::tls::{BOTH, Gate, client, handshake};
use crate::world::NOW;

fn at(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds as u64))
}

/// OS-02
#[test]
fn required_refuses_a_client_without_a_certificate() {
    let gate = Gate::new();
    for version in BOTH {
        let error = handshake(&gate.config(), &client(&gate.ca, version, None)).unwrap_err();
        assert_eq!(reason(&error), Reason::NoClientCertificate, "{error}");
    }
}

/// ES-09: a certificate that is shown has to hold all the same.
#[test]
fn optional_lets_a_handshake_end_without_a_certificate_and_not_with_a_bad_one() {
    let mut gate = Gate::new();
    gate.settings.client_auth = ClientAuth::Optional;
    let (good, bad) =
        (gate.ca.issue("app", pki::for_clients), Ca::new("Test CA").issue("app", pki::for_clients));
    for version in BOTH {
        let (server, _) = handshake(&gate.config(), &client(&gate.ca, version, None)).unwrap();
        assert!(server.peer_certificates().is_none());
        let shown = client(&gate.ca, version, Some((vec![good.der()], &good)));
        let (server, _) = handshake(&gate.config(), &shown).unwrap();
        assert_eq!(server.peer_certificates().unwrap(), [good.der()]);
        let shown = client(&gate.ca, version, Some((vec![bad.der()], &bad)));
        assert_eq!(reason(&handshake(&gate.config(), &shown).unwrap_err()), Reason::UntrustedIssuer);
    }
}

/// OS-03, ES-01: no certificate is asked for, so none is seen, and no CA is needed.
#[test]
fn none_sees_no_certificate_whatever_the_client_has() {
    let mut gate = Gate::new();
    gate.settings.client_auth = ClientAuth::None;
    gate.settings.trust.client_ca.clear();
    let leaf = gate.ca.issue("app", pki::for_clients);
    for version in BOTH {
        for shown in [None, Some((vec![leaf.der()], &leaf))] {
            let (server, _) = handshake(&gate.config(), &client(&gate.ca, version, shown)).unwrap();
            assert!(server.peer_certificates().is_none());
        }
    }
}

/// ES-08: which CAs a chain goes through is told by their keys and certificates, the
/// trusted one last.
#[test]
fn the_issuers_of_a_chain_are_known_by_their_keys_and_certificates() {
    let root = Ca::new("Root");
    let middle = root.intermediate("Middle");
    let leaf = middle.issue("app", pki::for_clients);
    let key = |ca: &Ca| {
        let der = ca.der();
        Fingerprint::of(X509Certificate::from_der(&der).unwrap().1.public_key().raw)
    };
    let print = |ca: &Ca| Fingerprint::of(&ca.der());
    let settings = TrustSettings { client_ca: vec![Ca::new("Root").der(), root.der()], ..Default::default() };
    let trust = Trust::new(&settings).unwrap();
    let verified = trust.verify(&[leaf.der(), middle.der()], at(NOW)).unwrap();
    assert_eq!(verified.issuers, [key(&middle), print(&middle), key(&root), print(&root)]);
    let pinned = TrustSettings { client_certificates: vec![leaf.der()], ..Default::default() };
    let verified = Trust::new(&pinned).unwrap().verify(&[leaf.der()], at(NOW)).unwrap();
    assert_eq!(verified.issuers, []);
}

/// ES-14: what is remembered of a chain does not outlive the first of its certificates and
/// lists, nor hold before it was found.
#[test]
fn a_verdict_holds_until_the_first_of_what_it_rests_on_ends() {
    let ca = Ca::new("Root");
    let leaf = ca.issue("app", pki::for_clients);
    let pem = ca.crl(&[], NOW - 60, NOW + 60);
    let list = CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap();
    let crls = vec![std::sync::Arc::new(Crl::from_der(&list).unwrap())];
    let settings = TrustSettings { client_ca: vec![ca.der()], crls, ..Default::default() };
    let trust = Trust::new(&settings).unwrap();
    let chain = [leaf.der()];
    let verified = trust.verify(&chain, at(NOW)).unwrap();
    assert_eq!(verified.until, (NOW + 59) as u64);
    assert!(trust.verify(&chain, at(NOW + 59)).is_ok());
    assert_eq!(trust.verify(&chain, at(NOW + 60)).unwrap_err().reason(), Reason::CrlStale);
    assert_eq!(trust.verify(&chain, at(100)).unwrap_err().reason(), Reason::NotYetValid);
    assert!(trust.verify(&chain, at(NOW)).is_ok());
}

/// What decides is in the digest; what does not change it decides alike.
#[test]
fn two_trusts_have_one_digest_only_if_they_decide_alike() {
    let ca = Ca::new("Root");
    let base = TrustSettings { client_ca: vec![ca.der()], ..Default::default() };
    let digest = |settings: &TrustSettings| Trust::new(settings).unwrap().digest();
    assert_eq!(digest(&base), digest(&base.clone()));
    let pem = ca.crl(&[], NOW - 60, NOW + 60);
    let list = CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap();
    let crl = std::sync::Arc::new(Crl::from_der(&list).unwrap());
    let mut others = vec![digest(&base)];
    let changes: [&dyn Fn(&mut TrustSettings); 8] = [
        &|it| it.client_ca.push(Ca::new("Other").der()),
        &|it| it.client_certificates.push(ca.issue("x", pki::for_clients).der()),
        &|it| it.crls.push(std::sync::Arc::clone(&crl)),
        &|it| it.client_eku = respgate::io::tls::ClientEku::Required,
        &|it| it.crl_depth = respgate::io::tls::CrlDepth::Leaf,
        &|it| it.crl_unknown = respgate::io::tls::CrlPolicy::Allow,
        &|it| it.crl_expired = respgate::io::tls::CrlPolicy::Allow,
        &|it| it.allow_expired = true,
    ];
    for change in changes {
        let mut changed = base.clone();
        change(&mut changed);
        let digest = digest(&changed);
        assert!(!others.contains(&digest), "{changed:?}");
        others.push(digest);
    }
}

/// ES-12
#[test]
fn a_certificate_without_an_alternative_name_is_taken_unless_one_is_required() {
    let ca = Ca::new("Root");
    let named = ca.issue("app", |params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("app.acme.test".try_into().unwrap())];
    });
    let bare = ca.issue("app", |params| params.subject_alt_names.clear());
    let tolerant = TrustSettings { client_ca: vec![ca.der()], ..Default::default() };
    let strict = TrustSettings { client_san: ClientSan::Required, ..tolerant.clone() };
    let verdict = |settings: &TrustSettings, leaf: CertificateDer<'static>| {
        let trust = Trust::new(settings).unwrap();
        trust.verify(&[leaf], at(NOW)).map(|_| ()).map_err(|refusal| refusal.reason())
    };
    assert_eq!(verdict(&tolerant, named.der()), Ok(()));
    assert_eq!(verdict(&tolerant, bare.der()), Ok(()));
    assert_eq!(verdict(&strict, named.der()), Ok(()));
    assert_eq!(verdict(&strict, bare.der()), Err(Reason::SanMissing));
}
