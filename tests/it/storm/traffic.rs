//! Clients that work while their gateway is reloaded. Whose mapping always holds never
//! sees a failed command or an end; a tenant is let in by its own era only.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::ClientConfig;

use super::Show;
use super::era::Era;
use crate::pki::{Identity, client_config};
use crate::wire::Client;

/// What was done, so that a test can tell that there was a load.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) commands: AtomicU64,
    pub(super) arrivals: AtomicU64,
    pub(super) let_in: AtomicU64,
    pub(super) turned_away: AtomicU64,
}

fn note(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// Two cores carry everything: a client rests after each turn.
fn rest() {
    std::thread::sleep(Duration::from_millis(2));
}

fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Client {
    Client::tls(address, Arc::clone(config)).expect("let in")
}

/// A long session of pipelines, on shared links and on its own.
pub(super) fn works(show: &Show, address: SocketAddr, identity: &Identity, user: &str, tally: &Tally) {
    let mut client = connect(address, &client_config(Some(identity)));
    let key = format!("n:{user}:{}", client.ask("CLIENT ID").trim_start_matches(':'));
    let (incr, who) = (format!("INCR {key}"), format!("${user}"));
    let mut n = 0;
    while show.goes_on() {
        n += 1;
        let count = format!(":{n}");
        client.pipeline(&[(&incr, &count), ("ACL WHOAMI", &who), ("BLPOP none 0.001", "nil")]);
        note(&tally.commands, 3);
        rest();
    }
}

/// A long session of transactions.
pub(super) fn trades(show: &Show, address: SocketAddr, identity: &Identity, tally: &Tally) {
    let mut client = connect(address, &client_config(Some(identity)));
    let mut n = 0;
    while show.goes_on() {
        n += 1;
        let set = format!("SET traded {n}");
        let traded = format!("[+OK, ${n}]");
        client.talk(&[("WATCH traded", "+OK"), ("MULTI", "+OK"), (&set, "+QUEUED")]);
        client.talk(&[("GET traded", "+QUEUED"), ("EXEC", &traded)]);
        note(&tally.commands, 5);
        rest();
    }
}

/// A subscriber that misses nothing, and its publisher.
pub(super) fn listens(show: &Show, address: SocketAddr, identity: &Identity, tally: &Tally) {
    let config = client_config(Some(identity));
    let (mut subscriber, mut publisher) = (connect(address, &config), connect(address, &config));
    assert_eq!(subscriber.ask("SUBSCRIBE news"), "[$subscribe, $news, :1]");
    let mut n = 0;
    while show.goes_on() {
        n += 1;
        assert_eq!(publisher.ask(&format!("PUBLISH news {n}")), ":1");
        assert_eq!(subscriber.read().to_string(), format!("[$message, $news, ${n}]"));
        note(&tally.commands, 1);
        rest();
    }
}

/// Comes, asks who it is and goes, over and over; it is always let in.
pub(super) fn comes_and_goes(
    show: &Show,
    address: SocketAddr,
    identity: &Identity,
    user: &str,
    tally: &Tally,
) {
    let config = client_config(Some(identity));
    while show.goes_on() {
        connect(address, &config).talk(&[("ACL WHOAMI", &format!("${user}"))]);
        note(&tally.arrivals, 1);
        rest();
    }
}

/// Whether the tenant of this era comes in; who it is then, is what its era says.
pub(super) fn is_let_in(address: SocketAddr, config: &Arc<ClientConfig>, era: &Era) -> bool {
    let Ok(mut client) = Client::tls(address, Arc::clone(config)) else { return false };
    if client.try_write(&crate::resp::typed("ACL WHOAMI")).is_err() {
        return false;
    }
    match client.try_read().map(|value| value.to_string()) {
        Ok(answer) if answer.starts_with('$') => {
            assert_eq!(answer, format!("${}", era.redis_user), "a mixture of eras");
            true
        }
        // Its era may end while it comes in.
        Ok(answer) => {
            assert!(answer.starts_with("-NOPERM no user is mapped"), "{answer}");
            false
        }
        Err(_) => false,
    }
}

/// A tenant that comes again and again, in its era and out of it.
pub(super) fn tries(show: &Show, address: SocketAddr, era: &Era, tally: &Tally) {
    let config = client_config(Some(&era.tenant.identity));
    while show.goes_on() {
        let counter = if is_let_in(address, &config, era) { &tally.let_in } else { &tally.turned_away };
        note(counter, 1);
        rest();
    }
}
