//! `respgate explain`: what would become of a client that shows this certificate,
//! and why. Offline, by the code that decides online: the listener's verifier,
//! then its directory (gate, realms, users and roles).

mod show;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, UnixTime};
use thiserror::Error;

use super::subject::{SourceError, from_file};
use crate::config::{self, Problems};
use crate::identity::{Account, Admission, Certificate, Evidence, Reason, Refusal, Tried, Unreadable};
use crate::io::tls::{self, TlsError};
use crate::io::{ClientAuth, Listener, Settings};

/// Say what would become of a client with this certificate, and why.
///
/// Exits with 0 if it would be admitted, with 1 if it would be refused or asked for a
/// password, and with 2 if that cannot be told: the arguments, the configuration or
/// the file are at fault.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exits with 0 if the client would be let in, 1 if it would be refused or asked for a password, 2 if that cannot be told.

Examples:
  respgate explain app.crt --config respgate.toml
  respgate explain app.crt --config respgate.toml --listener apps
  respgate explain app.crt --config respgate.toml --chain team.crt --from 10.0.0.7
  respgate explain app.crt --config respgate.toml --json"
)]
pub struct Args {
    /// The client's certificate in PEM, DER or PKCS#12; what else is in the file is its chain
    #[arg(value_name = "CERT")]
    certificate: PathBuf,
    /// The configuration file
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// The listener that the client connects to
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// The server name that the client asks for (SNI), where a listener leads to several databases
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// The address that the client connects from
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    from: IpAddr,
    /// The certificates that the client shows beside its own
    #[arg(long, value_name = "FILE")]
    chain: Option<PathBuf>,
    /// The file with the password of a PKCS#12 file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Why nothing can be told.
#[derive(Debug, Error)]
enum ExplainError {
    #[error("{0}")]
    Config(Problems),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("{path}: {cause}", path = .path.display())]
    Unreadable { path: PathBuf, cause: Unreadable },
    #[error("there is no listener {found:?}, expected one of {}", .known.join(", "))]
    NoListener { found: String, known: Vec<String> },
    #[error("there are several listeners, expected --listener with one of {}", .0.join(", "))]
    WhichListener(Vec<String>),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Everything that was found.
struct Findings {
    certificate: Arc<Certificate>,
    listener: String,
    peer: IpAddr,
    /// Whether the listener believes the chain.
    trust: Result<(), Refusal>,
    /// Every rule in its order, and what came of it.
    tried: Vec<Tried>,
    /// The steps after that; of a certificate that is not believed there are none.
    account: Account,
}

/// Prints to standard output and returns the exit code.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let findings = match findings(args) {
        Ok(findings) => findings,
        Err(error) => {
            eprintln!("respgate explain: {error}");
            return ExitCode::from(2);
        }
    };
    let text = if args.json { format!("{}\n", findings.as_json()) } else { findings.as_text() };
    // The exit code is the answer for whoever has closed our output.
    let _ = io::stdout().write_all(text.as_bytes());
    if matches!(findings.account.admission, Admission::Permit(_)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn findings(args: &Args) -> Result<Findings, ExplainError> {
    let settings = config::load(&args.config).map_err(ExplainError::Config)?.settings;
    let mut chain = from_file(&args.certificate, args.password_file.as_deref())?;
    if let Some(path) = &args.chain {
        chain.extend(from_file(path, None)?);
    }
    let listener = listener(&settings, args.listener.as_deref())?;
    let server_name = args.server_name.as_deref();
    decide(&settings, &chain, listener, server_name, args.from).map_err(|error| match error {
        Undecided::Unreadable(cause) => ExplainError::Unreadable { path: args.certificate.clone(), cause },
        Undecided::Tls(error) => error.into(),
    })
}

/// The listener of this name, or the only one.
fn listener<'a>(settings: &'a Settings, name: Option<&str>) -> Result<&'a Listener, ExplainError> {
    let known = || settings.listeners.iter().map(|listener| listener.name.clone()).collect();
    match (name, settings.listeners.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => Err(ExplainError::WhichListener(known())),
        (Some(name), all) => all
            .iter()
            .find(|listener| listener.name == name)
            .ok_or_else(|| ExplainError::NoListener { found: name.to_owned(), known: known() }),
    }
}

enum Undecided {
    Unreadable(Unreadable),
    Tls(TlsError),
}

fn decide(
    settings: &Settings,
    chain: &[CertificateDer<'static>],
    listener: &Listener,
    server_name: Option<&str>,
    peer: IpAddr,
) -> Result<Findings, Undecided> {
    let leaf = chain.first().map(|der| der.as_ref()).unwrap_or_default();
    let certificate = Arc::new(Certificate::from_der(leaf).map_err(Undecided::Unreadable)?);
    let database = listener.destinations.database(server_name);
    let evidence = |issuers: &[_]| {
        Evidence::new(Some(Arc::clone(&certificate)), issuers, peer, listener.name.as_str())
            .towards(server_name.map(Into::into), database.map_or_else(|| "".into(), Arc::clone))
    };
    let (trust, evidence) = match listener.tls.client_auth {
        ClientAuth::None => {
            let refusal = Refusal::new(Reason::NoClientCertificate, "the listener asks for no certificate");
            (Err(refusal), evidence(&[]).without_certificate())
        }
        ClientAuth::Required | ClientAuth::Optional => {
            let trust = tls::trust(&listener.tls)
                .map_err(Undecided::Tls)?
                .ok_or(Undecided::Tls(TlsError::NoClientCa))?;
            let verified = trust.verify(chain, UnixTime::now());
            let evidence = evidence(verified.as_ref().map_or(&[], |verified| &verified.issuers));
            (verified.map(|_verified| ()), evidence)
        }
    };
    let account = match &trust {
        // A certificate that is not believed ends the handshake.
        Err(refusal) if evidence.certificate().is_some() => {
            let admission = Admission::Refused(refusal.clone());
            Account { gate: None, realms: Vec::new(), roles: Vec::new(), admission }
        }
        _ => match settings.database(evidence.database()) {
            Some(database) => listener.directory(settings, database).account(&evidence),
            None => {
                let detail = "the listener leads to no database by this server name (--server-name)";
                let refusal = Refusal::new(Reason::UnknownServerName, detail);
                Account {
                    gate: None,
                    realms: Vec::new(),
                    roles: Vec::new(),
                    admission: Admission::Refused(refusal),
                }
            }
        },
    };
    let listener = listener.name.clone();
    Ok(Findings { certificate, listener, peer, trust, tried: settings.users.trace(&evidence), account })
}
