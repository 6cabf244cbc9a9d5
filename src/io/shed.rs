//! Clients that are closed before anything is known of them. All are counted; that there
//! are some is said once in a while, so that a flood does not fill the log.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use metrics::Counter;

use crate::observe::metrics::Registry;

/// How long the same is not said again.
const SILENCE: Duration = Duration::from_secs(10);

/// Why a client is closed before its handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Far more clients than may be.
    TooManyClients,
    /// Those who are in hold nearly all that may be held.
    BuffersFull,
    /// Its network has as many on their way in as it may.
    NetworkFull,
}

impl Why {
    const ALL: [Self; 3] = [Self::TooManyClients, Self::BuffersFull, Self::NetworkFull];

    /// The word in the metric.
    fn as_str(self) -> &'static str {
        match self {
            Self::TooManyClients => "too_many_clients",
            Self::BuffersFull => "buffers_full",
            Self::NetworkFull => "network_full",
        }
    }
}

/// What is counted of one reason, and said.
struct Account {
    counter: Counter,
    said_at: Option<Instant>,
    /// Not said yet.
    since: u64,
}

/// What the acceptor has closed.
pub(super) struct Shed {
    accounts: [Account; Why::ALL.len()],
}

impl Shed {
    pub(super) fn new(registry: &Registry) -> Self {
        let about = "Clients closed before their handshake, by reason.";
        let accounts = Why::ALL.map(|why| Account {
            counter: registry.counter("respgate_clients_shed_total", about, &[("reason", why.as_str())]),
            said_at: None,
            since: 0,
        });
        Self { accounts }
    }

    /// A client is closed.
    pub(super) fn note(&mut self, why: Why, peer: SocketAddr, now: Instant) {
        let Some(clients) = self.count(why, now) else {
            tracing::debug!(%peer, reason = why.as_str(), "closed before its handshake");
            return;
        };
        match why {
            Why::TooManyClients => tracing::info!(%peer, clients, "closed: too many clients"),
            Why::NetworkFull => {
                tracing::info!(%peer, clients, "closed: its network has as many handshakes under way as it may");
            }
            Why::BuffersFull => tracing::warn!(
                clients,
                "no new clients: those who are in hold 95 % of buffers_bytes_max; who holds most is closed at 100 %"
            ),
        }
    }

    /// Counts it; how many there have been, if it is time to say so.
    fn count(&mut self, why: Why, now: Instant) -> Option<u64> {
        let account = &mut self.accounts[why as usize];
        account.counter.increment(1);
        account.since += 1;
        if account.said_at.is_some_and(|at| now.saturating_duration_since(at) < SILENCE) {
            return None;
        }
        account.said_at = Some(now);
        Some(std::mem::take(&mut account.since))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests need some instant to count from")]

    use super::*;

    #[test]
    fn a_flood_is_counted_whole_and_said_once_in_a_while() {
        let registry = Registry::new().expect("a registry");
        let (mut shed, start) = (Shed::new(&registry), Instant::now());
        assert_eq!(shed.count(Why::BuffersFull, start), Some(1));
        for number in 1..1_000 {
            let soon = start + Duration::from_millis(number);
            assert_eq!(shed.count(Why::BuffersFull, soon), None);
        }
        assert_eq!(shed.count(Why::TooManyClients, start), Some(1), "another matter");
        assert_eq!(shed.count(Why::BuffersFull, start + SILENCE), Some(1_000));
        let text = registry.render();
        assert!(text.contains("respgate_clients_shed_total{reason=\"buffers_full\"} 1001"), "{text}");
        assert!(text.contains("respgate_clients_shed_total{reason=\"too_many_clients\"} 1\n"), "{text}");
    }
}
