//! One specimen at the gateway's door: what the client sees, and what is written
//! down about it. Every client sends the same bytes with the end of its handshake.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SingleCertAndKey;
use rustls::{AlertDescription, ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde_json::Value as Json;

use super::plan::Specimen;
use super::table::{Row, Verdict};
use crate::pki::pki;
use crate::resp;
use crate::wire::{Client, PATIENCE, is_end};
use crate::world::World;

/// What a client sees.
#[derive(Debug)]
pub(super) enum Seen {
    /// It is served, as this Redis user.
    Served(String),
    /// One line for each request, and the end. The text of it.
    Line(String),
    /// An alert, and nothing before it.
    Alert(AlertDescription),
    /// The end, and nothing before it.
    End,
}

/// The key that a visit writes, where it is let.
pub(super) fn key(row: &Row, version: &SupportedProtocolVersion) -> String {
    format!("zoo:{}:{:?}", row.name, version.version)
}

fn config(specimen: &Specimen, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pki().trusted.certificate.as_bytes()).expect("PEM"))
        .expect("a CA");
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    Arc::new(
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a known version")
            .with_webpki_verifier(verifier.build().expect("a root"))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(specimen.certified()))),
    )
}

/// Comes in, or not.
pub(super) fn come(
    address: SocketAddr,
    specimen: &Specimen,
    version: &'static SupportedProtocolVersion,
    key: &str,
) -> Result<Seen, String> {
    let words = [resp::request(&["SET", key, "1"]), resp::request(&["ACL", "WHOAMI"])].concat();
    let mut client = match Client::tls_at_once(address, config(specimen, version), &words) {
        Ok(client) => client,
        Err(error) => return alert(&error),
    };
    match client.try_read() {
        Ok(resp::Value::Simple(text)) if text == "OK" => Ok(Seen::Served(client.read().to_string())),
        Ok(resp::Value::Error(text)) => {
            // The same for the second request, and nothing for what is not asked.
            assert_eq!(client.read().to_string(), format!("-{text}"));
            client.finish_writing();
            client.expect_end();
            Ok(Seen::Line(text))
        }
        Ok(other) => Err(format!("it was told {other}")),
        Err(error) => alert(&error),
    }
}

fn alert(error: &io::Error) -> Result<Seen, String> {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => Ok(Seen::Alert(*alert)),
        _ if is_end(error) => Ok(Seen::End),
        _ => Err(format!("it failed with {error:?}")),
    }
}

/// What is wrong with what was seen and written down, if anything.
pub(super) fn judge(row: &Row, specimen: &Specimen, seen: &Seen, record: &Json) -> Result<(), String> {
    let text = |field: &str| record[field].as_str().unwrap_or_default();
    let mut wrong = Vec::new();
    let mut hold = |what: &str, got: &str, expected: &str| {
        if got != expected {
            wrong.push(format!("{what} is {got:?}, expected {expected:?}"));
        }
    };
    hold("listener_name", text("listener_name"), row.listener);
    let fingerprint = respgate::identity::Fingerprint::of(&specimen.chain[0]).to_string();
    if record["fingerprint"].is_string() {
        hold("fingerprint", text("fingerprint"), &fingerprint);
    }
    match (row.verdict, seen) {
        (Verdict::Is(user), Seen::Served(redis_user)) => {
            hold("outcome", text("outcome"), "accepted");
            hold("user", text("user"), user);
            hold("fingerprint", text("fingerprint"), &fingerprint);
            hold("ACL WHOAMI", redis_user, &format!("${}", text("redis_user")));
        }
        (Verdict::Nobody(reason), Seen::Line(line)) => {
            hold("outcome", text("outcome"), "refused");
            hold("reason", text("reason"), reason);
            // What cannot be read as a certificate is not described as one.
            if reason != "bad_certificate" {
                hold("fingerprint", text("fingerprint"), &fingerprint);
            }
            let reference = text("reference");
            let expected = format!("NOPERM no user is mapped to this certificate (reference {reference})");
            hold("the line", line, &expected);
        }
        (Verdict::Distrusted(reason), Seen::Alert(alert)) => {
            hold("outcome", text("outcome"), "refused");
            hold("reason", text("reason"), reason);
            if !fits(reason, *alert) {
                wrong.push(format!("the alert is {alert:?}"));
            }
        }
        (Verdict::Cut(reason), Seen::Alert(_) | Seen::End) => {
            hold("outcome", text("outcome"), "refused");
            hold("reason", text("reason"), reason);
        }
        (verdict, seen) => wrong.push(format!("expected {verdict:?}, the client saw {seen:?}")),
    }
    if text("detail").chars().any(|it| it.is_ascii_control()) {
        wrong.push("a control character in the detail".to_owned());
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}; the audit says {record}", wrong.join("; "))) }
}

/// Whether a client that gets this alert is told what the operator is.
fn fits(reason: &str, alert: AlertDescription) -> bool {
    use AlertDescription as A;
    match reason {
        // Where it is a CA's time that is over, the client is not told that its own is.
        "expired" => matches!(alert, A::CertificateExpired | A::CertificateUnknown),
        "not_yet_valid" => alert == A::CertificateExpired,
        "revoked" => alert == A::CertificateRevoked,
        "untrusted_issuer" => alert == A::UnknownCA,
        "eku" => alert == A::UnsupportedCertificate,
        _ => matches!(alert, A::BadCertificate | A::CertificateUnknown | A::UnknownCA | A::DecryptError),
    }
}

/// Reads what is new in the audit.
#[derive(Default)]
pub(super) struct Audit(usize);

impl Audit {
    /// The next record, waiting for it; there is one for each visit.
    pub(super) fn next(&mut self, world: &World) -> Json {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read_to_string(world.path("audit.jsonl")).unwrap_or_default();
            if let Some((line, _)) = text[self.0..].split_once('\n') {
                self.0 += line.len() + 1;
                return serde_json::from_str(line).expect("JSON");
            }
            assert!(Instant::now() < deadline, "no audit record");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}
