//! `respgate cert`: certificates, requests and PKCS#12 files.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::bench::{Bench, mode};

#[test]
fn alternative_names_and_purposes_are_those_that_were_asked_for() {
    let bench = Bench::with_authority();
    bench.fine(
        "cert client --subject CN=app,O=Acme --dns app.example --ip 10.0.0.7 --ip ::1 \
         --uri spiffe://acme.example/app --email app@acme.example --both",
    );
    let text = bench.openssl("x509 -in app.crt -noout -ext subjectAltName,extendedKeyUsage").unwrap();
    for part in [
        "DNS:app.example",
        "IP Address:10.0.0.7",
        "IP Address:0:0:0:0:0:0:0:1",
        "URI:spiffe://acme.example/app",
        "email:app@acme.example",
        "TLS Web Server Authentication, TLS Web Client Authentication",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for purpose in ["sslserver", "sslclient"] {
        let verify = format!("verify -x509_strict -purpose {purpose} -CAfile ca.crt app.crt");
        bench.openssl(&verify).unwrap();
    }
}

#[test]
fn a_certificate_may_have_alternative_names_only() {
    let bench = Bench::with_authority();
    let said = bench.fine("cert client --uri spiffe://acme.example/app --as app");
    assert!(said.ends_with("san_uri = \"spiffe://acme.example/app\"\n"), "{said}");
    let text = bench.openssl("x509 -in app.crt -noout -subject -ext subjectAltName").unwrap();
    assert!(text.contains("subject=\n") && text.contains("critical"), "{text}");
    bench.openssl("verify -x509_strict -purpose sslclient -CAfile ca.crt app.crt").unwrap();
    let error = bench.refused(1, "cert client --as nobody");
    assert!(error.contains("neither a subject nor an alternative name"), "{error}");
}

#[test]
fn every_kind_of_key_is_made_and_signs() {
    for (kind, shown) in [
        ("--key-type ec", "prime256v1"),
        ("--key-type p384", "secp384r1"),
        ("--key-type ed25519", "ED25519"),
        ("--key-type rsa", "(2048 bit)"),
        ("--rsa 3072", "(3072 bit)"),
        ("--rsa 4096", "(4096 bit)"),
    ] {
        let bench = Bench::new();
        bench.fine(&format!("cert ca {kind}"));
        bench.fine(&format!("cert client --subject CN=app {kind}"));
        let text = bench.openssl("x509 -in app.crt -noout -text").unwrap();
        assert!(text.contains(shown), "{kind}: {text}");
        bench.openssl("verify -x509_strict -CAfile ca.crt app.crt").unwrap();
        bench.openssl("pkey -in app.key -check -noout").unwrap();
    }
}

#[test]
fn days_and_seconds_are_counted_from_now() {
    let bench = Bench::with_authority();
    bench.fine("cert client --subject CN=brief --seconds 60");
    bench.openssl("x509 -in brief.crt -noout -checkend 30").unwrap();
    bench.openssl("x509 -in brief.crt -noout -checkend 61").unwrap_err();
    bench.fine("cert client --subject CN=long --days 30");
    bench.openssl("x509 -in long.crt -noout -checkend 2591000").unwrap();
    bench.openssl("x509 -in long.crt -noout -checkend 2593000").unwrap_err();
    let error = bench.refused(2, "cert client --subject CN=x --days 3 --seconds 3");
    assert!(error.contains("cannot be used with"), "{error}");
}

#[test]
fn a_request_is_signed_by_an_authority_that_never_sees_its_key() {
    let bench = Bench::with_authority();
    let said = bench.respgate(&[
        "cert",
        "csr",
        "--subject",
        r"CN=app+UID=7,O=Acme\, Inc.",
        "--dns",
        "a.example",
        "--as",
        "app",
    ]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(mode(&bench.path("app.key")), 0o600);
    let text = bench.openssl("req -in app.csr -noout -verify -subject -nameopt RFC2253").unwrap();
    assert!(text.contains("verify OK") && text.contains(r"CN=app,O=Acme\, Inc."), "{text}");
    let said = bench.fine("cert sign app.csr");
    assert!(
        said.starts_with(r"wrote app.crt: UID=7+CN=app,O=Acme\, Inc. (dns:a.example), until 2"),
        "{said}"
    );
    assert!(said.ends_with("certificate_subject_line = 'UID=7+CN=app,O=Acme\\, Inc.'\n"), "{said}");
    bench.openssl("verify -x509_strict -purpose sslclient -CAfile ca.crt app.crt").unwrap();
    let names = bench.openssl("x509 -in app.crt -noout -ext subjectAltName").unwrap();
    assert!(names.contains("DNS:a.example"), "{names}");
    // Its key is the request's.
    let [of_key, of_certificate] = ["pkey -in app.key -pubout", "x509 -in app.crt -noout -pubkey"];
    assert_eq!(bench.openssl(of_key).unwrap(), bench.openssl(of_certificate).unwrap());
    // Two certificates for one key are two, and can be revoked one by one.
    let serial = |name: &str| bench.openssl(&format!("x509 -in {name} -noout -serial")).unwrap();
    bench.fine("cert sign app.csr --cert again.crt --subject CN=other --dns b.example");
    assert_ne!(serial("app.crt"), serial("again.crt"));
    let again = bench.openssl("x509 -in again.crt -noout -subject -ext subjectAltName").unwrap();
    assert!(
        again.contains("CN = other") && again.contains("b.example") && !again.contains("a.example"),
        "{again}"
    );
}

#[test]
fn a_request_of_openssl_is_signed_and_what_it_asks_beyond_names_is_left_out() {
    let bench = Bench::with_authority();
    bench
        .openssl(
            "req -new -newkey rsa:2048 -nodes -keyout app.key -out app.csr -subj /O=Acme/CN=app \
             -addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign -addext subjectAltName=DNS:app.example",
        )
        .unwrap();
    bench.fine("cert sign app.csr --for both");
    let text = bench.openssl("x509 -in app.crt -noout -text -nameopt RFC2253").unwrap();
    assert!(text.contains("CA:FALSE") && !text.contains("CA:TRUE"), "{text}");
    assert!(!text.contains("Certificate Sign"), "{text}");
    assert!(text.contains("Subject: CN=app,O=Acme") && text.contains("DNS:app.example"), "{text}");
}

#[test]
fn a_request_that_was_tampered_with_is_refused() {
    let bench = Bench::with_authority();
    bench.fine("cert csr --subject CN=app,O=Acme");
    bench.openssl("req -in app.csr -outform DER -out app.der").unwrap();
    let mut der = std::fs::read(bench.path("app.der")).unwrap();
    let at = der.windows(3).position(|bytes| bytes == b"app").unwrap();
    der[at..at + 3].copy_from_slice(b"ops");
    std::fs::write(bench.path("ops.der"), der).unwrap();
    bench.openssl("req -inform DER -in ops.der -out ops.csr").unwrap();
    let error = bench.refused(1, "cert sign ops.csr");
    assert!(error.contains("ops.csr: the request is not signed by its own key"), "{error}");
    assert!(!bench.path("ops.crt").exists());
    let error = bench.refused(1, "cert sign ca.crt");
    assert!(error.contains("ca.crt: no PEM certificate request"), "{error}");
}

/// ES-06
#[cfg(feature = "pkcs12")]
#[test]
fn a_pkcs12_file_opens_with_its_password_and_with_no_other() {
    let bench = Bench::with_authority();
    bench.write("pass", "correct horse\n");
    bench.write("empty", "");
    let said = bench.fine("cert client --subject CN=app,O=Acme --p12 --password-file pass");
    assert!(said.contains("app.p12") && !bench.path("app.key").exists(), "{said}");
    assert_eq!(mode(&bench.path("app.p12")), 0o600);
    let text = bench.openssl("pkcs12 -in app.p12 -passin file:pass -nodes").unwrap();
    assert!(text.contains("CN = app") && text.contains("BEGIN PRIVATE KEY"), "{text}");
    bench.openssl("pkcs12 -in app.p12 -passin pass:wrong -nodes").unwrap_err();
    bench.openssl("pkcs12 -in app.p12 -passin pass: -nodes").unwrap_err();
    bench.fine("cert client --subject CN=bare --p12 --password-file empty");
    bench.openssl("pkcs12 -in bare.p12 -passin pass: -nodes").unwrap();
    bench.openssl("pkcs12 -in app.p12 -passin file:pass -nodes -clcerts -nokeys -out app.crt").unwrap();
    bench.openssl("verify -CAfile ca.crt app.crt").unwrap();
    let error = bench.refused(2, "cert client --subject CN=app --p12");
    assert!(error.contains("--password-file"), "{error}");
}

#[test]
fn an_authority_of_path_length_none_issues_no_other() {
    let bench = Bench::new();
    bench.fine("cert ca --path-length 0");
    let error = bench.refused(1, "cert ca --issuer ca.crt --issuer-key ca.key --as team");
    assert!(error.contains("may not sign other authorities' (pathlen:0)"), "{error}");
    let text = bench.openssl("x509 -in ca.crt -noout -ext basicConstraints").unwrap();
    assert!(text.contains("CA:TRUE, pathlen:0"), "{text}");
}

/// A real Redis that wants a client of the root, and ends with the test.
struct Redis(Child);

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// ES-06
#[test]
fn redis_and_redis_cli_take_what_an_intermediate_issued_knowing_only_the_root() {
    let bench = Bench::with_authority();
    bench.fine(
        "cert ca --issuer ca.crt --issuer-key ca.key --subject CN=team,O=Acme --path-length 0 --as team",
    );
    let issuer = "--ca team.crt --ca-key team.key";
    bench.fine(&format!("cert server {issuer} --name localhost --name 127.0.0.1"));
    bench.fine(&format!("cert client {issuer} --subject CN=app,O=Acme"));
    bench.fine("cert client --subject CN=direct,O=Acme");
    // The leaf and its issuer; the root is the peer's to have.
    assert_eq!(bench.read("app.crt").matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!(bench.read("direct.crt").matches("BEGIN CERTIFICATE").count(), 1);
    bench
        .openssl("verify -x509_strict -purpose sslclient -CAfile ca.crt -untrusted app.crt app.crt")
        .unwrap();
    bench.openssl("verify -CAfile ca.crt direct.crt").unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let _redis = Redis(
        Command::new("redis-server")
            .args(["--port", "0", "--tls-port", &port, "--save", "", "--tls-auth-clients", "yes"])
            .args(["--tls-cert-file", "server.crt", "--tls-key-file", "server.key"])
            .args(["--tls-ca-cert-file", "ca.crt"])
            .current_dir(bench.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server cannot be run: run make test"),
    );
    for user in ["app", "direct"] {
        let (certificate, key) = (format!("{user}.crt"), format!("{user}.key"));
        let words = [
            "-h",
            "localhost",
            "-p",
            &port,
            "--tls",
            "--cacert",
            "ca.crt",
            "--cert",
            &certificate,
            "--key",
            &key,
            "PING",
        ];
        let answered = (0..100).any(|_| {
            thread::sleep(Duration::from_millis(50));
            bench.run("redis-cli", &words).out == "PONG\n"
        });
        assert!(answered, "{user}: {:?}", bench.run("redis-cli", &words));
    }
}
