//! The alternative names that a rule asks for, checked when they are read, and
//! how each type is compared.

use core::net::IpAddr;

use thiserror::Error;

use super::{San, SanKind};

/// The longest that is read, in bytes; the longest SPIFFE ID (SPIFFE-ID 2.3).
const BYTES_MAX: usize = 2048;

/// Why an alternative name in a rule is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AlternativeError {
    /// Not a name of its type.
    #[error("found {found:?}, expected {expected}")]
    Malformed {
        /// The text, cut.
        found: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// A SPIFFE ID that no workload can have.
    #[error("{found:?} is not the SPIFFE ID of a workload: {why}")]
    Spiffe {
        /// The text, cut.
        found: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// A name that a rule asks for, in the form in which it is compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Alternative {
    /// Lower case: host names are compared without regard to ASCII case.
    Dns(String),
    /// Compared byte by byte.
    Uri(String),
    /// The part before the `@` as it is, the one behind it in lower case.
    Email(String),
    /// Compared as bytes: an IPv4 address is not its IPv6 form.
    Ip(IpAddr),
}

impl Alternative {
    pub(super) fn dns(text: &str) -> Result<Self, AlternativeError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte);
        let sound = (1..=253).contains(&text.len()) && text.bytes().all(fits);
        let expected = "a host name of at most 253 letters, digits, '-', '_', '.' and '*'";
        sound.then(|| Self::Dns(text.to_ascii_lowercase())).ok_or_else(|| malformed(text, expected))
    }

    pub(super) fn uri(text: &str) -> Result<Self, AlternativeError> {
        let has_scheme = text.split_once(':').is_some_and(|(scheme, rest)| {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && !rest.is_empty()
        });
        if !has_scheme || text.len() > BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed(text, "a URI in ASCII such as \"spiffe://prod/app\""));
        }
        if is_spiffe(text) {
            spiffe(text).map_err(|why| AlternativeError::Spiffe { found: shown(text), why })?;
        }
        Ok(Self::Uri(text.to_owned()))
    }

    pub(super) fn email(text: &str) -> Result<Self, AlternativeError> {
        let sound = text.len() <= BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
        let folded = if sound { mailbox(text) } else { None };
        folded.map(Self::Email).ok_or_else(|| malformed(text, "a mailbox such as \"app@example.com\""))
    }

    pub(super) fn ip(text: &str) -> Result<Self, AlternativeError> {
        text.parse()
            .map(Self::Ip)
            .map_err(|_error| malformed(text, "an IP address, without a mask or a port"))
    }

    /// The name of a certificate in the form in which it is compared, if a rule
    /// can ask for its type.
    pub(super) fn of(san: &San) -> Option<Self> {
        match san {
            San::Dns(text) => Some(Self::Dns(text.to_ascii_lowercase())),
            San::Uri(text) => Some(Self::Uri(text.clone())),
            San::Email(text) => mailbox(text).map(Self::Email),
            San::Ip(ip) => Some(Self::Ip(*ip)),
            San::Other { .. } | San::Unfit { .. } => None,
        }
    }

    pub(super) fn kind(&self) -> SanKind {
        match self {
            Self::Dns(_) => SanKind::Dns,
            Self::Uri(_) => SanKind::Uri,
            Self::Email(_) => SanKind::Email,
            Self::Ip(_) => SanKind::Ip,
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

fn malformed(found: &str, expected: &'static str) -> AlternativeError {
    AlternativeError::Malformed { found: shown(found), expected }
}

/// A mailbox with its host in lower case (RFC 5280 section 4.2.1.6).
fn mailbox(text: &str) -> Option<String> {
    let (local, host) =
        text.rsplit_once('@').filter(|(local, host)| !local.is_empty() && !host.is_empty())?;
    Some(format!("{local}@{}", host.to_ascii_lowercase()))
}

/// Whether a URI is a SPIFFE ID or would like to be one.
pub(super) fn is_spiffe(uri: &str) -> bool {
    uri.split_once(':').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("spiffe"))
}

/// Confirms that a URI is the SPIFFE ID of a workload (SPIFFE-ID 2, X509-SVID 2).
pub(super) fn spiffe(uri: &str) -> Result<(), &'static str> {
    let Some(rest) = uri.strip_prefix("spiffe://") else { return Err("it does not begin with spiffe://") };
    if uri.len() > BYTES_MAX {
        return Err("it is longer than 2048 bytes");
    }
    if rest.contains(['?', '#']) {
        return Err("it has a query or a fragment");
    }
    let (domain, path) =
        rest.split_once('/').ok_or("it has no path, so it is a trust domain's and nobody's")?;
    if domain.contains(['@', ':']) {
        return Err("it has a user or a port");
    }
    let in_domain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    if !(1..=255).contains(&domain.len()) || !domain.bytes().all(in_domain) {
        return Err("its trust domain is not of lower-case letters, digits, '-', '_' and '.'");
    }
    let in_path = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let sound = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(in_path);
    if path.split('/').all(sound) { Ok(()) } else { Err("its path has an empty or forbidden segment") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_has_a_trust_domain_and_a_path_and_nothing_else() {
        for sound in ["spiffe://prod/a", "spiffe://prod.example.org/ns/x/sa/My_app-1.0"] {
            assert_eq!(spiffe(sound), Ok(()), "{sound}");
        }
        for bad in [
            "spiffe://prod",
            "spiffe://prod/",
            "spiffe://prod/a/",
            "spiffe://prod//a",
            "spiffe://prod/./a",
            "spiffe://prod/../a",
            "spiffe://prod:80/a",
            "spiffe://me@prod/a",
            "spiffe://prod/a?x",
            "spiffe://prod/a#x",
            "spiffe://Prod/a",
            "SPIFFE://prod/a",
            "spiffe:///a",
            "spiffe://prod/%61",
            "spiffe:prod/a",
        ] {
            assert!(spiffe(bad).is_err() && is_spiffe(bad), "{bad}");
            assert!(Alternative::uri(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_of_its_type_is_refused() {
        for bad in ["", "a b", "ü.example", "http://x", "a/b"] {
            assert!(Alternative::dns(bad).is_err(), "{bad}");
        }
        for bad in ["", "app", ":x", "urn:", "urn:a b", "urn:\u{e9}"] {
            assert!(Alternative::uri(bad).is_err(), "{bad}");
        }
        for bad in ["", "app", "@x", "app@", "a b@x"] {
            assert!(Alternative::email(bad).is_err(), "{bad}");
        }
        for bad in ["", "10.0.0.0/8", "10.0.0.1:80", "[::1]", "010.0.0.1"] {
            assert!(Alternative::ip(bad).is_err(), "{bad}");
        }
    }
}
