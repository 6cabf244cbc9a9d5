//! What is told of connections to backends that fail or are lost, and of nodes that lead elsewhere: the same of
//! the same node and Redis user once in a while, with how often it has happened since. Counts each loss.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::upstream::{Cause, NodeId};
use crate::worker::Loss;

/// How long the same is not said again.
const SILENCE: Duration = Duration::from_secs(10);

/// How many different things are remembered.
const KNOWN_MAX: usize = 1_024;

/// The losses of one thread.
#[derive(Default)]
pub(super) struct Losses {
    known: HashMap<(NodeId, Topic), Said>,
    /// By cause, for the metric.
    counts: HashMap<&'static str, u64>,
    /// Redis users that were refused (why), or are accepted again, for the audit.
    verdicts: Vec<(NodeId, String, Option<String>)>,
}

/// What is told of a node.
#[derive(PartialEq, Eq, Hash)]
enum Topic {
    /// A Redis user's connection is lost.
    Loss(String, Option<Cause>),
    /// It names a node that its cluster's map does not have.
    Elsewhere,
}

struct Said {
    at: Instant,
    since: u64,
}

impl Losses {
    /// How often the same has happened without being said, if it is to be said now.
    pub(super) fn lost(&mut self, node: NodeId, redis_user: &str, loss: &Loss, now: Instant) -> Option<u64> {
        let cause = loss.cause();
        if let Some(cause) = cause {
            *self.counts.entry(cause.as_str()).or_default() += 1;
        }
        match cause {
            Some(Cause::Auth) => {
                self.verdicts.push((node, redis_user.to_owned(), Some(loss.to_string())));
            }
            Some(Cause::OutOfStep) => return Some(0),
            // It follows from what has been said.
            None if *loss == Loss::FailFast => return None,
            _ => {}
        }
        self.told(node, Topic::Loss(redis_user.to_owned(), cause), now)
    }

    /// The same of a node that names one which its cluster's map does not have.
    pub(super) fn led_elsewhere(&mut self, node: NodeId, now: Instant) -> Option<u64> {
        self.told(node, Topic::Elsewhere, now)
    }

    fn told(&mut self, node: NodeId, topic: Topic, now: Instant) -> Option<u64> {
        if self.known.len() >= KNOWN_MAX {
            self.known.retain(|_, said| now.saturating_duration_since(said.at) < SILENCE);
        }
        let key = (node, topic);
        match self.known.get_mut(&key) {
            Some(said) if now.saturating_duration_since(said.at) < SILENCE => {
                said.since += 1;
                None
            }
            Some(said) => {
                said.at = now;
                Some(std::mem::take(&mut said.since))
            }
            None => {
                self.known.insert(key, Said { at: now, since: 0 });
                Some(0)
            }
        }
    }

    /// A node answers again: what comes next is news.
    pub(super) fn is_back(&mut self, node: NodeId) {
        self.known.retain(|(of, _), _| *of != node);
    }

    /// A Redis user is accepted again.
    pub(super) fn user_is_back(&mut self, node: NodeId, redis_user: String) {
        let is_of = |topic: &Topic| matches!(topic, Topic::Loss(user, _) if *user == redis_user);
        self.known.retain(|(of, topic), _| *of != node || !is_of(topic));
        self.verdicts.push((node, redis_user, None));
    }

    /// How many there have been since the last call, by cause.
    pub(super) fn take_counts(&mut self) -> HashMap<&'static str, u64> {
        std::mem::take(&mut self.counts)
    }

    /// Who was refused or accepted since the last call, in order.
    pub(super) fn take_verdicts(&mut self) -> Vec<(NodeId, String, Option<String>)> {
        std::mem::take(&mut self.verdicts)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests need some instant to count from")]
    use super::*;

    const NODE: NodeId = NodeId(7);

    #[test]
    fn the_same_is_said_once_in_a_while_with_how_often_it_was() {
        let (mut losses, start) = (Losses::default(), Instant::now());
        let refused = Loss::Connect("refused".into());
        assert_eq!(losses.lost(NODE, "app", &refused, start), Some(0));
        for ms in 1..100 {
            assert_eq!(losses.lost(NODE, "app", &refused, start + Duration::from_millis(ms)), None);
        }
        assert_eq!(losses.lost(NODE, "ops", &refused, start), Some(0), "of another user");
        assert_eq!(losses.lost(NODE, "app", &Loss::Closed, start), Some(0), "another cause");
        assert_eq!(losses.lost(NODE, "app", &refused, start + SILENCE), Some(99));
        losses.is_back(NODE);
        assert_eq!(losses.lost(NODE, "app", &refused, start + SILENCE), Some(0), "it is news again");
        assert_eq!(losses.take_counts()["connect"], 103);
    }

    #[test]
    fn a_node_that_leads_elsewhere_is_told_of_once_in_a_while() {
        let (mut losses, start) = (Losses::default(), Instant::now());
        assert_eq!(losses.led_elsewhere(NODE, start), Some(0));
        assert!((0..99).all(|_| losses.led_elsewhere(NODE, start).is_none()));
        assert_eq!(losses.led_elsewhere(NodeId(8), start), Some(0), "another node");
        assert_eq!(losses.led_elsewhere(NODE, start + SILENCE), Some(99));
        assert!(losses.take_counts().is_empty(), "no connection is lost");
    }

    #[test]
    fn what_is_out_of_step_is_always_said_and_what_follows_from_a_failure_never() {
        let (mut losses, now) = (Losses::default(), Instant::now());
        assert!((0..3).all(|_| losses.lost(NODE, "app", &Loss::OutOfStep, now) == Some(0)));
        assert_eq!(losses.lost(NODE, "app", &Loss::FailFast, now), None);
        assert_eq!(losses.take_counts().len(), 1);
    }
}
