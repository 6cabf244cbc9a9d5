//! The shell: moves bytes and arms timers.

pub mod tls;
