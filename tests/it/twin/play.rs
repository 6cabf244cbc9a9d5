//! Plays a session to both: through the gateway to one server, and straight to its twin.
//!
//! The twin says how many replies there are. It has answered a step when it has nothing more to
//! say after some rounds of another connection, asked since, and nobody waits in it; so much
//! must then come from the gateway, each reply in its place. No wait is for a time.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use super::compare::{Compare, alike};
use super::dice::Dice;
use super::exceptions::{self, Excuse};
use super::frames::{invalidated, is_invalidation, is_monitor_line, order_runs, shown, take_frames};
use super::request::{Cuts, Request, Session, Step};
use crate::backend::{Redis, Version};
use crate::wire::{Client, PATIENCE};
use crate::world::World;

/// One connection, at one of the two.
struct Side {
    client: Client,
    unread: Vec<u8>,
    /// Replies that have not been compared.
    frames: Vec<Vec<u8>>,
    /// Invalidations: where they stand among the replies to a pipeline is not compared.
    invalid: Vec<Vec<u8>>,
    ended: bool,
}

impl Side {
    fn new(client: Client) -> Self {
        Self { client, unread: Vec::new(), frames: Vec::new(), invalid: Vec::new(), ended: false }
    }

    /// What there is, or what comes next. Whether that made a difference.
    fn read(&mut self, wait: bool) -> io::Result<bool> {
        let count = match self.client.receive(&mut self.unread, wait) {
            Ok(0) => {
                self.ended = true;
                0
            }
            Ok(count) => count,
            Err(error) if crate::wire::is_end(&error) => {
                self.ended = true;
                0
            }
            Err(error) if !wait && error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        let first = self.frames.len();
        let begun = self.unread.len() > count;
        take_frames(&mut self.unread, &mut self.frames);
        let mut more = begun || !self.unread.is_empty();
        for frame in self.frames.split_off(first) {
            // What MONITOR shows is everybody's: exception `monitor-lines`.
            if is_monitor_line(&frame) {
                continue;
            }
            more = true;
            let kept = if is_invalidation(&frame) { &mut self.invalid } else { &mut self.frames };
            kept.push(frame);
        }
        Ok(more)
    }
}

/// A connection of a session: through the gateway, and to the twin.
struct Pair {
    user: &'static str,
    gateway: Side,
    twin: Side,
    /// The exceptions that were met.
    excused: Vec<&'static str>,
    /// The last reply.
    last: Vec<u8>,
    /// The twin has been told after RESET that it may not: the next reply is AUTH's.
    is_nobody: bool,
    /// Whether what was read has been tracked in this session, and RESET came after that.
    has_tracked: bool,
    has_forgotten: bool,
}

/// What came of a step that was not as it should be.
enum Stop {
    Differs(String),
    /// An exception after which nothing more can be the same.
    Excused(&'static str),
}

/// A difference, and where it is.
#[derive(Debug, Clone)]
pub(crate) struct Difference {
    pub(crate) step: usize,
    pub(crate) text: String,
}

impl Difference {
    /// The same for those that look alike: without names, numbers and where it was.
    pub(crate) fn kind(&self) -> String {
        let text = self.text.split_once("\n").map_or(self.text.as_str(), |(_, replies)| replies);
        let unquoted: String = text.split('\'').step_by(2).collect();
        unquoted.chars().filter(|c| !c.is_ascii_digit()).take(160).collect()
    }
}

/// A gateway with its server, and the server's twin.
pub(crate) struct Stage<'a> {
    version: Version,
    world: &'a World,
    twin: &'a Redis,
    /// Of the gateway's server and of the twin, for what surrounds a session.
    admins: [Client; 2],
    kept: Vec<Pair>,
    /// What the last session was cleaned up with, besides its keys.
    used: Vec<&'static str>,
    echoes: u64,
    /// How often each exception was met.
    pub(crate) excused: BTreeMap<&'static str, u64>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(version: Version, world: &'a World, twin: &'a Redis) -> Self {
        let admins = [world.redis.client("root"), twin.client("root")];
        Self {
            version,
            world,
            twin,
            admins,
            kept: Vec::new(),
            used: Vec::new(),
            echoes: 0,
            excused: BTreeMap::new(),
        }
    }

