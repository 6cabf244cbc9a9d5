//! What a client may do in one session. Where the expectation is Redis' own
//! behaviour, the same scene is played with Redis itself.

mod blocking;
pub(crate) mod busy;
mod contention;
pub(crate) mod control;
mod framing;
mod greeting;
mod guarded;
mod huge;
mod large;
mod leaving;
mod monitor;
mod order;
mod pinned;
mod queued;
mod replicating;
mod sharing;
mod subscriptions;
mod tracking;
mod transactions;
mod types;
mod unknown;
mod waiting;
mod whoami;
