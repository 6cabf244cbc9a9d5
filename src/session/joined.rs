//! How the replies to the parts of one request become the reply to the whole. Bytes in, bytes out.

use bytes::Bytes;

use super::scan::Onward;
use crate::resp::{elements, write};

/// What the replies of the parts make together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joined {
    /// The sum of integers.
    Sum,
    /// `OK` if all say so; otherwise the first that does not.
    Same,
    /// The elements of arrays, one array behind the other.
    Appended,
    /// Elements of arrays, each at its own place: for each part, where its elements belong.
    Placed(Vec<Vec<usize>>),
    /// The first that is not nothing.
    First,
    /// Arrays of integers, the least of each place.
    Least,
    /// `OK` if any says so: it has stopped what it ran. Otherwise the first that does not say that nothing runs.
    Stopped,
    /// SCAN's, with another cursor.
    Scanned(Onward),
}

/// The answer to a command that may change something, a part of which the gateway says it has not sent, or a
/// node has not run: of the other parts that is not so.
const PARTLY: &str = "ERR respgate: not every node has run its part, outcome unknown";

/// What a node says that has stopped what it ran.
const STOPPED: &[u8] = b"+OK\r\n";

const UNLIKE: &str = "ERR respgate: the nodes of the cluster do not answer alike";

impl Joined {
    /// Whether this reply of one part is that of the whole, whatever the others say.
    pub(super) fn is_decided_by(&self, reply: &[u8]) -> bool {
        *self == Self::Stopped && reply == STOPPED
    }

    /// The reply made of these, one for each part. An error of any part is the reply of all:
    /// the others may have run. `Stopped` is for nodes most of which have nothing to stop.
    pub(super) fn of(&self, replies: &[&[u8]]) -> Bytes {
        if *self != Self::Stopped
            && let Some(error) = replies.iter().find(|reply| matches!(reply.first(), Some(b'-' | b'!')))
        {
            let may_change = matches!(self, Self::Sum | Self::Same);
            if may_change && has_not_run(error) && !replies.iter().all(|reply| has_not_run(reply)) {
                return write::error(PARTLY).into();
            }
            return Bytes::copy_from_slice(error);
        }
        let joined = match self {
            Self::Sum => sum(replies),
            Self::Same => same(replies),
            Self::Appended => appended(replies),
            Self::Placed(places) => placed(replies, places),
            Self::First => first(replies),
            Self::Least => least(replies),
            Self::Stopped => stopped(replies),
            Self::Scanned(onward) => replies.first().and_then(|reply| onward.reply(reply)),
        };
        joined.unwrap_or_else(|| write::error(UNLIKE)).into()
    }
}

/// Whether these are the gateway's own words for what can be sent again without harm.
fn has_not_run(reply: &[u8]) -> bool {
    let ends = [&b", command not sent\r\n"[..], b", command not run\r\n"];
    reply.first() == Some(&b'-') && ends.iter().any(|end| reply.ends_with(end))
}

fn sum(replies: &[&[u8]]) -> Option<Vec<u8>> {
    let sum = replies.iter().try_fold(0i64, |sum, reply| sum.checked_add(integer(reply)?))?;
    Some(format!(":{sum}\r\n").into_bytes())
}

fn same(replies: &[&[u8]]) -> Option<Vec<u8>> {
    let first = replies.first()?;
    Some(replies.iter().find(|reply| *reply != first).unwrap_or(first).to_vec())
}

fn stopped(replies: &[&[u8]]) -> Option<Vec<u8>> {
    let done = replies.iter().find(|reply| **reply == STOPPED);
    let other = || replies.iter().find(|reply| !reply.starts_with(b"-NOTBUSY "));
    Some(done.or_else(other).or_else(|| replies.first())?.to_vec())
}

fn appended(replies: &[&[u8]]) -> Option<Vec<u8>> {
    let arrays: Vec<Vec<&[u8]>> = replies.iter().map(|reply| elements(reply)).collect::<Option<_>>()?;
    let count: usize = arrays.iter().map(Vec::len).sum();
    // A set of RESP3 stays one.
    let kind = replies.first()?.first()?;
    let mut out = format!("{}{count}\r\n", char::from(*kind)).into_bytes();
    arrays.into_iter().flatten().for_each(|element| out.extend_from_slice(element));
    Some(out)
}

fn placed(replies: &[&[u8]], places: &[Vec<usize>]) -> Option<Vec<u8>> {
    let count = places.iter().map(Vec::len).sum();
    let mut all: Vec<&[u8]> = vec![b""; count];
    for (reply, places) in replies.iter().zip(places) {
        let elements = elements(reply).filter(|elements| elements.len() == places.len())?;
        for (element, &place) in elements.into_iter().zip(places) {
            *all.get_mut(place)? = element;
        }
    }
    let mut out = format!("*{count}\r\n").into_bytes();
    all.into_iter().for_each(|element| out.extend_from_slice(element));
    Some(out)
}

fn first(replies: &[&[u8]]) -> Option<Vec<u8>> {
    let is_nothing = |reply: &[u8]| matches!(reply, b"$-1\r\n" | b"*-1\r\n" | b"_\r\n");
    let some = replies.iter().find(|reply| !is_nothing(reply)).or_else(|| replies.first())?;
    Some(some.to_vec())
}

