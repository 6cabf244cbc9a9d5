//! A real Redis Cluster on loopback ports, put together by hand so that each test says what it has:
//! which masters with how many replicas. Knows nothing of the gateway.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::backend::{USERS, Version, leashed, password};
use crate::pki::{Identity, Leaf, pki, write_secret};
use crate::resp::Value;
use crate::wire::{Client, PATIENCE};

/// Slots of every cluster.
pub(crate) const SLOTS: usize = 16_384;

/// How long a node may be silent before the others hold it for dead.
const NODE_TIMEOUT_MS: &str = "1500";

/// One server of the cluster.
pub(crate) struct Node {
    child: Option<Child>,
    pub(crate) port: u16,
    directory: PathBuf,
    version: Version,
}

/// How a node speaks TLS.
pub(crate) struct Encrypted {
    /// What it shows to who connects.
    pub(crate) identity: Identity,
    /// The name that it goes by.
    pub(crate) announced: String,
}

/// Masters first, each with an equal part of the slots; then their replicas in turn.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) masters: usize,
    directory: TempDir,
}

impl Cluster {
    /// Starts so many masters, each with so many replicas, and waits until all agree.
    pub(crate) fn start(version: Version, masters: usize, replicas: usize) -> Self {
        Self::of(version, masters, masters * (1 + replicas), |_| None)
    }

    /// Masters that speak TLS, each in its own way.
    pub(crate) fn encrypted(masters: usize, node: impl Fn(usize) -> Encrypted) -> Self {
        Self::of(Version::System, masters, masters, |number| Some(node(number)))
    }

    fn of(
        version: Version,
        masters: usize,
        count: usize,
        encrypted: impl Fn(usize) -> Option<Encrypted>,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let nodes = (0..count).map(|number| {
            let own = directory.path().join(number.to_string());
            fs::create_dir(&own).expect("writable");
            Node::start(version, own, encrypted(number))
        });
        let cluster = Self { nodes: nodes.collect(), masters, directory };
        cluster.join();
        cluster
    }

