//! `respgate subject`: the line it prints means the certificate, in whatever form
//! the certificate comes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use respgate::identity::{Certificate, SubjectLine};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value as Json;

use crate::bench::Bench;

fn json(bench: &Bench, words: &str) -> Json {
    serde_json::from_str(&bench.fine(&format!("subject {words} --json"))).unwrap()
}

/// ES-15, P-06, P-07: whatever order or escaping another tool prints, this line is
/// read back as the certificate's own subject.
#[test]
fn the_line_of_every_vector_matches_its_certificate_or_there_is_none() {
    let bench = Bench::new();
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut without = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(vectors).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "pem") {
            continue;
        }
        count += 1;
        let certificate = Certificate::from_der(&CertificateDer::from_pem_file(&path).unwrap()).unwrap();
        let found = json(&bench, path.to_str().unwrap());
        match found["certificate_subject_line"].as_str() {
            Some(text) => {
                let line: SubjectLine = text.parse().unwrap();
                assert!(line.matches(certificate.subject()), "{}: {text}", path.display());
                // The stanza can be pasted: it is TOML with that line in it.
                let pasted: toml::Table = toml::from_str(found["user"].as_str().unwrap()).unwrap();
                assert_eq!(pasted["user"][0]["certificate_subject_line"].as_str(), Some(text));
                let alone = bench.respgate(&["subject", path.to_str().unwrap(), "--line"]);
                assert_eq!(alone.out, format!("{text}\n"));
            }
            None => {
                let alone = bench.respgate(&["subject", path.to_str().unwrap(), "--line"]);
                assert_eq!((alone.code, alone.out.as_str()), (Some(1), ""), "{}", path.display());
                without.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    without.sort();
    assert_eq!(
        (count, without),
        (25, vec!["v16_nul".into(), "v23_newline".into(), "v24_empty_subject".into()])
    );
}

/// ES-15
#[cfg(feature = "pkcs12")]
#[test]
fn pem_der_and_pkcs12_say_the_same() {
    let bench = Bench::with_authority();
    bench.write("pass", "secret\n");
    bench.fine(
        "cert client --subject CN=app,O=Acme --uri spiffe://acme.example/app --p12 --password-file pass",
    );
    bench.openssl("pkcs12 -in app.p12 -passin file:pass -nodes -clcerts -nokeys -out app.crt").unwrap();
    bench.openssl("x509 -in app.crt -outform DER -out app.der").unwrap();
    let pem = json(&bench, "app.crt");
    assert_eq!(pem["certificate_subject_line"], "CN=app,O=Acme");
    assert_eq!(pem["issuer"], "CN=ca,O=Acme");
    assert_eq!(pem["sans"], serde_json::json!([{ "type": "uri", "value": "spiffe://acme.example/app" }]));
    assert_eq!(pem["purposes"], serde_json::json!(["clientAuth"]));
    assert_eq!(pem["refused_as_a_client"], serde_json::json!([]));
    assert_eq!(json(&bench, "app.der"), pem);
    assert_eq!(json(&bench, "app.p12 --password-file pass"), pem);
    // By an independent reader.
    let of_openssl = |line: &str| bench.openssl(line).unwrap().trim().to_lowercase().replace(':', "");
    let sha256 = of_openssl("x509 -in app.crt -noout -fingerprint -sha256");
    assert_eq!(sha256, format!("sha256 fingerprint={}", pem["certificate_sha256"].as_str().unwrap()));
    let serial = of_openssl("x509 -in app.crt -noout -serial");
    assert_eq!(serial, format!("serial={}", pem["serial"].as_str().unwrap().to_lowercase()));
    bench.openssl("x509 -in app.crt -noout -pubkey -out app.pub").unwrap();
    bench.openssl("pkey -pubin -in app.pub -outform DER -out spki.der").unwrap();
    let spki = of_openssl("dgst -sha256 -r spki.der");
    assert!(spki.starts_with(pem["spki_sha256"].as_str().unwrap()), "{spki}");
    let text = bench.fine("subject app.crt");
    assert!(
        text.contains("\ncertificate_subject_line = \"CN=app,O=Acme\"\n\n[[user]]\nname = \"app\"\n"),
        "{text}"
    );
    assert!(text.contains("\n# san_uri = \"spiffe://acme.example/app\"\n"), "{text}");
}

#[test]
fn a_certificate_that_no_client_can_use_is_said_to_be_refused_and_why() {
    let bench = Bench::with_authority();
    bench.fine("cert server --name localhost");
    assert_eq!(json(&bench, "server.crt")["refused_as_a_client"], serde_json::json!(["eku"]));
    assert_eq!(json(&bench, "ca.crt")["refused_as_a_client"], serde_json::json!(["leaf_is_ca"]));
    bench.fine("cert client --uri spiffe://acme.example/app --as app");
    let text = bench.fine("subject app.crt");
    assert!(text.contains("note         its subject is empty"), "{text}");
    assert!(
        text.contains(
            "[[user]]\nname = \"app\"\nsan_uri = \"spiffe://acme.example/app\"\n# certificate_sha256"
        ),
        "{text}"
    );
}

#[test]
fn a_subject_that_no_line_can_say_is_said_to_be_refused_only_where_it_is() {
    let bench = Bench::new();
    let key = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -out";
    let many: String = (0..70).map(|n| format!("/OU=u{n}")).collect();
    bench.openssl(&format!("{key} many.crt -subj {many}")).unwrap();
    let told = bench.refused(1, "subject many.crt --line");
    assert!(told.contains("more than 64 parts") && told.contains("or by its sha256"), "{told}");
    let text = bench.fine("subject many.crt");
    assert!(
        !text.contains("such a certificate is refused") && text.contains("\ncertificate_sha256 = "),
        "{text}"
    );
    let newline = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/v23_newline.pem");
    let told = bench.refused(1, &format!("subject {newline} --line"));
    assert!(told.contains("a control character: such a certificate is refused"), "{told}");
}

#[cfg(feature = "pkcs12")]
#[test]
fn what_is_no_certificate_ends_in_one_line_and_exit_code_1() {
    let bench = Bench::with_authority();
    bench.fine("cert csr --subject CN=app");
    bench.write("text", "hello");
    bench.write("pass", "wrong");
    bench.write("right", "right");
    bench.fine("cert client --subject CN=packed --p12 --password-file right");
    for (what, said) in [
        ("app.csr", "app.csr: a certificate request, not a certificate"),
        ("app.key", "app.key: there is no certificate in it"),
        ("text", "text: neither PEM nor a certificate in DER"),
        ("packed.p12", "say --password-file FILE"),
        ("packed.p12 --password-file pass", "packed.p12: not PKCS#12 with this password"),
        ("nothing", "nothing: there is no such file, and it is not HOST:PORT"),
        ("127.0.0.1:1", "127.0.0.1:1: cannot connect: "),
    ] {
        let error = bench.refused(1, &format!("subject {what}"));
        assert!(error.starts_with("respgate subject: ") && error.contains(said), "{what}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    bench.refused(2, "subject");
    bench.refused(2, "subject app.crt --line --json");
}

/// OpenSSL as a server that wants a client certificate; ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_shows_its_certificate_also_to_somebody_without_one() {
    for version in ["-tls1_2", "-tls1_3"] {
        let bench = Bench::with_authority();
        bench.fine("cert server --name localhost --subject CN=gateway,O=Acme");
        let server = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-cert", "server.crt", "-key", "server.key"])
            .args(["-CAfile", "ca.crt", "-Verify", "1", "-verify_return_error", version])
            .current_dir(bench.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut server = Server(server.expect("openssl cannot be run: run make test"));
        let lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
        let port = lines
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("ACCEPT 127.0.0.1:").map(str::to_owned))
            .expect("it says its port");
        let said = bench.fine(&format!("subject 127.0.0.1:{port} --line"));
        assert_eq!(said, "CN=gateway,O=Acme\n", "{version}");
    }
}
