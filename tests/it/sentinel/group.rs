//! A master, two replicas and three sentinels, all real, on loopback ports. Knows nothing
//! of the gateway.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::backend::{USERS, leashed, password};
use crate::pki::{Leaf, pki, write_secret};
use crate::resp::Value;
use crate::wire::{Client, PATIENCE};

/// What the sentinels call the master.
pub(crate) const NAME: &str = "orders";

/// What a sentinel's user has to be let do, and no more: as in docs/backends.md.
const SENTINEL_USER: &str = "user gateway on >canary-sentinel resetchannels &+switch-master -@all +auth +hello \
                             +subscribe +sentinel|myid +sentinel|get-master-addr-by-name";

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port()
}

/// A redis-server or a sentinel, with a configuration file that it rewrites itself.
pub(crate) struct Server {
    child: Option<Child>,
    directory: PathBuf,
    is_sentinel: bool,
    pub(crate) port: u16,
    /// Where it speaks TLS as well; sentinels.
    pub(crate) tls_port: u16,
}

impl Server {
    fn start(directory: PathBuf, is_sentinel: bool, lines: &dyn Fn(u16) -> String) -> Self {
        std::fs::create_dir(&directory).expect("writable");
        let mut server = Self { child: None, directory, is_sentinel, port: 0, tls_port: 0 };
        // A port may be taken between looking and listening: then others.
        for _ in 0..20 {
            (server.port, server.tls_port) = (free_port(), free_port());
            let common = format!(
                "port {}\nbind 127.0.0.1\ndir {}\nlogfile redis.log\nunixsocket redis.sock\nsave \"\"\n",
                server.port,
                server.directory.display()
            );
            let text = common + &lines(server.tls_port);
            write_secret(&server.directory.join("redis.conf"), &text);
            if server.launch() {
                return server;
            }
        }
        panic!("no start: see {}", server.directory.display());
    }

