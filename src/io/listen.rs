//! The acceptor: takes clients from the kernel and hands each to the worker with
//! the fewest. It survives every error that accept can have.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::census::{NetworkPlace, Place};
use super::clock;
use super::control::Shared;
use super::shed::{Shed, Why};
use crate::limits::Limits;

/// Clients taken at a time before other work of the thread gets its turn.
const BATCH: usize = 64;

const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// What all acceptors share.
pub(super) struct Desk {
    /// As at the start.
    pub(super) limits: Arc<Limits>,
    pub(super) shared: Arc<Shared>,
    pub(super) workers: Vec<mpsc::Sender<Accepted>>,
    pub(super) shed: RefCell<Shed>,
}

/// A client that has just been accepted.
pub(super) struct Accepted {
    /// The number of the listener that it came to.
    pub(super) door: usize,
    pub(super) socket: std::net::TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) place: Place,
    /// Kept until its handshake has ended.
    pub(super) of_network: Option<NetworkPlace>,
    /// There are as many clients as may be: it is to be told so.
    pub(super) over_limit: bool,
}

/// Opens the listening socket.
pub(super) fn bind(address: SocketAddr, backlog: u32) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Accepts until `stop` resolves.
pub(super) async fn accept(door: usize, listener: TcpListener, desk: &Desk, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    let mut backoff = BACKOFF_MIN;
    let mut batch = 0;
    // Given up for a moment when there are no descriptors left, so that a waiting
    // client can be taken and closed instead of being left in the dark.
    let mut spare = std::fs::File::open("/dev/null").ok();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                backoff = BACKOFF_MIN;
                if spare.is_none() {
                    spare = std::fs::File::open("/dev/null").ok();
                }
                desk.hand_over(door, socket, peer).await;
            }
            Err(error) if is_out_of_resources(&error) => {
                tracing::warn!(%error, retry_ms = backoff.as_millis() as u64, "cannot accept clients");
                drop(spare.take());
                // With the spare descriptor free, one client can be shed.
                let shed = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
                drop(shed);
                spare = std::fs::File::open("/dev/null").ok();
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
            // That client is gone already; the next one is not to blame.
            Err(error) => tracing::debug!(%error, "a client left before it was accepted"),
        }
        batch += 1;
        if batch >= BATCH {
            batch = 0;
            tokio::task::yield_now().await;
        }
    }
}

impl Desk {
    /// Whether a client may go on to its handshake: whether it is one too many and to be told so,
    /// and its place among those of its network, where these are bounded.
    fn let_on(&self, peer: SocketAddr) -> Result<(bool, Option<NetworkPlace>), Why> {
        let live = self.shared.live.load();
        let (limits, census) = (&live.settings.limits, &self.shared.census);
        let files = self.shared.files;
        if census.total() >= files.clients + files.told {
            return Err(Why::TooManyClients);
        }
        if !self.shared.budget.has_room(limits.buffers_bytes_max) {
            return Err(Why::BuffersFull);
        }
        let of_network = match limits.handshakes_per_network_max {
            0 => None,
            most => Some(census.network_place(peer.ip().into(), most).ok_or(Why::NetworkFull)?),
        };
        Ok((census.inside() >= files.clients, of_network))
    }

    async fn hand_over(&self, door: usize, socket: TcpStream, peer: SocketAddr) {
        let (over_limit, of_network) = match self.let_on(peer) {
            Ok(welcome) => welcome,
            Err(why) => return self.shed.borrow_mut().note(why, peer, clock::now()),
        };
        let times = (self.limits.keepalive_ms, self.limits.tcp_user_timeout_ms);
        // Each worker's runtime registers the socket for itself.
        let socket = match tune(&socket, times.0, times.1).and_then(|()| socket.into_std()) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::debug!(%peer, %error, "a client left before it was served");
                return;
            }
        };
        let mut place = self.shared.census.place();
        if over_limit {
            place.refuse();
        }
        let worker = &self.workers[place.worker()];
        let client = Accepted { door, socket, peer, place, of_network, over_limit };
        if worker.send(client).await.is_err() {
            tracing::error!("a worker is gone: its client was closed");
        }
    }
}

/// Small replies at once, dead peers noticed. Zero leaves the system's own times.
pub(super) fn tune(socket: &TcpStream, keepalive_ms: u64, user_timeout_ms: u64) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    if let Some(idle) = super::backend::milliseconds(keepalive_ms) {
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))?;
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(super::backend::milliseconds(user_timeout_ms))?;
    #[cfg(not(target_os = "linux"))]
    let _ = user_timeout_ms;
    Ok(())
}

/// Whether the process or the machine lacks something that comes back by waiting.
pub(super) fn is_out_of_resources(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let scarce = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| scarce.iter().any(|errno| errno.raw_os_error() == code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lack_of_descriptors_is_told_from_a_client_that_left() {
        assert!(is_out_of_resources(&io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error())));
        assert!(!is_out_of_resources(&io::Error::from(io::ErrorKind::ConnectionAborted)));
    }
}
