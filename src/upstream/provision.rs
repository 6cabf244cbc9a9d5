//! The Redis users that the gateway makes: from what a node says that there is to what has to be
//! said to it. Knows no connection; the passwords come from [`Passwords`].
//!
//! ```text
//! ACL LIST -> Shown -> NodeUsers::orders -> ACL SETUSER .. | ACL DELUSER ..
//! ```
//!
//! An order says everything that a user is, so that it is made whole or not at all. What Redis
//! shows of a user after an order is what it has to show from then on: whatever else is there
//! later, somebody has changed it, and it is put back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{AclRules, Passwords, Shown};
use crate::identity::{Credential, Keeping};
use crate::resp::write;

/// How long a user that is no longer configured stays: sessions of its are ended within five
/// seconds, each when its replies have arrived.
const REMOVED_AFTER: Duration = Duration::from_secs(10);

/// A user that the gateway makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name at Redis.
    pub redis_user: String,
    /// Under which its password is known here.
    pub keeping: Keeping,
    /// What it may do.
    pub rules: AclRules,
}

/// Which users there are to be, and by whom they are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioning {
    /// Who may make them.
    pub admin: Arc<Credential>,
    /// How all of their names begin. Whoever is called so and is not among `accounts` is removed.
    pub namespace: String,
    /// How long a password is used.
    pub rotate_every: Duration,
    /// The users.
    pub accounts: Vec<Account>,
}

/// Why something has to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// There is no such user.
    Made,
    /// It is there since before this process, or its rules are configured anew.
    Changed,
    /// Its passwords are to be others.
    Rekeyed,
    /// It is not what it was made.
    PutBack,
    /// It is not configured any more.
    Removed,
}

impl Change {
    /// All, for metrics.
    pub const ALL: [Self; 5] = [Self::Made, Self::Changed, Self::Rekeyed, Self::PutBack, Self::Removed];

    /// The word in log and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Changed => "changed",
            Self::Rekeyed => "rekeyed",
            Self::PutBack => "put_back",
            Self::Removed => "removed",
        }
    }
}

/// Something to be said to a node about one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The user.
    pub redis_user: String,
    /// Why.
    pub change: Change,
    /// The command.
    pub command: Vec<u8>,
    done: Option<Done>,
}

/// What a user has been made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Done {
    rules: AclRules,
    hashes: Vec<String>,
    /// What Redis has shown of it since.
    shown: Option<String>,
}

/// What this process has made of a node's users.
#[derive(Debug, Default)]
pub struct NodeUsers {
    done: BTreeMap<String, Done>,
    /// Rules that this node has refused.
    refused: BTreeMap<String, AclRules>,
    unwanted: BTreeMap<String, Instant>,
    /// Users with passwords that are nobody's here.
    shared: BTreeSet<String>,
}

impl NodeUsers {
    /// What has to be said to a node that shows these users.
    pub fn orders(
        &mut self,
        wanted: &Provisioning,
        passwords: &Passwords,
        list: &[Shown],
        now: Instant,
    ) -> Vec<Order> {
        let shown: BTreeMap<&str, &Shown> = list.iter().map(|line| (line.name.as_str(), line)).collect();
        let mut orders = Vec::new();
        for account in &wanted.accounts {
            let hashes = passwords.hashes(&account.keeping);
            let line = shown.get(account.redis_user.as_str()).copied();
            orders.extend(self.order(account, hashes, line));
        }
        let ours = |name: &str| wanted.accounts.iter().any(|account| account.redis_user == name);
        let strangers = shown.keys().copied();
        let strangers: BTreeSet<&str> =
            strangers.filter(|name| name.starts_with(&wanted.namespace) && !ours(name)).collect();
        self.unwanted.retain(|name, _| strangers.contains(name.as_str()));
        for name in strangers {
            let since = *self.unwanted.entry(name.to_owned()).or_insert(now);
            if now.saturating_duration_since(since) >= REMOVED_AFTER {
                let command = write::command(&[b"ACL", b"DELUSER", name.as_bytes()]);
                let redis_user = name.to_owned();
                orders.push(Order { redis_user, change: Change::Removed, command, done: None });
            }
        }
        orders
    }

