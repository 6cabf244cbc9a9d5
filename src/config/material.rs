//! What a configuration draws on: the files that it names, each read once and no
//! further than a bound, the environment, and the keystore. Knows paths and
//! sizes; not what is in a file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use zeroize::Zeroizing;

use super::cause::Cause;
use super::keystore::Keystore;
use super::modes::{Access, Modes};
use super::pipe;
use super::problem::{At, Notes};
use super::secret_cause::SecretCause;
use super::secrets::without_newline;
use super::{KEYSTORE_PASSWORD_FILE_VARIABLE, KEYSTORE_PASSWORD_VARIABLE, Surroundings};
use crate::secret::Secret;

/// The largest configuration, certificate, key or password file.
const FILE_BYTES_MAX: usize = 1 << 20;

/// The largest file of CRLs: some hundred thousand entries.
const LARGE_FILE_BYTES_MAX: usize = 16 << 20;

/// What a file held when it was read.
pub(super) struct Content {
    pub(super) path: PathBuf,
    /// Wiped when dropped: it may be a key or a password.
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) access: Access,
}

impl Content {
    /// For readers of PEM. Behind the byte order mark that some editors begin a file with they would pass over
    /// the first section, of however many there are.
    pub(super) fn pem(&self) -> &[u8] {
        self.bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&self.bytes)
    }
}

/// The keystore, as far as there is one.
pub(super) enum Store {
    /// The configuration names none.
    NotNamed,
    /// It could not be opened, and why has been noted.
    Unusable,
    /// It was opened.
    Open(Keystore),
}

/// Reads files, each at most once, so that what was checked is what runs even
/// when somebody replaces a file meanwhile.
pub(super) struct Files<'a> {
    configuration: (PathBuf, Access),
    directory: PathBuf,
    variable: &'a dyn Fn(&str) -> Option<OsString>,
    modes: Modes,
    keystore: Store,
    read: BTreeMap<PathBuf, Result<Rc<Content>, Cause>>,
}

impl<'a> Files<'a> {
    /// Relative paths start at the directory of the configuration file.
    pub(super) fn beside(configuration: &Content, modes: Modes, surroundings: &Surroundings<'a>) -> Self {
        let path = configuration.path.clone();
        let directory = path.parent().map(Path::to_owned).unwrap_or_default();
        Self {
            configuration: (path, configuration.access),
            directory,
            variable: surroundings.variable,
            modes,
            keystore: Store::NotNamed,
            read: BTreeMap::new(),
        }
    }

    /// Looks at who can reach the configuration itself.
    pub(super) fn check_configuration(&mut self, notes: &mut Notes) {
        let (path, access) = &self.configuration;
        self.modes.public(path, *access, &At::default(), notes);
    }

    /// The path that was meant.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// The value of an environment variable.
    pub(super) fn variable(&self, name: &str) -> Option<OsString> {
        (self.variable)(name)
    }

    /// The keystore that the configuration names.
    pub(super) fn keystore(&self) -> &Store {
        &self.keystore
    }

    /// Notes that a password was found in the configuration itself.
    pub(super) fn secret_in_configuration(&mut self, at: &At, notes: &mut Notes) {
        let (path, access) = &self.configuration;
        self.modes.with_secret(path, *access, at, notes);
    }

    /// Reads a file that anybody may see.
    pub(super) fn public(&mut self, path: &str, at: &At, notes: &mut Notes) -> Option<Rc<Content>> {
        let result = self.content(path);
        let content = notes.ok(at, result)?;
        self.modes.public(&content.path, content.access, at, notes);
        Some(content)
    }

    /// As `public`, for what may be large: a CRL of a busy CA.
    pub(super) fn large(&mut self, path: &str, at: &At, notes: &mut Notes) -> Option<Rc<Content>> {
        let path = self.resolve(path);
        let read = |path: &PathBuf| read_up_to(path, LARGE_FILE_BYTES_MAX).map(Rc::new);
        let result = self.read.entry(path).or_insert_with_key(read).clone();
        let content = notes.ok(at, result)?;
        self.modes.public(&content.path, content.access, at, notes);
        Some(content)
    }

