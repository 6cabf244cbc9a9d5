//! Sessions that clients try to resume: by the thousand where that is off, and across
//! whatever ends a client's right to be let in where it is on.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, SupportedProtocolVersion};

use crate::pki::client_config_for;
use crate::resp::typed;
use crate::trust::hierarchy::{Ca, DAY, as_is, now};
use crate::trust::{BOTH, app_and_ops};
use crate::wire::Client;
use crate::world::{OPS, Setup, World};

const ATTEMPTS: usize = 1_000;
const APP: &str = "CN=app,O=Acme";

/// Asks who it is: the answer, or the error, and whether the session was resumed.
fn who(client: io::Result<Client>) -> (String, bool) {
    let told = |error: io::Error| (error.to_string(), false);
    let mut client = match client {
        Ok(client) => client,
        Err(error) => return told(error),
    };
    let _ = client.try_write(&typed("ACL WHOAMI"));
    let answer = client.try_read().map_or_else(|error| error.to_string(), |value| value.to_string());
    (answer, client.tls_facts().expect("TLS").2)
}

#[test]
fn a_thousand_attempts_to_resume_resume_nothing_by_default() {
    let world = World::start();
    std::thread::scope(|scope| {
        for version in BOTH {
            let world = &world;
            scope.spawn(move || {
                let identity = world.identity("app");
                // It keeps what it is given, and offers it at each connection.
                let config = client_config_for(Some(&identity), &[version]);
                for attempt in 0..ATTEMPTS {
                    let mut client = Client::tls(world.gateway.address, Arc::clone(&config)).expect("let in");
                    client.talk(&[("PING", "+PONG")]);
                    let facts = client.tls_facts();
                    assert_eq!(
                        facts,
                        Some((version.version, 0, false)),
                        "attempt {attempt}: version, tickets, resumed"
                    );
                }
            });
        }
    });
    let audit = world.wait_audits(2 * ATTEMPTS);
    assert_eq!(audit.len(), 2 * ATTEMPTS);
    assert!(audit.iter().all(|record| record["outcome"] == "accepted" && record["resumed"] != true));
}

/// A change of the world that takes away a client's right to come in.
type Change = (&'static str, fn(&mut Setup, &Ca, u64));

const CHANGES: [Change; 4] = [
    ("revoked", |setup, root, serial| setup.files[1].1 = root.crl(&[serial], now() + 9 * DAY)),
    ("no_mapping", |setup, _, _| setup.users = vec![OPS]),
    ("untrusted_issuer", |setup, _, _| {
        let other = Ca::root("CN=Root,O=Acme");
        setup.files[0].1 = other.pem();
        setup.files[1].1 = other.crl(&[], now() + 9 * DAY);
    }),
    ("crl_stale", |setup, root, _| setup.files[1].1 = root.crl(&[], now() - 60)),
];

/// What a client meets that can resume: after the change, and with its connection begun before
/// the change and its handshake after it, where the session that it offers is still known.
fn meets(change: &Change, version: &'static SupportedProtocolVersion) {
    let (reason, apply) = change;
    let root = Ca::root("CN=Root,O=Acme");
    let app = root.leaf(APP, as_is);
    let mut plan = app_and_ops(&root.pem(), "resumption = true\ncrl = \"root.crl\"");
    plan.files.push(("root.crl", root.crl(&[], now() + 9 * DAY)));
    let world = World::with(plan);
    world.announce("CRL 1 in");
    let config: Arc<ClientConfig> = client_config_for(Some(&app.identity), &[version]);
    let connect = || Client::tls(world.gateway.address, Arc::clone(&config));
    assert_eq!(who(connect()), ("$app".to_owned(), false), "{reason}");
    assert_eq!(who(connect()), ("$app".to_owned(), true), "{reason}");

    let early = TcpStream::connect(world.gateway.address).expect("it listens");
    // Until it has been accepted, it would meet what is in force later.
    std::thread::sleep(Duration::from_millis(300));
    world.write_again(|setup| apply(setup, &root, app.serial));
    world.reload();
    let (answer, was_resumed) = who(Client::tls_over(early, Arc::clone(&config)));
    assert!(was_resumed, "{reason}: not resumed, so nothing was tried: {answer}");
    assert!(answer.starts_with("-NOPERM"), "{reason}: {answer}");
    let (answer, was_resumed) = who(connect());
    assert!(!was_resumed, "{reason}: what could be resumed was not forgotten");
    assert!(!answer.starts_with('$'), "{reason}: {answer}");
    let refused = |record: &serde_json::Value| record["outcome"] == "refused" && record["reason"] == *reason;
    let first = world.wait_audit(reason, refused);
    world.wait_audit(reason, |record| refused(record) && *record != first);
}

/// RE-18: where sessions are resumed, each is verified and mapped as if it were new.
#[test]
fn who_may_no_longer_come_in_does_not_by_resuming_either() {
    for change in &CHANGES {
        for version in BOTH {
            meets(change, version);
        }
    }
}
