//! Where a backend's reply ends, in RESP2 and RESP3 alike.
//!
//! The scanner is iterative, resumes where it stopped, and holds one counter for
//! each open aggregate. The RESP3 specification's streamed types are refused: no
//! Redis sends them.

use thiserror::Error;

use super::{integer, short_length};

/// What can only mean that the two sides of a link are out of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReplyError {
    /// No reply begins with this byte.
    #[error("a reply begins with byte 0x{0:02x}")]
    Type(u8),
    /// A length that is not canonical, or below -1.
    #[error("a reply has an unreadable length")]
    Length,
    /// A bulk or line that does not end with CR LF.
    #[error("a reply does not end with CR LF")]
    End,
    /// Arrays within arrays past the limit.
    #[error("a reply is nested deeper than {0}")]
    Depth(usize),
}

/// A length line, without its type byte and its CR LF.
const LENGTH_LINE_MAX: usize = 32;

/// Finds the end of a reply. The buffer given to [`ReplyScanner::scan`] begins
/// where the reply begins, or after what was taken by
/// [`ReplyScanner::take_examined`].
#[derive(Debug)]
pub struct ReplyScanner {
    /// Bytes already examined.
    pos: usize,
    /// Bytes of a bulk body still to be skipped.
    body: u64,
    phase: Phase,
    /// Elements still to come, for each open aggregate, innermost last.
    open: Vec<u64>,
    depth_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A type byte comes next.
    Type,
    /// In a line that is skipped up to its CR LF.
    Line,
    /// In a bulk's body, of which `body` bytes remain, and then its CR LF.
    Body,
}

impl ReplyScanner {
    /// A scanner that refuses aggregates nested deeper than this.
    #[must_use]
    pub fn new(depth_max: usize) -> Self {
        Self { pos: 0, body: 0, phase: Phase::Type, open: Vec::new(), depth_max }
    }

    /// The length of the reply, counted from the start of `input`; `None` while
    /// its end has not arrived.
    #[inline]
    pub fn scan(&mut self, input: &[u8]) -> Result<Option<usize>, ReplyError> {
        if self.pos == 0
            && self.phase == Phase::Type
            && self.open.is_empty()
            && let Some(len) = whole(input)
        {
            return Ok(Some(len));
        }
        self.resume(input)
    }

    fn resume(&mut self, input: &[u8]) -> Result<Option<usize>, ReplyError> {
        loop {
            let ended = match self.phase {
                Phase::Type => match self.element(input)? {
                    None => return Ok(None),
                    Some(ended) => ended,
                },
                Phase::Line => match self.line(input)? {
                    false => return Ok(None),
                    true => true,
                },
                Phase::Body => match self.bulk_body(input)? {
                    false => return Ok(None),
                    true => true,
                },
            };
            if ended && self.close_element() {
                return Ok(Some(std::mem::take(&mut self.pos)));
            }
        }
    }

    /// Bytes of the bulk under way that have not arrived.
    #[must_use]
    pub fn awaited(&self, input_len: usize) -> u64 {
        match self.phase {
            Phase::Body => (self.body + 2).saturating_sub((input_len - self.pos) as u64),
            Phase::Type | Phase::Line => 0,
        }
    }

    /// The caller has taken away the examined bytes; returns how many they were.
    pub fn take_examined(&mut self, input_len: usize) -> usize {
        if self.phase == Phase::Body {
            let skipped = self.body.min((input_len - self.pos) as u64);
            self.body -= skipped;
            // At most input_len, which is a usize.
            self.pos += skipped as usize;
        }
        std::mem::take(&mut self.pos)
    }

    /// Reads a type byte and its line. `Some(true)`: the element is complete.
    fn element(&mut self, input: &[u8]) -> Result<Option<bool>, ReplyError> {
        let Some(&kind) = input.get(self.pos) else { return Ok(None) };
        match kind {
            b'+' | b'-' | b':' | b',' | b'#' | b'(' | b'_' => {
                self.pos += 1;
                self.phase = Phase::Line;
                Ok(Some(false))
            }
            b'$' | b'!' | b'=' => {
                let Some((length, after)) = self.length(input)? else { return Ok(None) };
                self.pos = after;
                if length < 0 {
                    return Ok(Some(true));
                }
                self.body = length.unsigned_abs();
                self.phase = Phase::Body;
                Ok(Some(false))
            }
            b'*' | b'~' | b'>' | b'%' | b'|' => {
                let Some((count, after)) = self.length(input)? else { return Ok(None) };
                self.pos = after;
                self.open_aggregate(kind, count)
            }
            other => Err(ReplyError::Type(other)),
        }
    }

    fn open_aggregate(&mut self, kind: u8, count: i64) -> Result<Option<bool>, ReplyError> {
        let mut elements = count.max(0).unsigned_abs();
        if matches!(kind, b'%' | b'|') {
            elements = elements.checked_mul(2).ok_or(ReplyError::Length)?;
        }
        if kind == b'|' {
            // An attribute comes before the element that it describes: that element
            // is still awaited, as one more of this aggregate.
            elements = elements.checked_add(1).ok_or(ReplyError::Length)?;
        }
        if kind == b'>'
            && let Some(outer) = self.open.last_mut()
        {
            // Redis 7.0 writes a push that EXEC brings about as it comes, before the next element.
            *outer = outer.checked_add(1).ok_or(ReplyError::Length)?;
        }
        if elements == 0 {
            return Ok(Some(true));
        }
        if self.open.len() >= self.depth_max {
            return Err(ReplyError::Depth(self.depth_max));
        }
        self.open.push(elements);
        Ok(Some(false))
    }

