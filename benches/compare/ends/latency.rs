//! How long requests took, counted to the microsecond up to two seconds.

use std::time::Duration;

const MICROSECONDS_MAX: usize = 2_000_000;

/// Counts by microsecond.
pub(crate) struct Latency {
    counts: Vec<u32>,
    total: u64,
}

impl Latency {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; MICROSECONDS_MAX + 1], total: 0 }
    }

    /// So many requests took this long.
    pub(crate) fn add(&mut self, took: Duration, requests: u32) {
        let at = usize::try_from(took.as_micros()).unwrap_or(MICROSECONDS_MAX).min(MICROSECONDS_MAX);
        self.counts[at] = self.counts[at].saturating_add(requests);
        self.total += u64::from(requests);
    }

    /// How many there were.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Milliseconds that this share of all, in thousandths, did not take longer than; 0 without any.
    pub(crate) fn quantile_ms(&self, thousandths: u64) -> f64 {
        let mut left = (self.total * thousandths).div_ceil(1000);
        for (microseconds, &count) in self.counts.iter().enumerate() {
            left = left.saturating_sub(u64::from(count));
            if left == 0 {
                return microseconds as f64 / 1000.0;
            }
        }
        MICROSECONDS_MAX as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_time_that_so_many_did_not_exceed() {
        let mut latency = Latency::new();
        assert!(latency.quantile_ms(500) < 1e-9);
        (1..=100).for_each(|ms| latency.add(Duration::from_millis(ms), 3));
        assert!((latency.quantile_ms(500) - 50.0).abs() < 1e-9);
        assert!((latency.quantile_ms(990) - 99.0).abs() < 1e-9);
        latency.add(Duration::from_secs(9), 30);
        assert!((latency.quantile_ms(990) - 2000.0).abs() < 1e-9);
        assert_eq!(latency.total(), 330);
    }
}
