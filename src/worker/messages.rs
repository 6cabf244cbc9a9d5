//! Subscriptions that many clients share: what Redis says on a subscriber link, and
//! whom it is for.

use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};

use super::audience::{Ask, Audience, What};
use super::{Closed, Loss, Worker};
use crate::command::Topic;
use crate::resp::{SHARE_MIN, args};
use crate::session::subscribed::{Message, confirm, pong, weight};
use crate::session::{Fate, Session, SessionId};
use crate::upstream::{Expect, LinkId};

/// Messages given to clients in one turn of a link, give or take those of one message:
/// other clients of the thread wait that long, some milliseconds. Fewer would cost each
/// subscriber more writes for the same burst.
const TURN: usize = 32_768;

/// Bytes copied to clients in one turn.
const TURN_BYTES: usize = 8 * 1024 * 1024;

/// What Redis pushes to a subscriber.
enum Push<'a> {
    /// A message for those who listen to this kind.
    Message(Topic),
    /// A subscription has begun or ended.
    Confirmation(Topic, bool, Option<&'a [u8]>),
    /// Nothing that was asked for.
    Other,
}

impl Worker {
    /// Whether what came for thousands of clients is to be written to them before the
    /// link is looked at again; [`Worker::link_resumed`] is due at its next turn.
    #[must_use]
    pub fn link_rests(&self, id: LinkId) -> bool {
        self.audiences.get(&id).is_some_and(|audience| audience.rests)
    }

    /// The other tasks have had their turn: what was left of a link's input is looked at.
    pub fn link_resumed(&mut self, id: LinkId, now: Instant) {
        if let Some(audience) = self.audiences.get_mut(&id)
            && std::mem::take(&mut audience.rests)
        {
            audience.delivered = 0;
            audience.copied = 0;
            self.link_filled(id, now);
        }
    }

    /// Takes what has come on a subscriber link.
    pub(super) fn heard(&mut self, id: LinkId, input: &mut BytesMut, now: Instant) -> Result<(), Loss> {
        let Some(mut audience) = self.audiences.remove(&id) else { return Ok(()) };
        let mut overdue = Vec::new();
        let heard = self.frames(id, &mut audience, input, &mut overdue, now);
        if !audience.vacant.is_empty() {
            self.vacancies.push(id);
        }
        self.audiences.insert(id, audience);
        for client in overdue {
            self.close_client(client, Closed::OutputLimit);
        }
        heard
    }

    fn frames(
        &mut self,
        id: LinkId,
        audience: &mut Audience,
        input: &mut BytesMut,
        overdue: &mut Vec<SessionId>,
        now: Instant,
    ) -> Result<(), Loss> {
        while let Some(&first) = input.first() {
            if audience.delivered >= TURN || audience.copied >= TURN_BYTES {
                audience.rests = true;
                return Ok(());
            }
            let Some(link) = self.links.get_mut(id) else { return Ok(()) };
            let Some(len) = link.scan.scan(input).map_err(Loss::Unreadable)? else {
                // Nobody could be given it whole.
                let too_long = input.len() > self.limits.client_output_hard_bytes;
                return if too_long { Err(Loss::LongMessage) } else { Ok(()) };
            };
            if first != b'>' {
                let front = link.pending.front().map(|ticket| &ticket.expect);
                if front == Some(&Expect::Subscription) {
                    self.subscriber_answered(id, audience, &input[..len], now)?;
                    input.advance(len);
                } else {
                    self.frame(id, input, len, now)?;
                }
                continue;
            }
            match push(&input[..len]) {
                Push::Message(topic) => self.fan_out(audience, topic, input, len, overdue, now),
                Push::Confirmation(topic, adds, name) => {
                    self.confirmed(id, audience, (topic, adds, name), now)?;
                    input.advance(len);
                }
                Push::Other => return Err(Loss::PushOnShared),
            }
        }
        Ok(())
    }

