//! The `respgate` binary: arguments in, exit code out.

fn main() {}
