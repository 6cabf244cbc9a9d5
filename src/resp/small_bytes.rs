//! Bytes that are kept for a while: few in place, without memory of their own, many shared.

use std::ops::Deref;

use bytes::Bytes;

use super::{Outbox, SHARE_MIN};

/// As many as a request for a short value by a key of ordinary length, in a type of 96 bytes.
const FEW: usize = 94;

/// Some bytes, whoever else has them.
#[derive(Debug, Clone)]
pub struct SmallBytes(Place);

#[derive(Debug, Clone)]
enum Place {
    Here { len: u8, bytes: [u8; FEW] },
    Elsewhere(Bytes),
}

impl SmallBytes {
    /// A copy of these bytes.
    #[must_use]
    pub fn copy(from: &[u8]) -> Self {
        if from.len() > FEW {
            return Self(Place::Elsewhere(Bytes::copy_from_slice(from)));
        }
        let mut bytes = [0; FEW];
        bytes[..from.len()].copy_from_slice(from);
        Self(Place::Here { len: from.len() as u8, bytes })
    }

    /// Puts them at the end of what is written, copied only if they are few.
    pub fn share_with(&self, out: &mut Outbox) {
        match &self.0 {
            Place::Elsewhere(bytes) if bytes.len() >= SHARE_MIN => out.share(bytes.clone()),
            _ => out.copy(self),
        }
    }
}

impl Deref for SmallBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Place::Here { len, bytes } => &bytes[..usize::from(*len)],
            Place::Elsewhere(bytes) => bytes,
        }
    }
}

impl PartialEq for SmallBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl From<Bytes> for SmallBytes {
    fn from(bytes: Bytes) -> Self {
        if bytes.len() > FEW { Self(Place::Elsewhere(bytes)) } else { Self::copy(&bytes) }
    }
}

impl From<Vec<u8>> for SmallBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_length_are_kept_as_they_are() {
        for len in [0, 1, FEW, FEW + 1, SHARE_MIN - 1, SHARE_MIN] {
            let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
            for kept in [SmallBytes::copy(&bytes), Bytes::from(bytes.clone()).into()] {
                let mut out = Outbox::default();
                kept.share_with(&mut out);
                assert_eq!((&*kept, out.len()), (&bytes[..], len));
                kept.share_with(&mut out);
                assert_eq!(out.len(), 2 * len);
                while !out.is_empty() {
                    let front = out.front().len();
                    assert!(out.front() == bytes || out.front() == [&bytes[..], &bytes].concat(), "{len}");
                    out.advance(front);
                }
            }
        }
    }
}
