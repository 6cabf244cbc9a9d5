//! One task a client: the handshake, the permit, then bytes both ways.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::census::UserPlace;
use super::control::{Live, Shared};
use super::hub::Hub;
use super::listen::Accepted;
use super::transfer::{End, transfer};
use super::unproven::{self, NoProof, Proven};
use super::{linger, tls};
use crate::fault::Reference;
use crate::identity::{Admission, Certificate, Claim, Evidence, Permit, Reason, Refusal};
use crate::observe::audit::{Event, Lost, Outcome, Record};
use crate::resp::write;
use crate::session::{SessionId, Transport};

/// What a listener is called that has no name.
const LISTENER: &str = "default";

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
    match admit(&shared, &tls, peer, over_limit) {
        Ok(Admitted::In(permit, _place)) => let_in(&hub, &shared, permit, peer, tls, &[]).await,
        Ok(Admitted::Unproven(claim)) => {
            let mut tls = tls;
            match unproven::prove(&hub, &shared, &claim, peer, &mut tls).await {
                Ok(Proven { permit, place: _place, input }) => {
                    let_in(&hub, &shared, permit, peer, tls, &input).await;
                }
                Err(NoProof::Polite) => linger::close(tls, &shared.live.load_full().settings.limits).await,
                Err(NoProof::Abrupt) => {}
            }
        }
        Err((certificate, refusal)) => {
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

/// Opens the session of a client that is somebody.
async fn let_in(
    hub: &Rc<Hub>,
    shared: &Shared,
    permit: Permit,
    peer: SocketAddr,
    tls: TlsStream<TcpStream>,
    first: &[u8],
) {
    // Nobody comes in unseen.
    if shared.accepted(peer, &permit, &tls).is_err() {
        tracing::error!(%peer, "client closed: its audit record could not be queued");
        return;
    }
    run(hub, shared, permit, peer, tls, first).await;
}

/// A client that is not refused.
enum Admitted {
    In(Permit, UserPlace),
    Unproven(Claim),
}

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
    let leaf = connection.peer_certificates().and_then(<[_]>::first);
    let certificate = leaf
        .map(|leaf| Certificate::from_der(leaf).map(Arc::new))
        .transpose()
        .map_err(|error| (None, Refusal::new(Reason::BadCertificate, error.to_string())))?;
    let with = |refusal| (certificate.clone(), refusal);
    if over_limit {
        let detail = format!("there are {} clients already", shared.clients_max);
        return Err(with(Refusal::new(Reason::TooManyClients, detail)));
    }
    // The CAs on the path are not known here yet: a user bound to one is refused.
    let evidence = Evidence::new(certificate.clone(), [], [], peer.ip(), LISTENER);
    let permit = match live.settings.directory().arrive(&evidence) {
        Admission::Permit(permit) => permit,
        Admission::Unproven(claim) => return Ok(Admitted::Unproven(claim)),
        Admission::Refused(refusal) => return Err(with(refusal)),
    };
    let most = live.settings.limits.clients_per_user_max;
    let user = &permit.user().name;
    match shared.census.user_place(user, most) {
        Some(place) => Ok(Admitted::In(permit, place)),
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
    first: &[u8],
) {
    let local = tls.get_ref().0.local_addr().unwrap_or(shared.address);
    let addresses = (peer.to_string(), local.to_string());
    let id = hub.with(|machine, now| machine.client_opened(permit, addresses, now));
    if let Some(transport) = transport(&tls) {
        hub.with(|machine, _| machine.client_secured(id, transport));
    }
    let opened = Opened { hub: Rc::clone(hub), id };
    if !first.is_empty() {
        hub.with(|machine, now| machine.client_input(id, first, now));
    }
    let end = transfer(hub, id, &mut tls).await;
    // Its pinned link closes before its own socket does.
    drop(opened);
    tokio::task::yield_now().await;
    if matches!(end, End::Polite) {
        let live = shared.live.load_full();
        linger::close(tls, &live.settings.limits).await;
    }
}

impl Shared {
    /// Notes a client that was let in.
    fn accepted(&self, peer: SocketAddr, permit: &Permit, tls: &TlsStream<TcpStream>) -> Result<(), Lost> {
        let (_, connection) = tls.get_ref();
        let mut record = Record::new(Outcome::Accepted, self.address, peer);
        if let Some(certificate) = permit.certificate() {
            describe(&mut record, certificate);
        }
        record.realm = Some(permit.realm().to_string());
        record.user = Some(permit.user().name.clone());
        record.redis_user = Some(permit.credential().redis_user.clone());
        record.tls_version =
            connection.protocol_version().and_then(|version| version.as_str()).map(str::to_owned);
        record.tls_cipher =
            connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).map(str::to_owned);
        self.audit.record(&record)?;
        tracing::debug!(%peer, user = permit.user().name, rule = %permit.rule(), "client accepted");
        Ok(())
    }

    /// Notes a client that was not let in.
    pub(super) fn refused(
        &self,
        hub: &Hub,
        peer: SocketAddr,
        certificate: Option<&Certificate>,
        reference: Option<Reference>,
        refusal: &Refusal,
    ) {
        let mut record = Record::new(Outcome::Refused, self.address, peer);
        if let Some(certificate) = certificate {
            describe(&mut record, certificate);
        }
        self.note_refusal(
            hub,
            record,
            reference.unwrap_or_else(|| self.reference()),
            refusal,
            "client refused",
        );
    }

    /// Writes a refusal down, for the audit, the metric and the log.
    pub(super) fn note_refusal(
        &self,
        hub: &Hub,
        mut record: Record,
        reference: Reference,
        refusal: &Refusal,
        what: &'static str,
    ) {
        let peer = record.peer;
        record.reason = Some(refusal.reason().as_str());
        record.detail = Some(refusal.detail().to_owned());
        record.reference = Some(reference.to_string());
        if self.audit.record(&record).is_err() {
            tracing::error!(%peer, %reference, "an audit record was lost: its queue is full");
        }
        let counts = if record.event == Event::Authentication { &hub.passwords } else { &hub.closed };
        *counts.borrow_mut().entry(refusal.reason().as_str()).or_default() += 1;
        tracing::info!(%peer, %reference, reason = %refusal.reason(), detail = refusal.detail(), "{what}");
    }
}

pub(super) fn describe(record: &mut Record, certificate: &Certificate) {
    record.subject = Some(certificate.subject().to_string());
    record.serial = Some(certificate.serial().to_owned());
    record.fingerprint = Some(certificate.fingerprint().to_string());
}
