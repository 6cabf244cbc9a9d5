//! `respgate cert`: makes an authority, server certificates and client
//! certificates, for trying respgate out and for those who have no authority of
//! their own. Owns the arguments and what is printed.
//!
//! A subject is read by the parser that reads `certificate_subject_line`, so the
//! line that is passed here is the line that matches.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use thiserror::Error;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::identity::SubjectLine;

pub mod files;
pub mod issue;
mod sign;

use files::{FileError, Pair};
use issue::{Authority, IssueError, Issued, KeyKind, Terms};

/// Make certificates
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a self-signed authority: ca.crt and ca.key
    Ca(CaArgs),
    /// Issue a server certificate: server.crt and server.key
    Server(ServerArgs),
    /// Issue a client certificate, named after the first attribute of its subject: app.crt and app.key
    Client(ClientArgs),
}

#[derive(Debug, ClapArgs)]
struct CaArgs {
    /// The subject, as RFC 4514 writes it: most specific first
    #[arg(long, value_name = "LINE", default_value = "CN=respgate CA")]
    subject: SubjectLine,
    /// Days until it ends
    #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36500))]
    days: u32,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, ClapArgs)]
struct ServerArgs {
    #[command(flatten)]
    issuer: IssuerArgs,
    /// A DNS name or IP address that clients connect to; may be repeated
    #[arg(long = "name", value_name = "NAME", required = true)]
    names: Vec<String>,
    /// The subject, as RFC 4514 writes it; by default CN= and the first name
    #[arg(long, value_name = "LINE")]
    subject: Option<SubjectLine>,
    /// Days until it ends; at most as long as its authority
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36500))]
    days: u32,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, ClapArgs)]
struct ClientArgs {
    #[command(flatten)]
    issuer: IssuerArgs,
    /// The subject, as RFC 4514 writes it, most specific first: CN=app,O=Acme
    #[arg(long, value_name = "LINE")]
    subject: SubjectLine,
    /// Days until it ends; at most as long as its authority
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36500))]
    days: u32,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, ClapArgs)]
struct IssuerArgs {
    /// The authority's certificate, in PEM
    #[arg(long, value_name = "FILE", default_value = "ca.crt")]
    ca: PathBuf,
    /// The authority's private key, in PEM
    #[arg(long, value_name = "FILE", default_value = "ca.key")]
    ca_key: PathBuf,
}

#[derive(Debug, ClapArgs)]
struct Output {
    /// The directory to write to; it is made if it is not there
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Where to write the certificate, instead of --out
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "out")]
    cert: Option<PathBuf>,
    /// Where to write the private key, instead of --out
    #[arg(long, value_name = "FILE", requires = "cert", conflicts_with = "out")]
    key: Option<PathBuf>,
    /// Make an RSA key of this many bits instead of an ECDSA P-256 key
    #[arg(long, value_name = "BITS")]
    rsa: Option<RsaBits>,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RsaBits {
    #[value(name = "2048")]
    Bits2048,
    #[value(name = "3072")]
    Bits3072,
}

