//! Bad input of every origin: clients, backends, configurations. Each has a
//! fixed answer, a cause in the log, and costs nobody else anything.

mod backends;
mod certificates;
mod configurations;
mod floods;
mod kept;
mod records;
mod room;
