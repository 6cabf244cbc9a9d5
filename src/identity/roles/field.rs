//! The fields that an Elasticsearch rule may ask about, and what each is
//! compared as: text, a name, or an address.

use core::net::IpAddr;
use std::borrow::Cow;

use thiserror::Error;

use super::Principal;
use super::mapping::{dn_miss, host_miss, some};
use super::network::{Network, NetworkError};
use super::subject::{SubjectPattern, SubjectPatternError};
use super::why::{MissWord, Why, shown};
use crate::identity::Name;
use crate::identity::pattern::{Pattern, PatternError, regex_of};

/// Something that is known of a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// `username`
    Username,
    /// `dn`, or Elasticsearch's `metadata.pki_dn`
    Dn,
    /// `groups`
    Groups,
    /// `realm.name`
    Realm,
    /// `listener`
    Listener,
    /// `peer`
    Peer,
    /// `metadata.san_dns`
    SanDns,
    /// `metadata.san_uri`
    SanUri,
    /// `metadata.san_email`
    SanEmail,
    /// `metadata.san_ip`
    SanIp,
    /// `metadata.issuer`
    Issuer,
    /// `metadata.certificate_sha256`
    CertificateSha256,
    /// `metadata.spki_sha256`
    SpkiSha256,
    /// `metadata.serial`
    Serial,
}

const FIELDS: &[(&str, Field)] = &[
    ("username", Field::Username),
    ("dn", Field::Dn),
    ("groups", Field::Groups),
    ("realm.name", Field::Realm),
    ("listener", Field::Listener),
    ("peer", Field::Peer),
    ("metadata.san_dns", Field::SanDns),
    ("metadata.san_uri", Field::SanUri),
    ("metadata.san_email", Field::SanEmail),
    ("metadata.san_ip", Field::SanIp),
    ("metadata.issuer", Field::Issuer),
    ("metadata.certificate_sha256", Field::CertificateSha256),
    ("metadata.spki_sha256", Field::SpkiSha256),
    ("metadata.serial", Field::Serial),
    ("metadata.pki_dn", Field::Dn),
];

/// Why a condition on a field cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FieldError {
    /// No such field. Within `except` a misspelled field would let everybody in.
    #[error("unknown field {found}, expected one of {}", Field::names().join(", "))]
    Unknown {
        /// What was written, escaped.
        found: String,
    },
    /// No values.
    #[error("the field {0} is compared with an empty list, expected a value")]
    NoValue(&'static str),
    /// Not a pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// Not a name.
    #[error(transparent)]
    Subject(#[from] SubjectPatternError),
    /// Not an address.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

impl Field {
    /// The field of this name.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn parse(name: &str) -> Result<Self, FieldError> {
        let found = FIELDS.iter().find(|(known, _)| *known == name);
        found.map(|&(_, field)| field).ok_or_else(|| FieldError::Unknown { found: shown(name) })
    }

    /// Its name in a rule.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        FIELDS.iter().find(|&&(_, field)| field == self).map_or("", |&(name, _)| name)
    }

    /// The names of all fields.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        FIELDS.iter().map(|&(name, _)| name).collect()
    }
}

/// A value that a rule compares a field with, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar {
    /// A text, a pattern or a `/regex/`.
    Text(String),
    /// A whole number: the text of its decimal digits.
    Number(i64),
    /// JSON's `null`: the field has no value.
    Null,
}

/// A field and the values that it is compared with, of which one is enough. A
/// field of several values, such as `groups`, needs one that matches.
#[derive(Debug, Clone)]
pub struct Test {
    field: Field,
    values: Vec<Value>,
}

#[derive(Debug, Clone)]
enum Value {
    Absent,
    Text(Pattern),
    Dn(SubjectPattern),
    Network(Network),
}

