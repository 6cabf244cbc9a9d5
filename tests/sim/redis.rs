//! The model backend: connections with the state that Redis keeps for them, and
//! the rules that each must see kept, whatever it is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::data::{As, Data};
use super::frame::{self, array, bulk, hello, null_array, push, show};
use super::ledger::{Entry, Executed, Ledger, Tag, key};

const NO_TX: &str = "without MULTI";

/// The channel that nobody may subscribe to, and what is said then.
pub(crate) const DENIED: &[u8] = b"c9";
pub(crate) const NO_CHANNEL: &[u8] = b"-NOPERM this user has no permissions to access the 'c9' channel\r\n";

/// One connection from the gateway.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) input: Vec<u8>,
    /// What has not been delivered to the gateway.
    pub(crate) output: Vec<u8>,
    user: String,
    db: u32,
    proto: u8,
    /// Protocol version and database that the greeting ended in.
    lane: (u8, u32),
    greeting: Greeting,
    multi: Option<Vec<Vec<Vec<u8>>>>,
    watched: Vec<((u32, Vec<u8>), u64)>,
    channels: Vec<Vec<u8>>,
    patterns: Vec<Vec<u8>>,
    blocked: Option<Blocked>,
    /// It has carried state of one session.
    pub(crate) pinned: bool,
    /// It carries subscriptions of all sessions of its user.
    pub(crate) subscriber: bool,
    /// Whose requests it has carried.
    pub(crate) clients: BTreeSet<usize>,
    /// Its socket is closed.
    pub(crate) dead: bool,
    /// The gateway has given it up, whether or not its socket is closed yet.
    pub(crate) let_go: bool,
    /// Something that no Redis sends is in its output.
    pub(crate) tainted: bool,
    monitors: bool,
    role: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Greeting {
    Auth,
    Hello,
    Rest,
    Done,
}

#[derive(Debug)]
struct Blocked {
    args: Vec<Vec<u8>>,
    until: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Redis {
    pub(crate) conns: BTreeMap<usize, Conn>,
    data: Data,
    pub(crate) ledger: Ledger,
    /// Name and password of every account that is let in.
    pub(crate) accounts: BTreeSet<(String, String)>,
    /// May not ECHO.
    pub(crate) no_echo: Option<String>,
    pub(crate) refuses_auth: bool,
    /// Subscriptions come over connections of their own.
    pub(crate) shares: bool,
}

impl Conn {
    pub(crate) fn is_greeted(&self) -> bool {
        self.greeting == Greeting::Done
    }

    /// Nothing is under way: whatever comes next on it is a surplus.
    pub(crate) fn is_idle(&self) -> bool {
        !self.monitors && self.input.is_empty() && self.output.is_empty() && self.blocked.is_none()
    }
}

impl Redis {
    pub(crate) fn connect(&mut self, at: usize, role: &'static str) {
        let conn = Conn {
            input: Vec::new(),
            output: Vec::new(),
            user: "default".to_owned(),
            db: 0,
            proto: 2,
            lane: (2, 0),
            greeting: Greeting::Auth,
            multi: None,
            watched: Vec::new(),
            channels: Vec::new(),
            patterns: Vec::new(),
            blocked: None,
            pinned: false,
            subscriber: false,
            clients: BTreeSet::new(),
            dead: false,
            let_go: false,
            tainted: false,
            monitors: false,
            role,
        };
        self.conns.insert(at, conn);
    }

    fn conn(&mut self, at: usize) -> &mut Conn {
        self.conns.get_mut(&at).expect("connected before")
    }

    /// Runs what has arrived. Of a dead connection nobody sees the replies.
    pub(crate) fn process(&mut self, at: usize, now: Instant) {
        while self.conn(at).blocked.is_none() {
            let Some((args, len)) = frame::request(&self.conn(at).input) else { break };
            self.conn(at).input.drain(..len);
            self.command(at, args, now);
        }
        if self.conn(at).dead {
            let conn = self.conn(at);
            conn.output.clear();
            conn.channels.clear();
            conn.patterns.clear();
            conn.blocked = None;
        }
    }

