//! Who a client of a listener is: its gate, then its realms in their order, over
//! the users, and what its roles make of it. The same code decides when a client comes, when it gives a password,
//! and again at each reload.

use std::sync::Arc;

use super::account::{Listening, Said};
use super::password_check::{Check, Method, Proof};
use super::realm::{Chain, RealmKind, Verify};
use super::recognition::{Recognised, Unrecognised};
use super::rights::{Known, Rights};
use super::{Certificate, Evidence, Gate, Needs, PasswordHash, Permit, Reason, Refusal, Rule, User, UserMap};

/// Whom Redis is asked about in the place of a user who cannot come in: what
/// strangers type is not handed on.
const DECOY: &str = "respgate-decoy";

/// The users and their rights, and the gate and the realms of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Directory<'a> {
    users: &'a UserMap,
    rights: Rights<'a>,
    chain: &'a Chain,
    gate: &'a Gate,
}

/// What becomes of a client that has completed its handshake.
#[derive(Debug)]
pub enum Admission {
    /// It is in.
    Permit(Permit),
    /// It may come in by a password.
    Unproven(Claim),
    /// It is not let in.
    Refused(Refusal),
}

/// What a client has shown that a password has to be added to.
#[derive(Debug, Clone)]
pub struct Claim {
    evidence: Evidence,
    /// The user that the certificate is, which needs a password as well.
    user: Option<Arc<User>>,
}

impl Claim {
    /// What was shown, whether it was recognised or not.
    #[must_use]
    pub fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.evidence.certificate()
    }

    /// The user that the certificate is, if it is one's.
    #[must_use]
    pub fn user(&self) -> Option<&Arc<User>> {
        self.user.as_ref()
    }

    /// The name of the database that its commands would go to.
    #[must_use]
    pub fn database(&self) -> &str {
        self.evidence.database()
    }

    /// Why the client is not in as long as it gives no password.
    #[must_use]
    pub fn missing(&self) -> Refusal {
        match &self.user {
            Some(user) => {
                let detail = format!("user {} needs a password beside its certificate", user.name);
                Refusal::new(Reason::NoPassword, detail)
            }
            None => Refusal::new(Reason::NoPassword, "the client gave no password that was right"),
        }
    }
}

impl<'a> Directory<'a> {
    /// These users with these rights, for the clients of a listener with these realms
    /// and this gate.
    #[must_use]
    pub fn new(users: &'a UserMap, rights: Rights<'a>, chain: &'a Chain, gate: &'a Gate) -> Self {
        Self { users, rights, chain, gate }
    }

    /// Decides about a client that has shown this: a verified certificate, or none.
    /// One that the gate does not take is refused whatever the realms say. Each realm
    /// in its order: the first that recognises the certificate decides. One that does
    /// not leaves it to the next, which may be one of passwords.
    #[must_use]
    pub fn arrive(&self, evidence: &Evidence) -> Admission {
        self.decide(evidence, &mut |_, _| {})
    }

    /// The same, with somebody told of what each realm says.
    pub(super) fn decide(&self, evidence: &Evidence, told: Listening<'_>) -> Admission {
        if let Err(refusal) = self.pass(evidence) {
            return Admission::Refused(refusal);
        }
        let mut left = Left::default();
        for realm in self.chain.realms() {
            match (&realm.kind, evidence.certificate()) {
                (RealmKind::Certificate(_), None) => {}
                (RealmKind::Certificate(recognition), Some(certificate)) => {
                    match recognition.recognise(self.users, evidence, certificate) {
                        Ok(found) => {
                            told(&realm.name, Said::User(&found));
                            return self.recognised(found, evidence, &realm.name);
                        }
                        Err(why) => {
                            told(&realm.name, Said::Not(&why));
                            if let Err(refusal) = left.note(why) {
                                return Admission::Refused(refusal);
                            }
                        }
                    }
                }
                // A certificate that has not been looked at goes to who looks at it first.
                (RealmKind::Password(_), Some(_)) if left.is_nothing() && self.chain.takes_certificates() => {
                }
                (RealmKind::Password(_), _) => {
                    told(&realm.name, Said::Password);
                    return Admission::Unproven(Claim { evidence: evidence.clone(), user: None });
                }
            }
        }
        Admission::Refused(left.refusal())
    }

