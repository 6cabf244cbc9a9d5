//! How far a master's replicas are behind it, by what it says of them.
//!
//! ```text
//! asked at   t0        t1        t2        now
//! offset     100       250       400
//! a replica has said that it has 250: it had everything that the master had at t1
//! ```
//!
//! So it is `now - t1` behind at most. That holds however late its word comes, and when the master
//! is not heard any more everybody is behind. Knows no socket.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::cluster::Endpoint;

/// Replicas of one master that are looked at.
const REPLICAS_MAX: usize = 64;

/// How many answers are remembered.
const ANSWERS_MAX: usize = 4_096;

/// Why an answer says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InfoError {
    /// It is not the master.
    #[error("it says that it is {0:?}, and not the master")]
    NotMaster(String),
    /// The line is not there, or is no number.
    #[error("its INFO has no {0}")]
    Lacks(&'static str),
}

/// What a master says of replication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// How much it has written, in bytes since some beginning.
    offset: u64,
    /// How much of that each replica that is in its stream has said that it has.
    replicas: BTreeMap<Endpoint, u64>,
}

impl Told {
    /// Reads the text of `INFO replication`.
    ///
    /// # Errors
    /// If it is not a master's.
    pub fn read(text: &str) -> Result<Self, InfoError> {
        let field = |name| text.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'));
        let role = field("role").ok_or(InfoError::Lacks("role"))?;
        if role != "master" {
            return Err(InfoError::NotMaster(role.chars().take(32).collect()));
        }
        let offset = field("master_repl_offset").and_then(|it| it.parse().ok());
        let offset = offset.ok_or(InfoError::Lacks("master_repl_offset"))?;
        let is_replica = |line: &&str| line.strip_prefix("slave").is_some_and(|it| it.starts_with(|c: char| c.is_ascii_digit()));
        let replicas = text.lines().filter(is_replica).filter_map(replica).take(REPLICAS_MAX).collect();
        Ok(Self { offset, replicas })
    }
}

/// `slave0:ip=10.0.0.2,port=6379,state=online,offset=4711,lag=1`, if it is in the stream.
fn replica(line: &str) -> Option<(Endpoint, u64)> {
    let fields = line.trim_end().split_once(':')?.1;
    let field = |name: &str| fields.split(',').find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
    let host = field("ip").filter(|host| !host.is_empty())?.to_owned();
    let port = field("port")?.parse().ok().filter(|&port| port != 0)?;
    let is_online = field("state")? == "online";
    let offset = field("offset")?.parse().ok()?;
    is_online.then_some((Endpoint { host, port }, offset))
}

/// What one master has said over time.
#[derive(Debug, Default)]
pub struct Lags {
    /// When it was asked and what its offset was at most by then; the oldest first.
    answers: VecDeque<(Instant, u64)>,
    replicas: BTreeMap<Endpoint, u64>,
}

impl Lags {
    /// The master, asked at that time, has said this. What is longer ago than `lag_max` is forgotten.
    pub fn told(&mut self, told: Told, asked_at: Instant, lag_max: Duration) {
        if self.answers.back().is_some_and(|&(_, offset)| told.offset < offset) {
            // It counts anew: what it had said before means nothing.
            self.answers.clear();
        }
        let is_old = |at: Instant| asked_at.saturating_duration_since(at) > lag_max;
        while self.answers.front().is_some_and(|&(at, _)| is_old(at)) || self.answers.len() >= ANSWERS_MAX {
            self.answers.pop_front();
        }
        self.answers.push_back((asked_at, told.offset));
        self.replicas = told.replicas;
    }

