//! Who is to blame for a failure, and the short reference that ties the line a
//! client sees to the line an operator reads.

use std::fmt;

/// Who has to act for this not to happen again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The client sent something wrong, or may not do this.
    Client,
    /// The backend did.
    Backend,
    /// The operator's configuration or files did.
    Operator,
    /// respgate did: a bug.
    Gateway,
}

impl Blame {
    /// The word used in logs and as a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Backend => "backend",
            Self::Operator => "operator",
            Self::Gateway => "gateway",
        }
    }
}

/// Four characters that appear in a client's error line and in the log and
/// audit records of the same event, so that one finds the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reference([u8; 4]);

/// Digits and capitals without those that are misread (I, L, O, U).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl Reference {
    /// Makes a reference of twenty of the given random bits.
    #[must_use]
    pub fn from_random(bits: u32) -> Self {
        Self(std::array::from_fn(|i| ALPHABET[(bits >> (5 * i)) as usize & 31]))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&byte| write!(f, "{}", char::from(byte)))
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_four_unambiguous_characters() {
        assert_eq!(Reference::from_random(0).to_string(), "0000");
        assert_eq!(Reference::from_random(u32::MAX).to_string(), "ZZZZ");
        assert_eq!(Reference::from_random(1 | 2 << 5 | 10 << 10 | 31 << 15).to_string(), "12AZ");
    }
}
