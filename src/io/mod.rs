//! The shell: tokio and rustls. Moves bytes between sockets and the workers'
//! machines, and arms timers; decides nothing.
//!
//! ```text
//! listen (accepts) -> thread (one worker's runtime) -> client   (one task a client)
//!                                   |                  backend  (one task a link)
//!                                   +-> hub: the machine, and who is to be woken
//! ```

mod backend;
mod budget;
mod census;
mod client;
mod clock;
mod cluster;
mod control;
mod courtesy;
mod doors;
mod familiar;
mod files;
mod guests;
mod health;
mod hub;
mod keeper;
mod linger;
mod listen;
mod losses;
mod memory;
mod node;
mod passwords;
mod peers;
mod places;
mod reach;
mod replicas;
mod round;
mod sentinel;
mod settings;
mod shed;
pub mod stream;
mod tally;
mod thread;
pub mod tls;
mod transfer;
pub mod turns;
mod unproven;
mod wear;

pub use control::{Control, Handles, StartError, start};
pub use doors::ReloadError;
pub use health::{BackendTrouble, Backends};
pub use keeper::{PasswordCommand, Rehearsal, rehearse};
pub use sentinel::Sentinels;
pub use settings::{
    Address, Admin, AtStart, Audit, ClientAuth, Cluster, DATABASE_NAME, Database, Destinations,
    LISTENER_NAME, Listener, Location, Log, LogFormat, Replicas, Settings, Subscriptions, WORKERS_MAX,
};
