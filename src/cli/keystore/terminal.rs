//! One line from the person at the terminal, without showing it. Knows the
//! terminal's modes; not what is asked for.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// What a person may type.
const LINE_BYTES_MAX: u64 = 4096;
/// What the interrupt key types while it does not interrupt.
const INTERRUPT: u8 = 3;

/// Asks, and reads what is typed until the end of the line.
///
/// # Errors
/// If there is no terminal, or the person gives up.
pub(super) fn prompt(text: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty")?;
    // Hidden before the prompt shows, so that nothing typed at once is echoed.
    let hidden = Hidden::of(terminal.try_clone()?)?;
    terminal.write_all(text.as_bytes())?;
    // Of the size of a line from the start, so that no copy is left behind.
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX as usize));
    let read = BufReader::with_capacity(1, &terminal).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
    drop(hidden);
    terminal.write_all(b"\n")?;
    read?;
    if line.pop() != Some(b'\n') || line.contains(&INTERRUPT) {
        return Err(io::ErrorKind::Interrupted.into());
    }
    Ok(line)
}

/// A terminal that shows nothing, until this is dropped. Its interrupt key is off too,
/// which would leave it like that.
struct Hidden {
    terminal: File,
    before: Termios,
}

impl Hidden {
    fn of(terminal: File) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(&terminal, OptionalActions::Flush, &modes)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}
