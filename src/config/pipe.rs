//! Files that may be pipes: a secret may come from another program. Opened without waiting for anybody,
//! and read for so long.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

/// How long who writes to a pipe may take until all is written: enough to fetch a secret from somewhere; and
/// a start or a reload is not held up for ever.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Opens a file. As it is, that would wait for a writer of a pipe that has none.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let at_once = OFlags::NONBLOCK.bits().cast_signed();
    File::options().read(true).custom_flags(at_once).open(path)
}

/// Reads to the end, whatever has to be waited for: a pipe that somebody writes to, or a terminal.
#[allow(clippy::disallowed_methods, reason = "a writer that writes a byte now and then is not waited for")]
pub(super) fn read_to_end(
    mut source: impl Read,
    file: &File,
    bytes: &mut Vec<u8>,
    patience: Duration,
) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match source.read_to_end(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read.map(drop),
        }
        let left = patience.saturating_sub(begun.elapsed());
        if left.is_zero() {
            let why = format!("who writes to it has not come to an end within {} s", patience.as_secs_f32());
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_pipe_whose_writer_does_not_end_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        // Open for both, it waits for nobody.
        let mut writer = File::options().read(true).write(true).open(&path).unwrap();
        writer.write_all(b"some").unwrap();
        let (say, said) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let (file, mut bytes) = (open(&path).unwrap(), Vec::new());
            let read = read_to_end(&file, &file, &mut bytes, Duration::from_millis(100));
            say.send((read.map_err(|error| error.to_string()), bytes))
        });
        let (read, bytes) = said.recv_timeout(Duration::from_secs(20)).expect("it does not wait for ever");
        assert_eq!(read, Err("who writes to it has not come to an end within 0.1 s".to_owned()));
        assert_eq!(bytes, b"some");
    }
}