    /// Plays it, and returns the first difference. What there was is gone afterwards.
    pub(crate) fn play(&mut self, session: &Session, mut tell: impl FnMut(&str)) -> Option<Difference> {
        self.clean(session);
        let mut pairs: Vec<Pair> = Vec::new();
        for _ in 0..session.connections() {
            let kept = self.kept.iter().position(|pair| pair.user == session.user);
            pairs.push(match kept {
                Some(at) if !session.fresh => self.kept.swap_remove(at),
                _ => self.connect(session.user),
            });
        }
        for pair in &mut pairs {
            (pair.has_tracked, pair.has_forgotten) = (false, false);
        }
        for (number, step) in session.steps.iter().enumerate() {
            tell(&format!("step {number}: {step}"));
            let played = self.step(&mut pairs, step, session.user, &mut tell);
            for id in pairs.iter_mut().flat_map(|pair| pair.excused.drain(..)) {
                *self.excused.entry(id).or_default() += 1;
            }
            if let Err(stop) = played {
                return self.stop(stop, number, pairs);
            }
        }
        // All of them are as new again, or gone; and nothing has been left over.
        for at in 0..pairs.len() {
            if pairs[at].twin.ended {
                continue;
            }
            self.echoes += 1;
            let token = format!("end-{}", self.echoes);
            let end = Step::new(at, vec![Request::typed("RESET"), Request::typed(&format!("ECHO {token}"))]);
            tell(&format!("the end: {end}"));
            if let Err(stop) = self.step(&mut pairs, &end, session.user, &mut tell) {
                return self.stop(stop, session.steps.len(), pairs);
            }
            // Half a request swallows what ends the session.
            let heard = pairs[at].last.ends_with(format!("\r\n{token}\r\n").as_bytes());
            pairs[at].twin.ended |= !heard;
        }
        let (ended, kept): (Vec<_>, Vec<_>) =
            pairs.into_iter().partition(|pair| pair.twin.ended || pair.gateway.ended);
        self.kept.extend(kept);
        if !ended.is_empty() {
            drop(ended);
            self.admins.iter_mut().for_each(await_no_subscribers);
        }
        None
    }

    fn stop(&mut self, stop: Stop, step: usize, pairs: Vec<Pair>) -> Option<Difference> {
        // What is still under way must not reach the server during the next session.
        for mut pair in pairs {
            pair.gateway.client.finish_writing();
            while !pair.gateway.ended && pair.gateway.read(true).is_ok() {}
        }
        self.admins.iter_mut().for_each(await_no_subscribers);
        match stop {
            Stop::Differs(text) => Some(Difference { step, text }),
            Stop::Excused(id) => {
                *self.excused.entry(id).or_default() += 1;
                None
            }
        }
    }

    /// Connections made before are not used again.
    pub(crate) fn forget(&mut self) {
        self.kept.clear();
    }

    fn connect(&self, user: &'static str) -> Pair {
        let (gateway, twin) = (self.world.client(user), self.twin.client(user));
        Pair {
            user,
            gateway: Side::new(gateway),
            twin: Side::new(twin),
            excused: Vec::new(),
            last: Vec::new(),
            is_nobody: false,
            has_tracked: false,
            has_forgotten: false,
        }
    }