    /// The files that have been asked for, whether they could be read or not.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.read.keys().map(PathBuf::as_path)
    }

    /// Reads a file that nobody but its owner may see.
    pub(super) fn secret(&mut self, path: &str, at: &At, notes: &mut Notes) -> Option<Rc<Content>> {
        let result = self.content(path);
        let content = notes.ok(at, result)?;
        self.modes.secret(&content.path, content.access, at, notes);
        Some(content)
    }

    fn content(&mut self, path: &str) -> Result<Rc<Content>, Cause> {
        let path = self.resolve(path);
        self.read.entry(path).or_insert_with_key(|path| read(path).map(Rc::new)).clone()
    }

    /// Opens the keystore, for the secrets that are taken from it.
    pub(super) fn open_keystore(&mut self, path: &str, at: &At, notes: &mut Notes) {
        self.keystore = Store::Unusable;
        let Some(content) = self.secret(path, at, notes) else { return };
        let Some(password) = self.keystore_password(at, notes) else { return };
        let opened = Keystore::open(&content.bytes, password.as_ref());
        let opened = opened.map_err(|why| SecretCause::Keystore { path: content.path.clone(), why }.into());
        if let Some(keystore) = notes.ok(at, opened) {
            self.keystore = Store::Open(keystore);
        }
    }

    /// The keystore's own password, from the environment or a file that it names; relative
    /// to the working directory, as everything in the environment.
    fn keystore_password(&mut self, at: &At, notes: &mut Notes) -> Option<Option<Secret>> {
        let (file, variable) = (KEYSTORE_PASSWORD_FILE_VARIABLE, KEYSTORE_PASSWORD_VARIABLE);
        match ((self.variable)(file), (self.variable)(variable)) {
            (None, None) => Some(None),
            (Some(_), Some(_)) => {
                notes.error(at, SecretCause::TwoKeystorePasswords { file, variable }.into());
                None
            }
            (None, Some(password)) => Some(Some(Secret::new(password.into_encoded_bytes()))),
            (Some(path), None) => {
                let content = notes.ok(at, read(Path::new(&path)))?;
                self.modes.secret(&content.path, content.access, at, notes);
                Some(Some(Secret::new(without_newline(&content.bytes).to_vec())))
            }
        }
    }
}

/// Reads a whole file. The mode is that of the file that was opened, whatever
/// the path leads to by then.
pub(super) fn read(path: &Path) -> Result<Content, Cause> {
    read_up_to(path, FILE_BYTES_MAX)
}

fn read_up_to(path: &Path, most: usize) -> Result<Content, Cause> {
    let unreadable = |error: &io::Error| Cause::Unreadable { path: path.to_owned(), why: why(error) };
    let file = pipe::open(path).map_err(|error| unreadable(&error))?;
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    // With room for everything from the start, no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most.min(metadata.len() as usize + 1)));
    let bound = most as u64 + 1;
    let read = pipe::read_to_end((&file).take(bound), &file, &mut bytes, pipe::PATIENCE);
    read.map_err(|error| unreadable(&error))?;
    if bytes.is_empty() && metadata.file_type().is_fifo() {
        let why = "it is a pipe that nobody writes to".to_owned();
        return Err(Cause::Unreadable { path: path.to_owned(), why });
    }
    if bytes.len() > most {
        return Err(Cause::TooLarge { path: path.to_owned(), most });
    }
    Ok(Content { path: path.to_owned(), bytes, access: Access::of(&metadata) })
}

/// The system's words for an error, without its number.
pub(super) fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::sync::mpsc;
    use std::time::Duration;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    /// What is read there, or why it is not; within a wide deadline.
    fn read_soon(path: &Path) -> Result<Vec<u8>, String> {
        let (say, said) = mpsc::sync_channel(1);
        let path = path.to_owned();
        std::thread::spawn(move || {
            let content = read(&path).map(|content| content.bytes.to_vec());
            say.send(content.map_err(|cause| cause.to_string()))
        });
        said.recv_timeout(Duration::from_secs(20)).expect("it does not wait")
    }

    #[test]
    fn a_pipe_is_read_to_its_end_if_somebody_writes_and_refused_if_nobody_does() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let refused = read_soon(&path).unwrap_err();
        assert!(refused.ends_with("pipe: it is a pipe that nobody writes to"), "{refused}");
        // Open for both, it waits for nobody.
        let mut writer = File::options().read(true).write(true).open(&path).unwrap();
        writer.write_all(b"one, ").unwrap();
        let (for_reader, left) = (path.clone(), writer.try_clone().unwrap());
        let reader = std::thread::spawn(move || read_soon(&for_reader));
        while rustix::io::ioctl_fionread(&left).unwrap() > 0 && !reader.is_finished() {
            std::thread::sleep(Duration::from_millis(5));
        }
        writer.write_all(b"two").unwrap();
        drop((writer, left));
        assert_eq!(reader.join().unwrap(), Ok(b"one, two".to_vec()));
    }
}
