//! One task a client: the handshake, the permit, then bytes both ways.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::backend::read_into;
use super::census::UserPlace;
use super::control::{Live, Shared};
use super::hub::Hub;
use super::listen::Accepted;
use super::{linger, tls};
use crate::fault::Reference;
use crate::identity::{Certificate, Evidence, Permit, Reason, Refusal};
use crate::observe::audit::{Lost, Outcome, Record};
use crate::resp::write;
use crate::session::{Fate, SessionId, Transport};

/// How a client's transfer ended.
enum End {
    /// Everything has been written: close politely.
    Polite,
    /// The client is gone, or is to be closed at once.
    Abrupt,
}

/// The machine forgets the client however its task ends, a panic included.
struct Opened {
    hub: Rc<Hub>,
    id: SessionId,
}

impl Drop for Opened {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.hub.panics.set(self.hub.panics.get() + 1);
        }
        self.hub.with(|machine, now| machine.client_gone(self.id, now));
        self.hub.client_ended(self.id);
    }
}

/// Serves one client from its handshake to its end.
pub(super) async fn serve(hub: Rc<Hub>, shared: Arc<Shared>, accepted: Accepted) {
    let Accepted { socket, peer, place, over_limit } = accepted;
    let _place = place;
    let live = shared.live.load_full();
    let tls = match handshake(&shared, &live, socket).await {
        Ok(tls) => tls,
        Err(refusal) => {
            let shown = tls::take_shown().and_then(|der| Certificate::from_der(&der).ok());
            shared.refused(&hub, peer, shown.as_ref(), None, &refusal);
            return;
        }
    };
    let admitted = admit(&shared, &tls, peer, over_limit);
    let (certificate, outcome) = match admitted {
        Ok((permit, place)) => (permit.certificate().cloned(), Ok((permit, place))),
        Err((certificate, refusal)) => (certificate, Err(refusal)),
    };
    match outcome {
        Ok((permit, _user_place)) => {
            // Nobody comes in unseen.
            if shared.accepted(peer, &permit, &tls).is_err() {
                tracing::error!(%peer, "client closed: its audit record could not be queued");
                return;
            }
            run(&hub, &shared, permit, peer, tls).await;
        }
        Err(refusal) => {
            let reference = shared.reference();
            shared.refused(&hub, peer, certificate.as_deref(), Some(reference), &refusal);
            say_and_close(tls, &line_for(&refusal, reference), &live).await;
        }
    }
}

/// What a refused client is told: what to quote, and nothing of the cause.
fn line_for(refusal: &Refusal, reference: Reference) -> Vec<u8> {
    match refusal.reason() {
        Reason::TooManyClients => write::error("ERR max number of clients reached"),
        _ => write::error(&format!("NOPERM no user is mapped to this certificate (reference {reference})")),
    }
}

async fn say_and_close(mut tls: TlsStream<TcpStream>, line: &[u8], live: &Live) {
    let limit = Duration::from_millis(live.settings.limits.linger_timeout_ms);
    let said = tokio::time::timeout(limit, async {
        tls.write_all(line).await?;
        tls.flush().await
    });
    if matches!(said.await, Ok(Ok(()))) {
        linger::close(tls, &live.settings.limits).await;
    }
}

/// The TLS handshake. Waiting for the client's first byte takes no place among the
/// handshakes under way; doing it does.
async fn handshake(
    shared: &Shared,
    live: &Live,
    socket: std::net::TcpStream,
) -> Result<TlsStream<TcpStream>, Refusal> {
    let failed = |error: &io::Error| Refusal::new(tls::reason(error), tls::detail(error));
    let socket = TcpStream::from_std(socket).map_err(|error| failed(&error))?;
    let timeout = Duration::from_millis(live.settings.limits.handshake_timeout_ms);
    let shake = async {
        socket.readable().await?;
        let _turn = shared.handshakes.acquire().await.map_err(io::Error::other)?;
        TlsAcceptor::from(Arc::clone(&live.tls)).accept(socket).await
    };
    match tokio::time::timeout(timeout, shake).await {
        Ok(Ok(tls)) => Ok(tls),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => {
            let detail = format!("no TLS handshake within {} ms", timeout.as_millis());
            Err(Refusal::new(Reason::HandshakeTimeout, detail))
        }
    }
}

