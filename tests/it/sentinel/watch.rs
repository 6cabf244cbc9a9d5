//! What the sentinels announce, and when: the clock that the gateway is held against.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::group::Group;
use crate::resp::{self, Stop};

/// When each switch was first announced by one of the sentinels, and the port it leads to.
#[derive(Clone, Default)]
pub(super) struct Switches(Arc<Mutex<Vec<(Instant, u16)>>>);

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
        let all = self.0.lock().expect("not poisoned");
        all.iter().find(|(at, to)| *at >= start && *to == port).map(|(at, _)| *at)
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
                            self.0.lock().expect("not poisoned").push((now, port));
                        }
                    }
                    Err(Stop::Short) => break,
                    Err(Stop::Garbage(line)) => panic!("not RESP: {line:?}"),
                }
            }
        }
    }
}
