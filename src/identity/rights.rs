//! What somebody may be to Redis, once it is known who they are: their roles, and
//! by those or by their own credential a Redis user. There is none for those who
//! have neither.

use std::sync::Arc;

use super::password_check::Proof;
use super::roles::{DatabaseRoles, Metadata, Principal, RoleMap};
use super::{Certificate, Evidence, Permit, Refusal, Rule, San, User};

/// The rules that grant roles, and the Redis users of roles.
#[derive(Debug, Clone, Copy)]
pub struct Rights<'a> {
    /// Who has which role.
    pub rules: &'a RoleMap,
    /// The Redis user of each.
    pub database: &'a DatabaseRoles,
}

/// Who somebody has been found to be, and by what.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) user: Arc<User>,
    pub(super) evidence: Evidence,
    pub(super) rule: Rule,
    pub(super) realm: Arc<str>,
    pub(super) groups: Vec<String>,
    pub(super) proof: Option<Arc<Proof>>,
}

impl Known {
    /// The same as rules see it.
    pub(super) fn principal(&self) -> Principal {
        let Self { user, evidence, realm, groups, .. } = self;
        let certificate = evidence.certificate();
        Principal {
            username: user.name.clone(),
            dn: certificate.map(|certificate| certificate.subject().clone()),
            groups: groups.clone(),
            peer: evidence.peer(),
            realm: realm.to_string(),
            listener: evidence.listener().to_owned(),
            metadata: certificate.map(|certificate| metadata(certificate)).unwrap_or_default(),
        }
    }
}

impl Rights<'_> {
    /// Lets somebody in as the Redis user that is theirs.
    pub(super) fn permit(&self, known: Known) -> Result<Permit, Refusal> {
        let proved = || known.proof.as_ref().and_then(|proof| proof.credential());
        let is_here = |name: &String| name == known.evidence.database();
        let is_for_here = known.user.database.as_ref().is_none_or(is_here);
        // What is a secret between the gateway and one database is not told to another.
        let own = known.user.credential.clone().filter(|_| is_for_here).or_else(proved);
        let resolved = self.database.resolve(own.as_ref(), self.rules, &known.principal())?;
        Ok(Permit::new(known, resolved))
    }
}

fn metadata(certificate: &Certificate) -> Metadata {
    let mut metadata = Metadata {
        issuer: Some(certificate.issuer().clone()),
        certificate_sha256: Some(certificate.fingerprint().to_string()),
        spki_sha256: Some(certificate.key().to_string()),
        serial: Some(certificate.serial().to_owned()),
        ..Metadata::default()
    };
    for san in certificate.sans() {
        match san {
            San::Dns(name) => metadata.san_dns.push(name.clone()),
            San::Uri(name) => metadata.san_uri.push(name.clone()),
            San::Email(name) => metadata.san_email.push(name.clone()),
            San::Ip(address) => metadata.san_ip.push(*address),
            San::Other { .. } | San::Unfit { .. } => {}
        }
    }
    metadata
}