    /// Ends waits whose time has come.
    pub(crate) fn tick(&mut self, now: Instant) {
        let due = |conn: &Conn| conn.blocked.as_ref().is_some_and(|blocked| blocked.until <= now);
        let due: Vec<usize> = self.conns.iter().filter(|(_, conn)| due(conn)).map(|(&at, _)| at).collect();
        for at in due {
            // One that ended before may have fed it.
            let Some(blocked) = self.conn(at).blocked.take_if(|blocked| blocked.until <= now) else {
                continue;
            };
            let reply = null_array(self.conn(at).proto);
            self.reply(at, tag_of(&blocked.args), &reply);
            self.process(at, now);
        }
    }

    fn who(&mut self, at: usize) -> As {
        let conn = self.conn(at);
        As { user: conn.user.clone(), db: conn.db, proto: conn.proto }
    }

    fn reply(&mut self, at: usize, tag: Option<Tag>, bytes: &[u8]) {
        if let Some(tag) = tag {
            self.ledger.answer(tag, bytes);
        }
        self.conn(at).output.extend_from_slice(bytes);
    }

    fn command(&mut self, at: usize, args: Vec<Vec<u8>>, now: Instant) {
        let name = args[0].to_ascii_uppercase();
        let tag = tag_of(&args);
        if self.conn(at).greeting != Greeting::Done {
            assert_eq!(tag, None, "a client's request before the greeting has ended");
            return self.greet(at, &name, &args);
        }
        if let Some(tag) = tag {
            let may_read = self.conn(at).role == "master" || matches!(name.as_slice(), b"GET" | b"LRANGE");
            assert!(may_read, "{:?} at a replica", show(&name));
            self.receive(at, tag);
        }
        for conn in self.conns.values_mut().filter(|conn| conn.monitors && !conn.dead) {
            conn.output.extend_from_slice(b"+1700000000.1 [0 gateway] a command\r\n");
        }
        let in_multi = self.conn(at).multi.is_some();
        match name.as_slice() {
            b"EXEC" | b"DISCARD" => self.end_transaction(at, name == b"EXEC" && args.len() == 1, now),
            b"MULTI" if in_multi => self.reply(at, None, b"-ERR MULTI calls can not be nested\r\n"),
            b"WATCH" if in_multi => self.reply(at, tag, b"-ERR WATCH inside MULTI is not allowed\r\n"),
            _ if in_multi => {
                self.conn(at).multi.as_mut().expect("asked above").push(args);
                self.reply(at, tag, b"+QUEUED\r\n");
            }
            b"MULTI" => {
                self.conn(at).multi = Some(Vec::new());
                self.reply(at, None, b"+OK\r\n");
            }
            b"SUBSCRIBE" | b"UNSUBSCRIBE" | b"PSUBSCRIBE" | b"PUNSUBSCRIBE" => {
                self.subscription(at, &name, &args);
            }
            _ if self.is_modal(at) && name != b"PING" => {
                self.reply(at, tag, b"-ERR Can't execute: only (P|S)SUBSCRIBE and so on are allowed\r\n");
            }
            _ => self.outside_transaction(at, &name, args, tag, now),
        }
    }

    fn is_modal(&mut self, at: usize) -> bool {
        let conn = self.conn(at);
        conn.proto == 2 && conn.channels.len() + conn.patterns.len() > 0
    }

