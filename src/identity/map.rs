//! Which user a certificate is. Built once, then only read: a change of users
//! makes a new map. There is no default user, and an empty map admits nobody.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;

use super::line::brief;
use super::{
    Certificate, Chain, Lint, Mismatch, Name, Needs, PasswordHash, Permit, Reason, Refusal, Rule,
    SubjectLine, User, lint,
};

/// Why some users cannot be told apart, or never recognised. Users and lines are
/// counted from 0, in the order given.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MapError {
    /// Two lines that one certificate would match.
    #[error(
        "duplicate_subject: {text:?} means the same subject as {other_text:?} of user {other_name:?}{}: \
         remove one of them",
        if *.by_case { " once case and spaces are ignored" } else { "" }
    )]
    DuplicateSubject {
        /// The later user.
        user: usize,
        /// Its line.
        line: usize,
        /// That line as written.
        text: String,
        /// The earlier user, which may be the same.
        other: usize,
        /// The earlier user's name.
        other_name: String,
        /// The earlier user's line.
        other_line: usize,
        /// That line as written.
        other_text: String,
        /// Whether they are the same only because one of them ignores case.
        by_case: bool,
    },
    /// Two users of one name.
    #[error("the user name {name:?} is taken by an earlier user: choose another")]
    DuplicateUser {
        /// The later user.
        user: usize,
        /// The name.
        name: String,
        /// The earlier user.
        other: usize,
    },
    /// A user that nobody can be.
    #[error("user {name:?} has no certificate_subject_line: nobody could be it")]
    NoLine {
        /// The user.
        user: usize,
        /// Its name.
        name: String,
    },
}

impl MapError {
    /// The index of the user to change.
    #[must_use]
    pub fn user(&self) -> usize {
        match *self {
            Self::DuplicateSubject { user, .. }
            | Self::DuplicateUser { user, .. }
            | Self::NoLine { user, .. } => user,
        }
    }

    /// The index of that user's line to change, if it is one line's fault.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match *self {
            Self::DuplicateSubject { line, .. } => Some(line),
            Self::DuplicateUser { .. } | Self::NoLine { .. } => None,
        }
    }
}

/// A line's place: its user and its index among that user's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    user: usize,
    line: usize,
}

/// Canonical bytes of a name or of an RDN, and the first line that has them.
type Index = HashMap<Vec<u8>, Place>;

