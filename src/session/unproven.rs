//! A client that has yet to say who it is. It can give a name and a password, and
//! do nothing else: it has no session, no lane and no link, and what it sends is
//! held to the bounds that Redis has for strangers. Bytes in, bytes and turns out.

use zeroize::Zeroizing;

use super::answer::{WRONGPASS, wrong_arity};
use super::hello;
use crate::resp::{Found, RequestError, RequestLimits, RequestScanner, args, write};
use crate::secret::Secret;

/// Redis' answer to every command before AUTH.
const NOAUTH: &str = "NOAUTH Authentication required.";

/// Redis' answer to HELLO without AUTH (networking.c, `helloCommand`).
const HELLO_NOAUTH: &str = "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
                            HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
                            select the RESP protocol version at the same time";

/// Redis' own bounds for a client that has not authenticated (CVE-2021-32675).
const LIMITS: RequestLimits = RequestLimits { args_max: 10, bulk_bytes_max: 16_384 };

/// More than one request within these bounds can have, and than an inline one may.
const INPUT_BYTES_MAX: usize = 192 * 1024;

/// What comes next with a client.
#[derive(Debug)]
pub enum Turn {
    /// More of its bytes.
    Read,
    /// Whether this is right: then [`Unproven::refused`] or [`Unproven::proven`].
    Ask(Ask),
    /// Its connection is closed once what was answered has been written.
    Close,
}

/// A name and a password that a client gives.
#[derive(Debug)]
pub struct Ask {
    /// Who it says to be; with the password alone, that is for its certificate to say.
    pub name: Option<Vec<u8>>,
    /// Its password.
    pub password: Secret,
}

/// A client that has yet to say who it is.
#[derive(Default)]
pub struct Unproven {
    /// What it has sent and has not been looked at. It may be a password.
    input: Zeroizing<Vec<u8>>,
    scan: RequestScanner,
    /// While an answer is awaited: the request that the session begins with if it is
    /// yes, which is the client's own without the password.
    first: Option<Vec<u8>>,
}

impl Unproven {
    /// The client sent these bytes.
    pub fn input(&mut self, bytes: &[u8]) {
        if self.input.capacity() < self.input.len() + bytes.len() {
            // Grown by hand, so that no copy of a password is left behind.
            let mut grown = Zeroizing::new(Vec::with_capacity((self.input.len() + bytes.len()).max(4_096)));
            grown.extend_from_slice(&self.input);
            self.input = grown;
        }
        self.input.extend_from_slice(bytes);
    }

    /// Whether more of the client's bytes may be read.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        self.input.len() < INPUT_BYTES_MAX
    }

    /// Looks at the input until something has to be done; answers go to the end of `out`.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Turn {
        loop {
            let (len, strict) = match self.scan.scan(&self.input, LIMITS) {
                Ok(Found::Request(request)) => (request.len, None),
                Ok(Found::Inline { len, strict }) => (len, Some(Zeroizing::new(strict))),
                Ok(Found::Nothing { len }) => {
                    self.input.drain(..len);
                    continue;
                }
                Ok(Found::More) if self.wants_read() => return Turn::Read,
                Ok(Found::More) => return Turn::Close,
                Err(error) => {
                    out.extend(write::error(&format!("ERR {}", self.protocol_error(error))));
                    return Turn::Close;
                }
            };
            let request = strict.as_ref().map_or(&self.input[..len], |strict| strict);
            let (turn, first) = request_turn(&args(request).collect::<Vec<_>>(), out);
            self.input.drain(..len);
            self.first = first;
            if let Some(turn) = turn {
                return turn;
            }
        }
    }

    /// The password was not right, or could not be checked.
    pub fn refused(&mut self, line: &str, out: &mut Vec<u8>) {
        self.first = None;
        out.extend(write::error(line));
    }

    /// The password was right: what the client's session is to be given as its first
    /// input. It begins with the request that asked, which the session answers.
    #[must_use]
    pub fn proven(mut self) -> Zeroizing<Vec<u8>> {
        let mut first = Zeroizing::new(self.first.take().unwrap_or_default());
        first.extend_from_slice(&self.input);
        first
    }

    /// Redis has words of its own for what only a stranger may not send.
    fn protocol_error(&self, error: RequestError) -> String {
        let known = RequestLimits { args_max: 1_048_576, bulk_bytes_max: 512 << 20 };
        let is_ours = RequestScanner::default().scan(&self.input, known).is_ok();
        match error {
            RequestError::MultibulkLength if is_ours => {
                "Protocol error: unauthenticated multibulk length".to_owned()
            }
            RequestError::BulkLength if is_ours => "Protocol error: unauthenticated bulk length".to_owned(),
            error => error.to_string(),
        }
    }
}

