//! Which user a certificate is. Built once, then only read: a change of users
//! makes a new map. There is no default user, and an empty map admits nobody.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::entry::{Key, Way, keys_of};
use super::nearest::{self, Nearest};
use super::rights::{Known, Rights};
use super::roles::{DatabaseRoles, RoleMap};
use super::{
    Certificate, Chain, Difference, Entry, Evidence, Lint, MapError, Name, Needs, PasswordHash, Permit,
    Reason, Refusal, Rule, SanKind, User, admissible, lint,
};

/// An entry's place: its user and its index among that user's entries. Places
/// are in the order of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    user: usize,
    entry: usize,
}

/// One rule that was held against a certificate, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The rule's user.
    pub user: String,
    /// Whether the user may come in at all.
    pub enabled: bool,
    /// The rule.
    pub rule: Rule,
    /// The rule as written.
    pub text: String,
    /// That it matches, or the first difference.
    pub outcome: Result<(), Difference>,
}

/// The users, found by what a certificate says, and by name.
#[derive(Debug, Default)]
pub struct UserMap {
    users: Vec<Arc<User>>,
    /// Each user by its name.
    names: HashMap<String, usize>,
    /// Every entry by the key that all its certificates have. That an entry is
    /// found here says nothing yet: it is compared.
    index: HashMap<Key, Vec<Place>>,
    /// Lines that are not partial, by their folded names, to find those of one
    /// meaning.
    folded: HashMap<Vec<u8>, Vec<Place>>,
    /// The types of alternative names that some entry asks for.
    used: BTreeSet<SanKind>,
    nearest: Nearest<Place>,
    /// Checked where there is no password to check.
    decoy: Option<Arc<PasswordHash>>,
}

impl UserMap {
    /// Builds the map.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the users, not only the first of it.
    pub fn build(users: Vec<User>) -> Result<Self, Vec<MapError>> {
        let mut map = Self { users: users.into_iter().map(Arc::new).collect(), ..Self::default() };
        let users = map.users.clone();
        let hash = users.iter().find_map(|user| user.password.as_ref());
        map.decoy = hash.map(|hash| Arc::new(hash.decoy()));
        let mut errors = Vec::new();
        for (at, user) in users.iter().enumerate() {
            if let Some(&other) = map.names.get(&user.name) {
                errors.push(MapError::DuplicateUser { user: at, name: user.name.clone(), other });
            } else {
                map.names.insert(user.name.clone(), at);
            }
            for (entry, what) in user.entries.iter().enumerate() {
                errors.extend(map.add(Place { user: at, entry }, what));
            }
        }
        if errors.is_empty() { Ok(map) } else { Err(errors) }
    }

    /// Adds an entry to the indexes, unless an earlier one means the same.
    fn add(&mut self, place: Place, entry: &Entry) -> Option<MapError> {
        let (other, by_case) = match self.same_subject(place, entry) {
            Some((other, by_case)) => (Some(other), by_case),
            None => (self.same_way(place, entry), false),
        };
        if let Some(other) = other {
            return Some(MapError::Duplicate {
                user: place.user,
                entry: place.entry,
                text: entry.to_string(),
                other: other.user,
                other_name: self.users[other.user].name.clone(),
                other_entry: other.entry,
                other_text: self.entry(other).to_string(),
                is_subject: entry.line().is_some(),
                by_case,
            });
        }
        self.index.entry(entry.index_key()).or_default().push(place);
        match &entry.way {
            Way::Subject(line) if !line.is_partial() => {
                self.folded.entry(line.name().folded().canonical()).or_default().push(place);
                self.nearest.add(line, place);
            }
            Way::Alternative(name) => {
                self.used.insert(name.kind());
            }
            _ => {}
        }
        None
    }

    /// An earlier line that a certificate of this line would match too, and
    /// whether it is the same only once case is ignored.
    fn same_subject(&self, place: Place, entry: &Entry) -> Option<(Place, bool)> {
        let line = entry.line().filter(|line| !line.is_partial())?;
        let alike = self.folded.get(&line.name().folded().canonical())?;
        let same = |other: &&Place| {
            let earlier = self.entry(**other).line();
            let equal = |earlier: &super::SubjectLine| {
                earlier.name() == line.name() || line.ignores_case() || earlier.ignores_case()
            };
            earlier.is_some_and(equal) && self.may_share_a_ca(place, **other)
        };
        let other = *alike.iter().find(same)?;
        let by_case = self.entry(other).line().is_some_and(|earlier| earlier.name() != line.name());
        Some((other, by_case))
    }

