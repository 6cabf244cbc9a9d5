//! Taking a value out of a certificate: an attribute of its subject, or an
//! alternative name. What is there several times is never chosen from.

use std::collections::BTreeSet;
use std::fmt;

use thiserror::Error;

use super::mismatch::cut;
use super::name::Rdn;
use super::oid::Oid;
use super::value::Value;
use super::{Certificate, Pattern, PatternError, Reason, Refusal, San, SanKind, admissible, attribute};

/// The type of Microsoft's user principal names among the otherNames.
const UPN: &str = "1.3.6.1.4.1.311.20.2.3";

/// Why a text does not say what to take. Positions count characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExtractError {
    /// An attribute that has no such name.
    #[error("unknown attribute {got:?} at character 1, expected one such as CN, a dotted OID, dn or san:dns{}", did_you_mean(.near))]
    Attribute {
        /// The text.
        got: String,
        /// Names that are similar.
        near: Vec<&'static str>,
    },
    /// A type of alternative name that there is not.
    #[error(
        "unknown type of alternative name {got:?} at character 5, expected dns, uri, email, ip, upn or other"
    )]
    San {
        /// The text.
        got: String,
    },
    /// A pattern that is none.
    #[error("the pattern at character {at} cannot be used: {cause}")]
    Pattern {
        /// Where it begins.
        at: usize,
        /// Why.
        cause: PatternError,
    },
}

fn did_you_mean(near: &[&str]) -> String {
    match near {
        [] => String::new(),
        near => format!(": did you mean {}?", near.join(" or ")),
    }
}

/// What to take from a certificate. Its `Display` is the text that it was read from.
#[derive(Debug, Clone)]
pub struct Extract {
    text: String,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Subject,
    Attribute(Oid),
    San { kind: SanKind, oid: Option<&'static str>, only: Option<Pattern> },
}

impl Extract {
    /// Reads `CN` or another attribute's name, a dotted OID, `dn`, or
    /// `san:TYPE` with the types dns, uri, email, ip, upn and other, after which
    /// `:PATTERN` may stand: only the names that it matches are taken.
    ///
    /// # Errors
    ///
    /// What is wrong and where.
    pub fn parse(text: &str) -> Result<Self, ExtractError> {
        let source = match text.split_once(':') {
            Some((san, rest)) if san.eq_ignore_ascii_case("san") => alternative(rest)?,
            _ if text.eq_ignore_ascii_case("dn") => Source::Subject,
            _ => {
                let unknown = || ExtractError::Attribute {
                    got: cut(text.to_owned()),
                    near: attribute::near_misses(text),
                };
                Source::Attribute(attribute::type_of(text).ok_or_else(unknown)?)
            }
        };
        Ok(Self { text: text.to_owned(), source })
    }

    /// The whole subject, as RFC 4514 writes it.
    #[must_use]
    pub fn subject() -> Self {
        Self { text: "dn".to_owned(), source: Source::Subject }
    }

    /// Whether it is the whole subject.
    #[must_use]
    pub fn is_subject(&self) -> bool {
        matches!(self.source, Source::Subject)
    }

    /// Every value, in the certificate's order.
    ///
    /// # Errors
    ///
    /// If the certificate is nobody's, or a value is not text.
    pub fn values(&self, certificate: &Certificate) -> Result<Vec<String>, Refusal> {
        let used = match self.source {
            Source::San { kind, .. } => BTreeSet::from([kind]),
            _ => BTreeSet::new(),
        };
        admissible::check(certificate, &used)?;
        match &self.source {
            Source::Subject if certificate.subject().is_empty() => Ok(Vec::new()),
            Source::Subject => Ok(vec![certificate.subject().to_string()]),
            Source::Attribute(oid) => self.attribute(certificate, oid),
            Source::San { kind, oid, only } => {
                let of = |san: &San| match (san, oid) {
                    (San::Other { oid, .. }, Some(wanted)) if oid != wanted => None,
                    _ if san.kind() == *kind => san.text(),
                    _ => None,
                };
                let names = certificate.sans().iter().filter_map(of);
                Ok(names.filter(|name| only.as_ref().is_none_or(|only| only.matches(name))).collect())
            }
        }
    }

    /// The one value.
    ///
    /// # Errors
    ///
    /// If there is none, or more than one.
    pub fn one(&self, certificate: &Certificate) -> Result<String, Refusal> {
        let mut values = self.values(certificate)?;
        match (values.pop(), values.len()) {
            (Some(only), 0) => Ok(only),
            (Some(_), more) => {
                let detail = format!("the certificate has {} values of {self}, expected one", more + 1);
                Err(Refusal::new(Reason::AmbiguousIdentity, detail))
            }
            (None, _) => {
                let detail = format!("the certificate has no {self}, which says who somebody is");
                Err(Refusal::new(Reason::IdentityAttributeMissing, detail))
            }
        }
    }

    fn attribute(&self, certificate: &Certificate, oid: &Oid) -> Result<Vec<String>, Refusal> {
        let attributes = certificate.subject().rdns().iter().flat_map(Rdn::attributes);
        let text = |value: &Value| match value {
            Value::Text(text) if !text.is_empty() => Ok(text.to_string()),
            other => {
                let detail =
                    format!("the certificate's {self} is {}, expected text", cut(format!("{other:?}")));
                Err(Refusal::new(Reason::UnusableName, detail))
            }
        };
        attributes.filter(|attribute| attribute.oid == *oid).map(|attribute| text(&attribute.value)).collect()
    }
}

impl fmt::Display for Extract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads what follows `san:`.
fn alternative(rest: &str) -> Result<Source, ExtractError> {
    let (name, pattern) = match rest.split_once(':') {
        Some((name, pattern)) => (name, Some(pattern)),
        None => (rest, None),
    };
    let (kind, oid) = match name.to_ascii_lowercase().as_str() {
        "dns" => (SanKind::Dns, None),
        "uri" => (SanKind::Uri, None),
        "email" => (SanKind::Email, None),
        "ip" => (SanKind::Ip, None),
        "upn" => (SanKind::Other, Some(UPN)),
        "other" => (SanKind::Other, None),
        _ => return Err(ExtractError::San { got: cut(name.to_owned()) }),
    };
    let at = "san:".len() + name.chars().count() + 2;
    let read = |text: &str| Pattern::parse(text).map_err(|cause| ExtractError::Pattern { at, cause });
    Ok(Source::San { kind, oid, only: pattern.map(read).transpose()? })
}
