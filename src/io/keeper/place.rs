//! One node of a database whose users the gateway makes: over one connection, as long as it lasts, it is
//! asked which there are and told what is to be said.

use std::sync::Arc;

use super::estates::Meters;
use super::talk::{Talk, TalkError};
use crate::io::clock;
use crate::io::node::Node;
use crate::limits::Limits;
use crate::upstream::{Change, NodeUsers, Order, Passwords, Provisioning, Shown, is_refusal};

/// How often a node is looked at again after orders: what it shows then has to be remembered.
const LOOKS_MAX: usize = 4;

/// One node.
pub(super) struct Place {
    /// How it is reached now.
    pub(super) node: Arc<Node>,
    pub(super) users: NodeUsers,
    pub(super) talk: Option<Talk>,
    /// What was wrong at the last look.
    pub(super) failing: Option<String>,
}

/// What became of the orders of one look.
#[derive(Default)]
pub(super) struct Looked {
    obeyed: Vec<(String, Change)>,
    refused: Vec<(String, String)>,
}

/// A look: what became of its orders, and how it ended.
pub(super) type Look = (Looked, Result<(), TalkError>);

impl Place {
    /// One of which nothing is known.
    pub(super) fn at(node: &Arc<Node>) -> Self {
        Self { node: Arc::clone(node), users: NodeUsers::default(), talk: None, failing: None }
    }

    /// Looks until there is nothing to say.
    pub(super) async fn look(
        &mut self,
        wanted: &Provisioning,
        passwords: &Passwords,
        limits: &Limits,
    ) -> Look {
        let mut looked = Looked::default();
        for _ in 0..LOOKS_MAX {
            let list = match self.list(wanted, limits).await {
                Ok(list) => list,
                Err(error) => return (looked, Err(error)),
            };
            let orders = self.users.orders(wanted, passwords, &list, clock::now());
            if orders.is_empty() {
                break;
            }
            for order in orders {
                if let Err(error) = self.carry_out(order, &mut looked).await {
                    self.talk = None;
                    return (looked, Err(error));
                }
            }
        }
        (looked, Ok(()))
    }

    /// The users that the node shows. A connection that was there may have been lost.
    async fn list(&mut self, wanted: &Provisioning, limits: &Limits) -> Result<Vec<Shown>, TalkError> {
        if let Some(talk) = &mut self.talk
            && let Ok(list) = talk.list().await
        {
            return Ok(list);
        }
        self.talk = None;
        let mut talk = Talk::open(&self.node, &wanted.admin, limits).await?;
        self.users.reconnected();
        let list = talk.list().await?;
        self.talk = Some(talk);
        Ok(list)
    }

    /// Removes what this process has made here.
    pub(super) async fn farewell(&mut self, wanted: &Provisioning, limits: &Limits) -> Result<(), TalkError> {
        if self.users.are_none() {
            return Ok(());
        }
        let list = self.list(wanted, limits).await?;
        let Some(talk) = &mut self.talk else { return Err(TalkError::Closed) };
        for command in self.users.farewell(&list) {
            talk.order("ACL", &command).await?;
        }
        Ok(())
    }

    async fn carry_out(&mut self, order: Order, looked: &mut Looked) -> Result<(), TalkError> {
        let Some(talk) = &mut self.talk else { return Err(TalkError::Closed) };
        let name = if order.change == Change::Removed { "ACL DELUSER" } else { "ACL SETUSER" };
        let (redis_user, change) = (order.redis_user.clone(), order.change);
        match talk.order(name, &order.command).await {
            Ok(()) => {
                self.users.obeyed(order);
                looked.obeyed.push((redis_user, change));
            }
            Err(TalkError::Refused(_, text)) if change != Change::Removed && is_refusal(&text) => {
                if self.users.refused(order) {
                    looked.refused.push((redis_user, text));
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Tells what became of a look, and a failure when it begins.
    pub(super) fn note(&mut self, (looked, result): Look, meters: &Meters) {
        let node = &self.node;
        for (redis_user, change) in looked.obeyed {
            tracing::info!(redis_user, change = change.as_str(), %node, "Redis user provisioned");
            if let Some(counter) = meters.changes.get(change.as_str()) {
                counter.increment(1);
            }
        }
        for (redis_user, why) in looked.refused {
            tracing::error!(redis_user, why, %node, "Redis refuses the acl of this user, which stays what it was");
            meters.refusals.increment(1);
        }
        let failing = result.err().map(|error| error.to_string());
        match (&failing, &self.failing) {
            (Some(error), before) => {
                meters.failures.increment(1);
                if before.as_ref() != Some(error) {
                    tracing::error!(error, %node, "the users of this node cannot be looked after: they stay what they are");
                }
            }
            (None, Some(_)) => tracing::info!(%node, "the users of this node are looked after again"),
            (None, None) => {}
        }
        self.failing = failing;
    }
}
