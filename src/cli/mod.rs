<<<<<<< HEAD
//! The command line: one file a command.

pub mod check;
=======
//! The command line: one command a file.

pub mod cert;
>>>>>>> tooling
