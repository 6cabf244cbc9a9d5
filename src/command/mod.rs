//! What a command is: its class, and whether a user's profile lets it through.

mod profile;

pub use profile::Profile;
