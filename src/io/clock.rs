//! The only place that reads the clocks.
#![allow(clippy::disallowed_methods, reason = "everything else is given the time as an argument")]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The monotonic clock.
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970.
pub(super) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
