//! `respgate cert batch`: makes everything that a TOML file lists, asking nothing.
//! All of the list is checked, and every file's place looked at, before the first
//! is written.
//!
//! ```toml
//! out = "certificates"
//! [[certificate]]
//! kind = "ca"
//! [[certificate]]
//! kind = "client"
//! subject = "CN=app,O=Acme"
//! sans = ["dns:app.example"]
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, ValueEnum};
use rcgen::SanType;
use serde::Deserialize;
use thiserror::Error;
use time::{Duration, OffsetDateTime};

use super::args::{AUTHORITY_DAYS, LEAF_DAYS};
use super::files;
use super::issue::{KeyKind, Purpose};
use super::names;
use super::order::{self, CertError, Form, IssuerFiles, Kind, Order, read};
use crate::identity::{Name, SubjectLine};

/// Days that anything may last.
const DAYS_MAX: u32 = 36_500;

/// Make everything that a file lists, without a question
#[derive(Debug, ClapArgs)]
#[command(after_help = "The file, in TOML; relative paths start at its directory:

  out = \"certificates\"            # where the files go; default: beside this file
  days = 90                       # for all that say nothing else
  key_type = \"ec\"                 # ec, p384, ed25519, rsa, rsa3072, rsa4096

  [[certificate]]
  kind = \"ca\"                     # ca, server, client, both, csr
  name = \"ca\"                     # the files' name; default: ca, server, or the subject's first value
  subject = \"CN=Acme CA\"

  [[certificate]]
  kind = \"client\"
  subject = \"CN=app,O=Acme\"
  issuer = \"ca\"                   # an earlier one's name, or a path without the .crt; default: ca
  sans = [\"dns:app.example\", \"ip:10.0.0.7\", \"uri:spiffe://acme.example/app\", \"email:app@acme.example\"]
  seconds = 60                    # instead of days
  p12_password_file = \"app.pass\"  # one PKCS#12 file instead of two in PEM

A ca may have path_length = 0; with an issuer it is an intermediate.")]
pub(super) struct BatchArgs {
    /// The file that lists them
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

/// Why nothing was made.
#[derive(Debug, Error)]
pub(super) enum BatchError {
    #[error("not UTF-8 text")]
    NotText,
    #[error("{0}")]
    Syntax(toml::de::Error),
    #[error("nothing was made:{0}")]
    Entries(Problems),
}

/// Everything that is wrong with a list, one line each.
#[derive(Debug, Default)]
pub(super) struct Problems(String);

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    out: Option<PathBuf>,
    days: Option<u32>,
    key_type: Option<String>,
    #[serde(default, rename = "certificate")]
    certificates: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    kind: EntryKind,
    name: Option<String>,
    subject: Option<String>,
    issuer: Option<String>,
    #[serde(default)]
    sans: Vec<String>,
    days: Option<u32>,
    seconds: Option<u32>,
    key_type: Option<String>,
    path_length: Option<u8>,
    p12_password_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EntryKind {
    Ca,
    Server,
    Client,
    Both,
    Csr,
}

/// What the entries of one list share.
struct Setting<'a> {
    list: &'a List,
    directory: &'a Path,
    out: PathBuf,
    force: bool,
    /// The authorities listed so far.
    authorities: BTreeMap<String, IssuerFiles>,
}

impl BatchArgs {
    pub(super) fn run(self, now: OffsetDateTime) -> Result<String, CertError> {
        let failed = |cause| CertError::Batch { path: self.file.clone(), cause };
        let bytes = read(&self.file)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| failed(BatchError::NotText))?;
        let list: List = toml::from_str(text).map_err(|cause| failed(BatchError::Syntax(cause)))?;
        let directory = self.file.parent().unwrap_or_else(|| Path::new(""));
        let orders =
            orders(&list, directory, self.force).map_err(|problems| failed(BatchError::Entries(problems)))?;
        let mut said = String::new();
        for order in orders {
            match order.fill(now) {
                Ok(text) => said += &text,
                Err(error) => {
                    // What is there already is not taken back: say so.
                    let _ = io::stdout().write_all(said.as_bytes());
                    return Err(error);
                }
            }
        }
        Ok(said)
    }
}

/// The orders in their order, or everything that is wrong with them.
fn orders(list: &List, directory: &Path, force: bool) -> Result<Vec<Order>, Problems> {
    let out = directory.join(list.out.as_deref().unwrap_or_else(|| Path::new("")));
    let mut setting = Setting { list, directory, out, force, authorities: BTreeMap::new() };
    let mut problems = Problems::default();
    let mut orders: Vec<Order> = Vec::new();
    if list.certificates.is_empty() {
        problems.0.push_str("\n  there is no [[certificate]]");
    }
    for (index, entry) in list.certificates.iter().enumerate() {
        let order = setting.order(entry).and_then(|order| {
            for path in order.form.paths() {
                if orders.iter().any(|earlier| earlier.form.paths().contains(&path)) {
                    return Err(format!(
                        "{} is an earlier one's as well: give it another name",
                        path.display()
                    ));
                }
                if !force {
                    files::must_be_new(path).map_err(|error| error.to_string())?;
                }
            }
            Ok(order)
        });
        match order {
            Ok(order) => orders.push(order),
            // A String takes whatever is written to it.
            Err(why) => drop(write!(problems.0, "\n  certificate[{index}]: {why}")),
        }
    }
    if problems.0.is_empty() { Ok(orders) } else { Err(problems) }
}

