//! One certificate that is to be made, whoever asked for it: the command line, or
//! a file that lists many. Owns the way from the order to the files and to what
//! is said about them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rcgen::SanType;
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::batch::BatchError;
use super::files::{self, FileError, Pair};
use super::issue::{Authority, IssueError, Issued, KeyKind, Leaf, Purpose, Terms};
use super::names;
use super::p12;
use super::register::RegisterError;
use super::request::{self, RequestError};
use crate::identity::{LineError, Name, SubjectLine};

/// Why nothing was written.
#[derive(Debug, Error)]
pub(super) enum CertError {
    #[error("{path}: {cause}", path = path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error("{path}: {cause}", path = path.display())]
    Authority { path: PathBuf, cause: IssueError },
    #[error(transparent)]
    Issue(IssueError),
    #[error("{path}: {cause}", path = path.display())]
    Request { path: PathBuf, cause: RequestError },
    #[error("{path}: {cause}", path = path.display())]
    Register { path: PathBuf, cause: RegisterError },
    #[error("{path}: {why}", path = path.display())]
    NotIts { path: PathBuf, why: String },
    #[error("{path}: {cause}", path = path.display())]
    Batch { path: PathBuf, cause: BatchError },
    #[error("{path}: {cause}", path = path.display())]
    P12 { path: PathBuf, cause: p12::P12Error },
    #[error("subject {0}: its first value cannot be a file's name; say --as NAME")]
    NoName(String),
    #[error("the certificate has neither a subject nor an alternative name; say --subject LINE or --uri URI")]
    Nobody,
    #[error("name {name:?} cannot be a subject's CN ({cause}); say --subject LINE")]
    NoSubject { name: String, cause: LineError },
    #[error(transparent)]
    File(#[from] FileError),
}

/// An authority's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IssuerFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// What is to be made.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// An authority: a root, unless another issues it.
    Authority { issuer: Option<IssuerFiles>, below_max: Option<u8> },
    /// A server's or client's certificate.
    Leaf { issuer: IssuerFiles, purpose: Purpose },
    /// A request, for an authority elsewhere.
    Request,
}

/// How it is written.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// Two files in PEM.
    Pem(Pair),
    /// One file in PKCS#12, and the file of its password.
    P12 { path: PathBuf, password_file: PathBuf },
}

/// One certificate, with everything that decides it.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) kind: Kind,
    pub(super) subject: Name,
    pub(super) names: Vec<SanType>,
    pub(super) lasts: Duration,
    pub(super) key: KeyKind,
    pub(super) form: Form,
    pub(super) force: bool,
}

impl Form {
    /// The files of this name in a directory.
    pub(super) fn named(out: &Path, name: &str, password_file: Option<PathBuf>) -> Self {
        match password_file {
            Some(password_file) => Self::P12 { path: out.join(format!("{name}.p12")), password_file },
            None => Self::Pem(Pair::in_dir(out, name)),
        }
    }

    /// The same with a request in place of the certificate, where only the name was said.
    pub(super) fn with_request(self) -> Self {
        match self {
            Self::Pem(Pair { certificate, key })
                if certificate.extension().is_some_and(|ending| ending == "crt") =>
            {
                Self::Pem(Pair { certificate: certificate.with_extension("csr"), key })
            }
            other => other,
        }
    }

    /// The files that would be written.
    pub(super) fn paths(&self) -> Vec<&Path> {
        match self {
            Self::Pem(pair) => vec![&pair.certificate, &pair.key],
            Self::P12 { path, .. } => vec![path],
        }
    }

    fn write(&self, issued: &Issued, force: bool) -> Result<(), CertError> {
        for directory in self.paths().into_iter().filter_map(Path::parent) {
            make_directory(directory)?;
        }
        match self {
            Self::Pem(pair) => Ok(pair.write(issued, force)?),
            Self::P12 { path, password_file } => {
                let password = read(password_file)?;
                let bytes = p12::bytes(issued, &password)
                    .map_err(|cause| CertError::P12 { path: path.clone(), cause })?;
                Ok(files::write(path, &bytes, files::KEY_MODE, force)?)
            }
        }
    }
}

impl IssuerFiles {
    pub(super) fn load(&self, now: OffsetDateTime) -> Result<Authority, CertError> {
        let certificate = read(&self.certificate)?;
        let key = read(&self.key)?;
        Authority::load(&certificate, &key, now).map_err(|cause| CertError::Authority {
            path: if cause.is_about_the_key() { self.key.clone() } else { self.certificate.clone() },
            cause,
        })
    }
}