    /// Both servers as they were at the start.
    fn clean(&mut self, session: &Session) {
        let cleaners: [(&[&str], &[&'static str]); 4] = [
            (&["script", "eval"], &["SCRIPT FLUSH"]),
            (&["function", "fcall"], &["FUNCTION FLUSH"]),
            (&["acl"], &["ACL DELUSER extra", "ACL LOG RESET"]),
            (&["slowlog"], &["SLOWLOG RESET"]),
        ];
        let used = cleaners.iter().filter(|(names, _)| session.uses(names));
        let used: Vec<&'static str> = used.flat_map(|(_, commands)| commands.iter().copied()).collect();
        // What the session before has left behind at one of the two, where it was cut off, as well.
        let before = std::mem::replace(&mut self.used, used.clone());
        let mut commands = vec!["FLUSHALL ASYNC"];
        commands.extend(&used);
        commands.extend(before.iter().filter(|command| !used.contains(command)));
        for admin in &mut self.admins {
            commands.iter().for_each(|command| admin.send(command));
        }
        for admin in &mut self.admins {
            for command in &commands {
                let reply = admin.read().to_string();
                assert!(!reply.starts_with('-'), "{command}: {reply}");
            }
        }
    }

    fn step(
        &mut self,
        pairs: &mut [Pair],
        step: &Step,
        user: &str,
        tell: &mut impl FnMut(&str),
    ) -> Result<(), Stop> {
        let bytes = step.for_gateway();
        let first = match step.cuts {
            Cuts::Pause(seed) => Dice::new(seed).below(bytes.len() + 1),
            _ => bytes.len(),
        };
        let pair = &mut pairs[step.connection];
        pair.note_tracking(step);
        // Who has been shown the door cannot be written to.
        let _ = pair.twin.client.try_write(&step.for_twin(user));
        write(&mut pair.gateway.client, &bytes[..first], step.cuts);
        // A server reads 16 KiB at a time, and what it says then it writes before the next.
        let rounds = 2 + bytes.len() / 16_384;
        self.settle(pairs, rounds, step.blocked).map_err(Stop::Differs)?;
        if first < bytes.len() {
            write(&mut pairs[step.connection].gateway.client, &bytes[first..], step.cuts);
        }
        for (number, pair) in pairs.iter_mut().enumerate() {
            pair.compare(self.version, step, number == step.connection, tell).map_err(|stop| match stop {
                Stop::Differs(text) => Stop::Differs(format!("connection {number}: {text}")),
                excused => excused,
            })?;
        }
        if step.blocked > 0 {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let [gateway, twin] = self.admins.each_mut().map(blocked);
                if gateway == twin {
                    break;
                }
                if Instant::now() > deadline {
                    let text = format!("{twin} wait for data at the twin, {gateway} at the gateway's server");
                    return Err(Stop::Differs(text));
                }
            }
        }
        Ok(())
    }

    /// Has the twin answer all that it has been sent, which takes at least so many rounds.
    fn settle(&mut self, pairs: &mut [Pair], rounds: usize, may_wait: u64) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        // Twice: a client that has waited may go on while the server tells that nobody waits.
        let (mut round, mut quiet) = (0, 0);
        while round < rounds || quiet < 2 {
            let waiting = blocked(&mut self.admins[1]);
            let mut more = false;
            for pair in pairs.iter_mut().filter(|pair| !pair.twin.ended) {
                more |= pair.twin.read(false).map_err(|error| format!("reading from the twin: {error}"))?;
            }
            quiet = if !more && waiting <= may_wait { quiet + 1 } else { 0 };
            round += 1;
            if Instant::now() > deadline {
                self.admins[1].send("CLIENT LIST");
                let list = String::from_utf8_lossy(self.admins[1].read().bytes()).into_owned();
                let list: Vec<&str> = list.lines().filter(|line| line.contains("flags=b")).collect();
                return Err(format!(
                    "the twin does not come to rest, a session that should not have been made: {waiting} wait \
                     for data, {may_wait} may\n{list:?}"
                ));
            }
        }
        pairs.iter_mut().for_each(Pair::drop_auth);
        Ok(())
    }
}

impl Pair {
    /// Takes out the replies to what follows each RESET at the twin.
    fn drop_auth(&mut self) {
        let is_nobody = &mut self.is_nobody;
        self.twin.frames.retain(|frame| {
            let is_auth = std::mem::take(is_nobody);
            *is_nobody = frame.starts_with(b"-NOPERM ") && frame.ends_with(b"'echo' command\r\n");
            !is_auth && !*is_nobody
        });
    }

    /// So many replies from the gateway, or fewer if it says no more.
    fn next_replies(&mut self, count: usize) -> Vec<Vec<u8>> {
        while self.gateway.frames.len() < count && !self.gateway.ended {
            if self.gateway.read(true).is_err() {
                break;
            }
        }
        // What is there beyond that belongs to a later step, or is found too much at the end.
        let later = self.gateway.frames.split_off(count.min(self.gateway.frames.len()));
        std::mem::replace(&mut self.gateway.frames, later)
    }

    /// Waits for as much from the gateway as the twin has said, and compares.
    fn compare(
        &mut self,
        version: Version,
        step: &Step,
        is_own: bool,
        tell: &mut impl FnMut(&str),
    ) -> Result<(), Stop> {
        let wanted = self.twin.frames.len();
        let compares = if is_own { step.comparisons(wanted) } else { vec![Compare::Exact; wanted] };
        let mut twin = std::mem::take(&mut self.twin.frames);
        let runs = order_runs(&mut twin);
        let mut gateway = Vec::new();
        for (at, said) in twin.iter().enumerate() {
            tell(&format!("  twin    {}", shown(said)));
            // Replies in no order are put into one, which needs all of them.
            let run = runs.iter().find(|run| run.contains(&at)).cloned().unwrap_or(at..at + 1);
            if gateway.len() == at {
                let mut next = self.next_replies(run.len());
                order_runs(&mut next);
                gateway.append(&mut next);
            }
            let Some(got) = gateway.get(at) else {
                let text = format!(
                    "{at} of {wanted} replies from the gateway, then nothing more, where the twin said {}",
                    shown(said)
                );
                return Err(Stop::Differs(text));
            };
            tell(&format!("  gateway {}", shown(got)));
            if alike(compares[at], got, said) {
                continue;
            }
            match exceptions::excuse(version, compares[at], got, said) {
                Some(Excuse::Reply(id)) => self.excused.push(id),
                Some(Excuse::Session(id)) => return Err(Stop::Excused(id)),
                None => {
                    let text = format!("reply {at}\n  gateway {}\n  twin    {}", shown(got), shown(said));
                    return Err(Stop::Differs(text));
                }
            }
        }
        self.last = twin.last().cloned().unwrap_or_default();
        self.compare_invalidations(step)?;
        while self.twin.ended && !self.gateway.ended {
            if let Err(error) = self.gateway.read(true) {
                return Err(Stop::Differs(format!("the twin closed, the gateway did not: {error}")));
            }
        }
        if self.twin.ended
            && let Some(more) = self.gateway.frames.first()
        {
            return Err(Stop::Differs(format!("the gateway said more before it closed: {}", shown(more))));
        }
        if self.gateway.ended && !self.twin.ended {
            return Err(Stop::Differs("the gateway closed, the twin did not".to_owned()));
        }
        Ok(())
    }
}

