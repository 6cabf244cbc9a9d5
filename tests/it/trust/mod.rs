//! Trust over time, through the real gateway: chains, revocation, what ends while a
//! client is connected, several listeners, reloads by watching, resumption.

mod chains;
pub(crate) mod hierarchy;
mod listeners;
mod pinned;
mod reloads;
mod resumption;
mod revocation;
mod time;

use rustls::SupportedProtocolVersion;
use serde_json::Value as Json;

use crate::pki::{Identity, client_config_for};
use crate::wire::Client;
use crate::world::{APP, OPS, Setup, User, World};

pub(crate) const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// A world whose clients are of these CAs, with these users.
fn setup(ca: &str, listener: &'static str, users: &[User]) -> Setup {
    Setup { users: users.to_vec(), listener, files: vec![("ca.crt", ca.to_owned())], ..Setup::default() }
}

pub(crate) fn app_and_ops(ca: &str, listener: &'static str) -> Setup {
    setup(ca, listener, &[APP, OPS])
}

/// Who the gateway says that this certificate is, in one version of TLS.
pub(crate) fn who(
    world: &World,
    identity: &Identity,
    version: &'static SupportedProtocolVersion,
) -> Option<String> {
    let config = client_config_for(Some(identity), &[version]);
    let mut client = Client::tls(world.gateway.address, config).ok()?;
    client.try_write(b"*2\r\n$3\r\nACL\r\n$6\r\nWHOAMI\r\n").ok()?;
    client.try_read().ok().map(|value| value.to_string())
}

/// It comes in as this user, in both versions of TLS.
fn assert_is(world: &World, identity: &Identity, user: &str) {
    for version in BOTH {
        assert_eq!(who(world, identity, version), Some(format!("${user}")), "{version:?}");
    }
}

/// It is refused in the handshake in both versions, for this reason, in these words.
fn assert_refused(world: &World, identity: &Identity, reason: &str, words: &str) {
    for version in BOTH {
        let before = world.audit().len();
        assert_eq!(who(world, identity, version), None, "{reason}, {version:?}");
        let record = wait_for(world, before, "outcome", "refused");
        assert_eq!(record["reason"], reason, "{record:#}");
        let detail = record["detail"].as_str().expect("a sentence");
        assert!(detail.contains(words), "{words:?} is not in {detail:?}");
    }
}

/// The first audit record after so many in which this field has this value.
fn wait_for(world: &World, after: usize, field: &str, value: &str) -> Json {
    world.wait_audit_after(after, &format!("with {field} = {value}"), |record| record[field] == value)
}
