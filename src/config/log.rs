//! `[log]`: a filter that means what it says. `EnvFilter` takes a word that is no level for the name of
//! what is to be logged: nothing has it, and so nothing is logged.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::cause::Cause;
use super::file::File;
use super::problem::Notes;
use super::source::near;
use crate::io::Log;

/// The words for a level; 0 to 5 are the same ones.
pub(super) const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// The crates that write to the log.
const TARGETS: &[&str] = &["respgate", "rustls", "notify", "mio", "redis_protocol"];

/// How the log is written.
pub(super) fn log(file: &File, notes: &mut Notes) -> Option<Log> {
    let Some(written) = &file.log_level else {
        return Some(Log { format: file.log_format, level: "info".to_owned() });
    };
    // `EnvFilter` takes blanks for a part of the word beside them.
    let directives = written.value.split(',').map(str::trim).filter(|directive| !directive.is_empty());
    let directives: Vec<_> = directives.collect();
    let mut is_known = true;
    let words = directives.iter().filter(|directive| !directive.contains('='));
    for word in words.chain(directives.is_empty().then_some(&"")) {
        if word.is_empty() || word.parse::<LevelFilter>().is_err() {
            let near = near(&word.to_ascii_lowercase(), LEVELS);
            notes.error(&written.at, Cause::UnknownLogLevel { found: (*word).to_owned(), near });
            is_known = false;
        }
    }
    for target in directives.iter().filter_map(|directive| Some(directive.split_once('=')?.0)) {
        let name = target.split("::").next().unwrap_or_default();
        if !TARGETS.contains(&name) {
            let near = near(name, TARGETS);
            notes.warn(&written.at, Cause::UnknownLogTarget { found: target.to_owned(), near });
        }
    }
    let level = directives.join(",");
    let parsed = EnvFilter::builder()
        .parse(&level)
        .map_err(|error| Cause::BadLogLevel { found: written.value.clone(), why: error.to_string() });
    notes.ok(&written.at, parsed).filter(|_| is_known)?;
    Some(Log { format: file.log_format, level })
}
