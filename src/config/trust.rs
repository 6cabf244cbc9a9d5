//! Whom a listener trusts: CAs, pinned certificates, revocation lists and the
//! policies about them, from the keys as written to what `io::tls` decides by.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::X509Certificate;

use super::cause::Cause;
use super::certificates::{Numbered, Role, certificates, check_certificate, date};
use super::keys::bad_pem;
use super::material::{Content, Files};
use super::problem::{At, Notes};
use super::source::{Section, Written};
use crate::io::ClientAuth;
use crate::io::tls::{ClientEku, ClientSan, Crl, CrlDepth, CrlPolicy, Trust, TrustSettings};

/// How long before a list's end a warning begins: they are made anew each day or week.
const LIST_ENDS_SOON_SECONDS: i64 = 24 * 60 * 60;

/// The keys of a listener that are about its clients' certificates.
pub(super) struct TrustFile {
    at: At,
    pub(super) client_auth: ClientAuth,
    pub(super) client_auth_at: At,
    ca: Vec<Written<String>>,
    pinned: Vec<Written<String>>,
    crl: Vec<Written<String>>,
    eku: ClientEku,
    san: ClientSan,
    crl_depth: CrlDepth,
    crl_unknown: CrlPolicy,
    crl_expired: CrlPolicy,
    allow_expired: Option<Written<bool>>,
    pub(super) resumption: bool,
    pub(super) keep_server_names: bool,
}

/// Takes the keys out of a listener's section.
pub(super) fn read(section: &mut Section<'_>, notes: &mut Notes) -> TrustFile {
    let auths =
        [("required", ClientAuth::Required), ("optional", ClientAuth::Optional), ("none", ClientAuth::None)];
    let auth = section.take("client_auth");
    let client_auth_at = auth.as_ref().map_or_else(|| section.at().clone(), |entry| entry.at.clone());
    let client_auth = auth.and_then(|entry| entry.word(&auths, notes)).unwrap_or_default();
    let pinned = section.take("client_certificates").and_then(|entry| entry.texts(notes)).unwrap_or_default();
    let ca = if client_auth == ClientAuth::None || !pinned.is_empty() {
        section.take("client_ca")
    } else {
        section.need("client_ca", "client_ca = \"ca.crt\"", notes)
    };
    let at = ca.as_ref().map_or_else(|| section.at().clone(), |entry| entry.at.clone());
    let ekus = [("if_present", ClientEku::IfPresent), ("required", ClientEku::Required)];
    let sans = [("if_present", ClientSan::IfPresent), ("required", ClientSan::Required)];
    let depths = [("chain", CrlDepth::Chain), ("leaf", CrlDepth::Leaf)];
    let policies = [("deny", CrlPolicy::Deny), ("allow", CrlPolicy::Allow)];
    let mut policy = |key, notes: &mut Notes| {
        section.take(key).and_then(|entry| entry.word(&policies, notes)).unwrap_or_default()
    };
    let (crl_unknown, crl_expired) = (policy("crl_unknown", notes), policy("crl_expired", notes));
    // Redis Enterprise has it, so somebody will write it.
    if let Some(entry) = section.take("mtls_allow_weak_hashing")
        && let Some(flag) = entry.flag(notes).filter(|flag| flag.value)
    {
        notes.error(&flag.at, Cause::WeakHashing);
    }
    let allow_expired = section.take("allow_expired_certificates");
    let mut flag =
        |key, notes: &mut Notes| section.take(key).and_then(|it| it.flag(notes)).is_some_and(|it| it.value);
    let (resumption, keep_server_names) = (flag("resumption", notes), flag("keep_server_names", notes));
    TrustFile {
        at,
        client_auth,
        client_auth_at,
        ca: ca.and_then(|entry| entry.filled_texts(notes)).unwrap_or_default(),
        pinned,
        crl: section.take("crl").and_then(|entry| entry.texts(notes)).unwrap_or_default(),
        eku: section.take("client_eku").and_then(|entry| entry.word(&ekus, notes)).unwrap_or_default(),
        san: section.take("client_san").and_then(|entry| entry.word(&sans, notes)).unwrap_or_default(),
        crl_depth: section.take("crl_depth").and_then(|entry| entry.word(&depths, notes)).unwrap_or_default(),
        crl_unknown,
        crl_expired,
        allow_expired: allow_expired.and_then(|entry| entry.flag(notes)),
        resumption,
        keep_server_names,
    }
}

/// Reads the files and checks them, alone and together.
pub(super) fn settings(
    written: &TrustFile,
    files: &mut Files<'_>,
    now: i64,
    notes: &mut Notes,
) -> Option<TrustSettings> {
    let client_ca = of_files(&written.ca, Role::ClientCa, files, now, notes);
    let client_certificates = of_files(&written.pinned, Role::Client, files, now, notes);
    let (client_ca, client_certificates) = (client_ca?, client_certificates?);
    let crls = lists(&written.crl, &client_ca, files, now, notes)?;
    let allow_expired = written.allow_expired.as_ref().filter(|flag| flag.value);
    if let Some(flag) = allow_expired {
        notes.warn(&flag.at, Cause::ExpiredAllowed);
    }
    let settings = TrustSettings {
        client_ca,
        client_certificates,
        client_eku: written.eku,
        client_san: written.san,
        crls,
        crl_depth: written.crl_depth,
        crl_unknown: written.crl_unknown,
        crl_expired: written.crl_expired,
        allow_expired: allow_expired.is_some(),
    };
    if written.client_auth != ClientAuth::None && !(written.ca.is_empty() && written.pinned.is_empty()) {
        // Built here once to see that it can be: a reload must not find out later.
        let built = Trust::new(&settings).map_err(|error| Cause::UnusableTls { why: error.to_string() });
        notes.ok(&written.at, built)?;
    }
    Some(settings)
}

