//! The conversation with a client that has yet to say who it is: from its
//! handshake to a permit, or to its end. Only the permit opens a session.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::census::UserPlace;
use super::client::{Caller, describe};
use super::control::{Shared, Stage};
use super::doors::removed;
use super::hub::Hub;
use super::stream::ClientStream;
use crate::identity::{Claim, Permit, Proof, Reason, Refusal};
use crate::observe::audit::{Event, Outcome};
use crate::session::{Ask, Turn, Unproven, WRONG};
use crate::worker::NeedlessAuth;

/// A client that has proved who it is.
pub(super) struct Proven {
    pub(super) permit: Permit,
    pub(super) place: UserPlace,
    /// What its session is given first.
    pub(super) input: Zeroizing<Vec<u8>>,
}

/// How the conversation ended without a proof.
pub(super) enum NoProof {
    /// All that there was to say has been said.
    Polite,
    /// The client is gone, or does not read.
    Abrupt,
}

/// What the client did while its password was being checked.
enum Meanwhile {
    Checked(Judged),
    Left,
}

/// What became of a password.
struct Judged {
    /// The user that it was for, if there is one of that name.
    user: Option<String>,
    outcome: Result<(Permit, UserPlace), Refusal>,
}

/// Talks with the client until it has proved who it is.
pub(super) async fn prove(
    hub: &Rc<Hub>,
    shared: &Arc<Shared>,
    claim: &Claim,
    caller: Caller,
    stream: &mut ClientStream,
) -> Result<Proven, NoProof> {
    let Ok(_place) = shared.unproven.try_acquire() else {
        let detail = "as many clients as may be have yet to say who they are";
        let refusal = Refusal::new(Reason::TooManyClients, detail);
        shared.refused(hub, caller, claim.certificate().map(AsRef::as_ref), None, &refusal);
        return Err(NoProof::Abrupt);
    };
    let mut talk = Talk { hub, shared, claim, caller, failures: 0, told: false };
    let mut stages = shared.stages.clone();
    let limit = Duration::from_millis(shared.live.load().settings.limits.authentication_timeout_ms);
    let ended = tokio::select! {
        proven = talk.run(stream) => proven,
        () = tokio::time::sleep(limit) => Err(NoProof::Abrupt),
        // An error means that the gateway is being dropped.
        _ = stages.wait_for(|stage| *stage != Stage::Running) => Err(NoProof::Polite),
    };
    if ended.is_err() && !talk.told {
        // It has not been told of yet: it never gave a password.
        shared.refused(hub, caller, claim.certificate().map(AsRef::as_ref), None, &claim.missing());
    }
    ended
}

struct Talk<'a> {
    hub: &'a Rc<Hub>,
    shared: &'a Arc<Shared>,
    claim: &'a Claim,
    caller: Caller,
    failures: u32,
    /// Some refusal of this client is in the audit.
    told: bool,
}

