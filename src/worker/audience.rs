//! Who hears what on one subscriber link, and what has been asked on it. Knows
//! names and sessions' ids, neither sessions nor bytes.

use std::collections::{BTreeSet, HashMap, VecDeque};

use bytes::Bytes;

use crate::command::Topic;
use crate::session::SessionId;

/// The sessions that one subscription at Redis is for.
#[derive(Debug, Default)]
struct Heard {
    listeners: BTreeSet<SessionId>,
    /// Requests under way that ask for it: while there is one, the subscription stays.
    claims: usize,
}

/// What a request on the link is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// A client subscribes to what was sent.
    Subscribe,
    /// A client ends these subscriptions. What was sent are those that nobody else
    /// has; without any a PING was sent, whose reply stands behind every message that
    /// came before.
    Unsubscribe(Vec<Bytes>),
    /// PING of a RESP2 client, with its argument.
    Ping(Bytes),
    /// The gateway ends subscriptions that nobody has any more.
    Vacate,
}

/// A request on the link that Redis has not answered.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) session: SessionId,
    pub(super) what: What,
    pub(super) topic: Topic,
    /// The names that Redis was sent, each of which it confirms; none with a PING.
    pub(super) sent: Vec<Bytes>,
    /// How many of them it has confirmed.
    pub(super) confirmed: usize,
    /// The client hears neither an error nor a reply to PING.
    pub(super) mute: bool,
}

impl Ask {
    pub(super) fn new(session: SessionId, what: What, topic: Topic, sent: Vec<Bytes>) -> Self {
        Self { session, what, topic, sent, confirmed: 0, mute: false }
    }

    /// Whether Redis' next confirmation for it would be this.
    pub(super) fn awaits(&self, topic: Topic, adds: bool, name: Option<&[u8]>) -> bool {
        let expected = self.sent.get(self.confirmed);
        adds == (self.what == What::Subscribe)
            && topic == self.topic
            && expected.is_some()
            && expected.map(|sent| &**sent) == name
    }
}

/// All that one subscriber link carries.
#[derive(Debug, Default)]
pub(super) struct Audience {
    heard: [HashMap<Bytes, Heard>; 3],
    /// In the order in which they were written to the link.
    /// Invariant: as many as the link has tickets that expect `Subscription`.
    pub(super) asks: VecDeque<Ask>,
    /// Subscriptions that nobody has any more, and that Redis has not been told of.
    pub(super) vacant: Vec<(Topic, Bytes)>,
    /// Messages given to clients since the link last rested.
    pub(super) delivered: usize,
    /// Bytes copied to clients since then.
    pub(super) copied: usize,
    /// The link is neither read nor looked at until its clients have had their turn.
    pub(super) rests: bool,
}

impl Audience {
    /// Whether nobody listens and nothing is asked.
    pub(super) fn is_empty(&self) -> bool {
        self.asks.is_empty() && self.vacant.is_empty() && self.heard.iter().all(HashMap::is_empty)
    }

    /// The name, as it is already held where others listen to it.
    pub(super) fn name(&self, topic: Topic, name: &[u8]) -> Bytes {
        match self.heard[topic as usize].get_key_value(name) {
            Some((held, _)) => held.clone(),
            None => Bytes::copy_from_slice(name),
        }
    }

    /// A request for this name is under way.
    pub(super) fn claim(&mut self, topic: Topic, name: &Bytes) {
        self.heard[topic as usize].entry(name.clone()).or_default().claims += 1;
    }

    /// A request for this name has ended.
    pub(super) fn disclaim(&mut self, topic: Topic, name: &[u8]) {
        if let Some(heard) = self.heard[topic as usize].get_mut(name) {
            heard.claims -= 1;
        }
    }

    /// From here on the session hears what comes for this name.
    pub(super) fn listen(&mut self, topic: Topic, name: &Bytes, session: SessionId) {
        self.heard[topic as usize].entry(name.clone()).or_default().listeners.insert(session);
    }

