//! What `respgate cert` makes is taken by the programs that will use it: the
//! gateway's own identity, OpenSSL's strictest verification, Redis and redis-cli.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::disallowed_methods, reason = "certificates are made and verified in real time")]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use respgate::cli::cert::files::Pair;
use respgate::cli::cert::issue::{Authority, KeyKind, Terms};
use respgate::identity::{Certificate, SubjectLine};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;

/// An authority, a server for localhost, and a client, in files.
struct Made {
    dir: tempfile::TempDir,
    authority: Authority,
    terms: Terms,
}

impl Made {
    fn new(authority_subject: &str, key: KeyKind) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let terms = Terms { lasts: time::Duration::days(30), key, now: OffsetDateTime::now_utc() };
        let (created, issued) = Authority::create(&line(authority_subject), &terms).unwrap();
        let files = Pair::in_dir(dir.path(), "ca");
        files.write(&issued, false).unwrap();
        drop(created);
        // From its files, as it is used later.
        let [certificate, key] = [&files.certificate, &files.key].map(|path| fs::read(path).unwrap());
        let authority = Authority::load(&certificate, &key, terms.now).unwrap();
        let made = Self { dir, authority, terms };
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = made.authority.server(&line("CN=localhost"), &names, &made.terms).unwrap();
        Pair::in_dir(made.dir.path(), "server").write(&server, false).unwrap();
        made
    }

    fn client(&self, name: &str, subject: &str) {
        let client = self.authority.client(&line(subject), &self.terms).unwrap();
        Pair::in_dir(self.dir.path(), name).write(&client, false).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn certificate(&self, name: &str) -> Certificate {
        Certificate::from_der(&CertificateDer::from_pem_file(self.path(name)).unwrap()).unwrap()
    }
}

fn line(text: &str) -> SubjectLine {
    text.parse().unwrap()
}