    fn join(&self) {
        for (number, node) in self.nodes.iter().enumerate() {
            let mut root = self.client(number, "root");
            root.talk(&[(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1), "+OK")]);
            if number < self.masters {
                let (first, last) = self.slots_of(number);
                root.talk(&[(&format!("CLUSTER ADDSLOTSRANGE {first} {last}"), "+OK")]);
            }
            // The bus has a port of its own choice.
            let met = format!("CLUSTER MEET 127.0.0.1 {} {}", node.port, node.bus());
            self.client(0, "root").talk(&[(&met, "+OK")]);
        }
        self.wait("know each other", |cluster| {
            (0..cluster.nodes.len()).all(|number| {
                cluster.known(number).lines().filter(|line| !line.contains("handshake")).count()
                    == cluster.nodes.len()
            })
        });
        for number in self.masters..self.nodes.len() {
            let master = self.id(number % self.masters);
            let deadline = Instant::now() + PATIENCE;
            while self.client(number, "root").ask(&format!("CLUSTER REPLICATE {master}")) != "+OK" {
                assert!(Instant::now() < deadline, "{number} does not replicate");
                sleep(Duration::from_millis(20));
            }
        }
        self.wait_whole();
    }

    /// Waits until every living node calls the cluster whole and every replica is in step.
    pub(crate) fn wait_whole(&self) {
        self.wait("be whole", |cluster| {
            (0..cluster.nodes.len()).filter(|&number| cluster.nodes[number].child.is_some()).all(|number| {
                let mut root = cluster.client(number, "root");
                let replication = root.ask("INFO replication");
                root.ask("CLUSTER INFO").contains("cluster_state:ok")
                    && (replication.contains("role:master") || replication.contains("master_link_status:up"))
            })
        });
    }

    /// Waits until a node that was a master knows that another has taken its place.
    pub(crate) fn wait_until_replica(&self, number: usize) {
        self.wait("know who is the master", |cluster| !cluster.is_master(number));
    }

    /// Takes this slot from its master, and waits until every node knows that nobody has it. The
    /// master comes first: what it says of its slots the others believe.
    pub(crate) fn drop_slot(&self, slot: usize) {
        let others = (0..self.masters).filter(|&number| number != self.owner(slot));
        let nodes: Vec<usize> = std::iter::once(self.owner(slot)).chain(others).collect();
        self.wait("forget the slot", |cluster| {
            nodes.iter().all(|&number| {
                let mut root = cluster.client(number, "root");
                // An error where it knows already.
                root.ask(&format!("CLUSTER DELSLOTS {slot}"));
                root.ask("CLUSTER INFO").contains("cluster_slots_assigned:16383")
            })
        });
    }

    /// The master that began with this slot.
    pub(crate) fn owner(&self, slot: usize) -> usize {
        (0..self.masters).find(|&number| slot <= self.slots_of(number).1).expect("all slots are given")
    }

    /// The hash slot of a key, as Redis computes it.
    pub(crate) fn slot_of(&self, key: &str) -> usize {
        let slot = self.client(0, "root").ask(&format!("CLUSTER KEYSLOT {key}"));
        slot.trim_start_matches(':').parse().expect("a slot")
    }

    /// A key of each master, as they began.
    pub(crate) fn keys(&self) -> Vec<String> {
        let key_of = |master| {
            let is_there = |key: &String| self.owner(self.slot_of(key)) == master;
            (0..).map(|n| format!("key:{n}")).find(is_there).expect("each has some")
        };
        (0..self.masters).map(key_of).collect()
    }

    fn wait(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "the nodes do not {what}:\n{}", self.known(0));
            sleep(Duration::from_millis(20));
        }
    }

    fn known(&self, number: usize) -> String {
        self.client(number, "root").ask("CLUSTER NODES")
    }

    /// The node's id in the cluster.
    pub(crate) fn id(&self, number: usize) -> String {
        String::from_utf8_lossy(self.client(number, "root").call(&["CLUSTER", "MYID"]).bytes()).into_owned()
    }

    /// The first and last slot that this master began with.
    pub(crate) fn slots_of(&self, master: usize) -> (usize, usize) {
        let part = |number: usize| SLOTS * number / self.masters;
        (part(master), part(master + 1) - 1)
    }

    /// A connection to this node itself, as this user.
    pub(crate) fn client(&self, number: usize, user: &str) -> Client {
        self.nodes[number].client(user)
    }

    /// Whether this node lives and is a master.
    pub(crate) fn is_master(&self, number: usize) -> bool {
        self.nodes[number].child.is_some()
            && self.client(number, "root").ask("INFO replication").contains("role:master")
    }

    /// Takes a node out of the test's hands, to be ended while the others are looked at.
    pub(crate) fn take(&mut self, number: usize) -> Node {
        let node = &mut self.nodes[number];
        Node {
            child: node.child.take(),
            port: node.port,
            directory: node.directory.clone(),
            version: node.version,
        }
    }

    /// Puts it back.
    pub(crate) fn put_back(&mut self, number: usize, node: Node) {
        self.nodes[number] = node;
    }

    /// The addresses of these nodes, as the configuration has seeds.
    pub(crate) fn seeds(&self) -> String {
        let seeds: Vec<String> =
            self.nodes.iter().map(|node| format!("\"127.0.0.1:{}\"", node.port)).collect();
        seeds.join(", ")
    }

    /// Moves these slots, with their keys, from one master to another.
    pub(crate) fn move_slots(&self, slots: impl Iterator<Item = usize>, from: usize, to: usize) {
        let mut reshard = self.reshard(from, to);
        for slot in slots {
            reshard.begin(slot);
            while reshard.move_keys(slot, 100) > 0 {}
            reshard.end(slot);
        }
    }

    /// Slots are about to move from one master to another.
    pub(crate) fn reshard(&self, from: usize, to: usize) -> Reshard {
        Reshard {
            source: (self.client(from, "root"), self.id(from)),
            target: (self.client(to, "root"), self.id(to)),
            port: self.nodes[to].port.to_string(),
        }
    }

    /// Adds a master without slots, and waits until all know it and it knows who has which. Its number.
    pub(crate) fn join_empty_master(&mut self) -> usize {
        let number = self.nodes.len();
        let own = self.directory.path().join(number.to_string());
        fs::create_dir(&own).expect("writable");
        let node = Node::start(self.nodes[0].version, own, None);
        let met = format!("CLUSTER MEET 127.0.0.1 {} {}", node.port, node.bus());
        self.nodes.push(node);
        self.client(0, "root").talk(&[(&met, "+OK")]);
        self.wait("know the new one", |cluster| {
            let is_known = |line: &str| !line.contains("handshake") && !line.contains("fail");
            (0..=number).all(|it| cluster.known(it).lines().filter(|line| is_known(line)).count() > number)
        });
        self.wait_whole();
        number
    }
}

/// Slots that move from one master to another, as `redis-cli` reshards.
pub(crate) struct Reshard {
    /// Each with its id in the cluster.
    source: (Client, String),
    target: (Client, String),
    /// The target's.
    port: String,
}

impl Reshard {
    pub(crate) fn begin(&mut self, slot: usize) {
        let ((source, from), (target, to)) = (&mut self.source, &mut self.target);
        target.talk(&[(&format!("CLUSTER SETSLOT {slot} IMPORTING {from}"), "+OK")]);
        source.talk(&[(&format!("CLUSTER SETSLOT {slot} MIGRATING {to}"), "+OK")]);
    }

