//! Resumption: off by default, and where it is on no way around a check.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use super::hierarchy::{Ca, as_is, now, time};
use super::{BOTH, app_and_ops, wait_for};
use crate::pki::client_config_for;
use crate::wire::Client;
use crate::world::{OPS, World};

const APP: &str = "CN=app,O=Acme";
const ON: &str = "resumption = true";

/// Connects, asks who it is, and says whether the session was resumed.
fn connect(world: &World, config: &Arc<ClientConfig>) -> (String, bool) {
    let mut client = Client::tls(world.gateway.address, Arc::clone(config)).expect("a handshake");
    let _ = client.try_write(b"*2\r\n$3\r\nACL\r\n$6\r\nWHOAMI\r\n");
    let answer = client.try_read().map_or_else(|error| error.to_string(), |value| value.to_string());
    (answer, client.tls_facts().expect("TLS").2)
}

#[test]
fn nothing_is_resumed_by_default_and_everything_where_it_is_on() {
    let root = Ca::root("CN=Root,O=Acme");
    let app = root.leaf(APP, as_is).identity;
    for (listener, is_on) in [("", false), (ON, true)] {
        let world = World::with(app_and_ops(&root.pem(), listener));
        for version in BOTH {
            let config = client_config_for(Some(&app), &[version]);
            assert_eq!(connect(&world, &config), ("$app".to_owned(), false));
            for _ in 0..3 {
                assert_eq!(connect(&world, &config), ("$app".to_owned(), is_on), "{version:?}");
            }
        }
        let resumed = world.wait_audits(8).iter().filter(|record| record["resumed"] == true).count();
        assert_eq!(resumed, if is_on { 6 } else { 0 });
    }
}

#[test]
fn a_resumed_client_whose_certificate_has_ended_is_refused() {
    let root = Ca::root("CN=Root,O=Acme");
    let world = World::with(app_and_ops(&root.pem(), ON));
    let ends = now() + 4;
    let short = root.leaf(APP, |params| params.not_after = time(ends)).identity;
    for version in BOTH {
        let config = client_config_for(Some(&short), &[version]);
        assert_eq!(connect(&world, &config), ("$app".to_owned(), false));
        assert_eq!(connect(&world, &config), ("$app".to_owned(), true));
        // Kept for the second round as well.
        if version.version == rustls::ProtocolVersion::TLSv1_3 {
            while now() <= ends {
                std::thread::sleep(Duration::from_millis(100));
            }
            let before = world.audit().len();
            let (answer, resumed) = connect(&world, &config);
            assert!(resumed && answer.contains("NOPERM"), "{answer}");
            assert_eq!(wait_for(&world, before, "outcome", "refused")["reason"], "expired");
        }
    }
}

/// Whatever changes who may come in, all that could be resumed is forgotten.
#[test]
fn a_reload_forgets_what_could_be_resumed() {
    let (root, other) = (Ca::root("CN=Root,O=Acme"), Ca::root("CN=Root,O=Acme"));
    let world = World::with(app_and_ops(&root.pem(), ON));
    let configs: Vec<_> = BOTH
        .iter()
        .map(|version| client_config_for(Some(&root.leaf(APP, as_is).identity), &[*version]))
        .collect();
    for config in &configs {
        assert_eq!(connect(&world, config), ("$app".to_owned(), false));
        assert_eq!(connect(&world, config), ("$app".to_owned(), true));
    }
    // The user is gone.
    world.write_again(|setup| setup.users = vec![OPS]);
    world.reload();
    for config in &configs {
        let (answer, resumed) = connect(&world, config);
        assert!(!resumed && answer.contains("NOPERM"), "{answer}");
    }
    // The user is back, the CA is gone.
    world.write_again(|setup| setup.files[0].1 = other.pem());
    world.reload();
    for config in &configs {
        let refused = Client::tls(world.gateway.address, Arc::clone(config));
        assert!(refused.and_then(|mut client| client.try_read()).is_err());
        assert_eq!(wait_for(&world, 0, "reason", "untrusted_issuer")["outcome"], "refused");
    }
}