    /// Gives a message to everybody who listens to the name it came for.
    fn fan_out(
        &mut self,
        audience: &mut Audience,
        topic: Topic,
        input: &mut BytesMut,
        len: usize,
        overdue: &mut Vec<SessionId>,
        now: Instant,
    ) {
        let name = args(&input[..len]).nth(1).unwrap_or_default();
        let Some(listeners) = audience.listeners(topic, name) else { return input.advance(len) };
        let readers = listeners.len();
        let large: Bytes;
        let message = if len < SHARE_MIN {
            Message::Small(&input[..len])
        } else {
            large = input.split_to(len).freeze();
            Message::Large { bytes: large, readers }
        };
        for &to in listeners {
            let Some(session) = self.sessions.get_mut(to).filter(|session| session.fate == Fate::Open) else {
                continue;
            };
            if session.out.is_empty() {
                session.read_at = now;
            }
            session.hear(&message);
            if session.unread_bytes() > self.limits.client_output_hard_bytes {
                overdue.push(to);
            } else if !session.woken {
                session.woken = true;
                self.steps.push(super::Step::WakeClient(to));
            }
        }
        if len < SHARE_MIN {
            input.advance(len);
            audience.copied += len * readers;
        }
        self.tally.messages += readers as u64;
        audience.delivered += readers;
    }

    /// A subscription has begun or ended at Redis.
    fn confirmed(
        &mut self,
        id: LinkId,
        audience: &mut Audience,
        (topic, adds, name): (Topic, bool, Option<&[u8]>),
        now: Instant,
    ) -> Result<(), Loss> {
        let front = self.links.get(id).and_then(|link| link.pending.front());
        let is_asked = front.is_some_and(|ticket| ticket.expect == Expect::Subscription);
        match audience.asks.front_mut() {
            Some(ask) if is_asked && ask.awaits(topic, adds, name) => {
                ask.confirmed += 1;
                if ask.confirmed == ask.sent.len() {
                    self.complete_subscription(id, audience, None, now);
                }
                Ok(())
            }
            // The server ends subscriptions by itself when a slot moves away.
            _ if topic == Topic::Shard && !adds => {
                self.moved_away(audience, name.unwrap_or_default());
                Ok(())
            }
            _ => Err(Loss::OutOfStep),
        }
    }

    /// Redis has answered a request on a subscriber link with something else than
    /// confirmations: an error, or the reply to PING.
    fn subscriber_answered(
        &mut self,
        id: LinkId,
        audience: &mut Audience,
        frame: &[u8],
        now: Instant,
    ) -> Result<(), Loss> {
        let Some(ask) = audience.asks.front() else { return Err(Loss::OutOfStep) };
        let is_error = matches!(frame[0], b'-' | b'!');
        let fits = if is_error { ask.confirmed == 0 } else { ask.sent.is_empty() && frame == b"+PONG\r\n" };
        if !fits {
            return Err(Loss::OutOfStep);
        }
        // A PING that stands for an UNSUBSCRIBE has done what it was for, whatever it got.
        let is_marker = ask.sent.is_empty() && matches!(ask.what, What::Unsubscribe(_));
        let refusal = (is_error && !is_marker).then_some(frame);
        self.complete_subscription(id, audience, refusal, now);
        Ok(())
    }

    /// The request that was asked first has been answered.
    fn complete_subscription(
        &mut self,
        id: LinkId,
        audience: &mut Audience,
        refusal: Option<&[u8]>,
        now: Instant,
    ) {
        let Some(ask) = audience.asks.pop_front() else { return };
        if let Some(link) = self.links.get_mut(id) {
            link.settle(1);
        }
        if ask.what == What::Subscribe {
            for name in &ask.sent {
                audience.disclaim(ask.topic, name);
            }
        }
        let session = self.sessions.get_mut(ask.session).filter(|session| session.subscribed.is_some());
        if let Some(session) = session {
            if session.out.is_empty() {
                session.read_at = now;
            }
            match refusal {
                Some(error) if !ask.mute => session.say(error),
                Some(_) => {}
                None => carry_out(session, audience, &ask),
            }
            if let Some(subscribed) = &mut session.subscribed {
                subscribed.asked -= 1;
                if ask.what == What::Subscribe {
                    subscribed.asked_bytes -= weight(ask.sent.iter().map(|name| &**name));
                }
            }
            session.subscribed.take_if(|it| it.asked == 0 && it.is_empty());
            self.settle_session(ask.session, 1);
            self.wake_client(ask.session);
        }
        if ask.what == What::Subscribe {
            // Of a client that is gone, or was refused.
            for name in &ask.sent {
                audience.vacate(ask.topic, name);
            }
        }
    }

