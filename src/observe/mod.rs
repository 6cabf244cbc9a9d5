//! What an operator can see: log lines for a person, metrics for a graph,
//! audit records for a court. Owns where they go and in what form; knows
//! nothing about what happened.

pub mod audit;
pub mod log;
pub mod metrics;
