//! HELLO: its options, and the answer in either protocol version.
//!
//! Follows Redis' `helloCommand` (networking.c): the version is checked first, then
//! the options in order, then AUTH, then SETNAME.

use crate::resp::{Proto, long, write};
use crate::upstream::Server;

/// A HELLO that has been read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hello<'a> {
    /// The version asked for; absent, the present one is kept.
    pub(crate) proto: Option<Proto>,
    /// User name and password.
    pub(crate) auth: Option<(&'a [u8], &'a [u8])>,
    /// The client's name.
    pub(crate) name: Option<&'a [u8]>,
}

/// Reads the arguments after the command's name; the error is the reply's text.
pub(crate) fn parse<'a>(mut args: impl Iterator<Item = &'a [u8]>) -> Result<Hello<'a>, Vec<u8>> {
    let mut hello = Hello { proto: None, auth: None, name: None };
    let Some(version) = args.next() else { return Ok(hello) };
    hello.proto = Some(match long(version) {
        Some(2) => Proto::Resp2,
        Some(3) => Proto::Resp3,
        Some(_) => return Err(b"NOPROTO unsupported protocol version".to_vec()),
        _ => return Err(b"ERR Protocol version is not an integer or out of range".to_vec()),
    });
    while let Some(option) = args.next() {
        let syntax = || write::quoting("ERR Syntax error in HELLO option '", option, "'");
        if option.eq_ignore_ascii_case(b"AUTH") {
            hello.auth = Some((args.next().ok_or_else(syntax)?, args.next().ok_or_else(syntax)?));
        } else if option.eq_ignore_ascii_case(b"SETNAME") {
            let name = args.next().ok_or_else(syntax)?;
            super::answer::check_name(name).map_err(String::into_bytes)?;
            hello.name = Some(name);
        } else {
            return Err(syntax());
        }
    }
    Ok(hello)
}

/// The answer: the backend's properties, the gateway's client id.
pub(crate) fn reply(server: &Server, proto: Proto, client_id: u64) -> Vec<u8> {
    let mut reply = match proto {
        Proto::Resp2 => b"*14\r\n".to_vec(),
        Proto::Resp3 => b"%7\r\n".to_vec(),
    };
    let bulk = |text: &str| write::bulk(text.as_bytes());
    for part in [
        bulk("server"),
        bulk(&server.name),
        bulk("version"),
        bulk(&server.version),
        bulk("proto"),
        write::integer(i64::from(proto.number())),
        bulk("id"),
        write::integer(i64::try_from(client_id).unwrap_or(i64::MAX)),
        bulk("mode"),
        bulk(&server.mode),
        bulk("role"),
        bulk(&server.role),
        bulk("modules"),
        server.modules.clone(),
    ] {
        reply.extend_from_slice(&part);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello<'a>(args: &[&'a str]) -> Result<Hello<'a>, Vec<u8>> {
        parse(args.iter().map(|arg| arg.as_bytes()))
    }

    #[test]
    fn options_are_read_as_redis_reads_them() {
        assert_eq!(hello(&[]), Ok(Hello { proto: None, auth: None, name: None }));
        assert_eq!(
            hello(&["3", "auth", "app", "pw", "SETNAME", "x"]),
            Ok(Hello { proto: Some(Proto::Resp3), auth: Some((b"app", b"pw")), name: Some(b"x") })
        );
        for (args, text) in [
            (&["4"][..], "NOPROTO unsupported protocol version"),
            (&["x"], "ERR Protocol version is not an integer or out of range"),
            (&["3", "AUTH", "a"], "ERR Syntax error in HELLO option 'AUTH'"),
            (&["3", "FOO"], "ERR Syntax error in HELLO option 'FOO'"),
            (
                &["3", "SETNAME", "a b"],
                "ERR Client names cannot contain spaces, newlines or special characters.",
            ),
        ] {
            assert_eq!(hello(args), Err(text.as_bytes().to_vec()));
        }
    }

    #[test]
    fn the_answer_has_seven_fields() {
        let server = Server {
            name: "redis".into(),
            version: "7.0.15".into(),
            mode: "standalone".into(),
            role: "master".into(),
            modules: b"*0\r\n".to_vec(),
        };
        for (proto, head) in [(Proto::Resp2, "*14\r\n"), (Proto::Resp3, "%7\r\n")] {
            let text = String::from_utf8(reply(&server, proto, 42)).expect("text");
            assert!(text.starts_with(head) && text.ends_with("modules\r\n*0\r\n"), "{text}");
            assert!(text.contains(&format!("proto\r\n:{}\r\n$2\r\nid\r\n:42\r\n", proto.number())), "{text}");
        }
    }
}
