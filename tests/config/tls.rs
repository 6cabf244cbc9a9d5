//! What the listener's TLS lets through and what it calls the rest: handshakes
//! between rustls and rustls, in memory.

use std::io;
use std::sync::Arc;

use respgate::identity::Reason;
use respgate::io::ClientAuth;
use respgate::io::tls::{
    ClientEku, TlsError, TlsSettings, TlsVersion, TrustSettings, certified_key, detail, reason,
    server_config, take_shown, trust,
};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig,
    ServerConnection, SignatureScheme, SupportedProtocolVersion,
};

use crate::pki::{self, Ca, Leaf};

pub(crate) const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// A listener, its CA, and the settings it was made of.
pub(crate) struct Gate {
    pub(crate) ca: Ca,
    pub(crate) settings: TlsSettings,
}

impl Gate {
    pub(crate) fn new() -> Self {
        let ca = Ca::new("Test CA");
        let server = ca.issue("server", pki::for_servers);
        let settings = TlsSettings {
            server: certified_key(vec![server.der()], server.key_der()).unwrap(),
            min_version: TlsVersion::V12,
            client_auth: ClientAuth::Required,
            trust: TrustSettings { client_ca: vec![ca.der()], ..TrustSettings::default() },
            resumption: false,
            keep_server_names: false,
        };
        Self { ca, settings }
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        server_config(&self.settings, trust(&self.settings).unwrap().as_ref()).unwrap()
    }

    /// Why a client with this certificate is refused, in every version. Its
    /// certificate must have been remembered for the audit, unless it is too large
    /// to be looked at.
    fn refusal(&self, chain: &[CertificateDer<'static>], key: &Leaf) -> (Reason, String) {
        let refusals = BOTH.map(|version| {
            let _ = take_shown();
            let client = client(&self.ca, version, Some((chain.to_vec(), key)));
            let error = handshake(&self.config(), &client).expect_err("the handshake succeeded");
            let is_read = chain[0].len() <= 32 * 1024;
            assert_eq!(take_shown().as_ref(), is_read.then_some(&chain[0]));
            assert_eq!(take_shown(), None, "shown twice");
            (reason(&error), detail(&error))
        });
        let [old, new] = refusals;
        assert_eq!(old, new, "TLS 1.2 and 1.3 differ");
        new
    }

    fn refusal_of(&self, leaf: &Leaf) -> Reason {
        self.refusal(&[leaf.der()], leaf).0
    }
}

/// Shows the same certificate whatever the server asks for.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesClientCert for Always {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

pub(crate) fn client(
    ca: &Ca,
    version: &'static SupportedProtocolVersion,
    shows: Option<(Vec<CertificateDer<'static>>, &Leaf)>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.der()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shows {
        None => builder.with_no_client_auth(),
        Some((chain, leaf)) => {
            let key = provider.key_provider.load_private_key(leaf.key_der()).unwrap();
            builder.with_client_cert_resolver(Arc::new(Always(Arc::new(CertifiedKey::new(chain, key)))))
        }
    };
    config.resumption = Resumption::in_memory_sessions(8);
    Arc::new(config)
}

/// Runs a handshake and one byte in each direction; the error is the server's,
/// as tokio-rustls would return it.
pub(crate) fn handshake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
) -> io::Result<(ServerConnection, ClientConnection)> {
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    for _ in 0..10 {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        feed(&mut server, &flight)?;
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        let mut rest = flight.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().expect("the client refused the server");
        }
    }
    assert!(!server.is_handshaking() && !client.is_handshaking(), "the handshake did not end");
    Ok((server, client))
}

fn feed(server: &mut ServerConnection, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        server.read_tls(&mut bytes)?;
        server.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    }
    Ok(())
}

fn fixture(name: &str) -> CertificateDer<'static> {
    let path = format!("{}/tests/config/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    CertificateDer::from_pem_file(path).unwrap()
}

#[test]
fn a_certificate_of_a_client_ca_is_let_through_in_both_versions() {
    let gate = Gate::new();
    for change in [pki::as_is as pki::Change, pki::for_clients] {
        let leaf = gate.ca.issue("app", change);
        for version in BOTH {
            let client = client(&gate.ca, version, Some((vec![leaf.der()], &leaf)));
            let (server, _) = handshake(&gate.config(), &client).unwrap();
            assert_eq!(server.protocol_version(), Some(version.version));
            assert_eq!(server.peer_certificates().unwrap(), [leaf.der()]);
            assert_eq!(take_shown(), None, "only refused certificates are remembered");
        }
    }
}

#[test]
fn the_certificate_may_come_with_an_intermediate_or_be_of_a_second_ca() {
    let mut gate = Gate::new();
    let second = Ca::new("Second CA");
    gate.settings.trust.client_ca.push(second.der());
    let below = second.intermediate("Below");
    let leaf = below.issue("app", pki::for_clients);
    for version in BOTH {
        let client = client(&gate.ca, version, Some((vec![leaf.der(), below.der()], &leaf)));
        handshake(&gate.config(), &client).unwrap();
    }
}

