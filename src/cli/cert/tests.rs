//! The command `cert`, from its words to the files it writes.

use std::fs;
use std::path::Path;

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

/// Runs `cert` in `dir`; what it would print.
#[allow(clippy::disallowed_methods, reason = "certificates are made in real time")]
fn cert(dir: &Path, line: &str) -> Result<String, String> {
    let dir = dir.display().to_string();
    let words = line.split_whitespace().map(|word| word.replace("DIR", &dir));
    let args = Line::try_parse_from(std::iter::once("cert".to_owned()).chain(words));
    let what = args.map_err(|error| error.to_string())?.args.what;
    make(what, OffsetDateTime::now_utc()).map_err(|error| error.to_string())
}

fn with_authority() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    cert(dir.path(), "ca --out DIR --subject CN=ca,O=Acme --days 10").unwrap();
    dir
}

#[test]
fn a_client_gets_files_of_its_name_and_the_line_to_paste() {
    let dir = with_authority();
    let text = cert(
        dir.path(),
        r#"client --ca DIR/ca.crt --ca-key DIR/ca.key --out DIR/clients --subject cn=app,o=Acme\,Inc."#,
    );
    let text = text.unwrap();
    let shown = dir.path().display();
    assert!(
        text.starts_with(&format!(r"wrote {shown}/clients/app.crt: CN=app,O=Acme\,Inc., until 2")),
        "{text}"
    );
    let pasted: toml::Table = toml::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(pasted["certificate_subject_line"].as_str(), Some(r"CN=app,O=Acme\,Inc."));
    assert!(dir.path().join("clients/app.key").exists());
}

#[test]
fn nothing_is_overwritten_and_nothing_half_written() {
    let dir = with_authority();
    let line = "server --ca DIR/ca.crt --ca-key DIR/ca.key --out DIR --name localhost";
    fs::write(dir.path().join("server.crt"), "precious").unwrap();
    let error = cert(dir.path(), line).unwrap_err();
    let shown = dir.path().display();
    assert_eq!(error, format!("{shown}/server.crt exists; choose another name, or replace it with --force"));
    assert!(!dir.path().join("server.key").exists());
    cert(dir.path(), &format!("{line} --force")).unwrap();
    assert!(fs::read_to_string(dir.path().join("server.crt")).unwrap().starts_with("-----BEGIN CERT"));
}

#[test]
fn a_wrong_authority_is_an_error_that_names_the_file() {
    let dir = with_authority();
    cert(dir.path(), "ca --cert DIR/b.crt --key DIR/b.key").unwrap();
    cert(dir.path(), "client --ca DIR/ca.crt --ca-key DIR/ca.key --out DIR --subject CN=leaf").unwrap();
    fs::write(dir.path().join("not.pem"), "hello").unwrap();
    let shown = dir.path().display();
    for (ca, key, expected) in [
        ("ca.crt", "b.key", "/b.key: the key does not belong to the certificate: their public keys differ"),
        ("leaf.crt", "leaf.key", "/leaf.crt: the certificate may not sign others: it has no"),
        ("not.pem", "ca.key", "/not.pem: no PEM certificate: "),
        ("ca.crt", "ca.crt", "/ca.crt: no unencrypted private key in PEM: "),
        ("gone.crt", "ca.key", "/gone.crt: No such file"),
    ] {
        let line = format!("client --ca DIR/{ca} --ca-key DIR/{key} --subject CN=x --out DIR");
        let error = cert(dir.path(), &line).unwrap_err();
        assert!(error.starts_with(&format!("{shown}{expected}")), "{error}");
    }
}

#[test]
fn a_subject_is_refused_with_the_words_of_the_configuration() {
    let dir = with_authority();
    let client = "client --ca DIR/ca.crt --ca-key DIR/ca.key --out DIR --subject";
    let error = cert(dir.path(), &format!("{client} /O=Acme/CN=app")).unwrap_err();
    let same = "/O=Acme/CN=app".parse::<SubjectLine>().unwrap_err().to_string();
    assert!(error.contains(&same), "{error}");
    let error = cert(dir.path(), &format!("{client} CN=../../etc/app,O=Acme")).unwrap_err();
    assert_eq!(
        error,
        "subject CN=../../etc/app,O=Acme: its first value cannot be a file's name; \
         say --as NAME"
    );
}

#[test]
fn a_name_that_no_client_could_check_is_refused() {
    let dir = with_authority();
    let server = "server --ca DIR/ca.crt --ca-key DIR/ca.key --out DIR --name";
    let error = cert(dir.path(), &format!("{server} not_a/name")).unwrap_err();
    assert_eq!(error, "name \"not_a/name\" is neither a DNS name nor an IP address");
    for name in ["localhost", "127.0.0.1", "::1", "*.example.com"] {
        cert(dir.path(), &format!("{server} {name} --force")).unwrap();
    }
}
