//! Where a client's request ends, and where its first two arguments are.
//!
//! Only the strict form passes (`*N`, then N bulks, canonical lengths, CR LF
//! where it belongs), so that the gateway and Redis can never disagree about
//! where a request ends. The texts of the errors are Redis' own (networking.c,
//! `processMultibulkBuffer` and `processInlineBuffer`).

use std::ops::Range;

use thiserror::Error;

use super::{inline, integer, short_length};

/// A length line, without its type byte and its CR LF. The longest that has a
/// meaning is ten digits.
const LENGTH_LINE_MAX: usize = 32;

/// The bounds that a request is held to.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// Arguments of one request.
    pub args_max: usize,
    /// Bytes of one argument.
    pub bulk_bytes_max: usize,
}

/// Input that ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The count after `*` is not canonical, or too large.
    #[error("Protocol error: invalid multibulk length")]
    MultibulkLength,
    /// The length after `$` is not canonical, negative, or too large.
    #[error("Protocol error: invalid bulk length")]
    BulkLength,
    /// An argument does not begin with `$`.
    #[error("Protocol error: expected '$', got '{}'", printable(*.0))]
    ExpectedBulk(u8),
    /// An argument is not followed by CR LF. Redis skips these two bytes unread.
    #[error("Protocol error: expected CRLF after bulk")]
    BulkEnd,
    /// An inline request without an end within 64 KiB.
    #[error("Protocol error: too big inline request")]
    InlineTooBig,
    /// An inline request with a quote that is not closed.
    #[error("Protocol error: unbalanced quotes in request")]
    InlineQuotes,
}

/// CR and LF would end the error line early.
fn printable(byte: u8) -> char {
    if byte == b'\r' || byte == b'\n' { ' ' } else { char::from(byte) }
}

/// A whole request in the strict form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// All of its bytes.
    pub len: usize,
    /// Its arguments, the command's name included.
    pub argc: usize,
    /// Where its first argument, the command's name, is.
    pub name: Range<usize>,
    /// Where its second argument is; empty where there is none.
    pub second: Range<usize>,
}

impl Request {
    /// The request at the front of the input if it is all there and its lengths are short ones, as
    /// those of nearly every request are. `None` says nothing: the scanner, which can resume and
    /// name an error, decides then.
    #[inline]
    #[must_use]
    pub fn whole(input: &[u8], limits: RequestLimits) -> Option<Self> {
        if *input.first()? != b'*' {
            return None;
        }
        let (argc, mut len) = short_length(input, 1)?;
        if argc == 0 || argc > limits.args_max {
            return None;
        }
        let (mut name, mut second) = (0..0, 0..0);
        for number in 0..argc {
            if *input.get(len)? != b'$' {
                return None;
            }
            let (length, start) = short_length(input, len + 1)?;
            let end = start + length;
            if length > limits.bulk_bytes_max || input.get(end..end + 2)? != b"\r\n" {
                return None;
            }
            match number {
                0 => name = start..end,
                1 => second = start..end,
                _ => {}
            }
            len = end + 2;
        }
        Some(Self { len, argc, name, second })
    }
}

/// What the beginning of the input turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A request in the strict form: these bytes may be forwarded as they are.
    Request(Request),
    /// An inline request of so many bytes, and the strict form of it.
    Inline {
        /// Bytes of input that it took.
        len: usize,
        /// What is forwarded in its place.
        strict: Vec<u8>,
    },
    /// So many bytes that ask for nothing and get no reply (`*0`, a blank line).
    Nothing {
        /// Bytes of input to skip.
        len: usize,
    },
    /// The request is not complete.
    More,
}

/// Finds the end of a request, resuming where it stopped. The buffer given to
/// [`RequestScanner::scan`] always begins where the request begins.
#[derive(Debug, Default)]
pub struct RequestScanner {
    /// Bytes already examined. Everything before it is known to be in order.
    pos: usize,
    /// Arguments announced; zero until the first line has been read.
    argc: usize,
    /// Arguments whose end has been seen.
    done: usize,
    /// Bytes of the current argument and its CR LF still to come, when its length
    /// line has been read.
    body: Option<usize>,
    name: Range<usize>,
    second: Range<usize>,
}

impl RequestScanner {
    /// Examines the input from where the last call stopped. After anything but
    /// `More` the scanner is ready for the next request.
    #[inline]
    pub fn scan(&mut self, input: &[u8], limits: RequestLimits) -> Result<Found, RequestError> {
        if self.argc == 0
            && let Some(request) = Request::whole(input, limits)
        {
            return Ok(Found::Request(request));
        }
        self.resume(input, limits)
    }

