//! What an authority does after the first day: `sign` a request, `revoke` a
//! certificate, write the `crl`. Owns the arguments, and the files beside the
//! authority's certificate: ca.revoked, the register, and ca.crl, the list.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::args::{IssuerArgs, LEAF_DAYS, LIST_DAYS, Life, NameArgs};
use super::files;
use super::issue::{Authority, Leaf, Purpose, Terms};
use super::order::{self, CertError, make_directory, read, until, wrote};
use super::register::{self, Register, Revoked, Why};
use super::request::Request;
use super::{issue::KeyKind, sign};
use crate::identity::{Name, SubjectLine};

/// Issue a certificate for a request
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "What the request asks for is its subject and its alternative names; they are printed, and --subject, --dns,
--ip, --uri and --email replace them. Nothing else of it reaches the certificate."
)]
pub(super) struct SignArgs {
    /// The request, in PEM
    #[arg(value_name = "REQUEST")]
    request: PathBuf,
    #[command(flatten)]
    issuer: IssuerArgs,
    /// What the certificate is good for
    #[arg(long = "for", value_name = "PURPOSE", default_value = "client")]
    purpose: Purpose,
    /// The subject, instead of the request's
    #[arg(long, value_name = "LINE")]
    subject: Option<SubjectLine>,
    #[command(flatten)]
    names: NameArgs,
    #[command(flatten)]
    life: Life,
    /// Where to write the certificate [default: beside the request, ending in .crt]
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

/// Write an authority's revocation list
#[derive(Debug, ClapArgs)]
pub(super) struct CrlArgs {
    #[command(flatten)]
    issuer: IssuerArgs,
    #[command(flatten)]
    life: Life,
    /// Where to write the list [default: beside the authority's certificate, ending in .crl]
    #[arg(long, value_name = "FILE")]
    crl: Option<PathBuf>,
}

/// Revoke a certificate, and write the revocation list
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "The register beside the authority's certificate, ca.revoked, has one line a revocation. Keep it: every list is
made from all of it. A gateway that watches ca.crl cuts the sessions of the certificate within seconds."
)]
pub(super) struct RevokeArgs {
    /// The certificate, in PEM
    #[arg(value_name = "CERT", required_unless_present = "serial", conflicts_with = "serial")]
    certificate: Option<PathBuf>,
    /// Its serial number in hex, where the certificate itself is lost
    #[arg(long, value_name = "HEX", value_parser = serial)]
    serial: Option<Serial>,
    /// Why
    #[arg(long, value_name = "REASON", default_value = "unspecified")]
    reason: Why,
    #[command(flatten)]
    list: CrlArgs,
}

/// A serial number, as an argument.
#[derive(Debug, Clone)]
struct Serial(Vec<u8>);

fn serial(text: &str) -> Result<Serial, String> {
    register::serial(text).map(Serial).ok_or_else(|| "expected up to 40 hex digits".to_owned())
}

impl SignArgs {
    pub(super) fn run(self, now: OffsetDateTime) -> Result<String, CertError> {
        let given = self.names.all();
        let request = Request::read(&read(&self.request)?, !given.is_empty())
            .map_err(|cause| CertError::Request { path: self.request.clone(), cause })?;
        let names = if given.is_empty() { request.names.clone() } else { given };
        let subject = self.subject.map_or_else(|| request.subject.clone(), |line| line.name().clone());
        if subject.is_empty() {
            order::nobody(&names)?;
        }
        let path = self.cert.unwrap_or_else(|| self.request.with_extension("crt"));
        let terms = Terms { lasts: self.life.or_days(LEAF_DAYS), key: KeyKind::default(), now };
        let authority = self.issuer.files().load(now)?;
        let leaf = Leaf { subject, names, purpose: self.purpose };
        let (certificate, end) = authority.signed(&request, &leaf, &terms).map_err(CertError::Issue)?;
        make_directory(path.parent().unwrap_or_else(|| Path::new("")))?;
        files::write(&path, certificate.as_bytes(), files::CERTIFICATE_MODE, self.force)?;
        Ok(wrote(&path, &leaf.subject, &leaf.names, end)
            + "\n"
            + &order::recognised(&leaf.subject, &leaf.names))
    }
}

