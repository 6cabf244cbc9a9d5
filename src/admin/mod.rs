//! The admin listener: `/metrics`, `/healthz` and `/readyz` over plain HTTP, for
//! the machine's own agents. Owns the HTTP and the readiness that others set;
//! decides nothing about the gateway. It has no authentication, so the
//! configuration allows loopback addresses only.

mod backends;

use std::future::Future;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::io::Backends;
use crate::observe::metrics::Registry;

/// Connections at a time: a few agents, and a person with curl. More wait.
const CONNECTIONS_MAX: usize = 32;

/// How long a request's head may take to arrive, also after an earlier request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How large a request's head may be. Bodies are never read.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long a connection may last in all, whatever its peer does with it.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);

/// How long to wait after a failed accept: the cause is mostly a lack of files.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Why the gateway is not ready for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotReady {
    /// Not every listener and worker is up yet.
    Starting,
    /// No user of any database can be served.
    BackendUnavailable,
    /// The gateway is finishing its clients' work before it exits.
    Draining,
}

impl NotReady {
    const ALL: [Self; 3] = [Self::Starting, Self::BackendUnavailable, Self::Draining];

    /// The word shown by `/readyz`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::BackendUnavailable => "backend_unavailable",
            Self::Draining => "draining",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Whether the gateway is ready, as set by it and shown by `/readyz`. Clones
/// share one state, which begins as [`NotReady::Starting`].
#[derive(Debug, Clone)]
pub struct Health(Arc<Told>);

#[derive(Debug)]
struct Told {
    reasons: AtomicU8,
    /// What is wrong with the backends, as it was last looked at.
    backends: Mutex<Backends>,
}

impl Health {
    /// A gateway that is starting.
    #[must_use]
    pub fn starting() -> Self {
        let reasons = AtomicU8::new(NotReady::Starting.bit());
        Self(Arc::new(Told { reasons, backends: Mutex::default() }))
    }

    /// From now on not ready for this reason too.
    pub fn raise(&self, reason: NotReady) {
        self.0.reasons.fetch_or(reason.bit(), Ordering::Relaxed);
    }

    /// This reason no longer holds. Without any the gateway is ready.
    pub fn clear(&self, reason: NotReady) {
        self.0.reasons.fetch_and(!reason.bit(), Ordering::Relaxed);
    }

    /// What is to be told of the backends from now on. Ready is who can serve somebody.
    pub fn look_at(&self, backends: Backends) {
        if backends.can_serve {
            self.clear(NotReady::BackendUnavailable);
        } else {
            self.raise(NotReady::BackendUnavailable);
        }
        *self.0.backends.lock().unwrap_or_else(PoisonError::into_inner) = backends;
    }