    fn order(&mut self, account: &Account, hashes: Vec<String>, line: Option<&Shown>) -> Option<Order> {
        let name = &account.redis_user;
        if let (Some(line), Some(done)) = (line, self.done.get_mut(name)) {
            done.shown.get_or_insert_with(|| line.rest.clone());
        }
        let done = self.done.get(name);
        let rules = match (self.refused.get(name) == Some(&account.rules), done) {
            (false, _) => &account.rules,
            // With the rules that it has, its passwords still change.
            (true, Some(done)) => &done.rules,
            (true, None) => return None,
        };
        let (change, others) = match (line, done) {
            (None, None) => (Change::Made, Vec::new()),
            (None, Some(_)) => (Change::PutBack, Vec::new()),
            (Some(_), None) => (Change::Changed, Vec::new()),
            (Some(line), Some(done)) => {
                let is_other = |hash: &&String| !hashes.contains(hash) && !done.hashes.contains(hash);
                let others: Vec<String> = line.hashes.iter().filter(is_other).cloned().collect();
                if !others.is_empty() {
                    self.shared.insert(name.clone());
                }
                (done.differs(line, rules, &hashes)?, others)
            }
        };
        let done = Done { rules: rules.clone(), hashes, shown: None };
        Some(Order {
            redis_user: name.clone(),
            change,
            command: done.command(name, &others),
            done: Some(done),
        })
    }

    /// The node has done what it was told.
    pub fn obeyed(&mut self, order: Order) {
        match order.done {
            Some(done) => drop(self.done.insert(order.redis_user, done)),
            None => drop(self.done.remove(&order.redis_user)),
        }
    }

    /// The node has refused to; its user is what it was. Whether that is new.
    pub fn refused(&mut self, order: Order) -> bool {
        let Some(done) = order.done else { return true };
        let before = self.refused.insert(order.redis_user, done.rules.clone());
        before != Some(done.rules)
    }

    /// The connection is a new one: what the node refused, it may take now.
    pub fn reconnected(&mut self) {
        self.refused.clear();
    }

    /// Whether this user is there, with some password of this gateway's.
    #[must_use]
    pub fn has(&self, redis_user: &str) -> bool {
        self.done.contains_key(redis_user)
    }

    /// Whether this process has made nobody here.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.done.is_empty()
    }

    /// Whether every user that is there has all the passwords that it is to have.
    #[must_use]
    pub fn is_keyed(&self, wanted: &Provisioning, passwords: &Passwords) -> bool {
        let mut there = wanted.accounts.iter().filter_map(|it| Some((it, self.done.get(&it.redis_user)?)));
        there.all(|(account, done)| done.hashes == passwords.hashes(&account.keeping))
    }

    /// Whether all users are there, by the rules that are configured.
    #[must_use]
    pub fn is_complete(&self, wanted: &Provisioning) -> bool {
        let is_done = |it: &Account| self.done.get(&it.redis_user).is_some_and(|done| done.rules == it.rules);
        wanted.accounts.iter().all(is_done)
    }

    /// Whether users are still there that are no longer configured.
    #[must_use]
    pub fn awaits_removal(&self) -> bool {
        !self.unwanted.is_empty()
    }

    /// Users in which somebody else has put a password, each told once.
    pub fn newly_shared(&mut self, told: &mut BTreeSet<String>) -> Vec<String> {
        let new = std::mem::take(&mut self.shared).into_iter().filter(|name| told.insert(name.clone()));
        new.collect()
    }

    /// What has to be said at the end to a node that shows these users: what this process has made
    /// goes, unless others have a password in it.
    #[must_use]
    pub fn farewell(&self, list: &[Shown]) -> Vec<Vec<u8>> {
        let ours = list.iter().filter_map(|line| Some((line, self.done.get(&line.name)?)));
        ours.map(|(line, done)| {
            let name = line.name.as_bytes();
            if line.hashes.iter().all(|hash| done.hashes.contains(hash)) {
                return write::command(&[b"ACL", b"DELUSER", name]);
            }
            let hashes: Vec<String> = done.hashes.iter().map(|hash| format!("!{hash}")).collect();
            let mut words: Vec<&[u8]> = vec![b"ACL", b"SETUSER", name];
            let is_there = |hash: &&String| line.hashes.contains(&hash[1..]);
            words.extend(hashes.iter().filter(is_there).map(String::as_bytes));
            write::command(&words)
        })
        .collect()
    }
}

