//! The passwords of users that the gateway makes, and when they change: the next one is made good
//! beside the present one, then used, then the former is taken away. Nobody but this process
//! ever knows one: Redis is given their hashes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use super::Provisioning;
use crate::identity::{Keeping, Kept};
use crate::secret::Secret;

/// Where fresh passwords come from: 256 bits that nobody can guess.
pub type Fresh<'a> = &'a mut dyn FnMut() -> [u8; 32];

/// A password and what Redis is told of it.
#[derive(Debug, Clone)]
struct Password {
    secret: Secret,
    hash: String,
}

#[derive(Debug, Clone)]
struct Pair {
    present: Password,
    /// The next or the former.
    other: Option<Password>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    New,
    /// One password, since then.
    Steady(Instant),
    /// The next one is being made good.
    Adding,
    /// The former is still good, since then.
    Leaving(Instant),
}

/// The passwords of one database's users.
#[derive(Debug, Clone, Default)]
pub struct Passwords {
    pairs: BTreeMap<Keeping, Pair>,
    phase: Phase,
}

impl Password {
    fn new(random: [u8; 32]) -> Self {
        let random = Zeroizing::new(random);
        let secret = hex(&*random);
        let hash = hex(digest::digest(&digest::SHA256, &secret).as_ref());
        Self { secret: Secret::new(secret), hash: String::from_utf8_lossy(&hash).into_owned() }
    }
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    let digits = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]).collect()
}

impl Passwords {
    /// From now on there are these users. Those that stay keep their passwords.
    pub fn want(&mut self, wanted: &Provisioning, fresh: Fresh<'_>) {
        self.pairs.retain(|keeping, _| wanted.accounts.iter().any(|account| account.keeping == *keeping));
        for account in &wanted.accounts {
            let new = || Pair { present: Password::new(fresh()), other: None };
            self.pairs.entry(account.keeping.clone()).or_insert_with(new);
        }
    }

    /// The hashes of all passwords that are to be good, the present one first.
    #[must_use]
    pub fn hashes(&self, keeping: &Keeping) -> Vec<String> {
        let pair = self.pairs.get(keeping);
        let both = pair.into_iter().flat_map(|pair| [Some(&pair.present), pair.other.as_ref()]);
        both.flatten().map(|password| password.hash.clone()).collect()
    }

    /// The present password.
    #[must_use]
    pub fn present(&self, keeping: &Keeping) -> Option<&Secret> {
        self.pairs.get(keeping).map(|pair| &pair.present.secret)
    }

    /// Puts the present passwords of those among the others of whom `is_there` says so.
    pub fn publish(&self, wanted: &Provisioning, is_there: &dyn Fn(&str) -> bool, into: &mut Kept) {
        for account in wanted.accounts.iter().filter(|account| is_there(&account.redis_user)) {
            if let Some(secret) = self.present(&account.keeping) {
                into.insert(account.keeping.clone(), secret.clone());
            }
        }
    }

    /// Time has passed. `is_keyed`: whether every node that can be reached has the passwords that
    /// it is to have. `former_stays`: how long a greeting may take that has begun with the former one.
    /// Whether something has to be said to the nodes.
    pub fn tick(
        &mut self,
        every: Duration,
        former_stays: Duration,
        is_keyed: bool,
        fresh: Fresh<'_>,
        now: Instant,
    ) -> bool {
        let since = |at: Instant| now.saturating_duration_since(at);
        match self.phase {
            Phase::New if is_keyed => self.phase = Phase::Steady(now),
            Phase::Steady(at) if since(at) >= every => {
                self.pairs.values_mut().for_each(|pair| pair.other = Some(Password::new(fresh())));
                self.phase = Phase::Adding;
                return true;
            }
            Phase::Adding if is_keyed => {
                for pair in self.pairs.values_mut() {
                    if let Some(next) = pair.other.take() {
                        pair.other = Some(std::mem::replace(&mut pair.present, next));
                    }
                }
                self.phase = Phase::Leaving(now);
                // In the order of `hashes`, which is what a node is held to.
                return true;
            }
            Phase::Leaving(at) if since(at) >= former_stays => {
                self.pairs.values_mut().for_each(|pair| pair.other = None);
                self.phase = Phase::Steady(now);
                return true;
            }
            Phase::New | Phase::Steady(_) | Phase::Adding | Phase::Leaving(_) => {}
        }
        false
    }

