//! One task a client: the handshake, the permit, then bytes both ways.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;

use super::census::{Place, UserPlace};
use super::control::{Shared, Stage};
use super::doors::{Entrance, removed};
use super::familiar::Chain;
use super::guests::Guest;
use super::hub::Hub;
use super::listen::Accepted;
use super::stream::ClientStream;
use super::thread::TICK;
use super::tls::Verified;
use super::transfer::{End, transfer};
use super::unproven::{self, NoProof, Proven};
use super::{clock, linger, tls};
use crate::fault::Reference;
use crate::identity::{
    Admission, Certificate, Claim, Evidence, Fingerprint, Permit, Reason, Refusal, shortened,
};
use crate::observe::audit::{Event, Lost, Outcome, Record};
use crate::resp::write;
use crate::session::{Refused, SessionId, Transport};
use crate::upstream::DatabaseId;

/// Which listener a client came to, and from where.
#[derive(Clone, Copy)]
pub(super) struct Caller {
    pub(super) door: usize,
    pub(super) peer: SocketAddr,
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

/// A client that is in, and its places, which are free when it has gone.
struct Inside {
    opened: Opened,
    stream: Box<ClientStream>,
    places: (Place, UserPlace),
}

/// Serves one client from its handshake to its end. All until it is in happens in a box that is
/// gone afterwards, and so does not count among what a client that waits costs. No settings are held: a
/// client of long ago would keep those of its time in memory, revocation lists and all.
pub(super) fn serve(hub: Rc<Hub>, shared: Arc<Shared>, accepted: Accepted) -> impl Future<Output = ()> {
    let arrival = Box::pin(arrive(hub, Arc::clone(&shared), accepted));
    async move {
        let Some(Inside { opened, mut stream, places }) = arrival.await else { return };
        let end = transfer(&opened.hub, opened.id, &mut stream).await;
        // Its pinned link closes before its own socket does.
        drop(opened);
        tokio::task::yield_now().await;
        if matches!(end, End::Polite) {
            Box::pin(linger::close(stream, &shared)).await;
        }
        drop(places);
    }
}

/// From the handshake to an open session, or to the end of a client that does not come in.
async fn arrive(hub: Rc<Hub>, shared: Arc<Shared>, accepted: Accepted) -> Option<Inside> {
    let Accepted { door, socket, peer, mut place, of_network, over_limit } = accepted;
    let caller = Caller { door, peer };
    let shaken = handshake(&shared, door, socket).await;
    drop(of_network);
    let mut stream = match shaken {
        Ok(stream) => stream,
        Err(refusal) => {
            let shown = tls::take_shown().and_then(|der| Certificate::from_der(&der).ok());
            shared.refused(&hub, caller, shown.as_ref(), None, &refusal);
            return None;
        }
    };
    match admit(&hub, &shared, caller, &stream, over_limit) {
        Ok((Admitted::In(permit, of_user), shown)) => {
            let opened = let_in(&hub, &shared, permit, shown, caller, &stream, &[]).await?;
            Some(Inside { opened, stream, places: (place, of_user) })
        }
        Ok((Admitted::Unproven(claim), shown)) => {
            let proof = Box::pin(unproven::prove(&hub, &shared, &claim, caller, &mut stream)).await;
            match proof {
                Ok(Proven { permit, place: of_user, input }) => match again(&shared, caller, shown) {
                    Ok(shown) => {
                        let opened = let_in(&hub, &shared, permit, shown, caller, &stream, &input).await?;
                        Some(Inside { opened, stream, places: (place, of_user) })
                    }
                    Err(refusal) => {
                        place.refuse();
                        let certificate = claim.certificate();
                        turn_away(&hub, &shared, caller, certificate, &refusal, stream, &input).await;
                        None
                    }
                },
                Err(NoProof::Polite) => {
                    place.refuse();
                    Box::pin(linger::close(stream, &shared)).await;
                    None
                }
                Err(NoProof::Abrupt) => None,
            }
        }
        Err((certificate, refusal)) => {
            place.refuse();
            turn_away(&hub, &shared, caller, certificate.as_ref(), &refusal, stream, &[]).await;
            None
        }
    }
}

/// Holds what was shown against what is trusted now: giving a password takes time.
fn again(shared: &Shared, caller: Caller, shown: Shown) -> Result<Shown, Refusal> {
    let live = shared.live.load_full();
    let entrance = live.entrance(caller.door).ok_or_else(removed)?;
    Ok(Shown { verified: verified(entrance, &shown.chain)?, ..shown })
}

/// Notes a refusal and tells the client of it, which has asked for this already.
async fn turn_away(
    hub: &Hub,
    shared: &Shared,
    caller: Caller,
    certificate: Option<&Arc<Certificate>>,
    refusal: &Refusal,
    stream: Box<ClientStream>,
    asked: &[u8],
) {
    let reference = shared.reference();
    shared.refused(hub, caller, certificate.map(AsRef::as_ref), Some(reference), refusal);
    let refused = Refused::new(line_for(refusal, reference));
    // Redis says at once that there is no room, and room is what is missing. And who is refused takes
    // no place of those who are not.
    let may_stay =
        refusal.reason() != Reason::TooManyClients && shared.census.total() <= shared.files.clients / 2;
    Box::pin(say_and_close(hub, shared, stream, refused, may_stay.then_some(asked))).await;
}

/// What a refused client is told: what to quote, and nothing of the cause.
fn line_for(refusal: &Refusal, reference: Reference) -> Vec<u8> {
    match refusal.reason() {
        Reason::TooManyClients => write::error("ERR max number of clients reached"),
        Reason::NoRole | Reason::HostScope => {
            write::error(&format!("NOPERM no role is mapped to this certificate (reference {reference})"))
        }
        _ => write::error(&format!("NOPERM no user is mapped to this certificate (reference {reference})")),
    }
}

/// Tells a refused client so, at each of its requests from `asked` on; or once, where there are none.
async fn say_and_close(
    hub: &Hub,
    shared: &Shared,
    mut stream: Box<ClientStream>,
    mut refused: Refused,
    asked: Option<&[u8]>,
) {
    let limit = Duration::from_millis(shared.live.load().settings.limits.linger_timeout_ms);
    if let Some(asked) = asked {
        let mut stages = shared.stages.clone();
        let told = tokio::select! {
            told = tell(hub, &mut stream, &mut refused, asked) => told,
            () = tokio::time::sleep(limit) => Ok(()),
            // An error means that the gateway is being dropped.
            _ = stages.wait_for(|stage| *stage != Stage::Running) => Ok(()),
        };
        if told.is_err() {
            return;
        }
    }
    if matches!(tokio::time::timeout(limit, stream.write_all(refused.last())).await, Ok(Ok(()))) {
        linger::close(stream, shared).await;
    }
}

/// Answers a refused client's requests until it has sent all, or enough.
async fn tell(hub: &Hub, stream: &mut ClientStream, refused: &mut Refused, asked: &[u8]) -> io::Result<()> {
    let mut out = Vec::new();
    let mut goes_on = refused.input(asked, &mut out);
    loop {
        stream.write_all(&out).await?;
        out.clear();
        if !goes_on {
            return Ok(());
        }
        let said = stream.read(&hub.scratch).await?;
        if said.is_empty() {
            return Ok(());
        }
        goes_on = refused.input(&said, &mut out);
    }
}

/// The TLS handshake. Waiting for the client's first byte takes no turn, and waiting for
/// the rest of it takes none for long.
async fn handshake(
    shared: &Shared,
    door: usize,
    socket: std::net::TcpStream,
) -> Result<Box<ClientStream>, Refusal> {
    let live = shared.live.load_full();
    let failed = |error: &io::Error| Refusal::new(tls::reason(error), tls::detail(error));
    let Some(entrance) = live.entrance(door) else {
        return Err(removed());
    };
    let socket = TcpStream::from_std(socket).map_err(|error| failed(&error))?;
    let timeout = Duration::from_millis(live.settings.limits.handshake_timeout_ms);
    let shake = async {
        socket.readable().await?;
        let turn = shared.handshakes.begin().await?;
        ClientStream::accept(socket, Arc::clone(&entrance.tls), turn).await
    };
    match tokio::time::timeout(timeout, shake).await {
        Ok(Ok(stream)) => Ok(stream),
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
    shown: Shown,
    caller: Caller,
    stream: &ClientStream,
    first: &[u8],
) -> Option<Opened> {
    // Nobody comes in unseen.
    if shared.accepted(hub, caller, &permit, &shown, stream).is_err() {
        tracing::error!(peer = %caller.peer, "client closed: its audit record could not be queued");
        return None;
    }
    open(hub, shared, permit, shown, caller, stream, first).await
}

/// A client that is not refused.
enum Admitted {
    In(Permit, UserPlace),
    Unproven(Claim),
}

/// What a client has shown.
struct Shown {
    /// Its chain; none where it has no certificate.
    chain: Chain,
    /// By which trust it was verified, and what that found.
    verified: Option<(Fingerprint, Arc<Verified>)>,
}

/// A client that is refused, with its certificate.
type Turned = (Option<Arc<Certificate>>, Refusal);

/// Finds the user of a client whose handshake is complete.
fn admit(
    hub: &Hub,
    shared: &Shared,
    caller: Caller,
    stream: &ClientStream,
    over_limit: bool,
) -> Result<(Admitted, Shown), Turned> {
    // The users in force now: a handshake may have begun before a reload.
    let live = shared.live.load_full();
    let chain = stream.tls().peer_certificates().unwrap_or_default();
    let (chain, certificate) = (hub.familiar.borrow_mut().of(chain))
        .map_err(|error| (None, Refusal::new(Reason::BadCertificate, error.to_string())))?;
    let with = |refusal| (certificate.clone(), refusal);
    if over_limit {
        let detail = format!("there are {} clients already", shared.files.clients);
        return Err(with(Refusal::new(Reason::TooManyClients, detail)));
    }
    let Some(entrance) = live.entrance(caller.door) else {
        return Err(with(removed()));
    };
    let shown = Shown { verified: verified(entrance, &chain).map_err(with)?, chain };
    let issuers: Arc<[Fingerprint]> =
        shown.verified.as_ref().map_or_else(|| [].into(), |(_, verified)| verified.issuers.as_slice().into());
    let asked = stream.server_name();
    let database = entrance.destination(asked).map_err(with)?;
    let evidence = Evidence::new(certificate.clone(), issuers, caller.peer.ip(), Arc::clone(entrance.name()))
        .towards(asked.map(Into::into), Arc::clone(database));
    let directory = entrance.directory(&live.settings, database).map_err(with)?;
    let permit = match directory.arrive(&evidence) {
        Admission::Permit(permit) => permit,
        Admission::Unproven(claim) => return Ok((Admitted::Unproven(claim), shown)),
        Admission::Refused(refusal) => return Err(with(refusal)),
    };
    let most = live.settings.limits.clients_per_user_max;
    let user = &permit.user().name;
    match shared.census.user_place(user, most) {
        Some(place) => Ok((Admitted::In(permit, place), shown)),
        None => {
            let detail = format!("user {user} has {most} clients already");
            Err(with(Refusal::new(Reason::TooManyClients, detail)))
        }
    }
}

/// What the trust in force says of a chain. It is known from the handshake, unless that
/// was a resumed one, or a reload came between.
fn verified(
    entrance: &Entrance,
    chain: &[CertificateDer<'static>],
) -> Result<Option<(Fingerprint, Arc<Verified>)>, Refusal> {
    match &entrance.trust {
        Some(trust) if !chain.is_empty() => {
            let now = clock::certificate_time(clock::unix_now());
            Ok(Some((trust.digest(), trust.verify(chain, now)?)))
        }
        None if !chain.is_empty() => {
            let detail = "its listener no longer looks at certificates";
            Err(Refusal::new(Reason::NoClientCertificate, detail))
        }
        _ => Ok(None),
    }
}

/// The version and the cipher that the handshake arrived at.
fn transport(stream: &ClientStream) -> Option<Transport> {
    let tls = stream.tls();
    let version = tls.protocol_version()?.as_str()?;
    Some(Transport { version, cipher: tls.negotiated_cipher_suite()?.suite().as_str()? })
}

/// Waits until the machine has taken over what the permit came from, which it does at each tick,
/// and knows the map of a cluster that has just been begun with; no longer than for a connection.
async fn await_database(hub: &Hub, shared: &Shared, permit: Permit) -> Option<(DatabaseId, Permit)> {
    let name = permit.evidence().database().to_owned();
    let known = || {
        let live = shared.live.load();
        let id = live.reach.id(&name).filter(|_| hub.has_taken_over(&live.reach))?;
        hub.peek(|machine| machine.knows_the_way_to(id)).then_some(id)
    };
    if let Some(id) = known() {
        return Some((id, permit));
    }
    let begun = clock::now();
    let patience = Duration::from_millis(shared.live.load().settings.limits.connect_timeout_ms);
    while known().is_none() && clock::now().saturating_duration_since(begun) < patience {
        tokio::time::sleep(TICK).await;
    }
    // Waiting may have taken the permit past a reload.
    let live = shared.live.load();
    Some((live.reach.id(&name)?, live.again(&permit).ok()?))
}

async fn open(
    hub: &Rc<Hub>,
    shared: &Shared,
    permit: Permit,
    shown: Shown,
    caller: Caller,
    stream: &ClientStream,
    first: &[u8],
) -> Option<Opened> {
    let local = stream.local_addr().unwrap_or(shared.doors[caller.door].address);
    let addresses = (caller.peer.to_string(), local.to_string());
    let user = permit.user().name.clone();
    let (database, permit) = await_database(hub, shared, permit).await?;
    let id = hub.with(|machine, now| machine.client_opened(permit, database, addresses, now))?;
    let opened = Opened { hub: Rc::clone(hub), id };
    if shown.verified.as_ref().is_some_and(|(_, verified)| verified.may_expire) {
        hub.peek(|machine| machine.may_outlive_certificate(id));
    }
    if let Some(transport) = transport(stream) {
        hub.with(|machine, _| machine.client_secured(id, transport));
    }
    let guest = Guest::new(user, (caller.door, caller.peer), shown.chain, shown.verified);
    hub.guests.borrow_mut().enter(id, guest);
    if !first.is_empty() {
        hub.with(|machine, now| machine.client_input(id, first, now));
    }
    Some(opened)
}

impl Shared {
    /// Notes a client that was let in.
    fn accepted(
        &self,
        hub: &Hub,
        caller: Caller,
        permit: &Permit,
        shown: &Shown,
        stream: &ClientStream,
    ) -> Result<(), Lost> {
        let connection = stream.tls();
        let mut record = self.record(Outcome::Accepted, caller);
        record.expired = shown.verified.as_ref().is_some_and(|(_, verified)| verified.is_expired);
        record.resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        if let Some(certificate) = permit.certificate() {
            describe(&mut record, certificate);
        }
        record.realm = Some(permit.realm().to_string());
        record.user = Some(permit.user().name.clone());
        record.role = permit.role().map(str::to_owned);
        record.roles = permit.roles().names().map(str::to_owned).collect();
        record.redis_user = Some(permit.credential().redis_user.clone());
        record.database = Some(permit.evidence().database().to_owned());
        record.tls_version =
            connection.protocol_version().and_then(|version| version.as_str()).map(str::to_owned);
        record.tls_cipher =
            connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).map(str::to_owned);
        self.audit.record(&record)?;
        *hub.accepted.borrow_mut().entry(caller.door).or_default() += 1;
        let (peer, listener) = (caller.peer, record.listener_name);
        tracing::debug!(%peer, listener, user = permit.user().name, rule = %permit.rule(), "client accepted");
        Ok(())
    }

    /// A record about a client, with where it came from and to.
    pub(super) fn record(&self, outcome: Outcome, caller: Caller) -> Record {
        let door = self.doors[caller.door];
        let mut record = Record::new(outcome, door.address, caller.peer);
        record.listener_name = door.name;
        record
    }

    /// Notes a client that was not let in.
    pub(super) fn refused(
        &self,
        hub: &Hub,
        caller: Caller,
        certificate: Option<&Certificate>,
        reference: Option<Reference>,
        refusal: &Refusal,
    ) {
        let mut record = self.record(Outcome::Refused, caller);
        if let Some(certificate) = certificate {
            describe(&mut record, certificate);
        }
        let reference = reference.unwrap_or_else(|| self.reference());
        self.note_refusal(hub, caller.door, record, reference, refusal, "client refused");
    }

    /// Writes a refusal down, for the audit, the metric and the log.
    pub(super) fn note_refusal(
        &self,
        hub: &Hub,
        door: usize,
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
        let reason = refusal.reason();
        let counts = if record.event == Event::Authentication { &hub.passwords } else { &hub.refused };
        *counts.borrow_mut().entry((door, reason.as_str())).or_default() += 1;
        let detail = refusal.detail();
        tracing::info!(%peer, listener = record.listener_name, %reference, %reason, detail, "{what}");
    }
}

pub(super) fn describe(record: &mut Record, certificate: &Certificate) {
    // A stranger may call itself what it likes; the fingerprint says which certificate it is.
    record.subject = Some(shortened(certificate.subject().to_string()));
    record.serial = Some(shortened(certificate.serial().to_owned()));
    record.fingerprint = Some(certificate.fingerprint().to_string());
}