impl Order {
    /// Makes it; what to print is returned.
    pub(super) fn fill(&self, now: OffsetDateTime) -> Result<String, CertError> {
        let terms = Terms { lasts: self.lasts, key: self.key, now };
        let issued = match &self.kind {
            Kind::Request => return self.fill_request(),
            Kind::Authority { issuer: None, below_max } => {
                Authority::root(&self.subject, *below_max, &terms).map(|(_, issued)| issued)
            }
            Kind::Authority { issuer: Some(issuer), below_max } => {
                issuer.load(now)?.authority(&self.subject, *below_max, &terms)
            }
            Kind::Leaf { issuer, purpose } => {
                let (subject, names) = (self.subject.clone(), self.names.clone());
                issuer.load(now)?.leaf(&Leaf { subject, names, purpose: *purpose }, &terms)
            }
        };
        let issued = issued.map_err(CertError::Issue)?;
        self.form.write(&issued, self.force)?;
        let written = match &self.form {
            Form::Pem(pair) => format!(
                "{}\nwrote {}, for its owner alone\n",
                wrote(&pair.certificate, &self.subject, &self.names, issued.not_after),
                pair.key.display()
            ),
            Form::P12 { path, .. } => {
                let wrote = wrote(path, &self.subject, &self.names, issued.not_after);
                format!("{wrote}, with its key, for its owner alone\n")
            }
        };
        Ok(written + &self.use_it())
    }

    fn fill_request(&self) -> Result<String, CertError> {
        let Form::Pem(pair) = &self.form else {
            let path = self.form.paths().first().map(|path| path.to_path_buf()).unwrap_or_default();
            return Err(CertError::P12 { path, cause: p12::P12Error::Request });
        };
        let made = request::make(&self.subject, &self.names, self.key).map_err(CertError::Issue)?;
        for directory in self.form.paths().into_iter().filter_map(Path::parent) {
            make_directory(directory)?;
        }
        pair.write_texts(&made.request, &made.key, self.force)?;
        let (request, key) = (pair.certificate.display(), pair.key.display());
        Ok(format!(
            "wrote {request}: {}\nwrote {key}, for its owner alone\n",
            described(&self.subject, &self.names)
        ))
    }

    /// The lines of the configuration that use it.
    fn use_it(&self) -> String {
        let paths: Vec<_> =
            self.form.paths().iter().map(|path| toml_text(&path.display().to_string())).collect();
        let recognised = || recognised(&self.subject, &self.names);
        let [certificate, key] = &paths[..] else { return recognised() };
        let server = || format!("certificate = {certificate}\nkey = {key}\n");
        match self.kind {
            Kind::Authority { .. } => format!("client_ca = {certificate}\n"),
            Kind::Leaf { purpose: Purpose::Server, .. } => server(),
            Kind::Leaf { purpose: Purpose::Client, .. } => recognised(),
            Kind::Leaf { purpose: Purpose::Both, .. } => server() + &recognised(),
            Kind::Request => String::new(),
        }
    }
}

/// The lines of a `[[user]]` that recognise a certificate.
pub(super) fn recognised(subject: &Name, names: &[SanType]) -> String {
    if !subject.is_empty() {
        return format!("certificate_subject_line = {}\n", toml_text(&subject.to_string()));
    }
    let keys = names.iter().filter_map(names::as_key);
    keys.map(|(key, value)| format!("{key} = {}\n", toml_text(&value))).collect()
}

/// What a person reads of a certificate that has been written.
pub(super) fn wrote(path: &Path, subject: &Name, names: &[SanType], end: OffsetDateTime) -> String {
    format!("wrote {}: {}, until {}", path.display(), described(subject, names), until(end))
}

/// The day and the minute, in UTC.
pub(super) fn until(end: OffsetDateTime) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    end.format(format).unwrap_or_else(|_| end.to_string())
}

/// The subject and every alternative name: whoever signs a request has to see them.
fn described(subject: &Name, names: &[SanType]) -> String {
    let names: Vec<String> = names
        .iter()
        .filter_map(names::as_key)
        .map(|(key, value)| format!("{}:{value}", key.trim_start_matches("san_")))
        .collect();
    match (subject.is_empty(), names.is_empty()) {
        (true, _) => names.join(", "),
        (false, true) => subject.to_string(),
        (false, false) => format!("{subject} ({})", names.join(", ")),
    }
}

/// The empty name, of a certificate that has only alternative ones.
pub(super) fn nobody(names: &[SanType]) -> Result<Name, CertError> {
    // A sequence of no RDNs, in DER.
    let empty = Name::from_der(&[0x30, 0x00]);
    empty.ok().filter(|_| !names.is_empty()).ok_or(CertError::Nobody)
}

/// What to call a client's files: its most specific value, if that is a plain word.
pub(super) fn stem(subject: &Name) -> Result<String, CertError> {
    let plain = |text: &&str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        !text.starts_with('.') && text.chars().all(is_plain)
    };
    let stem = subject.leading_text().filter(plain).map(str::to_owned);
    stem.ok_or_else(|| CertError::NoName(subject.to_string()))
}

/// The subject of a server that was given none.
pub(super) fn named_after(name: &str) -> Result<Name, CertError> {
    let line: Result<SubjectLine, _> = format!("CN={name}").parse();
    line.map(|line| line.name().clone())
        .map_err(|cause| CertError::NoSubject { name: name.to_owned(), cause })
}

pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertError> {
    let read = fs::read(path).map(Zeroizing::new);
    read.map_err(|cause| CertError::Read { path: path.to_owned(), cause })
}

pub(super) fn make_directory(path: &Path) -> Result<(), CertError> {
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(|cause| FileError::Write { path: path.to_owned(), cause }.into())
}

/// A text as TOML writes it.
pub(super) fn toml_text(text: &str) -> String {
    toml::Value::from(text).to_string()
}
