//! How long to wait after a failure: doubling, with full jitter, so that a
//! backend's return is not met by everybody at once.

use std::time::{Duration, Instant};

use crate::limits::Limits;

/// Consecutive failures and the earliest time of the next attempt.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    /// Whether the last attempt failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Whether an attempt may be made.
    #[must_use]
    pub fn allows(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|time| time <= now)
    }

    /// Records a failure; `random` decides the wait within its bounds.
    pub fn failed(&mut self, now: Instant, limits: &Limits, random: u64) {
        let ceiling = limits
            .reconnect_min_ms
            .saturating_mul(1u64.checked_shl(self.failures).unwrap_or(u64::MAX))
            .clamp(1, limits.reconnect_max_ms.max(1));
        self.failures = (self.failures + 1).min(32);
        self.not_before = Some(now + Duration::from_millis(random % ceiling + 1));
    }

    /// Records a success.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests need some instant to count from")]
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_success_forgets_them() {
        let limits = Limits { reconnect_min_ms: 50, reconnect_max_ms: 5_000, ..Limits::default() };
        let now = Instant::now();
        let mut backoff = Backoff::default();
        assert!(backoff.allows(now) && !backoff.is_failing());
        for ceiling in [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            // The longest wait that the jitter can give.
            backoff.failed(now, &limits, ceiling - 1);
            assert!(backoff.is_failing());
            assert!(!backoff.allows(now + Duration::from_millis(ceiling - 1)), "{ceiling}");
            assert!(backoff.allows(now + Duration::from_millis(ceiling)), "{ceiling}");
        }
        backoff.succeeded();
        assert!(backoff.allows(now) && !backoff.is_failing());
    }
}
