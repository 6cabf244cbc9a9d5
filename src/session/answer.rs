//! The replies that the gateway gives itself, from the session's own state.
//!
//! Texts and argument checks are Redis' (networking.c, `clientCommand`). What needs
//! a lane or ends the session (HELLO, SELECT, RESET, QUIT) is decided in `worker`.

use std::time::Instant;

use super::{ReplyMode, Session, whoami};
use crate::command::Answer;
use crate::resp::{Proto, write};

/// Redis' answer to a password that does not fit.
pub(crate) const WRONGPASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";

const OK: &[u8] = b"+OK\r\n";

/// Answers a command about the connection itself; `None` when nothing is said, as
/// CLIENT REPLY OFF has it.
pub(crate) fn answer(session: &mut Session, answer: Answer, args: &[&[u8]], now: Instant) -> Option<Vec<u8>> {
    Some(match answer {
        Answer::Auth => match auth(session, args) {
            Ok(()) => OK.to_vec(),
            Err(text) => write::error(text),
        },
        Answer::ClientSetName => match check_name(args[2]) {
            Ok(()) => {
                session.about.name = args[2].to_vec();
                OK.to_vec()
            }
            Err(text) => write::error(&text),
        },
        Answer::ClientGetName => match session.about.name.as_slice() {
            b"" => null(session.proto),
            name => write::bulk(name),
        },
        Answer::ClientSetInfo => set_info(session, args[2], args[3]),
        Answer::ClientId => write::integer(i64::try_from(session.client_id).unwrap_or(i64::MAX)),
        Answer::ClientInfo => verbatim(session.proto, &info(session, now)),
        Answer::ClientNoEvict => switch(&mut session.about.no_evict, args[2]),
        Answer::ClientNoTouch => switch(&mut session.about.no_touch, args[2]),
        Answer::ClientTrackingInfo => tracking_info(session.proto),
        Answer::ClientGetRedir => write::integer(-1),
        Answer::ClientReply => return reply_mode(session, args[2]),
        Answer::Respgate => whoami::answer(session, args),
        Answer::NotClustered => write::error("ERR This instance has cluster support disabled"),
        Answer::Hello | Answer::Select | Answer::Reset | Answer::Quit | Answer::ClientMaintNotifications => {
            unreachable!("{answer:?} is decided where lanes and servers are known")
        }
    })
}

/// Whether the arguments of AUTH name the user that this session already is. The
/// password is neither compared nor kept: the certificate has decided.
pub(crate) fn auth(session: &Session, args: &[&[u8]]) -> Result<(), &'static str> {
    match args {
        [_, _] => Ok(()),
        [_, user, _] if is_same_user(session, user) => Ok(()),
        [_, _, _] => Err(WRONGPASS),
        _ => Err("ERR syntax error"),
    }
}

/// Whether this is the Redis user, or the gateway's user, of the session.
pub(crate) fn is_same_user(session: &Session, name: &[u8]) -> bool {
    let permit = &session.permit;
    name == permit.credential().redis_user.as_bytes() || name == permit.user().name.as_bytes()
}

/// Whether the number of arguments is right; the error is Redis' text. What is held against
/// this first may be given to [`answer`].
pub(crate) fn check_arity(answer: Answer, args: &[&[u8]]) -> Result<(), String> {
    let argc = args.len();
    let (name, arity) = match answer {
        Answer::ClientSetName => ("client|setname", 3),
        Answer::ClientGetName => ("client|getname", 2),
        Answer::ClientSetInfo => ("client|setinfo", 4),
        Answer::ClientId => ("client|id", 2),
        Answer::ClientInfo => ("client|info", 2),
        Answer::ClientNoEvict => ("client|no-evict", 3),
        Answer::ClientNoTouch => ("client|no-touch", 3),
        Answer::ClientTrackingInfo => ("client|trackinginfo", 2),
        Answer::ClientGetRedir => ("client|getredir", 2),
        Answer::ClientReply => ("client|reply", 3),
        Answer::Auth if argc < 2 => ("auth", 2),
        Answer::Select => ("select", 2),
        Answer::Reset => ("reset", 1),
        Answer::NotClustered if argc > 1 => {
            return Err(wrong_arity(&String::from_utf8_lossy(args[0]).to_lowercase()));
        }
        _ => return Ok(()),
    };
    if argc == arity { Ok(()) } else { Err(wrong_arity(name)) }
}

/// Redis' text for a command with the wrong number of arguments.
pub(crate) fn wrong_arity(name: &str) -> String {
    format!("ERR wrong number of arguments for '{name}' command")
}

