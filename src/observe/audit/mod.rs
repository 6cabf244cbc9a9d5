//! The audit stream: one JSON line for each client that was let in or refused.
//! Owns the form of a record, its time, and the thread that writes it; knows
//! nothing about why a client is refused.
//!
//! A record is never lost silently. [`Audit::record`] does not wait: it puts the
//! line on a bounded queue or returns [`Lost`], and a caller that gets [`Lost`]
//! for a client it was about to let in refuses that client, so that nobody
//! enters unrecorded while a disk is full or hangs. Blocking instead would stop
//! the accept loop or a worker for as long as the disk takes. What was lost is
//! counted, and a line `{"event":"audit_lost","count":N}` follows as soon as
//! writing works again.
//!
//! Lines are handed to the kernel one by one, not forced to the disk: a crash of
//! the machine, unlike one of respgate, can lose the last of them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use thiserror::Error;
use time::OffsetDateTime;

mod pen;
mod record;

use self::pen::Pen;
pub use self::record::{BackendRecord, Event, Outcome, Record};

/// Lines that may wait for the disk: some ten seconds of handshakes at the rate
/// that one core can do them, about 2 MiB. What clients choose of a line is bounded: strangers that try
/// make it 16 MiB.
const QUEUE_LINES_MAX: usize = 4_096;

/// Where the lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output, beside the log on standard error.
    Stdout,
    /// Appended to this file, which is made with mode 0600 if there is none.
    File(PathBuf),
}

impl From<&crate::io::Audit> for Target {
    fn from(audit: &crate::io::Audit) -> Self {
        audit.file.clone().map_or(Self::Stdout, Self::File)
    }
}

/// The queue was full: this record will not be written, only counted.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the audit record could not be queued: the writer is {QUEUE_LINES_MAX} lines behind")]
pub struct Lost;

/// Why the audit stream could not be opened.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The file cannot be opened for appending, or there is no standard output.
    #[error("audit file {path}: {cause}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// No thread could be started.
    #[error("the audit thread could not be started: {0}")]
    Thread(io::Error),
}

/// The end that records are given to. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
}

/// The thread that writes. [`Writer::finish`] ends it.
#[derive(Debug)]
pub struct Writer {
    audit: Audit,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    reopen: AtomicBool,
    stop: AtomicBool,
    /// Records that found the queue full and are not yet told of in a line.
    lost: AtomicU64,
    /// All records ever lost, for the metric.
    lost_total: AtomicU64,
}

impl Shared {
    fn lose_one(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        self.lost_total.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// Look at the flags of [`Shared`].
    Wake,
}

/// Opens the target and starts the thread that writes to it.
pub fn start(target: Target) -> Result<(Audit, Writer), AuditError> {
    start_with_queue(target, QUEUE_LINES_MAX)
}

fn start_with_queue(target: Target, lines_max: usize) -> Result<(Audit, Writer), AuditError> {
    let file = pen::open(&target)?;
    let (queue, lines) = sync_channel(lines_max);
    let shared = Arc::new(Shared::default());
    let audit = Audit { queue, shared: Arc::clone(&shared) };
    let thread = thread::Builder::new()
        .name("audit".to_owned())
        .spawn(move || Pen::new(target, file, shared).run(&lines))
        .map_err(AuditError::Thread)?;
    Ok((audit.clone(), Writer { audit, thread }))
}

impl Audit {
    /// Queues a record, stamped with the time of this call. Never waits.
    pub fn record(&self, record: &Record) -> Result<(), Lost> {
        self.queue(record::line(record, now()))
    }

    /// The same for one about a backend.
    pub fn backend(&self, record: &BackendRecord) -> Result<(), Lost> {
        self.queue(record::backend_line(record, now()))
    }

    fn queue(&self, line: Vec<u8>) -> Result<(), Lost> {
        let queued = self.queue.try_send(Message::Line(line));
        queued.map_err(|_| {
            self.shared.lose_one();
            Lost
        })
    }

