//! Which certificates a listener takes at all, as Redis Enterprise has it. A gate
//! only refuses: who somebody is, the users decide.

use std::collections::BTreeSet;

use thiserror::Error;

use super::mismatch::cut;
use super::multiset::Multiset;
use super::oid::Oid;
use super::value::Value;
use super::{Certificate, Reason, Refusal, San, SanKind, StructuredError, admissible, structured};

/// id-at-commonName
const COMMON_NAME: &[u8] = b"\x55\x04\x03";

/// Why a gate cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GateError {
    /// Attributes that are none.
    #[error(transparent)]
    Structured(#[from] StructuredError),
    /// Redis Enterprise asks for a CN in each, and so does this.
    #[error("the authorized subject has {0} values of CN, expected one")]
    CommonName(usize),
}

/// A subject that a gate lets pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizedSubject {
    attributes: Multiset,
    common_name: String,
    partial: bool,
}

impl AuthorizedSubject {
    /// A subject with these attributes, in any order, CN among them. What it does
    /// not name must be absent, unless it is `partial`.
    ///
    /// # Errors
    ///
    /// If the attributes are none, or there is not one CN.
    pub fn new(written: &[(String, Vec<String>)], partial: bool) -> Result<Self, GateError> {
        let read = structured::attributes(written)?;
        let attributes = Multiset::new(read.into_iter().flat_map(|(_, values)| values).collect());
        let common_name = match common_names(&attributes)[..] {
            [Value::Text(text)] => text.to_string(),
            ref values => return Err(GateError::CommonName(values.len())),
        };
        Ok(Self { attributes, common_name, partial })
    }

    /// Its common name.
    #[must_use]
    pub fn common_name(&self) -> &str {
        &self.common_name
    }
}

/// Which certificates a listener takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Gate {
    /// Every one that its CAs vouch for.
    #[default]
    Disabled,
    /// Those whose CN or one of whose DNS names is one of these. A CN is compared
    /// as it is, a DNS name without regard to ASCII case. A certificate with
    /// several CNs is not taken by any of them.
    SanCn(Vec<String>),
    /// Those with one of these subjects.
    FullSubject(Vec<AuthorizedSubject>),
}

impl Gate {
    /// The word for it in the configuration.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::SanCn(_) => "san_cn",
            Self::FullSubject(_) => "full_subject",
        }
    }

    /// Whether the certificate may pass.
    ///
    /// # Errors
    ///
    /// Why it may not.
    pub fn check(&self, certificate: &Certificate) -> Result<(), Refusal> {
        match self {
            Self::Disabled => Ok(()),
            Self::SanCn(names) => {
                admissible::check(certificate, &BTreeSet::from([SanKind::Dns]))?;
                san_cn(names, certificate)
            }
            Self::FullSubject(subjects) => {
                admissible::check(certificate, &BTreeSet::new())?;
                full_subject(subjects, certificate)
            }
        }
    }
}

fn common_names(attributes: &Multiset) -> Vec<&Value> {
    Oid::from_der(COMMON_NAME).map(|oid| attributes.values(&oid)).unwrap_or_default()
}

fn san_cn(names: &[String], certificate: &Certificate) -> Result<(), Refusal> {
    let attributes = Multiset::of(certificate.subject());
    let common_names = common_names(&attributes);
    let is_common_name = |name: &String| match common_names[..] {
        [Value::Text(only)] => **only == **name,
        _ => false,
    };
    let is_dns_name = |name: &String| {
        let is_it = |san: &San| matches!(san, San::Dns(dns) if dns.eq_ignore_ascii_case(name));
        certificate.sans().iter().any(is_it)
    };
    if names.iter().any(|name| is_common_name(name) || is_dns_name(name)) {
        return Ok(());
    }
    let detail = match common_names[..] {
        [only] => {
            format!("neither the CN {} nor a DNS name is an authorized subject's", cut(only.to_string()))
        }
        [] => "the certificate has no CN, and no DNS name is an authorized subject's".to_owned(),
        _ => format!(
            "the certificate has {} CNs, expected one, and no DNS name is an authorized subject's",
            common_names.len()
        ),
    };
    Err(Refusal::new(Reason::GateCn, detail))
}

fn full_subject(subjects: &[AuthorizedSubject], certificate: &Certificate) -> Result<(), Refusal> {
    let subject = certificate.subject();
    let mut nearest = None;
    for authorized in subjects {
        match authorized.attributes.compare(subject, false, authorized.partial) {
            Ok(()) if !subject.is_empty() => return Ok(()),
            Ok(()) => {}
            Err(mismatch) => {
                // The first of the same CN is the one that was probably meant.
                let same_cn = Multiset::of(subject);
                let same_cn = common_names(&same_cn) == common_names(&authorized.attributes);
                if same_cn && nearest.is_none() {
                    nearest = Some(format!("the nearest is CN={}: {mismatch}", authorized.common_name));
                }
            }
        }
    }
    let nearest = nearest.unwrap_or_else(|| "none has its CN".to_owned());
    Err(Refusal::new(Reason::GateSubject, format!("the subject is no authorized subject: {nearest}")))
}
