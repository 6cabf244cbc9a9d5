//! Subscriptions that many clients share: their requests, on the way to Redis.
//!
//! Each SUBSCRIBE goes to the lane's subscriber link as it is, so that Redis' own rights
//! and words hold for each client; asking again for what the link already has costs
//! Redis a lookup. An UNSUBSCRIBE goes there as one only for what nobody else has, and
//! otherwise as a PING: either is answered behind every message that came before.

use std::time::Instant;

use bytes::Bytes;

use super::Worker;
use super::audience::{Ask, What};
use super::input::Input;
use super::lanes::NOBODY;
use super::local::not_while_subscribed;
use super::requests::{Flow, arguments};
use crate::command::{Class, Topic, Why};
use crate::resp::{Proto, Request, write};
use crate::session::subscribed::{Subscribed, confirm, weight, word};
use crate::session::{SessionId, Stall, Subscriptions, Via, answer};
use crate::upstream::{Expect, Link, LinkId, LinkRole};

/// Invalidations come to the connection that they were asked for by, whoever else listens.
const INVALIDATE: &[u8] = b"__redis__:invalidate";

/// Bytes of names in one request of the gateway's own.
const VACATE_BYTES: usize = 64 * 1024;

impl Worker {
    /// A request of a client that has subscriptions over a shared link, or is about to;
    /// `None` where that makes no difference.
    pub(super) fn request_of_subscriber<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        class: Class,
        now: Instant,
    ) -> Option<Flow> {
        let session = self.sessions.get(id)?;
        let asked = session.subscribed.as_ref().map(|subscribed| subscribed.asked);
        if let Class::Subscribe(topic) | Class::Unsubscribe(topic) = class {
            let own = session.pinned.as_ref().is_some_and(|pinned| pinned.subscriptions.total() > 0);
            // Those that have any go on as they began.
            let shares = self.nodes.database(session.database).is_some_and(|it| it.shares_subscriptions);
            if asked.is_none() && (own || !shares) {
                return None;
            }
            if matches!(session.via, Via::Pinned(_)) && !session.is_settled() {
                // It may be about to have some of its own.
                return Some(Flow::Wait(Stall::Barrier));
            }
            if class != Class::Subscribe(topic) {
                return Some(self.unsubscribe(id, input, request, topic, now));
            }
            let args = arguments(input, request);
            if topic == Topic::Channel && args.contains(&INVALIDATE) {
                asked?;
                return Some(self.refuse_words(
                    id,
                    input,
                    request,
                    "ERR respgate: __redis__:invalidate needs a connection without other subscriptions",
                ));
            }
            return Some(self.subscribe(id, input, request, topic, now));
        }
        let is_modal = session.proto == Proto::Resp2;
        match class {
            Class::Abuse => None,
            _ if asked? > 0 => Some(Flow::Wait(Stall::Barrier)),
            // Who is modal is told so there.
            Class::Answer(_) => None,
            Class::Share if is_modal && is_ping(&input.bytes()[request.name.clone()]) => {
                Some(self.ping(id, input, request, now))
            }
            _ if is_modal => {
                let text = not_while_subscribed(&arguments(input, request));
                Some(self.refuse_words(id, input, request, &text))
            }
            // Its output is not frames: no message could come between.
            Class::Pin(Why::Stream) => {
                let text = "ERR respgate: command not supported while subscribed";
                Some(self.refuse_words(id, input, request, text))
            }
            _ => None,
        }
    }

    /// What a command does to a session on its own link: nothing, where RESP2's
    /// subscribed mode has Redis refuse it.
    pub(super) fn class_in_subscribed_mode(&self, id: SessionId, class: Class) -> Result<Class, Stall> {
        let leaves_state = matches!(class, Class::Transaction(_) | Class::Pin(Why::Stream | Why::Connection));
        let session = self.sessions.get(id).filter(|session| leaves_state && session.proto == Proto::Resp2);
        let Some((session, pinned)) = session.and_then(|it| Some((it, it.pinned.as_ref()?))) else {
            return Ok(class);
        };
        let link = self.links.get(pinned.link);
        let asks = |link: &Link| link.pending.iter().any(|it| matches!(it.expect, Expect::Confirmations(_)));
        if !session.is_settled() && link.is_some_and(asks) {
            // Whether it is in that mode is known then.
            return Err(Stall::Barrier);
        }
        Ok(if pinned.subscriptions.total() > 0 { Class::Share } else { class })
    }

    fn subscribe<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        topic: Topic,
        now: Instant,
    ) -> Flow {
        if request.argc == 1 {
            return self.refuse_words(id, input, request, &answer::wrong_arity(word(topic, true)));
        }
        let args = arguments(input, request);
        let asked_bytes = weight(args[1..].iter().copied());
        let held = self.sessions.get(id).and_then(|session| session.subscribed.as_ref());
        if held.map_or(0, |it| it.bytes()) + asked_bytes > self.limits.subscriptions_bytes_max {
            let text = "ERR respgate: too many subscriptions, command not sent";
            return self.refuse_words(id, input, request, text);
        }
        let link = match self.subscriber_link(id, now) {
            Ok(link) => link,
            Err(stall) => return Flow::Wait(stall),
        };
        let Some(audience) = self.audiences.get_mut(&link) else { return Flow::Done };
        let names: Vec<Bytes> = args[1..].iter().map(|name| audience.name(topic, name)).collect();
        for name in &names {
            audience.claim(topic, name);
        }
        self.ask_audience(id, link, Ask::new(id, What::Subscribe, topic, names), now);
        if let Some(subscribed) = self.sessions.get_mut(id).and_then(|it| it.subscribed.as_mut()) {
            subscribed.asked_bytes += asked_bytes;
        }
        if let Some(link) = self.links.get_mut(link) {
            input.forward(request.len, link);
        }
        Flow::Done
    }

    fn unsubscribe<I: Input>(
        &mut self,
        id: SessionId,
        input: &mut I,
        request: &Request,
        topic: Topic,
        now: Instant,
    ) -> Flow {
        let Some(session) = self.sessions.get(id) else { return Flow::Done };
        let args = arguments(input, request);
        let Some(subscribed) = &session.subscribed else {
            // It has none of any kind: there is nothing that Redis could add.
            let mut text = Vec::new();
            for name in &args[1..] {
                confirm(session.proto, (topic, false), Some(name), Subscriptions::default(), &mut text);
            }
            if args.len() == 1 {
                confirm(session.proto, (topic, false), None, Subscriptions::default(), &mut text);
            }
            self.answer_bytes(id, text);
            input.skip(request.len);
            return Flow::Done;
        };
        if request.argc == 1 && !session.is_settled() {
            // Which these are is known when what comes before has been answered.
            return Flow::Wait(Stall::Barrier);
        }
        let named = match self.audiences.get(&subscribed.link) {
            Some(audience) if args.len() > 1 => {
                args[1..].iter().map(|name| audience.name(topic, name)).collect()
            }
            _ => subscribed.names(topic).cloned().collect(),
        };
        let link = match self.subscriber_link(id, now) {
            Ok(link) => link,
            Err(stall) => return Flow::Wait(stall),
        };
        input.skip(request.len);
        self.ask_to_leave(id, link, topic, named, now);
        Flow::Done
    }

    fn ask_to_leave(&mut self, id: SessionId, on: LinkId, topic: Topic, named: Vec<Bytes>, now: Instant) {
        let Some(audience) = self.audiences.get(&on) else { return };
        let only = named.iter().filter(|name| audience.is_only(topic, name, id));
        let sent: Vec<Bytes> = only.cloned().collect();
        let request = match sent.as_slice() {
            [] => write::command(&[b"PING"]),
            names => command(topic, names),
        };
        self.ask_audience(id, on, Ask::new(id, What::Unsubscribe(named), topic, sent), now);
        if let Some(link) = self.links.get_mut(on) {
            link.append(&request);
        }
    }

    /// PING of a RESP2 client goes the way of the messages, and is answered behind
    /// those that came before it.
    fn ping<I: Input>(&mut self, id: SessionId, input: &mut I, request: &Request, now: Instant) -> Flow {
        if request.argc > 2 {
            return self.refuse_words(id, input, request, &answer::wrong_arity("ping"));
        }
        let link = match self.subscriber_link(id, now) {
            Ok(link) => link,
            Err(stall) => return Flow::Wait(stall),
        };
        let argument =
            arguments(input, request).get(1).map_or_else(Bytes::new, |it| Bytes::copy_from_slice(it));
        input.skip(request.len);
        self.ask_audience(id, link, Ask::new(id, What::Ping(argument), Topic::Channel, Vec::new()), now);
        if let Some(link) = self.links.get_mut(link) {
            link.append(&write::command(&[b"PING"]));
        }
        Flow::Done
    }

    /// The link that carries the session's subscriptions, or will carry its first one.
    fn subscriber_link(&mut self, id: SessionId, now: Instant) -> Result<LinkId, Stall> {
        let Some(session) = self.sessions.get(id) else { return Err(Stall::Barrier) };
        let own = session.subscribed.as_ref().map(|subscribed| subscribed.link);
        let is_there = own.is_some_and(|link| session.via == Via::Shared(link));
        if !session.is_settled() && !is_there {
            return Err(Stall::Barrier);
        }
        if let Some(link) = own {
            return self.reserve_room(id, link);
        }
        let Some(lane) = self.sibling_lane(id, Proto::Resp3, 0) else { return Err(Stall::Barrier) };
        let link = match self.lanes[lane].subscriber {
            Some(link) => link,
            None => {
                let link = self.open_link(lane, LinkRole::Subscriber, now);
                self.lanes[lane].subscriber = Some(link);
                self.audiences.insert(link, Default::default());
                link
            }
        };
        self.reserve_room(id, link)
    }

    /// Notes a request on a subscriber link, whose bytes the caller appends next.
    fn ask_audience(&mut self, id: SessionId, on: LinkId, mut ask: Ask, now: Instant) {
        if let Some(session) = self.sessions.get_mut(id) {
            // Confirmations are told whatever CLIENT REPLY says, as Redis does.
            ask.mute = session.take_mute();
            session.slots.push_awaited(1, false);
            session.via = Via::Shared(on);
            session.subscribed.get_or_insert_with(|| Box::new(Subscribed::new(on))).asked += 1;
        }
        self.tally.requests += 1;
        self.note_ask(on, ask, now);
    }

    fn note_ask(&mut self, on: LinkId, ask: Ask, now: Instant) {
        let (Some(link), Some(audience)) = (self.links.get_mut(on), self.audiences.get_mut(&on)) else {
            return;
        };
        link.claim(ask.session, 1, Expect::Subscription, now);
        link.since_fence += 1;
        audience.asks.push_back(ask);
        self.wake_link(on);
    }

    /// The session listens to nothing any more: it has gone, or starts over.
    pub(super) fn unlisten(&mut self, id: SessionId) {
        let Some(subscribed) = self.sessions.get_mut(id).and_then(|session| session.subscribed.take()) else {
            return;
        };
        let Some(audience) = self.audiences.get_mut(&subscribed.link) else { return };
        for topic in [Topic::Channel, Topic::Pattern, Topic::Shard] {
            for name in subscribed.names(topic) {
                audience.leave(topic, name, id);
                audience.vacate(topic, name);
            }
        }
        if !audience.vacant.is_empty() {
            self.vacancies.push(subscribed.link);
        }
    }

    /// Tells Redis of the subscriptions that nobody has any more.
    pub(super) fn fill_vacancies(&mut self, now: Instant) {
        for on in std::mem::take(&mut self.vacancies) {
            let Some(audience) = self.audiences.get_mut(&on) else { continue };
            let mut vacant = std::mem::take(&mut audience.vacant);
            // What somebody has asked for since is not to be ended behind that.
            vacant.retain(|(topic, name)| audience.listeners(*topic, name).is_none());
            vacant.sort_by_key(|(topic, _)| *topic as usize);
            let mut rest = vacant.as_slice();
            while let Some((topic, _)) = rest.first() {
                let mut bytes = 0;
                let alike = rest.iter().take_while(|(other, name)| {
                    let fits = other == topic && bytes < VACATE_BYTES;
                    bytes += name.len() + 1;
                    fits
                });
                let names: Vec<Bytes> = alike.map(|(_, name)| name.clone()).collect();
                rest = &rest[names.len()..];
                let request = command(*topic, &names);
                self.note_ask(on, Ask::new(NOBODY, What::Vacate, *topic, names), now);
                if let Some(link) = self.links.get_mut(on) {
                    link.append(&request);
                }
            }
        }
    }
}

fn is_ping(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"ping")
}

/// The request that ends these subscriptions.
fn command(topic: Topic, names: &[Bytes]) -> Vec<u8> {
    let mut words: Vec<&[u8]> = vec![word(topic, false).as_bytes()];
    words.extend(names.iter().map(|name| &**name));
    write::command(&words)
}
