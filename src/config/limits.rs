//! `[limits]`: which values make sense, alone and together. The settings and
//! their reasons are in `crate::limits`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::cause::Cause;
use super::problem::{At, Notes};
use super::source::Section;
use crate::limits::{Limits, SPARE_LINKS_MAX};

/// A year. A longer wait is a slip of the pen, and adding one to a clock could overflow it.
const WAIT_MS_MAX: u64 = 365 * 24 * 60 * 60 * 1000;
/// More than any machine has to give; the sum of a few still fits.
const BYTES_MAX: u64 = 1 << 40;
/// Redis' own bound on counts.
const COUNT_MAX: u64 = i32::MAX as u64;

/// Settings where 0 means something: never, at once, or "as many as".
const MAY_BE_ZERO: [&str; 13] = [
    "auth_failures_per_network_max",
    "handshakes_per_network_max",
    "buffers_bytes_max",
    "client_idle_timeout_ms",
    "transaction_idle_timeout_ms",
    "session_age_max_ms",
    "pinned_links_max",
    "pinned_links_per_user_max",
    "pinned_links_spare",
    "drain_timeout_ms",
    "drain_quiet_ms",
    "linger_timeout_ms",
    "linger_bytes_max",
];

/// Settings with a smaller largest value than their unit's.
const MAXIMA: [(&str, u64); 13] = [
    // The kernel takes seconds, up to this many.
    ("keepalive_ms", 32_767_000),
    // The kernel takes a signed number of milliseconds.
    ("tcp_user_timeout_ms", COUNT_MAX),
    // The kernel caps it at somaxconn, a 16-bit number by tradition.
    ("listen_backlog", 65_535),
    ("handshakes_max", 65_536),
    ("clients_max", 1_000_000),
    // Tokio's own bound on permits is far above; so many strangers are never sensible.
    ("unproven_clients_max", 1_000_000),
    ("password_checks_max", 65_536),
    // Each takes a thread, and up to 64 MiB.
    ("password_hashes_max", 64),
    ("password_connections_max", 1_024),
    // A person does not need more, a program even less.
    ("auth_failures_max", 1_000),
    // More links make smaller batches.
    ("shared_links_max", 8),
    // All lanes of a worker have no more together.
    ("pinned_links_spare", SPARE_LINKS_MAX as u64),
    ("reply_depth_max", 1_024),
];

/// Pairs of which the first must not exceed the second.
const ORDERED: [(&str, &str); 4] = [
    ("client_output_soft_bytes", "client_output_hard_bytes"),
    ("reconnect_min_ms", "reconnect_max_ms"),
    ("sentinel_urgent_interval_ms", "sentinel_poll_interval_ms"),
    // A request that fits no queue would never be sent.
    ("shared_request_bytes_max", "link_queue_bytes_max"),
];

fn bounds(name: &str) -> (u64, u64) {
    let least = match name {
        // The kernel takes whole seconds.
        "keepalive_ms" => 1_000,
        _ => u64::from(!MAY_BE_ZERO.contains(&name)),
    };
    let unit = if name.ends_with("_ms") {
        WAIT_MS_MAX
    } else if name.contains("bytes") {
        BYTES_MAX
    } else {
        COUNT_MAX
    };
    let most = MAXIMA.iter().find(|(key, _)| *key == name).map_or(unit, |&(_, most)| most);
    (least, most)
}

/// Reads the section; a setting that makes no sense is noted and keeps its default.
pub(super) fn read(mut section: Section<'_>, notes: &mut Notes) -> Limits {
    let section_at = section.at().clone();
    let mut places = BTreeMap::new();
    let mut written = toml::Table::new();
    for (name, _) in Limits::default().entries() {
        let Some(number) = section.take(name).and_then(|entry| entry.number(notes)) else { continue };
        let (least, most) = bounds(name);
        if !(least..=most).contains(&number.value) {
            notes.error(&number.at, Cause::OutOfRange { found: number.value, least, most });
            continue;
        }
        if let Ok(value) = i64::try_from(number.value) {
            written.insert(name.to_owned(), toml::Value::Integer(value));
        }
        places.insert(name, number.at);
    }
    section.finish(notes);
    // The bounds above are within every field's type, so this cannot fail; if a
    // field of a smaller type is added without a bound, it is still an error.
    let limits = Limits::deserialize(written).unwrap_or_else(|error| {
        notes.error(&section_at, Cause::Syntax { why: error.message().to_owned() });
        Limits::default()
    });
    check_order(&limits, &places, &section_at, notes);
    limits
}

fn check_order(limits: &Limits, places: &BTreeMap<&str, At>, section: &At, notes: &mut Notes) {
    let values: BTreeMap<_, _> = limits.entries().into_iter().collect();
    for (small, large) in ORDERED {
        if values[small] > values[large] {
            let at = places.get(small).or_else(|| places.get(large)).unwrap_or(section);
            let (found, most) = (values[small], values[large]);
            notes.error(at, Cause::OutOfOrder { small, found, large, most });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_within_its_bounds_and_order() {
        let mut notes = Notes::default();
        for (name, value) in Limits::default().entries() {
            let (least, most) = bounds(name);
            assert!((least..=most).contains(&value), "{name} = {value} is not within {least}..={most}");
        }
        check_order(&Limits::default(), &BTreeMap::new(), &At::default(), &mut notes);
        assert_eq!(notes.into_problems(std::path::Path::new("")).list, []);
    }

    #[test]
    fn every_name_in_the_tables_is_a_setting() {
        let names: Vec<_> = Limits::default().entries().into_iter().map(|(name, _)| name).collect();
        let maxima = MAXIMA.iter().map(|(name, _)| name);
        let ordered = ORDERED.iter().flat_map(|(small, large)| [small, large]);
        for name in MAY_BE_ZERO.iter().chain(maxima).chain(ordered) {
            assert!(names.contains(name), "{name} is not a setting");
        }
    }
}