impl CrlArgs {
    pub(super) fn run(self, now: OffsetDateTime) -> Result<String, CertError> {
        let authority = self.issuer.clone().files().load(now)?;
        let _lock = self.lock()?;
        let mut register = self.register()?;
        self.write(&mut register, &authority, now)
    }

    /// Two that write at once would lose a revocation.
    fn lock(&self) -> Result<File, CertError> {
        let directory = match self.issuer.ca.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let lock = File::open(directory).and_then(|file| file.lock().map(|()| file));
        lock.map_err(|cause| CertError::Read { path: directory.to_owned(), cause })
    }

    fn register_path(&self) -> PathBuf {
        self.issuer.ca.with_extension("revoked")
    }

    fn register(&self) -> Result<Register, CertError> {
        let path = self.register_path();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(cause) => return Err(CertError::Read { path, cause }),
        };
        Register::parse(&text).map_err(|cause| CertError::Register { path, cause })
    }

    /// The register first: a revocation that only a list knows would be forgotten
    /// by the next one.
    fn write(
        &self,
        register: &mut Register,
        authority: &Authority,
        now: OffsetDateTime,
    ) -> Result<String, CertError> {
        let path = self.crl.clone().unwrap_or_else(|| self.issuer.ca.with_extension("crl"));
        let (list, end) =
            register.list(authority, self.life.or_days(LIST_DAYS), now).map_err(CertError::Issue)?;
        files::write(&self.register_path(), register.text().as_bytes(), files::CERTIFICATE_MODE, true)?;
        files::write(&path, list.as_bytes(), files::CERTIFICATE_MODE, true)?;
        Ok(format!(
            "wrote {}: number {}, {} revoked, next one due by {}\ncrl = {}\n",
            path.display(),
            register.number(),
            register.len(),
            until(end),
            order::toml_text(&path.display().to_string()),
        ))
    }
}

impl RevokeArgs {
    pub(super) fn run(self, now: OffsetDateTime) -> Result<String, CertError> {
        let authority = self.list.issuer.clone().files().load(now)?;
        let (serial, subject) = match (&self.certificate, self.serial) {
            (Some(path), _) => of_certificate(path, &authority)?,
            (None, serial) => (serial.map(|serial| serial.0).unwrap_or_default(), String::new()),
        };
        let _lock = self.list.lock()?;
        let mut register = self.list.register()?;
        let at = now.replace_nanosecond(0).unwrap_or(now);
        let revoked = Revoked { serial, at, why: self.reason, subject };
        let said = match register.add(revoked.clone()) {
            Some(earlier) => {
                format!("{} was revoked already, on {}\n", register::hex(&earlier.serial), until(earlier.at))
            }
            None => format!("revoked {} {}\n", register::hex(&revoked.serial), revoked.subject),
        };
        Ok(said.replace(" \n", "\n") + &self.list.write(&mut register, &authority, now)?)
    }
}

/// The serial number and subject of a certificate that this authority has issued.
/// Another's would be listed in vain, and its holder stay.
fn of_certificate(path: &Path, authority: &Authority) -> Result<(Vec<u8>, String), CertError> {
    let not = |why: String| CertError::NotIts { path: path.to_owned(), why };
    let der = CertificateDer::from_pem_slice(&read(path)?)
        .map_err(|cause| not(format!("no PEM certificate: {cause}")))?;
    let (_, parsed) = X509Certificate::from_der(&der)
        .map_err(|cause| not(format!("the certificate does not parse: {cause}")))?;
    if parsed.issuer().as_raw() != authority.subject || !sign::is_signed_by(&der, &authority.key_info()) {
        let issuer = Name::from_der(parsed.issuer().as_raw()).map(|name| name.to_string());
        let issuer = issuer.unwrap_or_else(|_| "somebody unreadable".to_owned());
        return Err(not(format!(
            "this authority has not issued it, but {issuer}; say which authority with --ca and --ca-key"
        )));
    }
    let serial = register::serial(&register::hex(parsed.raw_serial()))
        .ok_or_else(|| not("its serial number has more than 20 octets".to_owned()))?;
    let subject = Name::from_der(parsed.subject().as_raw()).map(|name| name.to_string());
    Ok((serial, subject.unwrap_or_default()))
}
