//! A SHA-256 that stands for a certificate or for a key.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use thiserror::Error;

/// The SHA-256 of a whole certificate or of a public key (its
/// SubjectPublicKeyInfo). Its `Display` is lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of these bytes.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        Self(bytes)
    }

    /// The digest itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A text that is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("found {found:?}, expected a SHA-256 in hex: 64 digits, which may be in pairs with ':' between")]
pub struct BadFingerprint {
    /// The text, cut if it is long.
    found: String,
}

/// Reads hex as `openssl x509 -fingerprint -sha256` prints it, or without the colons.
impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    fn from_str(text: &str) -> Result<Self, BadFingerprint> {
        let read = || {
            let bytes = hex(text)?;
            bytes.try_into().ok().map(Self)
        };
        read().ok_or_else(|| BadFingerprint { found: text.chars().take(100).collect() })
    }
}

/// The bytes of hex in pairs, a `:` between all of them or none.
pub(super) fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    if text.contains(':') {
        text.split(':').map(|part| pair(part.as_bytes())).collect()
    } else {
        text.as_bytes().chunks(2).map(pair).collect()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_with_colons_or_without_and_nothing_else_is() {
        let print = Fingerprint::of(b"");
        let plain = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let pairs: Vec<&str> = (0..32).map(|at| &plain[2 * at..2 * at + 2]).collect();
        assert_eq!(print.to_string(), plain);
        for text in [plain.to_owned(), plain.to_uppercase(), pairs.join(":"), pairs.join(":").to_uppercase()]
        {
            assert_eq!(text.parse(), Ok(print), "{text}");
        }
        let mixed = format!("{}:{}", &plain[..2], &plain[2..]);
        for text in ["", "e3", &plain[1..], &format!("{plain}00"), &plain.replace('e', "g"), &mixed, "é"] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }
}
