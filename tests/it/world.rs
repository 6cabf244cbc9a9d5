//! A whole world for one test: certificates, a real redis-server, and a gateway
//! between a client and it. Owns the directory with everything in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustix::process::Signal;
use rustls::ClientConfig;
use serde_json::Value as Json;
use tempfile::TempDir;

use crate::backend::{Redis, Version, password};
use crate::gateway::Gateway;
use crate::log::complaint;
use crate::pki::{Identity, Leaf, client_config, pki, write_secret};
use crate::wire::{Client, PATIENCE};

/// One `[[user]]` of the configuration.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) name: &'static str,
    pub(crate) subject: &'static str,
    pub(crate) redis_user: &'static str,
    pub(crate) commands: &'static str,
}

impl User {
    const fn new(name: &'static str, subject: &'static str) -> Self {
        Self { name, subject, redis_user: name, commands: "\"default\"" }
    }
}

/// The users of an ordinary world.
pub(crate) const APP: User = User::new("app", "CN=app,O=Acme");
pub(crate) const OPS: User = User::new("ops", "CN=ops,O=Acme");
pub(crate) const ROOT: User = User { commands: "\"all\"", ..User::new("root", "CN=root,O=Acme") };
pub(crate) const NARROW: User = User::new("narrow", "CN=narrow,O=Acme");

/// What the gateway logs of a link that ends with requests in it, or cannot be made.
pub(crate) const LOST: &str = "backend connection lost";

/// What differs from an ordinary world.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) version: Version,
    /// Further arguments of redis-server.
    pub(crate) redis: &'static [&'static str],
    pub(crate) users: Vec<User>,
    /// Lines of `[limits]`.
    pub(crate) limits: &'static str,
    /// Lines of `[listener]`.
    pub(crate) listener: &'static str,
    /// Lines of `[log]`.
    pub(crate) log: &'static str,
    /// Further sections.
    pub(crate) more: String,
    /// The section `[audit]`.
    pub(crate) audit: &'static str,
    /// Another backend than the world's Redis.
    pub(crate) database: Option<String>,
    /// The gateway's limit on open files.
    pub(crate) files_max: Option<u64>,
    /// Files beside the configuration, which replace the usual ones.
    pub(crate) files: Vec<(&'static str, String)>,
    /// Texts of the configuration and what stands there instead.
    pub(crate) edits: Vec<(&'static str, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            version: Version::default(),
            redis: &[],
            users: vec![APP, OPS, ROOT, NARROW],
            limits: "",
            listener: "",
            log: "",
            more: String::new(),
            audit: "[audit]\nfile = \"audit.jsonl\"",
            database: None,
            files_max: None,
            files: Vec::new(),
            edits: Vec::new(),
        }
    }
}

impl Setup {
    /// Clients share their subscriptions.
    pub(crate) fn sharing() -> Self {
        let database = "[database]\n";
        Self { edits: vec![(database, format!("{database}subscriptions = \"shared\"\n"))], ..Self::default() }
    }
}

/// Everything that a test talks to. When it goes, its programs are killed and
/// its gateway's log is held against what the test announced.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) redis: Redis,
    setup: Setup,
    /// What gateways before this one have logged.
    earlier: Vec<String>,
    announced: Mutex<Vec<String>>,
    directory: TempDir,
}

impl World {
    /// An ordinary world.
    pub(crate) fn start() -> Self {
        Self::with(Setup::default())
    }

    /// A world that differs in this.
    pub(crate) fn with(setup: Setup) -> Self {
        Self::build(setup, Gateway::start)
    }

    /// The same, without waiting for a backend to be reachable.
    pub(crate) fn with_unready(setup: Setup) -> Self {
        Self::build(setup, Gateway::start_unready)
    }