    /// Opens the file anew before the next line, for log rotation. If that
    /// fails, the old file stays in use and the log says so.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        self.wake();
    }

    /// Records lost since the start.
    #[must_use]
    pub fn lost_total(&self) -> u64 {
        self.shared.lost_total.load(Ordering::Relaxed)
    }

    fn wake(&self) {
        // A full queue needs no waking: the writer looks at the flags before each line.
        let _ = self.queue.try_send(Message::Wake);
    }
}

impl Writer {
    /// Writes what is queued and ends the thread. Lines that cannot be written
    /// now are given up; the log says how many.
    pub fn finish(self) {
        self.audit.shared.stop.store(true, Ordering::Release);
        self.audit.wake();
        if self.thread.join().is_err() {
            tracing::error!("the audit thread panicked");
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a record carries the time of its event")]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    fn refusal(reference: &str) -> Record {
        let address = "127.0.0.1:1".parse().unwrap();
        Record { reference: Some(reference.to_owned()), ..Record::new(Outcome::Refused, address, address) }
    }

    fn references(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        let line = |line| serde_json::from_str::<serde_json::Value>(line).unwrap();
        text.lines().map(|text| line(text)["reference"].as_str().unwrap_or("none").to_owned()).collect()
    }

    fn wait_until(mut holds: impl FnMut() -> bool) {
        for _ in 0..500 {
            if holds() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("did not come to hold within five seconds");
    }

    #[test]
    fn what_was_queued_is_in_the_file_after_finish() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let (audit, writer) = start(Target::File(path.clone())).unwrap();
        let numbers: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
        for number in &numbers {
            audit.record(&refusal(number)).unwrap();
        }
        writer.finish();
        assert_eq!(references(&path), numbers);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn after_rotation_lines_go_to_the_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("audit.jsonl"), dir.path().join("audit.jsonl.1"));
        let (audit, writer) = start(Target::File(path.clone())).unwrap();
        audit.record(&refusal("before")).unwrap();
        wait_until(|| !references(&path).is_empty());
        fs::rename(&path, &old).unwrap();
        audit.reopen();
        wait_until(|| path.exists());
        audit.record(&refusal("after")).unwrap();
        writer.finish();
        assert_eq!(references(&old), ["before"]);
        assert_eq!(references(&path), ["after"]);
    }

    #[test]
    fn a_full_disk_refuses_records_and_tells_of_them_once_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        symlink("/dev/full", &path).unwrap();
        let (audit, writer) = start_with_queue(Target::File(path.clone()), 2).unwrap();
        let mut kept = Vec::new();
        while audit.record(&refusal(&kept.len().to_string())).is_ok() {
            kept.push(kept.len().to_string());
            assert!(kept.len() < 10, "the queue of two lines has no bound");
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(audit.record(&refusal("refused")), Err(Lost));
        assert_eq!(audit.lost_total(), 2);

        fs::remove_file(&path).unwrap();
        audit.reopen();
        wait_until(|| path.exists() && references(&path).len() > kept.len());
        writer.finish();
        let mut written = references(&path);
        written.retain(|reference| reference != "none");
        assert_eq!(written, kept);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"event\":\"audit_lost\",\"count\":2}"), "{text}");
    }

    #[test]
    fn finish_returns_while_the_disk_is_full_and_the_loss_is_counted() {
        let (audit, writer) = start(Target::File("/dev/full".into())).unwrap();
        audit.record(&refusal("1")).unwrap();
        audit.record(&refusal("2")).unwrap();
        writer.finish();
        assert_eq!(audit.lost_total(), 2);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_that_names_it() {
        let error = start(Target::File("/nowhere/audit.jsonl".into())).unwrap_err().to_string();
        assert!(error.starts_with("audit file /nowhere/audit.jsonl: No such file"), "{error}");
    }
}
