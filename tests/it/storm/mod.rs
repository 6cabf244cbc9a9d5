//! Trust at its worst: reloads and revocations by the hundred while clients come,
//! go and work, and resumption tried by the thousand.

mod broken;
mod era;
mod memory;
mod reloads;
mod resumption;
mod revocations;
mod traffic;

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a test's clients are to go on; they stop however the test ends.
#[derive(Default)]
struct Show(AtomicBool);

impl Show {
    fn goes_on(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }

    fn end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Ends the show when it goes.
struct Curtain<'a>(&'a Show);

impl Drop for Curtain<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
