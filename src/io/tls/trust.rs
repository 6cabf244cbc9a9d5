//! Whether a chain of certificates is to be believed now: by its CAs, dates,
//! purposes and revocation lists. The one place where that is decided: for a
//! handshake, for a resumed session, for a live one at a reload, and offline.
//! Who the client is, is not decided here.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::{CertificateError, DistinguishedName, Error, ExtendedKeyPurpose};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy, VerifiedPath,
};
use x509_parser::prelude::X509Certificate;

use super::crl::Crl;
use super::fit::{self, Purpose};
use super::path_error::{is_vague, of_path, of_webpki};
use super::{ClientEku, ClientSan, TlsError, reason};
use crate::identity::{Fingerprint, Refusal};

/// Chains that are remembered as verified; past that all are forgotten. Each
/// takes some two hundred bytes.
const KNOWN_MAX: usize = 16 * 1024;

/// How often a path is looked for where CAs or lists have names in common: a
/// stranger can make us do that.
const TWIN_ATTEMPTS_MAX: usize = 32;

/// Which certificates of a chain are looked up in revocation lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CrlDepth {
    /// All but the CA that is trusted.
    #[default]
    Chain,
    /// The client's own.
    Leaf,
}

/// What is done where revocation cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CrlPolicy {
    /// Nobody comes in.
    #[default]
    Deny,
    /// As if not revoked.
    Allow,
}

/// What a listener's clients are held against.
#[derive(Debug, Clone, Default)]
pub struct TrustSettings {
    /// The CAs that may issue client certificates.
    pub client_ca: Vec<CertificateDer<'static>>,
    /// Certificates of clients that are trusted as they are, whoever issued them.
    pub client_certificates: Vec<CertificateDer<'static>>,
    /// Whether a client certificate must say that it is for clients.
    pub client_eku: ClientEku,
    /// Whether it must have a subject alternative name.
    pub client_san: ClientSan,
    /// Revocation lists; with any, every certificate needs one of its issuer's.
    pub crls: Vec<Arc<Crl>>,
    /// How far up the chain they are asked.
    pub crl_depth: CrlDepth,
    /// Certificates of issuers without a list.
    pub crl_unknown: CrlPolicy,
    /// Lists whose time is over.
    pub crl_expired: CrlPolicy,
    /// Whether a client whose own certificate's time is over may come in.
    pub allow_expired: bool,
}

/// That a chain is believed, and on whose word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// SHA-256 of the public key (SubjectPublicKeyInfo) and of the certificate of each
    /// CA on the path, the trusted one last; empty for a certificate that is trusted
    /// by itself.
    pub issuers: Vec<Fingerprint>,
    /// When this was found, in seconds since 1970.
    pub since: u64,
    /// The last second for which it was found: some certificate or list ends then.
    pub until: u64,
    /// Whether the client's certificate was over, and that was allowed.
    pub is_expired: bool,
    /// Whether it is allowed to be.
    pub may_expire: bool,
}

/// Decides about chains. Immutable, but for what it remembers of its own verdicts.
pub struct Trust {
    anchors: Vec<TrustAnchor<'static>>,
    /// The SubjectPublicKeyInfo of the same CAs, in the same order.
    anchor_keys: Vec<Vec<u8>>,
    pinned: Vec<CertificateDer<'static>>,
    /// Of one issuer's lists the first decides: the newest stands before the others.
    /// Invariant: the first `twins` have their name with another in common.
    crls: Vec<Arc<Crl>>,
    twins: usize,
    has_twin_anchors: bool,
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
    settings: TrustSettings,
    digest: Fingerprint,
    /// Chains found good, by the SHA-256 of all of them. Invariant: an entry holds
    /// for these settings and from `since` to `until` only.
    known: Mutex<HashMap<Fingerprint, Arc<Verified>>>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("anchors", &self.anchors.len()).finish_non_exhaustive()
    }
}