fn least(replies: &[&[u8]]) -> Option<Vec<u8>> {
    let arrays: Vec<Vec<&[u8]>> = replies.iter().map(|reply| elements(reply)).collect::<Option<_>>()?;
    let count = arrays.first()?.len();
    let mut out = format!("*{count}\r\n").into_bytes();
    for place in 0..count {
        let numbers: Option<Vec<i64>> =
            arrays.iter().map(|array| array.get(place).and_then(|element| integer(element))).collect();
        out.extend_from_slice(format!(":{}\r\n", numbers?.into_iter().min()?).as_bytes());
    }
    Some(out)
}

fn integer(reply: &[u8]) -> Option<i64> {
    crate::resp::long(reply.strip_prefix(b":")?.strip_suffix(b"\r\n")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_become_one_as_each_command_needs() {
        for (joined, replies, one) in [
            (Joined::Sum, &[&b":2\r\n"[..], b":0\r\n", b":40\r\n"][..], &b":42\r\n"[..]),
            (Joined::Same, &[b"+OK\r\n", b"+OK\r\n"], b"+OK\r\n"),
            (Joined::Same, &[b"+OK\r\n", b"+QUEUED\r\n"], b"+QUEUED\r\n"),
            (
                Joined::Appended,
                &[b"*1\r\n$1\r\na\r\n", b"*0\r\n", b"*2\r\n$1\r\nb\r\n*1\r\n:1\r\n"],
                b"*3\r\n$1\r\na\r\n$1\r\nb\r\n*1\r\n:1\r\n",
            ),
            (
                Joined::Placed(vec![vec![2, 0], vec![1]]),
                &[b"*2\r\n$1\r\nc\r\n$1\r\na\r\n", b"*1\r\n$-1\r\n"],
                b"*3\r\n$1\r\na\r\n$-1\r\n$1\r\nc\r\n",
            ),
            (Joined::First, &[b"$-1\r\n", b"$1\r\nk\r\n"], b"$1\r\nk\r\n"),
            (Joined::First, &[b"_\r\n", b"_\r\n"], b"_\r\n"),
            (Joined::Least, &[b"*2\r\n:1\r\n:0\r\n", b"*2\r\n:1\r\n:1\r\n"], b"*2\r\n:1\r\n:0\r\n"),
            (Joined::Sum, &[b":2\r\n", b"-NOPERM no\r\n"], b"-NOPERM no\r\n"),
            (Joined::Stopped, &[b"-NOTBUSY a\r\n", b"-ERR b\r\n", b"+OK\r\n"], b"+OK\r\n"),
            (Joined::Stopped, &[b"-NOTBUSY a\r\n", b"-UNKILLABLE b\r\n"], b"-UNKILLABLE b\r\n"),
            (Joined::Stopped, &[b"-NOTBUSY a\r\n", b"-NOTBUSY b\r\n"], b"-NOTBUSY a\r\n"),
        ] {
            assert_eq!(joined.of(replies).escape_ascii().to_string(), one.escape_ascii().to_string());
        }
    }

    #[test]
    fn what_has_not_run_is_said_of_a_whole_of_which_nothing_has() {
        let not_sent = &b"-ERR respgate: backend unavailable, command not sent\r\n"[..];
        let not_run =
            &b"-TRYAGAIN respgate: the hash slot is on its way between nodes, command not run\r\n"[..];
        let lost = &b"-ERR respgate: connection to the backend was lost, outcome unknown\r\n"[..];
        let partly = write::error(PARTLY);
        for (joined, replies, one) in [
            (Joined::Same, &[not_sent, b"+OK\r\n"][..], &partly[..]),
            (Joined::Sum, &[b":1\r\n", not_run, b":2\r\n"], &partly),
            (Joined::Sum, &[not_run, lost], &partly),
            (Joined::Same, &[not_run, not_sent], not_run),
            (Joined::Same, &[b"+OK\r\n", lost], lost),
            (Joined::Same, &[b"+OK\r\n", b"-NOPERM no\r\n"], b"-NOPERM no\r\n"),
            // Nothing is changed by reading a part of it again.
            (Joined::Placed(vec![vec![0], vec![1]]), &[b"*1\r\n$-1\r\n", not_run], not_run),
        ] {
            assert_eq!(joined.of(replies).escape_ascii().to_string(), one.escape_ascii().to_string());
        }
    }

    #[test]
    fn replies_that_do_not_fit_are_an_error() {
        for (joined, replies) in [
            (Joined::Sum, &[&b":2\r\n"[..], b"+OK\r\n"][..]),
            (Joined::Sum, &[b":9223372036854775807\r\n", b":1\r\n"]),
            (Joined::Appended, &[b"*1\r\n:1\r\n", b":1\r\n"]),
            (Joined::Placed(vec![vec![0], vec![1]]), &[b"*1\r\n:1\r\n", b"*2\r\n:1\r\n:1\r\n"]),
            (Joined::Least, &[b"*2\r\n:1\r\n:1\r\n", b"*1\r\n:1\r\n"]),
        ] {
            assert_eq!(joined.of(replies), write::error(UNLIKE), "{joined:?}");
        }
    }
}
