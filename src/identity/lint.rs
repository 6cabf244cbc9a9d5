//! Entries that are valid but may not mean what their author meant.

use std::fmt;
use std::sync::Arc;

use super::alternative::Alternative;
use super::entry::Way;
use super::multiset::Multiset;
use super::{Entry, Order, Scope, SubjectLine, User, attribute};

/// Partial entries that are compared with each other and with whole lines. The
/// comparison is of every pair, and a configuration may be long.
const PARTIAL_MAX: usize = 256;

/// What is doubtful about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Advice {
    /// It starts with a country or the like and ends with a name.
    LooksLikeDerOrder,
    /// It uses `SN`.
    SnIsSurname,
    /// It uses `S`.
    SIsState,
    /// It asks for a control character.
    ControlChar,
    /// It asks for a star.
    WildcardIsLiteral,
    /// A certificate may match it and an entry of another user.
    OverlappingPatterns,
    /// Any of several CAs may issue a certificate that matches it.
    SubjectNotIssuerBound,
}

impl Advice {
    /// The stable word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LooksLikeDerOrder => "looks_like_der_order",
            Self::SnIsSurname => "sn_is_surname",
            Self::SIsState => "s_is_state",
            Self::ControlChar => "never_matches_control_char",
            Self::WildcardIsLiteral => "wildcard_is_literal",
            Self::OverlappingPatterns => "overlapping_patterns",
            Self::SubjectNotIssuerBound => "subject_not_issuer_bound",
        }
    }
}

/// A remark about one entry of one user. Its `Display` is a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    /// What is doubtful.
    pub advice: Advice,
    /// The user's index, counted from 0.
    pub user: usize,
    /// The entry's index among the user's, counted from 0.
    pub entry: usize,
    /// The entry as written.
    pub text: String,
    /// The same line from its other end, for [`Advice::LooksLikeDerOrder`]; the
    /// other entry, for [`Advice::OverlappingPatterns`].
    other: String,
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, other, .. } = self;
        match self.advice {
            Advice::LooksLikeDerOrder => write!(
                f,
                "{text:?} begins with the most general part, as a certificate does and as openssl prints it; \
                 a line begins with the most specific: if that is what was meant, write {other}"
            ),
            Advice::SnIsSurname => {
                write!(f, "{text:?} uses SN, which is the surname: for the serial number write SERIALNUMBER")
            }
            Advice::SIsState => write!(f, "{text:?} uses S, which is read as ST: write ST"),
            Advice::ControlChar => write!(
                f,
                "{text:?} asks for a control character: it never matches, since such certificates are refused"
            ),
            Advice::WildcardIsLiteral => write!(
                f,
                "{text:?} matches only a certificate that has the star itself: list the names without it"
            ),
            Advice::OverlappingPatterns => write!(
                f,
                "a certificate may match {text:?} and {other}: such a certificate is refused, since it is two users'"
            ),
            Advice::SubjectNotIssuerBound => write!(
                f,
                "several CAs are trusted and any of them can issue a certificate for {text:?}: bind the user to one with issuer"
            ),
        }
    }
}

/// What is doubtful about the users' entries.
pub(super) fn of(users: &[Arc<User>]) -> Vec<Lint> {
    let each = users.iter().enumerate().flat_map(|(user, it)| {
        it.entries.iter().enumerate().flat_map(move |(entry, it)| alone(user, entry, it))
    });
    each.chain(overlaps(users)).collect()
}

/// The first entry of each user that says nothing about a key and is bound to no CA.
pub(super) fn unbound(users: &[Arc<User>]) -> Vec<Lint> {
    let of_user = |(user, it): (usize, &Arc<User>)| {
        let loose = |entry: &Entry| {
            let names = !matches!(entry.way, Way::Certificate(_) | Way::Key(_));
            names && it.scope.is_none() && entry.scope().is_none()
        };
        let entry = it.entries.iter().position(loose)?;
        let text = it.entries[entry].to_string();
        Some(Lint { advice: Advice::SubjectNotIssuerBound, user, entry, text, other: String::new() })
    };
    users.iter().enumerate().filter_map(of_user).collect()
}

