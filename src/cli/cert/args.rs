//! The arguments that several of the commands share: names, life, key, where the
//! authority is and where the files go.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use rcgen::SanType;
use time::Duration;

use super::files::Pair;
use super::issue::KeyKind;
use super::names;
use super::order::{CertError, Form, IssuerFiles};

/// Days that an authority lasts if nothing is said.
pub(super) const AUTHORITY_DAYS: u32 = 3650;

/// Days that a leaf lasts if nothing is said.
pub(super) const LEAF_DAYS: u32 = 365;

/// Days that a revocation list lasts if nothing is said.
pub(super) const LIST_DAYS: u32 = 30;

#[derive(Debug, Clone, ClapArgs)]
pub(super) struct NameArgs {
    /// A DNS name; may be repeated
    #[arg(long, value_name = "NAME", value_parser = names::dns)]
    dns: Vec<SanType>,
    /// An IP address; may be repeated
    #[arg(long, value_name = "ADDRESS", value_parser = names::ip)]
    ip: Vec<SanType>,
    /// A URI, such as a SPIFFE ID; may be repeated
    #[arg(long, value_name = "URI", value_parser = names::uri)]
    uri: Vec<SanType>,
    /// An e-mail address; may be repeated
    #[arg(long, value_name = "ADDRESS", value_parser = names::email)]
    email: Vec<SanType>,
}

impl NameArgs {
    pub(super) fn all(self) -> Vec<SanType> {
        [self.dns, self.ip, self.uri, self.email].concat()
    }
}

#[derive(Debug, Clone, Copy, ClapArgs)]
pub(super) struct Life {
    /// Days until it ends [default: 3650 for an authority, 365 for others, 30 for a revocation list]
    #[arg(long, conflicts_with = "seconds", value_parser = clap::value_parser!(u32).range(1..=36500))]
    days: Option<u32>,
    /// Seconds until it ends, for trying out what happens then
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: Option<u32>,
}

impl Life {
    pub(super) fn or_days(self, default: u32) -> Duration {
        match self.seconds {
            Some(seconds) => Duration::seconds(seconds.into()),
            None => Duration::days(self.days.unwrap_or(default).into()),
        }
    }
}

#[derive(Debug, Clone, ClapArgs)]
pub(super) struct IssuerArgs {
    /// The authority's certificate, in PEM
    #[arg(long, value_name = "FILE", default_value = "ca.crt")]
    pub(super) ca: PathBuf,
    /// The authority's private key, in PEM
    #[arg(long, value_name = "FILE", default_value = "ca.key")]
    pub(super) ca_key: PathBuf,
}

impl IssuerArgs {
    pub(super) fn files(self) -> IssuerFiles {
        IssuerFiles { certificate: self.ca, key: self.ca_key }
    }
}

#[derive(Debug, Clone, ClapArgs)]
pub(super) struct Output {
    /// The directory to write to; it is made if it is not there
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) out: PathBuf,
    /// What to call the files, without the ending
    #[arg(long = "as", value_name = "NAME")]
    pub(super) stem: Option<String>,
    /// Where to write the certificate or request, instead of --out
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with_all = ["out", "stem"])]
    cert: Option<PathBuf>,
    /// Where to write the private key, instead of --out
    #[arg(long, value_name = "FILE", requires = "cert", conflicts_with_all = ["out", "stem"])]
    key: Option<PathBuf>,
    /// The kind of key to make
    #[arg(long, value_name = "KIND", default_value = "ec", conflicts_with = "rsa")]
    key_type: KeyKind,
    /// Make an RSA key of this many bits
    #[arg(long, value_name = "BITS", value_parser = rsa_bits)]
    rsa: Option<KeyKind>,
    /// Write certificate and key into one PKCS#12 file, NAME.p12
    #[arg(long, requires = "password_file", conflicts_with = "cert")]
    p12: bool,
    /// The file with the PKCS#12 file's password, which an empty file says is empty
    #[arg(long, value_name = "FILE", requires = "p12")]
    password_file: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    pub(super) force: bool,
}

impl Output {
    pub(super) fn key_kind(&self) -> KeyKind {
        self.rsa.unwrap_or(self.key_type)
    }

    /// Where to write what is called by this name, unless the arguments say another.
    pub(super) fn form(&self, name: impl FnOnce() -> Result<String, CertError>) -> Result<Form, CertError> {
        if let Some((certificate, key)) = self.cert.clone().zip(self.key.clone()) {
            return Ok(Form::Pem(Pair { certificate, key }));
        }
        let name = match &self.stem {
            Some(name) => name.clone(),
            None => name()?,
        };
        Ok(Form::named(&self.out, &name, self.password_file.clone()))
    }
}

fn rsa_bits(text: &str) -> Result<KeyKind, String> {
    match text {
        "2048" => Ok(KeyKind::Rsa2048),
        "3072" => Ok(KeyKind::Rsa3072),
        "4096" => Ok(KeyKind::Rsa4096),
        _ => Err("expected 2048, 3072 or 4096".to_owned()),
    }
}