/// What a principal has in a field.
enum Found<'a> {
    Texts(Vec<Cow<'a, str>>),
    Dn(Option<&'a Name>),
    Addresses(Vec<IpAddr>),
}

impl Test {
    /// Reads the values for a field.
    ///
    /// # Errors
    ///
    /// If one does not fit the field, or there is none.
    pub fn new(field: Field, values: &[Scalar]) -> Result<Self, FieldError> {
        if values.is_empty() {
            return Err(FieldError::NoValue(field.as_str()));
        }
        let values = values.iter().map(|value| read(field, value)).collect::<Result<_, _>>()?;
        Ok(Self { field, values })
    }

    /// Whether it compares the text of a whole subject with a regular expression.
    #[must_use]
    pub fn has_subject_regex(&self) -> bool {
        self.values.iter().any(|value| matches!(value, Value::Dn(pattern) if pattern.is_regex()))
    }

    /// The regular expressions in it.
    pub(super) fn regexes(&self) -> usize {
        let is_regex = |value: &&Value| match value {
            Value::Text(pattern) => pattern.is_regex(),
            Value::Dn(pattern) => pattern.is_regex(),
            Value::Absent | Value::Network(_) => false,
        };
        self.values.iter().filter(is_regex).count()
    }

    pub(super) fn holds(&self, principal: &Principal, why: &mut Why) -> bool {
        let found = found(self.field, principal);
        let is_it = self.values.iter().any(|value| matches(value, &found));
        if !is_it {
            self.explain(principal, &found, why);
        }
        is_it
    }

    fn explain(&self, principal: &Principal, found: &Found<'_>, why: &mut Why) {
        let word = match self.field {
            Field::Username => MissWord::Name,
            Field::Dn => MissWord::Dn,
            Field::Groups => MissWord::Group,
            Field::Peer => MissWord::Host,
            _ => MissWord::Field,
        };
        let (field, wanted) = (self.field.as_str(), || some(&self.values, Value::show));
        match (self.field, found, &self.values[..]) {
            (Field::Dn, Found::Dn(dn), [Value::Dn(pattern)]) => dn_miss(pattern, *dn, why),
            (Field::Peer, _, [Value::Network(network)]) => {
                why.miss(word, || host_miss(principal.peer, &[*network]));
            }
            (_, Found::Texts(texts), _) => why.miss(word, || {
                format!("{field} is {}, expected {}", some(texts, |text| shown(text)), wanted())
            }),
            (_, Found::Dn(dn), _) => why.miss(word, || {
                let dn = dn.map_or("(none)".to_owned(), |dn| shown(&dn.to_string()));
                format!("{field} is {dn}, expected {}", wanted())
            }),
            (_, Found::Addresses(addresses), _) => why.miss(word, || {
                format!("{field} is {}, expected {}", some(addresses, IpAddr::to_string), wanted())
            }),
        }
    }
}

impl Value {
    fn show(&self) -> String {
        match self {
            Self::Absent => "null".to_owned(),
            Self::Text(pattern) => shown(&pattern.to_string()),
            Self::Dn(pattern) => shown(&pattern.to_string()),
            Self::Network(network) => network.to_string(),
        }
    }
}

fn read(field: Field, value: &Scalar) -> Result<Value, FieldError> {
    let text = match value {
        Scalar::Null => return Ok(Value::Absent),
        Scalar::Number(number) => number.to_string(),
        Scalar::Text(text) => text.clone(),
    };
    Ok(match field {
        Field::Dn | Field::Issuer => Value::Dn(SubjectPattern::parse(&text)?),
        Field::Peer | Field::SanIp => Value::Network(text.parse()?),
        Field::SanDns | Field::Serial => Value::Text(Pattern::parse_ignoring_case(&text)?),
        // Tools print fingerprints with and without colons.
        Field::CertificateSha256 | Field::SpkiSha256 if regex_of(&text).is_none() => {
            Value::Text(Pattern::parse_ignoring_case(&text.replace(':', ""))?)
        }
        Field::CertificateSha256 | Field::SpkiSha256 => Value::Text(Pattern::parse_ignoring_case(&text)?),
        Field::SanEmail if regex_of(&text).is_none() => {
            Value::Text(Pattern::parse(&with_lower_domain(&text))?)
        }
        Field::Username
        | Field::Groups
        | Field::Realm
        | Field::Listener
        | Field::SanUri
        | Field::SanEmail => Value::Text(Pattern::parse(&text)?),
    })
}

/// An email address whose domain is in lower case, or a pattern of some.
fn with_lower_domain(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", domain.to_ascii_lowercase()),
        None => text.to_owned(),
    }
}

fn found(field: Field, principal: &Principal) -> Found<'_> {
    let metadata = &principal.metadata;
    Found::Texts(match field {
        Field::Dn => return Found::Dn(principal.dn.as_ref()),
        Field::Issuer => return Found::Dn(metadata.issuer.as_ref()),
        Field::Peer => return Found::Addresses(vec![principal.peer]),
        Field::SanIp => return Found::Addresses(metadata.san_ip.clone()),
        Field::Username => filled(&principal.username),
        Field::Realm => filled(&principal.realm),
        Field::Listener => filled(&principal.listener),
        Field::Groups => all(&principal.groups),
        Field::SanDns => all(&metadata.san_dns),
        Field::SanUri => all(&metadata.san_uri),
        Field::SanEmail => metadata.san_email.iter().map(|it| Cow::Owned(with_lower_domain(it))).collect(),
        Field::CertificateSha256 => optional(metadata.certificate_sha256.as_ref()),
        Field::SpkiSha256 => optional(metadata.spki_sha256.as_ref()),
        Field::Serial => optional(metadata.serial.as_ref()),
    })
}

fn all(texts: &[String]) -> Vec<Cow<'_, str>> {
    texts.iter().map(Cow::from).collect()
}

fn optional(text: Option<&String>) -> Vec<Cow<'_, str>> {
    text.into_iter().map(Cow::from).collect()
}

/// A text that is empty is none.
fn filled(text: &str) -> Vec<Cow<'_, str>> {
    if text.is_empty() { Vec::new() } else { vec![text.into()] }
}

fn matches(value: &Value, found: &Found<'_>) -> bool {
    match (value, found) {
        (Value::Absent, Found::Texts(texts)) => texts.is_empty(),
        (Value::Absent, Found::Dn(dn)) => dn.is_none(),
        (Value::Absent, Found::Addresses(addresses)) => addresses.is_empty(),
        (Value::Text(pattern), Found::Texts(texts)) => texts.iter().any(|text| pattern.matches(text)),
        (Value::Dn(pattern), Found::Dn(dn)) => dn.is_some_and(|dn| pattern.matches(dn)),
        (Value::Network(network), Found::Addresses(addresses)) => {
            addresses.iter().any(|&address| network.contains(address))
        }
        // Not reached: a value is read as what its field holds.
        _ => false,
    }
}
