//! A subject given as attributes and their values, `{ CN = "app", OU = ["a", "b"] }`:
//! nothing in it needs escaping. A table has no order, so the order of the RDNs
//! is told beside it, unless order does not count.

use thiserror::Error;

use super::name::{Attribute, Name, Rdn};
use super::oid::Oid;
use super::parse::{RDNS_MAX, VALUE_BYTES_MAX};
use super::value::Value;
use super::{SubjectLine, attribute};

/// Why a structured subject is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StructuredError {
    /// No attributes.
    #[error("the subject has no attributes, expected for example {{ CN = \"app\", O = \"Acme\" }}")]
    Empty,
    /// A type that has no such name.
    #[error("unknown attribute type {got:?}: {}", near_text(.near))]
    UnknownType {
        /// The type, as written.
        got: String,
        /// Names that are similar.
        near: Vec<&'static str>,
    },
    /// One type under two of its names.
    #[error("{got:?} is there under another of its names too: keep one of them")]
    DuplicateType {
        /// The later, as written.
        got: String,
    },
    /// No text, too much of it, or a control character, with which no certificate is let in.
    #[error("{name} has the value {got:?}, expected 1 to {VALUE_BYTES_MAX} bytes without control characters")]
    Value {
        /// The type, as written.
        name: String,
        /// The value, cut.
        got: String,
    },
    /// A type without values.
    #[error("{name} has no value, expected at least one: leave it away if it must be absent")]
    NoValue {
        /// The type, as written.
        name: String,
    },
    /// More values than a line may have RDNs.
    #[error("the subject has more than {RDNS_MAX} values")]
    TooMany,
    /// The order of several types is not told.
    #[error(
        "order is missing: list the types, most specific first, for example [\"CN\", \"O\"], or set partial"
    )]
    NoOrder,
    /// The order does not fit the attributes.
    #[error(
        "order has {name} {listed} times, expected once, or as often as it has values, which is {values}"
    )]
    BadOrder {
        /// The type, as written.
        name: String,
        /// How often it is listed.
        listed: usize,
        /// How many values it has.
        values: usize,
    },
}

fn near_text(near: &[&str]) -> String {
    match near {
        [] => "write its dotted OID instead, for example 2.5.4.3 for CN".to_owned(),
        near => format!("did you mean {}?", near.join(" or ")),
    }
}

/// The type of this name.
pub(super) fn type_of(got: &str) -> Result<Oid, StructuredError> {
    attribute::type_of(got).ok_or_else(|| StructuredError::UnknownType {
        got: got.to_owned(),
        near: attribute::near_misses(got),
    })
}

/// Attributes by type, each type once and with at least one value.
pub(super) fn attributes(
    written: &[(String, Vec<String>)],
) -> Result<Vec<(Oid, Vec<Attribute>)>, StructuredError> {
    let mut read: Vec<(Oid, Vec<Attribute>)> = Vec::new();
    for (name, values) in written {
        let oid = type_of(name)?;
        if read.iter().any(|(earlier, _)| *earlier == oid) {
            return Err(StructuredError::DuplicateType { got: name.clone() });
        }
        if values.is_empty() {
            return Err(StructuredError::NoValue { name: name.clone() });
        }
        let of = |text: &String| match text.len() {
            1..=VALUE_BYTES_MAX if !text.chars().any(char::is_control) => {
                Ok(Attribute { oid: oid.clone(), value: Value::Text(text.as_str().into()) })
            }
            _ => Err(StructuredError::Value { name: name.clone(), got: text.chars().take(100).collect() }),
        };
        let values = values.iter().map(of).collect::<Result<_, _>>()?;
        read.push((oid, values));
    }
    match read.iter().map(|(_, values)| values.len()).sum() {
        0 => Err(StructuredError::Empty),
        1..=RDNS_MAX => Ok(read),
        _ => Err(StructuredError::TooMany),
    }
}

/// A name with one attribute in each RDN. The most specific is listed first; a
/// certificate has the most general first.
fn name(listed: Vec<Attribute>) -> Name {
    let rdns = listed.into_iter().rev().filter_map(|attribute| Rdn::new(vec![attribute]));
    Name::from_rdns(rdns.collect())
}

impl SubjectLine {
    /// A subject whose every RDN has one attribute. `order` lists the types, most
    /// specific first: each once, its values then following each other, or as
    /// often as it has values. Without it there must be one type.
    ///
    /// # Errors
    ///
    /// If the attributes or their order are not those of a subject.
    pub fn structured(
        written: &[(String, Vec<String>)],
        order: Option<&[String]>,
    ) -> Result<Self, StructuredError> {
        let mut left = attributes(written)?;
        let mut rdns = Vec::new();
        match order {
            None if left.len() > 1 => return Err(StructuredError::NoOrder),
            None => rdns.extend(left.into_iter().flat_map(|(_, values)| values)),
            Some(order) => {
                let types = order.iter().map(|name| type_of(name)).collect::<Result<Vec<_>, _>>()?;
                let listed = |oid: &Oid| types.iter().filter(|listed| *listed == oid).count();
                let unlisted = written.iter().map(|(name, _)| name).zip(&left);
                for (name, (oid, values)) in unlisted {
                    let (listed, values) = (listed(oid), values.len());
                    if listed != 1 && listed != values {
                        return Err(StructuredError::BadOrder { name: name.clone(), listed, values });
                    }
                }
                for (name, oid) in order.iter().zip(&types) {
                    let Some((_, values)) = left.iter_mut().find(|(of, _)| of == oid) else {
                        return Err(StructuredError::BadOrder {
                            name: name.clone(),
                            listed: listed(oid),
                            values: 0,
                        });
                    };
                    let taken = if listed(oid) == 1 { values.len() } else { 1 };
                    rdns.extend(values.drain(..taken));
                }
            }
        }
        Ok(Self::from_name(name(rdns)))
    }

    /// The same where order does not count: a partial line.
    ///
    /// # Errors
    ///
    /// If the attributes are not those of a subject.
    pub fn unordered(written: &[(String, Vec<String>)]) -> Result<Self, StructuredError> {
        let attributes = attributes(written)?.into_iter().flat_map(|(_, values)| values).collect();
        Ok(Self::from_name(name(attributes)).with_partial(true))
    }
}