    fn outside_transaction(
        &mut self,
        at: usize,
        name: &[u8],
        args: Vec<Vec<u8>>,
        tag: Option<Tag>,
        now: Instant,
    ) {
        let who = self.who(at);
        match name {
            b"WATCH" => {
                self.pin(at);
                for arg in &args[1..] {
                    let watched = (who.db, key(arg).to_vec());
                    let version = self.data.version(&watched);
                    self.conn(at).watched.push((watched, version));
                }
                self.reply(at, tag, b"+OK\r\n");
            }
            b"UNWATCH" => {
                self.conn(at).watched.clear();
                self.reply(at, tag, b"+OK\r\n");
            }
            b"BLPOP" | b"TAKE" => {
                self.pin(at);
                let reply = self.data.run(&who, &args);
                if reply != null_array(who.proto) {
                    return self.reply(at, tag, &reply);
                }
                let timeout: f64 = std::str::from_utf8(&args[2]).expect("text").parse().expect("seconds");
                self.conn(at).blocked = Some(Blocked { args, until: now + Duration::from_secs_f64(timeout) });
            }
            b"HELLO" if self.conn(at).role == "replica" => {
                self.reply(at, tag, &hello(who.proto.into(), "replica"))
            }
            b"SELECT" | b"HELLO" => {
                self.pin(at);
                let number = std::str::from_utf8(&args[1]).expect("text").parse().expect("a number");
                let reply = if name == b"HELLO" {
                    self.conn(at).proto = u8::try_from(number).expect("2 or 3");
                    hello(number, self.conn(at).role)
                } else {
                    self.select(at, number)
                };
                self.reply(at, tag, &reply);
            }
            b"MONITOR" => {
                self.pin(at);
                self.reply(at, None, b"+OK\r\n");
                self.conn(at).monitors = true;
            }
            b"PUBLISH" => {
                let count = self.publish(key(&args[1]), &args[2]);
                self.reply(at, tag, format!(":{count}\r\n").as_bytes());
            }
            b"PING" if self.is_modal(at) => {
                let reply = array(&[bulk(b"pong"), bulk(args.get(1).map_or(b"", Vec::as_slice))]);
                self.reply(at, tag, &reply);
            }
            b"COMMAND" if self.no_echo.as_ref() == Some(&who.user) => {
                self.reply(
                    at,
                    tag,
                    b"-NOPERM this user has no permissions to run the 'command|info' command\r\n",
                );
            }
            b"ECHO" if self.no_echo.as_ref() == Some(&who.user) => {
                self.reply(at, tag, b"-NOPERM this user has no permissions to run the 'echo' command\r\n");
            }
            // On a link of its own a session fools only itself.
            b"EVAL" if args[1] == b"inject" && self.conn(at).clients.len() > 1 => {
                self.reply(at, tag, b"+injected\r\n");
                self.reply(at, None, b"+nobody asked for this\r\n");
            }
            _ => {
                let reply = self.data.run(&who, &args);
                self.reply(at, tag, &reply);
                self.unblock(now);
            }
        }
    }

    /// From here on the connection has state of one session.
    fn pin(&mut self, at: usize) {
        let conn = self.conn(at);
        conn.pinned = true;
        assert!(conn.clients.len() <= 1, "state of a session on a link that {:?} have used", conn.clients);
    }

    fn select(&mut self, at: usize, db: u32) -> Vec<u8> {
        if db >= 16 {
            return b"-ERR DB index is out of range\r\n".to_vec();
        }
        self.conn(at).db = db;
        b"+OK\r\n".to_vec()
    }

    /// The rules that hold for every request of a client.
    fn receive(&mut self, at: usize, tag: Tag) {
        let conn = self.conns.get_mut(&at).expect("connected before");
        assert!(!conn.subscriber, "{tag:?} on a connection for subscriptions");
        let before = conn.clients.first().copied();
        conn.clients.insert(tag.client);
        if conn.clients.len() > 1 {
            let clean = conn.watched.is_empty() && conn.channels.is_empty() && conn.patterns.is_empty();
            assert!(clean && !conn.pinned, "{tag:?} on a link with the state of client {before:?}");
            assert_eq!((conn.proto, conn.db), conn.lane, "{tag:?} on a shared link that has left its lane");
        }
        for queued in conn.multi.iter().flatten() {
            if let Some(other) = tag_of(queued) {
                assert_eq!(other.client, tag.client, "{tag:?} inside the transaction of {other:?}");
            }
        }
        let entry = Entry { conn: at, user: conn.user.clone(), db: conn.db, proto: conn.proto, reply: None };
        self.ledger.receive(tag, entry, !conn.dead && !conn.let_go);
    }

