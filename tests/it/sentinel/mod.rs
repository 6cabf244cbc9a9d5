//! A database that sentinels lead: real ones, with a real master and its replicas.
//!
//! `group` is the six servers, `liar` a sentinel that says what a test wants, `watch` when
//! the real ones announced a switch, `readers` reads from replicas. `failovers` is the long one: `RESPGATE_FAILOVERS`
//! says how many.

mod accounts;
mod failovers;
mod group;
mod liar;
mod lies;
mod reach;
mod readers;
mod watch;

use std::time::{Duration, Instant};

use group::{Group, NAME};

use crate::wire::PATIENCE;
use crate::world::{Setup, World};

const NOT_SENT: &str = "-ERR respgate: backend unavailable, command not sent";

/// The configuration of a gateway with this in the place of an address.
fn led(section: String) -> Setup {
    Setup {
        database: Some("by sentinels".to_owned()),
        edits: vec![("address = \"by sentinels\"\n", section)],
        files: vec![("sentinel.password", "canary-sentinel\n".to_owned())],
        ..Setup::default()
    }
}

/// A gateway that asks sentinels at these ports.
fn asking(ports: &[u16]) -> Setup {
    let addresses: Vec<String> = ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    led(format!("[database.sentinel]\nmaster = \"{NAME}\"\naddresses = [{}]\n", addresses.join(", ")))
}

/// A gateway that is led by this group's sentinels. The world's own Redis is behind nothing.
fn world(group: &Group) -> World {
    World::with(led(group.section()))
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + 2 * PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
