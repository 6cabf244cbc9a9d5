//! Who is in, and what they showed: the live sessions of one thread, held again
//! against what is trusted now. Knows no user; the mapping is held by the machine.
//!
//! A verdict about a chain holds until some certificate or list of it ends, so
//! nothing is verified twice while nothing has changed. After a reload that
//! changes what is trusted each chain is verified once more, some at each tick:
//! ten thousand at once would hold up every client of the thread.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::client::Caller;
use super::clock;
use super::control::{Live, Shared};
use super::doors::removed;
use super::familiar::Chain;
use super::hub::Hub;
use super::round::Round;
use super::tls::Verified;
use crate::identity::{Fingerprint, Reason, Refusal};
use crate::observe::audit::Outcome;
use crate::session::SessionId;
use crate::worker::Closed;

/// What a live session has shown.
pub(super) struct Guest {
    /// The gateway's user that it is.
    user: String,
    /// Which listener it came to.
    pub(super) door: usize,
    /// The certificates, its own first; none where it has shown none.
    pub(super) chain: Chain,
    /// For the log.
    pub(super) peer: SocketAddr,
    /// By which trust its chain was verified, and the last second of that verdict.
    verdict: Option<(Fingerprint, u64)>,
}

impl Guest {
    pub(super) fn new(
        user: String,
        (door, peer): (usize, SocketAddr),
        chain: Chain,
        verified: Option<(Fingerprint, Arc<Verified>)>,
    ) -> Self {
        Self { user, door, chain, peer, verdict: verified.map(|(trust, it)| (trust, it.until)) }
    }

    /// Whether it would be let in now, as far as its certificate goes.
    fn judge(&mut self, live: &Live, unix_now: i64) -> Result<(), Refusal> {
        let Some(entrance) = live.entrance(self.door) else {
            return Err(removed());
        };
        let Some(trust) = entrance.trust.as_ref().filter(|_| !self.chain.is_empty()) else {
            return self.judge_certless(live);
        };
        let now = clock::certificate_time(unix_now);
        let digest = trust.digest();
        if self.verdict.is_some_and(|(by, until)| by == digest && now.as_secs() <= until) {
            return Ok(());
        }
        let verified = trust.verify(&self.chain, now)?;
        self.verdict = Some((digest, verified.until));
        Ok(())
    }

    /// A session without a certificate, or of a listener that asks for none now.
    fn judge_certless(&self, live: &Live) -> Result<(), Refusal> {
        let refuse = |detail| Err(Refusal::new(Reason::NoClientCertificate, detail));
        match live.entrance(self.door).map(|entrance| entrance.is_mandatory) {
            Some(true) => refuse("its listener asks for a certificate now, and it has shown none"),
            _ if !self.chain.is_empty() => refuse("its listener no longer looks at certificates"),
            _ => Ok(()),
        }
    }

    fn is_due(&self, now: u64) -> bool {
        self.verdict.is_some_and(|(_, until)| until < now)
    }
}

/// The guests of a thread.
#[derive(Default)]
pub(super) struct Guests {
    inside: HashMap<SessionId, Guest>,
    /// Those still to be looked at.
    due: Round<SessionId>,
    /// The second of the last sweep.
    swept: i64,
}

impl Guests {
    pub(super) fn enter(&mut self, id: SessionId, guest: Guest) {
        self.inside.insert(id, guest);
    }

    pub(super) fn leave(&mut self, id: SessionId) {
        self.inside.remove(&id);
    }

    /// From now on all of them are to be looked at.
    pub(super) fn all_due(&mut self) {
        self.due.add(self.inside.keys().copied());
    }

    /// Those whose verdict has ended are to be looked at; once in each second.
    fn sweep(&mut self, unix_now: i64) {
        if self.swept == unix_now {
            return;
        }
        self.swept = unix_now;
        let now = u64::try_from(unix_now).unwrap_or(0);
        self.due.add(self.inside.iter().filter(|(_, guest)| guest.is_due(now)).map(|(&id, _)| id));
    }

    /// Which listener a session came to.
    pub(super) fn door(&self, id: SessionId) -> Option<usize> {
        self.inside.get(&id).map(|guest| guest.door)
    }

    /// Looks at some of them, and returns those who may not stay.
    fn next_out(&mut self, live: &Live, unix_now: i64) -> Vec<(SessionId, Guest, Refusal)> {
        let mut out = Vec::new();
        for id in self.due.next() {
            let Some(guest) = self.inside.get_mut(&id) else { continue };
            if let Err(refusal) = guest.judge(live, unix_now)
                && let Some(guest) = self.inside.remove(&id)
            {
                out.push((id, guest, refusal));
            }
        }
        out
    }
}

/// One turn: sessions whose certificates no longer hold end, with a reason.
pub(super) fn look(hub: &Rc<Hub>, shared: &Shared, live: &Live) {
    let unix_now = clock::unix_now();
    hub.guests.borrow_mut().sweep(unix_now);
    let out = hub.guests.borrow_mut().next_out(live, unix_now);
    for (id, guest, refusal) in out {
        shared.shown_out(hub, &guest, &refusal);
        let why = match refusal.reason() {
            Reason::Expired => Closed::CertificateExpired,
            _ => Closed::PermitEnded,
        };
        hub.with(|machine, _| machine.end_permit(id, why));
    }
}

/// A session that a reload has ended for another reason than its certificate.
pub(super) fn shown_out(hub: &Rc<Hub>, shared: &Shared, id: SessionId, refusal: &Refusal) {
    let guest = hub.guests.borrow_mut().inside.remove(&id);
    if let Some(guest) = guest {
        shared.shown_out(hub, &guest, refusal);
    }
}

impl Shared {
    /// Notes a client that was let in and may not stay.
    fn shown_out(&self, hub: &Hub, guest: &Guest, refusal: &Refusal) {
        let (reason, peer) = (refusal.reason(), guest.peer);
        let mut record = self.record(Outcome::Ended, Caller { door: guest.door, peer });
        if let Some(Ok(certificate)) =
            guest.chain.first().map(|leaf| crate::identity::Certificate::from_der(leaf))
        {
            super::client::describe(&mut record, &certificate);
        }
        record.user = Some(guest.user.clone());
        record.reason = Some(reason.as_str());
        record.detail = Some(refusal.detail().to_owned());
        if self.audit.record(&record).is_err() {
            tracing::error!(%peer, "an audit record was lost: its queue is full");
        }
        *hub.ended.borrow_mut().entry((guest.door, reason.as_str())).or_default() += 1;
        tracing::info!(
            %peer,
            user = guest.user,
            listener = record.listener_name,
            %reason,
            detail = refusal.detail(),
            "client is no longer let in"
        );
    }
}
