//! `respgate cert`: makes authorities, certificates, requests and revocation
//! lists, for trying respgate out and for those who have no authority of their
//! own. Owns the arguments; `order` makes what they ask for.
//!
//! A subject is read by the parser that reads `certificate_subject_line`, so the
//! line that is passed here is the line that matches.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};
use rcgen::SanType;
use time::OffsetDateTime;

use crate::identity::SubjectLine;

mod args;
mod batch;
pub mod files;
pub mod issue;
mod key;
mod names;
mod order;
mod p12;
mod register;
pub mod request;
mod revoke;
mod sign;
#[cfg(test)]
mod tests;

use args::{AUTHORITY_DAYS, IssuerArgs, LEAF_DAYS, Life, NameArgs, Output};
use issue::Purpose;
use order::{CertError, IssuerFiles, Kind, Order};

pub use names::NameError;

/// Make certificates
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  respgate cert ca
  respgate cert server --name redis.example.com --name 10.0.0.7
  respgate cert client --subject CN=app,O=Acme
  respgate cert client --subject CN=app,O=Acme --uri spiffe://acme.example/app --days 30 --key-type rsa
  respgate cert ca --issuer ca.crt --issuer-key ca.key --subject 'CN=Team CA' --as team
  respgate cert csr --subject CN=app,O=Acme
  respgate cert sign app.csr
  respgate cert revoke app.crt --reason key_compromise
  respgate cert crl
  respgate cert batch certificates.toml")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make an authority, ca.crt and ca.key: self-signed, or issued by another
    Ca(CaArgs),
    /// Issue a server certificate: server.crt and server.key
    Server(ServerArgs),
    /// Issue a client certificate, named after the first attribute of its subject: app.crt and app.key
    Client(ClientArgs),
    /// Make a key and a request for a certificate: app.csr and app.key
    Csr(CsrArgs),
    /// Issue a certificate for a request: app.crt
    Sign(revoke::SignArgs),
    /// Write an authority's revocation list: ca.crl
    Crl(revoke::CrlArgs),
    /// Revoke a certificate, and write the revocation list
    Revoke(revoke::RevokeArgs),
    /// Make everything that a file lists, without a question
    Batch(batch::BatchArgs),
}

#[derive(Debug, ClapArgs)]
struct CaArgs {
    /// The subject, as RFC 4514 writes it: most specific first
    #[arg(long, value_name = "LINE", default_value = "CN=respgate CA")]
    subject: SubjectLine,
    /// The certificate of the authority above it, in PEM; without it, it is a root
    #[arg(long, value_name = "FILE", requires = "issuer_key")]
    issuer: Option<PathBuf>,
    /// That authority's private key, in PEM
    #[arg(long, value_name = "FILE", requires = "issuer")]
    issuer_key: Option<PathBuf>,
    /// How many authorities may stand between it and a leaf; without it, any number
    #[arg(long, value_name = "NUMBER")]
    path_length: Option<u8>,
    #[command(flatten)]
    life: Life,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, ClapArgs)]
struct ServerArgs {
    #[command(flatten)]
    issuer: IssuerArgs,
    /// A DNS name or IP address that clients connect to; may be repeated
    #[arg(long = "name", value_name = "NAME", required_unless_present_any = ["dns", "ip", "uri"])]
    names: Vec<String>,
    #[command(flatten)]
    more: NameArgs,
    /// The subject, as RFC 4514 writes it; by default CN= and the first name
    #[arg(long, value_name = "LINE")]
    subject: Option<SubjectLine>,
    /// Good for a client as well: clientAuth beside serverAuth
    #[arg(long)]
    both: bool,
    #[command(flatten)]
    life: Life,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, ClapArgs)]
struct ClientArgs {
    #[command(flatten)]
    issuer: IssuerArgs,
    /// The subject, as RFC 4514 writes it, most specific first: CN=app,O=Acme; may be absent beside a SAN
    #[arg(long, value_name = "LINE")]
    subject: Option<SubjectLine>,
    #[command(flatten)]
    names: NameArgs,
    /// Good for a server as well: serverAuth beside clientAuth
    #[arg(long)]
    both: bool,
    #[command(flatten)]
    life: Life,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, ClapArgs)]
