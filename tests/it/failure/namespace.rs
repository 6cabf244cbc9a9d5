//! A network namespace with a Redis in it, at the end of a wire of its own. It takes root to make
//! one; it goes with this value.

use std::path::Path;
use std::process::{Child, Command};

use crate::backend::leashed;

/// A namespace and the wire to it.
pub(super) struct Namespace {
    name: String,
    /// The wire's end on this side.
    wire: String,
    /// The third byte of its addresses.
    subnet: u32,
}

/// A server in it, killed with this value.
pub(super) struct Inside(Child);

impl Namespace {
    /// The reason is that of the program which could not make it.
    pub(super) fn new() -> Result<Self, String> {
        let pid = std::process::id();
        let it = Self { name: format!("respgate-{pid}"), wire: format!("rg{pid}"), subnet: pid % 250 };
        let (name, wire, subnet) = (&it.name, &it.wire, it.subnet);
        ip(&["netns", "add", name])?;
        ip(&["link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", name])?;
        ip(&["addr", "add", &format!("10.213.{subnet}.1/30"), "dev", wire])?;
        ip(&["link", "set", wire, "up"])?;
        ip(&["-n", name, "addr", "add", &format!("10.213.{subnet}.2/30"), "dev", "eth0"])?;
        it.try_join()?;
        Ok(it)
    }

    /// Where a server in it is reached.
    pub(super) fn address(&self) -> String {
        format!("10.213.{}.2:6379", self.subnet)
    }

    /// A server in it, with the users of this directory.
    pub(super) fn redis(&self, directory: &Path) -> Inside {
        let child = leashed("ip")
            .args([
                "netns",
                "exec",
                &self.name,
                "redis-server",
                "--port",
                "6379",
                "--bind",
                "*",
                "--save",
                "",
            ])
            .arg("--aclfile")
            .arg(directory.join("users.acl"))
            .arg("--logfile")
            .arg(directory.join("inside.log"))
            .current_dir(directory)
            .spawn()
            .expect("installed");
        Inside(child)
    }

    /// Takes its end of the wire down: what is sent to it arrives nowhere.
    pub(super) fn cut(&self) {
        ip(&["-n", &self.name, "link", "set", "eth0", "down"]).expect("it is ours");
    }

    pub(super) fn join(&self) {
        self.try_join().expect("it is ours");
    }

    fn try_join(&self) -> Result<(), String> {
        ip(&["-n", &self.name, "link", "set", "eth0", "up"])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its end of the wire goes with it, and this one with that.
        let _ = ip(&["netns", "del", &self.name]);
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
