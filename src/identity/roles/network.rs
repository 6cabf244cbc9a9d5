//! Where somebody may come from: an IP address or a CIDR. Names of hosts are not
//! known here: who answers for a name could otherwise choose a role.

use core::net::IpAddr;
use std::fmt;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use thiserror::Error;

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// Nothing, or spaces only.
    #[error("the host is blank: remove it, or write 0.0.0.0/0 and ::/0 if every address is meant")]
    Blank,
    /// A host's name, or a part of an address.
    #[error(
        "{0:?} is not an IP address or a CIDR such as 10.1.0.0/16: host names and wildcards are not looked up"
    )]
    Name(String),
    /// Bits that the mask hides.
    #[error("{found} has bits outside of its mask: write {meant}, or the address without a mask")]
    HostBits {
        /// As written.
        found: String,
        /// What it comes to.
        meant: String,
    },
}

/// A range of addresses. IPv4 written as IPv6 (`::ffff:10.0.0.1`) is IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Whether the address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Whether it is every address of its kind.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.prefix_len() == 0
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        if text.trim().is_empty() {
            return Err(NetworkError::Blank);
        }
        let name = || NetworkError::Name(text.chars().take(100).collect());
        let net = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse::<IpNet>().map_err(|_error| name())?,
        };
        if net.trunc() != net {
            let meant = Self(canonical(net.trunc())).to_string();
            return Err(NetworkError::HostBits { found: text.to_owned(), meant });
        }
        Ok(Self(canonical(net)))
    }
}

/// `::ffff:a.b.c.d/96+n` as `a.b.c.d/n`.
fn canonical(net: IpNet) -> IpNet {
    let mapped = match net.addr().to_canonical() {
        IpAddr::V4(address) => net.prefix_len().checked_sub(96).zip(Some(address)),
        IpAddr::V6(_) => None,
    };
    match (net, mapped) {
        (IpNet::V6(_), Some((prefix, address))) => Ipv4Net::new(address, prefix).map_or(net, IpNet::V4),
        _ => net,
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            write!(f, "{}", self.0.addr())
        } else {
            write!(f, "{}", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        let network: Network = network.parse().unwrap_or_else(|error| panic!("{network}: {error}"));
        network.contains(address.parse().expect("an address"))
    }

    /// OS-15
    #[test]
    fn hosts_are_addresses_or_networks_of_either_kind() {
        for (network, inside, outside) in [
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("10.1.0.0/16", "10.1.255.255", "10.2.0.0"),
            ("10.1.0.0/16", "::ffff:10.1.0.1", "::ffff:10.2.0.1"),
            ("::ffff:10.1.0.0/112", "10.1.0.1", "10.2.0.1"),
            ("::ffff:10.1.2.3", "10.1.2.3", "::1"),
            ("2001:db8::/32", "2001:db8::1", "2001:db9::1"),
            ("0.0.0.0/0", "192.0.2.1", "2001:db8::1"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
        ] {
            assert!(contains(network, inside), "{network} {inside}");
            assert!(!contains(network, outside), "{network} {outside}");
        }
    }

    /// OS-15: there is no reverse lookup, so a name is an error rather than a
    /// rule that never holds.
    #[test]
    fn names_wildcards_and_blanks_are_refused() {
        for text in ["client.example.com", "*", "10.1.*", "10.1.0.0/33", "10.1.0.0/", "localhost"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Name(text.to_owned())));
        }
        for text in ["", " "] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Blank));
        }
        let bits = |found: &str, meant: &str| NetworkError::HostBits {
            found: found.to_owned(),
            meant: meant.to_owned(),
        };
        assert_eq!("10.1.2.3/16".parse::<Network>(), Err(bits("10.1.2.3/16", "10.1.0.0/16")));
        assert_eq!("2001:db8::1/32".parse::<Network>(), Err(bits("2001:db8::1/32", "2001:db8::/32")));
    }
}