    fn resume(&mut self, input: &[u8], limits: RequestLimits) -> Result<Found, RequestError> {
        if self.argc == 0 {
            match input.first() {
                None => return Ok(Found::More),
                Some(b'*') => {}
                Some(_) => return self.inline(input),
            }
            let Some((count, after)) = length_line(input, 1, RequestError::MultibulkLength)? else {
                return Ok(Found::More);
            };
            if count <= 0 {
                return Ok(Found::Nothing { len: after });
            }
            self.argc = usize::try_from(count)
                .ok()
                .filter(|&count| count <= limits.args_max)
                .ok_or(RequestError::MultibulkLength)?;
            self.pos = after;
        }
        while self.done < self.argc {
            if !self.argument(input, limits)? {
                return Ok(Found::More);
            }
        }
        let scanned = std::mem::take(self);
        Ok(Found::Request(Request {
            len: scanned.pos,
            argc: scanned.argc,
            name: scanned.name,
            second: scanned.second,
        }))
    }

    /// Bytes of the announced argument that have not arrived, so that a buffer can
    /// be made to fit; at most `bulk_bytes_max`.
    #[must_use]
    pub fn awaited(&self, input_len: usize) -> usize {
        self.body.map_or(0, |body| (self.pos + body).saturating_sub(input_len))
    }

    /// The first two arguments of the request under way, where they have arrived.
    #[must_use]
    pub fn head(&self) -> Option<(Range<usize>, Range<usize>, usize)> {
        let named = self.done >= 1 && (self.done >= 2 || self.argc == 1 || self.body.is_some());
        named.then(|| (self.name.clone(), self.second.clone(), self.argc))
    }

    /// The caller has taken away the examined bytes: what follows is given from there.
    /// Returns how many they were.
    pub fn take_examined(&mut self, input_len: usize) -> usize {
        let body = self.body.unwrap_or(0);
        // Of the current argument all but its CR LF may go unexamined.
        let skipped = body.saturating_sub(2).min(input_len - self.pos);
        if skipped > 0 {
            self.body = Some(body - skipped);
        }
        let taken = self.pos + skipped;
        self.pos = 0;
        taken
    }

    /// Reads one argument; false when it is not complete.
    fn argument(&mut self, input: &[u8], limits: RequestLimits) -> Result<bool, RequestError> {
        let body = match self.body {
            Some(body) => body,
            None => {
                match input.get(self.pos) {
                    None => return Ok(false),
                    Some(b'$') => {}
                    Some(&other) => return Err(RequestError::ExpectedBulk(other)),
                }
                let Some((length, after)) = length_line(input, self.pos + 1, RequestError::BulkLength)?
                else {
                    return Ok(false);
                };
                let length = usize::try_from(length)
                    .ok()
                    .filter(|&length| length <= limits.bulk_bytes_max)
                    .ok_or(RequestError::BulkLength)?;
                self.pos = after;
                match self.done {
                    0 => self.name = after..after + length,
                    1 => self.second = after..after + length,
                    _ => {}
                }
                self.body = Some(length + 2);
                length + 2
            }
        };
        let end = self.pos + body;
        if input.len() < end {
            return Ok(false);
        }
        if &input[end - 2..end] != b"\r\n" {
            return Err(RequestError::BulkEnd);
        }
        self.pos = end;
        self.body = None;
        self.done += 1;
        Ok(true)
    }

