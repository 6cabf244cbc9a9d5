//! What a client may do in one session. Where the expectation is Redis' own
//! behaviour, the same scene is played with Redis itself.

mod blocking;
mod busy;
mod control;
mod framing;
mod greeting;
mod guarded;
mod huge;
mod large;
mod leaving;
mod order;
mod queued;
mod sharing;
mod subscriptions;
mod transactions;
mod unknown;
mod waiting;
mod whoami;
