//! The keys of `[[user]]` that say what somebody is recognised by, as written
//! and as entries of the map.

use rustls::pki_types::CertificateDer;

use super::cause::Cause;
use super::certificates;
use super::identity_cause::IdentityCause;
use super::material::Files;
use super::problem::{At, Notes};
use super::source::{Entry as Found, Section, Written};
use crate::identity::{Certificate, Entry, Fingerprint, Order, SanKind, Scope, SubjectLine};

/// Attributes and their values, as a table has them.
pub(super) type Attributes = Vec<(String, Vec<String>)>;

/// What a user is recognised by, as written.
#[derive(Default)]
pub(super) struct WaysFile {
    pub(super) lines: Vec<LineFile>,
    names: Vec<(SanKind, Written<String>)>,
    certificates: Vec<Written<String>>,
    keys: Vec<Written<String>>,
    serials: Vec<(At, String, String)>,
    attributes: Vec<(At, Attributes)>,
    /// The CAs to which all of them are bound.
    issuer: Option<Vec<Written<String>>>,
    /// Whether something that is written could not be read.
    is_broken: bool,
}

/// One `certificate_subject_line`.
pub(super) struct LineFile {
    at: At,
    what: LineText,
    ignore_case: bool,
    partial: bool,
    issuer: Option<Vec<Written<String>>>,
}

enum LineText {
    Text(String, Order),
    Structured(Attributes, Option<Vec<String>>),
}

impl WaysFile {
    /// Whether there is any way at all.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_broken
            && self.lines.is_empty()
            && self.names.is_empty()
            && self.certificates.is_empty()
            && self.keys.is_empty()
            && self.serials.is_empty()
            && self.attributes.is_empty()
    }
}

/// The keys, of which each is a way by itself or says how another is meant.
const KEYS: [&str; 11] = [
    "certificate_subject_line",
    "ignore_case",
    "san_dns",
    "san_uri",
    "san_email",
    "san_ip",
    "certificate_sha256",
    "spki_sha256",
    "issuer_serial",
    "attributes",
    "issuer",
];

/// Takes the keys out of the section of a user that no certificate makes.
pub(super) fn refuse(section: &mut Section<'_>, notes: &mut Notes) {
    for entry in KEYS.iter().filter_map(|key| section.take(key)) {
        notes.error(&entry.at, Cause::LineOfPasswordUser);
    }
}

/// Takes the keys out of a user's section.
pub(super) fn read(section: &mut Section<'_>, notes: &mut Notes) -> WaysFile {
    let mut is_complete = true;
    let mut whole = |read: bool| is_complete &= read;
    let folds =
        section.take("ignore_case").and_then(|entry| entry.flag(notes)).is_some_and(|flag| flag.value);
    let mut lines = Vec::new();
    if let Some(entry) = section.take("certificate_subject_line") {
        let items = filled(entry, notes);
        whole(!items.is_empty());
        let read = items.into_iter().map(|item| line(item, folds, notes));
        let read: Vec<_> = read.collect();
        whole(read.iter().all(Option::is_some));
        lines.extend(read.into_iter().flatten());
    }
    let mut names = Vec::new();
    for (key, kind) in [
        ("san_dns", SanKind::Dns),
        ("san_uri", SanKind::Uri),
        ("san_email", SanKind::Email),
        ("san_ip", SanKind::Ip),
    ] {
        let read = texts(section, key, notes);
        whole(read.is_some());
        names.extend(read.unwrap_or_default().into_iter().map(|text| (kind, text)));
    }
    let certificates = texts(section, "certificate_sha256", notes);
    let keys = texts(section, "spki_sha256", notes);
    whole(certificates.is_some() && keys.is_some());
    let mut serials = Vec::new();
    for item in section.take("issuer_serial").map(|entry| filled(entry, notes)).unwrap_or_default() {
        let read = serial(item, notes);
        whole(read.is_some());
        serials.extend(read);
    }
    let mut attributes = Vec::new();
    for item in section.take("attributes").map(|entry| filled(entry, notes)).unwrap_or_default() {
        let at = item.at.clone();
        let read = item.section(notes).and_then(|section| table(section, notes));
        whole(read.is_some());
        attributes.extend(read.map(|read| (at, read)));
    }
    let issuer = section.take("issuer").map(|entry| entry.filled_texts(notes));
    whole(!matches!(issuer, Some(None)));
    WaysFile {
        lines,
        names,
        certificates: certificates.unwrap_or_default(),
        keys: keys.unwrap_or_default(),
        serials,
        attributes,
        issuer: issuer.flatten(),
        is_broken: !is_complete,
    }
}