struct CsrArgs {
    /// The subject, as RFC 4514 writes it, most specific first: CN=app,O=Acme; may be absent beside a SAN
    #[arg(long, value_name = "LINE")]
    subject: Option<SubjectLine>,
    #[command(flatten)]
    names: NameArgs,
    #[command(flatten)]
    output: Output,
}

/// Runs the command; the exit code is 1 if nothing was written.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "a certificate is valid from now on")]
pub fn run(args: Args) -> ExitCode {
    match make(args.what, OffsetDateTime::now_utc()) {
        Ok(text) => {
            // The files are there, whoever has closed our output.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("respgate cert: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does what was asked; what to print is returned.
fn make(what: What, now: OffsetDateTime) -> Result<String, CertError> {
    match what {
        What::Ca(args) => args.order()?.fill(now),
        What::Server(args) => args.order()?.fill(now),
        What::Client(args) => args.order()?.fill(now),
        What::Csr(args) => args.order()?.fill(now),
        What::Sign(args) => args.run(now),
        What::Crl(args) => args.run(now),
        What::Revoke(args) => args.run(now),
        What::Batch(args) => args.run(now),
    }
}

impl CaArgs {
    fn order(self) -> Result<Order, CertError> {
        let issuer = self.issuer.zip(self.issuer_key);
        let issuer = issuer.map(|(certificate, key)| IssuerFiles { certificate, key });
        Ok(Order {
            form: self.output.form(|| Ok("ca".to_owned()))?,
            kind: Kind::Authority { issuer, below_max: self.path_length },
            subject: self.subject.name().clone(),
            names: Vec::new(),
            lasts: self.life.or_days(AUTHORITY_DAYS),
            key: self.output.key_kind(),
            force: self.output.force,
        })
    }
}

impl ServerArgs {
    fn order(self) -> Result<Order, CertError> {
        let names: Result<Vec<SanType>, _> = self.names.iter().map(|name| names::dns_or_ip(name)).collect();
        let mut names = names.map_err(|cause| CertError::Issue(cause.into()))?;
        names.extend(self.more.all());
        let subject = match (self.subject, names.first().and_then(names::as_key)) {
            (Some(line), _) => line.name().clone(),
            (None, Some((_, name))) => order::named_after(&name)?,
            (None, None) => return Err(CertError::Nobody),
        };
        let purpose = if self.both { Purpose::Both } else { Purpose::Server };
        Ok(Order {
            form: self.output.form(|| Ok("server".to_owned()))?,
            kind: Kind::Leaf { issuer: self.issuer.files(), purpose },
            subject,
            names,
            lasts: self.life.or_days(LEAF_DAYS),
            key: self.output.key_kind(),
            force: self.output.force,
        })
    }
}

impl ClientArgs {
    fn order(self) -> Result<Order, CertError> {
        let names = self.names.all();
        let subject = match self.subject {
            Some(line) => line.name().clone(),
            None => order::nobody(&names)?,
        };
        let purpose = if self.both { Purpose::Both } else { Purpose::Client };
        Ok(Order {
            form: self.output.form(|| order::stem(&subject))?,
            kind: Kind::Leaf { issuer: self.issuer.files(), purpose },
            subject,
            names,
            lasts: self.life.or_days(LEAF_DAYS),
            key: self.output.key_kind(),
            force: self.output.force,
        })
    }
}

impl CsrArgs {
    fn order(self) -> Result<Order, CertError> {
        let names = self.names.all();
        let subject = match self.subject {
            Some(line) => line.name().clone(),
            None => order::nobody(&names)?,
        };
        Ok(Order {
            form: self.output.form(|| order::stem(&subject))?.with_request(),
            kind: Kind::Request,
            subject,
            names,
            lasts: time::Duration::ZERO,
            key: self.output.key_kind(),
            force: self.output.force,
        })
    }
}
