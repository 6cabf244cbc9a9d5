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

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use super::*;
    use crate::identity::{Credential, Keeping};
    use crate::io::settings::Address;
    use crate::secret::Secret;
    use crate::upstream::{Account, AclRules};

    const WORDS: &str = "ERR Unmatched parenthesis in acl selector starting at '(+get'.";

    /// A node that refuses users of this name, until its client goes. Of each command it reads all lines.
    fn refuse(listener: &UnixListener, name: &str) {
        let (mut socket, _) = listener.accept().expect("a client");
        let mut lines = BufReader::new(socket.try_clone().expect("a socket")).lines().map_while(Result::ok);
        while let Some(head) = lines.next() {
            let words: usize = head[1..].parse().expect("a number of words");
            let words: Vec<String> = lines.by_ref().take(2 * words).skip(1).step_by(2).collect();
            let answer = match &words[..] {
                [_, list] if list == "LIST" => "*0\r\n".to_owned(),
                [_, _, user, ..] if user == name => format!("-{WORDS}\r\n"),
                _ => "+OK\r\n".to_owned(),
            };
            socket.write_all(answer.as_bytes()).expect("it reads");
        }
    }

    #[tokio::test]
    async fn a_user_that_is_refused_in_whatever_words_holds_up_no_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("redis.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        std::thread::spawn(move || refuse(&listener, "r:a:user:bad"));
        let account = |name: &str| Account {
            redis_user: name.to_owned(),
            keeping: Keeping(name.into()),
            rules: AclRules::parse("+get").expect("rules"),
        };
        let wanted = Provisioning {
            admin: Arc::new(Credential::new("admin", Secret::new(b"x".to_vec()))),
            namespace: "r:a:".to_owned(),
            rotate_every: Duration::from_secs(60),
            accounts: vec![account("r:a:user:bad"), account("r:a:user:app")],
        };
        let mut passwords = Passwords::default();
        passwords.want(&wanted, &mut || [0; 32]);
        let mut place = Place::at(&Arc::new(Node::at(Address::Unix(path), None).expect("no TLS")));
        let (looked, result) = place.look(&wanted, &passwords, &Limits::default()).await;
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(looked.refused, [("r:a:user:bad".to_owned(), WORDS.to_owned())]);
        assert!(place.users.has("r:a:user:app") && !place.users.has("r:a:user:bad"));
    }
}
