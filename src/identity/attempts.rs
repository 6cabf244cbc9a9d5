//! How often passwords have been wrong, by where they came from and whom they
//! were for. Bounded: an attacker cannot make it grow, nor lock a user out for
//! clients of other networks.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Counts kept at a time; the oldest gives way.
const COUNTS_MAX: usize = 4_096;

/// Where a client is: an IPv4 address, or the /64 that one IPv6 site has to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(four) => IpAddr::V4(four),
            IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX))),
        })
    }
}

/// Failures since a moment.
#[derive(Debug, Clone, Copy)]
struct Count {
    failures: u32,
    since: Instant,
}

/// The failures of the last while.
#[derive(Debug, Default)]
pub struct Attempts {
    /// By network and user; all names that are no user's count together.
    counts: HashMap<(Network, Option<String>), Count>,
}

impl Attempts {
    /// Whether one more attempt may be made: fewer than `most` have failed within
    /// `window`. Zero is no bound.
    #[must_use]
    pub fn allow(
        &self,
        from: Network,
        user: Option<&str>,
        most: u32,
        window: Duration,
        now: Instant,
    ) -> bool {
        let count = self.counts.get(&(from, user.map(str::to_owned)));
        most == 0
            || count.is_none_or(|count| {
                count.failures < most || now.saturating_duration_since(count.since) >= window
            })
    }

    /// Notes a failure.
    pub fn failed(&mut self, from: Network, user: Option<&str>, window: Duration, now: Instant) {
        let is_over = |count: &Count| now.saturating_duration_since(count.since) >= window;
        let key = (from, user.map(str::to_owned));
        if !self.counts.contains_key(&key) && self.counts.len() >= COUNTS_MAX {
            self.counts.retain(|_, count| !is_over(count));
            if self.counts.len() >= COUNTS_MAX
                && let Some(oldest) = self.counts.iter().min_by_key(|(_, count)| count.since)
            {
                let oldest = oldest.0.clone();
                self.counts.remove(&oldest);
            }
        }
        let count = self.counts.entry(key).or_insert(Count { failures: 0, since: now });
        if is_over(count) {
            *count = Count { failures: 0, since: now };
        }
        count.failures = count.failures.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests need some instant to count from")]

    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn from(text: &str) -> Network {
        text.parse::<IpAddr>().expect("an address").into()
    }

    #[test]
    fn so_many_failures_are_borne_in_a_window_and_others_are_not_to_blame() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        let (here, there) = (from("192.0.2.1"), from("192.0.2.2"));
        for _ in 0..3 {
            assert!(attempts.allow(here, Some("app"), 3, WINDOW, start));
            attempts.failed(here, Some("app"), WINDOW, start);
        }
        let soon = start + WINDOW - Duration::from_millis(1);
        assert!(!attempts.allow(here, Some("app"), 3, WINDOW, soon));
        assert!(attempts.allow(here, Some("app"), 0, WINDOW, soon), "zero is no bound");
        for (network, user) in [(here, Some("ops")), (here, None), (there, Some("app"))] {
            assert!(attempts.allow(network, user, 3, WINDOW, soon), "{network:?} {user:?}");
        }
        assert!(attempts.allow(here, Some("app"), 3, WINDOW, start + WINDOW));
        attempts.failed(here, Some("app"), WINDOW, start + WINDOW);
        assert!(attempts.allow(here, Some("app"), 3, WINDOW, start + WINDOW));
    }

    #[test]
    fn a_site_is_one_network_however_many_addresses_it_uses() {
        assert_eq!(from("2001:db8::1"), from("2001:db8::ffff:1:2:3"));
        assert_ne!(from("2001:db8::1"), from("2001:db8:0:1::1"));
        assert_eq!(from("::ffff:192.0.2.1"), from("192.0.2.1"));
        assert_ne!(from("192.0.2.1"), from("192.0.2.2"));
    }

    #[test]
    fn a_flood_from_everywhere_does_not_grow_the_table() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        for number in 0..2 * COUNTS_MAX as u32 {
            let address = IpAddr::V4(number.into());
            attempts.failed(address.into(), None, WINDOW, start + Duration::from_millis(u64::from(number)));
        }
        assert_eq!(attempts.counts.len(), COUNTS_MAX);
        let last = IpAddr::V4((2 * COUNTS_MAX as u32 - 1).into());
        assert_eq!(attempts.counts.get(&(last.into(), None)).map(|count| count.failures), Some(1));
    }
}
