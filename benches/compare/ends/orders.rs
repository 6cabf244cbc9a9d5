//! How the harness and a load talk: the load says `ready`, is given an order, carries it out, reports
//! on one line, and so on until there are none. Between orders nothing runs, so that the accounts of
//! all processes can be read.

use std::io::{self, Write};

use super::latency::Latency;
use super::mix::What;

/// What a load is to do next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Order {
    /// Requests for so many seconds.
    Go(What, f64),
    /// So many requests of each client.
    Each(What, usize),
}

/// Says what there is to say and waits for an order: `go WHAT SECONDS` or `each WHAT COUNT`, where WHAT
/// is `mixed` or a key to GET. The end of input is the end.
pub(crate) fn next(line: &str) -> io::Result<Option<Order>> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    let mut order = String::new();
    if io::stdin().read_line(&mut order)? == 0 {
        return Ok(None);
    }
    parse(order.trim()).map(Some).ok_or_else(|| io::Error::other(format!("no such order: {order:?}")))
}

fn parse(order: &str) -> Option<Order> {
    let mut words = order.split(' ');
    let (verb, what, number) = (words.next()?, words.next()?, words.next()?);
    match verb {
        "go" => Some(Order::Go(what.into(), number.parse().ok()?)),
        "each" => Some(Order::Each(what.into(), number.parse().ok()?)),
        _ => None,
    }
}

/// The line about an order that was carried out.
pub(crate) fn report(requests: u64, seconds: f64, latency: &Latency) -> String {
    let (p50_ms, p99_ms) = (latency.quantile_ms(500), latency.quantile_ms(990));
    serde_json::json!({ "requests": requests, "seconds": seconds, "p50_ms": p50_ms, "p99_ms": p99_ms })
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_or_refused() {
        assert_eq!(parse("go mixed 2.5"), Some(Order::Go(What::Mixed, 2.5)));
        assert_eq!(parse("each a:key 4"), Some(Order::Each(What::Key("a:key".to_owned()), 4)));
        for wrong in ["", "go", "go key", "go key x", "stop key 1", "each key 1.5"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