#[test]
fn no_session_is_ever_resumed() {
    let gate = Gate::new();
    let leaf = gate.ca.issue("app", pki::for_clients);
    let config = gate.config();
    for version in BOTH {
        let client = client(&gate.ca, version, Some((vec![leaf.der()], &leaf)));
        for _ in 0..3 {
            let (server, client) = handshake(&config, &client).unwrap();
            assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(client.tls13_tickets_received(), 0);
        }
    }
}

#[test]
fn tls_12_is_refused_where_1_3_is_the_oldest() {
    let mut gate = Gate::new();
    gate.settings.min_version = TlsVersion::V13;
    let leaf = gate.ca.issue("app", pki::for_clients);
    let with = |version| client(&gate.ca, version, Some((vec![leaf.der()], &leaf)));
    let (server, _) = handshake(&gate.config(), &with(&rustls::version::TLS13)).unwrap();
    assert_eq!(server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let error = handshake(&gate.config(), &with(&rustls::version::TLS12)).unwrap_err();
    assert_eq!(reason(&error), Reason::HandshakeFailed);
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let gate = Gate::new();
    for version in BOTH {
        let error = handshake(&gate.config(), &client(&gate.ca, version, None)).unwrap_err();
        assert_eq!(reason(&error), Reason::NoClientCertificate);
        assert_eq!(take_shown(), None);
    }
}

#[test]
fn another_ca_even_of_the_same_name_is_an_untrusted_issuer() {
    let gate = Gate::new();
    let other = Ca::new("Other CA").issue("app", pki::for_clients);
    assert_eq!(gate.refusal_of(&other), Reason::UntrustedIssuer);
    let namesake = Ca::new("Test CA").issue("app", pki::for_clients);
    assert_eq!(gate.refusal_of(&namesake), Reason::UntrustedIssuer);
}

#[test]
fn validity_is_checked_at_the_time_of_the_handshake() {
    let gate = Gate::new();
    assert_eq!(gate.refusal_of(&gate.ca.issue("app", pki::expired)), Reason::Expired);
    assert_eq!(gate.refusal_of(&gate.ca.issue("app", pki::not_yet_valid)), Reason::NotYetValid);
}

#[test]
fn a_ca_past_its_end_is_trusted_until_it_is_removed() {
    let mut gate = Gate::new();
    let old = Ca::with("Old CA", pki::expired);
    let leaf = old.issue("app", pki::for_clients);
    assert_eq!(gate.refusal_of(&leaf), Reason::UntrustedIssuer);
    gate.settings.trust.client_ca.push(old.der());
    let client = client(&gate.ca, BOTH[1], Some((vec![leaf.der()], &leaf)));
    handshake(&gate.config(), &client).unwrap();
}

#[test]
fn a_certificate_for_servers_only_is_refused_for_its_usage() {
    let gate = Gate::new();
    let server = gate.ca.issue("app", pki::for_servers);
    let (reason, text) = gate.refusal(&[server.der()], &server);
    assert_eq!(reason, Reason::Eku);
    assert!(
        text.contains(
            "for client authentication, allows server authentication: a client's certificate needs"
        ),
        "{text}"
    );
    let mail: pki::Change = |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::EmailProtection];
    };
    assert_eq!(gate.refusal_of(&gate.ca.issue("app", mail)), Reason::Eku);
}

#[test]
fn a_required_usage_must_be_named() {
    let mut gate = Gate::new();
    gate.settings.trust.client_eku = ClientEku::Required;
    let without = gate.ca.issue("app", pki::as_is);
    let (reason, text) = gate.refusal(&[without.der()], &without);
    assert_eq!(reason, Reason::Eku);
    assert_eq!(text, "the certificate names no extended key usage, but client_eku is \"required\"");
    let leaf = gate.ca.issue("app", pki::for_clients);
    let client = client(&gate.ca, BOTH[1], Some((vec![leaf.der()], &leaf)));
    handshake(&gate.config(), &client).unwrap();
}

#[test]
fn old_and_weak_certificates_are_refused() {
    let mut gate = Gate::new();
    gate.settings.trust.client_ca.push(fixture("ca.crt"));
    // The certificate is refused before its key is asked for, so any key will do.
    let any = gate.ca.issue("any", pki::as_is);
    for (name, why) in [
        ("v1.crt", "the client certificate is X.509 v1, expected v3"),
        ("rsa1024.crt", "the client certificate has an RSA key of 1024 bits, expected at least 2048"),
        ("sha1.crt", "not accepted, such as SHA-1"),
    ] {
        let (reason, text) = gate.refusal(&[fixture(name)], &any);
        assert_eq!(reason, Reason::BadCertificate, "{name}");
        assert!(text.contains(why), "{name}: {text}");
    }
}