/// The text for a password that is not right.
pub const WRONG: &str = WRONGPASS;

/// What one request leads to, and what takes its place if the password is right.
fn request_turn(args: &[&[u8]], out: &mut Vec<u8>) -> (Option<Turn>, Option<Vec<u8>>) {
    let Some((name, rest)) = args.split_first() else { return (None, None) };
    let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
    let mut error = |text: &[u8]| {
        out.extend(write::error_of(text));
        (None, None)
    };
    let ask = |name: Option<&[u8]>, password: &[u8]| {
        Some(Turn::Ask(Ask { name: name.map(<[u8]>::to_vec), password: Secret::new(password.to_vec()) }))
    };
    // The session takes AUTH with a password alone for its own user's.
    let plain = || Some(write::command(&[b"AUTH", b""]));
    match rest {
        // A browser or a form that was sent here: nothing behind it is a command.
        _ if is(b"POST") || is(b"Host:") => (Some(Turn::Close), None),
        [] if is(b"AUTH") => error(wrong_arity("auth").as_bytes()),
        [password] if is(b"AUTH") => (ask(None, password), plain()),
        [name, password] if is(b"AUTH") => (ask(Some(name), password), plain()),
        _ if is(b"AUTH") => error(b"ERR syntax error"),
        _ if is(b"HELLO") => match hello::parse(rest.iter().copied()) {
            Err(text) => error(&text),
            Ok(hello::Hello { auth: None, .. }) => error(HELLO_NOAUTH.as_bytes()),
            Ok(hello::Hello { proto, auth: Some((name, password)), name: own }) => {
                let proto = proto.map(|proto| [b'0' + proto.number()]);
                let mut words: Vec<&[u8]> = vec![b"HELLO"];
                words.extend(proto.as_ref().map(<[u8; 1]>::as_slice));
                words.extend(own.iter().flat_map(|own| [&b"SETNAME"[..], own]));
                (ask(Some(name), password), Some(write::command(&words)))
            }
        },
        _ if is(b"QUIT") => {
            out.extend_from_slice(b"+OK\r\n");
            (Some(Turn::Close), None)
        }
        [] if is(b"RESET") => {
            out.extend_from_slice(b"+RESET\r\n");
            (None, None)
        }
        _ if is(b"RESET") => error(wrong_arity("reset").as_bytes()),
        _ => error(NOAUTH.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WRONG_LINE: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";

    /// Feeds the bytes in pieces of this size; every password is wrong but `right`.
    /// What was answered, and what a session would begin with.
    fn play(bytes: &[u8], piece: usize) -> (String, Option<Vec<u8>>) {
        let (mut unproven, mut out) = (Unproven::default(), Vec::new());
        for piece in bytes.chunks(piece.max(1)) {
            unproven.input(piece);
            loop {
                match unproven.next(&mut out) {
                    Turn::Read => break,
                    Turn::Close => return (String::from_utf8(out).expect("text") + "CLOSED", None),
                    Turn::Ask(ask) if ask.password == Secret::new(b"right".to_vec()) => {
                        return (String::from_utf8(out).expect("text"), Some(unproven.proven().to_vec()));
                    }
                    Turn::Ask(_) => unproven.refused(WRONG, &mut out),
                }
            }
        }
        (String::from_utf8(out).expect("text"), None)
    }

    fn line(text: &str) -> Vec<u8> {
        write::command(&text.split(' ').map(str::as_bytes).collect::<Vec<_>>())
    }

    #[test]
    fn everything_but_a_proof_is_noauth_in_redis_own_words() {
        for (request, answer) in [
            ("GET k", "-NOAUTH Authentication required.\r\n"),
            ("PING", "-NOAUTH Authentication required.\r\n"),
            ("CLIENT SETNAME x", "-NOAUTH Authentication required.\r\n"),
            ("MULTI", "-NOAUTH Authentication required.\r\n"),
            ("HELLO 4", "-NOPROTO unsupported protocol version\r\n"),
            ("HELLO 3 AUTH a", "-ERR Syntax error in HELLO option 'AUTH'\r\n"),
            ("HELLO 3 AUTH app nearly", WRONG_LINE),
            ("AUTH", "-ERR wrong number of arguments for 'auth' command\r\n"),
            ("AUTH a b c", "-ERR syntax error\r\n"),
            ("AUTH app nearly", WRONG_LINE),
            ("AUTH nearly", WRONG_LINE),
            ("RESET", "+RESET\r\n"),
            ("reset x", "-ERR wrong number of arguments for 'reset' command\r\n"),
            ("QUIT", "+OK\r\nCLOSED"),
            ("POST / HTTP/1.1", "CLOSED"),
        ] {
            assert_eq!(play(&line(request), 1_000), (answer.to_owned(), None), "{request}");
            assert_eq!(play(format!("{request}\r\n").as_bytes(), 1), (answer.to_owned(), None), "{request}");
        }
        for request in ["HELLO", "HELLO 3", "HELLO 2 SETNAME x"] {
            assert_eq!(play(&line(request), 3), (format!("-{HELLO_NOAUTH}\r\n"), None));
        }
    }

    #[test]
    fn what_follows_a_proof_is_the_sessions_and_the_password_is_not_among_it() {
        let after = [line("GET k"), b"PING\r\n*1\r\n$4\r\nPI".to_vec()].concat();
        for (proof, first) in [
            ("AUTH app right", write::command(&[b"AUTH", b""])),
            ("AUTH right", write::command(&[b"AUTH", b""])),
            ("hello 3 auth app right setname me", line("HELLO 3 SETNAME me")),
            ("HELLO 2 AUTH app right", line("HELLO 2")),
        ] {
            let bytes = [line("PING"), line(proof), after.clone()].concat();
            let (answers, session) = play(&bytes, bytes.len());
            assert_eq!(answers, "-NOAUTH Authentication required.\r\n");
            assert_eq!(session, Some([first, after.clone()].concat()), "{proof}");
        }
    }

    #[test]
    fn a_stranger_is_held_to_redis_bounds_for_strangers() {
        for (bytes, answer) in [
            (&b"*11\r\n"[..], "-ERR Protocol error: unauthenticated multibulk length\r\nCLOSED"),
            (b"*2147483647\r\n", "-ERR Protocol error: invalid multibulk length\r\nCLOSED"),
            (b"*2\r\n$16385\r\n", "-ERR Protocol error: unauthenticated bulk length\r\nCLOSED"),
            (b"*2\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length\r\nCLOSED"),
            (b"*2\r\n+OK\r\n", "-ERR Protocol error: expected '$', got '+'\r\nCLOSED"),
        ] {
            assert_eq!(play(bytes, 1_000), (answer.to_owned(), None));
        }
        let most = vec![b'x'; 16_384];
        let words: Vec<&[u8]> =
            std::iter::once(&b"SET"[..]).chain(std::iter::repeat_n(&most[..], 9)).collect();
        let largest = write::command(&words);
        assert!(largest.len() < INPUT_BYTES_MAX);
        assert_eq!(play(&largest, 4_096).0, "-NOAUTH Authentication required.\r\n");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter_and_nothing_panics(
            bytes in proptest::collection::vec(prop_oneof![
                Just(b"*2\r\n$4\r\nAUTH\r\n$5\r\nright\r\n".to_vec()),
                Just(b"*3\r\n$4\r\nAUTH\r\n$1\r\na\r\n$5\r\nwrong\r\n".to_vec()),
                Just(b"*1\r\n$4\r\nPING\r\n".to_vec()),
                Just(b"HELLO 3\r\n".to_vec()),
                Just(b"\r\n*0\r\n".to_vec()),
                proptest::collection::vec(any::<u8>(), 0..20),
            ], 0..8),
            piece in 1usize..40,
        ) {
            let bytes = bytes.concat();
            let (whole, whole_session) = play(&bytes, bytes.len());
            let (pieces, session) = play(&bytes, piece);
            prop_assert_eq!(whole, pieces);
            prop_assert_eq!(whole_session.is_some(), session.is_some());
        }
    }
}