impl Trust {
    /// Checks each CA by itself, so that an error can name the one that is unusable.
    ///
    /// # Errors
    /// If one cannot be a trust anchor, or there is nobody to trust.
    pub fn new(settings: &TrustSettings) -> Result<Self, TlsError> {
        let (mut anchors, mut anchor_keys, mut hints) = (Vec::new(), Vec::new(), Vec::new());
        for (index, ca) in settings.client_ca.iter().enumerate() {
            let unusable = |why| TlsError::ClientCa { index, why };
            let anchor =
                webpki::anchor_from_trusted_cert(ca).map_err(|error| unusable(of_webpki(error)))?.to_owned();
            let parsed = fit::parse(ca).map_err(|unfit| unusable(unfit.into()))?;
            anchor_keys.push(parsed.public_key().raw.to_vec());
            hints.push(DistinguishedName::in_sequence(&anchor.subject));
            anchors.push(anchor);
        }
        for (index, leaf) in settings.client_certificates.iter().enumerate() {
            let parsed = EndEntityCert::try_from(leaf)
                .map_err(|error| TlsError::ClientCertificate { index, why: of_webpki(error) })?;
            // Without its issuer's name some clients would not show it.
            hints.push(DistinguishedName::in_sequence(parsed.issuer()));
        }
        if anchors.is_empty() && settings.client_certificates.is_empty() {
            return Err(TlsError::NoClientCa);
        }
        let mut crls = settings.crls.clone();
        crls.sort_by(|one, other| other.age().cmp(&one.age()));
        let is_twin = |crl: &Arc<Crl>| {
            settings.crls.iter().filter(|other| other.issuer_der() == crl.issuer_der()).count() > 1
        };
        // Stable: the newest stays before the others.
        crls.sort_by_key(|crl| !is_twin(crl));
        let twins = crls.iter().filter(|crl| is_twin(crl)).count();
        let names: BTreeSet<&[u8]> = anchors.iter().map(|anchor| anchor.subject.as_ref()).collect();
        let has_twin_anchors = names.len() < anchors.len();
        Ok(Self {
            anchors,
            anchor_keys,
            pinned: settings.client_certificates.clone(),
            crls,
            twins,
            has_twin_anchors,
            hints,
            algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
            digest: digest(settings),
            settings: settings.clone(),
            known: Mutex::default(),
        })
    }

    /// A digest of everything that decides: two of the same decide alike.
    #[must_use]
    pub fn digest(&self) -> Fingerprint {
        self.digest
    }

    /// The names of issuers that clients are told of.
    pub(super) fn hints(&self) -> &[DistinguishedName] {
        &self.hints
    }

