//! The certificate zoo: every specimen of the table, shown to a real gateway by a
//! real client in both versions of TLS, and what must be so of all of them.
//!
//! `table` and `recognised` say what is expected. `plan`, `authorities`, `names`, `keys` and `der`
//! make the specimens, byte by byte; `visit` shows them.

mod authorities;
mod der;
mod keys;
mod names;
mod plan;
mod recognised;
mod table;
mod visit;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use respgate::identity::Reason;
use rustls::SupportedProtocolVersion;

use crate::log::Event;
use crate::wire::PATIENCE;
use crate::world::{APP, OPS, Setup, World};
use authorities::Zoo;
use plan::DAY;
use table::{Row, Verdict};
use visit::{Audit, come, judge, key};

const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// What a certificate cannot cause: it has to do with the connection, with passwords,
/// or with what else the configuration says of a user.
const NOT_OF_A_CERTIFICATE: [Reason; 21] = [
    Reason::NotTls,
    Reason::HandshakeTimeout,
    Reason::TooManyClients,
    Reason::ListenerRemoved,
    Reason::UnknownServerName,
    Reason::DatabaseChanged,
    Reason::NoClientCertificate,
    Reason::NoRole,
    Reason::RoleChanged,
    Reason::HostScope,
    Reason::NoPassword,
    Reason::WrongPassword,
    Reason::UnknownUser,
    Reason::PasswordNotAccepted,
    Reason::AuthDiffers,
    Reason::RealmInactive,
    Reason::TooManyAttempts,
    Reason::PasswordUnchecked,
    Reason::BackendAuthFailed,
    // Of realms that take a name from the certificate.
    Reason::IdentityAttributeMissing,
    Reason::UnusableName,
];

