//! What a gateway says: its log lines as they come. Knows which of them a test
//! has announced, and fails the test for any other warning.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use serde_json::Value as Json;

use crate::wire::PATIENCE;

/// The lines of one stream, growing while the program runs.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Lines {
    /// Reads the stream to its end, on a thread of its own.
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let ours = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                ours.lock().push(String::from_utf8_lossy(&line).into_owned());
                ours.0.1.notify_all();
            }
        });
        lines
    }

    /// All lines so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.lock().clone()
    }

    /// How many lines there are so far.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// The lines so far, without the first ones.
    pub(crate) fn after(&self, first: usize) -> Vec<String> {
        self.lock()[first..].to_vec()
    }

    /// The first line that fits, waiting for it.
    pub(crate) fn wait_for(&self, what: &str, fits: impl FnMut(&str) -> bool) -> String {
        self.wait_after(0, what, fits)
    }

    /// The same, without looking at the first lines.
    pub(crate) fn wait_after(&self, first: usize, what: &str, mut fits: impl FnMut(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.lock();
        let mut seen = first;
        loop {
            if let Some(found) = lines[seen..].iter().find(|line| fits(line)) {
                return found.clone();
            }
            seen = lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let said = lines[first..].join("\n");
                // Whoever looks at the lines while this test unwinds needs the lock.
                drop(lines);
                panic!("no line {what} among:\n{said}");
            }
            lines = self.0.1.wait_timeout(lines, left).expect("the reader does not panic").0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.0.lock().expect("the reader does not panic")
    }
}

/// One log line, read.
pub(crate) struct Event(Json);

impl Event {
    pub(crate) fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok().filter(Json::is_object).map(Self)
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.0.get("fields").and_then(|fields| fields.get(name)).or_else(|| self.0.get(name))?.as_str()
    }

    pub(crate) fn message(&self) -> &str {
        self.field("message").unwrap_or_default()
    }

    pub(crate) fn is_alarm(&self) -> bool {
        matches!(self.field("level"), Some("WARN" | "ERROR"))
    }
}

/// Whether this says that the kernel has no Landlock, which is the machine's fault and no test's.
pub(crate) fn lacks_landlock(line: &str) -> bool {
    line.contains("Landlock is not in force") && line.contains("this kernel has")
}

/// Fails for a line that no test announced: an alarm, a panic, a line that is
/// not JSON, or one that holds a password.
pub(crate) fn complaint(lines: &[String], announced: &[String]) -> Option<String> {
    lines.iter().find_map(|line| {
        if line.contains("canary-") {
            return Some(format!("a password in the log: {line}"));
        }
        let Some(event) = Event::parse(line) else { return Some(format!("not a JSON line: {line}")) };
        let is_expected = lacks_landlock(line) || announced.iter().any(|part| line.contains(part.as_str()));
        (event.is_alarm() && !is_expected).then(|| format!("an alarm that no test announced: {line}"))
    })
}

#[test]
fn an_unannounced_warning_a_panic_and_a_password_are_complaints() {
    let line = |level: &str, text: &str| format!(r#"{{"level":"{level}","fields":{{"message":"{text}"}}}}"#);
    let announced = ["backend lost".to_owned()];
    assert_eq!(complaint(&[line("INFO", "listening"), line("WARN", "backend lost now")], &announced), None);
    assert!(complaint(&[line("WARN", "surprise")], &announced).is_some());
    assert!(complaint(&[line("INFO", "AUTH app canary-app")], &announced).is_some());
    assert!(complaint(&["thread 'main' panicked".to_owned()], &announced).is_some());
}
