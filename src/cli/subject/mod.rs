//! `respgate subject`: the line to paste for a certificate, and the user that goes
//! with it, from a file or from a server that shows one. Nobody has to guess in
//! which order some tool's version prints a subject.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};

use super::facts;
use crate::identity::{Certificate, San, SubjectLine};

mod host;
mod source;

pub(in crate::cli) use source::{SourceError, from_file};

/// Print a certificate's certificate_subject_line, and a user to paste.
///
/// Exits with 0 if there is a certificate, with 1 if there is none or it cannot be
/// read, and with 2 if the arguments make no sense. A server's certificate is
/// shown as it is: nothing about it is verified.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  respgate subject app.crt
  respgate subject app.crt --line
  respgate subject app.p12 --password-file app.pass --json
  respgate subject redis.example.com:6380")]
pub struct Args {
    /// A certificate in PEM, DER or PKCS#12, or HOST:PORT of a TLS server
    #[arg(value_name = "FILE|HOST:PORT")]
    what: String,
    /// The file with the password of a PKCS#12 file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Print the line alone
    #[arg(long, conflicts_with = "json")]
    line: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Prints to standard output and returns the exit code.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "whether a certificate has ended is asked of the present")]
pub fn run(args: &Args) -> ExitCode {
    let certificate = match source::certificate(&args.what, args.password_file.as_deref()) {
        Ok(certificate) => certificate,
        Err(error) => {
            eprintln!("respgate subject: {error}");
            return ExitCode::FAILURE;
        }
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let text = match (args.line, args.json) {
        (true, _) => match facts::line(&certificate) {
            Some(line) => line + "\n",
            None => {
                eprintln!("respgate subject: {}: {}", args.what, no_line(&certificate));
                return ExitCode::FAILURE;
            }
        },
        (false, true) => format!("{}\n", as_json(&certificate, now)),
        (false, false) => as_text(&certificate, now),
    };
    // The exit code is the answer for whoever has closed our output.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn no_line(certificate: &Certificate) -> String {
    let subject = certificate.subject();
    if subject.has_control() {
        return "its subject has a control character: such a certificate is refused".to_owned();
    }
    let why = match subject.to_string().parse::<SubjectLine>() {
        _ if subject.is_empty() => "its subject is empty".to_owned(),
        Err(error) => format!("its subject cannot be written as a line ({error})"),
        Ok(_) => "its subject cannot be written as a line".to_owned(),
    };
    format!("{why}, so no line means it: recognise it by an alternative name or by its sha256")
}

fn as_json(certificate: &Certificate, now: i64) -> Json {
    let mut all = facts::as_json(certificate);
    all["certificate_subject_line"] = json!(facts::line(certificate));
    let reasons: Vec<_> = facts::unfit(certificate, now).iter().map(|reason| reason.as_str()).collect();
    all["refused_as_a_client"] = json!(reasons);
    all["user"] = json!(stanza(certificate));
    all
}

fn as_text(certificate: &Certificate, now: i64) -> String {
    let mut text = facts::as_text(certificate);
    for reason in facts::unfit(certificate, now) {
        text += &format!("{:<12} as a client it is refused: {}\n", "note", reason.as_str());
    }
    match facts::line(certificate) {
        Some(line) => text += &format!("\ncertificate_subject_line = {}\n", toml_text(&line)),
        None => text += &format!("{:<12} {}\n", "note", no_line(certificate)),
    }
    text + "\n" + &stanza(certificate)
}

/// A user that is recognised by this certificate, to be pasted; what else could
/// recognise it stands beside it, commented out.
fn stanza(certificate: &Certificate) -> String {
    let name = user_name(certificate);
    let line = facts::line(certificate);
    let mut text = format!("[[user]]\nname = {}\n", toml_text(&name));
    if let Some(line) = &line {
        text += &format!("certificate_subject_line = {}\n", toml_text(line));
    }
    let mut is_recognised = line.is_some();
    let mut more = |key: &str, value: &str| {
        let mark = if is_recognised { "# " } else { "" };
        is_recognised = true;
        text += &format!("{mark}{key} = {}\n", toml_text(value));
    };
    for san in certificate.sans() {
        let key = match san {
            San::Uri(_) => "san_uri",
            San::Dns(_) => "san_dns",
            San::Email(_) => "san_email",
            San::Ip(_) => "san_ip",
            San::Other { .. } | San::Unfit { .. } => continue,
        };
        more(key, &san.text().unwrap_or_default());
    }
    more("certificate_sha256", &certificate.fingerprint().to_string());
    more("spki_sha256", &certificate.key().to_string());
    let password = toml_text(&format!("{}.password", name.replace('/', "_")));
    text + &format!("redis_user = {}\nredis_password_file = {password}\n", toml_text(&name))
}

/// The most specific value of the subject, if it can be a user's name.
fn user_name(certificate: &Certificate) -> String {
    let fits = |text: &&str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.:@/-".contains(c);
        (1..=128).contains(&text.len()) && text.chars().all(is_plain) && *text != "default"
    };
    certificate.subject().leading_text().filter(fits).unwrap_or("app").to_owned()
}

fn toml_text(text: &str) -> String {
    toml::Value::from(text).to_string()
}