/// A key's texts: none if it is not there, nothing if it cannot be read.
fn texts(section: &mut Section<'_>, key: &'static str, notes: &mut Notes) -> Option<Vec<Written<String>>> {
    match section.take(key) {
        None => Some(Vec::new()),
        Some(entry) => entry.filled_texts(notes),
    }
}

/// The items of a list that must not be empty, or the value itself.
fn filled<'a>(entry: Found<'a>, notes: &mut Notes) -> Vec<Found<'a>> {
    if entry.is_empty() {
        notes.error(&entry.at, Cause::EmptyList);
    }
    entry.items()
}

/// A text, or a section with a `line` or a `subject`.
fn line(entry: Found<'_>, folds: bool, notes: &mut Notes) -> Option<LineFile> {
    if !entry.is_section() {
        let text = entry.text(notes)?;
        let what = LineText::Text(text.value, Order::Rfc4514);
        return Some(LineFile { at: text.at, what, ignore_case: folds, partial: false, issuer: None });
    }
    let mut section = entry.section(notes)?;
    let at = section.at().clone();
    let text = section.take("line").map(|entry| entry.text(notes));
    let subject =
        section.take("subject").map(|entry| entry.section(notes).and_then(|section| table(section, notes)));
    let order = section.take("order").map(|entry| entry.filled_texts(notes));
    let folded = section.take("ignore_case").map(|entry| entry.flag(notes));
    let partial = section.take("partial").map(|entry| entry.flag(notes));
    let orders = [("rfc4514", Order::Rfc4514), ("certificate", Order::Certificate)];
    let read_as = section.take("certificate_subject_order").map(|entry| entry.word(&orders, notes));
    let issuer = section.take("issuer_sha256").map(|entry| entry.filled_texts(notes));
    section.finish(notes);
    let is_read = !matches!(folded, Some(None)) && !matches!(partial, Some(None));
    let is_read = is_read && !matches!(read_as, Some(None)) && !matches!(issuer, Some(None));
    let what = match (text, subject, order, read_as) {
        (Some(text), None, None, read_as) => {
            LineText::Text(text?.value, read_as.flatten().unwrap_or_default())
        }
        (None, Some(subject), order, None) => {
            let order =
                order.map(|order| order.map(|names| names.into_iter().map(|name| name.value).collect()));
            if matches!(order, Some(None)) {
                return None;
            }
            LineText::Structured(subject?, order.flatten())
        }
        _ => {
            notes.error(&at, IdentityCause::LineOrSubject.into());
            return None;
        }
    };
    let flag = |flag: Option<Option<Written<bool>>>| flag.flatten().map(|flag| flag.value);
    let ignore_case = flag(folded).unwrap_or(folds);
    let partial = flag(partial).unwrap_or(false);
    is_read.then_some(LineFile { at, what, ignore_case, partial, issuer: issuer.flatten() })
}

/// `"CN=Acme CA:01AB"`, or a section with `issuer` and `serial`.
fn serial(entry: Found<'_>, notes: &mut Notes) -> Option<(At, String, String)> {
    let at = entry.at.clone();
    if entry.is_section() {
        let mut section = entry.section(notes)?;
        let issuer = section.need("issuer", "issuer = \"CN=Acme CA\"", notes);
        let serial = section.need("serial", "serial = \"01AB\"", notes);
        section.finish(notes);
        let issuer = issuer.and_then(|entry| entry.text(notes));
        let serial = serial.and_then(|entry| entry.text(notes));
        return Some((at, issuer?.value, serial?.value));
    }
    let text = entry.text(notes)?;
    match text.value.rsplit_once(':') {
        Some((issuer, serial)) => Some((at, issuer.to_owned(), serial.to_owned())),
        None => {
            notes.error(&text.at, IdentityCause::IssuerSerial { found: text.value }.into());
            None
        }
    }
}