/// Redis' `validateClientAttr`: printable ASCII without the space.
fn is_printable(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

pub(crate) fn check_name(name: &[u8]) -> Result<(), String> {
    if is_printable(name) {
        return Ok(());
    }
    Err("ERR Client names cannot contain spaces, newlines or special characters.".to_owned())
}

fn set_info(session: &mut Session, attribute: &[u8], value: &[u8]) -> Vec<u8> {
    let field = if attribute.eq_ignore_ascii_case(b"LIB-NAME") {
        &mut session.about.lib_name
    } else if attribute.eq_ignore_ascii_case(b"LIB-VER") {
        &mut session.about.lib_ver
    } else {
        return write::error_of(&write::quoting("ERR Unrecognized option '", attribute, "'"));
    };
    if !is_printable(value) {
        let text = " cannot contain spaces, newlines or special characters.";
        return write::error_of(&write::quoting("ERR ", attribute, text));
    }
    *field = value.to_vec();
    OK.to_vec()
}

fn switch(flag: &mut bool, value: &[u8]) -> Vec<u8> {
    *flag = match () {
        () if value.eq_ignore_ascii_case(b"ON") => true,
        () if value.eq_ignore_ascii_case(b"OFF") => false,
        () => return write::error("ERR syntax error"),
    };
    OK.to_vec()
}

fn reply_mode(session: &mut Session, value: &[u8]) -> Option<Vec<u8>> {
    session.reply_mode = match () {
        () if value.eq_ignore_ascii_case(b"ON") => ReplyMode::On,
        () if value.eq_ignore_ascii_case(b"OFF") => ReplyMode::Off,
        // After OFF, SKIP changes nothing.
        () if value.eq_ignore_ascii_case(b"SKIP") => match session.reply_mode {
            ReplyMode::Off => ReplyMode::Off,
            _ => ReplyMode::Skip,
        },
        () => return Some(write::error("ERR syntax error")),
    };
    (session.reply_mode == ReplyMode::On).then(|| OK.to_vec())
}

fn null(proto: Proto) -> Vec<u8> {
    match proto {
        Proto::Resp2 => b"$-1\r\n".to_vec(),
        Proto::Resp3 => b"_\r\n".to_vec(),
    }
}

/// A verbatim string in RESP3, a bulk string in RESP2.
fn verbatim(proto: Proto, text: &[u8]) -> Vec<u8> {
    match proto {
        Proto::Resp2 => write::bulk(text),
        Proto::Resp3 => {
            let mut reply = format!("={}\r\ntxt:", text.len() + 4).into_bytes();
            reply.extend_from_slice(text);
            reply.extend_from_slice(b"\r\n");
            reply
        }
    }
}

/// CLIENT TRACKINGINFO while nothing is tracked.
fn tracking_info(proto: Proto) -> Vec<u8> {
    let (map, set) = match proto {
        Proto::Resp2 => ("*6", "*1"),
        Proto::Resp3 => ("%3", "~1"),
    };
    format!("{map}\r\n$5\r\nflags\r\n{set}\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n")
        .into_bytes()
}

/// The line of CLIENT INFO (networking.c, `catClientInfoString`), of those fields that the
/// gateway knows.
fn info(session: &Session, now: Instant) -> Vec<u8> {
    let (peer, local) = &session.addresses;
    let subscriptions = session.subscriptions();
    let about = &session.about;
    let seconds = |since: Instant| now.saturating_duration_since(since).as_secs();
    let mut flags = String::new();
    for (set, flag) in [(subscriptions.total() > 0, 'P'), (about.no_evict, 'e'), (about.no_touch, 'T')] {
        if set {
            flags.push(flag);
        }
    }
    if flags.is_empty() {
        flags.push('N');
    }
    let mut line = format!("id={} addr={peer} laddr={local} name=", session.client_id).into_bytes();
    line.extend_from_slice(&about.name);
    line.extend_from_slice(
        format!(
            " age={} idle={} flags={flags} db={} sub={} psub={} ssub={} multi=-1 qbuf={} omem={} \
             cmd=client|info user={} redir=-1 resp={} lib-name=",
            seconds(session.opened_at),
            seconds(session.heard_at),
            session.db,
            subscriptions.channels,
            subscriptions.patterns,
            subscriptions.shards,
            session.input.len(),
            session.out.len(),
            session.permit.credential().redis_user,
            session.proto.number(),
        )
        .as_bytes(),
    );
    line.extend_from_slice(&about.lib_name);
    line.extend_from_slice(b" lib-ver=");
    line.extend_from_slice(&about.lib_ver);
    line.push(b'\n');
    line
}
