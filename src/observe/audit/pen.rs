//! The thread that writes audit lines: failed writes, rotation, and the account
//! of what was lost. Knows lines as bytes.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use super::{AuditError, Message, Shared, Target, now, record};

/// How long to wait before a failed write is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// Opens what lines are written to.
pub(super) fn open(target: &Target) -> Result<File, AuditError> {
    let (path, file) = match target {
        // Not by its buffer: of a write that fails half way, it does not tell what has been written.
        Target::Stdout => ("/dev/stdout".into(), io::stdout().as_fd().try_clone_to_owned().map(File::from)),
        Target::File(path) => {
            (path.clone(), OpenOptions::new().append(true).create(true).mode(0o600).open(path))
        }
    };
    file.map_err(|cause| AuditError::Open { path, cause })
}

/// Whether the last line of a file has no end: there was no room for the rest when the gateway stopped.
fn is_torn(target: &Target, file: &File) -> bool {
    let last = |path| -> io::Result<u8> {
        let (mut file, mut byte) = (File::open(path)?, [0]);
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut byte)?;
        Ok(byte[0])
    };
    let is_file = file.metadata().is_ok_and(|it| it.is_file());
    matches!(target, Target::File(path) if is_file && last(path).is_ok_and(|byte| byte != b'\n'))
}

/// Whether both are the same file.
fn is_same(one: &File, other: &File) -> bool {
    let place = |file: &File| file.metadata().map(|it| (it.dev(), it.ino())).ok();
    place(one).is_some_and(|it| Some(it) == place(other))
}

/// What the thread owns.
pub(super) struct Pen {
    target: Target,
    file: File,
    /// The last line there has no end.
    is_torn: bool,
    shared: Arc<Shared>,
    failing: bool,
}

impl Pen {
    pub(super) fn new(target: Target, file: File, shared: Arc<Shared>) -> Self {
        let is_torn = is_torn(&target, &file);
        Self { target, file, is_torn, shared, failing: false }
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
        let (mut all, mut written) = (self.begin(line), 0);
        while written < all.len() {
            match self.file.write(&all[written..]) {
                Ok(0) => self.failed(&io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    written += count;
                    continue;
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                Err(cause) => self.failed(&cause),
            }
            if self.stopping() {
                self.is_torn = all[..written].last().map_or(self.is_torn, |&byte| byte != b'\n');
                return false;
            }
            thread::sleep(RETRY);
            if self.reopen_if_asked() {
                // In another file a line starts from its beginning.
                (all, written) = (self.begin(line), 0);
            }
        }
        self.is_torn = false;
        if self.failing {
            self.failing = false;
            tracing::info!("audit records are being written again");
        }
        true
    }

    /// What is written of a line: behind one that has no end, that first.
    fn begin<'a>(&self, line: &'a [u8]) -> Cow<'a, [u8]> {
        if self.is_torn { [b"\n", line].concat().into() } else { line.into() }
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

    /// True if there is another file.
    fn reopen_if_asked(&mut self) -> bool {
        if !self.shared.reopen.swap(false, Ordering::AcqRel) {
            return false;
        }
        match open(&self.target) {
            Ok(file) => {
                let is_other = !is_same(&file, &self.file);
                if is_other {
                    self.is_torn = is_torn(&self.target, &file);
                }
                self.file = file;
                is_other
            }
            Err(error) => {
                tracing::error!(%error, "the audit file could not be reopened; the old one stays in use");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use tempfile::TempDir;

    use super::*;

    /// More than a pipe holds.
    const LONG: usize = 100_000;

    /// A pen at a pipe that takes what there is room for, as a disk does, and the pipe's other end.
    fn pen_at_a_pipe() -> (Pen, File, Arc<Shared>, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        // Open for both, it waits for nobody.
        let reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let file = OpenOptions::new().append(true).open(&path).unwrap();
        rustix::io::ioctl_fionbio(&file, true).unwrap();
        let shared = Arc::new(Shared::default());
        (Pen::new(Target::File(path), file, Arc::clone(&shared)), reader, shared, directory)
    }

    /// What is in the pipe.
    fn held(reader: &mut File) -> Vec<u8> {
        let mut held = vec![0; rustix::io::ioctl_fionread(&*reader).unwrap() as usize];
        reader.read_exact(&mut held).unwrap();
        held
    }

    fn long_line() -> Vec<u8> {
        let mut line: Vec<u8> = (0..LONG).map(|place| b'a' + (place % 26) as u8).collect();
        line.push(b'\n');
        line
    }

    #[test]
    fn a_line_of_which_a_part_is_written_goes_on_there_when_the_same_file_is_reopened() {
        let (mut pen, mut reader, shared, _directory) = pen_at_a_pipe();
        shared.reopen.store(true, Ordering::Release);
        let writer = thread::spawn(move || {
            assert!(pen.write(&long_line()) && pen.write(b"next\n"));
        });
        while shared.reopen.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(5));
        }
        let mut written = vec![0; LONG + 6];
        reader.read_exact(&mut written).unwrap();
        assert!(written == [&long_line()[..], b"next\n"].concat(), "nothing is left out or there twice");
        writer.join().unwrap();
        assert_eq!(held(&mut reader), b"");
    }

    #[test]
    fn a_line_that_is_given_up_half_way_is_ended_before_the_next() {
        let (mut pen, mut reader, shared, _directory) = pen_at_a_pipe();
        shared.stop.store(true, Ordering::Release);
        assert!(!pen.write(&long_line()));
        let written = held(&mut reader);
        assert!(!written.is_empty() && long_line().starts_with(&written));
        assert!(pen.write(b"next\n") && pen.write(b"last\n"));
        assert_eq!(held(&mut reader), b"\nnext\nlast\n");
    }

    #[test]
    fn a_line_that_the_gateway_before_has_left_without_its_end_is_ended() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("audit.jsonl"), directory.path().join("other"));
        for (held, expected) in [("half", "half\nnext\n"), ("whole\n", "whole\nnext\n"), ("", "next\n")] {
            fs::write(&path, held).unwrap();
            let target = Target::File(path.clone());
            let shared = Arc::new(Shared::default());
            let mut pen = Pen::new(target.clone(), open(&target).unwrap(), Arc::clone(&shared));
            assert!(pen.write(b"next\n"));
            assert_eq!(fs::read_to_string(&path).unwrap(), expected);
            // And so it is where that comes in its place.
            fs::write(&other, held).unwrap();
            fs::rename(&other, &path).unwrap();
            shared.reopen.store(true, Ordering::Release);
            assert!(pen.reopen_if_asked() && pen.write(b"next\n"));
            assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        }
    }
}
