//! What is sent: requests, the steps in which they are written, and a session of them. A session
//! says all there is to say; playing it adds nothing by chance.

use super::compare::{self, Compare};
use super::dice::Dice;
use super::frames::shown;
use crate::backend::password;
use crate::resp;

/// One request, or bytes that are none.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) bytes: Vec<u8>,
    /// Its words; empty for bytes that are no request.
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) compare: Compare,
}

impl Request {
    pub(crate) fn new(args: Vec<Vec<u8>>) -> Self {
        Self { bytes: resp::request(&args), compare: compare::of(&args), args }
    }

    /// Written with spaces; `""` is an empty word.
    pub(crate) fn typed(text: &str) -> Self {
        Self::new(words(text))
    }

    /// A line of which these are the words.
    pub(crate) fn inline(line: &[u8], args: Vec<Vec<u8>>) -> Self {
        Self { bytes: line.to_vec(), compare: compare::of(&args), args }
    }

    pub(crate) fn raw(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), args: Vec::new(), compare: Compare::Exact }
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.args.first().is_some_and(|first| first.eq_ignore_ascii_case(name.as_bytes()))
    }

    pub(crate) fn has(&self, at: usize, word: &str) -> bool {
        self.args.get(at).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// The twin has to become the same user again after RESET: exception `reset-user`.
    pub(crate) fn is_reset(&self) -> bool {
        self.is("RESET") && self.args.len() == 1
    }

    /// Inside a transaction it takes replies out of EXEC's array, which then never ends.
    fn is_silence(&self) -> bool {
        self.is("CLIENT") && self.has(1, "REPLY") && !self.has(2, "ON")
    }

    /// Whether the gateway may refuse it inside a transaction, which is not to be told from its being
    /// queued where nothing is answered: exception `inside-multi`.
    fn is_refused_inside(&self) -> bool {
        let of_client = ["REPLY", "KILL", "UNBLOCK", "TRACKING", "TRACKINGINFO", "GETREDIR"];
        let others = ["HELLO", "MONITOR", "SYNC", "PSYNC", "WAIT", "WAITAOF"];
        self.is_about_subscriptions()
            || others.iter().any(|name| self.is(name))
            || (self.is("CLIENT") && of_client.iter().any(|sub| self.has(1, sub)))
    }

    fn is_about_subscriptions(&self) -> bool {
        ["SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE", "SSUBSCRIBE", "SUNSUBSCRIBE"]
            .iter()
            .any(|name| self.is(name))
    }

    /// Whether there may be more replies than one, or none, or others than its own behind it.
    fn is_uneven(&self) -> bool {
        self.args.is_empty()
            || self.is_about_subscriptions()
            || self.is("MONITOR")
            || (self.is("CLIENT") && (self.has(1, "REPLY") || self.has(1, "TRACKING")))
    }
}

/// The words of a text.
pub(crate) fn words(text: &str) -> Vec<Vec<u8>> {
    text.split_whitespace().map(|word| if word == "\"\"" { Vec::new() } else { word.into() }).collect()
}

/// In which pieces bytes are written to the gateway.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cuts {
    Whole,
    /// A byte each.
    Bytes,
    /// By chance, with this seed.
    Random(u64),
    /// In two, the second when the twin has answered all.
    Pause(u64),
}

/// Requests that are written together by one of a session's connections. The next step begins
/// when all replies have arrived.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) connection: usize,
    pub(crate) requests: Vec<Request>,
    pub(crate) cuts: Cuts,
    /// How many connections may go on waiting for data when the step is over.
    pub(crate) blocked: u64,
}

impl Step {
    pub(crate) fn new(connection: usize, requests: Vec<Request>) -> Self {
        Self { connection, requests, cuts: Cuts::Whole, blocked: 0 }
    }

    pub(crate) fn typed(connection: usize, commands: &[&str]) -> Self {
        Self::new(connection, commands.iter().map(|command| Request::typed(command)).collect())
    }

    pub(crate) fn blocking(self, blocked: u64) -> Self {
        Self { blocked, ..self }
    }

    pub(crate) fn for_gateway(&self) -> Vec<u8> {
        self.requests.iter().flat_map(|request| request.bytes.iter().copied()).collect()
    }

