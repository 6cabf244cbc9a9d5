//! What the sentinels announce, and when: the clock that the gateway is held against.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::group::Group;
use crate::resp::{self, Stop};
use crate::wire::PATIENCE;

/// Each switch, from when it was first announced by one of the sentinels. The others announce it later.
#[derive(Clone, Default)]
pub(super) struct Switches(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    all: Vec<Switch>,
    /// The next one is somebody's doing.
    is_ordered: bool,
}

struct Switch {
    at: Instant,
    /// The port it leads to.
    to: u16,
    is_ordered: bool,
}

impl Known {
    fn announced(&mut self, to: u16, at: Instant) {
        if self.all.last().is_none_or(|last| last.to != to) {
            let is_ordered = std::mem::take(&mut self.is_ordered);
            self.all.push(Switch { at, to, is_ordered });
        }
    }
}

impl Switches {
    /// Listens to all of them until they end.
    pub(super) fn watch(group: &Group) -> Self {
        let switches = Self::default();
        for sentinel in &group.sentinels {
            let mut socket = TcpStream::connect(("127.0.0.1", sentinel.port)).expect("it listens");
            socket.write_all(&resp::typed("SUBSCRIBE +switch-master")).expect("open");
            let ours = switches.clone();
            std::thread::spawn(move || ours.listen(&mut socket));
        }
        switches
    }

    /// The first announcement that the master is at this port, after that instant.
    pub(super) fn since(&self, start: Instant, port: u16) -> Option<Instant> {
        let known = self.0.lock().expect("not poisoned");
        known.all.iter().find(|it| it.at >= start && it.to == port).map(|it| it.at)
    }

    /// The next switch is the test's own doing.
    pub(super) fn order(&self) {
        self.0.lock().expect("not poisoned").is_ordered = true;
    }

    /// Whether sentinels have switched of their own accord, so that what began then may have been lost: on a
    /// machine that stands still for a second they take the master for dead.
    pub(super) fn explain(&self, began: Instant) -> bool {
        let known = self.0.lock().expect("not poisoned");
        known.all.iter().any(|it| !it.is_ordered && it.at + PATIENCE >= began)
    }

    fn listen(&self, socket: &mut TcpStream) {
        let mut unread = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = socket.read(&mut piece) {
            let now = Instant::now();
            unread.extend_from_slice(&piece[..count]);
            loop {
                match resp::read(&unread) {
                    Ok((value, took)) => {
                        unread.drain(..took);
                        let text = value.to_string();
                        let port =
                            text.trim_end_matches(']').rsplit(' ').next().and_then(|it| it.parse().ok());
                        if let (true, Some(port)) = (text.contains("$message"), port) {
                            self.0.lock().expect("not poisoned").announced(port, now);
                        }
                    }
                    Err(Stop::Short) => break,
                    Err(Stop::Garbage(line)) => panic!("not RESP: {line:?}"),
                }
            }
        }
    }
}

#[test]
fn a_switch_that_nobody_ordered_explains_what_is_lost_about_then_and_an_ordered_one_does_not() {
    let switches = Switches::default();
    let start = Instant::now();
    let announced = |to, at| switches.0.lock().expect("not poisoned").announced(to, at);
    announced(1, start);
    switches.0.lock().expect("not poisoned").all[0].is_ordered = true;
    switches.order();
    for late in 0..3 {
        announced(2, start + late * PATIENCE);
    }
    assert!(!switches.explain(start), "it was ordered");
    let later = start + 9 * PATIENCE;
    announced(3, later);
    assert!(switches.explain(later) && switches.explain(later + PATIENCE), "it was not");
    assert!(switches.explain(start), "what began before may have gone on until then");
    assert!(!switches.explain(later + 2 * PATIENCE), "that is over");
    assert_eq!(switches.since(start, 2), Some(start), "as it was first announced");
}
