//! Passwords that change while clients work, and users that the gateway makes for itself.

mod apart;
mod given;
mod made;
mod tokens;
