//! Metrics: how they are named, registered and rendered. Owns the Prometheus
//! recorder; knows nothing about what is counted.
//!
//! Names are `respgate_<noun>[_<unit>]`, and `_total` at the end of a counter:
//! `respgate_requests_total`, `respgate_sessions`, `respgate_handshake_seconds`.
//! Label values are words of a closed set, never an address, a key or a subject,
//! so that nobody outside can make a series.
//!
//! Registering hashes and locks. A handle is registered once and kept; what is
//! counted for each request is a plain integer in its worker, and a [`Flow`]
//! hands the difference on now and then.

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

/// Upper bounds of every `_seconds` histogram: from a local hop to a timeout.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// Names and values of labels.
type Labels<'a> = &'a [(&'static str, &'static str)];

const METADATA: Metadata<'static> = Metadata::new("respgate", Level::INFO, None);

/// Where handles are registered and what `/metrics` renders. It is not the
/// process's global recorder: two gateways in one process do not mix.
#[derive(Debug)]
pub struct Registry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Registry {
    /// An empty registry. The only error is one in this file's buckets.
    pub fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
            .build_recorder();
        Ok(Self { handle: recorder.handle(), recorder })
    }

    /// Registers a counter; it is shown as 0 from now on.
    pub fn counter(&self, name: &'static str, about: &'static str, labels: Labels<'_>) -> Counter {
        debug_assert!(name.ends_with("_total"), "{name}: a counter's name ends in _total");
        self.recorder.describe_counter(name.into(), None, SharedString::const_str(about));
        let counter = self.recorder.register_counter(&key(name, labels), &METADATA);
        counter.increment(0);
        counter
    }

    /// Registers a gauge; it is shown as 0 from now on.
    pub fn gauge(&self, name: &'static str, about: &'static str, labels: Labels<'_>) -> Gauge {
        self.recorder.describe_gauge(name.into(), None, SharedString::const_str(about));
        let gauge = self.recorder.register_gauge(&key(name, labels), &METADATA);
        gauge.set(0.0);
        gauge
    }

    /// Registers a histogram of seconds.
    pub fn seconds(&self, name: &'static str, about: &'static str, labels: Labels<'_>) -> Histogram {
        debug_assert!(name.ends_with("_seconds"), "{name}: a histogram's name ends in _seconds");
        self.recorder.describe_histogram(name.into(), Some(Unit::Seconds), SharedString::const_str(about));
        self.recorder.register_histogram(&key(name, labels), &METADATA)
    }

    /// Everything, in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds samples of histograms into their buckets. To be called every few
    /// seconds: otherwise samples pile up until somebody scrapes.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn key(name: &'static str, labels: Labels<'_>) -> Key {
    debug_assert!(name.starts_with("respgate_"), "{name}: a metric's name starts with respgate_");
    let labels: Vec<Label> =
        labels.iter().map(|&(name, value)| Label::from_static_parts(name, value)).collect();
    Key::from_parts(name, labels)
}

/// A counter whose owner keeps a plain running total and hands it on now and
/// then. Several owners may share one counter: each adds what is new.
#[derive(Debug)]
pub struct Flow {
    counter: Counter,
    flushed: u64,
}

impl Flow {
    /// Starts at a total of 0.
    #[must_use]
    pub fn new(counter: Counter) -> Self {
        Self { counter, flushed: 0 }
    }

    /// Adds what `total` has grown by since the last flush.
    pub fn flush(&mut self, total: u64) {
        debug_assert!(total >= self.flushed, "a running total does not shrink");
        self.counter.increment(total.saturating_sub(self.flushed));
        self.flushed = total;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registered_metric_is_rendered_with_its_description_before_its_first_event() {
        let registry = Registry::new().unwrap();
        let _refused =
            registry.counter("respgate_refusals_total", "Clients refused.", &[("reason", "no_mapping")]);
        let sessions = registry.gauge("respgate_sessions", "Clients connected.", &[]);
        sessions.set(3.0);
        let text = registry.render();
        assert!(text.contains("# HELP respgate_refusals_total Clients refused."), "{text}");
        assert!(text.contains("# TYPE respgate_refusals_total counter"), "{text}");
        assert!(text.contains("respgate_refusals_total{reason=\"no_mapping\"} 0"), "{text}");
        assert!(text.contains("respgate_sessions 3"), "{text}");
    }

    #[test]
    fn two_workers_flush_into_one_counter() {
        let registry = Registry::new().unwrap();
        let counter = || registry.counter("respgate_requests_total", "Requests.", &[]);
        let (mut one, mut two) = (Flow::new(counter()), Flow::new(counter()));
        one.flush(10);
        two.flush(5);
        one.flush(11);
        one.flush(11);
        let text = registry.render();
        assert!(text.contains("respgate_requests_total 16\n"), "{text}");
    }

    #[test]
    fn seconds_are_rendered_as_buckets() {
        let registry = Registry::new().unwrap();
        let handshake = registry.seconds("respgate_handshake_seconds", "TLS handshakes.", &[]);
        handshake.record(0.002);
        registry.upkeep();
        handshake.record(30.0);
        let text = registry.render();
        assert!(text.contains("respgate_handshake_seconds_bucket{le=\"0.0025\"} 1\n"), "{text}");
        assert!(text.contains("respgate_handshake_seconds_bucket{le=\"+Inf\"} 2\n"), "{text}");
    }

    #[test]
    fn two_registries_share_nothing() {
        let (one, two) = (Registry::new().unwrap(), Registry::new().unwrap());
        one.counter("respgate_requests_total", "Requests.", &[]).increment(1);
        assert_eq!(two.render(), "");
    }
}