    /// And from here on no longer.
    pub(super) fn leave(&mut self, topic: Topic, name: &[u8], session: SessionId) {
        if let Some(heard) = self.heard[topic as usize].get_mut(name) {
            heard.listeners.remove(&session);
        }
    }

    /// Whether nobody but this session has or wants the subscription.
    pub(super) fn is_only(&self, topic: Topic, name: &[u8], session: SessionId) -> bool {
        self.heard[topic as usize].get(name).is_some_and(|heard| {
            heard.claims == 0 && heard.listeners.len() == 1 && heard.listeners.contains(&session)
        })
    }

    /// Forgets a subscription that nobody has or wants; false when somebody does.
    pub(super) fn forget(&mut self, topic: Topic, name: &[u8]) -> bool {
        let names = &mut self.heard[topic as usize];
        let unheard = names.get(name).is_some_and(|heard| heard.claims == 0 && heard.listeners.is_empty());
        if unheard {
            names.remove(name);
        }
        unheard
    }

    /// As `forget`, and Redis is to be told.
    pub(super) fn vacate(&mut self, topic: Topic, name: &Bytes) {
        if self.forget(topic, name) {
            self.vacant.push((topic, name.clone()));
        }
    }

    /// Who hears what comes for this name.
    pub(super) fn listeners(&self, topic: Topic, name: &[u8]) -> Option<&BTreeSet<SessionId>> {
        Some(&self.heard[topic as usize].get(name)?.listeners)
    }

    /// Everybody who has a subscription or has asked for one.
    pub(super) fn sessions(&self) -> BTreeSet<SessionId> {
        let listeners = self.heard.iter().flat_map(HashMap::values).flat_map(|heard| &heard.listeners);
        listeners.copied().chain(self.asks.iter().map(|ask| ask.session)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: SessionId = SessionId { index: 1, generation: 0 };
    const BOB: SessionId = SessionId { index: 2, generation: 0 };
    const NEWS: Bytes = Bytes::from_static(b"news");

    #[test]
    fn a_subscription_stays_while_anybody_has_or_wants_it() {
        let mut audience = Audience::default();
        audience.claim(Topic::Channel, &NEWS);
        audience.claim(Topic::Channel, &NEWS);
        audience.disclaim(Topic::Channel, b"news");
        audience.listen(Topic::Channel, &NEWS, ANN);
        assert!(!audience.is_only(Topic::Channel, b"news", ANN), "it is wanted by somebody else");
        audience.leave(Topic::Channel, b"news", ANN);
        audience.vacate(Topic::Channel, &NEWS);
        assert_eq!(audience.vacant, []);
        audience.disclaim(Topic::Channel, b"news");
        audience.listen(Topic::Channel, &NEWS, BOB);
        assert!(audience.is_only(Topic::Channel, b"news", BOB));
        assert!(!audience.is_only(Topic::Pattern, b"news", BOB), "a pattern of that name is another");
        audience.leave(Topic::Channel, b"news", BOB);
        audience.vacate(Topic::Channel, &NEWS);
        assert_eq!(audience.vacant, [(Topic::Channel, NEWS)]);
        assert!(audience.listeners(Topic::Channel, b"news").is_none());
    }

    #[test]
    fn a_confirmation_is_of_the_next_name_and_of_the_same_kind() {
        let mut ask = Ask::new(ANN, What::Subscribe, Topic::Channel, vec![NEWS, Bytes::from_static(b"b")]);
        assert!(ask.awaits(Topic::Channel, true, Some(b"news")));
        assert!(!ask.awaits(Topic::Channel, false, Some(b"news")));
        assert!(!ask.awaits(Topic::Pattern, true, Some(b"news")));
        assert!(!ask.awaits(Topic::Channel, true, Some(b"b")));
        ask.confirmed = 2;
        assert!(!ask.awaits(Topic::Channel, true, None));
    }
}
