//! What is told of a database's sentinels in numbers. Addresses are no labels: the log has
//! them.

use metrics::Gauge;

use crate::observe::metrics::{Flow, Registry};
use crate::upstream::sentinel::{Council, Place};

/// One database's.
pub(super) struct Meters {
    configured: Gauge,
    answering: Gauge,
    agreeing: Gauge,
    since: Gauge,
    switches: Flow,
    /// The master that was last seen, and how often it has become another.
    master: Option<Place>,
    switched: u64,
}

impl Meters {
    pub(super) fn new(registry: &Registry, database: &str) -> Self {
        // For the lifetime of the process: there are few databases.
        let database: &'static str = Box::leak(database.to_owned().into_boxed_str());
        let labels = [("database", database)];
        let gauge = |name, about| registry.gauge(name, about, &labels);
        let switches = "Changes of the master that the sentinels have agreed on.";
        Self {
            configured: gauge("respgate_sentinels", "Sentinels that are configured."),
            answering: gauge("respgate_sentinels_answering", "Sentinels that answer."),
            agreeing: gauge("respgate_sentinels_agreeing", "Sentinels that give the master in use."),
            since: gauge(
                "respgate_master_since_timestamp_seconds",
                "Since when the present master is in use, in seconds since 1970; 0 without one.",
            ),
            switches: Flow::new(registry.counter("respgate_master_switches_total", switches, &labels)),
            master: None,
            switched: 0,
        }
    }

    /// The database is no longer led.
    pub(super) fn clear(&mut self) {
        for gauge in [&self.configured, &self.answering, &self.agreeing, &self.since] {
            gauge.set(0.0);
        }
        self.master = None;
    }

    pub(super) fn set(&mut self, council: &Council, unix_now: i64) {
        self.configured.set(council.members() as f64);
        self.answering.set(council.answering() as f64);
        self.agreeing.set(council.agreeing() as f64);
        if self.master.as_ref() != council.master() {
            self.switched += u64::from(self.master.is_some() && council.master().is_some());
            self.master = council.master().cloned();
            self.since.set(if self.master.is_some() { unix_now as f64 } else { 0.0 });
        }
        self.switches.flush(self.switched);
    }
}
