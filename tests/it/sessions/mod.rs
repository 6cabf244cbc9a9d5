//! What a client may do in one session. Where the expectation is Redis' own
//! behaviour, the same scene is played with Redis itself.

mod blocking;
mod framing;
mod greeting;
mod guarded;
mod large;
mod order;
mod subscriptions;
mod transactions;
mod unknown;
mod whoami;
