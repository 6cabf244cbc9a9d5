//! On which terms the clients of an echo run: how they behave, what they ask for, and
//! what of it may be lost. Knows no fault by name.

use std::sync::Arc;
use std::sync::atomic::AtomicU16;

use super::habits::Habit;
use super::kinds::Diet;
use crate::proxy::Deeds;
use crate::resp::Value;

/// When replies may be lost, with an error that says so, and connections end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Losses {
    Never,
    /// While there are faults, and in what was begun then.
    Meanwhile,
    Always,
}

/// The terms of one run.
pub(super) struct Terms {
    /// Where the gateway listens, at present.
    pub(super) port: AtomicU16,
    pub(super) losses: Losses,
    /// Whether a connection may be refused while there are faults.
    pub(super) may_be_refused: bool,
    /// What a client does while there are faults, in one of so many turns.
    pub(super) habit: Option<Habit>,
    pub(super) habit_one_in: u64,
    pub(super) diet: Diet,
    /// What a rogue backend has done.
    pub(super) deeds: Option<Arc<Deeds>>,
}

impl Terms {
    pub(super) fn allows_losses(&self, are_there_faults: bool) -> bool {
        match self.losses {
            Losses::Never => false,
            Losses::Meanwhile => are_there_faults,
            Losses::Always => true,
        }
    }

    /// Whether a reply is the rogue backend's doing, and came before the fence.
    pub(super) fn explains(&self, got: &Value) -> bool {
        let tainted = self.deeds.as_ref().map(|deeds| deeds.tainted.lock().expect("not poisoned"));
        tainted.is_some_and(|mut tainted| tainted.explains(got))
    }
}
