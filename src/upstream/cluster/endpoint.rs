//! Where a node is, as one of them tells it: in the replies of CLUSTER SLOTS and CLUSTER SHARDS, and in
//! redirects. Whether there is such a node is for others.

use std::fmt;

use super::reader::{Element, Reader};

/// Bytes of a host's name.
const HOST_MAX: usize = 255;

/// What a node tells for the name of one that has none, where names are to be told.
const UNKNOWN: &str = "?";

/// Where a node says that it, or another one, is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// A name or an address; empty is the host that was asked.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Endpoint {
    /// What a node tells.
    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port }
    }

    /// Whether that is a place: of a node whose name or address it does not know a node tells `?`, or port 0.
    pub(super) fn is_known(&self) -> bool {
        self.host != UNKNOWN && self.port != 0
    }

    /// The same, where no host was told: the one that was asked.
    #[must_use]
    pub fn or_host(mut self, asked: &str) -> Self {
        if self.host.is_empty() {
            asked.clone_into(&mut self.host);
        }
        self
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// `[host or nothing, port, id, metadata]`; the last, `[name, value, ..]`, is told from Redis 7 on.
pub(super) fn node_of_slots(reader: &mut Reader<'_>) -> Option<Endpoint> {
    let fields = reader.array().filter(|&fields| fields >= 2)?;
    let host = match reader.next()? {
        Element::Text(host) => text(host)?,
        Element::Null => "",
        _ => return None,
    };
    let port = port(reader.next()?)?;
    let mut ip = None;
    for field in 2..fields {
        if field == 3 {
            ip = ip_among(*reader);
        }
        reader.skip()?;
    }
    Some(Endpoint::new(named(host, ip), port))
}

/// The address in the metadata of a node.
fn ip_among(mut metadata: Reader<'_>) -> Option<&str> {
    for _ in 0..metadata.array()? / 2 {
        match metadata.next()? {
            Element::Text(b"ip") => {
                let Element::Text(ip) = metadata.next()? else { return None };
                return text(ip);
            }
            _ => metadata.skip()?,
        }
    }
    None
}

/// The host to go by: of a node without the name that it is to be told by, its address. That is empty where
/// the node asked does not know its own, and then the host that was asked.
fn named<'a>(host: &'a str, ip: Option<&'a str>) -> &'a str {
    if host == UNKNOWN { ip.unwrap_or(host) } else { host }
}

/// A node of CLUSTER SHARDS.
pub(super) struct Shard {
    pub(super) endpoint: Endpoint,
    pub(super) is_master: bool,
    pub(super) failed: bool,
}

pub(super) fn node_of_shards(reader: &mut Reader<'_>, tls: bool) -> Option<Shard> {
    let (mut host, mut ip, mut plain, mut encrypted) = ("", None, None, None);
    let (mut is_master, mut failed) = (false, false);
    for _ in 0..reader.array()? / 2 {
        let Element::Text(name) = reader.next()? else { return None };
        let before = *reader;
        match (name, reader.next()?) {
            (b"endpoint", Element::Text(value)) => host = text(value)?,
            (b"ip", Element::Text(value)) => ip = Some(text(value)?),
            (b"port", value) => plain = Some(port(value)?),
            (b"tls-port", value) => encrypted = Some(port(value)?),
            (b"role", Element::Text(role)) => is_master = role == b"master" || role == b"primary",
            (b"health", Element::Text(health)) => failed = health == b"failed" || health == b"fail",
            _ => {
                *reader = before;
                reader.skip()?;
            }
        }
    }
    let port = if tls { encrypted.or(plain) } else { plain };
    Some(Shard { endpoint: Endpoint::new(named(host, ip), port.unwrap_or(0)), is_master, failed })
}

fn text(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:?%".contains(&byte);
    (text.len() <= HOST_MAX && text.bytes().all(is_plain)).then_some(text)
}

fn port(value: Element<'_>) -> Option<u16> {
    match value {
        Element::Number(port) => u16::try_from(port).ok(),
        _ => None,
    }
}