/// A table of attributes, each with a text or a list of them.
pub(super) fn table(section: Section<'_>, notes: &mut Notes) -> Option<Attributes> {
    let read = section.entries().into_iter().map(|(name, entry)| {
        let values = entry.filled_texts(notes)?;
        Some((name, values.into_iter().map(|value| value.value).collect()))
    });
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

/// What a user is recognised by, each with its place.
pub(super) struct Ways {
    pub(super) entries: Vec<(At, Entry)>,
    pub(super) scope: Option<Scope>,
    /// Whether all that is written is there.
    pub(super) is_complete: bool,
}

/// Builds the entries of a user, as many as can be.
pub(super) fn entries(
    written: &WaysFile,
    trusted: &[Certificate],
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Ways {
    let mut built: Vec<Option<(At, Entry)>> = Vec::new();
    for line in &written.lines {
        built.push(subject(line, trusted, files, notes).map(|entry| (line.at.clone(), entry)));
    }
    let mut push = |at: &At, entry: Result<Entry, Cause>| {
        built.push(notes.ok(at, entry).map(|entry| (at.clone(), entry)));
    };
    for (kind, text) in &written.names {
        push(&text.at, Entry::alternative(*kind, &text.value).map_err(Cause::from));
    }
    for text in &written.certificates {
        push(&text.at, Entry::certificate(&text.value).map_err(Cause::from));
    }
    for text in &written.keys {
        push(&text.at, Entry::key(&text.value).map_err(Cause::from));
    }
    for (at, issuer, serial) in &written.serials {
        let issuer = issuer.parse::<SubjectLine>().map_err(Cause::from);
        let entry = |issuer: SubjectLine| Entry::issuer_serial(issuer.name(), serial).map_err(Cause::from);
        push(at, issuer.and_then(entry));
    }
    for (at, attributes) in &written.attributes {
        push(at, Entry::attributes(attributes).map_err(Cause::from));
    }
    let bound = written.issuer.as_ref().map(|issuer| scope(issuer, trusted, files, notes));
    let is_bound = !matches!(bound, Some(None));
    let is_complete = !written.is_broken && is_bound && built.iter().all(Option::is_some);
    Ways { entries: built.into_iter().flatten().collect(), scope: bound.flatten(), is_complete }
}

fn subject(
    line: &LineFile,
    trusted: &[Certificate],
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Option<Entry> {
    let read = match &line.what {
        LineText::Text(text, order) => {
            let read = text.parse::<SubjectLine>().map_err(Cause::from);
            read.map(|read| read.with_order(*order).with_partial(line.partial))
        }
        LineText::Structured(attributes, None) if line.partial => {
            SubjectLine::unordered(attributes).map_err(|error| IdentityCause::from(error).into())
        }
        LineText::Structured(attributes, order) => SubjectLine::structured(attributes, order.as_deref())
            .map(|read| read.with_partial(line.partial))
            .map_err(|error| IdentityCause::from(error).into()),
    };
    let scope = line.issuer.as_ref().map(|issuer| scope(issuer, trusted, files, notes));
    let entry = Entry::from(notes.ok(&line.at, read)?.with_ignore_case(line.ignore_case));
    match scope {
        None => Some(entry),
        Some(scope) => Some(entry.within(scope?)),
    }
}

/// The CAs with these fingerprints or in these files. A certificate's fingerprint
/// stands for its key, where the CA is one of the trusted: a path is told by keys.
pub(super) fn scope(
    written: &[Written<String>],
    trusted: &[Certificate],
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> Option<Scope> {
    let mut prints: Vec<Fingerprint> = Vec::new();
    let mut is_whole = true;
    for text in written {
        if let Ok(print) = text.value.parse::<Fingerprint>() {
            prints.push(print);
            let its_key = trusted.iter().filter(|ca| ca.fingerprint() == print).map(Certificate::key);
            prints.extend(its_key);
            continue;
        }
        let content = files.public(&text.value, &text.at, notes);
        let found = content.and_then(|content| notes.ok(&text.at, certificates::certificates(&content)));
        let Some(found) = found else {
            is_whole = false;
            continue;
        };
        for (index, der) in found.iter().enumerate() {
            let (path, number) = (files.resolve(&text.value), index + 1);
            let read = Certificate::from_der(der).map_err(|error| Cause::BadCertificate {
                path: path.clone(),
                number,
                why: error.to_string(),
            });
            let ca = read.and_then(|ca| {
                if ca.signs_certificates() { Ok(ca) } else { Err(Cause::NotCa { path, number }) }
            });
            match notes.ok(&text.at, ca) {
                Some(ca) => prints.extend([ca.key(), ca.fingerprint()]),
                None => is_whole = false,
            }
        }
    }
    is_whole.then(|| Scope::new(prints))
}

/// The CAs of a listener as far as they can be read; what cannot is noted elsewhere.
pub(super) fn trusted<'a>(client_ca: impl Iterator<Item = &'a CertificateDer<'static>>) -> Vec<Certificate> {
    client_ca.filter_map(|der| Certificate::from_der(der).ok()).collect()
}

/// Whether there is more than one CA, told by key.
pub(super) fn are_several(trusted: &[Certificate]) -> bool {
    trusted.iter().any(|ca| ca.key() != trusted[0].key())
}
