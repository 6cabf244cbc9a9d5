//! On which terms the clients of an echo run: how they behave, what they ask for, and
//! what of it may be lost. Knows no fault by name.

use std::sync::Arc;
use std::sync::atomic::AtomicU16;
use std::time::{Duration, Instant};

use super::habits::Habit;
use super::kinds::{Diet, MOVING, Want};
use crate::proxy::Deeds;
use crate::resp::Value;

/// How long after a loss its reason may become known.
const REASON: Duration = Duration::from_secs(5);

/// Says whether a fault that nobody inflicted explains a loss in what began then.
pub(super) type Explains = Box<dyn Fn(Instant) -> bool + Send + Sync>;

/// When replies may be lost, with an error that says so, and connections end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Losses {
    Never,
    /// Slots of a cluster move: only what is on a connection of its own may be refused, and is told
    /// so before it has run.
    Moved,
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
    /// Whether a fault that nobody inflicted explains a loss in what began then.
    pub(super) accidents: Option<Explains>,
}

impl Terms {
    pub(super) fn allows_losses(&self, are_there_faults: bool) -> bool {
        match self.losses {
            Losses::Never | Losses::Moved => false,
            Losses::Meanwhile => are_there_faults,
            Losses::Always => true,
        }
    }

    /// Whether a reply is what a cluster may say meanwhile in the place of the right one.
    pub(super) fn may_move(&self, want: &Want, got: &Value, are_there_faults: bool) -> bool {
        let Value::Error(text) = got else { return false };
        let is_refused = text == MOVING || text.starts_with("EXECABORT ");
        match self.losses {
            _ if self.diet != Diet::Cluster || !are_there_faults => false,
            Losses::Moved => is_refused && matches!(want, Want::Tried(_)),
            Losses::Meanwhile => is_refused || text.starts_with("CLUSTERDOWN "),
            Losses::Never | Losses::Always => false,
        }
    }

    /// Whether something else than an inflicted fault explains a loss in what began then. Who says so may be
    /// heard later than the loss is seen.
    pub(super) async fn was_accident(&self, began: Instant) -> bool {
        let Some(explains) = &self.accidents else { return false };
        let deadline = Instant::now() + REASON;
        while !explains(began) {
            if Instant::now() > deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }

    /// Whether a reply is the rogue backend's doing, and came before the fence.
    pub(super) fn explains(&self, got: &Value) -> bool {
        let tainted = self.deeds.as_ref().map(|deeds| deeds.tainted.lock().expect("not poisoned"));
        tainted.is_some_and(|mut tainted| tainted.explains(got))
    }
}