    /// Every replica, and whether it is at most so far behind.
    pub fn replicas(&self, now: Instant, lag_max: Duration) -> impl Iterator<Item = (&Endpoint, bool)> {
        self.replicas.iter().map(move |(endpoint, &has)| {
            let lag = self.answers.iter().rev().find(|&&(_, offset)| offset <= has);
            let lag = lag.map(|&(at, _)| now.saturating_duration_since(at));
            (endpoint, lag.is_some_and(|lag| lag <= lag_max))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests need some instant to count from")]
    use super::*;

    const MAX: Duration = Duration::from_secs(10);

    fn told(offset: u64, replicas: &[(u16, u64)]) -> Told {
        let lines: String = replicas
            .iter()
            .map(|(port, has)| format!("slave0:ip=10.0.0.2,port={port},state=online,offset={has},lag=0\r\n"))
            .collect();
        let text = format!("# Replication\r\nrole:master\r\n{lines}master_repl_offset:{offset}\r\n");
        Told::read(&text).expect("a master's")
    }

    fn in_step(lags: &Lags, now: Instant) -> Vec<(u16, bool)> {
        lags.replicas(now, MAX).map(|(endpoint, is_in_step)| (endpoint.port, is_in_step)).collect()
    }

    #[test]
    fn what_a_master_says_is_read_and_what_is_no_masters_is_not() {
        let text = "# Replication\r\nrole:master\r\nconnected_slaves:4\r\nslave_expires_tracked_keys:0\r\n\
                    slave0:ip=10.0.0.2,port=6379,state=online,offset=300,lag=1\r\n\
                    slave1:ip=::1,port=6380,state=online,offset=400,lag=0,io-thread=0,type=replica\r\n\
                    slave2:ip=10.0.0.4,port=6379,state=wait_bgsave,offset=0,lag=0\r\n\
                    slave3:ip=10.0.0.5,port=0,state=online,offset=1,lag=0\r\n\
                    master_replid:ab\r\nmaster_repl_offset:400\r\n";
        let told = Told::read(text).expect("a master's");
        let at = |host: &str, port| Endpoint { host: host.to_owned(), port };
        let wanted = BTreeMap::from([(at("10.0.0.2", 6379), 300), (at("::1", 6380), 400)]);
        assert_eq!(told, Told { offset: 400, replicas: wanted });
        let replica = "role:slave\r\nmaster_repl_offset:1\r\n";
        assert_eq!(Told::read(replica), Err(InfoError::NotMaster("slave".to_owned())));
        assert_eq!(Told::read(""), Err(InfoError::Lacks("role")));
        assert_eq!(Told::read("role:master\r\n"), Err(InfoError::Lacks("master_repl_offset")));
    }

    #[test]
    fn a_replica_is_as_far_behind_as_the_last_answer_that_it_has_all_of() {
        let (mut lags, start) = (Lags::default(), Instant::now());
        let after = |s| start + Duration::from_secs(s);
        // One keeps up, the other stands still at 100.
        for s in 0..=30 {
            lags.told(told(100 + s * 50, &[(1, 100 + s * 50), (2, 100)]), after(s), MAX);
            assert_eq!(in_step(&lags, after(s)), [(1, true), (2, s <= 10)], "{s}");
        }
        // Nobody writes any more: it catches up by saying so.
        lags.told(told(1_600, &[(1, 1_600), (2, 1_600)]), after(31), MAX);
        assert_eq!(in_step(&lags, after(31)), [(1, true), (2, true)]);
    }

    #[test]
    fn when_the_master_is_not_heard_everybody_falls_behind() {
        let (mut lags, start) = (Lags::default(), Instant::now());
        lags.told(told(100, &[(1, 100)]), start, MAX);
        assert_eq!(in_step(&lags, start + MAX), [(1, true)]);
        assert_eq!(in_step(&lags, start + MAX + Duration::from_millis(1)), [(1, false)]);
    }

    #[test]
    fn a_master_that_counts_anew_is_believed_from_then_on() {
        let (mut lags, start) = (Lags::default(), Instant::now());
        let after = |s| start + Duration::from_secs(s);
        lags.told(told(9_000, &[(1, 9_000)]), start, MAX);
        lags.told(told(10, &[(1, 5)]), after(1), MAX);
        assert_eq!(in_step(&lags, after(1)), [(1, false)], "it has less than the one answer that counts");
        lags.told(told(10, &[(1, 10)]), after(2), MAX);
        assert_eq!(in_step(&lags, after(2)), [(1, true)]);
        lags.told(told(10, &[]), after(3), MAX);
        assert_eq!(in_step(&lags, after(3)), [], "one that is not in the stream is not there");
    }
}