    fn inline(&mut self, input: &[u8]) -> Result<Found, RequestError> {
        let searched = std::mem::take(&mut self.pos);
        // Redis reads a C string: behind a NUL it finds no end.
        let stop = memchr::memchr2(b'\n', 0, &input[searched..]).map(|at| searched + at);
        let Some(end) = stop.filter(|&at| input[at] == b'\n') else {
            if input.len() > inline::BYTES_MAX {
                return Err(RequestError::InlineTooBig);
            }
            self.pos = stop.unwrap_or(input.len());
            return Ok(Found::More);
        };
        if end > inline::BYTES_MAX {
            return Err(RequestError::InlineTooBig);
        }
        let line = &input[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let words = inline::split(line, false).ok_or(RequestError::InlineQuotes)?;
        let len = end + 1;
        if words.is_empty() {
            return Ok(Found::Nothing { len });
        }
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        Ok(Found::Inline { len, strict: super::write::command(&words) })
    }
}

/// Reads an integer from `start` up to CR LF. `None` when the end has not arrived;
/// the position after the LF otherwise.
fn length_line(
    input: &[u8],
    start: usize,
    error: RequestError,
) -> Result<Option<(i64, usize)>, RequestError> {
    let window = &input[start..input.len().min(start + LENGTH_LINE_MAX)];
    let Some(digits) = window.iter().position(|&byte| byte == b'\r') else {
        return if window.len() < LENGTH_LINE_MAX { Ok(None) } else { Err(error) };
    };
    match input.get(start + digits + 1) {
        None => Ok(None),
        Some(b'\n') => {
            let value = integer(&window[..digits]).ok_or(error)?;
            Ok(Some((value, start + digits + 2)))
        }
        Some(_) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RequestLimits = RequestLimits { args_max: 1024, bulk_bytes_max: 1 << 20 };

    fn whole(input: &[u8]) -> Result<Found, RequestError> {
        RequestScanner::default().scan(input, LIMITS)
    }

    /// Feeds one byte more at each call.
    fn bytewise(input: &[u8]) -> Result<Found, RequestError> {
        let mut scanner = RequestScanner::default();
        for end in 0..input.len() {
            let found = scanner.scan(&input[..end], LIMITS)?;
            assert_eq!(found, Found::More, "after {end} bytes of {input:?}");
        }
        scanner.scan(input, LIMITS)
    }

    #[test]
    fn a_request_ends_where_its_last_argument_does() {
        let input = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n";
        let request = Request { len: input.len(), argc: 3, name: 8..11, second: 17..18 };
        assert_eq!(whole(input), Ok(Found::Request(request.clone())));
        assert_eq!(bytewise(input), Ok(Found::Request(request.clone())));
        let mut longer = input.to_vec();
        longer.extend_from_slice(b"*1\r\n");
        assert_eq!(whole(&longer), Ok(Found::Request(request)));
    }

    #[test]
    fn errors_are_those_of_redis() {
        for (input, error) in [
            (&b"*x\r\n"[..], RequestError::MultibulkLength),
            (b"*+1\r\n", RequestError::MultibulkLength),
            (b"*2147483648\r\n", RequestError::MultibulkLength),
            (b"*1025\r\n", RequestError::MultibulkLength),
            (b"*1\r\n:4\r\n", RequestError::ExpectedBulk(b':')),
            (b"*1\r\n$+4\r\n", RequestError::BulkLength),
            (b"*1\r\n$004\r\n", RequestError::BulkLength),
            (b"*1\r\n$-1\r\n", RequestError::BulkLength),
            (b"*1\r\n$1048577\r\n", RequestError::BulkLength),
            (b"*1\r\n$4\rxPING\r\n", RequestError::BulkLength),
            (b"*1\r\n$4\r\nPINGxx", RequestError::BulkEnd),
            (b"set \"a\r\n", RequestError::InlineQuotes),
        ] {
            assert_eq!(whole(input), Err(error), "{input:?}");
        }
        assert_eq!(RequestError::ExpectedBulk(b':').to_string(), "Protocol error: expected '$', got ':'");
    }

    #[test]
    fn a_length_line_without_an_end_is_refused_early() {
        assert_eq!(whole(&[b'*'; 40]), Err(RequestError::MultibulkLength));
        let mut input = b"*1\r\n$".to_vec();
        input.extend_from_slice(&[b'1'; 40]);
        assert_eq!(whole(&input), Err(RequestError::BulkLength));
    }

    #[test]
    fn what_asks_for_nothing_is_skipped() {
        for input in [&b"*0\r\n"[..], b"*-1\r\n", b"\r\n", b"\n", b"   \r\n"] {
            assert_eq!(whole(input), Ok(Found::Nothing { len: input.len() }), "{input:?}");
        }
    }

    #[test]
    fn an_inline_request_is_made_strict() {
        let strict = b"*3\r\n$3\r\nset\r\n$1\r\nk\r\n$3\r\na b\r\n".to_vec();
        let input = b"set k \"a b\"\r\nrest";
        assert_eq!(whole(input), Ok(Found::Inline { len: 13, strict }));
    }

    #[test]
    fn an_inline_request_is_at_most_64_kib() {
        let mut scanner = RequestScanner::default();
        let input = vec![b'a'; inline::BYTES_MAX + 1];
        assert_eq!(scanner.scan(&input[..inline::BYTES_MAX], LIMITS), Ok(Found::More));
        assert_eq!(scanner.scan(&input, LIMITS), Err(RequestError::InlineTooBig));
    }

    #[test]
    fn examined_bytes_can_be_taken_away_while_the_rest_arrives() {
        let mut input = b"*2\r\n$4\r\nECHO\r\n$1000\r\n".to_vec();
        input.extend_from_slice(&[b'x'; 1000]);
        input.extend_from_slice(b"\r\n");
        for step in 1..40 {
            let mut scanner = RequestScanner::default();
            let (mut held, mut taken) = (Vec::new(), 0);
            let mut chunks = input.chunks(step);
            let found = loop {
                held.extend_from_slice(chunks.next().expect("the end is found in time"));
                match scanner.scan(&held, LIMITS).expect("valid") {
                    Found::More => {
                        if scanner.head().is_some() {
                            let n = scanner.take_examined(held.len());
                            held.drain(..n);
                            taken += n;
                        }
                    }
                    found => break found,
                }
            };
            let Found::Request(request) = found else { panic!("{found:?}") };
            assert_eq!(taken + request.len, input.len(), "step {step}");
        }
    }
}
