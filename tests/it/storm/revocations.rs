//! A hundred certificates revoked one after another while their clients work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Curtain, Show};
use crate::pki::Identity;
use crate::trust::hierarchy::{Ca, DAY, Issued, as_is, now};
use crate::trust::{app_and_ops, who};
use crate::wire::Client;
use crate::world::World;

const REVOKED: usize = 100;
const UNTOUCHED: usize = 20;

/// A client's counting, until it is cut or told to end. When it was cut.
fn count(show: &Show, mut client: Client, replies: &AtomicU64) -> Option<Instant> {
    while show.goes_on() {
        let sent = client.try_write(b"*1\r\n$4\r\nPING\r\n");
        match sent.and_then(|()| client.try_read()) {
            Ok(value) => assert_eq!(value.to_string(), "+PONG"),
            Err(_) => return Some(Instant::now()),
        }
        replies.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

/// How long after a reload's acknowledgement this certificate is refused.
fn refused_after(world: &World, identity: &Identity, acknowledged: Instant) -> Duration {
    while who(world, identity, &rustls::version::TLS13).is_some() {
        assert!(acknowledged.elapsed() < Duration::from_secs(20), "it is never refused");
    }
    acknowledged.elapsed()
}

/// OS-23: each is refused within a second of the reload's acknowledgement and its live session
/// cut within five, and nobody else is.
#[test]
fn a_hundred_revocations_under_load() {
    let root = Ca::root("CN=Root,O=Acme");
    let mut plan = app_and_ops(&root.pem(), "crl = \"root.crl\"");
    plan.files.push(("root.crl", root.crl(&[], now() + 9 * DAY)));
    let world = World::with(plan);
    let issued: Vec<Issued> = (0..REVOKED + UNTOUCHED).map(|_| root.leaf("CN=app,O=Acme", as_is)).collect();
    let (show, replies) = (Show::default(), AtomicU64::new(0));
    let (refused, cut) = std::thread::scope(|scope| {
        let _curtain = Curtain(&show);
        let (world, show, replies) = (&world, &show, &replies);
        let spawn = |it: &Issued| {
            let client = world.client_as(&it.identity).expect("let in");
            scope.spawn(move || count(show, client, replies))
        };
        let clients: Vec<_> = issued.iter().map(spawn).collect();
        let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
        for (number, it) in issued[..REVOKED].iter().enumerate() {
            let serials: Vec<u64> = issued[..=number].iter().map(|it| it.serial).collect();
            std::fs::write(world.path("root.crl"), root.crl(&serials, now() + 9 * DAY)).expect("writable");
            world.reload();
            acknowledged.push(Instant::now());
            refused.push(refused_after(world, &it.identity, acknowledged[number]));
        }
        std::thread::sleep(Duration::from_secs(5).saturating_sub(acknowledged[REVOKED - 1].elapsed()));
        let at_five = replies.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(200));
        assert!(replies.load(Ordering::Relaxed) > at_five, "nobody is served any more");
        show.end();
        let ends = clients.into_iter().map(|client| client.join().expect("no panic"));
        let cut = ends.enumerate().filter_map(|(number, end)| {
            assert_eq!(end.is_some(), number < REVOKED, "client {number}");
            let late = |at: Instant| at.saturating_duration_since(acknowledged[number]);
            end.map(late)
        });
        (refused, cut.collect::<Vec<_>>())
    });
    let (refused, cut) = (refused.into_iter().max(), cut.into_iter().max());
    eprintln!("at most: refused after {refused:?}, cut after {cut:?}; {replies:?} replies");
    assert!(refused < Some(Duration::from_secs(1)), "refused only after {refused:?}");
    assert!(cut < Some(Duration::from_secs(5)), "cut only after {cut:?}");
    assert_recorded(&world, &issued[..REVOKED]);
}

/// Each one's end is written down once, for its reason, and its refusals are as well.
fn assert_recorded(world: &World, revoked: &[Issued]) {
    let mut serials: Vec<String> = revoked.iter().map(|it| format!("{:04X}", it.serial)).collect();
    let of = |outcome: &str| {
        let audit = world.audit();
        let fits =
            audit.iter().filter(|record| record["outcome"] == outcome && record["reason"] == "revoked");
        let mut serials: Vec<String> =
            fits.map(|record| record["serial"].as_str().expect("a number").to_owned()).collect();
        serials.sort_unstable();
        serials
    };
    serials.sort_unstable();
    assert_eq!(of("ended"), serials);
    assert_eq!(of("refused"), serials);
    let audit = world.audit();
    let others = audit.iter().find(|record| record["outcome"] != "accepted" && record["reason"] != "revoked");
    assert!(others.is_none(), "{others:#?}");
}