    /// The signatures that are understood.
    pub(super) fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.algorithms
    }

    /// Whether this chain, the client's own certificate first, is believed at `now`.
    ///
    /// # Errors
    /// The reason, and what to do about it.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<Arc<Verified>, Refusal> {
        self.check(chain, now).map_err(|error| reason::refusal(&error))
    }

    /// The same in the words of rustls, which makes the right alert of them.
    pub(super) fn check(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<Arc<Verified>, Error> {
        let [leaf, others @ ..] = chain else { return Err(Error::NoCertificatesPresented) };
        fit::bounded(chain)?;
        let key = chain_digest(chain);
        if let Some(known) = self.known(key, now) {
            return Ok(known);
        }
        let verified = Arc::new(self.prove(leaf, others, now)?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(key, Arc::clone(&verified));
        Ok(verified)
    }

    fn known(&self, key: Fingerprint, now: UnixTime) -> Option<Arc<Verified>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that goes back finds nothing: what was not valid yet is checked.
        let verified = known.get(&key).filter(|it| (it.since..=it.until).contains(&now.as_secs()))?;
        Some(Arc::clone(verified))
    }

    fn prove(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Verified, Error> {
        let parsed = fit::parse(leaf)?;
        fit::fit(&parsed)?;
        let ends = seconds(parsed.validity().not_after.timestamp());
        let is_expired = self.settings.allow_expired && ends < now.as_secs();
        let at = if is_expired {
            // At its last second the chain must have held; the lists must hold now.
            self.are_lists_current(now)?;
            UnixTime::since_unix_epoch(Duration::from_secs(ends))
        } else {
            now
        };
        let (issuers, until) = if self.pinned.iter().any(|pinned| pinned == leaf) {
            self.prove_pinned(leaf, &parsed, at)?;
            (Vec::new(), ends)
        } else {
            let entity = EndEntityCert::try_from(leaf).map_err(of_webpki)?;
            let path = self.path(&entity, others, at).map_err(|error| {
                let weak = if is_vague(&error) { fit::weak_issuer(others) } else { None };
                weak.map_or_else(|| of_path(error, ends), Error::from)
            })?;
            (self.issuers(&path), self.path_ends(&path).min(ends))
        };
        if self.settings.client_eku == ClientEku::Required {
            names_a_purpose(&parsed)?;
        }
        if self.settings.client_san == ClientSan::Required {
            fit::names_an_alternative(&parsed)?;
        }
        let until = if is_expired { self.lists_end() } else { until };
        let may_expire = self.settings.allow_expired;
        Ok(Verified { issuers, since: now.as_secs(), until, is_expired, may_expire })
    }

    /// A path to one of the CAs. Where CAs have a name in common, WebPKI may take the
    /// wrong one's list, and may report what it found about the wrong one: then each
    /// CA is tried alone, with each list of that name.
    fn path<'a>(
        &'a self,
        entity: &'a EndEntityCert<'a>,
        others: &'a [CertificateDer<'a>],
        now: UnixTime,
    ) -> Result<VerifiedPath<'a>, webpki::Error> {
        let mut lists: Vec<&CertRevocationList<'_>> = self.crls.iter().map(|crl| crl.list()).collect();
        let attempt = |anchors: &'a [TrustAnchor<'a>], lists: &[&CertRevocationList<'_>]| {
            let revocation = RevocationOptionsBuilder::new(lists).ok().map(|builder| self.policies(builder));
            entity.verify_for_usage(
                self.algorithms.all,
                anchors,
                others,
                now,
                KeyUsage::client_auth(),
                revocation.map(RevocationOptionsBuilder::build),
                Some(&fit::may_sign),
            )
        };
        let mut refused = match attempt(&self.anchors, &lists) {
            Err(error) if self.twins > 0 || self.has_twin_anchors => error,
            decided => return decided,
        };
        let mut attempts = TWIN_ATTEMPTS_MAX;
        for anchor in &self.anchors {
            for _ in 0..self.twins.max(1) {
                let Some(left) = attempts.checked_sub(1) else { return Err(refused) };
                attempts = left;
                match attempt(std::slice::from_ref(anchor), &lists) {
                    // An older list of the same key may have had its turn.
                    Ok(path) => return self.is_unlisted(&path).map(|()| path),
                    Err(webpki::Error::CertRevoked) => return Err(webpki::Error::CertRevoked),
                    Err(error) if is_vague(&refused) => refused = error,
                    Err(_) => {}
                }
                if self.twins > 0 {
                    lists[..self.twins].rotate_left(1);
                }
            }
        }
        Err(refused)
    }

    /// That no list at all which an issuer on this path has signed has one of its
    /// certificates.
    fn is_unlisted(&self, path: &VerifiedPath<'_>) -> Result<(), webpki::Error> {
        let mut certificate: &webpki::Cert<'_> = path.end_entity();
        let cas: Vec<_> = path.intermediate_certificates().collect();
        let anchor = self.anchors.iter().position(|anchor| anchor == path.anchor());
        let anchor = anchor.map(|index| self.anchor_keys[index].clone());
        let keys = cas.iter().map(|ca| ca.subject_public_key_info().as_ref().to_vec()).chain(anchor);
        for (index, key) in keys.enumerate() {
            if index == 0 || self.settings.crl_depth == CrlDepth::Chain {
                for crl in self.crls.iter().filter(|crl| crl.issuer_der() == certificate.issuer()) {
                    if crl.list().find_serial(certificate.serial())?.is_some() && crl.is_signed_by(&key) {
                        return Err(webpki::Error::CertRevoked);
                    }
                }
            }
            if let Some(next) = cas.get(index) {
                certificate = next;
            }
        }
        Ok(())
    }

    fn policies<'a>(&self, builder: RevocationOptionsBuilder<'a>) -> RevocationOptionsBuilder<'a> {
        builder
            .with_depth(match self.settings.crl_depth {
                CrlDepth::Chain => RevocationCheckDepth::Chain,
                CrlDepth::Leaf => RevocationCheckDepth::EndEntity,
            })
            .with_status_policy(match self.settings.crl_unknown {
                CrlPolicy::Deny => UnknownStatusPolicy::Deny,
                CrlPolicy::Allow => UnknownStatusPolicy::Allow,
            })
            .with_expiration_policy(match self.settings.crl_expired {
                CrlPolicy::Deny => ExpirationPolicy::Enforce,
                CrlPolicy::Allow => ExpirationPolicy::Ignore,
            })
    }

    /// A certificate that is trusted as it is: its signature says nothing, its
    /// dates and its purpose do, and so does a list of the issuer that it names.
    fn prove_pinned(
        &self,
        leaf: &CertificateDer<'_>,
        parsed: &X509Certificate<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let (starts, ends) = (&parsed.validity().not_before, &parsed.validity().not_after);
        let time = |at: i64| UnixTime::since_unix_epoch(Duration::from_secs(seconds(at)));
        if now > time(ends.timestamp()) {
            let not_after = time(ends.timestamp());
            return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
        }
        if now < time(starts.timestamp()) {
            let not_before = time(starts.timestamp());
            return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
        }
        if let Purpose::Others(presented) = fit::purpose(parsed)? {
            let required = ExtendedKeyPurpose::ClientAuth;
            return Err(CertificateError::InvalidPurposeContext { required, presented }.into());
        }
        let entity = EndEntityCert::try_from(leaf).map_err(of_webpki)?;
        let listed = |crl: &&Arc<Crl>| crl.issuer_der() == entity.issuer();
        for crl in self.crls.iter().filter(listed) {
            if !matches!(crl.list().find_serial(entity.serial()), Ok(None)) {
                return Err(CertificateError::Revoked.into());
            }
        }
        Ok(())
    }

    /// For certificates whose own time is over, and so is asked about another time.
    fn are_lists_current(&self, now: UnixTime) -> Result<(), Error> {
        let ends = self.lists_end();
        if now.as_secs() <= ends {
            return Ok(());
        }
        let next_update = UnixTime::since_unix_epoch(Duration::from_secs(ends + 1));
        Err(CertificateError::ExpiredRevocationListContext { time: now, next_update }.into())
    }

    /// The last second at which every list holds.
    fn lists_end(&self) -> u64 {
        let ends = self.crls.iter().map(|crl| seconds(crl.next_update()).saturating_sub(1)).min();
        ends.filter(|_| self.settings.crl_expired == CrlPolicy::Deny).unwrap_or(u64::MAX)
    }

    fn issuers(&self, path: &VerifiedPath<'_>) -> Vec<Fingerprint> {
        let between = path.intermediate_certificates();
        let between =
            between.map(|ca| [ca.subject_public_key_info().as_ref(), &ca.der()].map(Fingerprint::of));
        // A CA may be trusted by several certificates of its name and key.
        let is_it = |&(_, anchor): &(usize, &TrustAnchor<'_>)| anchor == path.anchor();
        let anchors = self.anchors.iter().enumerate().filter(is_it);
        let anchors = anchors.map(|(index, _)| {
            [&*self.anchor_keys[index], &self.settings.client_ca[index]].map(Fingerprint::of)
        });
        between.chain(anchors).flatten().collect()
    }

    /// The last second at which all of the path above the leaf holds, and the
    /// lists that were asked.
    fn path_ends(&self, path: &VerifiedPath<'_>) -> u64 {
        let ends = |ca: &webpki::Cert<'_>| {
            let der = ca.der();
            // Unreadable to one of two parsers: believed for no longer than now.
            fit::parse(&der).map_or(0, |parsed| seconds(parsed.validity().not_after.timestamp()))
        };
        let mut until = path.intermediate_certificates().map(ends).min().unwrap_or(u64::MAX);
        if self.settings.crl_expired == CrlPolicy::Deny {
            let names = std::iter::once(path.end_entity().issuer())
                .chain(path.intermediate_certificates().map(|ca| ca.issuer()));
            for name in names {
                let lists = self.crls.iter().filter(|crl| crl.issuer_der() == name);
                let ends = lists.map(|crl| seconds(crl.next_update()).saturating_sub(1)).min();
                until = until.min(ends.unwrap_or(u64::MAX));
            }
        }
        until
    }
}