type Admitted = (Permit, UserPlace);

/// Finds the user of a client whose handshake is complete.
fn admit(
    shared: &Shared,
    tls: &TlsStream<TcpStream>,
    peer: SocketAddr,
    over_limit: bool,
) -> Result<Admitted, (Option<Arc<Certificate>>, Refusal)> {
    // The users in force now: a handshake may have begun before a reload.
    let live = shared.live.load_full();
    let (_, connection) = tls.get_ref();
    let Some(leaf) = connection.peer_certificates().and_then(<[_]>::first) else {
        return Err((None, Refusal::new(Reason::NoClientCertificate, "the client showed no certificate")));
    };
    let certificate = Certificate::from_der(leaf)
        .map(Arc::new)
        .map_err(|error| (None, Refusal::new(Reason::BadCertificate, error.to_string())))?;
    let with = |refusal| (Some(Arc::clone(&certificate)), refusal);
    if over_limit {
        let detail = format!("there are {} clients already", shared.clients_max);
        return Err(with(Refusal::new(Reason::TooManyClients, detail)));
    }
    // The CAs on the path are not known here yet: a user bound to one is refused.
    let evidence = Evidence::new(Some(Arc::clone(&certificate)), [], [], peer.ip(), "default");
    let permit = live.settings.admit(&evidence).map_err(with)?;
    let most = live.settings.limits.clients_per_user_max;
    let user = &permit.user().name;
    match shared.census.user_place(user, most) {
        Some(place) => Ok((permit, place)),
        None => {
            let detail = format!("user {user} has {most} clients already");
            Err(with(Refusal::new(Reason::TooManyClients, detail)))
        }
    }
}

/// The version and the cipher that the handshake arrived at.
fn transport(tls: &TlsStream<TcpStream>) -> Option<Transport> {
    let (_, connection) = tls.get_ref();
    let version = connection.protocol_version()?.as_str()?;
    Some(Transport { version, cipher: connection.negotiated_cipher_suite()?.suite().as_str()? })
}

async fn run(
    hub: &Rc<Hub>,
    shared: &Shared,
    permit: Permit,
    peer: SocketAddr,
    mut tls: TlsStream<TcpStream>,
) {
    let local = tls.get_ref().0.local_addr().unwrap_or(shared.address);
    let addresses = (peer.to_string(), local.to_string());
    let id = hub.with(|machine, now| machine.client_opened(permit, addresses, now));
    if let Some(transport) = transport(&tls) {
        hub.with(|machine, _| machine.client_secured(id, transport));
    }
    let opened = Opened { hub: Rc::clone(hub), id };
    let mut unflushed = false;
    let end = poll_fn(|cx| transfer(hub, id, &mut tls, &mut unflushed, cx)).await;
    // Its pinned link closes before its own socket does.
    drop(opened);
    tokio::task::yield_now().await;
    if matches!(end, End::Polite) {
        let live = shared.live.load_full();
        linger::close(tls, &live.settings.limits).await;
    }
}

/// Moves bytes both ways until neither can be moved.
fn transfer(
    hub: &Rc<Hub>,
    id: SessionId,
    tls: &mut TlsStream<TcpStream>,
    unflushed: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<End> {
    hub.client_waits(id, cx);
    loop {
        let Ok(wrote) = write_out(hub, id, tls, unflushed, cx) else { return Poll::Ready(End::Abrupt) };
        match hub.peek(|machine| machine.client_fate(id)) {
            Fate::Dead => return Poll::Ready(End::Abrupt),
            Fate::Ending if wrote.is_pending() && !*unflushed => {
                let done = hub.peek(|machine| machine.client_output(id).is_none_or(|out| out.is_empty()));
                if done {
                    return Poll::Ready(End::Polite);
                }
            }
            Fate::Ending | Fate::Open => {}
        }
        let read = if hub.peek(|machine| machine.client_wants_read(id)) {
            match read_in(hub, id, tls, cx) {
                Ok(read) => read,
                Err(_) => return Poll::Ready(End::Abrupt),
            }
        } else {
            Poll::Pending
        };
        if wrote.is_pending() && read.is_pending() {
            return Poll::Pending;
        }
    }
}

/// Writes what there is. Pending when there is nothing, or the socket is full.
fn write_out(
    hub: &Rc<Hub>,
    id: SessionId,
    tls: &mut TlsStream<TcpStream>,
    unflushed: &mut bool,
    cx: &mut Context<'_>,
) -> io::Result<Poll<()>> {
    let mut any = false;
    loop {
        let written = hub.peek(|machine| match machine.client_output(id) {
            Some(out) if !out.is_empty() => Pin::new(&mut *tls).poll_write(cx, out.front()),
            _ => Poll::Pending,
        });
        match written {
            Poll::Pending => break,
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(count)) => {
                any = true;
                *unflushed = true;
                hub.with(|machine, now| machine.client_wrote(id, count, now));
            }
            Poll::Ready(Err(error)) => return Err(error),
        }
    }
    if *unflushed {
        match Pin::new(tls).poll_flush(cx) {
            Poll::Ready(result) => {
                result?;
                *unflushed = false;
            }
            Poll::Pending => {}
        }
    }
    Ok(if any { Poll::Ready(()) } else { Poll::Pending })
}