    /// Counts a complete element. True when the whole reply is complete.
    fn close_element(&mut self) -> bool {
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return false;
            }
            self.open.pop();
        }
        true
    }

    fn length(&self, input: &[u8]) -> Result<Option<(i64, usize)>, ReplyError> {
        let start = self.pos + 1;
        let window = &input[start..input.len().min(start + LENGTH_LINE_MAX)];
        let Some(digits) = window.iter().position(|&byte| byte == b'\r') else {
            return if window.len() < LENGTH_LINE_MAX { Ok(None) } else { Err(ReplyError::Length) };
        };
        match input.get(start + digits + 1) {
            None => Ok(None),
            Some(b'\n') => match integer(&window[..digits]) {
                Some(value) if value >= -1 => Ok(Some((value, start + digits + 2))),
                _ => Err(ReplyError::Length),
            },
            Some(_) => Err(ReplyError::Length),
        }
    }

    fn line(&mut self, input: &[u8]) -> Result<bool, ReplyError> {
        let Some(at) = memchr::memchr(b'\r', &input[self.pos..]) else {
            self.pos = input.len();
            return Ok(false);
        };
        let end = self.pos + at;
        match input.get(end + 1) {
            None => {
                self.pos = end;
                Ok(false)
            }
            Some(b'\n') => {
                self.pos = end + 2;
                self.phase = Phase::Type;
                Ok(true)
            }
            Some(_) => Err(ReplyError::End),
        }
    }

    fn bulk_body(&mut self, input: &[u8]) -> Result<bool, ReplyError> {
        let here = (input.len() - self.pos) as u64;
        if here < self.body + 2 {
            return Ok(false);
        }
        // At most here, which was a usize.
        let end = self.pos + self.body as usize + 2;
        if &input[end - 2..end] != b"\r\n" {
            return Err(ReplyError::End);
        }
        self.pos = end;
        self.body = 0;
        self.phase = Phase::Type;
        Ok(true)
    }
}

/// The length of the reply at the front of the input if it is of the usual kinds, a bulk or a
/// line, and all there. `None` says nothing: the scanner decides then.
#[inline]
fn whole(input: &[u8]) -> Option<usize> {
    match *input {
        [b'$', b'-', b'1', b'\r', b'\n', ..] | [b'+', b'O', b'K', b'\r', b'\n', ..] => Some(5),
        [b'$', ..] => {
            let (length, start) = short_length(input, 1)?;
            let end = start + length;
            (input.get(end..end + 2)? == b"\r\n").then_some(end + 2)
        }
        [b':', ..] => Some(short_length(input, 1)?.1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLIES: [&[u8]; 18] = [
        b"+OK\r\n",
        b"-ERR x\r\n",
        b":-42\r\n",
        b"$-1\r\n",
        b"$0\r\n\r\n",
        b"$5\r\na\r\nbc\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
        b"%1\r\n+a\r\n~2\r\n:1\r\n:2\r\n",
        b">3\r\n+message\r\n+c\r\n+m\r\n",
        // What is pushed inside another reply is none of its elements.
        b"*2\r\n>1\r\n*1\r\n+m\r\n:1\r\n>0\r\n:2\r\n",
        b"*1\r\n*1\r\n>2\r\n+a\r\n+b\r\n$1\r\nx\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",1.5\r\n",
        b"=7\r\ntxt:abc\r\n",
        b"|1\r\n+ttl\r\n:3\r\n*1\r\n|1\r\n+a\r\n+b\r\n:4\r\n",
    ];

    #[test]
    fn every_kind_of_reply_ends_where_it_should() {
        for reply in REPLIES {
            let mut followed = reply.to_vec();
            followed.extend_from_slice(b"+next\r\n");
            let found = ReplyScanner::new(8).scan(&followed);
            assert_eq!(found, Ok(Some(reply.len())), "{:?}", String::from_utf8_lossy(reply));
        }
    }

    #[test]
    fn a_reply_may_arrive_and_be_taken_byte_by_byte() {
        for reply in REPLIES {
            let mut scanner = ReplyScanner::new(8);
            let (mut held, mut taken) = (Vec::new(), 0);
            for (at, &byte) in reply.iter().enumerate() {
                held.push(byte);
                let found = scanner.scan(&held).expect("valid");
                if at + 1 < reply.len() {
                    assert_eq!(found, None, "{:?}", String::from_utf8_lossy(reply));
                    let n = scanner.take_examined(held.len());
                    held.drain(..n);
                    taken += n;
                } else {
                    assert_eq!(found.map(|len| len + taken), Some(reply.len()));
                }
            }
        }
    }

    #[test]
    fn what_no_redis_sends_is_an_error() {
        for (reply, error) in [
            (&b"hello\r\n"[..], ReplyError::Type(b'h')),
            (b"$-2\r\n", ReplyError::Length),
            (b"$?\r\n", ReplyError::Length),
            (b"*01\r\n", ReplyError::Length),
            (b"$1\r\nabc", ReplyError::End),
            (b"+a\rb", ReplyError::End),
        ] {
            assert_eq!(ReplyScanner::new(8).scan(reply), Err(error), "{reply:?}");
        }
        assert_eq!(ReplyScanner::new(8).scan(&b"*1\r\n".repeat(9)), Err(ReplyError::Depth(8)));
    }

    #[test]
    fn a_huge_announcement_allocates_nothing() {
        let mut scanner = ReplyScanner::new(8);
        assert_eq!(scanner.scan(b"*999999999999999999\r\n$999999999999999999\r\n"), Ok(None));
        assert!(scanner.open.capacity() <= 8);
    }
}