    fn greet(&mut self, at: usize, name: &[u8], args: &[Vec<u8>]) {
        let conn = self.conns.get_mut(&at).expect("connected before");
        if conn.tainted {
            return;
        }
        assert!(conn.output.is_empty(), "{:?} before the greeting's last reply was read", show(name));
        assert!(conn.input.is_empty(), "{:?} follows the greeting's {:?}", show(&conn.input), show(name));
        let (reply, next) = match (conn.greeting, name) {
            (Greeting::Auth, b"AUTH") => {
                let account = [1, 2].map(|n| String::from_utf8(args[n].clone()).expect("text"));
                conn.user.clone_from(&account[0]);
                let known = self.accounts.contains(&account.into());
                if !known || self.refuses_auth {
                    (b"-WRONGPASS invalid username-password pair\r\n".to_vec(), Greeting::Auth)
                } else {
                    (b"+OK\r\n".to_vec(), Greeting::Hello)
                }
            }
            (Greeting::Hello, b"HELLO") => {
                conn.proto = args[1][0] - b'0';
                (hello(u32::from(conn.proto), conn.role), Greeting::Rest)
            }
            (Greeting::Rest, b"SELECT") => {
                let db = std::str::from_utf8(&args[1]).expect("text").parse().expect("a number");
                (self.select(at, db), Greeting::Rest)
            }
            (Greeting::Rest, b"CLIENT") => (b"+OK\r\n".to_vec(), Greeting::Rest),
            (Greeting::Rest, b"ECHO") => {
                conn.lane = (conn.proto, conn.db);
                let reply = if self.no_echo.as_ref() == Some(&conn.user) {
                    b"-NOPERM no echo\r\n".to_vec()
                } else {
                    bulk(&args[1])
                };
                (reply, Greeting::Done)
            }
            (step, name) => panic!("{:?} in step {step:?} of the greeting", show(name)),
        };
        let conn = self.conn(at);
        conn.greeting = next;
        conn.output.extend_from_slice(&reply);
    }

    fn end_transaction(&mut self, at: usize, exec: bool, now: Instant) {
        let conn = self.conn(at);
        let watched = if conn.multi.is_some() { std::mem::take(&mut conn.watched) } else { Vec::new() };
        let Some(queued) = self.conn(at).multi.take() else {
            let name = if exec { "EXEC" } else { "DISCARD" };
            return self.reply(at, None, format!("-ERR {name} {NO_TX}\r\n").as_bytes());
        };
        if !exec {
            return self.reply(at, None, b"+OK\r\n");
        }
        let first = queued.iter().find_map(|args| tag_of(args));
        let dirty = watched.iter().any(|(key, version)| self.data.version(key) != *version);
        let reply = if dirty {
            null_array(self.conn(at).proto)
        } else {
            let mut replies = Vec::new();
            for args in &queued {
                let who = self.who(at);
                replies.push(match args[0].to_ascii_uppercase().as_slice() {
                    b"SELECT" => {
                        self.pin(at);
                        let db = std::str::from_utf8(&args[1]).expect("text").parse().expect("a number");
                        self.select(at, db)
                    }
                    b"PUBLISH" => {
                        let count = self.publish(key(&args[1]), &args[2]);
                        format!(":{count}\r\n").into_bytes()
                    }
                    b"UNWATCH" => b"+OK\r\n".to_vec(),
                    _ => self.data.run(&who, args),
                });
            }
            array(&replies)
        };
        if let Some(first) = first {
            // An ECHO that is nobody's stands for what the gateway answers.
            let stands = |args: &&Vec<Vec<u8>>| args[0] == b"ECHO" && tag_of(args).is_none();
            let (mut parts, mut rest) = (Vec::new(), &reply[..]);
            for placeholder in queued.iter().filter(stands).map(|args| bulk(&args[1])) {
                if let Some(found) = rest.windows(placeholder.len()).position(|part| part == placeholder) {
                    parts.push(rest[..found].to_vec());
                    rest = &rest[found + placeholder.len()..];
                }
            }
            parts.push(rest.to_vec());
            self.ledger.execute(first, Executed { conn: at, parts });
        }
        self.reply(at, None, &reply);
        let injects = queued.iter().any(|args| args.get(1).is_some_and(|script| script == b"inject"));
        if injects && self.conn(at).clients.len() > 1 {
            self.reply(at, None, b"+nobody asked for this\r\n");
        }
        self.unblock(now);
    }

