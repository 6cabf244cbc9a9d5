//! Certificates that let nobody in, and what is not TLS at all.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::ClientConfig;
use serde_json::Value as Json;

use crate::pki::{Identity, Leaf, client_config, pki};
use crate::wire::{Client, PATIENCE};
use crate::world::World;

/// Runs something bad while a good client of another user works on, and checks
/// that the good one lost nothing.
pub(super) fn unharmed(world: &World, bad: impl FnOnce()) {
    let mut good = world.client("ops");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            let mut count = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) || count < 100 {
                count += 1;
                assert_eq!(good.ask("INCR good"), format!(":{count}"));
            }
        });
        // Also when it fails, or the good client would go on for ever.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(bad));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        working.join().expect("the good client lost something");
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

/// The handshake fails, or ends in an alert at the first read: not one byte of an answer.
fn assert_refused_by_tls(world: &World, config: Arc<ClientConfig>) {
    let Ok(mut client) = Client::tls(world.gateway.address, config) else { return };
    let _ = client.try_write(b"*1\r\n$4\r\nPING\r\n");
    let answer = client.try_read().map(|value| value.to_string());
    assert!(answer.is_err(), "it answered {answer:?}");
}

fn refusal(world: &World, reason: &str, subject: Option<&str>) -> Json {
    let record = world.wait_audit(&format!("of a refusal for {reason}, {subject:?}"), |record| {
        record["outcome"] == "refused" && record["reason"] == *reason && record["subject"].as_str() == subject
    });
    world.gateway.stderr.wait_for(&format!("with {reason}"), |line| line.contains(reason));
    record
}

/// OS-02, for the last of them.
#[test]
fn a_certificate_that_does_not_hold_ends_in_an_alert_and_a_reason() {
    let world = World::start();
    let trusted = &pki().trusted;
    let wrong_use = Leaf::server(&["app.example.com"]);
    let cases = [
        ("untrusted_issuer", pki().foreign.issue(Leaf::client("CN=app,O=Acme")), "CN=app,O=Acme"),
        ("expired", trusted.issue(Leaf::client("CN=app,O=Acme").valid(2019, 2020)), "CN=app,O=Acme"),
        ("not_yet_valid", trusted.issue(Leaf::client("CN=app,O=Acme").valid(2400, 2401)), "CN=app,O=Acme"),
        ("eku", trusted.issue(wrong_use), "CN=gateway"),
    ];
    unharmed(&world, || {
        for (reason, identity, subject) in cases {
            for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
                assert_refused_by_tls(&world, crate::pki::client_config_for(Some(&identity), &[version]));
            }
            let record = refusal(&world, reason, Some(subject));
            assert!(record["serial"].is_string() && record["fingerprint"].is_string(), "{record:#}");
        }
        assert_refused_by_tls(&world, client_config(None));
        refusal(&world, "no_client_certificate", None);
    });
}

#[test]
fn a_stranger_fills_neither_audit_nor_log_with_what_it_calls_itself() {
    let world = World::start();
    // The second is longer than all that a client may show.
    for (length, is_named) in [(20_000, true), (40_000, false)] {
        let subject = format!("CN={},O=Acme", "\u{fc}".repeat(length / 2));
        let identity = pki().foreign.issue(Leaf::client(&subject));
        assert_refused_by_tls(&world, client_config(Some(&identity)));
        let record = world.wait_audit("of the stranger", |record| {
            record["outcome"] == "refused" && record["fingerprint"].is_string() == is_named
        });
        assert!(record.to_string().len() < 2_000, "{record}");
        let cut = record["subject"].as_str().is_some_and(|subject| subject.ends_with("\u{fc}[...]"));
        assert_eq!(cut, is_named, "{record}");
    }
    let long = world.gateway.stderr.all().iter().map(String::len).max();
    assert!(long < Some(2_000), "{long:?}");
}

