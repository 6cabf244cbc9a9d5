//! Writes a certificate beside its key: the key for its owner alone, and
//! neither over a file that is there, unless told to.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::issue::Issued;

/// Readable by anybody: a certificate is shown to every peer.
pub(super) const CERTIFICATE_MODE: u32 = 0o644;

/// For its owner alone.
pub(super) const KEY_MODE: u32 = 0o600;

/// Where a certificate and its key are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, in PEM.
    pub certificate: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
}

/// Why they could not be written.
#[derive(Debug, Error)]
pub enum FileError {
    /// There is a file already.
    #[error("{path} exists; choose another name, or replace it with --force", path = .0.display())]
    Exists(PathBuf),
    /// The system refused.
    #[error("{path}: {cause}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

impl Pair {
    /// `DIR/NAME.crt` and `DIR/NAME.key`.
    #[must_use]
    pub fn in_dir(dir: &Path, name: &str) -> Self {
        Self { certificate: dir.join(format!("{name}.crt")), key: dir.join(format!("{name}.key")) }
    }

    /// Writes both, or neither if either is there and `force` is not given.
    pub fn write(&self, issued: &Issued, force: bool) -> Result<(), FileError> {
        self.write_texts(&issued.certificate, &issued.key, force)
    }

    /// The same for a certificate, or a request for one, and a key in PEM.
    pub(super) fn write_texts(&self, certificate: &str, key: &str, force: bool) -> Result<(), FileError> {
        if !force {
            for path in [&self.certificate, &self.key] {
                must_be_new(path)?;
            }
        }
        write(&self.key, key.as_bytes(), KEY_MODE, force)?;
        write(&self.certificate, certificate.as_bytes(), CERTIFICATE_MODE, force)
    }
}

/// Nothing may be there, not even a link that leads nowhere.
pub(super) fn must_be_new(path: &Path) -> Result<(), FileError> {
    match path.symlink_metadata() {
        Ok(_) => Err(FileError::Exists(path.to_owned())),
        Err(_) => Ok(()),
    }
}

/// Writes a new file of this mode. With `force` it takes the place of one that
/// is there in one step, so that no reader finds it missing or half written.
pub(in crate::cli) fn write(path: &Path, bytes: &[u8], mode: u32, force: bool) -> Result<(), FileError> {
    let result = if force { replace(path, bytes, mode) } else { create(path, bytes, mode) };
    result.map_err(|cause| match cause.kind() {
        io::ErrorKind::AlreadyExists => FileError::Exists(path.to_owned()),
        _ => FileError::Write { path: path.to_owned(), cause },
    })
}

fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // The mode is there from the first byte on: a chmod afterwards is too late.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    if let Err(cause) = fs::remove_file(&aside)
        && cause.kind() != io::ErrorKind::NotFound
    {
        return Err(cause);
    }
    create(&aside, bytes, mode)?;
    fs::rename(&aside, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_that_is_there_is_left_alone_unless_forced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.key");
        write(&path, b"one", 0o600, false).unwrap();
        let error = write(&path, b"two", 0o600, false).unwrap_err();
        assert!(matches!(error, FileError::Exists(_)), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write(&path, b"two", 0o600, true).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), 0o600));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_replaced_file_gets_the_new_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.key");
        fs::write(&path, "readable by all").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        write(&path, b"secret", 0o600, true).unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_dangling_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (dir.path().join("app.key"), dir.path().join("elsewhere"));
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(matches!(write(&path, b"x", 0o600, false), Err(FileError::Exists(_))));
        assert!(!elsewhere.exists());
    }
}
