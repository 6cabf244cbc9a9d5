//! Passwords that are known only while the gateway runs: a thread of its own makes users at
//! Redis (`estates`, over `talk`) and runs programs (`tokens`, each a `command`), and every worker takes
//! over what is known. Knows no client and no link.

mod command;
mod estates;
mod place;
mod rehearse;
pub(super) mod talk;
mod tokens;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{oneshot, watch};
use tokio::task::LocalSet;

pub use command::PasswordCommand;
pub use rehearse::{Rehearsal, rehearse};

use super::control::Shared;
use crate::identity::Kept;
use crate::observe::metrics::Registry;

/// The passwords that are known, and who is to be woken for others.
pub(super) struct Keep {
    kept: ArcSwap<Kept>,
    wake: watch::Sender<()>,
}

impl Default for Keep {
    fn default() -> Self {
        Self { kept: ArcSwap::default(), wake: watch::Sender::new(()) }
    }
}

impl Keep {
    /// What is known now.
    pub(super) fn kept(&self) -> Arc<Kept> {
        self.kept.load_full()
    }

    /// Changes what is known, if that changes anything.
    fn put(&self, change: impl Fn(&mut Kept)) {
        self.kept.rcu(|kept| {
            let mut changed = (**kept).clone();
            change(&mut changed);
            if changed == **kept { Arc::clone(kept) } else { Arc::new(changed) }
        });
    }

    /// The settings are others, or Redis has refused a login.
    pub(super) fn wake(&self) {
        self.wake.send_replace(());
    }
}

/// The thread, and how it is ended.
pub(super) struct Keeper {
    thread: JoinHandle<()>,
    end: oneshot::Sender<()>,
}

impl Keeper {
    /// Ends it: users that it has made go with it. To be called when nobody speaks by them any more.
    pub(super) fn end(self) {
        drop(self.end);
        if self.thread.join().is_err() {
            tracing::error!("a thread panicked");
        }
    }
}

/// Starts the thread and waits, not too long, until everything that can be known is.
pub(super) fn start(shared: &Arc<Shared>, registry: &Registry) -> io::Result<Keeper> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (end, ended) = oneshot::channel();
    let (first, firsts) = sync_channel(2);
    let patience = Duration::from_millis(shared.live.load().settings.limits.connect_timeout_ms);
    let (estates, tokens) = (estates::Meters::new(registry), tokens::Meters::new(registry));
    let shared = Arc::clone(shared);
    let thread = std::thread::Builder::new().name("keeper".to_owned()).spawn(move || {
        LocalSet::new().block_on(&runtime, async {
            let told = first.clone();
            let tokens = tokens::keep(Arc::clone(&shared), tokens, move || told_once(&told));
            let tokens = tokio::task::spawn_local(tokens);
            estates::keep(&shared, estates, move || told_once(&first), ended).await;
            tokens.abort();
        });
    })?;
    for _ in 0..2 {
        if firsts.recv_timeout(patience).is_err() {
            // Why it takes so long is in the log, or will be.
            break;
        }
    }
    Ok(Keeper { thread, end })
}

/// Tells whoever waits for the start; nobody may.
fn told_once(first: &SyncSender<()>) {
    let _ = first.try_send(());
}
