//! Whether a new server certificate is for the same as the one before it: issuer,
//! subject and alternative names, as parsed. Orders and string types do not matter.

use std::collections::BTreeSet;
use std::fmt;

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::X509Certificate;
use x509_parser::x509::X509Name;

use super::fit;
use crate::identity::Name;

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameField {
    /// The CA's name.
    Issuer,
    /// The certificate's own.
    Subject,
    /// Its subject alternative names.
    AlternativeNames,
    /// When it ends.
    End,
}

impl fmt::Display for NameField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Issuer => "the issuer",
            Self::Subject => "the subject",
            Self::AlternativeNames => "the alternative names",
            Self::End => "the earlier end",
        })
    }
}

/// The first field of the new certificate that is another than the old one's, with
/// both as text. A certificate that cannot be read differs in its subject.
#[must_use]
pub fn renamed(old: &CertificateDer<'_>, new: &CertificateDer<'_>) -> Option<(NameField, String, String)> {
    let (Ok(old), Ok(new)) = (fit::parse(old), fit::parse(new)) else {
        return Some((NameField::Subject, "?".to_owned(), "?".to_owned()));
    };
    let names = [
        (NameField::Issuer, name(old.issuer()), name(new.issuer())),
        (NameField::Subject, name(old.subject()), name(new.subject())),
        (NameField::AlternativeNames, alternatives(&old), alternatives(&new)),
    ];
    for (field, old, new) in names {
        if old != new {
            return Some((field, shown(&old), shown(&new)));
        }
    }
    let (ends, new_ends) = (old.validity().not_after, new.validity().not_after);
    (new_ends < ends).then(|| (NameField::End, ends.to_string(), new_ends.to_string()))
}

/// The RDNs in an order of their own: CAs and tools disagree about it.
fn name(name: &X509Name<'_>) -> Vec<String> {
    // An unreadable name is like none but itself.
    let mut parts = Name::from_der(name.as_raw())
        .map(|name| name.rdn_texts())
        .unwrap_or_else(|error| vec![format!("{error}: {:02x?}", name.as_raw())]);
    parts.sort_unstable();
    parts
}

fn alternatives(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.into_iter().flat_map(|extension| &extension.value.general_names);
    names.map(|name| name.to_string()).collect::<BTreeSet<_>>().into_iter().collect()
}

fn shown(parts: &[String]) -> String {
    if parts.is_empty() { "none".to_owned() } else { format!("{:?}", parts.join(", ")) }
}
