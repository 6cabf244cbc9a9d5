//! The only place that reads the clocks.
#![allow(clippy::disallowed_methods, reason = "everything else is given the time as an argument")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;

/// The monotonic clock.
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970.
pub(super) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The same as certificates count it.
pub(super) fn certificate_time(unix_now: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(unix_now).unwrap_or(0)))
}