    /// The same, and where the session is reset the twin becomes its user again.
    pub(crate) fn for_twin(&self, user: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for request in &self.requests {
            bytes.extend_from_slice(&request.bytes);
            if request.is_reset() {
                // The default user may not ECHO: that marks where the reply to AUTH is.
                bytes.extend_from_slice(&resp::typed("ECHO who"));
                bytes.extend_from_slice(&resp::request(&["AUTH", user, &password(user)]));
            }
        }
        bytes
    }

    /// How each of so many replies is compared.
    pub(crate) fn comparisons(&self, replies: usize) -> Vec<Compare> {
        let even = self.requests.len() == replies && !self.requests.iter().any(Request::is_uneven);
        if even {
            return self.requests.iter().map(|request| request.compare).collect();
        }
        let worst = self.requests.iter().map(|request| request.compare).max();
        vec![worst.unwrap_or(Compare::Exact); replies]
    }
}

/// One session.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) kind: &'static str,
    pub(crate) user: &'static str,
    /// Over connections of its own.
    pub(crate) fresh: bool,
    /// The server says nothing to an AUTH that fails in a transaction, so that EXEC's array
    /// never ends: Redis 8.2.
    pub(crate) loses_auth: bool,
    pub(crate) steps: Vec<Step>,
}

impl Session {
    /// What follows from the order of the requests, on each connection.
    pub(crate) fn sealed(mut self) -> Self {
        for connection in 0..self.connections() {
            let (mut queued, mut is_muted): (Option<Compare>, bool) = (None, false);
            for step in self.steps.iter_mut().filter(|step| step.connection == connection) {
                for request in &mut step.requests {
                    if request.is("MULTI") {
                        queued = queued.or(Some(Compare::Exact));
                    } else if request.is("EXEC") {
                        request.compare = queued.take().unwrap_or(Compare::Exact);
                    } else if request.is("DISCARD") || request.is_reset() {
                        queued = None;
                        is_muted &= !request.is_reset();
                    } else if let Some(worst) = &mut queued {
                        let loses_auth = self.loses_auth && (request.is("AUTH") || request.has(2, "AUTH"));
                        if loses_auth || request.is_silence() || (is_muted && request.is_refused_inside()) {
                            *request = Request::typed("PING");
                        }
                        *worst = request.compare.max(*worst);
                    } else if request.is("CLIENT") && request.has(1, "REPLY") {
                        is_muted = request.has(2, "OFF") || (is_muted && !request.has(2, "ON"));
                    }
                }
            }
        }
        self
    }

    pub(crate) fn connections(&self) -> usize {
        self.steps.iter().map(|step| step.connection + 1).max().unwrap_or(1)
    }

    /// Whether a request of this name is in it.
    pub(crate) fn uses(&self, names: &[&str]) -> bool {
        self.steps.iter().flat_map(|step| &step.requests).any(|request| {
            let line = [b" ", request.bytes.as_slice()].concat().to_ascii_lowercase();
            names.iter().any(|name| line.windows(name.len()).any(|window| window == name.as_bytes()))
        })
    }

    pub(crate) fn requests(&self) -> usize {
        self.steps.iter().map(|step| step.requests.len()).sum()
    }
}

/// Cuts that a session draws.
pub(crate) fn cuts(dice: &mut Dice) -> Cuts {
    match dice.below(10) {
        0 => Cuts::Bytes,
        1 | 2 => Cuts::Random(dice.next()),
        3 | 4 => Cuts::Pause(dice.next()),
        _ => Cuts::Whole,
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "connection {}, {:?}:", self.connection, self.cuts)?;
        for request in &self.requests {
            if request.args.is_empty() || request.bytes[0] != b'*' {
                write!(f, "\n    bytes {}", shown(&request.bytes))?;
            } else {
                let words: Vec<String> = request
                    .args
                    .iter()
                    .map(|arg| if arg.is_empty() { "\"\"".to_owned() } else { shown(arg) })
                    .collect();
                write!(f, "\n    {}", words.join(" "))?;
            }
        }
        Ok(())
    }
}