    /// What is told of the backends.
    fn backends(&self) -> Backends {
        self.0.backends.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every reason that holds; none is ready.
    #[must_use]
    pub fn reasons(&self) -> Vec<NotReady> {
        let bits = self.0.reasons.load(Ordering::Relaxed);
        NotReady::ALL.into_iter().filter(|reason| bits & reason.bit() != 0).collect()
    }
}

/// What the listener shows.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Shown by `/readyz`.
    pub health: Health,
    /// Shown by `/metrics`.
    pub metrics: Arc<Registry>,
}

/// Serves until `stop` is done; connections under way are then dropped.
pub async fn serve(listener: TcpListener, admin: Admin, stop: impl Future<Output = ()>) {
    let router = router(admin);
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => return,
            accepted = next(&listener, &room) => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, permit)) => {
                let router = router.clone();
                connections.spawn(async move {
                    let _permit = permit;
                    // An error here is a peer that went away or sent no HTTP.
                    if let Ok(Err(error)) =
                        tokio::time::timeout(CONNECTION_TIMEOUT, answer(stream, router)).await
                    {
                        tracing::debug!(%error, "admin connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "admin listener could not accept; trying again");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn next(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, Option<tokio::sync::OwnedSemaphorePermit>)> {
    // Never closed, so there always is a permit in the end.
    let permit = Arc::clone(room).acquire_owned().await.ok();
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

async fn answer(stream: TcpStream, router: Router) -> hyper::Result<()> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readiness))
        .fallback(async || (StatusCode::NOT_FOUND, "not found: try /metrics, /healthz or /readyz\n"))
        .with_state(admin)
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    let text = admin.metrics.render() + &backends::metrics(&admin.health.backends());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

#[allow(clippy::disallowed_methods, reason = "the page says since when, in a person's time")]
async fn readiness(State(admin): State<Admin>) -> impl IntoResponse {
    let words: Vec<&str> = admin.health.reasons().into_iter().map(NotReady::as_str).collect();
    let lines = backends::lines(&admin.health.backends());
    match words.as_slice() {
        [] => (StatusCode::OK, format!("ready\n{lines}")),
        words => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n{lines}", words.join(" "))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::SocketAddr;
    use std::thread;

    use tokio::sync::oneshot;

    use super::*;

    /// An admin listener on a thread of its own, until it is dropped.
    struct Served {
        address: SocketAddr,
        health: Health,
        stop: Option<oneshot::Sender<()>>,
        thread: Option<thread::JoinHandle<()>>,
    }

    impl Served {
        fn start() -> Self {
            let metrics = Arc::new(Registry::new().unwrap());
            metrics.counter("respgate_requests_total", "Requests.", &[]).increment(7);
            let health = Health::starting();
            let admin = Admin { health: health.clone(), metrics };
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            let address = listener.local_addr().unwrap();
            let (stop, stopped) = oneshot::channel::<()>();
            let thread = thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let listener = TcpListener::from_std(listener).unwrap();
                    serve(listener, admin, async { drop(stopped.await) }).await;
                });
            });
            Self { address, health, stop: Some(stop), thread: Some(thread) }
        }

        /// Everything answered to `request` until the server closes.
        fn send(&self, request: &str) -> String {
            let mut stream = std::net::TcpStream::connect(self.address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        }

        fn get(&self, path: &str) -> String {
            self.send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
        }
    }

    impl Drop for Served {
        fn drop(&mut self) {
            drop(self.stop.take());
            self.thread.take().unwrap().join().unwrap();
        }
    }

    #[test]
    fn readyz_names_every_reason_until_none_holds() {
        let served = Served::start();
        served.health.raise(NotReady::BackendUnavailable);
        let answer = served.get("/readyz");
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\nstarting backend_unavailable\n"), "{answer}");

        served.health.clear(NotReady::Starting);
        served.health.clear(NotReady::BackendUnavailable);
        let answer = served.get("/readyz");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nready\n"), "{answer}");

        served.health.raise(NotReady::Draining);
        assert!(served.get("/readyz").ends_with("\r\n\r\ndraining\n"));
    }

    #[test]
    fn healthz_answers_while_the_gateway_is_not_ready() {
        let answer = Served::start().get("/healthz");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
    }

    #[test]
    fn metrics_are_in_the_prometheus_text_format() {
        let answer = Served::start().get("/metrics");
        assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{answer}");
        assert!(answer.contains("\nrespgate_requests_total 7\n"), "{answer}");
    }

    #[test]
    fn anything_else_is_not_found_or_not_allowed() {
        let served = Served::start();
        assert!(served.get("/").starts_with("HTTP/1.1 404 "));
        assert!(served.get("/metrics/../healthz").starts_with("HTTP/1.1 404 "));
        let post = "POST /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        assert!(served.send(post).starts_with("HTTP/1.1 405 "));
    }

    #[test]
    fn a_head_past_its_limit_is_refused() {
        let served = Served::start();
        let request = format!("GET /healthz HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(2 * HEAD_BYTES_MAX));
        let mut stream = std::net::TcpStream::connect(served.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // The server may close before it has been sent everything.
        let _ = stream.write_all(request.as_bytes());
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 431");
    }

    #[test]
    fn silent_connections_do_not_keep_others_waiting_below_the_bound() {
        let served = Served::start();
        let silent: Vec<_> =
            (1..CONNECTIONS_MAX).map(|_| std::net::TcpStream::connect(served.address).unwrap()).collect();
        assert!(served.get("/healthz").starts_with("HTTP/1.1 200 "));
        drop(silent);
    }
}