    /// An earlier entry of the same kind and meaning.
    fn same_way(&self, place: Place, entry: &Entry) -> Option<Place> {
        let same = |other: &&Place| {
            let earlier = self.entry(**other);
            let equal = match (earlier.partial(), entry.partial()) {
                (Some(earlier), Some(later)) => earlier == later,
                (None, None) => earlier.index_key() == entry.index_key(),
                _ => false,
            };
            equal && self.may_share_a_ca(place, **other)
        };
        self.index.get(&entry.index_key())?.iter().find(same).copied()
    }

    /// Whether a certificate could be in the scopes of both. Scopes without a CA
    /// in common are taken for separate; a certificate under CAs of both is then
    /// refused when it is shown.
    fn may_share_a_ca(&self, one: Place, other: Place) -> bool {
        let scopes = |place: Place| [self.users[place.user].scope.as_ref(), self.entry(place).scope()];
        let ours = scopes(one);
        let apart = |theirs: &super::Scope| ours.iter().flatten().any(|ours| ours.is_disjoint(theirs));
        !scopes(other).into_iter().flatten().any(apart)
    }

    /// The users, in the order given.
    #[must_use]
    pub fn users(&self) -> &[Arc<User>] {
        &self.users
    }

    /// Entries that are valid but may not mean what their author meant.
    #[must_use]
    pub fn lints(&self) -> Vec<Lint> {
        lint::of(&self.users)
    }

    /// Users that are recognised by what any of several CAs could write into a
    /// certificate, the first such entry of each. To be asked where several CAs
    /// are trusted.
    #[must_use]
    pub fn unbound(&self) -> Vec<Lint> {
        lint::unbound(&self.users)
    }

    /// The user of this name.
    pub(super) fn named(&self, name: &str) -> Option<&Arc<User>> {
        self.names.get(name).map(|&at| &self.users[at])
    }

    /// A hash that nobody knows the password of, as costly as those of the users.
    pub(super) fn decoy(&self) -> Option<Arc<PasswordHash>> {
        self.decoy.clone()
    }

    /// Decides who has shown this, where nothing else is asked for. Whether the
    /// certificate holds at this moment is not asked here.
    ///
    /// # Errors
    ///
    /// Why it is nobody.
    pub fn permit(&self, evidence: &Evidence) -> Result<Permit, Refusal> {
        let (user, rule) = self.recognise(evidence)?;
        if user.needs != Needs::Certificate {
            let detail = format!("user {} needs a password beside its certificate", user.name);
            return Err(Refusal::new(Reason::NoPassword, detail));
        }
        let realm = Chain::default().realms()[0].name.clone();
        let known = Known { user, evidence: evidence.clone(), rule, realm, groups: Vec::new(), proof: None };
        // Without roles, only those come in that have a Redis user of their own.
        Rights { rules: &RoleMap::default(), database: &DatabaseRoles::default() }.permit(known)
    }

    /// The user of a certificate, and by which of its rules.
    pub(super) fn recognise(&self, evidence: &Evidence) -> Result<(Arc<User>, Rule), Refusal> {
        let Some(certificate) = evidence.certificate() else {
            return Err(Refusal::new(Reason::NoClientCertificate, "the client showed no certificate"));
        };
        admissible::check(certificate, &self.used)?;
        let compared: Vec<(Place, Result<(), Difference>)> = self
            .candidates(certificate)
            .into_iter()
            .map(|place| (place, self.compare(place, certificate, evidence)))
            .collect();
        let mut matched = compared.iter().filter(|(_, outcome)| outcome.is_ok()).map(|&(place, _)| place);
        let Some(first) = matched.next() else { return Err(self.unmapped(certificate, &compared)) };
        if let Some(second) = matched.find(|place| place.user != first.user) {
            let [first, second] = [first, second].map(|place| self.describe(place));
            let detail = format!("the certificate is {first} and {second}: change one of them");
            return Err(Refusal::new(Reason::AmbiguousIdentity, detail));
        }
        let user = &self.users[first.user];
        if !user.enabled {
            let detail = format!("the certificate is user {:?}, which is not enabled", user.name);
            return Err(Refusal::new(Reason::UserDisabled, detail));
        }
        Ok((Arc::clone(user), self.rule(first)))
    }