#[test]
fn a_trusted_certificate_that_is_nobodys_gets_one_line_and_the_end() {
    let world = World::start();
    let cases = [
        ("no_mapping", Leaf::client("CN=stranger,O=Acme"), "CN=stranger,O=Acme"),
        ("no_mapping", Leaf::client("CN=app"), "CN=app"),
        ("no_mapping", Leaf::client("CN=app,OU=Extra,O=Acme"), "CN=app,OU=Extra,O=Acme"),
        ("no_mapping", Leaf::client("CN=app,CN=evil,O=Acme"), "CN=app,CN=evil,O=Acme"),
        ("no_mapping", Leaf::client("CN=evil,CN=app,O=Acme"), "CN=evil,CN=app,O=Acme"),
        ("no_mapping", Leaf::nameless(), ""),
        ("rdn_order", Leaf::client("O=Acme,CN=app"), "O=Acme,CN=app"),
        ("case_only", Leaf::client("CN=APP,O=Acme"), "CN=APP,O=Acme"),
        ("subject_control_char", Leaf::client("CN=app\0.evil,O=Acme"), "CN=app\\00.evil,O=Acme"),
        ("subject_control_char", Leaf::client("CN=app\0,O=Acme"), "CN=app\\00,O=Acme"),
        ("subject_control_char", Leaf::client("CN=app\nCN=ops,O=Acme"), "CN=app\\0ACN=ops,O=Acme"),
    ];
    unharmed(&world, || {
        for (reason, leaf, subject) in cases {
            let identity = pki().trusted.issue(leaf);
            let mut client = world.client_as(&identity).expect("the handshake succeeds");
            // What it asks goes nowhere; the line is the same whatever the reason.
            let _ = client.try_write(b"*3\r\n$3\r\nSET\r\n$7\r\nintrude\r\n$1\r\nx\r\n");
            client.finish_writing();
            let line = String::from_utf8_lossy(&client.read_to_end()).into_owned();
            let reference = line
                .strip_prefix("-NOPERM no user is mapped to this certificate (reference ")
                .and_then(|rest| rest.strip_suffix(")\r\n"));
            let reference = reference.unwrap_or_else(|| panic!("{reason}: {line:?}"));
            let record = world.wait_audit("with its reference", |record| record["reference"] == *reference);
            assert_eq!(record["reason"], reason, "{record:#}");
            assert_eq!(record["subject"].as_str().unwrap_or_default(), subject, "{record:#}");
            world.gateway.stderr.wait_for("with its reference", |line| line.contains(reference));
        }
    });
    world.client("ops").talk(&[("EXISTS intrude", ":0")]);
}

/// Sends bytes without TLS and reads whatever comes until the end.
fn without_tls(world: &World, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(world.gateway.address).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a positive time");
    socket.write_all(bytes).expect("accepted");
    let mut answer = Vec::new();
    if let Err(error) = socket.read_to_end(&mut answer) {
        assert!(crate::wire::is_end(&error), "it did not end: {error}");
    }
    answer
}

#[test]
fn what_is_not_tls_is_closed_without_an_answer_in_its_own_language() {
    let world = World::start();
    unharmed(&world, || {
        for bytes in [
            &b"*1\r\n$4\r\nPING\r\n"[..],
            b"PING\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            &[0; 2000],
            &[0xff; 70_000],
        ] {
            let answer = without_tls(&world, bytes);
            // At most one alert record.
            assert!(answer.is_empty() || (answer.len() == 7 && answer[0] == 0x15), "{answer:?}");
        }
        refusal(&world, "not_tls", None);
        // A record header of a handshake, and then noise.
        without_tls(&world, &[[0x16, 3, 1, 0, 100].as_slice(), &[0x41; 100]].concat());
        refusal(&world, "handshake_failed", None);
        // A ClientHello of many records that says it is a little shorter, and a little longer, than what is kept.
        for says in [60_000, 65_000, 0x00ff_ffff_u32] {
            let hello = [&[1], &says.to_be_bytes()[1..], &[0x41; 80_000]].concat();
            let records = hello.chunks(16_000).map(|piece| {
                let length = u16::try_from(piece.len()).expect("16 000 at most").to_be_bytes();
                [[0x16, 3, 1].as_slice(), &length, piece].concat()
            });
            let answer = without_tls(&world, &records.collect::<Vec<_>>().concat());
            assert!(answer.is_empty() || (answer.len() == 7 && answer[0] == 0x15), "{says}: {answer:?}");
        }
    });
}

#[test]
fn noise_beneath_an_established_session_ends_that_session_alone() {
    let world = World::start();
    unharmed(&world, || {
        for user in ["app", "ops"] {
            let mut client = world.client(user);
            client.talk(&[("PING", "+PONG")]);
            client.write_beneath(&[0x17, 3, 3, 0, 40]);
            client.write_beneath(&[0x55; 40]);
            client.try_read().map(|value| value.to_string()).expect_err("the session is over");
        }
    });
}

#[test]
fn a_key_that_is_not_the_certificates_lets_nobody_in() {
    // The certificate is public: showing it without its key must not be enough.
    let world = World::start();
    let victim = std::fs::read_to_string(world.path("app.crt")).expect("written at start");
    let other = pki().trusted.issue(Leaf::client("CN=other,O=Acme"));
    unharmed(&world, || {
        let stolen = Identity { certificate: victim, key: other.key };
        assert_refused_by_tls(&world, client_config(Some(&stolen)));
    });
    assert!(world.audit().iter().all(|record| record["user"] != "app"), "{:#?}", world.audit());
}
