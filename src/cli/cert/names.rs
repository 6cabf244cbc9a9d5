//! Alternative names, from their texts: DNS, IP, URI and e-mail, each checked as
//! what it is.

use std::net::IpAddr;

use rcgen::SanType;
use rcgen::string::Ia5String;
use rustls::pki_types::DnsName;
use thiserror::Error;
use x509_parser::extensions::GeneralName;

/// Why a text is not such a name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// `--name` takes both.
    #[error("name {0:?} is neither a DNS name nor an IP address")]
    Neither(String),
    /// Not a DNS name.
    #[error("{0:?} is not a DNS name")]
    Dns(String),
    /// Not an IP address.
    #[error("{0:?} is not an IP address")]
    Ip(String),
    /// Not a URI.
    #[error("{0:?} is not a URI, expected for example spiffe://acme.example/app")]
    Uri(String),
    /// Not an e-mail address.
    #[error("{0:?} is not an e-mail address, expected for example app@acme.example")]
    Email(String),
    /// The word before the colon is not known.
    #[error("{0:?} is not an alternative name, expected dns:, ip:, uri: or email: and its value")]
    Kind(String),
}

/// A DNS name or an IP address.
pub(super) fn dns_or_ip(text: &str) -> Result<SanType, NameError> {
    ip(text).or_else(|_| dns(text)).map_err(|_| NameError::Neither(text.to_owned()))
}

/// A DNS name, perhaps with `*.` before it.
pub(super) fn dns(text: &str) -> Result<SanType, NameError> {
    let error = || NameError::Dns(text.to_owned());
    DnsName::try_from(text.strip_prefix("*.").unwrap_or(text)).map_err(|_| error())?;
    ascii(text).map(SanType::DnsName).ok_or_else(error)
}

/// An IP address.
pub(super) fn ip(text: &str) -> Result<SanType, NameError> {
    text.parse::<IpAddr>().map(SanType::IpAddress).map_err(|_| NameError::Ip(text.to_owned()))
}

/// A URI: a scheme, a colon and something after it, without spaces.
pub(super) fn uri(text: &str) -> Result<SanType, NameError> {
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let fits = text.split_once(':').is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty());
    visible(text).filter(|_| fits).map(SanType::URI).ok_or_else(|| NameError::Uri(text.to_owned()))
}

/// An e-mail address: a local part and a host.
pub(super) fn email(text: &str) -> Result<SanType, NameError> {
    let fits = text.rsplit_once('@').is_some_and(|(local, host)| {
        !local.is_empty() && !local.contains('@') && DnsName::try_from(host).is_ok()
    });
    visible(text).filter(|_| fits).map(SanType::Rfc822Name).ok_or_else(|| NameError::Email(text.to_owned()))
}

/// `dns:app.example`, `ip:10.0.0.1`, `uri:spiffe://..` or `email:a@b`.
pub(super) fn typed(text: &str) -> Result<SanType, NameError> {
    match text.split_once(':') {
        Some(("dns", value)) => dns(value),
        Some(("ip", value)) => ip(value),
        Some(("uri", value)) => uri(value),
        Some(("email", value)) => email(value),
        _ => Err(NameError::Kind(text.to_owned())),
    }
}

/// A name that a request asks for; `None` is of a kind that is not issued.
pub(super) fn requested(name: &GeneralName<'_>) -> Option<SanType> {
    match name {
        GeneralName::DNSName(text) => dns(text).ok(),
        GeneralName::URI(text) => uri(text).ok(),
        GeneralName::RFC822Name(text) => email(text).ok(),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| SanType::IpAddress(bytes.into())),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| SanType::IpAddress(bytes.into())),
            _ => None,
        },
        _ => None,
    }
}

/// The key of `[[user]]` that recognises a name, and its value.
pub(super) fn as_key(name: &SanType) -> Option<(&'static str, String)> {
    Some(match name {
        SanType::DnsName(text) => ("san_dns", text.to_string()),
        SanType::URI(text) => ("san_uri", text.to_string()),
        SanType::Rfc822Name(text) => ("san_email", text.to_string()),
        SanType::IpAddress(address) => ("san_ip", address.to_string()),
        _ => return None,
    })
}

fn visible(text: &str) -> Option<Ia5String> {
    text.bytes().all(|byte| byte.is_ascii_graphic()).then(|| ascii(text)).flatten()
}

fn ascii(text: &str) -> Option<Ia5String> {
    text.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_checked_as_what_it_is_said_to_be() {
        for fine in [
            "dns:app.example",
            "dns:*.example",
            "ip:::1",
            "ip:10.0.0.1",
            "uri:spiffe://acme.example/app",
            "uri:urn:x",
            "email:a@b.example",
        ] {
            assert!(typed(fine).is_ok(), "{fine}");
        }
        for bad in [
            "app.example",
            "dns:a b",
            "dns:",
            "ip:10.0.0",
            "uri:acme.example",
            "uri:x:",
            "uri:spiffe://a b",
            "uri:spiffe://ä",
            "email:a",
            "email:@b",
            "email:a@b@c",
            "email:a b@c.example",
            "rid:1.2.3",
        ] {
            assert!(typed(bad).is_err(), "{bad}");
        }
    }
}