    /// The rules for roles, and what roles are to Redis.
    pub(super) fn rights(&self) -> Rights<'a> {
        self.rights
    }

    /// The realms in their order.
    pub(super) fn chain(&self) -> &'a Chain {
        self.chain
    }

    /// Whose certificate it is, by the first realm that knows it.
    fn owner(&self, evidence: &Evidence) -> Result<Recognised, Refusal> {
        let mut left = Left::default();
        for (_, recognition) in self.chain.certificates() {
            let Some(certificate) = evidence.certificate() else { break };
            match recognition.recognise(self.users, evidence, certificate) {
                Ok(found) => return Ok(found),
                Err(why) => left.note(why)?,
            }
        }
        Err(left.refusal())
    }

    /// Whether the gate takes the certificate, if there is one.
    pub(super) fn pass(&self, evidence: &Evidence) -> Result<(), Refusal> {
        evidence.certificate().map_or(Ok(()), |certificate| self.gate.check(certificate))
    }

    fn recognised(&self, found: Recognised, evidence: &Evidence, realm: &Arc<str>) -> Admission {
        let Recognised { user, rule, groups } = found;
        let (evidence, realm) = (evidence.clone(), Arc::clone(realm));
        if user.needs == Needs::Certificate {
            let known = Known { user, evidence, rule, realm, groups, proof: None };
            return match self.rights.permit(known) {
                Ok(permit) => Admission::Permit(permit),
                Err(refusal) => Admission::Refused(refusal),
            };
        }
        let claim = Claim { evidence, user: Some(user) };
        if self.chain.takes_passwords() {
            Admission::Unproven(claim)
        } else {
            Admission::Refused(claim.missing())
        }
    }

    /// What the password is to be held against of a client that says to be this
    /// user; without a name, to be the user of its certificate.
    #[must_use]
    pub fn check(&self, claim: &Claim, name: Option<&[u8]>) -> Check {
        let named = name.and_then(|name| std::str::from_utf8(name).ok());
        let user = match (named, &claim.user) {
            (Some(name), _) => self.users.named(name),
            (None, Some(user)) if name.is_none() => self.users.named(&user.name),
            (None, _) => None,
        };
        let doom = match user {
            // The name is not repeated: people type passwords where names belong.
            None => Some(Refusal::new(Reason::UnknownUser, "there is no user of this name")),
            Some(user) => refusal(claim, user),
        };
        let Some(user) = user else { return Check { user: None, method: self.decoy(), doom } };
        let doom = doom.or_else(|| self.realm_of(user).is_none().then(|| unheard(user)));
        // What cannot be right is held against the same, whoever it is for.
        let method = self.realm_of(user).filter(|_| doom.is_none()).unwrap_or_else(|| self.decoy());
        Check { user: Some(Arc::clone(user)), method, doom }
    }

    /// Lets a client in that has proved to know a user's password, by what is so now.
    ///
    /// # Errors
    /// Why it is not let in.
    pub fn prove(&self, claim: &Claim, proof: Arc<Proof>) -> Result<Permit, Refusal> {
        // It may have come in before a reload.
        self.pass(&claim.evidence)?;
        let check = self.check(claim, Some(proof.user.as_bytes()));
        let (Some(user), None) = (&check.user, &check.doom) else { return Err(check.failed()) };
        if check.method != proof.method {
            return Err(Refusal::new(Reason::WrongPassword, "the user's password has been changed since"));
        }
        let user = Arc::clone(user);
        let realm = Arc::clone(self.realm_for(&check.method).ok_or_else(|| claim.missing())?);
        let (evidence, proof) = (claim.evidence.clone(), Some(proof));
        if user.needs != Needs::Both {
            let evidence = evidence.without_certificate();
            let (rule, groups) = (Rule::Password, Vec::new());
            return self.rights.permit(Known { user, evidence, rule, realm, groups, proof });
        }
        if claim.certificate().is_none() {
            return Err(without_certificate(&user));
        }
        if !self.chain.takes_certificates() {
            return Err(with_another(&user));
        }
        let Recognised { user: owner, rule, groups } = self.owner(&claim.evidence)?;
        if owner.name != user.name {
            return Err(with_another(&user));
        }
        self.rights.permit(Known { user, evidence, rule, realm, groups, proof })
    }

    /// Decides about a client that was let in before, from what it has shown and by
    /// what is so now. Who has got another role does not go on as if it had the old one.
    ///
    /// # Errors
    /// Why it would not be let in.
    pub fn again(&self, permit: &Permit) -> Result<Permit, Refusal> {
        let evidence = permit.evidence();
        let renewed = match permit.proof() {
            None => match self.arrive(evidence) {
                Admission::Permit(permit) => permit,
                Admission::Unproven(claim) => return Err(claim.missing()),
                Admission::Refused(refusal) => return Err(refusal),
            },
            Some(proof) => {
                let user = evidence.certificate().map(|_| Arc::clone(permit.user()));
                self.prove(&Claim { evidence: evidence.clone(), user }, Arc::clone(proof))?
            }
        };
        same_role(permit, renewed)
    }

    /// What this listener holds a user's password against.
    fn realm_of(&self, user: &User) -> Option<Method> {
        let wanted = if user.password.is_some() { Verify::Argon2id } else { Verify::Backend };
        self.chain.passwords().find(|&(_, verify)| verify == wanted)?;
        Some(match &user.password {
            Some(hash) => Method::Hash(Arc::clone(hash)),
            None => Method::Backend(user.name.clone()),
        })
    }

    fn realm_for(&self, method: &Method) -> Option<&Arc<str>> {
        let wanted = match method {
            Method::Hash(_) => Verify::Argon2id,
            Method::Backend(_) => Verify::Backend,
        };
        self.chain.passwords().find(|&(_, verify)| verify == wanted).map(|(realm, _)| &realm.name)
    }

    /// Something that takes as long as the check of a real password. Where both hashes
    /// and Redis are asked, as long as the first of these realms does.
    fn decoy(&self) -> Method {
        match self.chain.passwords().next() {
            Some((_, Verify::Backend)) => Method::Backend(DECOY.to_owned()),
            _ => Method::Hash(self.users.decoy().unwrap_or_else(|| Arc::new(PasswordHash::usual_decoy()))),
        }
    }
}