/// What is doubtful about one entry, whatever the others are.
fn alone(user: usize, entry: usize, what: &Entry) -> Vec<Lint> {
    let lint = |advice, other| Lint { advice, user, entry, text: what.to_string(), other };
    if let Way::Alternative(Alternative::Dns(name)) = &what.way {
        let star = name.contains('*').then(|| lint(Advice::WildcardIsLiteral, String::new()));
        return star.into_iter().collect();
    }
    let Some(line) = what.line() else { return Vec::new() };
    let uses = |name: &str| line.written().iter().any(|written| written.eq_ignore_ascii_case(name));
    [
        (looks_like_der_order(line), Advice::LooksLikeDerOrder),
        (uses("SN"), Advice::SnIsSurname),
        (uses("S"), Advice::SIsState),
        (line.name().has_control(), Advice::ControlChar),
    ]
    .into_iter()
    .filter(|&(applies, _)| applies)
    .map(|(_, advice)| lint(advice, line.name().reversed().to_string()))
    .collect()
}

/// The first attribute is of a kind that stands at the general end of a name,
/// the last of one that stands at the specific end.
fn looks_like_der_order(subject: &SubjectLine) -> bool {
    if subject.order() == Order::Certificate || subject.is_partial() {
        return false;
    }
    let kind = |rdn: &super::name::Rdn| attribute::name_of(&rdn.attributes()[0].oid);
    let rdns = subject.name().rdns();
    let (Some(first), Some(last)) = (rdns.last().and_then(kind), rdns.first().and_then(kind)) else {
        return false;
    };
    matches!(first, "C" | "DC" | "O" | "ST" | "L" | "STREET" | "OU")
        && matches!(last, "CN" | "UID" | "EMAILADDRESS" | "SERIALNUMBER")
}

/// An entry about the subject, with what is needed to compare it.
struct Subject<'a> {
    user: usize,
    entry: usize,
    what: &'a Entry,
    line: &'a SubjectLine,
    scopes: [Option<&'a Scope>; 2],
}

/// Each partial entry with the first entry of another user that overlaps with it.
fn overlaps(users: &[Arc<User>]) -> Vec<Lint> {
    let subjects: Vec<Subject<'_>> = users
        .iter()
        .enumerate()
        .flat_map(|(user, it)| {
            it.entries.iter().enumerate().filter_map(move |(entry, what)| {
                let (Way::Subject(line) | Way::Attributes(line)) = &what.way else { return None };
                Some(Subject { user, entry, what, line, scopes: [it.scope.as_ref(), what.scope()] })
            })
        })
        .collect();
    let partial = subjects.iter().filter(|subject| subject.line.is_partial()).take(PARTIAL_MAX);
    let with_other = |one: &Subject<'_>| {
        let other = subjects.iter().find(|other| one.user != other.user && overlap(one, other))?;
        Some(Lint {
            advice: Advice::OverlappingPatterns,
            user: one.user,
            entry: one.entry,
            text: one.what.to_string(),
            other: format!("{:?} of user {:?}", other.what.to_string(), users[other.user].name),
        })
    };
    partial.filter_map(with_other).collect()
}

/// Whether one certificate can match both, the first of which is partial.
fn overlap(one: &Subject<'_>, other: &Subject<'_>) -> bool {
    let apart = |ours: &Scope| other.scopes.iter().flatten().any(|theirs| ours.is_disjoint(theirs));
    if one.scopes.iter().flatten().any(|ours| apart(ours)) {
        return false;
    }
    let ignore_case = one.line.ignores_case() || other.line.ignores_case();
    let Some(ours) = one.line.partial() else { return false };
    match other.line.partial() {
        None => ours.compare(other.line.name(), ignore_case, true).is_ok(),
        Some(theirs) if ignore_case => Multiset::folded(ours).agrees(&theirs.folded()),
        Some(theirs) => ours.agrees(theirs),
    }
}
