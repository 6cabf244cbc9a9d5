//! Log lines: their filter and their form, on standard error. Who logs what is
//! decided where it happens.

use std::io::{self, IsTerminal};

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::io::{Log, LogFormat};

/// Why logging could not be set up.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LogError {
    /// The filter does not parse.
    #[error(
        "log level {got:?} is not understood ({cause}), expected a level such as \"info\" or \"info,respgate::io=debug\""
    )]
    Filter {
        /// What was written instead.
        got: String,
        /// What the parser said.
        cause: String,
    },
    /// `start` was called before.
    #[error("logging has been started already")]
    Started,
}

/// Starts logging to standard error, for the life of the process.
///
/// JSON lines have `timestamp`, `level`, `target`, `message` and every field
/// beside them.
pub fn start(log: &Log) -> Result<(), LogError> {
    let subscriber = subscriber(log.format, filter(&log.level)?, io::stderr, io::stderr().is_terminal());
    subscriber.try_init().map_err(|_| LogError::Started)
}

/// What rustls has to say of a client's bytes is said by whoever ends that client; its own warnings are
/// written by strangers, as many as they like. A level that names it has it speak; where nothing is logged, it is silent, too.
fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let rustls = if level.trim().eq_ignore_ascii_case("off") { "off" } else { "error" };
    EnvFilter::builder()
        .parse(format!("rustls={rustls},{level}"))
        .map_err(|cause| LogError::Filter { got: level.to_owned(), cause: cause.to_string() })
}

/// What a server or a program says is one line, whatever it holds, and moves no cursor.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn subscriber<W>(format: LogFormat, filter: EnvFilter, writer: W, colour: bool) -> tracing::Dispatch
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        LogFormat::Text => lines.with_ansi(colour).with_target(false).into(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: &str, log: impl FnOnce()) -> String {
        let captured = Captured::default();
        let sink = captured.clone();
        let dispatch = subscriber(format, filter(level).unwrap(), move || sink.clone(), false);
        tracing::dispatcher::with_default(&dispatch, log);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_line_has_its_fields_beside_its_message() {
        let text = logged(LogFormat::Json, "info", || {
            tracing::info!(address = %"127.0.0.1:6380", "listening");
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "listening");
        assert_eq!(line["address"], "127.0.0.1:6380");
        assert_eq!(line["level"], "INFO");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
    }

    #[test]
    fn a_field_cannot_forge_a_second_text_line() {
        let text = logged(LogFormat::Text, "info", || {
            tracing::info!(subject = ?"CN=a\nERROR forged\u{1b}[31m", "refused");
        });
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn a_line_below_the_level_is_not_written() {
        assert_eq!(logged(LogFormat::Text, "warn", || tracing::info!("listening")), "");
    }

    #[test]
    fn rustls_warns_only_where_it_is_named() {
        let warn = || tracing::warn!(target: "rustls::msgs::handshake", "a stranger's words");
        assert_eq!(logged(LogFormat::Text, "info", warn), "");
        assert_eq!(logged(LogFormat::Text, "debug,respgate=trace", warn), "");
        assert_ne!(logged(LogFormat::Text, "info,rustls=warn", warn), "");
        let error = || tracing::error!(target: "rustls::conn", "its own");
        assert_ne!(logged(LogFormat::Text, "info", error), "");
        assert_eq!(logged(LogFormat::Text, "off", error), "");
    }

    #[test]
    fn a_bad_level_is_an_error_that_shows_it() {
        let error = filter("info,,respgate=loud").unwrap_err().to_string();
        assert!(error.starts_with("log level \"info,,respgate=loud\" is not understood"), "{error}");
        filter("info,respgate::io=debug").unwrap();
    }
}
