//! RESPGATE: what the gateway says about itself to a client. RESPGATE WHOAMI tells
//! whom it takes the client for, and by what; it never reaches a backend.

use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use super::Session;
use super::answer::wrong_arity;
use crate::identity::Certificate;
use crate::resp::{Proto, write};

const HELP: [&str; 5] = [
    "RESPGATE <subcommand>. Subcommands are:",
    "WHOAMI",
    "    Whom the gateway takes you for, by which rule, and what your certificate says.",
    "HELP",
    "    Print this help.",
];

/// What the transport of a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transport {
    /// The version of TLS, as the audit writes it.
    pub version: &'static str,
    /// The cipher suite, as the audit writes it.
    pub cipher: &'static str,
}

/// The value of one field.
enum Field {
    Text(String),
    Texts(Vec<String>),
}

/// Answers RESPGATE, whatever its subcommand is.
pub(super) fn answer(session: &Session, args: &[&[u8]]) -> Vec<u8> {
    let is = |text: &str| args.get(1).is_some_and(|sub| sub.eq_ignore_ascii_case(text.as_bytes()));
    match args.len() {
        2 if is("WHOAMI") => whoami(session),
        2 if is("HELP") => array(HELP.into_iter().map(str::to_owned)),
        0 | 1 => write::error(&wrong_arity("respgate")),
        _ if is("WHOAMI") => write::error(&wrong_arity("respgate|whoami")),
        _ if is("HELP") => write::error(&wrong_arity("respgate|help")),
        _ => {
            let shown: Vec<u8> = args[1].iter().copied().take(128).collect();
            let shown = String::from_utf8_lossy(&shown).into_owned();
            write::error(&format!("ERR unknown subcommand '{shown}'. Try RESPGATE HELP."))
        }
    }
}

/// A map in RESP3, its keys and values in turn in RESP2. What is not known is left out.
fn whoami(session: &Session) -> Vec<u8> {
    let fields = fields(session);
    let mut reply = match session.proto {
        Proto::Resp2 => format!("*{}\r\n", fields.len() * 2),
        Proto::Resp3 => format!("%{}\r\n", fields.len()),
    }
    .into_bytes();
    for (name, field) in fields {
        reply.extend(write::bulk(name.as_bytes()));
        reply.extend(match field {
            Field::Text(text) => write::bulk(text.as_bytes()),
            Field::Texts(texts) => array(texts.into_iter()),
        });
    }
    reply
}

fn fields(session: &Session) -> Vec<(&'static str, Field)> {
    let (permit, user) = (&session.permit, session.permit.user());
    let mut fields = vec![
        ("user", Field::Text(user.name.clone())),
        ("redis_user", Field::Text(permit.credential().redis_user.clone())),
        ("realm", Field::Text(permit.realm().to_string())),
        ("rule", Field::Text(permit.rule().to_string())),
    ];
    fields.extend(permit.role().map(|role| ("role", Field::Text(role.to_owned()))));
    let roles: Vec<String> = permit.roles().names().map(str::to_owned).collect();
    for (name, texts) in [("roles", roles), ("groups", permit.groups().to_vec())] {
        if !texts.is_empty() {
            fields.push((name, Field::Texts(texts)));
        }
    }
    if let Some(certificate) = permit.certificate() {
        fields.extend(of_certificate(certificate));
    }
    if let Some(Transport { version, cipher }) = session.transport {
        fields.push(("tls_version", Field::Text(version.to_owned())));
        fields.push(("tls_cipher", Field::Text(cipher.to_owned())));
    }
    fields.push(("listener", Field::Text(permit.evidence().listener().to_owned())));
    fields.push(("database", Field::Text(permit.evidence().database().to_owned())));
    fields.push(("peer", Field::Text(session.addresses.0.clone())));
    fields
}

fn of_certificate(certificate: &Certificate) -> Vec<(&'static str, Field)> {
    let sans = certificate.sans().iter().map(ToString::to_string).collect();
    let mut fields = vec![
        ("subject", Field::Text(certificate.subject().to_string())),
        ("sans", Field::Texts(sans)),
        ("issuer", Field::Text(certificate.issuer().to_string())),
        ("serial", Field::Text(certificate.serial().to_owned())),
        ("fingerprint", Field::Text(certificate.fingerprint().to_string())),
    ];
    let end = UtcDateTime::from_unix_timestamp(certificate.not_after()).ok();
    let end = end.and_then(|end| end.format(&Rfc3339).ok());
    fields.extend(end.map(|end| ("not_after", Field::Text(end))));
    fields
}

fn array(texts: impl ExactSizeIterator<Item = String>) -> Vec<u8> {
    let mut reply = format!("*{}\r\n", texts.len()).into_bytes();
    texts.for_each(|text| reply.extend(write::bulk(text.as_bytes())));
    reply
}