/// Why nothing was written.
#[derive(Debug, Error)]
enum CertError {
    #[error("{path}: {cause}", path = path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error("{path}: {cause}", path = path.display())]
    Authority { path: PathBuf, cause: IssueError },
    #[error(transparent)]
    Issue(IssueError),
    #[error("subject {0}: its first value cannot be a file's name; say --cert FILE --key FILE")]
    NoName(String),
    #[error("name {0:?} cannot be a subject's CN; say --subject LINE")]
    NoSubject(String),
    #[error(transparent)]
    File(#[from] FileError),
}

/// Runs the command; the exit code is 1 if nothing was written.
#[must_use]
pub fn run(args: Args) -> ExitCode {
    match make(args.what) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("respgate cert: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does what was asked; what to print is returned.
fn make(what: What) -> Result<String, CertError> {
    match what {
        What::Ca(args) => {
            let pair = args.output.pair("ca");
            let (_, issued) =
                Authority::create(&args.subject, &args.output.terms(args.days)).map_err(CertError::Issue)?;
            args.output.write(&pair, &issued)?;
            let use_it = format!("client_ca = {}\n", toml_text(&pair.certificate.display().to_string()));
            Ok(report(&pair, &args.subject, &issued) + &use_it)
        }
        What::Server(args) => {
            let pair = args.output.pair("server");
            let subject = args.subject.map_or_else(|| named_after(&args.names[0]), Ok)?;
            let terms = args.output.terms(args.days);
            let authority = args.issuer.load(terms.now)?;
            let issued = authority.server(&subject, &args.names, &terms).map_err(CertError::Issue)?;
            args.output.write(&pair, &issued)?;
            let [certificate, key] =
                [&pair.certificate, &pair.key].map(|p| toml_text(&p.display().to_string()));
            Ok(report(&pair, &subject, &issued) + &format!("certificate = {certificate}\nkey = {key}\n"))
        }
        What::Client(args) => {
            let pair = match args.output.explicit() {
                Some(pair) => pair,
                None => Pair::in_dir(&args.output.out, stem(&args.subject)?),
            };
            let terms = args.output.terms(args.days);
            let authority = args.issuer.load(terms.now)?;
            let issued = authority.client(&args.subject, &terms).map_err(CertError::Issue)?;
            args.output.write(&pair, &issued)?;
            let line = toml_text(&args.subject.name().to_string());
            Ok(report(&pair, &args.subject, &issued) + &format!("certificate_subject_line = {line}\n"))
        }
    }
}

impl IssuerArgs {
    fn load(&self, now: OffsetDateTime) -> Result<Authority, CertError> {
        let certificate = read(&self.ca)?;
        let key = read(&self.ca_key)?;
        Authority::load(&certificate, &key, now).map_err(|cause| CertError::Authority {
            path: if cause.is_about_the_key() { self.ca_key.clone() } else { self.ca.clone() },
            cause,
        })
    }
}

impl Output {
    fn explicit(&self) -> Option<Pair> {
        let (certificate, key) = self.cert.clone().zip(self.key.clone())?;
        Some(Pair { certificate, key })
    }

    fn pair(&self, name: &str) -> Pair {
        self.explicit().unwrap_or_else(|| Pair::in_dir(&self.out, name))
    }

    #[allow(clippy::disallowed_methods, reason = "a certificate is valid from now on")]
    fn terms(&self, days: u32) -> Terms {
        let key = match self.rsa {
            None => KeyKind::EcdsaP256,
            Some(RsaBits::Bits2048) => KeyKind::Rsa2048,
            Some(RsaBits::Bits3072) => KeyKind::Rsa3072,
        };
        Terms { days, key, now: OffsetDateTime::now_utc() }
    }

    fn write(&self, pair: &Pair, issued: &Issued) -> Result<(), CertError> {
        if self.cert.is_none() {
            let made = fs::create_dir_all(&self.out);
            made.map_err(|cause| FileError::Write { path: self.out.clone(), cause })?;
        }
        Ok(pair.write(issued, self.force)?)
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertError> {
    let read = fs::read(path).map(Zeroizing::new);
    read.map_err(|cause| CertError::Read { path: path.to_owned(), cause })
}

/// What to call a client's files: its most specific value, if that is a plain word.
fn stem(subject: &SubjectLine) -> Result<&str, CertError> {
    let plain = |text: &&str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        !text.starts_with('.') && text.chars().all(is_plain)
    };
    subject.name().leading_text().filter(plain).ok_or_else(|| CertError::NoName(subject.to_string()))
}

/// The subject of a server that was given none.
fn named_after(name: &str) -> Result<SubjectLine, CertError> {
    format!("CN={name}").parse().map_err(|_| CertError::NoSubject(name.to_owned()))
}

fn report(pair: &Pair, subject: &SubjectLine, issued: &Issued) -> String {
    format!(
        "wrote {certificate}: {name}, until {end}\nwrote {key}, for its owner alone\n",
        certificate = pair.certificate.display(),
        name = subject.name(),
        end = issued.not_after.date(),
        key = pair.key.display(),
    )
}

/// A text as TOML writes it.
fn toml_text(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// Runs `cert` in `dir`; what it would print.
    fn cert(dir: &Path, line: &str) -> Result<String, String> {
        let dir = dir.display().to_string();
        let words = line.split_whitespace().map(|word| word.replace("DIR", &dir));
        let args = Line::try_parse_from(std::iter::once("cert".to_owned()).chain(words));
        make(args.map_err(|error| error.to_string())?.args.what).map_err(|error| error.to_string())
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
        assert_eq!(
            error,
            format!("{shown}/server.crt exists; choose another name, or replace it with --force")
        );
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
            (
                "ca.crt",
                "b.key",
                "/b.key: the key does not belong to the certificate: their public keys differ",
            ),
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
             say --cert FILE --key FILE"
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
}
