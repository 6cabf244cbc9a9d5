//! For the log only: which line comes nearest to a subject that has none.

use std::collections::HashMap;

use super::mismatch::brief;
use super::{Mismatch, Name, Reason, SubjectLine};

/// Lines by their folded name and by their folded most specific RDN, each with
/// the number by which its owner knows it. The first line wins.
#[derive(Debug)]
pub(super) struct Nearest<P> {
    names: HashMap<Vec<u8>, P>,
    leaves: HashMap<Vec<u8>, P>,
}

impl<P> Default for Nearest<P> {
    fn default() -> Self {
        Self { names: HashMap::new(), leaves: HashMap::new() }
    }
}

impl<P: Copy> Nearest<P> {
    pub(super) fn add(&mut self, line: &SubjectLine, place: P) {
        let folded = line.name().folded();
        self.names.entry(folded.canonical()).or_insert(place);
        if let Some(leaf) = leaf_key(&folded) {
            self.leaves.entry(leaf).or_insert(place);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(super) fn find(&self, subject: &Name) -> Option<P> {
        let folded = subject.folded();
        let names = |name: &Name| self.names.get(&name.canonical());
        let leaf = || self.leaves.get(&leaf_key(&folded)?);
        names(&folded).or_else(|| names(&folded.reversed())).or_else(leaf).copied()
    }
}

/// The canonical bytes of a name's most specific RDN.
fn leaf_key(name: &Name) -> Option<Vec<u8>> {
    let mut key = Vec::new();
    name.rdns().last()?.encode(&mut key);
    Some(key)
}

/// The text of a name's most specific RDN.
pub(super) fn leaf(name: &Name) -> String {
    name.rdns().last().map(brief).unwrap_or_default()
}

pub(super) fn reason(mismatch: &Mismatch) -> Reason {
    match mismatch {
        Mismatch::Order | Mismatch::OrderAndCase => Reason::RdnOrder,
        Mismatch::Case { .. } => Reason::CaseOnly,
        Mismatch::Rdn { .. } | Mismatch::Attributes { .. } => Reason::NoMapping,
    }
}