#[test]
fn somebody_elses_certificate_without_its_key_is_refused() {
    let gate = Gate::new();
    let victim = gate.ca.issue("app", pki::for_clients);
    let mallory = gate.ca.issue("mallory", pki::for_clients);
    let (reason, text) = gate.refusal(&[victim.der()], &mallory);
    assert_eq!(reason, Reason::BadCertificate);
    assert!(text.contains("BadSignature"), "{text}");
}

#[test]
fn a_chain_has_at_most_eight_certificates_and_32_kib() {
    let gate = Gate::new();
    let leaf = gate.ca.issue("app", pki::for_clients);
    let spare = Ca::new("Spare").der();
    let mut chain = vec![leaf.der()];
    chain.resize(8, spare.clone());
    let with = |chain| client(&gate.ca, BOTH[1], Some((chain, &leaf)));
    handshake(&gate.config(), &with(chain.clone())).unwrap();
    chain.push(spare);
    let (reason, text) = gate.refusal(&chain, &leaf);
    assert_eq!(reason, Reason::BadCertificate);
    assert!(text.contains("presented 9 certificates, expected at most 8"), "{text}");

    let large: pki::Change = |params| {
        let extension =
            rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 42069, 2], vec![4; 32_768]);
        params.custom_extensions.push(extension);
    };
    let large = gate.ca.issue("app", large);
    let (reason, text) = gate.refusal(&[large.der()], &large);
    assert_eq!(reason, Reason::BadCertificate);
    assert!(text.contains("bytes of certificates, expected at most 32768"), "{text}");
}

#[test]
fn bytes_that_are_not_tls_are_called_so() {
    let gate = Gate::new();
    for bytes in ["*1\r\n$4\r\nPING\r\n", "PING\r\n", "GET / HTTP/1.1\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n"] {
        let mut server = ServerConnection::new(gate.config()).unwrap();
        let error = feed(&mut server, bytes.as_bytes()).unwrap_err();
        assert_eq!(reason(&error), Reason::NotTls, "{bytes:?}");
    }
}

#[test]
fn an_end_or_reset_in_the_middle_is_a_failed_handshake() {
    for kind in [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset] {
        assert_eq!(reason(&io::Error::from(kind)), Reason::HandshakeFailed);
    }
}

#[test]
fn settings_without_a_ca_or_with_another_key_make_no_listener() {
    let mut gate = Gate::new();
    gate.settings.trust.client_ca.clear();
    assert_eq!(trust(&gate.settings).unwrap_err(), TlsError::NoClientCa);
    let (a, b) = (gate.ca.issue("a", pki::as_is), gate.ca.issue("b", pki::as_is));
    assert_eq!(certified_key(vec![a.der()], b.key_der()).unwrap_err(), TlsError::KeyMismatch);
}

/// The accept loop runs its handshakes on one thread: each that is refused must
/// find its own client's certificate, however they are interleaved.
#[tokio::test]
async fn each_of_many_handshakes_on_a_thread_finds_its_own_certificate() {
    let gate = Gate::new();
    let acceptor = tokio_rustls::TlsAcceptor::from(gate.config());
    let other = Ca::new("Other CA");
    let mut handshakes = tokio::task::JoinSet::new();
    for number in 0..64 {
        let (leaf, expected) = match number % 4 {
            0 => (other.issue("app", pki::for_clients), Some(Reason::UntrustedIssuer)),
            1 => (gate.ca.issue("app", pki::expired), Some(Reason::Expired)),
            2 => (gate.ca.issue("app", pki::for_clients), Some(Reason::NoClientCertificate)),
            _ => (gate.ca.issue("app", pki::for_clients), None),
        };
        let shows = (expected != Some(Reason::NoClientCertificate)).then(|| (vec![leaf.der()], &leaf));
        let client = client(&gate.ca, BOTH[number % 2], shows);
        let connector = tokio_rustls::TlsConnector::from(client);
        let name = ServerName::try_from("localhost").unwrap();
        // A pipe this small takes many turns to pass a flight.
        let (here, there) = tokio::io::duplex(64 + number);
        let client = tokio::spawn(async move { drop(connector.connect(name, there).await) });
        let acceptor = acceptor.clone();
        handshakes.spawn(async move {
            let failed = acceptor.accept(here).await.err();
            let shown = take_shown();
            client.abort();
            let reason = failed.as_ref().map(reason);
            assert_eq!(reason, expected);
            let shows = matches!(reason, Some(Reason::UntrustedIssuer | Reason::Expired));
            assert_eq!(shown, shows.then(|| leaf.der()));
        });
    }
    let all = async {
        while let Some(one) = handshakes.join_next().await {
            one.unwrap()
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), all).await.unwrap();
}

proptest::proptest! {
    #[test]
    fn no_bytes_in_place_of_a_certificate_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..512)) {
        let gate = Gate::new();
        let any = gate.ca.issue("any", pki::as_is);
        let client = client(&gate.ca, BOTH[1], Some((vec![CertificateDer::from(bytes)], &any)));
        proptest::prop_assert!(handshake(&gate.config(), &client).is_err());
    }
}
