//! Which node is the master, by what the sentinels of a configuration say of it.
//!
//! An address is believed when so many sentinels give it at the same time that no other
//! can have as many: one that is stale, cut off or lying is outvoted. Only those of the
//! configuration are heard; whom they know of themselves is not learned. What has been
//! believed last stays until another address is: that nobody answers says nothing about
//! the master. Knows no socket, no name lookup and no link.

mod talk;

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, Instant};

pub use talk::{Heard, Login, Talk, TalkError};

use crate::limits::Limits;

/// Where a sentinel says that the master is: a host name or IP address, without
/// brackets, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// What a sentinel answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The master is there.
    Master(Place),
    /// It monitors no master of that name.
    NoSuchMaster,
}

/// What all answers together amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Enough of them give one address.
    Agreed,
    /// Too few answer.
    Few,
    /// Enough answer, and do not agree.
    Divided,
    /// Enough of them monitor no master of that name.
    NoSuchMaster,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The master is there from now on.
    Master {
        /// Where it is.
        place: Place,
        /// Where it was; nothing if this is the first.
        before: Option<Place>,
    },
    /// What the answers amount to has become this, and has stayed so for a while.
    Standing(Standing),
}

/// One configured sentinel.
#[derive(Debug, Default)]
struct Member {
    /// Its own, where it tells: two addresses may lead to one sentinel.
    id: Option<String>,
    /// Its last one, of the connection that there is.
    answer: Option<Answer>,
}

/// The sentinels of one master.
#[derive(Debug)]
pub struct Council {
    quorum: usize,
    members: Vec<Member>,
    believed: Option<Place>,
    standing: (Standing, Instant),
    told: Standing,
    urgent_until: Option<Instant>,
    events: Vec<Event>,
}

impl Council {
    /// So many sentinels, of which `quorum` have to agree: more than half of them.
    /// `believed` is where the master was when they were last asked, if they were.
    #[must_use]
    pub fn new(members: usize, quorum: usize, believed: Option<Place>, now: Instant) -> Self {
        debug_assert!(quorum > members / 2 && quorum <= members, "checked with the configuration");
        Self {
            quorum,
            members: (0..members).map(|_| Member::default()).collect(),
            believed,
            standing: (Standing::Few, now),
            told: Standing::Agreed,
            urgent_until: None,
            events: Vec::new(),
        }
    }

    /// Where the master is, as far as is known.
    #[must_use]
    pub fn master(&self) -> Option<&Place> {
        self.believed.as_ref()
    }

