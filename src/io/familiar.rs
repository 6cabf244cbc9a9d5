//! Certificate chains that clients of a thread show, each held once: the programs of one service
//! have one certificate in common, and there may be thousands of them. Nothing is decided by it:
//! it knows no trust and no user.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use rustls::pki_types::CertificateDer;

use crate::identity::{Certificate, Fingerprint, Unreadable};

/// Below this many it is not worth looking for those that nobody shows any more.
const SWEEP_MIN: usize = 64;

/// A chain, its owner's certificate first.
pub(super) type Chain = Arc<[CertificateDer<'static>]>;

/// The chains of those who are in.
pub(super) struct Familiar {
    /// By the SHA-256 of the first certificate.
    chains: HashMap<Fingerprint, (Weak<[CertificateDer<'static>]>, Weak<Certificate>)>,
    /// With so many, those that nobody shows any more are dropped.
    sweep_at: usize,
}

impl Default for Familiar {
    fn default() -> Self {
        Self { chains: HashMap::new(), sweep_at: SWEEP_MIN }
    }
}

impl Familiar {
    /// The chain, and what its first certificate says if there is one: those of another client,
    /// where it shows the same.
    pub(super) fn of(
        &mut self,
        chain: &[CertificateDer<'_>],
    ) -> Result<(Chain, Option<Arc<Certificate>>), Unreadable> {
        let Some(leaf) = chain.first() else { return Ok(([].into(), None)) };
        let key = Fingerprint::of(leaf);
        if let Some((held, certificate)) = self.chains.get(&key)
            && let (Some(held), Some(certificate)) = (held.upgrade(), certificate.upgrade())
            && *held == *chain
        {
            return Ok((held, Some(certificate)));
        }
        let certificate = Arc::new(Certificate::from_der(leaf)?);
        let held: Chain = chain.iter().map(|one| one.clone().into_owned()).collect();
        if self.chains.len() >= self.sweep_at {
            self.chains
                .retain(|_, (held, certificate)| held.strong_count() > 0 && certificate.strong_count() > 0);
            self.sweep_at = SWEEP_MIN.max(self.chains.len() * 2);
        }
        self.chains.insert(key, (Arc::downgrade(&held), Arc::downgrade(&certificate)));
        Ok((held, Some(certificate)))
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::*;

    fn shown(file: &str) -> CertificateDer<'static> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(file);
        CertificateDer::from_pem_file(path).expect("a certificate")
    }

    #[test]
    fn one_chain_is_held_once_and_another_behind_the_same_leaf_is_another() {
        let (leaf, ca) = (shown("v01_plain.pem"), shown("v02_reversed_der.pem"));
        let mut familiar = Familiar::default();
        let mut of = |chain: &[CertificateDer<'static>]| familiar.of(chain).expect("readable");
        let (first, certificate) = of(std::slice::from_ref(&leaf));
        let (second, same) = of(std::slice::from_ref(&leaf));
        assert!(Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&certificate.expect("one is shown"), &same.expect("one is shown")));
        let (longer, _) = of(&[leaf.clone(), ca.clone()]);
        assert_eq!((&*longer, &*first), (&[leaf.clone(), ca][..], &[leaf][..]));
        let (none, nobody) = of(&[]);
        assert!(none.is_empty() && nobody.is_none());
    }

    #[test]
    fn what_nobody_shows_any_more_is_not_held() {
        let leaf = shown("v01_plain.pem");
        let mut familiar = Familiar { sweep_at: 1, ..Familiar::default() };
        let gone = Arc::downgrade(&familiar.of(&[leaf]).expect("readable").0);
        assert!(gone.upgrade().is_none(), "only who shows it holds it");
        familiar.of(&[shown("v02_reversed_der.pem")]).expect("readable");
        assert_eq!((familiar.chains.len(), familiar.sweep_at), (1, SWEEP_MIN));
    }
}