impl Pair {
    /// Notes whether the twin may remember more of what has been read than the gateway's server.
    fn note_tracking(&mut self, step: &Step) {
        for request in &step.requests {
            self.has_tracked |= request.is("CLIENT") && request.has(1, "TRACKING");
            self.has_forgotten |= self.has_tracked && request.is_reset();
        }
    }

    /// Waits for the invalidations that the twin has sent. In a pipeline they may be in other groups,
    /// and more of them from the gateway, or, where it changes the protocol version, fewer: exception
    /// `invalidation-order`.
    fn compare_invalidations(&mut self, step: &Step) -> Result<(), Stop> {
        let is_pipeline = step.requests.len() > 1;
        let twin = std::mem::take(&mut self.twin.invalid);
        if is_pipeline && step.requests.iter().any(|request| request.is("HELLO")) {
            self.gateway.invalid.clear();
            return Ok(());
        }
        let wanted = invalidated(&twin);
        while !missing(&wanted, &self.gateway.invalid).is_empty()
            && !self.gateway.ended
            && self.gateway.read(true).is_ok()
        {}
        let gateway = std::mem::take(&mut self.gateway.invalid);
        let missing = missing(&wanted, &gateway);
        if missing.is_empty() && (is_pipeline || gateway == twin) {
            return Ok(());
        }
        if !missing.is_empty() && self.has_forgotten {
            self.excused.push("invalidation-after-reset");
            return Ok(());
        }
        let shown =
            |frames: &[Vec<u8>]| frames.iter().map(|frame| shown(frame)).collect::<Vec<_>>().join(" ");
        let text = format!("invalidations\n  gateway {}\n  twin    {}", shown(&gateway), shown(&twin));
        Err(Stop::Differs(text))
    }
}

/// Which of these keys, in order, are not in so many of the gateway's invalidations.
fn missing(wanted: &[Vec<u8>], gateway: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let got = invalidated(gateway);
    let mut rest = got.iter().peekable();
    let mut is_missing = |key: &Vec<u8>| {
        while rest.next_if(|got| **got < *key).is_some() {}
        rest.next_if(|got| **got == *key).is_none()
    };
    wanted.iter().filter(|key| is_missing(key)).cloned().collect()
}

fn write(client: &mut Client, bytes: &[u8], cuts: Cuts) {
    let mut dice = match cuts {
        Cuts::Random(seed) => Dice::new(seed),
        _ => Dice::new(0),
    };
    let mut rest = bytes;
    while !rest.is_empty() {
        let len = match cuts {
            Cuts::Bytes if bytes.len() < 2_000 => 1,
            Cuts::Random(_) => dice.chunk(rest.len()),
            _ => rest.len(),
        };
        if client.try_write(&rest[..len]).is_err() {
            return;
        }
        rest = &rest[len..];
    }
}

/// A connection that has been closed counts as a subscriber until the server has seen its end.
fn await_no_subscribers(admin: &mut Client) {
    let begun = Instant::now();
    loop {
        admin.send("CLIENT LIST TYPE PUBSUB");
        if admin.read().bytes().is_empty() {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "the server still has subscribers of a connection that has ended"
        );
    }
}

/// How many clients of the server wait for data.
fn blocked(admin: &mut Client) -> u64 {
    admin.send("INFO clients");
    let info = admin.read();
    let text = String::from_utf8_lossy(info.bytes()).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("blocked_clients:"));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or_else(|| panic!("no blocked_clients in {text}"))
}
