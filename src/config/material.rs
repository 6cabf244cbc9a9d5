//! The files that a configuration names, each read once and no further than a
//! bound. Knows paths, modes and sizes; not what is in a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use zeroize::Zeroizing;

use super::cause::Cause;
use super::problem::{At, Notes};

/// The largest configuration, certificate, key or password file.
const FILE_BYTES_MAX: usize = 1 << 20;

/// The largest file of CRLs: some hundred thousand entries.
const LARGE_FILE_BYTES_MAX: usize = 16 << 20;

/// Read or write, for the group or for others.
const OTHERS_MODE: u32 = 0o066;

/// What a file held when it was read.
pub(super) struct Content {
    pub(super) path: PathBuf,
    /// Wiped when dropped: it may be a key or a password.
    pub(super) bytes: Zeroizing<Vec<u8>>,
    mode: u32,
}

/// Reads files, each at most once, so that what was checked is what runs even
/// when somebody replaces a file meanwhile.
pub(super) struct Files {
    directory: PathBuf,
    allow_readable_secrets: bool,
    read: BTreeMap<PathBuf, Result<Rc<Content>, Cause>>,
}

impl Files {
    /// Relative paths start at the directory of the configuration file.
    pub(super) fn beside(configuration: &Path, allow_readable_secrets: bool) -> Self {
        let directory = configuration.parent().map(Path::to_owned).unwrap_or_default();
        Self { directory, allow_readable_secrets, read: BTreeMap::new() }
    }

    /// The path that was meant.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// Reads a file that anybody may see.
    pub(super) fn public(&mut self, path: &str) -> Result<Rc<Content>, Cause> {
        let path = self.resolve(path);
        self.read.entry(path).or_insert_with_key(|path| read(path).map(Rc::new)).clone()
    }

    /// As `public`, for what may be large: a CRL of a busy CA.
    pub(super) fn large(&mut self, path: &str) -> Result<Rc<Content>, Cause> {
        let path = self.resolve(path);
        let read = |path: &PathBuf| read_up_to(path, LARGE_FILE_BYTES_MAX).map(Rc::new);
        self.read.entry(path).or_insert_with_key(read).clone()
    }

    /// The files that have been asked for, whether they could be read or not.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.read.keys().map(PathBuf::as_path)
    }

    /// Reads a file that nobody but its owner may see.
    pub(super) fn secret(&mut self, path: &str, at: &At, notes: &mut Notes) -> Option<Rc<Content>> {
        let result = self.public(path);
        let content = notes.ok(at, result)?;
        if content.mode & OTHERS_MODE != 0 {
            let cause = Cause::ReadableSecret { path: content.path.clone(), mode: content.mode };
            if self.allow_readable_secrets { notes.warn(at, cause) } else { notes.error(at, cause) }
        }
        Some(content)
    }
}

/// Reads a whole file. The mode is that of the file that was opened, whatever
/// the path leads to by then.
pub(super) fn read(path: &Path) -> Result<Content, Cause> {
    read_up_to(path, FILE_BYTES_MAX)
}

fn read_up_to(path: &Path, most: usize) -> Result<Content, Cause> {
    let unreadable = |error: &io::Error| Cause::Unreadable { path: path.to_owned(), why: why(error) };
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    // With room for everything from the start, no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most.min(metadata.len() as usize + 1)));
    let bound = most as u64 + 1;
    file.take(bound).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() > most {
        return Err(Cause::TooLarge { path: path.to_owned(), most });
    }
    Ok(Content { path: path.to_owned(), bytes, mode: metadata.permissions().mode() & 0o7777 })
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
