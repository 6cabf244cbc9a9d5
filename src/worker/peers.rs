//! What one worker asks of the others, about sessions that are theirs: to end some, or which
//! backend connection is a session's own. It knows no command; `control` does.
//!
//! Each question has a token and a deadline. A session that asks waits for its answer as for
//! any other reply.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::control::What;
use super::{Closed, Seed, Step, Worker};
use crate::session::{Fate, Filter, Session, SessionId};
use crate::upstream::{DatabaseId, NodeId};

/// From one worker to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The number of the worker that sends it.
    pub from: usize,
    /// Which question it is, or answers.
    token: u64,
    word: Word,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// End these sessions.
    Kill(DatabaseId, Filter),
    /// So many have been ended.
    Killed(Killed),
    /// Which backend connection is this session's own?
    Find(Sought),
    /// This one, if it has one.
    Found(Option<i64>),
    /// A node that was failing has answered.
    Answers(NodeId),
}

/// What has been ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Killed {
    /// So many sessions.
    pub(super) sessions: u64,
    /// The backend's ids of the links that were theirs alone.
    pub(super) links: Vec<i64>,
}

impl Killed {
    fn add(&mut self, more: Self) {
        self.sessions += more.sessions;
        self.links.extend(more.links);
    }
}

/// A session that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sought {
    pub(super) client_id: u64,
    /// The database that it must be a client of.
    pub(super) database: DatabaseId,
    /// The Redis user that it must be of.
    pub(super) redis_user: Option<String>,
}

/// What this worker has asked the others.
#[derive(Debug)]
pub(super) struct Peers {
    number: usize,
    workers: usize,
    next_token: u64,
    /// Invariant: at most one a session, which awaits its reply.
    asked: HashMap<u64, Asked>,
}

/// A question under way.
#[derive(Debug)]
struct Asked {
    session: SessionId,
    what: What,
    /// Workers that have not answered.
    left: usize,
    /// What has been ended so far.
    killed: Killed,
    until: Instant,
}

impl Peers {
    pub(super) fn new(seed: &Seed) -> Self {
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            number: count(seed.number),
            workers: count(seed.workers),
            next_token: 0,
            asked: HashMap::new(),
        }
    }

    /// Whether this worker is the one that does what is done once.
    pub(super) fn is_first(&self) -> bool {
        self.number == 0
    }

    /// The worker that gave out this id.
    fn of(&self, client_id: u64) -> usize {
        let from_zero = usize::try_from(client_id.saturating_sub(1)).unwrap_or(usize::MAX);
        from_zero % self.workers.max(1)
    }
}

impl Worker {
    /// What another worker says.
    pub fn told(&mut self, message: Message, now: Instant) {
        let Message { from, token, word } = message;
        match word {
            Word::Kill(database, filter) => {
                let killed = self.kill_here((database, &filter), None, now);
                self.tell(from, token, Word::Killed(killed));
            }
            Word::Find(sought) => {
                let found = self.find_here(&sought);
                self.tell(from, token, Word::Found(found));
            }
            Word::Killed(killed) => {
                let Some(asked) = self.peers.asked.get_mut(&token) else { return };
                asked.killed.add(killed);
                asked.left -= 1;
                if asked.left == 0
                    && let Some(asked) = self.peers.asked.remove(&token)
                {
                    self.answered(asked.session, asked.what, Ok(asked.killed), now);
                }
            }
            Word::Found(found) => {
                if let Some(asked) = self.peers.asked.remove(&token) {
                    self.found(asked.session, asked.what, Ok(found), now);
                }
            }
            Word::Answers(node) => self.hear_of_node(node, now),
        }
        self.run_ready(now);
    }

