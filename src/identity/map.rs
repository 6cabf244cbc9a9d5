//! Which user a certificate is. Built once, then only read: a change of users
//! makes a new map. There is no default user, and an empty map admits nobody.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;

use super::line::brief;
use super::{Certificate, Evidence, Lint, Mismatch, Name, Reason, Refusal, Rule, SubjectLine, User, lint};

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

/// That a certificate is a user. Only [`UserMap::permit`] makes one, so whoever
/// holds one has been let in.
#[derive(Debug, Clone)]
pub struct Permit {
    user: Arc<User>,
    evidence: Evidence,
    rule: Rule,
}

impl Permit {
    /// Who it is.
    #[must_use]
    pub fn user(&self) -> &Arc<User> {
        &self.user
    }

    /// What was shown.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The certificate that was shown, if any was.
    #[must_use]
    pub fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.evidence.certificate()
    }

    /// Which of the user's rules let it in.
    #[must_use]
    pub fn rule(&self) -> Rule {
        self.rule
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
    /// Every line by its name. Invariant: no two lines have the same.
    exact: Index,
    /// The lines that ignore case, by their folded name. Invariant: no other
    /// line has the same folded name, whether it ignores case or not.
    folded: Index,
    /// For the log only: lines by their folded name, and by their folded most
    /// specific RDN. The first line wins.
    similar: Index,
    similar_leaf: Index,
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
        let mut names = HashMap::new();
        let mut errors = Vec::new();
        for (at, user) in users.iter().enumerate() {
            if let Some(&other) = names.get(&user.name) {
                errors.push(MapError::DuplicateUser { user: at, name: user.name.clone(), other });
            } else {
                names.insert(&user.name, at);
            }
            if user.lines.is_empty() {
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

    /// Decides who has shown this. Whether the certificate holds at this moment
    /// is not asked here.
    ///
    /// # Errors
    ///
    /// Why it is nobody.
    pub fn permit(&self, evidence: &Evidence) -> Result<Permit, Refusal> {
        let Some(certificate) = evidence.certificate() else {
            return Err(Refusal::new(Reason::NoClientCertificate, "the client showed no certificate"));
        };
        admissible(certificate)?;
        let Place { user, line } = self.by_subject(certificate.subject())?;
        Ok(Permit {
            user: Arc::clone(&self.users[user]),
            evidence: evidence.clone(),
            rule: Rule::SubjectLine(line),
        })
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
    if !certificate.is_for_clients() {
        return Err(Refusal::new(Reason::Eku, purpose(certificate)));
    }
    if certificate.subject().has_control() {
        let detail = "the certificate's subject contains a control character";
        return Err(Refusal::new(Reason::SubjectControlChar, detail));
    }
    Ok(())
}

/// What a certificate that is for something else is told to have.
fn purpose(certificate: &Certificate) -> String {
    const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
    let purposes = certificate.purposes().unwrap_or_default();
    let hint = if purposes.iter().any(|purpose| purpose == SERVER_AUTH) {
        ": it is a server's, ask the CA for one with clientAuth"
    } else {
        ""
    };
    let purposes = purposes.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ");
    format!("the certificate's extended key usage is {purposes}, expected clientAuth{hint}")
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
