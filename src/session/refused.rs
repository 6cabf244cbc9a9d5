//! A client that is refused after its handshake. Client libraries ask a few things of their own first
//! (HELLO, CLIENT SETINFO) and keep to themselves what those are told; a line that comes before any
//! request is lost on some, and breaks others. So each request is told, a few of them. Bytes in, bytes out.

use zeroize::Zeroizing;

use crate::resp::{Found, RequestLimits, RequestScanner};

/// More than any library asks before the application does.
const REQUESTS_MAX: usize = 32;

/// What is kept of a request that has not arrived whole; a larger one is told without its end.
const INPUT_BYTES_MAX: usize = 16 * 1024;

const LIMITS: RequestLimits = RequestLimits { args_max: 1024, bulk_bytes_max: INPUT_BYTES_MAX };

/// What a refused client has sent, and what it is told.
pub struct Refused {
    /// The same for each request.
    line: Vec<u8>,
    /// What has not been looked at: never more than a part of one request. It may be a password.
    input: Zeroizing<Vec<u8>>,
    scan: RequestScanner,
    /// Requests that have been told.
    told: usize,
    /// What follows is not looked at.
    is_over: bool,
}

impl Refused {
    /// To be told this line, in RESP.
    #[must_use]
    pub fn new(line: Vec<u8>) -> Self {
        Self { line, input: Zeroizing::default(), scan: RequestScanner::default(), told: 0, is_over: false }
    }

    /// The client sent these bytes; what it is told goes to the end of `out`. False when it is told
    /// no more of these.
    pub fn input(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        self.input.extend_from_slice(bytes);
        while !self.is_over && !self.input.is_empty() {
            let (len, is_request) = match self.scan.scan(&self.input, LIMITS) {
                Ok(Found::Request(request)) => (request.len, true),
                Ok(Found::Inline { len, .. }) => (len, true),
                Ok(Found::Nothing { len }) => (len, false),
                Ok(Found::More) if self.input.len() < INPUT_BYTES_MAX => return true,
                // What cannot be told apart is told once, as the last.
                Ok(Found::More) | Err(_) => {
                    self.is_over = true;
                    return false;
                }
            };
            self.input.drain(..len);
            if is_request {
                out.extend_from_slice(&self.line);
                self.told += 1;
                self.is_over = self.told == REQUESTS_MAX;
            }
        }
        if self.is_over {
            self.input.clear();
        }
        !self.is_over
    }

    /// What it is told before its connection closes: the line, if some request of it has not been
    /// told, or there was none.
    #[must_use]
    pub fn last(&self) -> &[u8] {
        if self.told == 0 || !self.input.is_empty() { &self.line } else { &[] }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::resp::write;

    const LINE: &str = "-NOPERM x\r\n";

    /// How often the bytes are told in pieces of this size, and whether at their end once more.
    fn told(bytes: &[u8], piece: usize) -> (usize, usize) {
        let (mut refused, mut out) = (Refused::new(LINE.into()), Vec::new());
        for piece in bytes.chunks(piece) {
            if !refused.input(piece, &mut out) {
                break;
            }
            assert!(refused.input.len() < INPUT_BYTES_MAX);
        }
        let times = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).expect("text");
            assert_eq!(text, LINE.repeat(text.len() / LINE.len()));
            text.len() / LINE.len()
        };
        (times(&out), times(refused.last()))
    }

    #[test]
    fn each_request_is_told_and_who_asks_nothing_is_told_once() {
        let setinfo = write::command(&[b"CLIENT", b"SETINFO", b"LIB-NAME", b"x"]);
        let get = write::command(&[b"GET", b"k"]);
        let large = write::command(&[b"SET", b"k", &[b'x'; 100_000]]);
        for (bytes, expected) in [
            (Vec::new(), (0, 1)),
            ([setinfo.clone(), get.clone()].concat(), (2, 0)),
            (b"PING\r\n\r\nPING a\r\n".to_vec(), (2, 0)),
            // A part of one, one that is too large, and none at all.
            ([setinfo.clone(), get[..5].to_vec()].concat(), (1, 1)),
            ([setinfo.clone(), large].concat(), (1, 1)),
            ([setinfo, b"*1\r\n:1\r\n".to_vec()].concat(), (1, 1)),
            (get.repeat(1000), (REQUESTS_MAX, 0)),
        ] {
            for piece in [1, 7, 4096] {
                assert_eq!(told(&bytes, piece), expected, "{piece}: {:?}", String::from_utf8_lossy(&bytes));
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_is_told_more_than_a_few_times(
            bytes in proptest::collection::vec(any::<u8>(), 0..4096),
            piece in 1_usize..5000,
        ) {
            let (told, last) = told(&bytes, piece);
            prop_assert!(told <= REQUESTS_MAX && told + last > 0);
        }
    }
}