fn read_in(
    hub: &Rc<Hub>,
    id: SessionId,
    tls: &mut TlsStream<TcpStream>,
    cx: &mut Context<'_>,
) -> io::Result<Poll<()>> {
    let large = hub.peek(|machine| {
        let buffer = machine.client_buffer(id)?;
        Some(read_into(tls, buffer, cx))
    });
    let count = match large {
        Some(Poll::Pending) => return Ok(Poll::Pending),
        Some(Poll::Ready(count)) => {
            let count = count?;
            if count > 0 {
                hub.with(|machine, now| machine.client_filled(id, count, now));
            }
            count
        }
        None => {
            let mut scratch = hub.scratch.borrow_mut();
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(tls).poll_read(cx, &mut buffer) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(result) => result?,
            }
            let bytes = buffer.filled();
            if !bytes.is_empty() {
                hub.with(|machine, now| machine.client_input(id, bytes, now));
            }
            bytes.len()
        }
    };
    if count == 0 {
        hub.with(|machine, now| machine.client_eof(id, now));
    }
    Ok(Poll::Ready(()))
}

impl Shared {
    /// Notes a client that was let in.
    fn accepted(&self, peer: SocketAddr, permit: &Permit, tls: &TlsStream<TcpStream>) -> Result<(), Lost> {
        let (_, connection) = tls.get_ref();
        let mut record = Record::new(Outcome::Accepted, self.address, peer);
        if let Some(certificate) = permit.certificate() {
            describe(&mut record, certificate);
        }
        record.user = Some(permit.user().name.clone());
        record.redis_user = Some(permit.user().credential.redis_user.clone());
        record.tls_version =
            connection.protocol_version().and_then(|version| version.as_str()).map(str::to_owned);
        record.tls_cipher =
            connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).map(str::to_owned);
        self.audit.record(&record)?;
        tracing::debug!(%peer, user = permit.user().name, rule = %permit.rule(), "client accepted");
        Ok(())
    }

    /// Notes a client that was not let in.
    fn refused(
        &self,
        hub: &Hub,
        peer: SocketAddr,
        certificate: Option<&Certificate>,
        reference: Option<Reference>,
        refusal: &Refusal,
    ) {
        let reference = reference.unwrap_or_else(|| self.reference());
        let mut record = Record::new(Outcome::Refused, self.address, peer);
        if let Some(certificate) = certificate {
            describe(&mut record, certificate);
        }
        record.reason = Some(refusal.reason().as_str());
        record.detail = Some(refusal.detail().to_owned());
        record.reference = Some(reference.to_string());
        if self.audit.record(&record).is_err() {
            tracing::error!(%peer, %reference, "an audit record was lost: its queue is full");
        }
        *hub.closed.borrow_mut().entry(refusal.reason().as_str()).or_default() += 1;
        tracing::info!(%peer, %reference, reason = %refusal.reason(), detail = refusal.detail(), "client refused");
    }
}

fn describe(record: &mut Record, certificate: &Certificate) {
    record.subject = Some(certificate.subject().to_string());
    record.serial = Some(certificate.serial().to_owned());
    record.fingerprint = Some(certificate.fingerprint().to_string());
}
