//! The keystore's file: read within a bound, made for its owner alone, and
//! replaced as a whole. Knows nothing of what is in it.
//!
//! A change is written beside the file, flushed, and renamed over it, so whoever
//! reads it finds the old or the new. A lock on the directory keeps two changes
//! from undoing each other.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::KeystoreError;

/// Bytes of a keystore's file.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// How often, and how long apart, the lock is tried: another change takes no time.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Why the file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It is not there.
    #[error("{} does not exist: make it with respgate keystore create", .0.display())]
    Missing(PathBuf),
    /// It is there.
    #[error("{} exists: replace it with --force", .0.display())]
    Exists(PathBuf),
    /// It is too large to be a keystore.
    #[error("{} is larger than {FILE_BYTES_MAX} bytes", .0.display())]
    TooLarge(PathBuf),
    /// Somebody else is changing it.
    #[error("another program is changing {}", .0.display())]
    Busy(PathBuf),
    /// The system refuses.
    #[error("{}: {cause}", path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// What is in it is no good.
    #[error("{}: {cause}", path.display())]
    Keystore {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: KeystoreError,
    },
}

fn system(path: &Path) -> impl Fn(io::Error) -> DiskError {
    |cause| match cause.kind() {
        ErrorKind::NotFound => DiskError::Missing(path.to_owned()),
        _ => DiskError::System { path: path.to_owned(), cause },
    }
}

/// Reads the file, without a lock: it is always whole.
///
/// # Errors
/// If it is not there, cannot be read or is too large.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, DiskError> {
    let file = File::open(path).map_err(system(path))?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(system(path))?;
    if bytes.len() > FILE_BYTES_MAX { Err(DiskError::TooLarge(path.to_owned())) } else { Ok(bytes) }
}

/// Makes the file. Unless it is to be replaced, there must be none.
///
/// # Errors
/// If it cannot be written.
pub fn create(path: &Path, bytes: &[u8], replace: bool) -> Result<(), DiskError> {
    let held = Held::take(path)?;
    if !replace && held.path.symlink_metadata().is_ok() {
        return Err(DiskError::Exists(path.to_owned()));
    }
    held.replace(bytes)
}

/// A keystore that nobody else is changing.
pub struct Held {
    /// Where the file really is, if `path` is a link to it.
    path: PathBuf,
    /// Unlocked when it is closed.
    directory: File,
}

impl Held {
    /// Waits until nobody else changes a keystore in the same directory.
    ///
    /// # Errors
    /// If somebody does for five seconds, or the directory is not there.
    pub fn take(path: &Path) -> Result<Self, DiskError> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let directory =
            File::open(parent).map_err(|cause| DiskError::System { path: parent.to_owned(), cause })?;
        for _ in 0..LOCK_TRIES {
            match directory.try_lock() {
                Ok(()) => return Ok(Self { path, directory }),
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(cause)) => return Err(DiskError::System { path, cause }),
            }
        }
        Err(DiskError::Busy(path))
    }

    /// Puts new bytes in the place of the file, for its owner alone, who stays the same.
    ///
    /// # Errors
    /// If they cannot be written; the file is then as it was.
    pub fn replace(&self, bytes: &[u8]) -> Result<(), DiskError> {
        let system = |cause| DiskError::System { path: self.path.clone(), cause };
        let parent = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // Made with mode 600.
        let mut file =
            tempfile::Builder::new().prefix(".respgate-keystore-").tempfile_in(parent).map_err(system)?;
        file.write_all(bytes).map_err(system)?;
        if let Ok(old) = fs::metadata(&self.path) {
            let new = file.as_file().metadata().map_err(system)?;
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                fchown(file.as_file(), Some(old.uid()), Some(old.gid())).map_err(system)?;
            }
        }
        file.as_file().sync_all().map_err(system)?;
        file.persist(&self.path).map_err(|error| system(error.error))?;
        self.directory.sync_all().map_err(system)
    }
}
