//! A password as the configuration keeps it: an argon2id hash in the PHC form,
//! within bounds, so that no hash can take more memory or time than any other.
//! Knows no user; where and when it is computed is for the caller.

use std::fmt;

use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, PasswordHasher, Version};
use subtle::ConstantTimeEq;
use thiserror::Error;

/// The most memory that one check may take, in KiB: what other libraries take by default.
pub const MEMORY_KIB_MAX: u32 = 64 * 1024;
/// The most passes over it.
pub const PASSES_MAX: u32 = 10;
/// The most lanes.
pub const LANES_MAX: u32 = 16;
/// A shorter hash could be hit by chance.
const OUTPUT_BYTES_MIN: usize = 16;

/// Why a text is not a usable hash. No variant quotes it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HashError {
    /// Not `$argon2id$v=19$m=..,t=..,p=..$salt$hash`.
    #[error("not a password hash, expected $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH")]
    NotPhc,
    /// Another algorithm, or another version of this one.
    #[error("a hash of {0}, expected argon2id with v=19")]
    Algorithm(String),
    /// Too costly, or not possible.
    #[error(
        "the hash has m={memory_kib}, t={passes}, p={lanes}, expected at most m={MEMORY_KIB_MAX}, \
         t={PASSES_MAX}, p={LANES_MAX}, and m at least 8 times p"
    )]
    Cost {
        /// `m`
        memory_kib: u32,
        /// `t`
        passes: u32,
        /// `p`
        lanes: u32,
    },
    /// Too short to prove anything.
    #[error("the hash has {0} bytes, expected at least {OUTPUT_BYTES_MIN}")]
    Short(usize),
}

/// An argon2id hash.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    params: Params,
    salt: Vec<u8>,
    output: Vec<u8>,
}

impl PasswordHash {
    /// Reads the PHC form.
    ///
    /// # Errors
    /// If it is another thing, or its cost is out of bounds.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        let phc = argon2::PasswordHash::new(text).map_err(|_error| HashError::NotPhc)?;
        if phc.algorithm != ARGON2ID_IDENT || phc.version != Some(Version::V0x13.into()) {
            let version = phc.version.map(|version| format!(" v={version}")).unwrap_or_default();
            return Err(HashError::Algorithm(format!("{}{version}", phc.algorithm)));
        }
        let (Some(salt), Some(output)) = (phc.salt, phc.hash) else { return Err(HashError::NotPhc) };
        // Read by hand first: what argon2 itself refuses is worth its numbers.
        let number = |name: &str| phc.params.get_decimal(name).ok_or(HashError::NotPhc);
        let (memory_kib, passes, lanes) = (number("m")?, number("t")?, number("p")?);
        let cost = || HashError::Cost { memory_kib, passes, lanes };
        if memory_kib > MEMORY_KIB_MAX || passes > PASSES_MAX || lanes > LANES_MAX {
            return Err(cost());
        }
        let params = Params::try_from(&phc).map_err(|_error| cost())?;
        let output = output.as_bytes().to_vec();
        if output.len() < OUTPUT_BYTES_MIN {
            return Err(HashError::Short(output.len()));
        }
        Ok(Self { params, salt: salt.as_ref().to_vec(), output })
    }

    /// Hashes a password at the usual cost (19 MiB, two passes), in the PHC form. The
    /// salt is random bytes. Nothing if the password is longer than argon2 takes.
    #[must_use]
    pub fn make(password: &[u8], salt: &[u8; 16]) -> Option<String> {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT);
        argon2.hash_password_with_salt(password, salt).ok().map(|phc| phc.to_string())
    }

    /// A hash that costs as much as this one and that nobody knows a password of.
    pub(super) fn decoy(&self) -> Self {
        Self {
            params: self.params.clone(),
            salt: vec![0; self.salt.len()],
            output: vec![0; self.output.len()],
        }
    }

    /// What it costs to check a password where no user has one.
    pub(super) fn usual_decoy() -> Self {
        Self { params: Params::DEFAULT, salt: vec![0; 16], output: vec![0; Params::DEFAULT_OUTPUT_LEN] }
    }

    /// Whether this is the password. Takes tens of milliseconds and megabytes.
    #[must_use]
    pub fn fits(&self, password: &[u8]) -> bool {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone());
        let mut output = vec![0; self.output.len()];
        let hashed = argon2.hash_password_into(password, &self.salt, &mut output);
        let same: bool = output.ct_eq(&self.output).into();
        hashed.is_ok() && same
    }
}

/// A hash can be attacked at leisure: it is a secret too.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `secret`, hashed by the reference implementation (argon2-cffi).
    const SMALL: &str =
        "$argon2id$v=19$m=256,t=1,p=1$c29tZXNhbHQ$0YvBN0Sc/YbmfJzljfOHMRSJX/6JRQ0m/NBs2g2uhzs";

    #[test]
    fn a_hash_of_the_reference_implementation_fits_its_password_and_no_other() {
        let hash = PasswordHash::parse(SMALL).expect("a good hash");
        assert!(hash.fits(b"secret"));
        for other in [&b"Secret"[..], b"secret\0", b"secret ", b""] {
            assert!(!hash.fits(other), "{other:?}");
        }
        assert!(!hash.decoy().fits(b"secret"));
        assert!(!PasswordHash::usual_decoy().fits(b""));
        assert_eq!(format!("{hash:?}"), "***");
    }

    #[test]
    fn what_is_made_can_be_read_and_fits() {
        let text = PasswordHash::make(b"secret", &[7; 16]).expect("short enough");
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        let hash = PasswordHash::parse(&text).expect("a good hash");
        assert!(hash.fits(b"secret") && !hash.fits(b"secrets"));
        assert_ne!(PasswordHash::make(b"secret", &[8; 16]), Some(text));
    }

    #[test]
    fn a_hash_that_would_eat_memory_or_time_is_refused_unread() {
        let with = |from: &str, to: &str| PasswordHash::parse(&SMALL.replace(from, to)).map(|_| ());
        for (from, to) in [("m=256", "m=65537"), ("t=1", "t=11"), ("p=1", "p=17"), ("m=256", "m=4294967295")]
        {
            assert!(matches!(with(from, to), Err(HashError::Cost { .. })), "{to}");
        }
        assert!(matches!(with("m=256", "m=7"), Err(HashError::Cost { .. })));
        assert!(matches!(with("argon2id", "argon2i"), Err(HashError::Algorithm(_))));
        assert!(matches!(with("v=19", "v=16"), Err(HashError::Algorithm(_))));
    }

    #[test]
    fn what_is_no_hash_is_refused_without_being_shown() {
        for text in [
            "",
            "hunter2",
            "$argon2id$hunter2",
            "$argon2id$v=19$m=256,t=1,p=1",
            "$2b$10$abcdefghijklmnopqrstuv",
        ] {
            let error = PasswordHash::parse(text).expect_err("no hash");
            assert!(text.is_empty() || !error.to_string().contains(text), "{error}");
        }
        let short =
            SMALL.rsplit_once('$').map(|(head, _)| format!("{head}$AAAAAAAAAAAAAA")).expect("has parts");
        assert_eq!(PasswordHash::parse(&short), Err(HashError::Short(10)));
    }
}
