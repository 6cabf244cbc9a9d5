//! Attributes without an order, but with their number: what `partial` compares,
//! and the authorized subjects of a gate. That each value counts as often as it
//! is there is the point: `CN=Alice,CN=Alice` is not `CN=Alice` (CVE-2026-33248).

use super::mismatch::{Mismatch, cut};
use super::name::{Attribute, Rdn};
use super::oid::Oid;
use super::value::Value;
use super::{Name, attribute};

/// The attributes of a name, whatever RDNs they are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Multiset {
    /// Invariant: sorted, so that equal multisets are equal vectors.
    attributes: Vec<Attribute>,
}

impl Multiset {
    pub(super) fn new(mut attributes: Vec<Attribute>) -> Self {
        attributes.sort_unstable();
        Self { attributes }
    }

    pub(super) fn of(name: &Name) -> Self {
        Self::new(name.rdns().iter().flat_map(Rdn::attributes).cloned().collect())
    }

    pub(super) fn folded(&self) -> Self {
        Self::new(self.attributes.iter().map(Attribute::folded).collect())
    }

    /// The values of one type, sorted.
    pub(super) fn values(&self, oid: &Oid) -> Vec<&Value> {
        self.attributes.iter().filter(|one| one.oid == *oid).map(|one| &one.value).collect()
    }

    /// The types, each once.
    fn types(&self) -> Vec<&Oid> {
        let mut types: Vec<&Oid> = self.attributes.iter().map(|attribute| &attribute.oid).collect();
        types.dedup();
        types
    }

    /// Whether a subject has exactly these values of these types, and of other
    /// types whatever it likes if `partial`, or else nothing.
    pub(super) fn compare(&self, subject: &Name, ignore_case: bool, partial: bool) -> Result<(), Mismatch> {
        let subject = Self::of(subject);
        let (rule, shown) =
            if ignore_case { (self.folded(), subject.folded()) } else { (self.clone(), subject) };
        let of_rule = rule.types();
        let surplus = shown.types().into_iter().filter(|oid| !partial && !of_rule.contains(oid));
        let differs = |oid: &&Oid| rule.values(oid) != shown.values(oid);
        match of_rule.iter().copied().chain(surplus).find(differs) {
            None => Ok(()),
            Some(oid) => Err(Mismatch::Attributes {
                name: attribute::name_of(oid).map_or_else(|| oid.to_string(), str::to_owned),
                rule: brief(&rule.values(oid)),
                certificate: brief(&shown.values(oid)),
                case_only: rule.folded().values(oid) == shown.folded().values(oid),
            }),
        }
    }

    /// Whether some subject could be both, each being partial: of the types that
    /// both name they have the same values.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let theirs = other.types();
        self.types()
            .into_iter()
            .filter(|oid| theirs.contains(oid))
            .all(|oid| self.values(oid) == other.values(oid))
    }
}

/// A few of the values, cut to what a log line can hold.
fn brief(values: &[&Value]) -> Vec<String> {
    const SHOWN_MAX: usize = 8;
    let mut shown: Vec<String> = values.iter().take(SHOWN_MAX).map(|value| cut(value.to_string())).collect();
    if values.len() > SHOWN_MAX {
        shown.push(format!("{} more", values.len() - SHOWN_MAX));
    }
    shown
}
