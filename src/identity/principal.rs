//! From the value that a certificate carries to the name that it stands for: by
//! a table, or, where that is asked for, by the value itself.

use std::collections::{BTreeMap, HashMap};

use thiserror::Error;

use super::mismatch::cut;
use super::{Certificate, Extract, LineError, Name, Reason, Refusal, SubjectLine};

/// The longest name that is derived, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// Who a certificate stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A user, by the table.
    User(String),
    /// The value itself, which is fit to be a user's name.
    Value(String),
    /// The whole subject, which is no user's name: roles may be mapped from it.
    Subject(String),
}

impl Principal {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::User(name) | Self::Value(name) | Self::Subject(name) => name,
        }
    }
}

/// A key of the table that is no subject, where subjects are looked up.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TableError {
    /// Not a line.
    #[error("{key:?} is not a subject: {cause}")]
    Line {
        /// The key.
        key: String,
        /// What is wrong with it.
        cause: LineError,
    },
    /// Two keys that mean one subject.
    #[error("{key:?} means the same subject as an earlier key: remove one of them")]
    Duplicate {
        /// The later key.
        key: String,
    },
}

/// How a realm finds out who a certificate stands for.
#[derive(Debug, Clone)]
pub struct Extraction {
    extract: Extract,
    /// Values and whom they stand for. Empty where the whole subject is the value.
    values: HashMap<String, String>,
    /// Whole subjects, in canonical bytes: they are compared as parsed.
    subjects: HashMap<Vec<u8>, String>,
    user_is_value: bool,
    fallback_to_subject: bool,
}

impl Extraction {
    /// Takes the value that `extract` says and looks it up in the table. Where
    /// the value is the whole subject, the keys of the table are subject lines.
    ///
    /// # Errors
    ///
    /// Every key that is no subject where it should be one.
    pub fn new(extract: Extract, table: BTreeMap<String, String>) -> Result<Self, Vec<TableError>> {
        let mut made = Self {
            extract,
            values: HashMap::new(),
            subjects: HashMap::new(),
            user_is_value: false,
            fallback_to_subject: false,
        };
        if !made.extract.is_subject() {
            made.values = table.into_iter().collect();
            return Ok(made);
        }
        let mut errors = Vec::new();
        for (key, user) in table {
            match key.parse::<SubjectLine>() {
                Ok(line) => {
                    if made.subjects.insert(line.name().canonical(), user).is_some() {
                        errors.push(TableError::Duplicate { key });
                    }
                }
                Err(cause) => errors.push(TableError::Line { key, cause }),
            }
        }
        if errors.is_empty() { Ok(made) } else { Err(errors) }
    }

    /// Lets a value that is not in the table stand for the user of that name.
    #[must_use]
    pub fn with_user_is_value(self, user_is_value: bool) -> Self {
        Self { user_is_value, ..self }
    }

    /// Lets a certificate without the value stand for its whole subject.
    #[must_use]
    pub fn with_fallback_to_subject(self, fallback_to_subject: bool) -> Self {
        Self { fallback_to_subject, ..self }
    }

    /// Whether a value that is not in the table may be a user by itself.
    pub(super) fn makes_users(&self) -> bool {
        self.user_is_value
    }

    /// Who a certificate stands for.
    ///
    /// # Errors
    ///
    /// If the value is missing, is there several times, is not in the table, or
    /// cannot be a name.
    pub fn principal(&self, certificate: &Certificate) -> Result<Principal, Refusal> {
        if self.extract.is_subject() {
            // That there is one, and nothing in it that forbids its use, is asked here too.
            self.extract.one(certificate)?;
            return self.subject(certificate.subject());
        }
        let value = match self.extract.one(certificate) {
            Err(refusal)
                if self.fallback_to_subject && refusal.reason() == Reason::IdentityAttributeMissing =>
            {
                let subject = Extract::subject().one(certificate)?;
                return Ok(Principal::Subject(subject));
            }
            value => value?,
        };
        match self.values.get(&value) {
            Some(user) => Ok(Principal::User(user.clone())),
            None if self.user_is_value => derived(&value).map(|name| Principal::Value(name.to_owned())),
            None => {
                let detail = format!("no user is listed for the {} {:?}", self.extract, cut(value));
                Err(Refusal::new(Reason::NoMapping, detail))
            }
        }
    }

    fn subject(&self, subject: &Name) -> Result<Principal, Refusal> {
        match self.subjects.get(&subject.canonical()) {
            Some(user) => Ok(Principal::User(user.clone())),
            None if self.user_is_value => Ok(Principal::Subject(subject.to_string())),
            None => {
                let detail = format!("no user is listed for the subject {}", cut(subject.to_string()));
                Err(Refusal::new(Reason::NoMapping, detail))
            }
        }
    }
}

/// A value as the name of a user: short, of characters that neither ACLs nor
/// logs treat specially, and not Redis' `default`, which is everybody.
///
/// # Errors
///
/// If it is not.
pub fn derived(value: &str) -> Result<&str, Refusal> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:@/-".contains(&byte);
    let sound = (1..=NAME_BYTES_MAX).contains(&value.len()) && value.bytes().all(fits);
    if !sound {
        let value = cut(value.to_owned());
        let detail = format!(
            "{value:?} cannot be a user's name, expected 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 _ . : @ / -"
        );
        return Err(Refusal::new(Reason::UnusableName, detail));
    }
    if value.eq_ignore_ascii_case("default") {
        return Err(Refusal::new(
            Reason::UnusableName,
            format!("{value:?} cannot be a user's name: Redis lets everybody be it"),
        ));
    }
    Ok(value)
}