    fn build(setup: Setup, start: fn(&Path, Option<u64>) -> Gateway) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let redis = Redis::start(setup.version, directory.path(), setup.redis);
        write_files(directory.path(), &setup);
        let gateway = start(&directory.path().join("respgate.toml"), setup.files_max);
        Self { gateway, redis, setup, earlier: Vec::new(), announced: Mutex::default(), directory }
    }

    /// A file of this world.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Says that a warning or error whose line contains this is no surprise.
    pub(crate) fn announce(&self, part: &str) {
        self.announced.lock().expect("not poisoned").push(part.to_owned());
    }

    /// This user's certificate.
    pub(crate) fn identity(&self, user: &str) -> Identity {
        let read =
            |end: &str| fs::read_to_string(self.path(&format!("{user}.{end}"))).expect("written at start");
        Identity { certificate: read("crt"), key: read("key") }
    }

    /// A TLS configuration with this user's certificate.
    pub(crate) fn tls(&self, user: &str) -> Arc<ClientConfig> {
        client_config(Some(&self.identity(user)))
    }

    /// A client of the gateway, with this user's certificate.
    pub(crate) fn client(&self, user: &str) -> Client {
        Client::tls(self.gateway.address, self.tls(user)).expect("the gateway lets it in")
    }

    /// A client of the gateway with a certificate made on the spot.
    pub(crate) fn client_as(&self, identity: &Identity) -> std::io::Result<Client> {
        Client::tls(self.gateway.address, client_config(Some(identity)))
    }

    /// The configuration of the gateway, with other users.
    pub(crate) fn write_users(&self, users: &[User]) {
        write_files(self.directory.path(), &Setup { users: users.to_vec(), ..self.setup.clone() });
    }

    /// Writes the configuration and these files anew.
    pub(crate) fn write_again(&self, change: impl FnOnce(&mut Setup)) {
        let mut setup = self.setup.clone();
        change(&mut setup);
        write_files(self.directory.path(), &setup);
    }

    /// Has the gateway read its configuration, and waits until it says that it has.
    pub(crate) fn reload(&self) {
        let log = &self.gateway.stderr;
        let before = log.count();
        self.gateway.signal(Signal::HUP);
        log.wait_after(before, "of the reload", |line| line.contains("\"reloaded\""));
    }

    /// Ends the gateway with this signal and starts another with the same configuration.
    pub(crate) fn restart(&mut self, signal: Signal) {
        self.restart_unready(signal);
        self.gateway.wait_ready();
    }

    /// The same, without waiting for a backend to be reachable.
    pub(crate) fn restart_unready(&mut self, signal: Signal) {
        self.gateway.signal(signal);
        self.gateway.wait_end();
        self.earlier.extend(self.gateway.stderr.all());
        self.gateway = Gateway::start_unready(&self.path("respgate.toml"), self.setup.files_max);
    }

    /// The audit records so far. They are written behind the clients' backs: one that has just been
    /// told something may be ahead of its record.
    pub(crate) fn audit(&self) -> Vec<Json> {
        let text = fs::read_to_string(self.path("audit.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The first audit record that fits, waiting for it.
    pub(crate) fn wait_audit(&self, what: &str, fits: impl Fn(&Json) -> bool) -> Json {
        self.wait_audit_after(0, what, fits)
    }

    /// The first that fits behind so many, waiting for it.
    pub(crate) fn wait_audit_after(&self, after: usize, what: &str, fits: impl Fn(&Json) -> bool) -> Json {
        self.await_audit(what, |records| records.iter().skip(after).find(|record| fits(record)).cloned())
    }

    /// All audit records, waiting until there are so many.
    pub(crate) fn wait_audits(&self, count: usize) -> Vec<Json> {
        let what = format!("of {count}");
        self.await_audit(&what, |records| (records.len() >= count).then(|| records.to_vec()))
    }

    fn await_audit<T>(&self, what: &str, find: impl Fn(&[Json]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let records = self.audit();
            if let Some(found) = find(&records) {
                return found;
            }
            assert!(Instant::now() < deadline, "no audit record {what} among {records:#?}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let mut lines = std::mem::take(&mut self.earlier);
        lines.extend(self.gateway.stderr.all());
        if std::thread::panicking() {
            let from = lines.len().saturating_sub(40);
            eprintln!("the gateway's last words:\n{}", lines[from..].join("\n"));
            let log = fs::read_to_string(self.path("redis.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("redis-server's last words:\n{}", lines[lines.len().saturating_sub(10)..].join("\n"));
            return;
        }
        let audit = fs::read_to_string(self.path("audit.jsonl")).unwrap_or_default();
        assert!(!audit.contains("canary-"), "a password in the audit");
        let announced = self.announced.lock().expect("not poisoned");
        if let Some(complaint) = complaint(&lines, &announced) {
            panic!("{complaint}");
        }
    }
}

/// A client's way in: through the gateway, or straight to Redis.
pub(crate) enum Door<'a> {
    Gateway(&'a World),
    Redis(&'a World),
}

impl Door<'_> {
    /// A client behind this door, speaking as this user.
    pub(crate) fn client(&self, user: &str) -> Client {
        match self {
            Self::Gateway(world) => world.client(user),
            Self::Redis(world) => world.redis.client(user),
        }
    }

    /// Which server is behind it.
    pub(crate) fn version(&self) -> Version {
        match self {
            Self::Gateway(world) | Self::Redis(world) => world.setup.version,
        }
    }

    /// Whether the gateway stands between.
    pub(crate) fn is_gateway(&self) -> bool {
        matches!(self, Self::Gateway(_))
    }
}

/// Plays the same scene with Redis itself and through the gateway, for each
/// version of the server. What holds for both is what a client cannot tell apart.
pub(crate) fn at_both_doors(scene: impl Fn(&Door<'_>)) {
    for version in Version::ALL {
        let world = World::with(Setup { version, ..Setup::default() });
        for door in [Door::Redis(&world), Door::Gateway(&world)] {
            let name = if door.is_gateway() { "gateway" } else { "redis itself" };
            eprintln!("-- {version:?}, {name}");
            world.redis.client("root").talk(&[("FLUSHALL", "+OK"), ("SCRIPT FLUSH", "+OK")]);
            scene(&door);
        }
    }
}

/// As `at_both_doors`, and through a gateway whose clients share their subscriptions.
pub(crate) fn at_each_door(scene: impl Fn(&Door<'_>)) {
    at_both_doors(&scene);
    for version in Version::ALL {
        eprintln!("-- {version:?}, gateway with shared subscriptions");
        scene(&Door::Gateway(&World::with(Setup { version, ..Setup::sharing() })));
    }
}

fn write_files(directory: &Path, setup: &Setup) {
    fs::write(directory.join("ca.crt"), &pki().trusted.certificate).expect("writable");
    pki().server.write(directory, "server");
    let mut text = format!(
        "[listener]\naddress = \"127.0.0.1:0\"\ncertificate = \"server.crt\"\nkey = \"server.key\"\n\
         client_ca = \"ca.crt\"\n{}\n\n[database]\naddress = \"{}\"\n\n",
        setup.listener,
        setup.database.clone().unwrap_or_else(|| format!("unix:{}/redis.sock", directory.display())),
    );
    for user in &setup.users {
        if !directory.join(format!("{}.crt", user.name)).exists() {
            pki().trusted.issue(Leaf::client(user.subject)).write(directory, user.name);
        }
        let secret = format!("{}.password", user.redis_user);
        write_secret(&directory.join(&secret), &format!("{}\n", password(user.redis_user)));
        text.push_str(&format!(
            "[[user]]\nname = \"{}\"\nauth_method = \"certificate\"\ncertificate_subject_line = \"{}\"\n\
             redis_user = \"{}\"\nredis_password_file = \"{secret}\"\ncommands = {}\n\n",
            user.name, user.subject, user.redis_user, user.commands
        ));
    }
    text.push_str("[admin]\naddress = \"127.0.0.1:0\"\n\n[log]\nformat = \"json\"\n");
    text.push_str(&format!("{}\n\n{}\n\n", setup.log, setup.more));
    text.push_str(&format!("{}\n\n[limits]\n{}\n", setup.audit, setup.limits));
    for (from, to) in &setup.edits {
        assert!(text.contains(from), "{from:?} is not in the configuration");
        text = text.replace(from, to);
    }
    if !text.contains("workers = ") {
        // However many cores there are: workers have much to tell each other.
        text.insert_str(0, "workers = 2\n");
    }
    for (name, content) in &setup.files {
        write_secret(&directory.join(name), content);
    }
    fs::write(directory.join("respgate.toml"), text).expect("writable");
}