impl Done {
    fn differs(&self, line: &Shown, rules: &AclRules, hashes: &[String]) -> Option<Change> {
        if self.rules != *rules {
            Some(Change::Changed)
        } else if self.hashes != hashes {
            Some(Change::Rekeyed)
        } else if !hashes.iter().all(|hash| line.hashes.contains(hash))
            || self.shown.as_ref().is_some_and(|shown| *shown != line.rest)
        {
            Some(Change::PutBack)
        } else {
            None
        }
    }

    /// Everything that the user is to be. Redis does all of it or nothing.
    fn command(&self, name: &str, others: &[String]) -> Vec<u8> {
        let hashes: Vec<String> = self.hashes.iter().chain(others).map(|hash| format!("#{hash}")).collect();
        let mut words: Vec<&[u8]> = vec![b"ACL", b"SETUSER", name.as_bytes(), b"reset", b"on"];
        words.extend(hashes.iter().map(String::as_bytes));
        words.extend(self.rules.words().map(str::as_bytes));
        write::command(&words)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests need some instant to count from")]
    use super::*;
    use crate::secret::Secret;

    fn account(name: &str, rules: &str) -> Account {
        let rules = AclRules::parse(rules).expect("rules");
        Account { redis_user: format!("r:a:{name}"), keeping: Keeping(name.into()), rules }
    }

    fn wanted(accounts: Vec<Account>) -> Provisioning {
        let admin = Arc::new(Credential::new("admin", Secret::new(b"pw".to_vec())));
        let rotate_every = Duration::from_secs(100);
        Provisioning { admin, namespace: "r:a:".to_owned(), rotate_every, accounts }
    }

    /// A node as Redis would be: it shows what it was told, with a word of its own.
    #[derive(Default)]
    struct Redis(BTreeMap<String, Vec<String>>);

    impl Redis {
        fn list(&self) -> Vec<Shown> {
            let line = |(name, words): (&String, &Vec<String>)| {
                Shown::parse(&format!("user {name} on sanitize-payload {}", words.join(" "))).expect("a line")
            };
            self.0.iter().map(line).collect()
        }

        /// A look and what follows of it.
        fn round(
            &mut self,
            users: &mut NodeUsers,
            wanted: &Provisioning,
            passwords: &Passwords,
            now: Instant,
        ) -> Vec<(String, Change)> {
            let mut said = Vec::new();
            for order in users.orders(wanted, passwords, &self.list(), now) {
                let text = String::from_utf8(order.command.clone()).expect("text");
                let words: Vec<_> = text.split("\r\n").skip(2).step_by(2).map(str::to_owned).collect();
                match words[1].as_str() {
                    "SETUSER" => drop(self.0.insert(words[2].clone(), words[5..].to_vec())),
                    _ => drop(self.0.remove(&words[2])),
                }
                said.push((order.redis_user.clone(), order.change));
                users.obeyed(order);
            }
            said
        }
    }

    fn passwords(wanted: &Provisioning, first: u8) -> Passwords {
        let (mut passwords, mut number) = (Passwords::default(), first);
        passwords.want(wanted, &mut || {
            number += 1;
            [number; 32]
        });
        passwords
    }

    #[test]
    fn users_are_made_put_back_and_removed_and_others_never_touched() {
        let mut wanted = wanted(vec![account("user:app", "+@all ~*"), account("role:reader", "+@read ~*")]);
        let passwords = passwords(&wanted, 0);
        let (mut redis, mut users, now) = (Redis::default(), NodeUsers::default(), Instant::now());
        for stranger in ["default", "r:b:user:app", "r:ab:user:x", "r:a"] {
            redis.0.insert(stranger.to_owned(), vec!["+@all".to_owned()]);
        }
        let strangers = redis.0.clone();
        let said = redis.round(&mut users, &wanted, &passwords, now);
        let made = |name: &str| (name.to_owned(), Change::Made);
        assert_eq!(said, [made("r:a:user:app"), made("r:a:role:reader")]);
        assert_eq!(redis.round(&mut users, &wanted, &passwords, now), []);
        assert!(users.is_complete(&wanted) && users.is_keyed(&wanted, &passwords));
        // Somebody changes, somebody removes.
        redis.0.get_mut("r:a:user:app").expect("made").push("-get".to_owned());
        redis.0.remove("r:a:role:reader");
        let said = redis.round(&mut users, &wanted, &passwords, now);
        assert_eq!(said.iter().map(|it| it.1).collect::<Vec<_>>(), [Change::PutBack, Change::PutBack]);
        assert_eq!(redis.round(&mut users, &wanted, &passwords, now), []);
        // One is no longer configured.
        wanted.accounts.pop();
        assert_eq!(redis.round(&mut users, &wanted, &passwords, now), []);
        let said = redis.round(&mut users, &wanted, &passwords, now + REMOVED_AFTER);
        assert_eq!(said, [("r:a:role:reader".to_owned(), Change::Removed)]);
        for (name, words) in strangers {
            assert_eq!(redis.0.get(&name), Some(&words), "{name}");
        }
    }

    #[test]
    fn what_was_there_before_gets_our_password_and_no_other() {
        let wanted = wanted(vec![account("user:app", "+@all")]);
        let passwords = passwords(&wanted, 0);
        let (mut redis, mut users, now) = (Redis::default(), NodeUsers::default(), Instant::now());
        redis.0.insert("r:a:user:app".to_owned(), vec!["#old".to_owned(), "+get".to_owned()]);
        assert_eq!(
            crate::upstream::beginning(&wanted, &redis.list()),
            [("r:a:user:app".to_owned(), Change::Changed)]
        );
        let said = redis.round(&mut users, &wanted, &passwords, now);
        assert_eq!(said, [("r:a:user:app".to_owned(), Change::Changed)]);
        let hash = format!("#{}", passwords.hashes(&wanted.accounts[0].keeping)[0]);
        assert_eq!(redis.0["r:a:user:app"], [hash, "+@all".to_owned()]);
    }

    #[test]
    fn two_gateways_of_one_name_do_not_fight() {
        let wanted = wanted(vec![account("user:app", "+@all")]);
        let (one, other) = (passwords(&wanted, 0), passwords(&wanted, 77));
        let keeping = &wanted.accounts[0].keeping;
        let (mut redis, now) = (Redis::default(), Instant::now());
        let (mut here, mut there) = (NodeUsers::default(), NodeUsers::default());
        redis.round(&mut here, &wanted, &one, now);
        redis.round(&mut there, &wanted, &other, now);
        let said = redis.round(&mut here, &wanted, &one, now);
        assert_eq!(said, [("r:a:user:app".to_owned(), Change::PutBack)]);
        for _ in 0..3 {
            assert_eq!(redis.round(&mut there, &wanted, &other, now), []);
            assert_eq!(redis.round(&mut here, &wanted, &one, now), []);
        }
        let mut told = BTreeSet::new();
        assert_eq!(here.newly_shared(&mut told), ["r:a:user:app"]);
        redis.round(&mut here, &wanted, &one, now);
        assert_eq!(here.newly_shared(&mut told), Vec::<String>::new());
        // Who ends takes its own password along, and no other.
        let said = String::from_utf8(here.farewell(&redis.list()).concat()).expect("text");
        assert!(said.contains("SETUSER") && said.contains(&format!("!{}", one.hashes(keeping)[0])), "{said}");
        assert!(!said.contains(&other.hashes(keeping)[0]), "{said}");
    }

    #[test]
    fn rules_that_are_refused_leave_the_user_what_it_was() {
        let mut wanted = wanted(vec![account("user:app", "+@all")]);
        let passwords = passwords(&wanted, 0);
        let (mut redis, mut users, now) = (Redis::default(), NodeUsers::default(), Instant::now());
        redis.round(&mut users, &wanted, &passwords, now);
        wanted.accounts = vec![account("user:app", "+nonsense")];
        let order = users.orders(&wanted, &passwords, &redis.list(), now).pop().expect("one");
        assert_eq!(order.change, Change::Changed);
        assert!(users.refused(order));
        assert_eq!(redis.round(&mut users, &wanted, &passwords, now), []);
        assert!(users.has("r:a:user:app") && !users.is_complete(&wanted));
        users.reconnected();
        let order = users.orders(&wanted, &passwords, &redis.list(), now).pop().expect("it is tried again");
        assert!(users.refused(order));
    }
}
