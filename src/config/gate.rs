//! `mtls_client_cert_subject_validation_type` and `mtls_authorized_subjects`:
//! Redis Enterprise's names for which certificates a listener takes.

use super::cause::Cause;
use super::identity_cause::IdentityCause;
use super::problem::{At, Notes};
use super::source::Section;
use super::ways::{self, Attributes};
use crate::identity::{AuthorizedSubject, Gate};

const KEY: &str = "mtls_authorized_subjects";
const LIKE: &str = "mtls_authorized_subjects = [{ CN = \"app\" }]";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Disabled,
    SanCn,
    FullSubject,
}

/// One of the subjects as written.
struct Written {
    at: At,
    attributes: Attributes,
    partial: Option<bool>,
}

/// Takes the keys out of a listener's section and builds its gate, or notes why
/// it cannot be built.
pub(super) fn read(section: &mut Section<'_>, notes: &mut Notes) -> Option<Gate> {
    let words = [("disabled", Kind::Disabled), ("san_cn", Kind::SanCn), ("full_subject", Kind::FullSubject)];
    let kind = match section.take("mtls_client_cert_subject_validation_type") {
        None => Kind::Disabled,
        Some(entry) => match entry.word(&words, notes) {
            Some(kind) => kind,
            None => {
                // What the subjects would have to be is not known.
                section.take(KEY);
                return None;
            }
        },
    };
    if kind == Kind::Disabled {
        return match section.take(KEY) {
            None => Some(Gate::Disabled),
            Some(entry) => {
                notes.error(&entry.at, IdentityCause::SubjectsWithoutGate.into());
                None
            }
        };
    }
    let entry = section.need(KEY, LIKE, notes)?;
    if entry.is_empty() {
        notes.error(&entry.at, Cause::EmptyList);
        return None;
    }
    let subjects: Vec<Option<Written>> = entry
        .items()
        .into_iter()
        .map(|item| item.section(notes).and_then(|section| subject(section, notes)))
        .collect();
    let subjects: Vec<Written> = subjects.into_iter().collect::<Option<_>>()?;
    let built: Vec<Option<AuthorizedSubject>> =
        subjects.iter().map(|written| authorized(written, kind, notes)).collect();
    let built: Vec<AuthorizedSubject> = built.into_iter().collect::<Option<_>>()?;
    Some(match kind {
        Kind::SanCn => Gate::SanCn(built.iter().map(|subject| subject.common_name().to_owned()).collect()),
        Kind::FullSubject | Kind::Disabled => Gate::FullSubject(built),
    })
}

fn subject(mut section: Section<'_>, notes: &mut Notes) -> Option<Written> {
    let at = section.at().clone();
    let partial = section.take("partial").map(|entry| entry.flag(notes));
    let attributes = ways::table(section, notes)?;
    match partial {
        Some(None) => None,
        partial => Some(Written { at, attributes, partial: partial.flatten().map(|flag| flag.value) }),
    }
}

fn authorized(written: &Written, kind: Kind, notes: &mut Notes) -> Option<AuthorizedSubject> {
    let Written { at, attributes, partial } = written;
    let built = AuthorizedSubject::new(attributes, partial.unwrap_or(false));
    let built = notes.ok(at, built.map_err(|error| IdentityCause::from(error).into()))?;
    if kind == Kind::SanCn {
        let more = attributes.iter().map(|(name, _)| name.as_str()).find(|name| !is_common_name(name));
        let more = more.or_else(|| partial.map(|_| "partial"));
        if let Some(found) = more {
            notes.error(at, IdentityCause::MoreThanCn { found: found.to_owned() }.into());
            return None;
        }
    }
    Some(built)
}

fn is_common_name(name: &str) -> bool {
    name.eq_ignore_ascii_case("CN") || name.trim_start_matches("OID.") == "2.5.4.3"
}