    /// How many sentinels there are.
    #[must_use]
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// What the answers amount to.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing.0
    }

    /// How many sentinels have answered over the connection that there is to them.
    #[must_use]
    pub fn answering(&self) -> usize {
        self.voices(|_| true)
    }

    /// How many of those give the address that is believed.
    #[must_use]
    pub fn agreeing(&self) -> usize {
        let Some(master) = &self.believed else { return 0 };
        self.voices(|answer| matches!(answer, Answer::Master(place) if place == master))
    }

    /// Takes what has followed since the last call.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The sentinel of this number has answered; `id` is its own, if it has told.
    pub fn answered(&mut self, number: usize, id: Option<&str>, answer: Answer, now: Instant) {
        self.members[number] = Member { id: id.map(str::to_owned), answer: Some(answer) };
        self.weigh(now);
    }

    /// The connection to the sentinel of this number is gone, and its word with it.
    pub fn left(&mut self, number: usize, now: Instant) {
        self.members[number] = Member::default();
        self.weigh(now);
    }

    /// The master may be another one, or is not to be reached: the sentinels are asked
    /// often for a while.
    pub fn urge(&mut self, now: Instant, limits: &Limits) {
        self.urgent_until = Some(now + Duration::from_millis(limits.sentinel_poll_interval_ms));
    }

    /// How long after its last question a sentinel is asked again.
    #[must_use]
    pub fn interval(&self, now: Instant, limits: &Limits) -> Duration {
        let urgent = self.urgent_until.is_some_and(|until| now < until);
        let ms = if urgent { limits.sentinel_urgent_interval_ms } else { limits.sentinel_poll_interval_ms };
        Duration::from_millis(ms)
    }

    /// Time has passed: what has lasted is told. A switch alone divides the sentinels for
    /// a moment, and at a start nobody has answered.
    pub fn tick(&mut self, now: Instant, limits: &Limits) {
        let (standing, since) = self.standing;
        let lasts = now.saturating_duration_since(since) >= Duration::from_millis(limits.sentinel_timeout_ms);
        if standing != self.told && (lasts || standing == Standing::Agreed) {
            self.told = standing;
            self.events.push(Event::Standing(standing));
        }
    }

    fn weigh(&mut self, now: Instant) {
        let standing = self.decide();
        if standing != self.standing.0 {
            self.standing = (standing, now);
        }
    }

    fn decide(&mut self) -> Standing {
        let agreed = self.members.iter().find_map(|member| {
            let answer = member.answer.as_ref()?;
            (self.voices(|other| other == answer) >= self.quorum).then(|| answer.clone())
        });
        match agreed {
            Some(Answer::NoSuchMaster) => Standing::NoSuchMaster,
            Some(Answer::Master(place)) => {
                if self.believed.as_ref() != Some(&place) {
                    let before = self.believed.replace(place.clone());
                    self.events.push(Event::Master { place, before });
                }
                Standing::Agreed
            }
            None if self.answering() < self.quorum => Standing::Few,
            None => Standing::Divided,
        }
    }

    /// How many different sentinels have given such an answer.
    fn voices(&self, fits: impl Fn(&Answer) -> bool) -> usize {
        let heard = self.members.iter().filter(|member| member.answer.as_ref().is_some_and(&fits));
        let (mut ids, mut voices) = (HashSet::new(), 0);
        for member in heard {
            voices += usize::from(member.id.as_ref().is_none_or(|id| ids.insert(id)));
        }
        voices
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests need some instant to count from")]
    use super::*;

    fn at(port: u16) -> Answer {
        Answer::Master(Place { host: "10.0.0.1".to_owned(), port })
    }

    fn led_to(port: u16, before: Option<u16>) -> Event {
        let place = |port| Place { host: "10.0.0.1".to_owned(), port };
        Event::Master { place: place(port), before: before.map(place) }
    }

    fn council(members: usize, quorum: usize) -> (Council, Instant) {
        let now = Instant::now();
        (Council::new(members, quorum, None, now), now)
    }

    #[test]
    fn an_address_is_believed_when_enough_give_it_and_stays_when_nobody_does() {
        let (mut council, now) = council(3, 2);
        council.answered(0, None, at(1), now);
        assert_eq!((council.events(), council.standing()), (vec![], Standing::Few));
        council.answered(1, None, at(1), now);
        assert_eq!((council.events(), council.standing()), (vec![led_to(1, None)], Standing::Agreed));
        for number in 0..3 {
            council.left(number, now);
        }
        assert_eq!((council.events(), council.standing()), (vec![], Standing::Few));
        assert_eq!(council.master().map(|place| place.port), Some(1));
    }

    #[test]
    fn one_that_is_stale_or_lies_is_outvoted() {
        let (mut council, now) = council(3, 2);
        for number in 0..3 {
            council.answered(number, None, at(1), now);
        }
        council.answered(2, None, at(9), now);
        assert_eq!((council.events(), council.standing()), (vec![led_to(1, None)], Standing::Agreed));
        // A switch: the stale one is the last of the old.
        council.answered(0, None, at(2), now);
        assert_eq!((council.events(), council.standing()), (vec![], Standing::Divided));
        council.answered(2, None, at(2), now);
        assert_eq!((council.events(), council.standing()), (vec![led_to(2, Some(1))], Standing::Agreed));
    }

    #[test]
    fn a_sentinel_that_is_away_has_no_word() {
        let (mut council, now) = council(3, 2);
        council.answered(0, None, at(1), now);
        council.left(0, now);
        council.answered(1, None, at(1), now);
        assert_eq!((council.events(), council.standing()), (vec![], Standing::Few));
    }

    #[test]
    fn two_addresses_of_one_sentinel_are_one_voice() {
        let (mut council, now) = council(3, 2);
        council.answered(0, Some("a"), at(1), now);
        council.answered(1, Some("a"), at(1), now);
        assert_eq!((council.answering(), council.standing()), (1, Standing::Few));
        council.answered(2, Some("b"), at(1), now);
        assert_eq!(council.events(), [led_to(1, None)]);
        assert_eq!((council.answering(), council.agreeing()), (2, 2));
    }

    #[test]
    fn a_name_that_none_of_them_knows_is_told_apart() {
        let (mut council, now) = council(3, 2);
        council.answered(0, None, Answer::NoSuchMaster, now);
        council.answered(1, None, at(1), now);
        assert_eq!(council.standing(), Standing::Divided);
        council.answered(1, None, Answer::NoSuchMaster, now);
        assert_eq!((council.standing(), council.master()), (Standing::NoSuchMaster, None));
    }

    #[test]
    fn no_order_of_answers_makes_a_minority_right() {
        for order in 0..3_usize.pow(5) {
            let (mut council, now) = council(5, 3);
            let ports: Vec<u16> = (0..5).map(|at| (order / 3_usize.pow(at) % 3) as u16).collect();
            for (number, port) in ports.iter().enumerate() {
                council.answered(number, None, at(*port), now);
            }
            let right = (0..3).find(|port| ports.iter().filter(|it| *it == port).count() >= 3);
            assert_eq!(council.master().map(|place| place.port), right, "{ports:?}");
        }
    }

    #[test]
    fn what_does_not_last_is_not_told_and_what_lasts_is_told_once() {
        let limits = Limits::default();
        let (mut council, start) = council(2, 2);
        let after = |ms| start + Duration::from_millis(ms);
        council.tick(after(limits.sentinel_timeout_ms - 1), &limits);
        assert_eq!(council.events(), []);
        council.tick(after(limits.sentinel_timeout_ms), &limits);
        council.tick(after(limits.sentinel_timeout_ms + 1), &limits);
        assert_eq!(council.events(), [Event::Standing(Standing::Few)]);
        for number in 0..2 {
            council.answered(number, None, at(1), after(9_000));
        }
        council.tick(after(9_000), &limits);
        assert_eq!(council.events(), [led_to(1, None), Event::Standing(Standing::Agreed)]);
        // A switch.
        council.answered(0, None, at(2), after(20_000));
        council.tick(after(20_001), &limits);
        council.answered(1, None, at(2), after(20_002));
        council.tick(after(29_000), &limits);
        assert_eq!(council.events(), [led_to(2, Some(1))]);
    }

    #[test]
    fn they_are_asked_often_while_something_is_amiss() {
        let limits = Limits::default();
        let (mut council, now) = council(1, 1);
        let slow = Duration::from_millis(limits.sentinel_poll_interval_ms);
        assert_eq!(council.interval(now, &limits), slow);
        council.urge(now, &limits);
        let fast = Duration::from_millis(limits.sentinel_urgent_interval_ms);
        assert_eq!(council.interval(now, &limits), fast);
        assert_eq!(council.interval(now + slow, &limits), slow);
    }
}
