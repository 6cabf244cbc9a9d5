//! Log lines: their filter and their form, on standard error. Who logs what is
//! decided where it happens.

use std::fmt;
use std::io::{self, IsTerminal};
use std::str::FromStr;

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One line for a person: time, level, message, fields.
    #[default]
    Text,
    /// One JSON object a line: `timestamp`, `level`, `target`, `message` and
    /// every field beside them.
    Json,
}

impl FromStr for Format {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(LogError::Format { got: other.to_owned() }),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Why logging could not be set up.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LogError {
    /// Neither text nor json.
    #[error("unknown log format {got:?}, expected \"text\" or \"json\"")]
    Format {
        /// What was written instead.
        got: String,
    },
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

/// Checks a level such as `info` or `info,respgate::io=debug` without starting
/// anything, for the configuration check.
pub fn check_level(level: &str) -> Result<(), LogError> {
    filter(level).map(drop)
}

/// Starts logging to standard error, for the life of the process.
pub fn start(format: Format, level: &str) -> Result<(), LogError> {
    let subscriber = subscriber(format, filter(level)?, io::stderr, io::stderr().is_terminal());
    subscriber.try_init().map_err(|_| LogError::Started)
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .parse(level)
        .map_err(|cause| LogError::Filter { got: level.to_owned(), cause: cause.to_string() })
}

fn subscriber<W>(format: Format, filter: EnvFilter, writer: W, colour: bool) -> tracing::Dispatch
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        Format::Text => lines.with_ansi(colour).with_target(false).into(),
        Format::Json => {
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

    fn logged(format: Format, level: &str, log: impl FnOnce()) -> String {
        let captured = Captured::default();
        let sink = captured.clone();
        let dispatch = subscriber(format, filter(level).unwrap(), move || sink.clone(), false);
        tracing::dispatcher::with_default(&dispatch, log);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_line_has_its_fields_beside_its_message() {
        let text = logged(Format::Json, "info", || {
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
        let text = logged(Format::Text, "info", || {
            tracing::info!(subject = ?"CN=a\nERROR forged\u{1b}[31m", "refused");
        });
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn a_line_below_the_level_is_not_written() {
        assert_eq!(logged(Format::Text, "warn", || tracing::info!("listening")), "");
    }

    #[test]
    fn a_bad_level_is_an_error_that_shows_it() {
        let error = check_level("info,,respgate=loud").unwrap_err().to_string();
        assert!(error.starts_with("log level \"info,,respgate=loud\" is not understood"), "{error}");
        check_level("info,respgate::io=debug").unwrap();
    }

    #[test]
    fn a_bad_format_is_an_error_that_names_both_good_ones() {
        let error = "xml".parse::<Format>().unwrap_err();
        assert_eq!(error.to_string(), "unknown log format \"xml\", expected \"text\" or \"json\"");
    }
}