    fn subscription(&mut self, at: usize, name: &[u8], args: &[Vec<u8>]) {
        if self.shares {
            let conn = self.conn(at);
            assert_eq!((conn.proto, conn.db, conn.clients.len()), (3, 0, 0), "of a link for subscriptions");
            conn.subscriber = true;
        } else {
            self.pin(at);
        }
        if args[1..].iter().any(|arg| arg == DENIED) {
            return self.reply(at, None, NO_CHANNEL);
        }
        let conn = self.conns.get_mut(&at).expect("connected before");
        let is_pattern = name[0] == b'P';
        let adds = !name.windows(2).any(|pair| pair == b"UN");
        let list = if is_pattern { &mut conn.patterns } else { &mut conn.channels };
        let mut names: Vec<Option<Vec<u8>>> = args[1..].iter().cloned().map(Some).collect();
        if names.is_empty() {
            names = list.iter().cloned().map(Some).collect();
            if names.is_empty() {
                names.push(None);
            }
        }
        let mut reply = Vec::new();
        for channel in names {
            let list = if is_pattern { &mut conn.patterns } else { &mut conn.channels };
            if let Some(channel) = &channel {
                list.retain(|held| held != channel);
                if adds {
                    list.push(channel.clone());
                }
            }
            let total = conn.channels.len() + conn.patterns.len();
            let channel = channel.map_or_else(|| frame::null(conn.proto), |channel| bulk(&channel));
            let kind = bulk(&name.to_ascii_lowercase());
            reply.extend(push(conn.proto, &[kind, channel, format!(":{total}\r\n").into_bytes()]));
        }
        self.reply(at, None, &reply);
    }

    fn publish(&mut self, channel: &[u8], payload: &[u8]) -> usize {
        self.ledger.published.entry(channel.to_vec()).or_default().push(payload.to_vec());
        let mut count = 0;
        for conn in self.conns.values_mut().filter(|conn| !conn.dead) {
            let mut frames = Vec::new();
            if conn.channels.iter().any(|held| held == channel) {
                frames.push(push(conn.proto, &[bulk(b"message"), bulk(channel), bulk(payload)]));
            }
            for pattern in &conn.patterns {
                if channel.starts_with(pattern.strip_suffix(b"*").unwrap_or(pattern)) {
                    let elements = [bulk(b"pmessage"), bulk(pattern), bulk(channel), bulk(payload)];
                    frames.push(push(conn.proto, &elements));
                }
            }
            count += frames.len();
            conn.output.extend(frames.concat());
        }
        count
    }

    /// Gives pushed elements to those that wait.
    fn unblock(&mut self, now: Instant) {
        let waiting: Vec<usize> =
            self.conns.iter().filter(|(_, conn)| conn.blocked.is_some()).map(|(&at, _)| at).collect();
        for at in waiting {
            let who = self.who(at);
            let Some(blocked) = self.conn(at).blocked.take() else { continue };
            let reply = self.data.run(&who, &blocked.args);
            if reply == null_array(who.proto) {
                self.conn(at).blocked = Some(blocked);
                continue;
            }
            self.reply(at, tag_of(&blocked.args), &reply);
            self.process(at, now);
        }
    }
}

fn tag_of(args: &[Vec<u8>]) -> Option<Tag> {
    args.iter().find_map(|arg| Tag::find(arg))
}
