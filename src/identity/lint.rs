//! Lines that are valid but may not mean what their author meant.

use std::fmt;

use super::{SubjectLine, attribute};

/// What is doubtful about a line.
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
        }
    }
}

/// A remark about one line of one user. Its `Display` is a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    /// What is doubtful.
    pub advice: Advice,
    /// The user's index, counted from 0.
    pub user: usize,
    /// The line's index among the user's, counted from 0.
    pub line: usize,
    /// The line as written.
    pub text: String,
    /// The same line from its other end, for [`Advice::LooksLikeDerOrder`].
    reversed: String,
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, reversed, .. } = self;
        match self.advice {
            Advice::LooksLikeDerOrder => write!(
                f,
                "{text:?} begins with the most general part, as a certificate does and as openssl prints it; \
                 a line begins with the most specific: if that is what was meant, write {reversed}"
            ),
            Advice::SnIsSurname => {
                write!(f, "{text:?} uses SN, which is the surname: for the serial number write SERIALNUMBER")
            }
            Advice::SIsState => write!(f, "{text:?} uses S, which is read as ST: write ST"),
            Advice::ControlChar => write!(
                f,
                "{text:?} asks for a control character: it never matches, since such certificates are refused"
            ),
        }
    }
}

/// What is doubtful about the line at `line` of the user at `user`.
pub(super) fn of(user: usize, line: usize, subject: &SubjectLine) -> Vec<Lint> {
    let uses = |name: &str| subject.written().iter().any(|written| written.eq_ignore_ascii_case(name));
    [
        (looks_like_der_order(subject), Advice::LooksLikeDerOrder),
        (uses("SN"), Advice::SnIsSurname),
        (uses("S"), Advice::SIsState),
        (subject.name().has_control(), Advice::ControlChar),
    ]
    .into_iter()
    .filter(|&(applies, _)| applies)
    .map(|(_, advice)| Lint {
        advice,
        user,
        line,
        text: subject.to_string(),
        reversed: subject.name().reversed().to_string(),
    })
    .collect()
}

/// The first attribute is of a kind that stands at the general end of a name,
/// the last of one that stands at the specific end.
fn looks_like_der_order(subject: &SubjectLine) -> bool {
    let kind = |rdn: &super::name::Rdn| attribute::name_of(&rdn.attributes()[0].oid);
    let rdns = subject.name().rdns();
    let (Some(first), Some(last)) = (rdns.last().and_then(kind), rdns.first().and_then(kind)) else {
        return false;
    };
    matches!(first, "C" | "DC" | "O" | "ST" | "L" | "STREET" | "OU")
        && matches!(last, "CN" | "UID" | "EMAILADDRESS" | "SERIALNUMBER")
}
