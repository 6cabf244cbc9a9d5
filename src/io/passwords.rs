//! Passwords, checked where nobody waits for them but who gave them: hashes on
//! threads of their own, Redis on connections of their own, both few at a time.
//! Who may come in by one is for `identity` to say.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, SemaphorePermit, TryAcquireError};

use super::clock;
use super::node::Node;
use crate::identity::{Attempts, Check, Method, Network, Proof, Reason, Refusal};
use crate::limits::Limits;
use crate::resp::write;
use crate::secret::Secret;

/// Redis' answer to AUTH is a line; a longer one is none.
const ANSWER_BYTES_MAX: usize = 1_024;

/// Sent in the place of a password that could not be right anyway: what strangers
/// type is not handed on.
const DECOY: &[u8] = b"respgate-decoy";

/// Why a password could not be checked.
#[derive(Debug, Error)]
enum Unchecked {
    #[error("{0} passwords wait to be checked already")]
    Busy(usize),
    #[error("Redis could not be asked: {0}")]
    Backend(String),
    #[error("the check was broken off")]
    Broken,
}

/// Where passwords are checked.
pub(super) struct Passwords {
    /// Hashes under way.
    hashes: Arc<Semaphore>,
    /// Connections for AUTH alone.
    connections: Semaphore,
    /// Checks under way or waiting.
    places: Semaphore,
    places_max: usize,
    failures: Mutex<Attempts>,
}

impl Passwords {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            hashes: Arc::new(Semaphore::new(limits.password_hashes_max.max(1))),
            connections: Semaphore::new(limits.password_connections_max.max(1)),
            places: Semaphore::new(limits.password_checks_max.max(1)),
            places_max: limits.password_checks_max.max(1),
            failures: Mutex::default(),
        }
    }

    /// Carries out a check for a client of this address.
    pub(super) async fn check(
        &self,
        check: Check,
        password: Secret,
        peer: IpAddr,
        node: &Node,
        limits: &Limits,
    ) -> Result<Proof, Refusal> {
        let user = check.user().map(|user| user.name.clone());
        let user = user.as_deref();
        self.allowed(peer, user, limits)?;
        let _place = self.place()?;
        let checked = match check.method().clone() {
            Method::Hash(hash) => {
                let slot = Arc::clone(&self.hashes).acquire_owned().await.map_err(|_| broken())?;
                // Others may have failed while this one waited.
                self.allowed(peer, user, limits)?;
                let password = password.clone();
                // The slot goes along: a client that leaves does not free a thread.
                let hashed = tokio::task::spawn_blocking(move || {
                    let _slot = slot;
                    hash.fits(password.expose())
                });
                hashed.await.map_err(|_| Unchecked::Broken)
            }
            Method::Backend(name) => {
                let _slot = self.connections.acquire().await.map_err(|_| broken())?;
                self.allowed(peer, user, limits)?;
                let sent = if check.is_doomed() { DECOY } else { password.expose() };
                let limit = Duration::from_millis(limits.connect_timeout_ms);
                let asked = tokio::time::timeout(limit, ask(node, limits, &name, sent)).await;
                asked.unwrap_or_else(|_| Err(Unchecked::Backend("no answer in time".to_owned())))
            }
        };
        let proof = match checked {
            Ok(true) => check.succeeded(password),
            Ok(false) => Err(check.failed()),
            // Also where it could not have been right: the answer must not tell which.
            Err(why) => return Err(unchecked(&why)),
        };
        if proof.is_err() {
            let window = Duration::from_millis(limits.auth_failures_window_ms);
            self.failures().failed(peer.into(), user, window, clock::now());
        }
        proof
    }

    fn allowed(&self, peer: IpAddr, user: Option<&str>, limits: &Limits) -> Result<(), Refusal> {
        let (most, window) = (limits.auth_failures_per_network_max, limits.auth_failures_window_ms);
        let network = Network::from(peer);
        let spared = Duration::from_millis(window);
        if self.failures().allow(network, user, most, spared, clock::now()) {
            return Ok(());
        }
        let detail = format!("{most} passwords from this network have been wrong within {window} ms");
        Err(Refusal::new(Reason::TooManyAttempts, detail))
    }

    fn place(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.places.try_acquire().map_err(|error| match error {
            TryAcquireError::NoPermits => unchecked(&Unchecked::Busy(self.places_max)),
            TryAcquireError::Closed => broken(),
        })
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, Attempts> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unchecked(why: &Unchecked) -> Refusal {
    Refusal::new(Reason::PasswordUnchecked, why.to_string())
}

/// A semaphore that is closed: the gateway is ending.
fn broken() -> Refusal {
    unchecked(&Unchecked::Broken)
}

/// AUTH on a connection of its own, which is closed whatever the answer.
async fn ask(node: &Node, limits: &Limits, name: &str, password: &[u8]) -> Result<bool, Unchecked> {
    let failed = |error: std::io::Error| Unchecked::Backend(error.to_string());
    let times = (limits.keepalive_ms, limits.tcp_user_timeout_ms);
    let mut socket = node.open(times).await.map_err(failed)?;
    let request = zeroize::Zeroizing::new(write::command(&[b"AUTH", name.as_bytes(), password]));
    socket.write_all(&request).await.map_err(failed)?;
    socket.flush().await.map_err(failed)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n") && answer.len() < ANSWER_BYTES_MAX {
        if socket.read_buf(&mut answer).await.map_err(failed)? == 0 {
            return Err(Unchecked::Backend("it closed the connection".to_owned()));
        }
    }
    match answer.as_slice() {
        b"+OK\r\n" => Ok(true),
        no if no.starts_with(b"-WRONGPASS ") => Ok(false),
        other => {
            let line = String::from_utf8_lossy(&other[..other.len().min(128)]).trim_end().to_owned();
            Err(Unchecked::Backend(format!("it answered AUTH with {line:?}")))
        }
    }
}
