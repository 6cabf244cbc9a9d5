//! What the gateway would make of the users at its nodes, without making anything of them.

use std::sync::Arc;

use super::talk::{Talk, TalkError};
use crate::io::doors::ReloadError;
use crate::io::node::Node;
use crate::io::reach::Reach;
use crate::io::sentinel;
use crate::io::settings::{Location, Settings};
use crate::limits::Limits;
use crate::upstream::{Change, Provisioning, beginning, is_refusal, objection, rehearsal};

/// What would become of one node.
#[derive(Debug)]
pub struct Rehearsal {
    /// Where it is.
    pub node: String,
    /// The users, and what would become of each.
    pub users: Vec<(String, Change)>,
    /// Users whose rules Redis refuses, and its words.
    pub refused: Vec<(String, String)>,
    /// As whom it was asked.
    pub admin: String,
    /// Why it could not be asked.
    pub error: Option<String>,
}

impl Rehearsal {
    /// One of a node that has yet to be asked.
    fn of(node: String, wanted: &Provisioning) -> Self {
        let admin = wanted.admin.redis_user.clone();
        Self { node, users: Vec::new(), refused: Vec::new(), admin, error: None }
    }

    /// Whether all of it would be done.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.refused.is_empty() && self.error.is_none()
    }
}

/// Asks every node what it would make of these settings. Nothing is changed anywhere.
///
/// # Errors
/// If TLS cannot be spoken by the settings.
pub async fn rehearse(settings: &Settings) -> Result<Vec<Rehearsal>, ReloadError> {
    let mut rehearsals = Vec::new();
    if settings.databases.iter().all(|database| database.provisioning.is_none()) {
        return Ok(rehearsals);
    }
    let mut reach = Reach::plan(None, settings)?;
    for database in &settings.databases {
        let Some(wanted) = &database.provisioning else { continue };
        if let Location::Sentinels(sentinels) = &database.location {
            match sentinel::find(sentinels, &settings.limits).await {
                Ok(address) => reach = reach.found(database, &address)?,
                Err(error) => {
                    let unasked = Rehearsal::of(database.location.to_string(), wanted);
                    rehearsals.push(Rehearsal { error: Some(error), ..unasked });
                }
            }
        }
        for (_, node) in reach.nodes_of(&database.name) {
            rehearsals.push(at(&node, wanted, &settings.limits).await);
        }
    }
    Ok(rehearsals)
}

/// The same at one node.
async fn at(node: &Arc<Node>, wanted: &Provisioning, limits: &Limits) -> Rehearsal {
    let mut rehearsal = Rehearsal::of(node.to_string(), wanted);
    if let Err(error) = ask(node, wanted, limits, &mut rehearsal).await {
        rehearsal.error = Some(error.to_string());
    }
    rehearsal
}

async fn ask(
    node: &Node,
    wanted: &Provisioning,
    limits: &Limits,
    into: &mut Rehearsal,
) -> Result<(), TalkError> {
    let mut talk = Talk::open(node, &wanted.admin, limits).await?;
    into.users = beginning(wanted, &talk.list().await?);
    for account in &wanted.accounts {
        match talk.order("ACL SETUSER", &rehearsal(account)).await {
            Err(TalkError::Refused(_, text)) if is_refusal(&text) => {
                if let Some(objection) = objection(&text) {
                    into.refused.push((account.redis_user.clone(), objection.to_owned()));
                }
            }
            Err(error) => return Err(error),
            Ok(()) => return Err(TalkError::Unexpected("ACL SETUSER")),
        }
    }
    Ok(())
}
