//! What a client may do in one session. Where the expectation is Redis' own
//! behaviour, the same scene is played with Redis itself.

mod blocking;
mod busy;
mod contention;
mod control;
mod framing;
mod greeting;
mod guarded;
mod large;
mod leaving;
mod monitor;
mod order;
mod queued;
mod subscriptions;
mod tracking;
mod transactions;
mod types;
mod waiting;
mod whoami;