    /// How long until the next change, if nothing happens but time.
    #[must_use]
    pub fn next(&self, every: Duration, former_stays: Duration, now: Instant) -> Duration {
        let left = |at: Instant, whole: Duration| whole.saturating_sub(now.saturating_duration_since(at));
        match self.phase {
            Phase::New | Phase::Adding => Duration::MAX,
            Phase::Steady(at) => left(at, every),
            Phase::Leaving(at) => left(at, former_stays),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests need some instant to count from")]
    use std::sync::Arc;

    use super::*;
    use crate::identity::Credential;
    use crate::upstream::{Account, AclRules};

    #[test]
    fn the_next_password_is_good_everywhere_before_it_is_used_and_the_former_until_it_is_not() {
        let keeping = Keeping("a".into());
        let rules = AclRules::parse("+@all").expect("rules");
        let account = Account { redis_user: "a".to_owned(), keeping: keeping.clone(), rules };
        let admin = Arc::new(Credential::new("admin", Secret::new(b"pw".to_vec())));
        let every = Duration::from_secs(100);
        let wanted =
            Provisioning { admin, namespace: "r:".to_owned(), rotate_every: every, accounts: vec![account] };
        let (stays, start) = (Duration::from_secs(5), Instant::now());
        let mut number = 0;
        let mut fresh = || {
            number += 1;
            [number; 32]
        };
        let mut passwords = Passwords::default();
        passwords.want(&wanted, &mut fresh);
        let first = passwords.hashes(&keeping);
        assert_eq!(first.len(), 1);
        let at = |seconds| start + Duration::from_secs(seconds);
        // Time begins when the first is good.
        assert!(!passwords.tick(every, stays, false, &mut fresh, at(0)));
        assert!(!passwords.tick(every, stays, true, &mut fresh, at(10)));
        assert!(!passwords.tick(every, stays, true, &mut fresh, at(109)));
        assert!(passwords.tick(every, stays, true, &mut fresh, at(110)));
        let both = passwords.hashes(&keeping);
        assert_eq!((both.len(), &both[0]), (2, &first[0]));
        let before = passwords.present(&keeping).cloned();
        // A node has yet to be told.
        assert!(!passwords.tick(every, stays, false, &mut fresh, at(500)));
        assert_eq!(passwords.present(&keeping), before.as_ref());
        assert!(passwords.tick(every, stays, true, &mut fresh, at(501)));
        assert_ne!(passwords.present(&keeping), before.as_ref());
        assert_eq!(passwords.hashes(&keeping), [both[1].clone(), both[0].clone()]);
        assert!(!passwords.tick(every, stays, true, &mut fresh, at(505)));
        assert!(passwords.tick(every, stays, true, &mut fresh, at(506)));
        assert_eq!(passwords.hashes(&keeping), [both[1].clone()]);
        // Who stays keeps its password, who goes has none.
        let present = passwords.present(&keeping).cloned();
        passwords.want(&wanted, &mut fresh);
        assert_eq!(passwords.present(&keeping), present.as_ref());
        passwords.want(&Provisioning { accounts: Vec::new(), ..wanted }, &mut fresh);
        assert_eq!(passwords.present(&keeping), None);
    }

    #[test]
    fn a_password_is_64_hexadecimal_digits_and_redis_is_told_its_sha256() {
        let password = Password::new([0xab; 32]);
        assert_eq!(password.secret.expose(), "ab".repeat(32).as_bytes());
        // printf 'abab..' | sha256sum
        assert_eq!(password.hash.len(), 64);
        assert_ne!(password.hash.as_bytes(), password.secret.expose());
    }
}
