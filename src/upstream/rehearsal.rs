//! What a node would make of the users that are configured, without making anything of them.

use super::{Account, Change, Provisioning, Shown};
use crate::resp::write;

/// The last word of a rehearsal, which no Redis knows.
const NO_RULE: &str = "respgate-rehearsal";

/// A command that has a node look at rules and change nothing: its last word is none.
#[must_use]
pub fn rehearsal(account: &Account) -> Vec<u8> {
    let mut words: Vec<&[u8]> = vec![b"ACL", b"SETUSER", account.redis_user.as_bytes()];
    words.extend(account.rules.words().map(str::as_bytes));
    words.push(NO_RULE.as_bytes());
    write::command(&words)
}

/// What the node objects to, if it is not that last word.
#[must_use]
pub fn objection(error: &str) -> Option<&str> {
    (!error.contains(NO_RULE)).then_some(error)
}

/// What a gateway that begins now would do at a node that shows these users: to whom, and why.
#[must_use]
pub fn beginning(wanted: &Provisioning, list: &[Shown]) -> Vec<(String, Change)> {
    let shown = |name: &str| list.iter().any(|line| line.name == name);
    let made = wanted.accounts.iter().map(|account| {
        let change = if shown(&account.redis_user) { Change::Changed } else { Change::Made };
        (account.redis_user.clone(), change)
    });
    let ours = |name: &str| wanted.accounts.iter().any(|account| account.redis_user == name);
    let gone = list.iter().filter(|line| line.name.starts_with(&wanted.namespace) && !ours(&line.name));
    made.chain(gone.map(|line| (line.name.clone(), Change::Removed))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Keeping;
    use crate::upstream::AclRules;

    #[test]
    fn a_rehearsal_ends_in_a_word_that_is_no_rule() {
        let rules = AclRules::parse("+get ~a").expect("rules");
        let account = Account { redis_user: "x".to_owned(), keeping: Keeping("x".into()), rules };
        let command = String::from_utf8(rehearsal(&account)).expect("text");
        assert!(command.ends_with("$18\r\nrespgate-rehearsal\r\n"), "{command}");
        assert_eq!(objection("ERR Error in ACL SETUSER modifier 'respgate-rehearsal': Syntax error"), None);
        let other = "ERR Error in ACL SETUSER modifier '+nonsense': Unknown command or category name in ACL";
        assert_eq!(objection(other), Some(other));
    }
}
