//! The thread that writes audit lines: failed writes, rotation, and the account
//! of what was lost. Knows lines as bytes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use super::{AuditError, Message, Shared, Target, now, record};

/// How long to wait before a failed write is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// What a line is written to.
pub(super) enum Sink {
    Stdout,
    File(File),
}

impl Sink {
    pub(super) fn open(target: &Target) -> Result<Self, AuditError> {
        let Target::File(path) = target else { return Ok(Self::Stdout) };
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        file.map(Self::File).map_err(|cause| AuditError::Open { path: path.clone(), cause })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()?;
                Ok(bytes.len())
            }
            Self::File(file) => file.write(bytes),
        }
    }
}

/// What the thread owns.
pub(super) struct Pen {
    target: Target,
    sink: Sink,
    shared: Arc<Shared>,
    failing: bool,
}

impl Pen {
    pub(super) fn new(target: Target, sink: Sink, shared: Arc<Shared>) -> Self {
        Self { target, sink, shared, failing: false }
    }

    pub(super) fn run(mut self, queue: &Receiver<Message>) {
        while let Ok(message) = queue.recv() {
            self.reopen_if_asked();
            self.put(message);
            self.tell_of_the_lost();
            if self.stopping() {
                break;
            }
        }
        // What is queued now; nothing waits for what comes later.
        queue.try_iter().for_each(|message| self.put(message));
        self.tell_of_the_lost();
        let count = self.shared.lost.load(Ordering::Relaxed);
        if count > 0 {
            tracing::error!(count, "audit records were lost");
        }
    }

    fn put(&mut self, message: Message) {
        if let Message::Line(line) = message
            && !self.write(&line)
        {
            self.shared.lose_one();
        }
    }

    fn tell_of_the_lost(&mut self) {
        let count = self.shared.lost.swap(0, Ordering::Relaxed);
        if count > 0 && !self.write(&record::lost_line(count, now())) {
            self.shared.lost.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Writes all of `line`, trying again until it is done; false if the gateway
    /// stops first. Meanwhile the queue fills and `record` fails: that is how
    /// callers learn of it.
    fn write(&mut self, line: &[u8]) -> bool {
        let mut written = 0;
        while written < line.len() {
            match self.sink.write(&line[written..]) {
                Ok(0) => self.failed(&io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    written += count;
                    continue;
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                Err(cause) => self.failed(&cause),
            }
            if self.stopping() {
                return false;
            }
            thread::sleep(RETRY);
            if self.reopen_if_asked() {
                // In a new file a line starts from its beginning.
                written = 0;
            }
        }
        if self.failing {
            self.failing = false;
            tracing::info!("audit records are being written again");
        }
        true
    }

    fn failed(&mut self, cause: &io::Error) {
        if !self.failing {
            self.failing = true;
            tracing::error!(%cause, "audit records cannot be written; once the queue is full nobody is let in");
        }
    }

    fn stopping(&self) -> bool {
        self.shared.stop.load(Ordering::Acquire)
    }

    /// True if there is a new file.
    fn reopen_if_asked(&mut self) -> bool {
        if !self.shared.reopen.swap(false, Ordering::AcqRel) {
            return false;
        }
        match Sink::open(&self.target) {
            Ok(sink) => {
                self.sink = sink;
                true
            }
            Err(error) => {
                tracing::error!(%error, "the audit file could not be reopened; the old one stays in use");
                false
            }
        }
    }
}
