//! Passwords that are known only while the gateway runs: a thread of its own makes users at
//! Redis (`estates`: an `estate` a database, a `place` a node, over `talk`) and runs programs (`tokens`, each a `command`), and every worker takes
//! over what is known. Knows no client and no link.

mod command;
mod estate;
mod estates;
mod place;
mod rehearse;
pub(super) mod talk;
mod tokens;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
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
    end: watch::Sender<()>,
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
    let (end, ended) = watch::channel(());
    let (first, firsts) = sync_channel(1);
    let live = shared.live.load_full();
    let limits = &live.settings.limits;
    let (estates, tokens) = (estates::Meters::new(registry), tokens::Meters::new(registry));
    let shared = Arc::clone(shared);
    let thread = std::thread::Builder::new().name("keeper".to_owned()).spawn(move || {
        LocalSet::new().block_on(&runtime, async {
            let told = first.clone();
            let tokens = tokens::keep(Arc::clone(&shared), tokens, move || drop(told));
            let tokens = tokio::task::spawn_local(tokens);
            estates::keep(&shared, estates, first, ended).await;
            tokens.abort();
        });
    })?;
    // Why it takes longer is in the log, or will be. Once a database can be served it does not wait that long
    // for others: their clients do.
    let mut patience = limits.connect_timeout_ms;
    while firsts.recv_timeout(Duration::from_millis(patience)).is_ok() {
        patience = patience.min(limits.fail_fast_ms);
    }
    Ok(Keeper { thread, end })
}
