//! The metrics of the data path: what each is called, and the running totals that
//! a thread hands on once a second.

use std::collections::HashMap;

use metrics::{Counter, Gauge};

use super::doors::Door;
use super::hub::Hub;
use super::settings::Settings;
use crate::identity::Reason;
use crate::observe::metrics::{Flow, Registry};
use crate::upstream::Cause;
use crate::worker::{Closed, Tally};

type Field = fn(&Tally) -> u64;

/// Name, description, and where the total is.
const TOTALS: [(&str, &str, Field); 13] = [
    ("respgate_requests_total", "Requests taken from clients.", |tally| tally.requests),
    ("respgate_requests_answered_here_total", "Requests that no backend saw.", |tally| tally.answered_here),
    ("respgate_requests_pinned_total", "Requests on a client's own link.", |tally| tally.pinned_requests),
    ("respgate_messages_total", "Messages given to clients that share subscriptions.", |tally| {
        tally.messages
    }),
    ("respgate_requests_refused_total", "Guarded commands refused by profile.", |tally| {
        tally.refused_commands
    }),
    ("respgate_requests_not_sent_total", "Requests failed before any byte was written.", |tally| {
        tally.not_sent
    }),
    ("respgate_requests_unknown_total", "Requests whose outcome was lost with a link.", |tally| {
        tally.outcome_unknown
    }),
    ("respgate_protocol_errors_total", "Clients closed for unreadable input.", |tally| tally.protocol_errors),
    ("respgate_links_opened_total", "Connections to the backend attempted.", |tally| tally.links_opened),
    ("respgate_links_lost_total", "Connections to the backend failed or lost.", |tally| tally.links_lost),
    ("respgate_fences_total", "Proofs sent that a shared link is in step.", |tally| tally.fences),
    ("respgate_client_received_bytes_total", "Bytes of requests.", |tally| tally.bytes_from_clients),
    ("respgate_client_sent_bytes_total", "Bytes of replies.", |tally| tally.bytes_to_clients),
];

/// One thread's handles.
pub(super) struct Meters {
    totals: Vec<Flow>,
    /// Of each listener, by its number.
    acceptances: Vec<Counter>,
    refusals: HashMap<(usize, &'static str), Counter>,
    passwords: HashMap<(usize, &'static str), Counter>,
    ends: HashMap<(usize, &'static str), Counter>,
    closures: HashMap<&'static str, Counter>,
    failures: HashMap<&'static str, Counter>,
    panics: Flow,
    clients: Gauge,
    links: Gauge,
    held: Gauge,
}

impl Meters {
    /// Registers what the thread of this number counts. Totals are shared between
    /// threads; gauges carry the thread's number, which is one of `WORKER_NAMES`.
    pub(super) fn new(registry: &Registry, worker: &'static str, doors: &[Door]) -> Self {
        let totals =
            TOTALS.iter().map(|(name, about, _)| Flow::new(registry.counter(name, about, &[]))).collect();
        let of_door = |name, about| {
            let reasons = || Reason::ALL.iter().map(|reason| reason.as_str());
            let each = doors.iter().enumerate().flat_map(|door| reasons().map(move |word| (door, word)));
            each.map(|((number, door), word)| {
                let labels = [("listener", door.name), ("reason", word)];
                ((number, word), registry.counter(name, about, &labels))
            })
            .collect()
        };
        let acceptances = doors
            .iter()
            .map(|door| {
                let about = "Clients let in.";
                registry.counter("respgate_clients_accepted_total", about, &[("listener", door.name)])
            })
            .collect();
        let closures = Closed::ALL
            .iter()
            .map(|why| why.as_str())
            .map(|word| {
                let about = "Clients closed by the gateway, by reason.";
                (word, registry.counter("respgate_clients_closed_total", about, &[("reason", word)]))
            })
            .collect();
        let failures = Cause::ALL
            .iter()
            .map(|cause| cause.as_str())
            .map(|word| {
                let about = "Connections to backends that failed or were lost, by cause.";
                (word, registry.counter("respgate_backend_failures_total", about, &[("cause", word)]))
            })
            .collect();
        let panics = registry.counter("respgate_panics_total", "Client tasks that panicked: bugs.", &[]);
        Self {
            totals,
            acceptances,
            refusals: of_door("respgate_clients_refused_total", "Clients not let in, by reason."),
            passwords: of_door("respgate_passwords_refused_total", "Passwords refused, by reason."),
            ends: of_door("respgate_clients_ended_total", "Clients let in who may not stay, by reason."),
            closures,
            failures,
            panics: Flow::new(panics),
            clients: registry.gauge("respgate_clients", "Clients connected.", &[("worker", worker)]),
            links: registry.gauge("respgate_links", "Connections to the backend.", &[("worker", worker)]),
            held: registry.gauge(
                "respgate_buffers_bytes",
                "Input and output held for clients.",
                &[("worker", worker)],
            ),
        }
    }

    /// Hands on what has been counted since the last call.
    pub(super) fn flush(&mut self, hub: &Hub) {
        let (tally, (clients, links), held) =
            hub.peek(|machine| (machine.tally(), machine.population(), machine.held_bytes()));
        self.held.set(held as f64);
        for (flow, (_, _, field)) in self.totals.iter_mut().zip(&TOTALS) {
            flow.flush(field(&tally));
        }
        for (word, count) in hub.closed.borrow_mut().drain() {
            if let Some(counter) = self.closures.get(word) {
                counter.increment(count);
            }
        }
        for (word, count) in hub.losses.borrow_mut().take_counts() {
            if let Some(counter) = self.failures.get(word) {
                counter.increment(count);
            }
        }
        for (door, count) in hub.accepted.borrow_mut().drain() {
            if let Some(counter) = self.acceptances.get(door) {
                counter.increment(count);
            }
        }
        let of_doors =
            [(&self.refusals, &hub.refused), (&self.passwords, &hub.passwords), (&self.ends, &hub.ended)];
        for (counters, counts) in of_doors {
            for (key, count) in counts.borrow_mut().drain() {
                if let Some(counter) = counters.get(&key) {
                    counter.increment(count);
                }
            }
        }
        self.panics.flush(hub.panics.get());
        self.clients.set(clients as f64);
        self.links.set(links as f64);
    }
}

/// What is set at a start and at each reload.
pub(super) struct Gauges {
    lists_end: Vec<(&'static str, Gauge)>,
    buffers_max: Gauge,
}

impl Gauges {
    pub(super) fn new(registry: &Registry, doors: &[Door]) -> Self {
        let lists_end = doors.iter().map(|door| {
            let about = "When the first of the listener's CRLs ends, in seconds since 1970; 0 without any.";
            (
                door.name,
                registry.gauge("respgate_crl_end_timestamp_seconds", about, &[("listener", door.name)]),
            )
        });
        let about = "What clients may make all workers hold together, buffers_bytes_max.";
        let buffers_max = registry.gauge("respgate_buffers_max_bytes", about, &[]);
        Self { lists_end: lists_end.collect(), buffers_max }
    }

    pub(super) fn set(&self, settings: &Settings) {
        self.buffers_max.set(settings.limits.buffers_bytes_max as f64);
        for (name, gauge) in &self.lists_end {
            let listener = settings.listeners.iter().find(|listener| listener.name == *name);
            let crls = listener.into_iter().flat_map(|listener| &listener.tls.trust.crls);
            gauge.set(crls.map(|crl| crl.next_update()).min().unwrap_or(0) as f64);
        }
    }
}