fn run(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    output.unwrap_or_else(|cause| panic!("{program} cannot be run ({cause}): run make test"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_line_that_was_passed_is_the_line_that_matches() {
    let made = Made::new("CN=ca,O=Acme", KeyKind::EcdsaP256);
    for (number, subject) in [
        "CN=app,O=Acme",
        "CN=CLIENT1,OU=UNIT,O=ORG,L=ONTARIO,ST=TORONTO,C=CA",
        "CN=svc,OU=Testing,OU=Engineering,DC=acme,DC=com",
        "CN=alice+UID=1001,O=Acme,C=US",
        r"CN=svc,O=Acme\, Inc.,C=US",
        "CN=Łukasz,O=Zażółć",
    ]
    .into_iter()
    .enumerate()
    {
        let name = number.to_string();
        made.client(&name, subject);
        let certificate = made.certificate(&format!("{name}.crt"));
        assert!(line(subject).matches(certificate.subject()), "{subject}: {}", certificate.subject());
        let authority = made.certificate("ca.crt");
        assert_eq!(certificate.issuer(), authority.subject());
    }
}

#[test]
fn openssl_verifies_every_kind_in_its_strict_mode() {
    for (subject, key) in [
        ("CN=ca,O=Acme", KeyKind::EcdsaP256),
        ("CN=ca,OU=b,OU=a,DC=acme,DC=com", KeyKind::EcdsaP256),
        ("CN=ca,O=Acme", KeyKind::Rsa2048),
    ] {
        let made = Made::new(subject, key);
        made.client("app", "CN=app+UID=7,O=Acme");
        for (purpose, file) in [("sslserver", "server.crt"), ("sslclient", "app.crt")] {
            let (ca, file) = (made.path("ca.crt"), made.path(file));
            let verify = ["verify", "-x509_strict", "-purpose", purpose, "-CAfile", text(&ca), text(&file)];
            let output = run("openssl", &verify);
            assert!(output.status.success(), "{output:?}");
            let other = if purpose == "sslserver" { "sslclient" } else { "sslserver" };
            let verify = ["verify", "-x509_strict", "-purpose", other, "-CAfile", text(&ca), text(&file)];
            assert!(!run("openssl", &verify).status.success(), "{subject}: also good for {other}");
        }
    }
}

#[test]
fn what_is_issued_does_not_outlive_its_authority() {
    let made = Made::new("CN=ca", KeyKind::EcdsaP256);
    let terms = Terms { lasts: time::Duration::days(3650), ..made.terms };
    let issued = made.authority.client(&line("CN=app"), &terms).unwrap();
    assert_eq!(issued.not_after.unix_timestamp(), made.certificate("ca.crt").not_after());
}

/// A real Redis with the server's certificate, that wants one of its clients.
struct Redis {
    child: Child,
    port: String,
}

impl Redis {
    fn start(made: &Made) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let [certificate, key, ca] = ["server.crt", "server.key", "ca.crt"].map(|name| made.path(name));
        let child = Command::new("redis-server")
            .args(["--port", "0", "--tls-port", &port, "--save", "", "--dir", text(made.dir.path())])
            .args(["--tls-cert-file", text(&certificate), "--tls-key-file", text(&key)])
            .args(["--tls-ca-cert-file", text(&ca), "--tls-auth-clients", "yes"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server cannot be run: run make test");
        Self { child, port }
    }

    /// Waits for the port to be there.
    fn ping(&self, made: &Made, client: &str) -> String {
        let [certificate, key] = ["crt", "key"].map(|kind| made.path(&format!("{client}.{kind}")));
        let ca = made.path("ca.crt");
        let mut last = None;
        for _ in 0..100 {
            let output = run(
                "redis-cli",
                &[
                    "-h",
                    "localhost",
                    "-p",
                    &self.port,
                    "--tls",
                    "--cacert",
                    text(&ca),
                    "--cert",
                    text(&certificate),
                    "--key",
                    text(&key),
                    "PING",
                ],
            );
            let shown = String::from_utf8_lossy(&output.stdout).into_owned();
            if output.status.success() && !shown.trim().is_empty() {
                return shown;
            }
            last = Some(output);
            thread::sleep(Duration::from_millis(50));
        }
        panic!("no answer within five seconds: {last:?}");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn redis_and_redis_cli_take_the_certificates_as_they_are() {
    for key in [KeyKind::EcdsaP256, KeyKind::Rsa3072] {
        let made = Made::new("CN=ca,O=Acme", key);
        made.client("app", "CN=app,O=Acme");
        let redis = Redis::start(&made);
        assert_eq!(redis.ping(&made, "app"), "PONG\n");
    }
}

/// Python 3.13's default verification is OpenSSL's strict mode; here it is
/// asked for by name. Host names are checked against DNS and IP names.
#[test]
fn python_takes_the_server_in_strict_mode_by_name_and_by_address() {
    let made = Made::new("CN=ca,O=Acme", KeyKind::EcdsaP256);
    made.client("app", "CN=app,O=Acme");
    let redis = Redis::start(&made);
    redis.ping(&made, "app");
    let program = r#"
import socket, ssl, sys
directory, port = sys.argv[1:]
context = ssl.create_default_context(cafile=directory + "/ca.crt")
context.verify_flags |= ssl.VERIFY_X509_STRICT
context.load_cert_chain(directory + "/app.crt", directory + "/app.key")
for name in ("localhost", "127.0.0.1"):
    with socket.create_connection(("127.0.0.1", int(port)), 5) as plain:
        with context.wrap_socket(plain, server_hostname=name) as tls:
            tls.sendall(b"PING\r\n")
            assert tls.recv(7) == b"+PONG\r\n"
try:
    with socket.create_connection(("127.0.0.1", int(port)), 5) as plain:
        context.wrap_socket(plain, server_hostname="example.com")
    sys.exit("a wrong name was accepted")
except ssl.SSLCertVerificationError as error:
    assert "Hostname mismatch" in str(error), error
"#;
    let output = run("python3", &["-c", program, text(made.dir.path()), &redis.port]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_certificate_of_a_made_authority_is_permitted_as_its_user() {
    use respgate::identity::{Credential, Entry, Evidence, User, UserMap};
    use respgate::secret::Secret;

    let made = Made::new("CN=ca,O=Acme", KeyKind::EcdsaP256);
    made.client("app", "CN=app,O=Acme");
    let credential = Credential::new("app", Secret::new(b"x".to_vec()));
    let entries = vec![Entry::from(line("CN=app,O=Acme"))];
    let user = User { entries, ..User::new("app", credential) };
    let map = UserMap::build(vec![user]).unwrap();
    let evidence = |file| {
        let certificate = Arc::new(made.certificate(file));
        Evidence::new(Some(certificate), [], std::net::Ipv4Addr::LOCALHOST.into(), "default")
    };
    let permit = map.permit(&evidence("app.crt")).unwrap();
    assert_eq!(permit.user().name, "app");
    // The authority's own certificate is nobody's.
    assert!(map.permit(&evidence("ca.crt")).is_err());
}