impl Talk<'_> {
    async fn run(&mut self, stream: &mut ClientStream) -> Result<Proven, NoProof> {
        let mut unproven = Unproven::default();
        loop {
            let mut out = Vec::new();
            match unproven.next(&mut out) {
                Turn::Read => {
                    say(stream, &out).await?;
                    let said = stream.read(&self.hub.scratch).await.map_err(|_| NoProof::Abrupt)?;
                    if said.is_empty() {
                        return Err(NoProof::Polite);
                    }
                    unproven.input(&said);
                }
                Turn::Ask(ask) => {
                    say(stream, &out).await?;
                    out.clear();
                    match self.decide(ask, &mut unproven, stream).await {
                        Meanwhile::Left => return Err(NoProof::Abrupt),
                        Meanwhile::Checked(Judged { outcome: Ok((permit, place)), .. }) => {
                            return Ok(Proven { permit, place, input: unproven.proven() });
                        }
                        Meanwhile::Checked(Judged { user, outcome: Err(refusal) }) => {
                            unproven.refused(&self.line_for(user, &refusal), &mut out);
                            say(stream, &out).await?;
                            let limits = &self.shared.live.load().settings.limits;
                            if self.failures >= limits.auth_failures_max {
                                return Err(NoProof::Polite);
                            }
                        }
                    }
                }
                Turn::Close => {
                    say(stream, &out).await?;
                    return Err(NoProof::Polite);
                }
            }
        }
    }

    /// Has the password checked. A client that leaves meanwhile is noticed as long as
    /// there is room for what it sends.
    async fn decide(&self, ask: Ask, unproven: &mut Unproven, stream: &mut ClientStream) -> Meanwhile {
        let mut checked = std::pin::pin!(self.check(ask));
        loop {
            let read = async {
                if !unproven.wants_read() {
                    return std::future::pending().await;
                }
                stream.read(&self.hub.scratch).await
            };
            tokio::select! {
                checked = &mut checked => return Meanwhile::Checked(checked),
                read = read => match read {
                    Ok(said) if !said.is_empty() => unproven.input(&said),
                    _ => return Meanwhile::Left,
                }
            }
        }
    }

    async fn check(&self, ask: Ask) -> Judged {
        let live = self.shared.live.load_full();
        let settings = &live.settings;
        let Some(entrance) = live.entrance(self.caller.door) else {
            return Judged { user: None, outcome: Err(removed()) };
        };
        let database = self.claim.database();
        let directory = match entrance.directory(settings, database) {
            Ok(directory) => directory,
            Err(refusal) => return Judged { user: None, outcome: Err(refusal) },
        };
        let check = directory.check(self.claim, ask.name.as_deref());
        let user = check.user().map(|user| user.name.clone());
        let limits = &settings.limits;
        let Some(node) = live.reach.node_of(database) else {
            return Judged { user, outcome: Err(removed()) };
        };
        let proof =
            self.shared.passwords.check(check, ask.password, self.caller.peer.ip(), node, limits).await;
        Judged { user, outcome: proof.and_then(|proof| self.admit(proof)) }
    }

    fn admit(&self, proof: Proof) -> Result<(Permit, UserPlace), Refusal> {
        let Self { shared, claim, .. } = self;
        // By the users in force now: the check may have begun before a reload.
        let live = shared.live.load_full();
        let entrance = live.entrance(self.caller.door).ok_or_else(removed)?;
        let permit = entrance.directory(&live.settings, claim.database())?.prove(claim, Arc::new(proof))?;
        let most = live.settings.limits.clients_per_user_max;
        let place = shared.census.user_place(&permit.user().name, most).ok_or_else(|| {
            let detail = format!("user {} has {most} clients already", permit.user().name);
            Refusal::new(Reason::TooManyClients, detail)
        })?;
        Ok((permit, place))
    }

    /// Notes a refusal, and what the client is told of it.
    fn line_for(&mut self, user: Option<String>, refusal: &Refusal) -> String {
        self.told = true;
        let reference = self.shared.reference();
        let mut record = self.shared.record(Outcome::Refused, self.caller);
        record.event = Event::Authentication;
        record.user = user;
        if let Some(certificate) = self.claim.certificate() {
            describe(&mut record, certificate);
        }
        self.shared.note_refusal(self.hub, self.caller.door, record, reference, refusal, "password refused");
        match refusal.reason() {
            Reason::TooManyClients => "ERR max number of clients reached".to_owned(),
            // The password may be right: a client must not take it for wrong.
            Reason::PasswordUnchecked => {
                format!("ERR respgate: the password could not be checked, try again (reference {reference})")
            }
            _ => {
                self.failures += 1;
                WRONG.to_owned()
            }
        }
    }
}

/// Everything, before anything else is read: what a stranger does not read costs
/// nothing but its own place.
async fn say(stream: &mut ClientStream, out: &[u8]) -> Result<(), NoProof> {
    if out.is_empty() {
        return Ok(());
    }
    stream.write_all(out).await.map_err(|_| NoProof::Abrupt)
}

impl Shared {
    /// Writes down that clients sent AUTH although they are somebody already.
    pub(super) fn note_needless_auths(&self, hub: &Hub) {
        for (door, auth) in hub.needless_auths.take() {
            let NeedlessAuth { user, peer, subject, differs } = auth;
            if !differs {
                // Such a password is in the client's configuration to no purpose.
                tracing::info!(
                    peer,
                    user,
                    "a password beside a certificate that decides: it was not looked at"
                );
                continue;
            }
            let Ok(peer) = peer.parse() else { continue };
            let mut record = self.record(Outcome::Refused, Caller { door, peer });
            record.event = Event::Authentication;
            record.subject = subject;
            let detail = format!("AUTH named another user than {user}, which the client is and stays");
            record.user = Some(user);
            let refusal = Refusal::new(Reason::AuthDiffers, detail);
            self.note_refusal(hub, door, record, self.reference(), &refusal, "password refused");
        }
    }
}