    /// Moves so many keys of a slot at most; how many that was.
    pub(crate) fn move_keys(&mut self, slot: usize, most: usize) -> usize {
        let source = &mut self.source.0;
        let keys = source.call(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), &most.to_string()]).items();
        if keys.is_empty() {
            return 0;
        }
        let secret = password("root");
        let mut migrate: Vec<&[u8]> = vec![
            b"MIGRATE",
            b"127.0.0.1",
            self.port.as_bytes(),
            b"",
            b"0",
            b"5000",
            b"AUTH2",
            b"root",
            secret.as_bytes(),
            b"KEYS",
        ];
        migrate.extend(keys.iter().map(Value::bytes));
        let moved = source.call(&migrate).to_string();
        assert!(moved == "+OK" || moved == "+NOKEY", "{moved}");
        keys.len()
    }

    pub(crate) fn end(&mut self, slot: usize) {
        let to = &self.target.1;
        for client in [&mut self.target.0, &mut self.source.0] {
            client.talk(&[(&format!("CLUSTER SETSLOT {slot} NODE {to}"), "+OK")]);
        }
    }
}

impl Node {
    fn start(version: Version, directory: PathBuf, encrypted: Option<Encrypted>) -> Self {
        let rules: Vec<String> =
            USERS.iter().map(|user| format!("user {user} on >{} ~* &* +@all", password(user))).collect();
        let acl = format!("user default off sanitize-payload resetchannels -@all\n{}\n", rules.join("\n"));
        write_secret(&directory.join("users.acl"), &acl);
        if let Some(Encrypted { identity, announced }) = encrypted {
            identity.write(&directory, "node");
            // To other nodes it is a client.
            pki().trusted.issue(Leaf::client("CN=node")).write(&directory, "peer");
            fs::write(directory.join("ca.crt"), &pki().trusted.certificate).expect("writable");
            fs::write(directory.join("announced"), announced).expect("writable");
        }
        // A port may be taken between looking and listening: then others.
        for _ in 0..20 {
            let port = free_port();
            let mut node = Self { child: None, port, directory: directory.clone(), version };
            let bus = free_port();
            fs::write(directory.join("bus"), bus.to_string()).expect("writable");
            if node.launch() {
                return node;
            }
        }
        panic!("no node starts in {}", directory.display());
    }

    /// Starts the server; false if it ends at once.
    fn launch(&mut self) -> bool {
        let _ = fs::remove_file(self.socket());
        let mut child = leashed(self.version.program())
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--cluster-enabled", "yes"])
            .args(["--cluster-node-timeout", NODE_TIMEOUT_MS, "--repl-diskless-sync-delay", "0"])
            .args(self.doors())
            .args(["--masteruser", "root", "--masterauth", &password("root"), "--loglevel", "notice"])
            .args(["--enable-debug-command", "local", "--maxclients", "4000"])
            .arg("--unixsocket")
            .arg(self.socket())
            .arg("--aclfile")
            .arg(self.directory.join("users.acl"))
            .current_dir(&self.directory)
            .stdout(Stdio::null())
            .spawn()
            .expect("installed");
        let deadline = Instant::now() + PATIENCE;
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            if child.try_wait().expect("our child").is_some() {
                return false;
            }
            assert!(Instant::now() < deadline, "no node in {}", self.directory.display());
            sleep(Duration::from_millis(10));
        }
        self.child = Some(child);
        true
    }

    /// Where and how others come in.
    fn doors(&self) -> Vec<String> {
        let (port, bus) = (self.port.to_string(), self.bus().to_string());
        let Ok(announced) = fs::read_to_string(self.directory.join("announced")) else {
            return ["--port", &port, "--cluster-port", &bus].map(str::to_owned).to_vec();
        };
        let mut doors = vec!["--port", "0", "--tls-port", &port, "--cluster-port", &bus];
        doors.extend(["--tls-cluster", "yes", "--tls-replication", "yes", "--tls-auth-clients", "no"]);
        doors.extend([
            "--tls-cert-file",
            "node.crt",
            "--tls-key-file",
            "node.key",
            "--tls-ca-cert-file",
            "ca.crt",
        ]);
        doors.extend(["--tls-client-cert-file", "peer.crt", "--tls-client-key-file", "peer.key"]);
        doors.extend(["--cluster-announce-hostname", &announced]);
        doors.extend(["--cluster-preferred-endpoint-type", "hostname"]);
        doors.into_iter().map(str::to_owned).collect()
    }

    fn bus(&self) -> u16 {
        fs::read_to_string(self.directory.join("bus")).expect("written at the start").parse().expect("a port")
    }

    fn socket(&self) -> PathBuf {
        Path::join(&self.directory, "node.sock")
    }

    /// A connection to it, as this user.
    pub(crate) fn client(&self, user: &str) -> Client {
        let mut client = Client::unix(&self.socket()).expect("the node is up");
        assert_eq!(client.call(&["AUTH", user, &password(user)]), Value::Simple("OK".to_owned()));
        client
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our child");
            child.wait().expect("our child");
        }
    }

    /// Starts it again after a `kill`, with what it knew of the cluster and no data.
    pub(crate) fn resume(&mut self) {
        assert!(self.launch(), "it does not start again");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port()
}