    fn launch(&mut self) -> bool {
        let socket = self.directory.join("redis.sock");
        let _ = std::fs::remove_file(&socket);
        let mut command = leashed("redis-server");
        command.arg(self.directory.join("redis.conf"));
        if self.is_sentinel {
            command.arg("--sentinel");
        }
        let mut child = command
            .current_dir(&self.directory)
            .stdout(Stdio::null())
            .spawn()
            .expect("setpriv and redis-server are installed (make test installs them)");
        let deadline = Instant::now() + PATIENCE;
        while Client::unix(&socket).is_err() {
            if child.try_wait().expect("our child").is_some() {
                return false;
            }
            assert!(Instant::now() < deadline, "no start: see {}", self.directory.display());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child = Some(child);
        true
    }

    /// Starts it again, as what its configuration says.
    pub(crate) fn resume(&mut self) {
        assert!(self.launch(), "no start: see {}", self.directory.display());
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our child");
            child.wait().expect("our child");
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("our child");
    }

    /// A connection that may do everything.
    pub(crate) fn client(&self) -> Client {
        let mut client = Client::unix(&self.directory.join("redis.sock")).expect("it runs");
        if !self.is_sentinel {
            client.talk(&[(&format!("AUTH root {}", password("root")), "+OK")]);
        }
        client
    }

    /// Asks once more if the connection is lost: a sentinel that demotes a node has it close
    /// everybody's.
    pub(crate) fn ask(&self, command: &str) -> String {
        let mut client = self.client();
        client.send(command);
        match client.try_read() {
            Ok(reply) => reply.to_string(),
            Err(_) => self.client().ask(command),
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("redis.log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the sentinels ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Nothing.
    Open,
    /// TLS, and a user with a password who may do no more than is needed.
    Closed,
}

/// All six of them.
pub(crate) struct Group {
    pub(crate) nodes: Vec<Server>,
    pub(crate) sentinels: Vec<Server>,
    guard: Guard,
    directory: TempDir,
}

impl Group {
    pub(crate) fn start(guard: Guard) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let nodes = nodes(directory.path());
        let mut group = Self { nodes, sentinels: Vec::new(), guard, directory };
        let certificate = pki().trusted.issue(Leaf::server(&["localhost"]));
        certificate.write(group.directory.path(), "sentinel");
        let ca = group.directory.path().join("ca.crt");
        std::fs::write(&ca, &pki().trusted.certificate).expect("writable");
        for number in 0..3 {
            let directory = group.directory.path().join(format!("sentinel-{number}"));
            let lines =
                |tls_port| sentinel_lines(group.directory.path(), group.nodes[0].port, guard, tls_port);
            let sentinel = Server::start(directory, true, &lines);
            group.sentinels.push(sentinel);
        }
        group.wait_settled();
        group
    }

    /// `[database.sentinel]` of a gateway with these sentinels.
    pub(crate) fn section(&self) -> String {
        let is_open = self.guard == Guard::Open;
        let own = self.sentinels.iter().map(|it| if is_open { it.port } else { it.tls_port });
        let host = if is_open { "127.0.0.1" } else { "localhost" };
        let addresses: Vec<String> = own.map(|port| format!("\"{host}:{port}\"")).collect();
        let mut text =
            format!("[database.sentinel]\nmaster = \"{NAME}\"\naddresses = [{}]\n", addresses.join(", "));
        if !is_open {
            text += "redis_user = \"gateway\"\nredis_password_file = \"sentinel.password\"\ntls = { ca = \"ca.crt\" }\n";
        }
        text
    }

    /// The number of the node that this sentinel says is the master.
    pub(crate) fn master_by(&self, sentinel: usize) -> usize {
        let mut client = self.sentinels[sentinel].client();
        let answer = client.call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]);
        let Value::Array(parts) = &answer else { panic!("no master: {answer}") };
        let port = parts[1].to_string().trim_start_matches('$').parse::<u16>().expect("a port");
        self.nodes.iter().position(|node| node.port == port).expect("one of ours")
    }

    /// Waits until everybody runs, the sentinels agree on a master and both others follow it.
    /// Its number.
    pub(crate) fn wait_settled(&self) -> usize {
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            let masters: Vec<usize> = (0..3).map(|it| self.master_by(it)).collect();
            let is_settled = masters.iter().all(|it| *it == masters[0])
                && self.sentinels.iter().all(|it| is_settled(it, self.nodes[masters[0]].port))
                && followers(&self.nodes[masters[0]]) == 2;
            if is_settled {
                return masters[0];
            }
            assert!(Instant::now() < deadline, "no peace: {masters:?}\n{}", self.sentinels[0].log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Whether this sentinel knows all of the others, and of no failover.
fn is_settled(sentinel: &Server, master: u16) -> bool {
    let mut client = sentinel.client();
    let state = client.ask(&format!("SENTINEL MASTER {NAME}"));
    let is_well =
        |state: &str| ["down", "disconnected", "failover_in_progress"].iter().all(|it| !state.contains(it));
    let replicas = client.ask(&format!("SENTINEL REPLICAS {NAME}"));
    let flags = state.split("$flags, $").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_default();
    let follow = replicas.matches(&format!("$master-port, ${master},")).count() == 2
        && replicas.matches("$master-link-status, $ok").count() == 2;
    let flags_of_replicas: Vec<&str> =
        replicas.split("$flags, $").skip(1).filter_map(|rest| rest.split(',').next()).collect();
    is_well(flags)
        && flags_of_replicas.iter().all(|flags| *flags == "slave")
        && follow
        && state.contains("$num-slaves, $2,")
        && state.contains("$num-other-sentinels, $2,")
}

fn followers(node: &Server) -> usize {
    node.ask("INFO replication").matches("state=online").count()
}

/// A master and two replicas of it, in step.
pub(crate) fn nodes(directory: &Path) -> Vec<Server> {
    let users: Vec<String> =
        USERS.iter().map(|user| format!("user {user} on >{} ~* &* +@all\n", password(user))).collect();
    let acl = format!("user default off\n{}", users.concat());
    write_secret(&directory.join("users.acl"), &acl);
    let lines = |master: Option<u16>| {
        let follow = master.map_or(String::new(), |port| format!("replicaof 127.0.0.1 {port}\n"));
        // Whatever is written to a replica would be there.
        format!(
            "aclfile {}/users.acl\nmasteruser root\nmasterauth {}\nreplica-read-only no\n\
             repl-diskless-sync-delay 0\n{follow}",
            directory.display(),
            password("root")
        )
    };
    let mut nodes = vec![Server::start(directory.join("node-0"), false, &|_| lines(None))];
    for number in 1..3 {
        let master = nodes[0].port;
        let node = Server::start(directory.join(format!("node-{number}")), false, &|_| lines(Some(master)));
        nodes.push(node);
    }
    let deadline = Instant::now() + PATIENCE;
    while followers(&nodes[0]) < 2 {
        assert!(Instant::now() < deadline, "no replicas: {}", nodes[1].log());
        std::thread::sleep(Duration::from_millis(20));
    }
    nodes
}

fn sentinel_lines(directory: &Path, master: u16, guard: Guard, tls_port: u16) -> String {
    let files = directory.display();
    let mut lines = format!(
        "sentinel monitor {NAME} 127.0.0.1 {master} 2\nsentinel auth-user {NAME} root\n\
         sentinel auth-pass {NAME} {}\nsentinel down-after-milliseconds {NAME} 1000\n\
         sentinel failover-timeout {NAME} 10000\nsentinel parallel-syncs {NAME} 2\n",
        password("root")
    );
    if guard == Guard::Closed {
        // Among themselves they speak as before; the gateway comes by the other port.
        lines += &format!(
            "tls-port {tls_port}\ntls-cert-file {files}/sentinel.crt\ntls-key-file {files}/sentinel.key\n\
             tls-ca-cert-file {files}/ca.crt\ntls-auth-clients no\n{SENTINEL_USER}\n"
        );
    }
    lines
}
