//! What the tasks of one database's sentinels share: the council, and what follows from
//! its decisions. The texts are for whoever is woken by them.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::super::clock;
use crate::limits::Limits;
use crate::upstream::sentinel::{Council, Event, Place, Standing};

/// One database's council, and where its decisions go.
pub(super) struct Room {
    pub(super) database: String,
    pub(super) master: String,
    council: RefCell<Council>,
    limits: RefCell<Arc<Limits>>,
    /// Something has happened that changes when they are asked.
    pub(super) changed: Notify,
    publish: Box<dyn Fn(&Place)>,
}

impl Room {
    pub(super) fn new(
        (database, master): (String, String),
        council: Council,
        limits: &Arc<Limits>,
        publish: Box<dyn Fn(&Place)>,
    ) -> Self {
        Self {
            database,
            master,
            council: RefCell::new(council),
            limits: RefCell::new(Arc::clone(limits)),
            changed: Notify::new(),
            publish,
        }
    }

    pub(super) fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.limits.borrow())
    }

    pub(super) fn set_limits(&self, limits: &Arc<Limits>) {
        self.limits.replace(Arc::clone(limits));
    }

    /// How long after its last question a sentinel is asked again.
    pub(super) fn interval(&self) -> Duration {
        self.peek(|council| council.interval(clock::now(), &self.limits.borrow()))
    }

    /// Looks at what the council knows.
    pub(super) fn peek<T>(&self, look: impl FnOnce(&Council) -> T) -> T {
        look(&self.council.borrow())
    }

    /// Tells the council something, and carries out what follows.
    pub(super) fn tell(&self, what: impl FnOnce(&mut Council, Instant, &Limits)) {
        let limits = self.limits();
        let events = {
            let mut council = self.council.borrow_mut();
            what(&mut council, clock::now(), &limits);
            council.events()
        };
        for event in events {
            self.carry_out(event);
        }
    }

    /// Has all of them asked at once, and often for a while.
    pub(super) fn urge(&self) {
        self.tell(Council::urge);
        self.changed.notify_waiters();
    }

    fn carry_out(&self, event: Event) {
        let (database, master) = (&self.database, &self.master);
        match event {
            Event::Master { place, before } => {
                match before {
                    None => {
                        tracing::info!(database, master, at = %place, "the sentinels say where the master is");
                    }
                    Some(before) => {
                        tracing::info!(database, master, at = %place, %before, "the sentinels say that the master is another one");
                    }
                }
                (self.publish)(&place);
            }
            Event::Standing(standing) => self.note(standing),
        }
    }

    fn note(&self, standing: Standing) {
        let (database, master) = (&self.database, &self.master);
        let council = self.council.borrow();
        let answering = council.answering();
        let now = match council.master() {
            Some(place) => format!("commands go on to {place}, which they said last"),
            None => "no command is sent until they do".to_owned(),
        };
        match standing {
            Standing::Agreed => tracing::info!(database, master, answering, "enough sentinels agree"),
            Standing::Few => {
                tracing::warn!(database, master, answering, "too few sentinels answer; {now}");
            }
            Standing::Divided => {
                tracing::warn!(
                    database,
                    master,
                    answering,
                    "the sentinels do not agree where the master is; {now}"
                );
            }
            Standing::NoSuchMaster => {
                tracing::warn!(
                    database,
                    master,
                    answering,
                    "the sentinels know no master of that name; {now}"
                );
            }
        }
    }
}
