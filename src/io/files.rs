//! How many files the process may open, and what of them is for clients, for links of their own, and for
//! everything else.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Settings, StartError};

/// Descriptors kept for what is neither a client nor its own link: shared links, files, the admin
/// listener, the runtime.
const RESERVE: usize = 64;

/// Over `clients_max`, so many may still come in to be told so; more are closed.
const TOLD_MAX: usize = 64;

/// How many there may be at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Files {
    /// Clients.
    pub(super) clients: usize,
    /// Further ones that are told that there are too many.
    pub(super) told: usize,
    /// Links of clients' own, as far as there is room for them.
    pinned: usize,
}

impl Files {
    /// As the settings allow and open files permit, whose limit is raised as far as the process may.
    ///
    /// # Errors
    /// If there is room for no client.
    pub(super) fn at_start(settings: &mut Settings) -> Result<Self, StartError> {
        let limits = &mut settings.limits;
        let open_files = raised();
        let wanted = (limits.clients_max, pinned_wanted(limits.clients_max, limits.pinned_links_max));
        let files = Self::split(open_files.unwrap_or(usize::MAX), wanted)?;
        let is_written = limits.pinned_links_max > 0 && files.pinned < wanted.1;
        let (clients_max, pinned_links_max) = (files.clients, files.pinned);
        if clients_max < wanted.0 {
            tracing::warn!(
                open_files,
                clients_max,
                pinned_links_max,
                "fewer clients than configured: too few open files"
            );
        } else if is_written {
            tracing::warn!(
                open_files,
                clients_max,
                pinned_links_max,
                "fewer pinned links than configured: too few open files"
            );
        } else if pinned_links_max < wanted.1 {
            tracing::info!(
                open_files,
                clients_max,
                pinned_links_max,
                "pinned links are bounded by the open files there are"
            );
        }
        files.fit(settings);
        Ok(files)
    }

    /// Bounds the links of settings that a reload brings by what there was room for at the start.
    pub(super) fn fit(self, settings: &mut Settings) {
        let limits = &mut settings.limits;
        let wanted = pinned_wanted(limits.clients_max, limits.pinned_links_max);
        if self.pinned < wanted {
            limits.pinned_links_max = self.pinned;
        }
    }

    /// Clients have what their own links leave; where that is too little for both, the links have a quarter.
    fn split(open_files: usize, (clients, pinned): (usize, usize)) -> Result<Self, StartError> {
        let room = open_files.saturating_sub(RESERVE);
        if room == 0 {
            let all = clients.saturating_add(pinned).saturating_add(RESERVE + TOLD_MAX);
            return Err(StartError::Files { open_files, least: RESERVE + 1, all });
        }
        let told = TOLD_MAX.min(room / 8);
        let room = room - told;
        let clients = clients.min(room.saturating_sub(pinned).max(room - room / 4));
        // Zero would be no bound.
        Ok(Self { clients, told, pinned: (room - clients).max(1) })
    }
}

/// `pinned_links_max`, with the meaning of its zero.
fn pinned_wanted(clients_max: usize, pinned_links_max: usize) -> usize {
    if pinned_links_max == 0 { clients_max } else { pinned_links_max }
}

/// How many files the process may open at most, if there is a limit.
fn raised() -> Option<usize> {
    let limit = getrlimit(Resource::Nofile);
    let highest = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, highest) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    files.map(|files| usize::try_from(files).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_and_their_own_links_never_take_what_is_kept_for_the_rest() {
        for open_files in [65, 66, 128, 256, 1_024, 4_096, 20_000, 30_000] {
            for wanted in [(10_000, 10_000), (10_000, 10), (6, 6), (1, 5_000)] {
                let files = Files::split(open_files, wanted).expect("room for one");
                assert!(files.clients > 0, "{open_files}, {wanted:?}: {files:?}");
                let all = files.clients + files.told + files.pinned.min(wanted.1);
                assert!(all <= open_files.saturating_sub(RESERVE) + 1, "{open_files}, {wanted:?}: {files:?}");
            }
        }
    }

    #[test]
    fn where_there_is_too_little_for_both_clients_have_three_quarters() {
        let split = |open_files, wanted| {
            let Files { clients, told, pinned } = Files::split(open_files, wanted).expect("room");
            (clients, told, pinned)
        };
        assert_eq!(split(256, (10_000, 10_000)), (126, 24, 42));
        assert_eq!(split(20_000, (10_000, 10_000)), (10_000, 64, 9_872));
        assert_eq!(split(256, (10_000, 20)), (148, 24, 20), "those who need few leave more for clients");
        let (clients, told, pinned) = split(usize::MAX, (10_000, 10_000));
        assert!((clients, told) == (10_000, 64) && pinned > 10_000);
    }
    #[test]
    fn where_there_is_room_for_no_client_it_does_not_start() {
        for open_files in [0, 63, 64] {
            let error = Files::split(open_files, (10_000, 20)).expect_err("no room").to_string();
            let told = format!("may open {open_files} files, expected at least 65, and 10148 for all");
            assert!(error.contains(&told), "{error}");
        }
    }
}
