//! `respgate cert`: revocation lists, and files that list many certificates.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, RootCertStore};

use crate::bench::{Bench, mode};

#[test]
fn a_revoked_certificate_is_in_the_list_and_its_neighbour_is_not() {
    let bench = Bench::with_authority();
    bench.fine("cert client --subject CN=app,O=Acme");
    bench.fine("cert client --subject CN=ops,O=Acme");
    let said = bench.fine("cert crl");
    assert!(said.starts_with("wrote ca.crl: number 1, 0 revoked, next one due by "), "{said}");
    let verify = |name: &str| {
        bench.openssl(&format!("verify -x509_strict -crl_check -CAfile ca.crt -CRLfile ca.crl {name}"))
    };
    verify("app.crt").unwrap();
    let said = bench.fine("cert revoke app.crt --reason key_compromise --days 7");
    assert!(said.contains("CN=app,O=Acme\n") && said.contains("number 2, 1 revoked"), "{said}");
    assert!(said.ends_with("crl = \"ca.crl\"\n"), "{said}");
    assert!(verify("app.crt").unwrap_err().contains("certificate revoked"));
    verify("ops.crt").unwrap();
    let text = bench.openssl("crl -in ca.crl -noout -text -CAfile ca.crt").unwrap();
    for part in ["verify OK", "Key Compromise", "X509v3 CRL Number", "X509v3 Authority Key Identifier"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Once more is the same revocation, and a list of its own.
    let said = bench.fine("cert revoke app.crt");
    assert!(said.contains("was revoked already") && said.contains("number 3, 1 revoked"), "{said}");
    // One whose file is lost.
    let serial = bench.openssl("x509 -in ops.crt -noout -serial").unwrap();
    bench.fine(&format!("cert revoke --serial {}", serial.trim().trim_start_matches("serial=")));
    assert!(verify("ops.crt").unwrap_err().contains("certificate revoked"));
    assert_eq!(bench.read("ca.revoked").lines().filter(|line| !line.starts_with(['#', 'n'])).count(), 2);
}

#[test]
fn an_intermediate_is_revoked_by_its_root() {
    let bench = Bench::with_authority();
    bench.fine("cert ca --issuer ca.crt --issuer-key ca.key --subject CN=team --as team");
    bench.fine("cert client --ca team.crt --ca-key team.key --subject CN=app");
    bench.fine("cert crl --ca team.crt --ca-key team.key");
    bench.fine("cert crl");
    bench.write("lists", &(bench.read("ca.crl") + &bench.read("team.crl")));
    let verify =
        "verify -x509_strict -crl_check_all -CAfile ca.crt -untrusted team.crt -CRLfile lists app.crt";
    bench.openssl(verify).unwrap();
    bench.fine("cert revoke team.crt --reason ca_compromise");
    bench.write("lists", &(bench.read("ca.crl") + &bench.read("team.crl")));
    assert!(bench.openssl(verify).unwrap_err().contains("certificate revoked"));
}

#[test]
fn a_certificate_of_another_authority_is_not_revoked_in_vain() {
    let bench = Bench::with_authority();
    // The same name, another key.
    bench.fine("cert ca --subject CN=ca,O=Acme --as other");
    bench.fine("cert client --ca other.crt --ca-key other.key --subject CN=app");
    let error = bench.refused(1, "cert revoke app.crt");
    assert!(error.contains("app.crt: this authority has not issued it, but CN=ca,O=Acme"), "{error}");
    assert!(!bench.path("ca.crl").exists() && !bench.path("ca.revoked").exists());
}

#[test]
fn no_list_is_made_from_a_damaged_register() {
    let bench = Bench::with_authority();
    bench.fine("cert client --subject CN=app");
    bench.fine("cert revoke app.crt");
    let list = bench.read("ca.crl");
    bench.write("ca.revoked", &bench.read("ca.revoked").replace("unspecified", "unspecifyed"));
    let error = bench.refused(1, "cert crl");
    assert!(error.contains("ca.revoked: line 3: expected a reason such as key_compromise"), "{error}");
    assert_eq!(bench.read("ca.crl"), list);
}

#[cfg(feature = "pkcs12")]
const MANY: &str = r#"
out = "made"
days = 30

[[certificate]]
kind = "ca"
subject = "CN=Acme CA"
days = 300

[[certificate]]
kind = "ca"
name = "team"
issuer = "ca"
path_length = 0
subject = "CN=Team CA"

[[certificate]]
kind = "server"
issuer = "team"
sans = ["dns:localhost", "ip:127.0.0.1"]

[[certificate]]
kind = "client"
issuer = "team"
subject = "CN=app,O=Acme"
key_type = "rsa"

[[certificate]]
kind = "both"
name = "node"
subject = "CN=node,O=Acme"
sans = ["uri:spiffe://acme.example/node"]
seconds = 600

[[certificate]]
kind = "client"
subject = "CN=packed"
p12_password_file = "pass"

[[certificate]]
kind = "csr"
subject = "CN=asked"
"#;

/// ES-06
#[cfg(feature = "pkcs12")]
#[test]
fn a_file_that_lists_many_makes_all_of_them_without_a_question() {
    let bench = Bench::new();
    bench.write("many.toml", MANY);
    bench.write("pass", "secret");
    let said = bench.fine("cert batch many.toml");
    for name in
        ["ca.crt", "team.key", "server.crt", "app.key", "node.crt", "packed.p12", "asked.csr", "asked.key"]
    {
        assert!(
            said.contains(&format!("made/{name}")) && bench.path("made").join(name).exists(),
            "{name}: {said}"
        );
    }
    let verify = "verify -x509_strict -CAfile made/ca.crt";
    bench.openssl(&format!("{verify} -purpose sslserver -untrusted made/team.crt made/server.crt")).unwrap();
    bench.openssl(&format!("{verify} -purpose sslclient -untrusted made/team.crt made/app.crt")).unwrap();
    bench.openssl(&format!("{verify} -purpose sslclient made/node.crt")).unwrap();
    bench.openssl("x509 -in made/node.crt -noout -checkend 601").unwrap_err();
    bench.openssl("x509 -in made/app.crt -noout -checkend 2593000").unwrap_err();
    bench.openssl("pkcs12 -in made/packed.p12 -passin file:pass -nodes").unwrap();
    bench.openssl("req -in made/asked.csr -noout -verify").unwrap();
}

#[test]
fn nothing_is_made_while_anything_in_the_list_is_wrong() {
    let bench = Bench::new();
    bench.write(
        "many.toml",
        "[[certificate]]\nkind = \"ca\"\n[[certificate]]\nkind = \"client\"\nsubject = \"CN=a,,\"\n\
         [[certificate]]\nkind = \"client\"\n[[certificate]]\nkind = \"server\"\nsans = [\"app.example\"]\n\
         [[certificate]]\nkind = \"client\"\nsubject = \"CN=a\"\nname = \"../a\"\n\
         [[certificate]]\nkind = \"client\"\nsubject = \"CN=ca\"\ndays = 0\n\
         [[certificate]]\nkind = \"client\"\nsubject = \"CN=ca\"\n",
    );
    let error = bench.refused(1, "cert batch many.toml");
    for part in [
        "certificate[1]: subject: ",
        "certificate[2]: subject: missing, and there are no sans",
        "certificate[3]: \"app.example\" is not an alternative name, expected dns:, ip:, uri: or email:",
        "certificate[4]: name: found \"../a\"",
        "certificate[5]: days: found 0, expected 1 to 36500",
        "certificate[6]: ca.crt is an earlier one's as well",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!bench.path("ca.crt").exists());
    bench.write("bad.toml", "[[certificate]]\nkind = \"ca\"\nsubjct = \"CN=a\"\n");
    assert!(bench.refused(1, "cert batch bad.toml").contains("unknown field `subjct`"));
    bench.write("ca.toml", "[[certificate]]\nkind = \"ca\"\n");
    bench.write("ca.key", "precious");
    assert!(bench.refused(1, "cert batch ca.toml").contains("ca.key exists"));
    assert_eq!(bench.read("ca.key"), "precious");
    bench.fine("cert batch ca.toml --force");
    assert_eq!(mode(&bench.path("ca.key")), 0o600);
}

/// The gateway's own verifier is rustls': what is written for it is read by it.
#[test]
fn rustls_refuses_the_revoked_certificate_and_its_neighbour_it_does_not() {
    let bench = Bench::with_authority();
    bench.fine("cert client --subject CN=app,O=Acme");
    bench.fine("cert client --subject CN=ops,O=Acme");
    bench.fine("cert revoke app.crt");
    let der = |name: &str| CertificateDer::from_pem_file(bench.path(name)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(der("ca.crt")).unwrap();
    let list = CertificateRevocationListDer::from_pem_file(bench.path("ca.crl")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .with_crls([list])
        .enforce_revocation_expiration()
        .build()
        .unwrap();
    let verify = |name: &str, now: UnixTime| verifier.verify_client_cert(&der(name), &[], now).map(|_| ());
    let revoked = rustls::Error::InvalidCertificate(CertificateError::Revoked);
    assert_eq!(verify("app.crt", UnixTime::now()), Err(revoked));
    assert_eq!(verify("ops.crt", UnixTime::now()), Ok(()));
    // A list lasts thirty days.
    let later = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs() + 31 * 86_400));
    let ended = verify("ops.crt", later).unwrap_err().to_string();
    assert!(ended.to_lowercase().contains("revocation list"), "{ended}");
}