    /// Ends the sessions that are meant, here and at the other workers; then `what` goes on.
    pub(super) fn kill_everywhere(&mut self, asker: SessionId, filter: Filter, what: What, now: Instant) {
        let Some(database) = self.sessions.get(asker).map(|session| session.database) else { return };
        let killed = self.kill_here((database, &filter), Some(asker), now);
        let peers = &self.peers;
        let others: Vec<usize> = (0..peers.workers)
            .filter(|worker| *worker != peers.number)
            .filter(|worker| filter.ids.is_empty() || filter.ids.iter().any(|&id| peers.of(id) == *worker))
            .collect();
        if others.is_empty() {
            return self.answered(asker, what, Ok(killed), now);
        }
        let token = self.ask(asker, what, others.len(), killed, now);
        for worker in others {
            self.tell(worker, token, Word::Kill(database, filter.clone()));
        }
    }

    /// Looks for a session's own backend connection; then `what` goes on.
    pub(super) fn find_anywhere(&mut self, asker: SessionId, sought: Sought, what: What, now: Instant) {
        let worker = self.peers.of(sought.client_id);
        if worker == self.peers.number {
            let found = self.find_here(&sought);
            return self.found(asker, what, Ok(found), now);
        }
        let token = self.ask(asker, what, 1, Killed::default(), now);
        self.tell(worker, token, Word::Find(sought));
    }

    /// Lets the others know that a node answers, so that they do not wait out their turns.
    pub(super) fn tell_of_node(&mut self, node: NodeId) {
        let (all, own) = (self.peers.workers, self.peers.number);
        for worker in (0..all).filter(|&worker| worker != own) {
            self.tell(worker, 0, Word::Answers(node));
        }
    }

    /// Gives up what has not been answered in time.
    pub(super) fn tick_peers(&mut self, now: Instant) {
        let late = |asked: &Asked| asked.until <= now;
        let late: Vec<u64> =
            self.peers.asked.iter().filter(|(_, asked)| late(asked)).map(|(&token, _)| token).collect();
        for token in late {
            let Some(Asked { session, what, .. }) = self.peers.asked.remove(&token) else { continue };
            match what {
                What::Kill(..) => self.answered(session, what, Err(()), now),
                What::Say(_) => self.found(session, what, Err(()), now),
            }
        }
    }

    fn ask(&mut self, session: SessionId, what: What, left: usize, killed: Killed, now: Instant) -> u64 {
        let until = now + Duration::from_millis(self.limits.peer_timeout_ms);
        let token = self.peers.next_token;
        self.peers.next_token += 1;
        self.peers.asked.insert(token, Asked { session, what, left, killed, until });
        token
    }

    fn tell(&mut self, worker: usize, token: u64, word: Word) {
        let message = Message { from: self.peers.number, token, word };
        self.steps.push(Step::Tell { worker, message });
    }

    /// Ends the sessions that are meant, but the one that asks.
    fn kill_here(
        &mut self,
        (database, filter): (DatabaseId, &Filter),
        asker: Option<SessionId>,
        now: Instant,
    ) -> Killed {
        let meant = |(id, session): &(SessionId, &Session)| {
            Some(*id) != asker
                && session.fate != Fate::Dead
                && session.database == database
                && filter.means(session, now)
        };
        let meant: Vec<SessionId> = self.sessions.iter().filter(meant).map(|(id, _)| id).collect();
        let links = meant.iter().filter_map(|&id| self.backend_id(self.sessions.get(id)?)).collect();
        for &id in &meant {
            self.close_client(id, Closed::Killed);
        }
        Killed { sessions: meant.len() as u64, links }
    }

    /// The backend's id of the link that is the session's own.
    fn backend_id(&self, session: &Session) -> Option<i64> {
        self.links.get(session.pinned.as_ref()?.link)?.backend_id
    }

    fn find_here(&self, sought: &Sought) -> Option<i64> {
        let mut sessions = self.sessions.iter().map(|(_, session)| session);
        let session = sessions.find(|session| session.client_id == sought.client_id)?;
        let fits = |user: &String| *user == session.permit.credential().redis_user;
        if session.database != sought.database || !sought.redis_user.as_ref().is_none_or(fits) {
            return None;
        }
        self.backend_id(session)
    }
}