impl Setting<'_> {
    fn order(&mut self, entry: &Entry) -> Result<Order, String> {
        let names: Vec<SanType> = entry
            .sans
            .iter()
            .map(|text| names::typed(text))
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        let subject = subject(entry, &names)?;
        let name = match (&entry.name, entry.kind) {
            (Some(name), _) => plain(name)?,
            (None, EntryKind::Ca) => "ca".to_owned(),
            (None, EntryKind::Server) => "server".to_owned(),
            (None, _) => {
                order::stem(&subject).map_err(|_| "name: missing, and the subject has none".to_owned())?
            }
        };
        let password_file = entry.p12_password_file.as_ref().map(|path| self.directory.join(path));
        let mut form = Form::named(&self.out, &name, password_file);
        let kind = self.kind(entry)?;
        match &kind {
            Kind::Request => form = form.with_request(),
            Kind::Authority { .. } => {
                let files = |pair: &files::Pair| IssuerFiles {
                    certificate: pair.certificate.clone(),
                    key: pair.key.clone(),
                };
                if let Form::Pem(pair) = &form {
                    self.authorities.insert(name, files(pair));
                }
            }
            Kind::Leaf { .. } => {}
        }
        let key = entry.key_type.as_ref().or(self.list.key_type.as_ref());
        let key = key.map_or_else(|| Ok(KeyKind::default()), |text| KeyKind::from_str(text, false));
        let key =
            key.map_err(|_| "key_type: expected ec, p384, ed25519, rsa, rsa3072 or rsa4096".to_owned())?;
        Ok(Order { kind, subject, names, lasts: self.lasts(entry)?, key, form, force: self.force })
    }

    fn kind(&self, entry: &Entry) -> Result<Kind, String> {
        if entry.path_length.is_some() && entry.kind != EntryKind::Ca {
            return Err("path_length: only a ca has one".to_owned());
        }
        let leaf = |purpose| {
            let issuer = self.issuer(entry.issuer.as_deref().unwrap_or("ca"));
            Kind::Leaf { issuer, purpose }
        };
        Ok(match entry.kind {
            EntryKind::Ca => {
                let issuer = entry.issuer.as_deref().map(|issuer| self.issuer(issuer));
                Kind::Authority { issuer, below_max: entry.path_length }
            }
            EntryKind::Server => leaf(Purpose::Server),
            EntryKind::Client => leaf(Purpose::Client),
            EntryKind::Both => leaf(Purpose::Both),
            EntryKind::Csr if entry.issuer.is_some() => {
                return Err("issuer: a request has none".to_owned());
            }
            EntryKind::Csr => Kind::Request,
        })
    }

    /// An authority of the list by its name, or else one in files.
    fn issuer(&self, text: &str) -> IssuerFiles {
        self.authorities.get(text).cloned().unwrap_or_else(|| {
            let base = self.directory.join(text).into_os_string();
            let [certificate, key] = [".crt", ".key"].map(|ending| {
                let mut path = base.clone();
                path.push(ending);
                PathBuf::from(path)
            });
            IssuerFiles { certificate, key }
        })
    }

    fn lasts(&self, entry: &Entry) -> Result<Duration, String> {
        let default = if entry.kind == EntryKind::Ca { AUTHORITY_DAYS } else { LEAF_DAYS };
        match (entry.seconds, entry.days.or(self.list.days)) {
            (Some(_), Some(_)) if entry.days.is_some() => {
                Err("days and seconds: expected only one".to_owned())
            }
            (Some(0), _) => Err("seconds: expected at least 1".to_owned()),
            (Some(seconds), _) => Ok(Duration::seconds(seconds.into())),
            (None, days) => match days.unwrap_or(default) {
                days @ 1..=DAYS_MAX => Ok(Duration::days(days.into())),
                days => Err(format!("days: found {days}, expected 1 to {DAYS_MAX}")),
            },
        }
    }
}

fn subject(entry: &Entry, names: &[SanType]) -> Result<Name, String> {
    match (&entry.subject, entry.kind) {
        (Some(text), _) => {
            let line = text.parse::<SubjectLine>().map_err(|error| format!("subject: {error}"))?;
            Ok(line.name().clone())
        }
        (None, EntryKind::Ca) => order::named_after("respgate CA").map_err(|error| error.to_string()),
        (None, EntryKind::Server) => match names.first().and_then(names::as_key) {
            Some((_, name)) => order::named_after(&name).map_err(|error| error.to_string()),
            None => Err("subject: missing, and there are no sans".to_owned()),
        },
        (None, _) => order::nobody(names).map_err(|_| "subject: missing, and there are no sans".to_owned()),
    }
}

/// The name of a file, without a directory.
fn plain(name: &str) -> Result<String, String> {
    let fits = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
    fits.then(|| name.to_owned())
        .ok_or_else(|| format!("name: found {name:?}, expected a file's name without a directory"))
}