/// One half of the zoo: its specimens, and the gateway that they come to.
struct Half {
    rows: &'static [Row],
    /// Each listener and what is in its section beside its CAs.
    listeners: &'static [(&'static str, &'static str)],
    /// Names, and what else stands in their sections.
    users: Vec<(&'static str, String)>,
    files: Vec<(&'static str, String)>,
}

fn by_subject(zoo: &Zoo) -> Half {
    let users = table::users().into_iter().map(|(name, line)| {
        let enabled = name != "gone";
        (name, format!("certificate_subject_line = '{line}'\nenabled = {enabled}"))
    });
    Half {
        rows: table::ROWS,
        listeners: &[
            ("plain", ""),
            ("listed", "crl = [\"listed.crl\"]"),
            ("stale", "crl = [\"stale.crl\"]"),
            ("forged", "crl = [\"forged.crl\"]"),
            ("strict", "client_eku = \"required\""),
            ("named", "client_san = \"required\""),
        ],
        users: users.collect(),
        files: vec![
            ("ca.crt", format!("{}{}", zoo.root.pem(), zoo.rsa.pem())),
            ("listed.crl", [&zoo.root, &zoo.middle, &zoo.revoked].map(|ca| ca.list(9 * DAY)).concat()),
            ("stale.crl", zoo.root.list(-60)),
            ("forged.crl", [&zoo.root, &zoo.false_middle].map(|ca| ca.list(9 * DAY)).concat()),
        ],
    }
}

fn otherwise(zoo: &Zoo) -> Half {
    Half {
        rows: recognised::ROWS,
        listeners: &[
            ("plain", ""),
            (
                "san_cn",
                "mtls_client_cert_subject_validation_type = \"san_cn\"\n\
                 mtls_authorized_subjects = [{ CN = \"gate.example.com\" }]",
            ),
            (
                "full_subject",
                "mtls_client_cert_subject_validation_type = \"full_subject\"\n\
                 mtls_authorized_subjects = [{ CN = \"gate\", O = \"Acme\" }, { CN = \"wide\", partial = true }]",
            ),
        ],
        users: recognised::users(zoo),
        files: vec![
            ("ca.crt", format!("{}{}", zoo.root.pem(), zoo.twin.pem())),
            ("root.crt", zoo.root.pem()),
            ("twin.crt", zoo.twin.pem()),
        ],
    }
}

fn setup(half: Half) -> Setup {
    let users = half.users.into_iter().filter(|(name, _)| !["app", "ops"].contains(name));
    let user = |(name, keys)| {
        format!(
            "[[user]]\nname = \"{name}\"\nauth_method = \"certificate\"\n{keys}\n\
             redis_user = \"ops\"\nredis_password_file = \"ops.password\"\n\n"
        )
    };
    let section = |(name, lines): &(&str, &str)| {
        format!(
            "[[listener]]\nname = \"{name}\"\naddress = \"127.0.0.1:0\"\ncertificate = \"server.crt\"\n\
             key = \"server.key\"\nclient_ca = \"ca.crt\"\n{lines}\n\n"
        )
    };
    let others: String = half.listeners[1..].iter().map(section).collect();
    Setup {
        users: vec![APP, OPS],
        more: users.map(user).collect(),
        files: half.files,
        edits: vec![
            ("[listener]", "[[listener]]\nname = \"plain\"".to_owned()),
            ("[database]", format!("{others}[database]")),
        ],
        ..Setup::default()
    }
}

/// The address that the listener of this name says it has.
fn address(world: &World, name: &str) -> SocketAddr {
    let line = world.gateway.stderr.wait_for(name, |line| {
        Event::parse(line)
            .is_some_and(|event| event.message() == "listening" && event.field("listener") == Some(name))
    });
    let event = Event::parse(&line).expect("just parsed");
    event.field("address").and_then(|text| text.parse().ok()).expect("an address")
}

fn play(half: Half) {
    let (zoo, rows) = (Zoo::get(), half.rows);
    let listeners = half.listeners;
    let world = World::with(setup(half));
    // A list is over, most users are of any of several CAs, one is a star, and two
    // could be one.
    for expected in ["CRL 1 in", "subject_not_issuer_bound", "wildcard_is_literal", "overlapping_patterns"] {
        world.announce(expected);
    }
    let addresses: BTreeMap<_, _> =
        listeners.iter().map(|(name, _)| (*name, address(&world, name))).collect();
    let mut audit = Audit::default();
    let (mut wrong, mut kept) = (Vec::new(), BTreeSet::new());
    for row in rows {
        let specimen = (row.plan)(zoo).specimen();
        for version in BOTH {
            let key = key(row, version);
            let seen = come(addresses[row.listener], &specimen, version, &key);
            let record = audit.next(&world);
            if let Err(what) = seen.and_then(|seen| judge(row, &specimen, &seen, &record)) {
                wrong.push(format!("{} ({}, {:?}): {what}", row.name, row.odd, version.version));
            }
            if let Verdict::Is(_) = row.verdict {
                kept.insert(key);
            }
        }
    }
    assert!(wrong.is_empty(), "{} specimens:\n{}", wrong.len(), wrong.join("\n"));
    leave_no_trace(&world, rows, &kept);
}

/// T-31, T-33, T-36, T-47, T-49, T-61, T-62, OS-20, OS-23, RE-15 and ES-18, and the
/// subjects of every vector, through a real handshake.
#[test]
fn every_specimen_gets_its_verdict_and_the_refused_leave_no_trace() {
    play(by_subject(Zoo::get()));
}

/// T-08, T-31, T-38, T-49, T-55 to T-60, OD-04 and RE-04, through a real handshake.
#[test]
fn nobody_is_recognised_by_what_only_looks_like_a_users() {
    play(otherwise(Zoo::get()));
}

/// What the refused have sent is neither in Redis nor in what the gateway counted.
fn leave_no_trace(world: &World, rows: &[Row], kept: &BTreeSet<String>) {
    let mut expected: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for row in rows {
        if let Some(reason) = row.verdict.reason() {
            *expected.entry((row.listener, reason)).or_default() += 2.0;
        }
    }
    // A thread hands on what it counted all at once, so that whoever is counted as
    // refused has been counted in every other way too.
    let deadline = Instant::now() + PATIENCE;
    for ((listener, reason), count) in expected {
        let label = format!("listener=\"{listener}\",reason=\"{reason}\"");
        while world.gateway.metric("respgate_clients_refused_total", &label) != count {
            let got = world.gateway.metric("respgate_clients_refused_total", &label);
            assert!(Instant::now() < deadline, "{label}: {got}, expected {count}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let of_admitted = 2.0 * kept.len() as f64;
    while world.gateway.metric("respgate_requests_total", "") < of_admitted {
        assert!(Instant::now() < deadline, "requests of the admitted are not counted");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(world.gateway.metric("respgate_requests_total", ""), of_admitted);
    assert_eq!(world.gateway.metric("respgate_panics_total", ""), 0.0);

    let mut redis = world.redis.client("root");
    let keys: BTreeSet<String> = redis
        .call(&["KEYS", "*"])
        .items()
        .iter()
        .map(|key| String::from_utf8_lossy(key.bytes()).into_owned())
        .collect();
    assert_eq!(keys, *kept);
    let stats = String::from_utf8(redis.call(&["INFO", "commandstats"]).to_bytes()).expect("text");
    for command in ["set", "acl|whoami"] {
        let calls = format!("cmdstat_{command}:calls={},", kept.len());
        assert!(stats.contains(&calls), "{calls} is not in\n{stats}");
    }
}

fn everything() -> impl Iterator<Item = &'static Row> {
    table::ROWS.iter().chain(recognised::ROWS)
}

#[test]
fn every_reason_that_a_certificate_can_cause_is_in_the_zoo() {
    assert!(everything().count() >= 60);
    let shown: BTreeSet<&str> = everything().filter_map(|row| row.verdict.reason()).collect();
    let all: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    let elsewhere = NOT_OF_A_CERTIFICATE.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(all.difference(&elsewhere).copied().collect::<BTreeSet<_>>(), shown);
}

#[test]
fn a_name_is_given_to_one_specimen_only() {
    for rows in [table::ROWS, recognised::ROWS] {
        let names: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), rows.len());
    }
}