fn unheard(user: &User) -> Refusal {
    let detail = format!("no realm of this listener checks the password of user {}", user.name);
    Refusal::new(Reason::RealmInactive, detail)
}

/// Why the realms so far have left a certificate to the next one: the first that
/// did not know it, or else the first that did not look at it.
#[derive(Default)]
struct Left {
    unknown: Option<Refusal>,
    elsewhere: Option<Refusal>,
}

impl Left {
    /// Goes on to the next realm, unless nobody comes in with this.
    fn note(&mut self, why: Unrecognised) -> Result<(), Refusal> {
        match why {
            Unrecognised::Refused(refusal) => return Err(refusal),
            Unrecognised::Unknown(refusal) => self.unknown.get_or_insert(refusal),
            Unrecognised::Elsewhere(refusal) => self.elsewhere.get_or_insert(refusal),
        };
        Ok(())
    }

    /// Whether no realm has looked at a certificate yet.
    fn is_nothing(&self) -> bool {
        self.unknown.is_none() && self.elsewhere.is_none()
    }

    fn refusal(self) -> Refusal {
        let none = || Refusal::new(Reason::NoClientCertificate, "the client showed no certificate");
        self.unknown.or(self.elsewhere).unwrap_or_else(none)
    }
}

/// A permit by another role, or for the Redis user of a role that has another one
/// now, is not the one that was given. A user's own Redis user is not a role's.
fn same_role(old: &Permit, new: Permit) -> Result<Permit, Refusal> {
    let is_by_role = old.role().is_some() || new.role().is_some();
    let [before, now] = [old, &new].map(|permit| (permit.role(), &permit.credential().redis_user));
    if !is_by_role || before == now {
        return Ok(new);
    }
    let shown = |(role, redis_user): (Option<&str>, &String)| match role {
        Some(role) => format!("{redis_user} by the role {role}"),
        None => redis_user.clone(),
    };
    let name = &new.user().name;
    let detail = format!("user {name} was {} to Redis and would be {} now", shown(before), shown(now));
    Err(Refusal::new(Reason::RoleChanged, detail))
}

/// Why a client with this claim cannot be this user, whatever its password.
fn refusal(claim: &Claim, user: &User) -> Option<Refusal> {
    if let Some(owner) = &claim.user
        && owner.name != user.name
    {
        let detail = format!("the certificate is user {}'s, and AUTH named user {}", owner.name, user.name);
        return Some(Refusal::new(Reason::AuthDiffers, detail));
    }
    match user.needs {
        _ if !user.enabled => {
            Some(Refusal::new(Reason::UserDisabled, format!("user {} is disabled", user.name)))
        }
        Needs::Certificate => {
            let detail = format!("user {} comes in by its certificate, not by a password", user.name);
            Some(Refusal::new(Reason::PasswordNotAccepted, detail))
        }
        Needs::Both if claim.certificate().is_none() => Some(without_certificate(user)),
        Needs::Both if claim.user.is_none() => Some(with_another(user)),
        Needs::Both | Needs::Password => None,
    }
}

fn without_certificate(user: &User) -> Refusal {
    let detail = format!("user {} needs its certificate beside the password", user.name);
    Refusal::new(Reason::NoClientCertificate, detail)
}

fn with_another(user: &User) -> Refusal {
    let detail = format!("the certificate that was shown is not one of user {}", user.name);
    Refusal::new(Reason::NoMapping, detail)
}
