//! A replica of a world's Redis, which can be stopped and go on.

use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::backend::{Version, leashed, password};
use crate::wire::PATIENCE;
use crate::world::World;

/// A replica, in step when it has been started.
pub(crate) struct Replica {
    child: Child,
    _directory: TempDir,
}

impl Replica {
    pub(crate) fn start(world: &World, version: Version) -> Self {
        let mut root = world.redis.client("root");
        // The port may be taken between looking and listening: then another one.
        let port = (0..20)
            .find_map(|_| {
                let free =
                    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
                let port = free.port();
                (root.ask(&format!("CONFIG SET port {port}")) == "+OK").then_some(port)
            })
            .expect("a free port");
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = leashed(version.program());
        command.args(["--port", "0", "--save", "", "--replicaof", "127.0.0.1", &port.to_string()]);
        command.args([
            "--masteruser",
            "root",
            "--masterauth",
            &password("root"),
            "--repl-diskless-sync-delay",
            "0",
        ]);
        command.arg("--unixsocket").arg(directory.path().join("replica.sock"));
        let child = command.current_dir(directory.path()).stdout(Stdio::null()).spawn().expect("installed");
        let replica = Self { child, _directory: directory };
        let deadline = Instant::now() + PATIENCE;
        root.talk(&[("CONFIG SET repl-diskless-sync-delay 0", "+OK")]);
        while !root.ask("INFO replication").contains("state=online") {
            assert!(Instant::now() < deadline, "no replica: {}", root.ask("INFO replication"));
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        replica
    }

    /// It receives nothing from here on.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        // Stopped is what it is, not what it was asked to be.
        let deadline = Instant::now() + PATIENCE;
        while !std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))
            .expect("it is there")
            .contains(") T ")
        {
            assert!(Instant::now() < deadline, "it did not stop");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id")).expect("not zero");
        kill_process(pid, signal).expect("our child");
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
