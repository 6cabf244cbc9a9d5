//! Notices when a file of the configuration has changed. Knows paths and contents;
//! what a change means is for whoever asked.
//!
//! The directories are watched, not the files: Kubernetes replaces a link (`..data`)
//! beside them, editors and certbot a file by another of the same name. What counts
//! is the content, so that neither the two halves of a swap nor a touched file
//! reload twice; and files are looked at now and then in any case, for systems of
//! files that tell nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use aws_lc_rs::digest;
use notify::event::AccessKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Interval, Sleep};

use crate::config;

/// Files of one change are written one after another.
const SETTLE: Duration = Duration::from_millis(200);

/// The same after a look that has found nothing: something else writes there, an
/// audit file perhaps, and each look reads every file.
const SETTLE_LONG: Duration = Duration::from_secs(1);

/// How often files are looked at without being told to.
const POLL: Duration = Duration::from_secs(10);

/// More of a file is not looked at; the configuration refuses larger ones.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// What a file held; nothing if it could not be read.
type Seen = Option<[u8; 32]>;

/// Watches the files of one configuration.
pub(super) struct Watcher {
    /// `None` where the system has no watch to give: then there is only the poll.
    system: Option<RecommendedWatcher>,
    events: mpsc::Receiver<()>,
    /// Something has happened: the wait until all of it has.
    settling: Option<Pin<Box<Sleep>>>,
    settle: Duration,
    poll: Interval,
    directories: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, Seen>,
}

impl Watcher {
    /// Watches these files from now on.
    pub(super) fn new(files: &[PathBuf]) -> Self {
        let (sender, events) = mpsc::channel(1);
        let system = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Our own looking at files is told as well.
            let is_reading = event.is_ok_and(|event| {
                matches!(event.kind, EventKind::Access(AccessKind::Open(_) | AccessKind::Read))
            });
            if !is_reading {
                // Full is as good as sent: somebody is going to look.
                let _ = sender.try_send(());
            }
        });
        let system = system.map_err(|error| {
            tracing::warn!(%error, "files cannot be watched: they are looked at each {} s", POLL.as_secs());
        });
        let mut poll = tokio::time::interval(POLL);
        // The first tick comes at once, otherwise.
        poll.reset();
        let mut watcher = Self {
            system: system.ok(),
            events,
            settling: None,
            settle: SETTLE,
            poll,
            directories: BTreeSet::new(),
            files: BTreeMap::new(),
        };
        watcher.follow(files);
        watcher
    }

    /// Watches these files instead. What those that stay held at the last look is kept.
    pub(super) fn follow(&mut self, files: &[PathBuf]) {
        let seen =
            |path: &PathBuf| (path.clone(), self.files.get(path).copied().unwrap_or_else(|| look(path)));
        self.files = files.iter().map(seen).collect();
        let wanted: BTreeSet<PathBuf> = files.iter().flat_map(|path| directories(path)).collect();
        let Some(system) = &mut self.system else { return };
        for gone in self.directories.difference(&wanted) {
            // It may not exist any more, which is as good.
            let _ = system.unwatch(gone);
        }
        let mut watched: BTreeSet<PathBuf> = self.directories.intersection(&wanted).cloned().collect();
        for new in wanted.difference(&self.directories) {
            match system.watch(new, RecursiveMode::NonRecursive) {
                Ok(()) => drop(watched.insert(new.clone())),
                Err(error) => tracing::debug!(directory = %new.display(), %error, "cannot be watched"),
            }
        }
        self.directories = watched;
    }

    /// Takes what the files hold now as known.
    pub(super) fn look(&mut self) -> bool {
        let mut is_changed = false;
        for (path, seen) in &mut self.files {
            let now = look(path);
            is_changed |= *seen != now;
            *seen = now;
        }
        is_changed
    }

    /// Returns when some file holds something else than at the last look. May be
    /// dropped and called again: what it has begun to wait for is kept.
    pub(super) async fn changed(&mut self) {
        loop {
            if let Some(settling) = &mut self.settling {
                settling.await;
                self.settling = None;
                let _ = self.events.try_recv();
            } else {
                tokio::select! {
                    // The sender lives as long as the system's watcher does.
                    Some(()) = self.events.recv() => {
                        self.settling = Some(Box::pin(tokio::time::sleep(self.settle)));
                        continue;
                    }
                    _ = self.poll.tick() => {}
                }
            }
            if self.look() {
                self.settle = SETTLE;
                return;
            }
            self.settle = SETTLE_LONG;
        }
    }
}

/// Where changes of a file show: beside it, and where its links lead.
fn directories(path: &Path) -> Vec<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let target = path.canonicalize().ok().map(|target| parent(&target));
    std::iter::once(parent(path)).chain(target).collect()
}

/// A digest of a file's content and mode.
fn look(path: &Path) -> Seen {
    let read = || -> io::Result<[u8; 32]> {
        let file = config::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            // What a pipe holds is for whoever reads the configuration.
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&metadata.permissions().mode().to_be_bytes());
        let mut file = file.take(FILE_BYTES_MAX);
        let mut piece = zeroize::Zeroizing::new([0; 16 * 1024]);
        loop {
            match file.read(&mut piece[..])? {
                0 => break,
                count => context.update(&piece[..count]),
            }
        }
        let mut seen = [0; 32];
        seen.copy_from_slice(context.finish().as_ref());
        Ok(seen)
    };
    read().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_pipe_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let (say, said) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || say.send(look(&path)));
        assert_eq!(said.recv_timeout(Duration::from_secs(20)), Ok(None));
    }

    #[tokio::test]
    async fn what_was_looked_at_is_changed_only_by_another_content_or_mode() {
        let directory = tempfile::tempdir().unwrap();
        let (file, absent) = (directory.path().join("a"), directory.path().join("b"));
        fs::write(&file, "one").unwrap();
        let mut watcher = Watcher::new(&[file.clone(), absent.clone()]);
        assert!(!watcher.look());
        fs::write(&file, "one").unwrap();
        assert!(!watcher.look(), "the same content");
        fs::write(&file, "two").unwrap();
        assert!(watcher.look() && !watcher.look());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(watcher.look() && !watcher.look());
        fs::write(&absent, "here").unwrap();
        assert!(watcher.look() && !watcher.look());
        fs::remove_file(&file).unwrap();
        assert!(watcher.look() && !watcher.look());
    }

    #[tokio::test]
    async fn a_link_that_is_swapped_is_noticed_without_the_poll() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for generation in ["..1", "..2"] {
            fs::create_dir(at(generation)).unwrap();
            fs::write(at(generation).join("tls.crt"), generation).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/tls.crt", at("tls.crt")).unwrap();
        let mut watcher = Watcher::new(&[at("tls.crt")]);
        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        tokio::time::timeout(POLL / 2, watcher.changed()).await.expect("noticed within five seconds");
    }
}