    fn moved_away(&mut self, audience: &mut Audience, name: &[u8]) {
        let listeners = audience.listeners(Topic::Shard, name).cloned().unwrap_or_default();
        for to in listeners {
            audience.leave(Topic::Shard, name, to);
            let Some(session) = self.sessions.get_mut(to) else { continue };
            let mut text = Vec::new();
            if let Some(subscribed) = &mut session.subscribed {
                subscribed.remove(Topic::Shard, name);
                let counts = subscribed.counts();
                confirm(session.proto, (Topic::Shard, false), Some(name), counts, &mut text);
            }
            session.subscribed.take_if(|it| it.asked == 0 && it.is_empty());
            session.say(&text);
            self.wake_client(to);
        }
        audience.forget(Topic::Shard, name);
    }

    /// A subscriber link is gone: whoever heard something over it is closed, as it
    /// would be by the loss of its own. Requests have been answered.
    pub(super) fn lose_audience(&mut self, id: LinkId) {
        let Some(audience) = self.audiences.remove(&id) else { return };
        for listener in audience.sessions() {
            let lost = self.sessions.get_mut(listener).and_then(|session| session.subscribed.take());
            if lost.is_some_and(|subscribed| !subscribed.is_empty()) {
                self.end_client(listener);
            }
        }
    }
}

/// What Redis has confirmed holds for the session from here on, and it is told so.
fn carry_out(session: &mut Session, audience: &mut Audience, ask: &Ask) {
    let Some(subscribed) = &mut session.subscribed else { return };
    let (proto, topic) = (session.proto, ask.topic);
    let mut text = Vec::new();
    match &ask.what {
        What::Subscribe => {
            for name in &ask.sent {
                subscribed.add(topic, name.clone());
                audience.listen(topic, name, ask.session);
                confirm(proto, (topic, true), Some(name), subscribed.counts(), &mut text);
            }
        }
        What::Unsubscribe(named) => {
            let mut sent = ask.sent.iter().peekable();
            for name in named {
                let is_told = sent.next_if_eq(&name).is_some();
                if subscribed.remove(topic, name) {
                    audience.leave(topic, name, ask.session);
                    if is_told {
                        audience.forget(topic, name);
                    } else {
                        audience.vacate(topic, name);
                    }
                }
                confirm(proto, (topic, false), Some(name), subscribed.counts(), &mut text);
            }
            if named.is_empty() {
                confirm(proto, (topic, false), None, subscribed.counts(), &mut text);
            }
        }
        What::Ping(argument) if !ask.mute => text = pong(argument),
        What::Ping(_) | What::Vacate => {}
    }
    session.say(&text);
}

fn push(frame: &[u8]) -> Push<'_> {
    let mut words = args(frame);
    let (topic, adds) = match words.next() {
        Some(b"message") => return Push::Message(Topic::Channel),
        Some(b"pmessage") => return Push::Message(Topic::Pattern),
        Some(b"smessage") => return Push::Message(Topic::Shard),
        Some(b"subscribe") => (Topic::Channel, true),
        Some(b"psubscribe") => (Topic::Pattern, true),
        Some(b"ssubscribe") => (Topic::Shard, true),
        Some(b"unsubscribe") => (Topic::Channel, false),
        Some(b"punsubscribe") => (Topic::Pattern, false),
        Some(b"sunsubscribe") => (Topic::Shard, false),
        _ => return Push::Other,
    };
    Push::Confirmation(topic, adds, words.next())
}
