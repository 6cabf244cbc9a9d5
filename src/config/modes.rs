//! Who else can reach a file that the configuration names: modes and owners of
//! the file and of the directories above it. Knows no contents.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::cause::Cause;
use super::problem::{At, Notes};
use super::secret_cause::SecretCause;

/// Read or write, for the group or for others.
const OTHERS: u32 = 0o066;
/// Read, for the group or for others.
const OTHERS_READ: u32 = 0o044;
/// Write, for the group or for others.
const OTHERS_WRITE: u32 = 0o022;
/// In such a directory only a file's owner can replace it.
const STICKY: u32 = 0o1000;

/// What a file may be to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    /// Its mode, without its kind.
    pub(super) mode: u32,
    /// Its owner's id.
    pub(super) owner: u32,
}

impl Access {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { mode: metadata.mode() & 0o7777, owner: metadata.uid() }
    }

    fn is_replaceable(self) -> bool {
        self.mode & OTHERS_WRITE != 0 && self.mode & STICKY == 0
    }

    /// Root can change anything, and when root asks, any owner is as good.
    fn is_foreign(self, us: u32) -> bool {
        us != 0 && self.owner != 0 && self.owner != us
    }
}

/// What is asked of files, and what has been looked at.
pub(super) struct Modes {
    /// Readable keys and passwords are a warning, not an error.
    allow_readable_secrets: bool,
    /// Every warning of this file is an error.
    strict: bool,
    us: u32,
    /// Directories and files that have been noted, or had nothing to note.
    seen: BTreeSet<PathBuf>,
}

impl Modes {
    pub(super) fn new(allow_readable_secrets: bool, strict: bool) -> Self {
        let us = rustix::process::geteuid().as_raw();
        Self { allow_readable_secrets, strict, us, seen: BTreeSet::new() }
    }

    /// A file with a key or a password in it.
    pub(super) fn secret(&mut self, path: &Path, access: Access, at: &At, notes: &mut Notes) {
        if access.mode & OTHERS != 0 {
            let cause = Cause::ReadableSecret { path: path.to_owned(), mode: access.mode };
            if self.allow_readable_secrets { self.note(at, cause, notes) } else { notes.error(at, cause) }
        }
        self.owned(path, access, at, notes);
    }

    /// A file that anybody may read, and that decides who is trusted.
    pub(super) fn public(&mut self, path: &Path, access: Access, at: &At, notes: &mut Notes) {
        if access.mode & OTHERS_WRITE != 0 && self.seen.insert(path.to_owned()) {
            let cause = SecretCause::WritableFile { path: path.to_owned(), mode: access.mode };
            self.note(at, cause.into(), notes);
        }
        self.owned(path, access, at, notes);
    }

    /// The configuration, once a password was found in it.
    pub(super) fn with_secret(&mut self, path: &Path, access: Access, at: &At, notes: &mut Notes) {
        if access.mode & OTHERS_READ != 0 && self.seen.insert(path.join("with a secret")) {
            let cause = SecretCause::ReadableConfiguration { path: path.to_owned(), mode: access.mode };
            self.note(at, cause.into(), notes);
        }
    }

    fn owned(&mut self, path: &Path, access: Access, at: &At, notes: &mut Notes) {
        if access.is_foreign(self.us) {
            let cause = SecretCause::ForeignFile { path: path.to_owned(), owner: access.owner };
            self.note(at, cause.into(), notes);
        }
        // The link itself can be replaced where it stands, its target where that stands.
        for path in [Some(path.to_owned()), fs::canonicalize(path).ok()].into_iter().flatten() {
            path.ancestors().skip(1).for_each(|directory| self.directory(directory, at, notes));
        }
    }

    fn directory(&mut self, path: &Path, at: &At, notes: &mut Notes) {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        if !self.seen.insert(path.to_owned()) {
            return;
        }
        let Ok(metadata) = fs::metadata(path) else { return };
        let access = Access::of(&metadata);
        if access.is_replaceable() {
            let cause = SecretCause::WritableDirectory { path: path.to_owned(), mode: access.mode };
            self.note(at, cause.into(), notes);
        }
    }

    fn note(&self, at: &At, cause: Cause, notes: &mut Notes) {
        if self.strict { notes.error(at, cause) } else { notes.warn(at, cause) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_who_is_neither_root_nor_we_is_foreign() {
        let access = |owner| Access { mode: 0o600, owner };
        assert!(access(1001).is_foreign(1000));
        assert!(!access(1000).is_foreign(1000));
        assert!(!access(0).is_foreign(1000));
        assert!(!access(1001).is_foreign(0), "root is told nothing about others' files");
    }

    #[test]
    fn a_sticky_directory_keeps_others_from_replacing_a_file() {
        let access = |mode| Access { mode, owner: 0 };
        assert!(access(0o777).is_replaceable() && access(0o775).is_replaceable());
        assert!(!access(0o1777).is_replaceable() && !access(0o755).is_replaceable());
    }
}