/// The users, found by a certificate's subject.
#[derive(Debug, Default)]
pub struct UserMap {
    users: Vec<Arc<User>>,
    /// Each user by its name.
    names: HashMap<String, usize>,
    /// Every line by its name. Invariant: no two lines have the same.
    exact: Index,
    /// The lines that ignore case, by their folded name. Invariant: no other
    /// line has the same folded name, whether it ignores case or not.
    folded: Index,
    /// For the log only: lines by their folded name, and by their folded most
    /// specific RDN. The first line wins.
    similar: Index,
    similar_leaf: Index,
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
            if user.lines.is_empty() && user.needs.certificate() {
                errors.push(MapError::NoLine { user: at, name: user.name.clone() });
            }
            for (line, subject) in user.lines.iter().enumerate() {
                errors.extend(map.add(Place { user: at, line }, subject));
            }
        }
        if errors.is_empty() { Ok(map) } else { Err(errors) }
    }

    /// Adds a line to the indexes, unless an earlier one means the same.
    fn add(&mut self, place: Place, subject: &SubjectLine) -> Option<MapError> {
        let (exact, folded) = (subject.name().canonical(), subject.name().folded());
        let key = folded.canonical();
        let same = self.exact.get(&exact);
        let by_case = if subject.ignores_case() { self.similar.get(&key) } else { self.folded.get(&key) };
        if let Some(&other) = same.or(by_case) {
            return Some(MapError::DuplicateSubject {
                user: place.user,
                line: place.line,
                text: subject.to_string(),
                other: other.user,
                other_name: self.users[other.user].name.clone(),
                other_line: other.line,
                other_text: self.line(other).to_string(),
                by_case: same.is_none(),
            });
        }
        self.exact.insert(exact, place);
        if subject.ignores_case() {
            self.folded.insert(key.clone(), place);
        }
        self.similar.entry(key).or_insert(place);
        if let Some(leaf) = leaf_key(&folded) {
            self.similar_leaf.entry(leaf).or_insert(place);
        }
        None
    }

    /// The users, in the order given.
    #[must_use]
    pub fn users(&self) -> &[Arc<User>] {
        &self.users
    }

    /// Lines that are valid but may not mean what their author meant.
    #[must_use]
    pub fn lints(&self) -> Vec<Lint> {
        let of_user = |(at, user): (usize, &Arc<User>)| -> Vec<Lint> {
            user.lines.iter().enumerate().flat_map(|(line, subject)| lint::of(at, line, subject)).collect()
        };
        self.users.iter().enumerate().flat_map(of_user).collect()
    }

    /// The user of this name.
    pub(super) fn named(&self, name: &str) -> Option<&Arc<User>> {
        self.names.get(name).map(|&at| &self.users[at])
    }

    /// A hash that nobody knows the password of, as costly as those of the users.
    pub(super) fn decoy(&self) -> Option<Arc<PasswordHash>> {
        self.decoy.clone()
    }

    /// Decides who a verified certificate is, where nothing else is asked for. Whether
    /// it holds at this moment is not asked here.
    ///
    /// # Errors
    ///
    /// Why it is nobody.
    pub fn permit(&self, certificate: Arc<Certificate>) -> Result<Permit, Refusal> {
        let (user, rule) = self.recognise(&certificate)?;
        if user.needs != Needs::Certificate {
            let detail = format!("user {} needs a password beside its certificate", user.name);
            return Err(Refusal::new(Reason::NoPassword, detail));
        }
        let realm = Chain::default().realms()[0].name.clone();
        Permit::new(user, Some(certificate), rule, &realm, None)
    }

    /// The user of a certificate, and by which of its rules.
    pub(super) fn recognise(&self, certificate: &Certificate) -> Result<(Arc<User>, Rule), Refusal> {
        admissible(certificate)?;
        let Place { user, line } = self.by_subject(certificate.subject())?;
        let user = Arc::clone(&self.users[user]);
        if !user.enabled {
            return Err(Refusal::new(Reason::UserDisabled, format!("user {} is disabled", user.name)));
        }
        Ok((user, Rule::SubjectLine(line)))
    }

    fn by_subject(&self, subject: &Name) -> Result<Place, Refusal> {
        if subject.is_empty() {
            return Err(Refusal::new(Reason::NoMapping, "the certificate's subject is empty"));
        }
        if let Some(&place) = self.exact.get(&subject.canonical()) {
            return Ok(place);
        }
        let folded = subject.folded();
        match self.folded.get(&folded.canonical()) {
            Some(&place) => Ok(place),
            None => Err(self.unmapped(subject, &folded)),
        }
    }

    /// Says which line comes nearest to a subject that has none.
    fn unmapped(&self, subject: &Name, folded: &Name) -> Refusal {
        let nearest = self
            .similar
            .get(&folded.canonical())
            .or_else(|| self.similar.get(&folded.reversed().canonical()))
            .or_else(|| self.similar_leaf.get(&leaf_key(folded)?));
        let Some(&place) = nearest else {
            let leaf = subject.rdns().last().map(brief).unwrap_or_default();
            return Refusal::new(
                Reason::NoMapping,
                format!("no certificate_subject_line begins with {leaf}"),
            );
        };
        let line = self.line(place);
        let name = &self.users[place.user].name;
        let (reason, why) = match line.compare(subject) {
            // Not reached: a line that matches is in the indexes. Refused all the same.
            Ok(()) => (Reason::NoMapping, "it is not in the map".to_owned()),
            Err(mismatch) => (reason(&mismatch), mismatch.to_string()),
        };
        Refusal::new(reason, format!("the nearest line is {:?} of user {name:?}: {why}", line.to_string()))
    }

    fn line(&self, place: Place) -> &SubjectLine {
        &self.users[place.user].lines[place.line]
    }
}

/// Refuses certificates that no rule may recognise.
fn admissible(certificate: &Certificate) -> Result<(), Refusal> {
    if certificate.version() != 3 {
        let detail = format!("the certificate is X.509 version {}, expected 3", certificate.version());
        return Err(Refusal::new(Reason::BadCertificate, detail));
    }
    if certificate.signs_certificates() {
        let detail = "the certificate is a CA's (CA:TRUE or keyCertSign), expected a client's";
        return Err(Refusal::new(Reason::LeafIsCa, detail));
    }
    if certificate.subject().has_control() {
        let detail = "the certificate's subject contains a control character";
        return Err(Refusal::new(Reason::SubjectControlChar, detail));
    }
    Ok(())
}

/// The canonical bytes of a name's most specific RDN.
fn leaf_key(name: &Name) -> Option<Vec<u8>> {
    let mut key = Vec::new();
    name.rdns().last()?.encode(&mut key);
    Some(key)
}

fn reason(mismatch: &Mismatch) -> Reason {
    match mismatch {
        Mismatch::Order | Mismatch::OrderAndCase => Reason::RdnOrder,
        Mismatch::Case => Reason::CaseOnly,
        Mismatch::Rdn { .. } => Reason::NoMapping,
    }
}
