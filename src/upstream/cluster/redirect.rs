//! A node's refusal to run a request, which says where or when it would be run. Whatever it says,
//! the request has not been run. It knows no map.

use super::endpoint::Endpoint;

/// What a node says in the place of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    /// The slot is there from now on. Without a host it is the host that was asked.
    Moved(u16, Endpoint),
    /// This one request belongs there, behind ASKING.
    Ask(u16, Endpoint),
    /// The slot is under way, and the keys are not all on one side.
    TryAgain,
    /// Nobody serves the slot for now.
    Down,
}

impl Redirect {
    /// Reads an error line; `None` for any other reply. `-MOVED 3999 127.0.0.1:6381`.
    #[must_use]
    pub fn read(reply: &[u8]) -> Option<Self> {
        let line = reply.strip_prefix(b"-")?;
        // Nearly every error is not of these: looked at first is the first byte.
        match line.first()? {
            b'M' => line.strip_prefix(b"MOVED ").and_then(target).map(|(slot, to)| Self::Moved(slot, to)),
            b'A' => line.strip_prefix(b"ASK ").and_then(target).map(|(slot, to)| Self::Ask(slot, to)),
            b'T' => line.starts_with(b"TRYAGAIN").then_some(Self::TryAgain),
            b'C' => line.starts_with(b"CLUSTERDOWN").then_some(Self::Down),
            _ => None,
        }
    }
}

fn target(rest: &[u8]) -> Option<(u16, Endpoint)> {
    let text = std::str::from_utf8(rest.strip_suffix(b"\r\n")?).ok()?;
    let (slot, address) = text.split_once(' ')?;
    let slot = slot.parse().ok().filter(|&slot| usize::from(slot) < crate::command::slot::SLOTS)?;
    // Redis writes IPv6 addresses without brackets: the port is behind the last colon.
    let (host, port) = address.split(' ').next()?.rsplit_once(':')?;
    Some((slot, Endpoint::new(host, port.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_read_and_nothing_else_is() {
        let to = |host: &str, port| Endpoint::new(host, port);
        for (reply, redirect) in [
            (&b"-MOVED 3999 127.0.0.1:6381\r\n"[..], Some(Redirect::Moved(3999, to("127.0.0.1", 6381)))),
            (b"-MOVED 1 ::1:6381\r\n", Some(Redirect::Moved(1, to("::1", 6381)))),
            (b"-MOVED 1 :6381\r\n", Some(Redirect::Moved(1, to("", 6381)))),
            (b"-MOVED 1 ?:6381\r\n", Some(Redirect::Moved(1, to("?", 6381)))),
            (b"-ASK 16383 node-1.example:1\r\n", Some(Redirect::Ask(16_383, to("node-1.example", 1)))),
            (b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n", Some(Redirect::TryAgain)),
            (b"-CLUSTERDOWN The cluster is down\r\n", Some(Redirect::Down)),
            (b"-MOVED 16384 127.0.0.1:1\r\n", None),
            (b"-MOVED 1 127.0.0.1\r\n", None),
            (b"-MOVED 1 127.0.0.1:99999\r\n", None),
            (b"-MOVED x\r\n", None),
            (b"-ERR MOVED 1 127.0.0.1:1\r\n", None),
            (b"+MOVED 1 127.0.0.1:1\r\n", None),
            (b"$5\r\nMOVED\r\n", None),
            (b"", None),
        ] {
            assert_eq!(Redirect::read(reply), redirect, "{}", reply.escape_ascii());
        }
    }
}