    /// Holds every rule against a certificate, in the order of the configuration:
    /// the comparison that decides, of all of them.
    #[must_use]
    pub fn trace(&self, evidence: &Evidence) -> Vec<Tried> {
        let Some(certificate) = evidence.certificate() else { return Vec::new() };
        let of_user = |(at, user): (usize, &Arc<User>)| {
            let tried = |entry| {
                let place = Place { user: at, entry };
                Tried {
                    user: user.name.clone(),
                    enabled: user.enabled,
                    rule: self.rule(place),
                    text: self.entry(place).to_string(),
                    outcome: self.compare(place, certificate, evidence),
                }
            };
            (0..user.entries.len()).map(tried).collect::<Vec<_>>()
        };
        self.users.iter().enumerate().flat_map(of_user).collect()
    }

    /// Every entry that may match, in the order of the configuration.
    fn candidates(&self, certificate: &Certificate) -> BTreeSet<Place> {
        keys_of(certificate).iter().filter_map(|key| self.index.get(key)).flatten().copied().collect()
    }

    /// The one comparison: of the certificate, then of the CAs above it.
    fn compare(
        &self,
        place: Place,
        certificate: &Certificate,
        evidence: &Evidence,
    ) -> Result<(), Difference> {
        let entry = self.entry(place);
        entry.compare(certificate)?;
        for scope in [entry.scope(), self.users[place.user].scope.as_ref()].into_iter().flatten() {
            if !scope.admits(evidence.issuers()) {
                return Err(Difference::Scope(scope.clone()));
            }
        }
        Ok(())
    }

    /// Why a certificate is nobody's, given how it compared with what came near.
    fn unmapped(&self, certificate: &Certificate, compared: &[(Place, Result<(), Difference>)]) -> Refusal {
        for (place, outcome) in compared {
            if let Err(difference @ Difference::Scope(_)) = outcome {
                let detail = format!("the nearest is {}: {difference}", self.describe(*place));
                return Refusal::new(Reason::IssuerScope, detail);
            }
        }
        let subject = certificate.subject();
        if subject.is_empty() {
            return Refusal::new(Reason::NoMapping, "the certificate's subject is empty");
        }
        let Some(place) = self.nearest.find(subject) else {
            return self.without_near_line(subject, compared);
        };
        let (entry, name) = (self.entry(place), &self.users[place.user].name);
        let (reason, why) = match entry.compare(certificate) {
            Err(Difference::Subject(mismatch)) => (nearest::reason(&mismatch), mismatch.to_string()),
            Err(difference) => (Reason::NoMapping, difference.to_string()),
            // Not reached: a line that matches is in the index. Refused all the same.
            Ok(()) => (Reason::NoMapping, "it is not in the map".to_owned()),
        };
        let text = entry.to_string();
        Refusal::new(reason, format!("the nearest line is {text:?} of user {name:?}: {why}"))
    }

    /// The same, where no whole line comes near.
    fn without_near_line(&self, subject: &Name, compared: &[(Place, Result<(), Difference>)]) -> Refusal {
        let entry = compared.iter().find_map(|(place, outcome)| Some((*place, outcome.as_ref().err()?)));
        let detail = match entry {
            Some((place, difference)) => format!("the nearest is {}: {difference}", self.describe(place)),
            None if self.nearest.is_empty() => "no entry of any user matches the certificate".to_owned(),
            None => format!("no certificate_subject_line begins with {}", nearest::leaf(subject)),
        };
        Refusal::new(Reason::NoMapping, detail)
    }

    /// A rule, its text and its user, for a sentence.
    fn describe(&self, place: Place) -> String {
        let text = self.entry(place).to_string();
        format!("{} {text:?} of user {:?}", self.rule(place), self.users[place.user].name)
    }

    fn entry(&self, place: Place) -> &Entry {
        &self.users[place.user].entries[place.entry]
    }

    /// The rule's number counts the entries before it that are under the same key.
    fn rule(&self, place: Place) -> Rule {
        let entry = self.entry(place);
        let before = &self.users[place.user].entries[..place.entry];
        entry.rule(before.iter().filter(|earlier| earlier.rule(0) == entry.rule(0)).count())
    }
}