/// All files' certificates, each once. Nothing, if any of them is no good.
pub(super) fn of_files(
    paths: &[Written<String>],
    role: Role,
    files: &mut Files<'_>,
    now: i64,
    notes: &mut Notes,
) -> Option<Vec<CertificateDer<'static>>> {
    let mut all = Vec::new();
    let mut seen = BTreeSet::new();
    let mut is_whole = true;
    for path in paths {
        let content = files.public(&path.value, &path.at, notes);
        let found = content.and_then(|content| notes.ok(&path.at, certificates(&content)));
        let Some(found) = found else {
            is_whole = false;
            continue;
        };
        let file = files.resolve(&path.value);
        for (index, der) in found.into_iter().enumerate() {
            let numbered = Numbered { path: &file, number: index + 1, der: &der };
            is_whole &= check_certificate(&numbered, role, now, &path.at, notes).is_some();
            is_whole &= check_role(&numbered, role, &path.at, notes).is_some();
            if seen.insert(der.to_vec()) {
                all.push(der);
            }
        }
    }
    is_whole.then_some(all)
}

/// WebPKI believes whatever it is given as a trust anchor: a client's own
/// certificate among the CAs could issue certificates for anybody. A CA's among
/// the pinned ones would be nobody's: no CA is let in as a client.
fn check_role(it: &Numbered<'_>, role: Role, at: &At, notes: &mut Notes) -> Option<()> {
    // Unreadable has been noted already.
    let certificate = it.parse().ok()?;
    let is_ca = certificate.is_ca();
    let (path, number) = (it.path.to_owned(), it.number);
    match role {
        Role::ClientCa | Role::BackendCa if !is_ca => notes.error(at, Cause::NotCa { path, number }),
        Role::Client if is_ca => notes.error(at, Cause::PinnedCa { path, number }),
        Role::Client if has_weak_hash(&certificate) => notes.error(at, Cause::WeakHash { path, number }),
        Role::ClientCa | Role::BackendCa => {
            let alone = TrustSettings { client_ca: vec![it.der.clone()], ..TrustSettings::default() };
            let anchor = Trust::new(&alone).map_err(|error| it.unusable(&error.to_string()));
            return notes.ok(at, anchor).map(|_| ());
        }
        Role::Client | Role::Server => return Some(()),
    }
    None
}

/// MD5 and SHA-1, which elsewhere WebPKI refuses; a pinned certificate's signature
/// it does not see.
fn has_weak_hash(certificate: &X509Certificate<'_>) -> bool {
    const WEAK: [&str; 6] = [
        "1.2.840.113549.1.1.2",
        "1.2.840.113549.1.1.4",
        "1.2.840.113549.1.1.5",
        "1.2.840.10045.4.1",
        "1.2.840.10040.4.3",
        "1.3.14.3.2.29",
    ];
    WEAK.contains(&certificate.signature_algorithm.algorithm.to_id_string().as_str())
}

/// All files' lists. Nothing, if any of them is no good.
fn lists(
    paths: &[Written<String>],
    client_ca: &[CertificateDer<'static>],
    files: &mut Files<'_>,
    now: i64,
    notes: &mut Notes,
) -> Option<Vec<Arc<Crl>>> {
    let mut all = Vec::new();
    let mut is_whole = true;
    for path in paths {
        let content = files.large(&path.value, &path.at, notes);
        let Some(ders) = content.and_then(|content| notes.ok(&path.at, list_ders(&content))) else {
            is_whole = false;
            continue;
        };
        let file = files.resolve(&path.value);
        for (index, der) in ders.iter().enumerate() {
            let number = index + 1;
            let read = Crl::from_der(der).map_err(|why| Cause::BadCrl { path: file.clone(), number, why });
            let Some(crl) = notes.ok(&path.at, read) else {
                is_whole = false;
                continue;
            };
            let on = date(crl.next_update());
            let path_of = || file.clone();
            if crl.next_update() <= now {
                notes.warn(&path.at, Cause::CrlExpired { path: path_of(), number, on });
            } else if crl.next_update() - now < LIST_ENDS_SOON_SECONDS {
                notes.warn(&path.at, Cause::CrlExpires { path: path_of(), number, on });
            }
            if is_forged(&crl, client_ca) {
                let issuer = crl.issuer().to_owned();
                notes.error(&path.at, Cause::CrlOfAnother { path: path_of(), number, issuer });
                is_whole = false;
            }
            all.push(Arc::new(crl));
        }
    }
    is_whole.then_some(all)
}

/// Whether a list has the name of one of the CAs and the signature of none of that
/// name. Those of other names may be of CAs below them, which clients present.
fn is_forged(crl: &Crl, client_ca: &[CertificateDer<'static>]) -> bool {
    let named: Vec<_> = client_ca.iter().filter(|ca| crl.is_named_as(ca)).collect();
    !named.is_empty() && !named.into_iter().any(|ca| crl.is_signed_by_ca(ca))
}

/// PEM, with any text around its sections, or DER.
fn list_ders(content: &Content) -> Result<Vec<Vec<u8>>, Cause> {
    if content.bytes.first() == Some(&0x30) {
        return Ok(vec![content.bytes.to_vec()]);
    }
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(content.pem()).collect();
    let found = found.map_err(|error| bad_pem(content, &error))?;
    if found.is_empty() {
        return Err(Cause::NoCrl { path: content.path.clone() });
    }
    Ok(found.into_iter().map(|der| der.to_vec()).collect())
}