fn names_a_purpose(parsed: &X509Certificate<'_>) -> Result<(), Error> {
    match fit::purpose(parsed)? {
        Purpose::Clients | Purpose::Others(_) => Ok(()),
        Purpose::Unsaid => Err(CertificateError::InvalidPurposeContext {
            required: ExtendedKeyPurpose::ClientAuth,
            presented: Vec::new(),
        }
        .into()),
    }
}

fn seconds(timestamp: i64) -> u64 {
    u64::try_from(timestamp).unwrap_or(0)
}

fn chain_digest(chain: &[CertificateDer<'_>]) -> Fingerprint {
    let mut bytes = Vec::with_capacity(chain.iter().map(|it| it.len() + 8).sum());
    chain.iter().for_each(|it| part(&mut bytes, it));
    Fingerprint::of(&bytes)
}

fn digest(settings: &TrustSettings) -> Fingerprint {
    let mut bytes = Vec::new();
    for certificates in [&settings.client_ca, &settings.client_certificates] {
        part(&mut bytes, &certificates.len().to_be_bytes());
        certificates.iter().for_each(|it| part(&mut bytes, it));
    }
    settings.crls.iter().for_each(|crl| part(&mut bytes, crl.der()));
    let asked = (settings.client_eku, settings.client_san);
    let policies = (settings.crl_depth, settings.crl_unknown, settings.crl_expired);
    part(&mut bytes, format!("{asked:?} {policies:?} {}", settings.allow_expired).as_bytes());
    Fingerprint::of(&bytes)
}

/// With its length first, so that no two lists of parts have the same bytes.
fn part(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend(part.len().to_be_bytes());
    bytes.extend(part);
}
