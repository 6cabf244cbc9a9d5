//! Ctrl-C and its kin: a flag that everything that waits looks at.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

/// Somebody asked for the end before there was anything to see.
#[derive(Debug, Error)]
#[error("interrupted")]
pub(super) struct Interrupted;

/// Whether the end was asked for.
#[derive(Debug, Clone)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Set by SIGINT, SIGTERM and SIGHUP from now on, instead of ending the process.
    pub(super) fn on_signals() -> io::Result<Self> {
        let stop = Self(Arc::new(AtomicBool::new(false)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let guard = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        drop(guard);
        let asked = stop.clone();
        // It ends with the process.
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
            });
            asked.0.store(true, Ordering::Release);
        })?;
        Ok(stop)
    }

    /// Never set.
    #[cfg(test)]
    pub(super) fn never() -> Self {
        Self(Arc::default())
    }

    pub(super) fn is_asked_for(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn check(&self) -> Result<(), Interrupted> {
        if self.is_asked_for() { Err(Interrupted) } else { Ok(()) }
    }
}
